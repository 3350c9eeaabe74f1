"""What the parts of an arena share: tasks, action spaces and physics are values that pick sprites by their factors."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from percepts.core.config import Config
from percepts.core.errors import ConfigError, nearest
from percepts.data.distributions import Distribution
from percepts.envs.spriteworld.state import FACTORS, Sprites


@dataclass(frozen=True, kw_only=True)
class ArenaPart(Config, ABC):
    """A part of an arena that comes in several kinds; the user's own are subclasses."""

    def __new__(cls, *_: object, **__: object) -> Self:
        # A configuration that is read may name the base class, which cannot be built.
        if cls.__abstractmethods__:
            raise ConfigError(f"{cls.__name__} is only the base of its kinds", "one of its subclasses")
        return super().__new__(cls)


def check_filter(where: str, distribution: Distribution | None) -> None:
    """Make sure that a filter speaks of factors that sprites have.

    Raises:
        ConfigError: it does not; the message calls it `where` and names the nearest factor.
    """
    for name in () if distribution is None else distribution.names:
        if name not in FACTORS:
            close = nearest(name, FACTORS)
            hint = f", did you mean '{close}'?" if close else ""
            raise ConfigError(
                f"{where} speaks of '{name}', which sprites do not have{hint}", "one of " + ", ".join(FACTORS)
            )


_HELD_BY = {"x": "position", "y": "position", "x_vel": "velocity", "y_vel": "velocity"}
_HELD_BY |= dict.fromkeys(("c0", "c1", "c2"), "colour")
"""The attributes of sprites that hold factors of other names."""


def matching(distribution: Distribution | None, sprites: Sprites) -> Bool[Tensor, "batch sprites"]:
    """The present sprites whose stored factors, in float64, the distribution contains; all of them for None."""
    if distribution is None:
        return sprites.present
    held = (getattr(sprites, _HELD_BY.get(name, name)) for name in distribution.names)
    # By identity: to hash a distribution takes longer than the rest.
    name, inputs = ("matching", id(distribution)), (distribution, sprites.present, *held)
    return sprites.memo.of(name, inputs, lambda: _contained(distribution, sprites))


def _contained(distribution: Distribution, sprites: Sprites) -> Bool[Tensor, "batch sprites"]:
    factors = {name: factor(sprites, name).flatten() for name in distribution.names}
    return distribution.contains(factors).view(sprites.present.shape) & sprites.present


def factor(sprites: Sprites, name: str) -> Float64[Tensor, "batch sprites"]:
    """One of the `FACTORS` of all sprites, arbitrary for absent ones."""
    place = FACTORS.index(name)
    if name == "shape":
        return (sprites.shape + 1).double()
    if name in ("angle", "scale"):
        return getattr(sprites, name)
    if name in ("x", "y"):
        return sprites.position[..., place]
    if name in ("c0", "c1", "c2"):
        return sprites.colour[..., place - FACTORS.index("c0")]
    return sprites.velocity[..., place - FACTORS.index("x_vel")]


def in_order(values: Float[Tensor, "*shape last"]) -> Float[Tensor, "*shape"]:
    """The sum over the last dimension, added up from the first to the last.

    `torch.sum` may add in another order for another batch size; an arena must not depend on its neighbours.
    """
    if values.device.type == "cpu" and values.dtype == torch.float64 and values.shape[-1] > 1:
        # On CPUs a running sum goes in order, too.
        return values.cumsum(-1)[..., -1]
    total = values.new_zeros(values.shape[:-1])
    for part in values.unbind(-1):
        total = total + part
    return total


def length(vectors: Float64[Tensor, "*shape 2"]) -> Float64[Tensor, "*shape"]:
    """Euclidean lengths, the same bits for any batch size."""
    x, y = vectors.unbind(-1)
    return torch.sqrt(x * x + y * y)
