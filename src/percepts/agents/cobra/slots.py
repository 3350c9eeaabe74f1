"""What COBRA sees (Watters et al. 2019): an observation as a set of slots, one vector an object.

A `SlotEncoder` makes the slots. `OracleFactors` needs no vision, as it reads the true factors of the sprites;
`JoinedFactors` has the same factors without objects, in one vector; `slot_models` has the encoders that look at
pictures.

Shapes: B observations, K slots, D latents of a slot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.agents.agent import Observation
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import CapabilityError, ConfigError, DataError, nearest
from percepts.core.random import torch_generator
from percepts.envs.spriteworld.state import FACTORS, SHAPES

FULL_SHARE = 0.005
"""A slot with this share of the image, or more, counts in full (proposed; the paper's rule is unknown)."""


@dataclass(frozen=True)
class SlotState:
    """B observations as sets of K slots.

    Attributes:
        latents: of the slots, in any order; those of weight 0 may hold anything.
        weight: in [0, 1], how far a slot counts; 0 = empty or background.
    """

    latents: Float[Tensor, "batch slots latents"]
    weight: Float[Tensor, "batch slots"]

    def __len__(self) -> int:
        return len(self.latents)

    def rows(self, index: Any) -> SlotState:
        """Some of the observations, by anything that indexes a tensor."""
        return SlotState(self.latents[index], self.weight[index])

    def put(self, index: Any, others: SlotState) -> SlotState:
        """A copy with the observations at `index` replaced."""
        latents, weight = self.latents.clone(), self.weight.clone()
        latents[index], weight[index] = others.latents, others.weight
        return SlotState(latents, weight)

    def to(self, device: torch.device | str) -> SlotState:
        """On another device."""
        return SlotState(self.latents.to(device), self.weight.to(device))


@runtime_checkable
class SlotEncoder(Protocol):
    """Makes slots of observations. What it makes of one does not depend on the others of the batch.

    Attributes:
        slots: K; None: as many as the observation has objects.
        latents: D.
        observes: the keys of the observation that it needs.
    """

    @property
    def slots(self) -> int | None: ...

    @property
    def latents(self) -> int: ...

    @property
    def observes(self) -> tuple[str, ...]: ...

    def encode(self, observation: Observation) -> SlotState:
        """The slots, without gradients."""

    def decode(self, latents: Float[Tensor, "batch slots latents"]) -> Float[Tensor, "batch 3 height width"]:
        """The image in [0, 1] that the latents give; gradients flow through it.

        Raises:
            CapabilityError: this encoder cannot draw.
        """


class OracleFactors(Configurable):
    """Perfect vision: a slot is a sprite and its latents are the true factors.

    The latents are x and y in the arena; what stands for the shape; cosine and sine of the hue; saturation and value;
    and the `extra` factors. Slot n is sprite n, so slots keep their places from step to step.

    Raises:
        ConfigError: unknown shapes or factors, or an embedding too small.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """What the latents are.

        Attributes:
            shape: "one_hot"; "hidden"; or "embedding", fixed random orthogonal unit vectors, so that a shape which
                was never rewarded does not come in through weights that were never trained.
            shapes: that are told apart; any other one is all zeros.
            embedding_size: of "embedding".
            embedding_seed: of "embedding".
            extra: further factors by name, as they are; "depth" is the sprite's place from the back in [0, 1].
            slots: empty slots fill up to so many; None: as many as sprites.
        """

        shape: Literal["one_hot", "hidden", "embedding"] = "one_hot"
        shapes: tuple[str, ...] = ("triangle", "square", "circle")
        embedding_size: int = 8
        embedding_seed: int = 0
        extra: tuple[str, ...] = ()
        slots: int | None = None

        def __post_init__(self) -> None:
            known = {"shape": (self.shapes, SHAPES), "factor": (self.extra, (*FACTORS, "depth"))}
            for kind, (names, choices) in known.items():
                for name in names:
                    if name not in choices:
                        close = nearest(name, choices)
                        raise ConfigError(
                            f"unknown {kind} '{name}'" + (f", did you mean '{close}'?" if close else ""),
                            "one of " + ", ".join(choices),
                        )
            if self.shape == "embedding" and self.embedding_size < len(self.shapes):
                raise ConfigError(
                    f"embedding_size = {self.embedding_size}", f"{len(self.shapes)} or more, one for every shape"
                )

    config: Config
    observes = ("factors", "present")

    def __init__(self, config: Config) -> None:
        self.config = config
        self.slots = config.slots
        self._codes = _shape_codes(config)
        self.latents = 6 + self._codes.shape[1] + len(config.extra)

    @torch.no_grad()
    def encode(self, observation: Observation) -> SlotState:
        """The sprites' factors; absent sprites are empty slots.

        Raises:
            DataError: more sprites than slots.
        """
        factors, present = observation["factors"].float(), observation["present"]
        named = dict(zip(FACTORS, factors.unbind(-1)))
        place = torch.arange(factors.shape[1], device=factors.device) / max(1, factors.shape[1] - 1)
        named["depth"] = place.to(factors.dtype).expand_as(named["x"])
        turn = 2 * torch.pi * named["c0"]
        columns = [named["x"], named["y"], turn.cos(), turn.sin(), named["c1"], named["c2"]]
        columns += [named[name] for name in self.config.extra]
        code = self._codes.to(factors.device)[(named["shape"].round().long()).clamp(0, len(SHAPES))]
        latents = torch.cat([torch.stack(columns, -1), code], -1) * present[..., None]
        return _filled_up(SlotState(latents, present.to(latents.dtype)), self.slots)

    def decode(self, latents: Float[Tensor, "batch slots latents"]) -> Float[Tensor, "batch 3 height width"]:
        """Not possible: factors are no picture."""
        raise CapabilityError(
            "OracleFactors cannot draw slots",
            "an encoder with a decoder",
            "the transition loss 'aligned' or 'hungarian'",
        )


class JoinedFactors(Configurable):
    """The true factors of all sprites in one vector: what `OracleFactors` knows, without objects.

    Sprite n, in the arena's order, has the latents from n · D on, where D is what `OracleFactors` has of one sprite;
    those of absent sprites are 0. The vector is the only slot and has weight 1, so a transition model or a reward
    predictor of slots becomes one of whole scenes.

    Raises:
        ConfigError: unknown shapes or factors, an embedding too small, or no places for sprites.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(OracleFactors.Config):
        """What the latents of a sprite are, and `slots`: how many sprites there is a place for."""

        slots: int | None = 6

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.slots is None or self.slots < 1:
                raise ConfigError(f"slots = {self.slots} in one vector", "places for one sprite or more")

        def columns(self, numbers: tuple[int, ...]) -> tuple[int, ...]:
            """Where these latents are of every sprite, sprite after sprite."""
            size = OracleFactors(self).latents
            return tuple(sprite * size + number for sprite in range(self.slots or 0) for number in numbers)

    config: Config
    slots = 1
    observes = OracleFactors.observes

    def __init__(self, config: Config) -> None:
        self.config = config
        self._sprites = OracleFactors(config)
        self.latents = (config.slots or 0) * self._sprites.latents

    @torch.no_grad()
    def encode(self, observation: Observation) -> SlotState:
        """All sprites' factors, one after the other.

        Raises:
            DataError: more sprites than places.
        """
        joined = self._sprites.encode(observation).latents.flatten(1)
        return SlotState(joined[:, None], joined.new_ones(len(joined), 1))

    def decode(self, latents: Float[Tensor, "batch slots latents"]) -> Float[Tensor, "batch 3 height width"]:
        """Not possible: factors are no picture."""
        return self._sprites.decode(latents)


def _shape_codes(config: OracleFactors.Config) -> Tensor:
    """What stands for the shape of each number, [13, width]; zeros for those that are not told apart."""
    numbers = [list(SHAPES).index(name) + 1 for name in config.shapes]
    if config.shape == "hidden":
        return torch.zeros(len(SHAPES) + 1, 0)
    vectors = torch.eye(len(numbers))
    if config.shape == "embedding":
        generator = torch_generator(config.embedding_seed, "shape embedding")
        square = torch.randn(config.embedding_size, config.embedding_size, generator=generator, dtype=torch.float64)
        vectors = torch.linalg.qr(square).Q[: len(numbers)].float()
    codes = torch.zeros(len(SHAPES) + 1, vectors.shape[1])
    codes[numbers] = vectors
    return codes


def _filled_up(state: SlotState, slots: int | None) -> SlotState:
    batch, found, latents = state.latents.shape
    if slots is None or slots == found:
        return state
    if found > slots:
        raise DataError(f"arenas of up to {found} sprites", f"at most slots = {slots}", f"slots = {found}")
    empty = state.latents.new_zeros(batch, slots - found, latents)
    return SlotState(torch.cat([state.latents, empty], 1), torch.cat([state.weight, empty[..., 0]], 1))


def as_images(image: Tensor) -> Float[Tensor, "batch channels height width"]:
    """The pictures of an observation, uint8 [B,H,W,C] or float [B,C,H,W] in [0, 1], as a model sees them."""
    if image.dtype == torch.uint8:
        image = image.movedim(-1, 1).float() / 255
    return image
