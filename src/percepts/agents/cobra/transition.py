"""COBRA's model of what an action does (Watters et al. 2019), slot by slot:

    ẑ'_k = z_k + f(z_k, a)                          interaction = "none"
    ẑ'_k = z_k + f(z_k, Σ_{j≠k} w_j g(z_k, z_j, a), a)    "relational"

One network for all slots, deterministic, on posterior means. Sprites that do not push each other need no more than the
first form; it cannot know that one sprite shields another from a click, which the second can learn where the latents
tell who is in front. The paper's sizes are unknown: the default of three layers of 256 and the last layer's small
start are proposed. An empty slot (w = 0) has no influence on any other.

Shapes: B observations, K slots, D latents, A numbers an action, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from percepts.agents.cobra.slots import SlotState
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError
from percepts.nn.layers import ActivationName, activation, linear_chain


class SlotTransition(nn.Module, Configurable):
    """Predicts the latents of every slot one step later. A `core.capabilities.Predicts`.

    Args:
        latents: D.
        action: A.

    Raises:
        ConfigError: no layer, or a layer of nothing.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """The network.

        Attributes:
            hidden: widths of the layers of f.
            activation: after each of them.
            final_scale: by which the last layer's first weights are multiplied: at first, nothing moves.
            interaction: whether slots see each other.
            relation_hidden: widths of the layers of g; the last one is what a slot hears of the others.
        """

        hidden: tuple[int, ...] = (256, 256, 256)
        activation: ActivationName = "relu"
        final_scale: float = 0.1
        interaction: Literal["none", "relational"] = "none"
        relation_hidden: tuple[int, ...] = (128, 128)

        def __post_init__(self) -> None:
            for name, least in (("hidden", 1), ("relation_hidden", 2)):
                sizes = getattr(self, name)
                if len(sizes) < least or min(sizes) < 1:
                    raise ConfigError(f"{name} = {sizes}", f"{least} or more layers of one unit or more")

    config: Config

    def __init__(self, config: Config, latents: int, action: int = 4) -> None:
        super().__init__()
        self.config = config
        heard = config.relation_hidden[-1] if config.interaction == "relational" else 0
        self.change = ActionNetwork((latents, heard), action, config.hidden, latents, config.activation)
        self.relation: ActionNetwork | None = None
        if heard:
            before, parts = config.relation_hidden[:-1], (latents, latents)
            self.relation = ActionNetwork(parts, action, before, heard, config.activation)
        with torch.no_grad():
            for parameter in self.change.last.parameters():
                parameter.mul_(config.final_scale)

    def predict(
        self,
        latents: Float[Tensor, "*#batch slots latents"],
        action: Float[Tensor, "*#batch action"],
        weight: Float[Tensor, "*#batch slots"] | None = None,
    ) -> Float[Tensor, "*batch slots latents"]:
        """The latents after `action`. Leading dimensions broadcast: with latents [B,1,K,D] and actions [B,N,A] come the
        outcomes [B,N,K,D] of N actions each, and what depends on the slots alone is computed once.

        Args:
            latents: of the slots.
            action: of the whole observation.
            weight: how far slots count for each other; None: all in full. Without interaction it has no effect.
        """
        parts = [latents]
        if self.relation is not None:
            parts.append(self._heard(latents, action, weight))
        return latents + self.change(parts, action[..., None, :])

    def after(self, state: SlotState, action: Float[Tensor, "batch action"]) -> SlotState:
        """The slots after `action`; the weights stay."""
        return SlotState(self.predict(state.latents, action, state.weight), state.weight)

    def rollout(
        self,
        latents: Float[Tensor, "batch slots latents"],
        actions: Float[Tensor, "batch steps action"],
        weight: Float[Tensor, "batch slots"] | None = None,
    ) -> Float[Tensor, "batch steps slots latents"]:
        """The latents after every one of T actions, each predicted from the prediction before it."""
        seen = []
        for action in actions.unbind(1):
            latents = self.predict(latents, action, weight)
            seen.append(latents)
        return torch.stack(seen, 1) if seen else latents[:, None][:, :0]

    def _heard(self, latents: Tensor, action: Tensor, weight: Tensor | None) -> Tensor:
        assert self.relation is not None
        pairs = self.relation([latents[..., :, None, :], latents[..., None, :, :]], action[..., None, None, :])
        slots = latents.shape[-2]
        others = 1 - torch.eye(slots, dtype=latents.dtype, device=latents.device)
        if weight is not None:
            others = others * weight[..., None, :]
        return (pairs * others[..., None]).sum(-2)


class ActionNetwork(nn.Module):
    """A perceptron of several vectors and an action, all of which broadcast: the first layer takes each on its own
    and adds up, so what does not depend on the action is computed once for many actions.

    Args:
        parts: widths of the vectors; those of width 0 are left out.
        action: width of the action.
        hidden: widths of the layers, one or more.
        outputs: width of the result.
    """

    def __init__(
        self, parts: tuple[int, ...], action: int, hidden: tuple[int, ...], outputs: int, name: ActivationName = "relu"
    ) -> None:
        super().__init__()
        self.widths = [width for width in (*parts, action) if width]
        self.first = nn.Linear(sum(self.widths), hidden[0])
        self.middle = nn.Sequential(activation(name), *linear_chain(hidden, name))
        self.last = nn.Linear(hidden[-1], outputs)

    def forward(
        self, parts: list[Float[Tensor, "*#batch _"]], action: Float[Tensor, "*#batch _"]
    ) -> Float[Tensor, "*batch outputs"]:
        weights = self.first.weight.split(self.widths, 1)
        given = [*parts, action]
        total = F.linear(given[0], weights[0], self.first.bias)
        for part, weight in zip(given[1:], weights[1:]):
            total = total + F.linear(part, weight)
        return self.last(self.middle(total))
