"""Unit shapes: what a sprite looks like at scale 1, unrotated, centred on the origin, with y pointing up.

A shape is a simple polygon (convex or not) or an ellipse, which is drawn analytically. Multiply by a sprite's scale,
rotate, translate: that is all that the rasteriser does with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from percepts.core.errors import DataError, nearest


@dataclass(frozen=True)
class Polygon:
    """A simple polygon.

    Attributes:
        vertices: corners (x, y) in order along the outline, y up; at least three.

    Raises:
        DataError: fewer than three corners, or one that is not finite.
    """

    vertices: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        points = np.asarray(self.vertices, dtype=np.float64)
        if points.ndim != 2 or points.shape[1:] != (2,) or len(points) < 3:
            raise DataError(f"a polygon of shape {points.shape}", "at least three corners (x, y)")
        if not np.isfinite(points).all():
            raise DataError("a polygon with a corner that is not finite", "finite corners (x, y)")

    @property
    def array(self) -> NDArray[np.float64]:
        """The corners as float64 [V, 2]."""
        return np.asarray(self.vertices, dtype=np.float64)

    @property
    def signed_area(self) -> float:
        """The enclosed area (shoelace formula), negative if the corners run clockwise."""
        x, y = self.array.T
        return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2

    @property
    def area(self) -> float:
        """The enclosed area."""
        return abs(self.signed_area)

    @property
    def radius(self) -> float:
        """The largest distance of an outline point from the origin."""
        return float(np.hypot(*self.array.T).max())


@dataclass(frozen=True)
class Ellipse:
    """An ellipse with its axes along x and y.

    Attributes:
        semi_x: half its width.
        semi_y: half its height.

    Raises:
        DataError: a semi-axis that is not positive and finite.
    """

    semi_x: float = 1.0
    semi_y: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.semi_x < math.inf and 0 < self.semi_y < math.inf):
            raise DataError(f"an ellipse with semi-axes {self.semi_x} and {self.semi_y}", "positive, finite semi-axes")

    @property
    def area(self) -> float:
        """The enclosed area."""
        return math.pi * self.semi_x * self.semi_y

    @property
    def radius(self) -> float:
        """The largest distance of an outline point from the origin."""
        return max(self.semi_x, self.semi_y)


Shape = Polygon | Ellipse


def square(side: float = 1.0) -> Polygon:
    """An axis-aligned square."""
    half = side / 2
    return Polygon(((half, half), (-half, half), (-half, -half), (half, -half)))


def heart(width: float = 1.0, vertices: int = 48) -> Polygon:
    """The classic heart curve x = 16 sin³t, y = 13 cos t − 5 cos 2t − 2 cos 3t − cos 4t, upright, as a polygon.

    Args:
        width: its extent along x; the origin is the middle of its bounding box.
        vertices: how many points of the curve are corners.
    """
    t = np.arange(vertices) * (2 * math.pi / vertices) + math.pi / vertices
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    points = np.stack([x, y], axis=1)
    low, high = points.min(axis=0), points.max(axis=0)
    return _polygon((points - (low + high) / 2) * (width / (high[0] - low[0])))


def regular(sides: int, start: float = 0.0) -> Polygon:
    """A regular polygon of area 1 whose first corner lies at angle `start` (radians, counter-clockwise from +x)."""
    half = math.pi / sides
    return _polygon(_directions(sides, start) / math.sqrt(sides * math.sin(half) * math.cos(half)))


def star(points: int, height: float = 1.0, start: float = 0.0) -> Polygon:
    """A star of area 1: a regular polygon with a tip `1 + height` times as far out between every two corners."""
    step = 2 * math.pi / points
    outline = np.empty((2 * points, 2))
    outline[0::2] = _directions(points, start)
    outline[1::2] = (1 + height) * _directions(points, start + step / 2)
    return _polygon(outline / math.sqrt((1 + height) * points * math.sin(step / 2)))


def spokes(arms: int, start: float = 0.0) -> Polygon:
    """Arms of parallel sides around a centre, area 1. The inner corners lie at angle `start` and evenly on."""
    step = 2 * math.pi / arms
    inner = _directions(arms, start)
    before, after = _directions(arms, start - step / 2), _directions(arms, start + step / 2)
    outline = np.stack([inner + before, inner, inner + after], axis=1).reshape(-1, 2)
    return _polygon(outline / math.sqrt(arms * math.sin(step / 2) * (2 + math.cos(step / 2))))


def spriteworld_shapes() -> dict[str, Polygon]:
    """The twelve shapes of Spriteworld (Watters et al. 2019), each of area 1, in the order of their numbers 1 to 12."""
    slanted = math.pi + math.pi / 10
    return {
        "triangle": regular(3, math.pi / 2),
        "square": regular(4, math.pi / 4),
        "pentagon": regular(5, math.pi / 2),
        "hexagon": regular(6),
        "octagon": regular(8),
        "circle": regular(30),
        "star_4": star(4, start=math.pi / 4),
        "star_5": star(5, start=slanted),
        "star_6": star(6),
        "spoke_4": spokes(4, start=math.pi / 4),
        "spoke_5": spokes(5, start=slanted),
        "spoke_6": spokes(6),
    }


def named_shape(name: str) -> Shape:
    """The shape called `name`, of area 1: "ellipse" (twice as wide as high), "disc", "heart" or a Spriteworld shape.

    Raises:
        DataError: no shape has that name; the message gives the nearest.
    """
    shapes: dict[str, Shape] = {
        "disc": Ellipse(1 / math.sqrt(math.pi), 1 / math.sqrt(math.pi)),
        "ellipse": Ellipse(math.sqrt(2 / math.pi), math.sqrt(0.5 / math.pi)),
        "heart": heart(1 / math.sqrt(heart().area)),
        **spriteworld_shapes(),
    }
    if name not in shapes:
        close = nearest(name, shapes)
        hint = f", did you mean '{close}'?" if close else ""
        raise DataError(f"unknown shape '{name}'{hint}", "one of " + ", ".join(shapes))
    return shapes[name]


def _directions(count: int, start: float) -> NDArray[np.float64]:
    angles = np.arange(count) * (2 * math.pi / count) + start
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _polygon(points: NDArray[np.float64]) -> Polygon:
    return Polygon(tuple((float(x), float(y)) for x, y in points))
