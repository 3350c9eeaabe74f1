"""Superquadrics: solids between an octahedron, an ellipsoid and a box (Barr 1981)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from percepts.core.errors import DataError
from percepts.rendering.primitives import Normal, Primitive, Vector

_STEPS = 8
"""Of Newton's method: what is left of a way through the bounding ball is below rounding, but for grazing rays."""
_NEAR = 1e-3
"""How far, in half extents, a grazing ray may be from the surface that it is said to meet."""
_MOST = 16.0


@dataclass(frozen=True)
class Superquadric(Primitive):
    """The points with |x|ᵖ + |y|ᵖ + |z|ᵖ <= 1, p the `exponent`, stretched by the half extents.

    An exponent of 1 is an octahedron, 2 a ball or ellipsoid, above it turns into a box with round edges; in between
    edges and corners are blunt.

    Raises:
        DataError: an exponent outside of [1, 16]: below 1 the solid would not be convex.
    """

    exponent: float = 2.0

    def __post_init__(self) -> None:
        if not 1 <= self.exponent <= _MOST:
            raise DataError(f"a superquadric of exponent {self.exponent}", f"1 to {_MOST:g}")

    def hit(self, origin: Vector, direction: Vector, size: Vector) -> tuple[Tensor, Normal]:
        start, way = ([one / half for one, half in zip(each, size)] for each in (origin, direction))
        # From the point nearest to the centre on, the numbers are as small as the solid, wherever the camera is.
        square = (way[0].square() + way[1].square() + way[2].square()).clamp(min=1e-30)
        middle = -(start[0] * way[0] + start[1] * way[1] + start[2] * way[2]) / square
        start = [one + middle * step for one, step in zip(start, way)]
        reach = 3 ** max(0.0, 0.5 - 1 / self.exponent)
        room = reach**2 - (start[0].square() + start[1].square() + start[2].square())
        ball = (room / square).sqrt()
        distance, gap = self._enter(start, way, -ball)
        # In a beam that misses, the function has its minimum above 0, and Newton's method leaves by the other side.
        missed = ~((gap.abs() < _NEAR) & (distance <= ball))
        point = [one + distance * step for one, step in zip(start, way)]
        normal = [one.sign() * one.abs() ** (self.exponent - 1) / half for one, half in zip(point, size)]
        length = (normal[0].square() + normal[1].square() + normal[2].square()).sqrt().clamp(min=1e-30)
        x, y, z = (one / length for one in normal)
        return torch.where(missed, torch.inf, distance + middle), (x, y, z)

    def _enter(self, start: list[Tensor], way: list[Tensor], distance: Tensor) -> tuple[Tensor, Tensor]:
        """From before the solid on to where rays enter it, and how far outside of it they then are.

        What is 1 on the surface, (|x|ᵖ + |y|ᵖ + |z|ᵖ)^(1/p), is convex along a ray, and so Newton's method comes to the
        first root from before it without ever passing it.
        """
        p = self.exponent
        gap = torch.zeros_like(distance)
        for number in range(_STEPS + 1):
            point = [one + distance * step for one, step in zip(start, way)]
            power = [one.abs() ** (p - 1) for one in point]
            total = sum(one.abs() * root for one, root in zip(point, power))
            assert isinstance(total, Tensor)
            norm = total.clamp(min=1e-30) ** (1 / p)
            gap = norm - 1
            if number == _STEPS:
                break
            rise = sum(one.sign() * root * step for one, root, step in zip(point, power, way))
            assert isinstance(rise, Tensor)
            slope = rise * norm / total.clamp(min=1e-30)
            # Behind the minimum there is no way back: those rays stay outside.
            distance = torch.where(slope < 0, distance - gap / slope, distance)
        return distance, gap
