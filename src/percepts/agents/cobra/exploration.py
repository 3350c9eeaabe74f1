"""Where COBRA's actions come from while it explores, and later as proposals for planning.

    Uniform         anywhere: the baseline, 19 of 20 such clicks hit nothing
    RandomObject    inside of a random sprite, by the ground truth: the upper baseline
    CriticPolicy    one of several uniform candidates, by the error that a critic expects of the transition model
    RecursiveBinPolicy (`recursive_bins`)   a learned density over the action space, halved again and again

The authors learned a distribution over a quantised, recursively refined action space (recalled, unverified); the
default here is the critic, which is proposed and was tried first. All give actions in [0, 1]^A.

Shapes: B observations, K slots, D latents, A numbers an action, N proposals, M candidates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, Num
from torch import Tensor, nn

from percepts.agents.agent import Observation
from percepts.agents.cobra.slots import SlotState
from percepts.agents.cobra.transition import ActionNetwork
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError
from percepts.envs.spriteworld.state import FACTORS, SHAPES, body_of

_TINY = 1e-12


class Explorer(nn.Module, Configurable, ABC):
    """Proposes actions, and may learn which transitions surprise.

    Args:
        latents: D.
        action: A.

    Attributes:
        observes: keys of the observation that it needs beside the slots.
        learns: whether it has a loss.
    """

    observes: tuple[str, ...] = ()
    learns = False

    def __init__(self, config: BaseConfig, latents: int, action: int = 4) -> None:
        super().__init__()
        self.config = config
        self.latents, self.action = latents, action

    @property
    def device(self) -> torch.device:
        """Where its weights are; the CPU without any."""
        return next((parameter.device for parameter in self.parameters()), torch.device("cpu"))

    @abstractmethod
    def propose(
        self, state: SlotState, count: int, generator: torch.Generator, observation: Observation | None = None
    ) -> Float[Tensor, "batch count action"]:
        """N actions for every observation, each as likely as the policy has it.

        Args:
            state: the slots of the observations.
            count: N.
            generator: on the CPU, where all random numbers come from.
            observation: for policies that look at more than the slots.
        """

    def density(
        self, state: SlotState, action: Float[Tensor, "batch action"], observation: Observation | None = None
    ) -> Float[Tensor, " batch"]:
        """The density of the policy at these actions; 1 for policies that never need it."""
        return torch.ones(len(action), device=action.device)

    def loss(
        self, state: SlotState, action: Tensor, error: Tensor, behaviour: Tensor, observation: Observation | None = None
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """What an explorer that `learns` minimises, and named values to log.

        Args:
            state: the slots before the actions, [B].
            action: [B, A].
            error: how wrong the transition model is about them, compressed: log(1 + e / e₀), [B].
            behaviour: the density [B] with which the actions were chosen.
            observation: what was seen before the actions, for policies that look at more than the slots.
        """
        raise ConfigError(f"{type(self).__name__} learns nothing", "an explorer that learns", "CriticPolicy.Config()")


class Uniform(Explorer):
    """Actions anywhere."""

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """No settings."""

    def propose(
        self, state: SlotState, count: int, generator: torch.Generator, observation: Observation | None = None
    ) -> Float[Tensor, "batch count action"]:
        return torch.rand(len(state), count, self.action, generator=generator).to(state.latents.device)


class RandomObject(Explorer):
    """Clicks uniform inside of a random sprite, by the ground truth, with a uniform motion. A sprite that lies in
    front may catch the click.

    Where there are no sprites, anywhere.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """No settings."""

    observes = ("factors", "present")

    def propose(
        self, state: SlotState, count: int, generator: torch.Generator, observation: Observation | None = None
    ) -> Float[Tensor, "batch count action"]:
        if observation is None:
            raise ConfigError("RandomObject without an observation", "the keys 'factors' and 'present'")
        factors, present = observation["factors"], observation["present"]
        action = torch.rand(len(factors), count, self.action, generator=generator)
        draws = torch.rand(len(factors), count, 4, generator=generator).to(factors.device)
        action = action.to(factors.device)
        click = inside_of_sprites(factors, present, draws)
        action[..., :2] = torch.where(present.any(1)[:, None, None], click.to(action.dtype), action[..., :2])
        return action


