"""A sprite as the original Spriteworld 1.0.2 has it (Watters et al. 2019), in NumPy: float32 places, mutable, one at a
time. The arithmetic follows the original operation by operation, so that corners are the same to the bit."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from percepts.core.errors import DataError
from percepts.envs.spriteworld.state import FACTORS, SHAPES

Number = int | float | np.float32
"""Drawn numbers are np.float32, chosen ones are Python's."""
Point = Float[np.ndarray, "2"]

_MOST_TRIES = 1_000_000


class CompatDataError(DataError, ValueError):
    """Where the original raises a ValueError."""


class CompatZeroDivisionError(DataError, ZeroDivisionError):
    """Where the original raises a ZeroDivisionError."""


class CompatSprite:
    """One sprite.

    Args:
        factors: numbers by the names of `FACTORS`; missing ones are the original's defaults. "shape" is a number from
            1. Places keep the type of their numbers: float32 if both were drawn, float64 for Python's floats. Whole
            numbers give a sprite that cannot be moved (numpy's UFuncTypeError), as in the original.
        scale_setter_bug: setting the scale multiplies the outline by (new - old), as the original does, instead of by
            new / old.

    Raises:
        DataError: a factor that sprites do not have, or no shape of that number.
    """

    def __init__(self, factors: Mapping[str, Number], scale_setter_bug: bool = True) -> None:
        unknown = set(factors) - set(FACTORS)
        if unknown:
            raise DataError(f"a sprite with {', '.join(sorted(unknown))}", "some of " + ", ".join(FACTORS))
        values = {**_DEFAULTS, **factors}
        self.position: NDArray = np.array([values["x"], values["y"]])
        self.colour = (values["c0"], values["c1"], values["c2"])
        self.velocity = (values["x_vel"], values["y_vel"])
        self.scale_setter_bug = scale_setter_bug
        self._shape, self._angle, self._scale = int(values["shape"]), values["angle"], values["scale"]
        self._reset_outline()

    @property
    def factors(self) -> dict[str, Number]:
        """All ten, in the order of `FACTORS`."""
        own = (*self.position, self._shape, self._angle, self._scale, *self.colour, *self.velocity)
        return dict(zip(FACTORS, own))

    @property
    def outline(self) -> Float[np.ndarray, "corners 2"]:
        """The corners relative to the position."""
        return self._outline

    @property
    def corners(self) -> Float[np.ndarray, "corners 2"]:
        """The corners in the arena."""
        return self._outline + self.position.astype(np.float64)

    @property
    def out_of_frame(self) -> bool:
        """Whether the centre lies outside of the closed unit square."""
        return not bool(((self.position >= 0) & (self.position <= 1)).all())

    def move(self, by: object, keep_in_frame: bool = False) -> None:
        """Displace it; with `keep_in_frame` its centre stays in the unit square."""
        self.position += by  # type: ignore[arg-type]
        if keep_in_frame:
            self.position = self.position.clip(0.0, 1.0)

    def contains(self, point: Point) -> bool:
        """Whether the point lies inside, by the crossing-number rule in matplotlib's arithmetic."""
        x, y = point - self.position
        if abs(x) > self._radius or abs(y) > self._radius:
            return False
        above = self._outline[:, 1] >= y
        crossed = np.flatnonzero(above != above[self._next])
        (start_x, start_y), (end_x, end_y) = self._outline[crossed].T, self._outline[self._next[crossed]].T
        right = (end_y - y) * (start_x - end_x) >= (end_x - x) * (start_y - end_y)
        return bool((right == ~above[crossed]).sum() % 2)

    def sample_inside(self, rng: np.random.RandomState) -> Point:
        """A point uniform in the sprite, by rejection from its bounding box.

        Raises:
            CompatDataError: nothing is found in a million tries.
        """
        for _ in range(_MOST_TRIES):
            point = self.position + rng.uniform(self._low, self._high)
            if self.contains(point):
                return point
        raise CompatDataError("no point inside of a sprite", "a sprite with an area")

    @property
    def shape(self) -> int:
        """The number of the shape, from 1."""
        return self._shape

    @shape.setter
    def shape(self, shape: int) -> None:
        self._shape = shape
        self._reset_outline()

    @property
    def angle(self) -> Number:
        """In degrees, counter-clockwise."""
        return self._angle

    @angle.setter
    def angle(self, angle: Number) -> None:
        self._set_outline(_affine(self._outline, 1.0, angle - self._angle))  # type: ignore[operator]
        self._angle = angle

    @property
    def scale(self) -> Number:
        """Of the unit shape."""
        return self._scale

    @scale.setter
    def scale(self, scale: Number) -> None:
        factor = scale - self._scale if self.scale_setter_bug else scale / self._scale  # type: ignore[operator]
        self._set_outline(_affine(self._outline, factor, 0.0))
        self._scale = scale

    def _reset_outline(self) -> None:
        self._set_outline(_affine(unit_shape(self._shape), self._scale, self._angle))

    def _set_outline(self, outline: NDArray[np.float64]) -> None:
        self._outline = outline
        self._next = np.roll(np.arange(len(outline)), -1)
        self._low, self._high = outline.min(0), outline.max(0)
        self._radius = 1.001 * np.abs(outline).max()  # Well beyond rounding: the corners themselves decide.


_DEFAULTS: dict[str, Number] = {
    "x": 0.5, "y": 0.5, "shape": 2, "angle": 0, "scale": 0.1, "c0": 0, "c1": 0, "c2": 0, "x_vel": 0.0, "y_vel": 0.0
}  # fmt: skip


@functools.cache
def unit_shape(number: int) -> NDArray[np.float64]:
    """The corners of shape `number`, [V, 2].

    Raises:
        DataError: there is none.
    """
    if not 1 <= number <= len(SHAPES):
        raise DataError(f"shape {number}", f"1 to {len(SHAPES)}")
    name = list(SHAPES)[number - 1]
    return _spoke_6() if name == "spoke_6" else SHAPES[name].array


def _spoke_6() -> NDArray[np.float64]:
    """The one shape whose corners the original rounds otherwise than `rendering.shapes`: it has the directions between
    two spokes from the number of the spoke before."""
    step = 2 * math.pi / 6
    angles = np.arange(6) * step, (np.arange(-1, 6) + 0.5) * step
    inner, between = (np.stack([np.cos(angle), np.sin(angle)], 1) for angle in angles)
    outline = np.stack([between[:-1] + inner, inner, between[1:] + inner], 1).reshape(-1, 2)
    return outline / math.sqrt(6 * math.sin(step / 2) * (2 + math.cos(step / 2)))


def _affine(points: NDArray[np.float64], scale: Number, degrees: Number) -> NDArray[np.float64]:
    """Points scaled and turned, rounded as matplotlib's transformations round."""
    radians = math.radians(float(degrees))
    cos, sin = math.cos(radians) * float(scale), math.sin(radians) * float(scale)
    x, y = points.T
    return np.stack([x * cos + y * -sin, x * sin + y * cos], 1)
