"""What a model-free learner sees of Spriteworld: one array for each arena, made of an observation.

    view = view_of("slots", cobra_task("sorting"), encoder=OracleFactors.Config().build())
    view.of({"factors": factors, "present": present})        # [B, K * D + K]

    factors   the ten factors of every sprite, 0 for absent ones, then which sprites are present
    slots     the latents of a frozen slot encoder times their weights, then the weights
    pixels    the picture, channels first, as bytes

Shapes: B arenas, N sprites, K slots of D latents.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Num, UInt8
from torch import Tensor

from percepts.agents.agent import Observation
from percepts.agents.cobra.slots import SlotEncoder
from percepts.core.errors import CapabilityError, ConfigError, DataError
from percepts.core.optional import require_package
from percepts.envs.spriteworld.configs import SpriteworldConfig
from percepts.envs.spriteworld.state import FACTORS, SHAPES

if TYPE_CHECKING:
    from gymnasium import spaces

Sees = Literal["factors", "slots", "pixels"]

LEAST_PICTURE = 36
"""Pixels along a side, below which nothing is left after the three convolutions of stable-baselines3's network."""


class View(ABC):
    """A way to see arenas.

    Attributes:
        observes: the keys of the observation that it needs.
        shape: of what it makes of one arena.
    """

    observes: tuple[str, ...]
    shape: tuple[int, ...]

    @abstractmethod
    def of(self, observation: Observation) -> Num[Tensor, "batch *shape"]:
        """What is seen of B arenas, on the CPU.

        Raises:
            CapabilityError: the observation lacks a key.
            DataError: it does not fit the view.
        """

    @property
    def space(self) -> spaces.Box:
        """The Gymnasium space of one arena's array."""
        return _spaces().Box(-np.inf, np.inf, self.shape, np.float32)


class FactorsView(View):
    """The truth: N times ten factors in the order of `FACTORS`, then N flags of presence.

    All numbers are of order 1: the number of the shape is divided by 12, the angle by 360, colours of the kind "rgb" by
    255. Places without a sprite are 0.

    Args:
        places: N.
        colours: what c0 to c2 are, as of `Observer`.
    """

    observes = ("factors", "present")

    def __init__(self, places: int, colours: str = "hsv") -> None:
        self.places = places
        self.shape = (places * (len(FACTORS) + 1),)
        unit = dict.fromkeys(FACTORS, 1.0) | {"shape": float(len(SHAPES)), "angle": 360.0}
        if colours == "rgb":
            unit |= dict.fromkeys(("c0", "c1", "c2"), 255.0)
        self._units = torch.tensor([unit[name] for name in FACTORS])

    def of(self, observation: Observation) -> Float[Tensor, "batch size"]:
        """The factors and flags; see `View.of`."""
        _check_keys(self.observes, observation)
        factors, present = observation["factors"].cpu().float(), observation["present"].cpu().bool()
        scaled = torch.where(present[..., None], factors / self._units, 0.0)
        return torch.cat([_filled(scaled, self.places).flatten(1), _filled(present.float(), self.places)], 1)


class SlotsView(View):
    """What a frozen encoder makes of the arenas: K times D latents, each times its slot's weight, then K weights.

    The weights keep what empty slots hold, which means nothing, out of sight.

    Args:
        encoder: is not changed.
        places: K, where the encoder makes as many slots as there are sprites; fewer are filled up with empty ones.
    """

    def __init__(self, encoder: SlotEncoder, places: int) -> None:
        self.encoder = encoder
        self.observes = encoder.observes
        self.places = encoder.slots or places
        self.shape = (self.places * (encoder.latents + 1),)

    def of(self, observation: Observation) -> Float[Tensor, "batch size"]:
        """The latents and weights; see `View.of`."""
        _check_keys(self.observes, observation)
        with torch.no_grad():
            slots = self.encoder.encode(observation).to("cpu")
        weight = slots.weight.float()
        # Not only a product: what slots of weight 0 hold may be NaN.
        latents = torch.where(weight[..., None] > 0, slots.latents.float() * weight[..., None], 0.0)
        return torch.cat([_filled(latents, self.places).flatten(1), _filled(weight, self.places)], 1)


class PixelsView(View):
    """The picture as bytes, channels first.

    Args:
        height, width: of the pictures.

    Raises:
        ConfigError: pictures smaller than the convolutions.
    """

    observes = ("image",)

    def __init__(self, height: int, width: int) -> None:
        if min(height, width) < LEAST_PICTURE:
            raise ConfigError(f"pictures of {height} x {width} for convolutions", f"{LEAST_PICTURE} pixels or more")
        self.shape = (3, height, width)

    @property
    def space(self) -> spaces.Box:
        """The Gymnasium space of a picture."""
        return _spaces().Box(0, 255, self.shape, np.uint8)

    def of(self, observation: Observation) -> UInt8[Tensor, "batch 3 height width"]:
        """The pictures; see `View.of`."""
        _check_keys(self.observes, observation)
        image = observation["image"].cpu()
        image = image.movedim(-1, 1) if image.dtype == torch.uint8 else (image * 255).round().to(torch.uint8)
        if tuple(image.shape[1:]) != self.shape:
            raise DataError(f"pictures of shape {tuple(image.shape[1:])}", f"{self.shape}, as in training")
        return image.contiguous()


def view_of(
    sees: Sees, world: SpriteworldConfig, places: int | None = None, encoder: SlotEncoder | None = None
) -> View:
    """The view of a world.

    Args:
        sees: its kind.
        world: what is seen.
        places: for sprites; None for as many as the world's scenes have at most.
        encoder: for "slots".

    Raises:
        ConfigError: "slots" without an encoder, an encoder without "slots", or pictures that are too small.
    """
    if (sees == "slots") != (encoder is not None):
        raise ConfigError(
            "slots without an encoder" if encoder is None else f"an encoder of slots where the learner sees {sees}",
            "an encoder where, and only where, sees = 'slots'",
            "encoder=OracleFactors.Config().build()" if encoder is None else "sees = 'slots'",
        )
    observer = world.observer
    if sees == "pixels":
        return PixelsView(observer.height, observer.width)
    most = places or observer.places(world.arena.generator.most)
    return FactorsView(most, observer.colours) if encoder is None else SlotsView(encoder, most)


def _filled(values: Tensor, places: int) -> Tensor:
    """Zeros appended to dimension 1."""
    batch, found, *rest = values.shape
    if found > places:
        raise DataError(f"scenes of up to {found} sprites", f"at most {places}, as in training", f"places = {found}")
    return torch.cat([values, values.new_zeros(batch, places - found, *rest)], 1)


def _check_keys(needed: tuple[str, ...], observation: Observation) -> None:
    for key in needed:
        if key not in observation:
            raise CapabilityError(f"an observation of {', '.join(observation) or 'nothing'}", f"the key '{key}'")


def _spaces() -> Any:
    return require_package("gymnasium", "envs").spaces