def inside_of_sprites(
    factors: Float[Tensor, "batch sprites 10"], present: Tensor, draws: Float[Tensor, "batch count 4"]
) -> Float[Tensor, "batch count 2"]:
    """Points inside of random sprites and of the arena, uniform over sprites and over their areas; points beyond the
    border are drawn back to it, straight towards the sprite's centre. Of a shape that is not Spriteworld's, the centre.

    Args:
        factors: in the order of `FACTORS`.
        present: which sprites exist, bool [B, sprites].
        draws: uniform numbers that decide.
    """
    at = {name: place for place, name in enumerate(FACTORS)}
    sprite = _pick(present.to(draws.dtype)[:, None].expand(-1, draws.shape[1], -1), draws[..., 0])
    chosen = factors.double().gather(1, sprite[..., None].expand(-1, -1, len(FACTORS)))
    shape = chosen[..., at["shape"]].round().long() - 1
    corners = body_of(shape, chosen[..., at["angle"]], chosen[..., at["scale"]], tuple(SHAPES.values()))
    # Every outline is seen whole from its centre: triangles of the centre and each edge tile it.
    ends = corners.roll(-1, 2)
    areas = (corners[..., 0] * ends[..., 1] - corners[..., 1] * ends[..., 0]).abs()
    edge = _pick(areas.to(draws.dtype), draws[..., 1])[..., None, None].expand(-1, -1, 1, 2)
    start, end = corners.gather(2, edge)[:, :, 0], ends.gather(2, edge)[:, :, 0]
    reach, along = draws[..., 2:3].double().sqrt(), draws[..., 3:].double()
    centre = chosen[..., [at["x"], at["y"]]]
    known = (shape < len(SHAPES))[..., None]
    away = known * reach * ((1 - along) * start + along * end)
    room = torch.where(away > 0, (1 - centre) / away, -centre / away).nan_to_num(1.0).clamp(0, 1).amin(-1, keepdim=True)
    return (centre + room * away).clamp(0, 1).to(draws.dtype)


class CriticPolicy(Explorer):
    """A critic c(s, a) = Σ_k w_k g(z_k, a) of the error to come; of M uniform candidates one is taken with
    probability ∝ exp((c − max c) / (τ·std c)).

    Several proposals come from one larger set of candidates, without taking any twice.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """The critic and how it chooses (all proposed).

        Attributes:
            hidden: widths of the layers of g.
            candidates: M.
            temperature: τ. Below 0.3 the policy may fall for one sprite or corner.
            crowd: candidates for every proposal, where several are asked for.
        """

        hidden: tuple[int, ...] = (128, 128)
        candidates: int = 64
        temperature: float = 0.3
        crowd: int = 4

        def __post_init__(self) -> None:
            if not self.hidden or min(*self.hidden, self.candidates, self.crowd) < 1:
                raise ConfigError("a critic without layers or candidates", "1 or more of each")
            if self.temperature <= 0:
                raise ConfigError(f"temperature = {self.temperature}", "a positive number")

    config: Config
    learns = True

    def __init__(self, config: Config, latents: int, action: int = 4) -> None:
        super().__init__(config, latents, action)
        self.critic = ActionNetwork((latents,), action, config.hidden, 1)

    def value(self, state: SlotState, action: Float[Tensor, "batch *count action"]) -> Float[Tensor, "batch *count"]:
        """The expected error of one or of several actions in every state."""
        latents, weight = state.latents, state.weight
        if action.ndim == 3:
            latents, weight = latents[:, None], weight[:, None]
        return (self.critic([latents], action[..., None, :])[..., 0] * weight).sum(-1)

    @torch.no_grad()
    def propose(
        self, state: SlotState, count: int, generator: torch.Generator, observation: Observation | None = None
    ) -> Float[Tensor, "batch count action"]:
        size = max(self.config.candidates, self.config.crowd * count if count > 1 else 0)
        candidates = torch.rand(len(state), size, self.action, generator=generator)
        gumbel = torch.rand(len(state), size, generator=generator).clamp(min=_TINY).log().neg().log().neg()
        candidates, gumbel = candidates.to(state.latents.device), gumbel.to(state.latents.device)
        value = self.value(state, candidates)
        spread = value.std(1, keepdim=True) if size > 1 else torch.ones_like(value)
        logits = (value - value.amax(1, keepdim=True)) / (self.config.temperature * spread + _TINY)
        best = (logits + gumbel).topk(count, 1).indices
        return candidates.gather(1, best[..., None].expand(-1, -1, self.action))

    def loss(
        self, state: SlotState, action: Tensor, error: Tensor, behaviour: Tensor, observation: Observation | None = None
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Squared difference of the critic and the compressed error."""
        value = self.value(state, action)
        loss = (value - error).square().mean()
        explained = 1 - loss.detach() / error.var(correction=0).clamp(min=_TINY)
        return loss, {"critic_loss": loss.detach(), "critic_explained": explained}


def click_entropy(counts: Num[Tensor, "rows columns"]) -> float:
    """The entropy of a histogram of clicks in nats; ln(rows · columns) where they are spread evenly, 0 without any."""
    share = counts.double() / counts.sum().clamp(min=1)
    return float(-(share * share.clamp(min=_TINY).log()).sum()) + 0.0


def click_histogram(action: Float[Tensor, "*batch action"], side: int = 8) -> Int64[Tensor, "rows columns"]:
    """How many clicks lie in each of side × side equal squares; rows go up with y."""
    cell = (action[..., :2] * side).floor().long().clamp(0, side - 1)
    number = (cell[..., 1] * side + cell[..., 0]).flatten()
    return torch.bincount(number, minlength=side * side).view(side, side)


def _pick(weights: Float[Tensor, "*batch choices"], draw: Float[Tensor, "*batch"]) -> Tensor:
    """A choice ∝ weights for uniform draws; the first one where all weights are 0."""
    total = weights.cumsum(-1)
    found = (total <= (draw * total[..., -1])[..., None]).sum(-1)
    return found.clamp(max=weights.shape[-1] - 1)
