"""A density over [0, 1]^A that is learned and cheap to sample: halves of halves of halves.

At each of L levels every dimension takes one half of what is left: 2^A children a level, 2^L bins a dimension, and

    π(a | s) = 2^{A·L} · Π_l softmax(logits(s, cell_l))[child_l],      uniform inside of the last cell

Every slot gives scores to the children of a cell, and so does a network that knows of no slot ("anywhere"); the logits
are the logarithm of the sum of their exponentials, weighted by how far slots count:

    logits = ln(Σ_k w_k exp g(z_k, cell) + exp g₀(cell))

This follows what is recalled of COBRA's exploration (Watters et al. 2019: a quantised, recursively refined action
space); the networks and sizes are proposed. Optionally g₀ also sees the picture, through a small convolutional network.

It maximises E_π[e] + η·H(π) on replayed transitions, where e is the error of the transition model:

    minimise  −Σ_i w_i ln π(a_i | s_i) − η·H,    w_i ∝ min(1/p_i, 10) · exp((e_i − mean e) / (τ·std e)),  Σ w = 1

with p_i the density with which action i was chosen, and H the entropy of the levels along the replayed actions. It
needs more transitions than `CriticPolicy`: after 25 600, in which that one comes to hit a sprite with more than half of
its actions, this one has only begun to. The critic learns from every transition; here those that did not surprise weigh
next to nothing, and they are 19 of 20 at first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from percepts.agents.agent import Observation
from percepts.agents.cobra.exploration import Explorer
from percepts.agents.cobra.slots import SlotState, as_images
from percepts.agents.cobra.transition import ActionNetwork
from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError

_TINY = 1e-12
_FEATURES = 64


class RecursiveBinPolicy(Explorer):
    """Chooses a cell of the action space level by level."""

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """The policy (all proposed).

        Attributes:
            levels: L.
            hidden: widths of the layers of g.
            anywhere: widths of the layers of g₀.
            temperature: τ. The smaller, the fewer transitions of a batch are learned from.
            entropy: η.
            largest_correction: to which 1/p is clipped.
            look: whether it also sees the picture; it then needs the key "image" in observations.
        """

        levels: int = 5
        hidden: tuple[int, ...] = (128, 128)
        anywhere: tuple[int, ...] = (64,)
        temperature: float = 1.0
        entropy: float = 0.01
        largest_correction: float = 10.0
        look: bool = False

        def __post_init__(self) -> None:
            if self.levels < 1 or not (self.hidden and self.anywhere) or min(*self.hidden, *self.anywhere) < 1:
                raise ConfigError("a policy without levels or layers", "1 or more of each")
            if min(self.temperature, self.largest_correction) <= 0 or self.entropy < 0:
                raise ConfigError(
                    f"temperature = {self.temperature}, largest_correction = {self.largest_correction}, "
                    f"entropy = {self.entropy}",
                    "positive numbers, and an entropy weight that is not negative",
                )

    config: Config
    learns = True

    def __init__(self, config: Config, latents: int, action: int = 4) -> None:
        super().__init__(config, latents, action)
        self.observes = ("image",) if config.look else ()
        self.slot = ActionNetwork((latents,), action + config.levels, config.hidden, 2**action)
        self.eye = _eye() if config.look else None
        seen = _FEATURES if config.look else 0
        self.anywhere = ActionNetwork((seen,), action + config.levels, config.anywhere, 2**action)
        self.register_buffer("powers", 2 ** torch.arange(action), persistent=False)

    powers: Tensor

    def path(
        self, action: Float[Tensor, "*batch action"]
    ) -> tuple[Int64[Tensor, "*batch levels"], Float[Tensor, "*batch levels action"]]:
        """The child that every level takes on the way to `action`, and the centre of the cell that it is a child of."""
        scale = 2 ** torch.arange(self.config.levels + 1, device=action.device)
        cell = (action[..., None, :] * scale[:, None]).floor().long()
        cell = torch.minimum(cell.clamp(min=0), scale[:, None] - 1)
        child = (cell[..., 1:, :] % 2 * self.powers).sum(-1)
        return child, (cell[..., :-1, :] + 0.5) / scale[:-1, None]

    def log_probabilities(
        self, state: SlotState, centre: Float[Tensor, "batch count action"], level: int, seen: Tensor | None
    ) -> Float[Tensor, "batch count children"]:
        """ln of the probability of every child of cells of one level.

        Args:
            centre: of the cells.
            level: from 0.
            seen: what `look` gives.
        """
        place = torch.zeros(self.config.levels, device=centre.device)
        place[level] = 1.0
        cell = torch.cat([centre, place.expand(*centre.shape[:2], -1)], -1)
        return self._log_probabilities(state, cell, seen)

    def _log_probabilities(self, state: SlotState, cell: Tensor, seen: Tensor | None) -> Tensor:
        anywhere = self.anywhere([] if seen is None else [seen[:, None]], cell)
        # Slots that do not count are left out: they would change nothing but the time it takes.
        row, slot = (state.weight > 0).nonzero(as_tuple=True)
        scores = self.slot([state.latents[row, slot][:, None]], cell[row])
        scores = scores + state.weight[row, slot].log()[:, None, None]
        slots = scores.new_full((*state.weight.shape, *anywhere.shape[1:]), -math.inf)
        slots = slots.index_put((row, slot), scores)
        return torch.cat([slots, anywhere[:, None]], 1).logsumexp(1).log_softmax(-1)

    def look(self, observation: Observation | None) -> Tensor | None:
        """What the convolutional network sees, [B, features]; None without one."""
        if self.eye is None:
            return None
        if observation is None or "image" not in observation:
            raise ConfigError("a policy that looks, without a picture", "the key 'image' in observations")
        return self.eye(as_images(observation["image"]).to(next(self.parameters()).device))

    def levels(
        self, state: SlotState, action: Float[Tensor, "batch action"], observation: Observation | None = None
    ) -> tuple[Float[Tensor, "batch levels"], Float[Tensor, "batch levels"]]:
        """ln of the probability of the child that each level takes, and the entropy of the level there."""
        child, centre = self.path(action)
        level = torch.eye(self.config.levels, device=action.device).expand(len(action), -1, -1)
        found = self._log_probabilities(state, torch.cat([centre, level], -1), self.look(observation))
        return found.gather(2, child[..., None])[..., 0], -(found * found.exp()).sum(2)

    def log_density(
        self, state: SlotState, action: Float[Tensor, "batch action"], observation: Observation | None = None
    ) -> Float[Tensor, " batch"]:
        """ln π(a | s); 0 everywhere for the uniform policy."""
        return self.levels(state, action, observation)[0].sum(1) + self._most

    @torch.no_grad()
    def density(
        self, state: SlotState, action: Float[Tensor, "batch action"], observation: Observation | None = None
    ) -> Float[Tensor, " batch"]:
        return self.log_density(state, action, observation).exp()

    @torch.no_grad()
    def propose(
        self, state: SlotState, count: int, generator: torch.Generator, observation: Observation | None = None
    ) -> Float[Tensor, "batch count action"]:
        device, levels = state.latents.device, self.config.levels
        draws = torch.rand(len(state), count, levels, generator=generator).to(device)
        inside = torch.rand(len(state), count, self.action, generator=generator).to(device)
        corner, size = torch.zeros(len(state), count, self.action, device=device), 1.0
        seen = self.look(observation)
        for level in range(levels):
            chances = self.log_probabilities(state, corner + size / 2, level, seen).exp().cumsum(-1)
            child = (chances <= draws[..., level, None] * chances[..., -1:]).sum(-1).clamp(max=chances.shape[-1] - 1)
            size /= 2
            corner = corner + size * (child[..., None] // self.powers % 2)
        return corner + size * inside

    def loss(
        self, state: SlotState, action: Tensor, error: Tensor, behaviour: Tensor, observation: Observation | None = None
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Weighted likelihood of surprising actions, and the entropy bonus; see the module's head."""
        chosen, entropies = self.levels(state, action, observation)
        spread = error.std(correction=0) * self.config.temperature
        correction = (1 / behaviour.clamp(min=_TINY)).clamp(max=self.config.largest_correction)
        weight = ((error - error.mean()) / (spread + _TINY) + correction.log()).softmax(0)
        entropy = entropies.sum(1).mean() - self._most
        loss = -(weight * (chosen.sum(1) + self._most)).sum() - self.config.entropy * entropy
        return loss, {"policy_loss": loss.detach(), "policy_entropy": entropy.detach()}

    @property
    def _most(self) -> float:
        """The entropy of all levels together where they are uniform."""
        return self.action * self.config.levels * math.log(2)


def _eye() -> nn.Module:
    """A small convolutional network for pictures of any size."""
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(32 * 16, _FEATURES), nn.ReLU())
