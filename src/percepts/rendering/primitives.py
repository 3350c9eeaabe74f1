"""What a ray can hit: planes, spheres, boxes, cylinders, capsules, cones, each where its own frame puts it. Polyhedra
are in `polyhedra`.

A new primitive is one more class with a `hit`; it only has to be convex, or flat. Rays are given by components, three
tensors each for origin and direction, so that whatever is the same for all rays of an object is computed once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

Vector = tuple[Tensor, Tensor, Tensor]
"""x, y and z, of shapes that broadcast: [n, 1, 1] or [n, rows, columns]."""

Normal = tuple[Tensor | None, Tensor | None, Tensor | None]
"""The same; a component that is zero everywhere is None."""

_TINY = 1e-30
"""Stands for zero in a denominator: rays along a face or an axis meet it infinitely far away."""


@dataclass(frozen=True)
class Primitive(ABC):
    """A shape centred on its frame's origin, with half extents `size` along the frame's axes.

    Attributes:
        equal_axes: axes along which the half extents must be equal, because the shape is round there.
        flat: the shape has no extent along z, and may be infinite along x and y.
    """

    equal_axes: ClassVar[tuple[int, ...]] = ()
    flat: ClassVar[bool] = False

    @abstractmethod
    def hit(self, origin: Vector, direction: Vector, size: Vector) -> tuple[Tensor, Normal]:
        """Where rays enter the shape, in its own frame.

        Returns:
            distance [n, rows, columns] in lengths of `direction`, which need not be 1; infinite or NaN where the line
            misses, negative where the shape is behind the origin or around it; and the unit normal at the point that
            is hit, arbitrary elsewhere.
        """


class Plane(Primitive):
    """A rectangle in z = 0, seen from both sides; the third half extent is ignored."""

    flat = True

    def hit(self, origin: Vector, direction: Vector, size: Vector) -> tuple[Tensor, Normal]:
        distance = -origin[2] / direction[2]
        for axis in (0, 1):
            # Endless planes need no test; on a GPU, looking whether they are endless would cost more than the test.
            if size[axis].is_cuda or not bool(size[axis].isinf().all()):
                outside = (origin[axis] + distance * direction[axis]).abs() > size[axis]
                distance = torch.where(outside, torch.inf, distance)
        return distance, (None, None, -direction[2].sign())


class Sphere(Primitive):
    """A ball."""

    equal_axes = (0, 1, 2)

    def hit(self, origin: Vector, direction: Vector, size: Vector) -> tuple[Tensor, Normal]:
        distance, _ = _round(origin, direction, size[0])
        x, y, z = (o + distance * d for o, d in zip(origin, direction))
        return distance, (x / size[0], y / size[0], z / size[0])


class Box(Primitive):
    """A cuboid."""

    def hit(self, origin: Vector, direction: Vector, size: Vector) -> tuple[Tensor, Normal]:
        (near_x, far_x), (near_y, far_y), (near_z, far_z) = map(_slab, origin, direction, size)
        near_xy = torch.maximum(near_x, near_y)
        distance = torch.maximum(near_xy, near_z)
        missed = distance > torch.minimum(torch.minimum(far_x, far_y), far_z)
        on_z = near_z > near_xy
        on_x = ~on_z & (near_x >= near_y)
        sides = (on_x, ~(on_x | on_z), on_z)
        x, y, z = (-direction[axis].sign() * side for axis, side in enumerate(sides))
        return torch.where(missed, torch.inf, distance), (x, y, z)


class Cylinder(Primitive):
    """An upright circular cylinder: its axis is z."""

    equal_axes = (0, 1)

    def hit(self, origin: Vector, direction: Vector, size: Vector) -> tuple[Tensor, Normal]:
        near_side, far_side = _round(origin[:2], direction[:2], size[0])
        near_cap, far_cap = _slab(origin[2], direction[2], size[2])
        distance = torch.maximum(near_side, near_cap)
        # Beside the infinite cylinder everything is NaN, which compares as false: neither hit nor on a cap.
        distance = torch.where(distance <= torch.minimum(far_side, far_cap), distance, torch.inf)
        on_cap = near_cap > near_side
        x, y = (torch.where(on_cap, 0.0, (origin[axis] + distance * direction[axis]) / size[0]) for axis in (0, 1))
        return distance, (x, y, -direction[2].sign() * on_cap)


class Capsule(Primitive):
    """An upright cylinder with half balls as its ends: its axis is z, and the third half extent includes the ends:
    it is the radius at least."""

    equal_axes = (0, 1)

    def hit(self, origin: Vector, direction: Vector, size: Vector) -> tuple[Tensor, Normal]:
        straight = (size[2] - size[0]).clamp(min=0)
        side, _ = _round(origin[:2], direction[:2], size[0])
        # Where a ray enters the infinite cylinder, it can only meet the ball that touches the cylinder there or,
        # beyond an end, the ball of that end.
        height = origin[2] + side * direction[2]
        centre = torch.minimum(torch.maximum(height, -straight), straight)
        distance, _ = _round((origin[0], origin[1], origin[2] - centre), direction, size[0])
        x, y = ((origin[axis] + distance * direction[axis]) / size[0] for axis in (0, 1))
        return distance, (x, y, (origin[2] + distance * direction[2] - centre) / size[0])


class Cone(Primitive):
    """An upright circular cone: its axis is z, the tip at +z, and the first half extents are the radius of its base."""

    equal_axes = (0, 1)

    def hit(self, origin: Vector, direction: Vector, size: Vector) -> tuple[Tensor, Normal]:
        # From the point nearest to the centre on, the numbers are as small as the cone itself, wherever the camera is.
        square = sum(d * d for d in direction)
        assert isinstance(square, Tensor)
        middle = -sum(o * d for o, d in zip(origin, direction)) / square.clamp(min=_TINY)
        x, y, z = (o + middle * d for o, d in zip(origin, direction))
        slope = size[0] / (2 * size[2])
        down, fall = (size[2] - z) * slope, -direction[2] * slope
        near_side, far_side = _nappe(x, y, down, direction[0], direction[1], fall)
        base = (-size[2] - z) / torch.where(direction[2] == 0, _TINY, direction[2])
        rising = direction[2] >= 0
        on_base = rising & (base > near_side)
        distance = torch.where(on_base, base, near_side)
        distance = torch.where(
            distance <= torch.where(rising, far_side, torch.minimum(far_side, base)), distance, torch.inf
        )
        radius = (down + distance * fall).clamp(min=_TINY)
        stretch = (1 + slope * slope).sqrt()
        normal_x, normal_y = (
            torch.where(on_base, 0.0, (start + distance * way) / (radius * stretch))
            for start, way in ((x, direction[0]), (y, direction[1]))
        )
        return distance + middle, (normal_x, normal_y, torch.where(on_base, -1.0, slope / stretch))


def _nappe(x: Tensor, y: Tensor, w: Tensor, dx: Tensor, dy: Tensor, dw: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave x² + y² <= w², w >= 0: possibly at minus or plus infinity; NaN where they miss."""
    a = dx * dx + dy * dy - dw * dw
    b = x * dx + y * dy - w * dw
    c = x * x + y * y - w * w
    a = torch.where(a == 0, _TINY, a)
    root = (b * b - a * c).sqrt()
    # Of the two ways to write a root of a quadratic, each sum takes the one that does not cancel.
    sum_ = torch.where(b < 0, root - b, -root - b)
    one, other = sum_ / a, c / torch.where(sum_ == 0, _TINY, sum_)
    first, second = torch.minimum(one, other), torch.maximum(one, other)
    steep = a < 0
    near = torch.where(steep, torch.where(dw > 0, second, -torch.inf), first)
    far = torch.where(steep & (dw <= 0), first, torch.where(steep, torch.inf, second))
    # A shallow ray meets one half of the double cone only.
    missed = ~steep & (w + 0.5 * (first + second) * dw < 0)
    return torch.where(missed, torch.nan, near), far


def _slab(origin: Tensor, direction: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave the space between the planes ±half."""
    inverse = 1 / torch.where(direction == 0, _TINY, direction)
    one, other = (-half - origin) * inverse, (half - origin) * inverse
    return torch.minimum(one, other), torch.maximum(one, other)


def _round(origin: tuple[Tensor, ...], direction: tuple[Tensor, ...], radius: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave the circle (two components) or ball (three) around the origin, NaN where they miss.

    The square of the least distance to the centre is found at the point itself, not as a difference of large products:
    this keeps float32 exact for small things far away.
    """
    square = sum(d * d for d in direction)
    assert isinstance(square, Tensor)
    square = square.clamp(min=_TINY)
    middle = -sum(o * d for o, d in zip(origin, direction)) / square
    room = radius * radius - sum((o + middle * d).square() for o, d in zip(origin, direction))
    half = (room / square).sqrt()
    return middle - half, middle + half
