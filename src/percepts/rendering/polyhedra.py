"""Convex polyhedra: what lies on the inner side of every one of some planes."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.errors import DataError
from percepts.rendering.primitives import Normal, Primitive, Vector

_ABOUT = 1e-6
"""How far the corners of a polyhedron may be outside of its box by rounding."""


@dataclass(frozen=True)
class Polyhedron(Primitive):
    """The points p with n·p <= d for all `faces` (n_x, n_y, n_z, d), stretched by the half extents. Without stretching
    it lies in the box [-1, 1]³ and around the origin.

    Raises:
        DataError: a face that is not finite, has no direction or does not have the origin inside; faces that enclose
            nothing finite, or more than the box.
    """

    faces: tuple[tuple[float, float, float, float], ...]

    def __post_init__(self) -> None:
        table = np.array(self.faces, dtype=np.float64).reshape(-1, 4)
        if not np.isfinite(table).all() or (np.abs(table[:, :3]).max(axis=1) == 0).any() or (table[:, 3] <= 0).any():
            raise DataError(
                "a polyhedron's face that is not finite, or not in front of the origin", "(n, d), d above 0"
            )
        # An open polyhedron reaches the walls of a larger box.
        box = np.array([[*(sign * np.eye(3)[axis]), 4.0] for axis in range(3) for sign in (-1, 1)])
        reach = float(np.abs(_corners(np.concatenate([table, box]))).max())
        if reach > 1 + _ABOUT:
            raise DataError(f"a polyhedron that reaches {'beyond 4' if reach > 3.9 else f'{reach:.3g}'}", "at most 1")

    def hit(self, origin: Vector, direction: Vector, size: Vector) -> tuple[Tensor, Normal]:
        normals, low, high = (values.to(direction[0]) for values in self._slabs)
        start, way = ([one / half for one, half in zip(each, size)] for each in (origin, direction))
        near, far, face = self._enter(start, way, normals, low, high)
        index = face.abs().long() - 1
        normal = [(normals[:, axis][index] * -face.sign()) / half for axis, half in enumerate(size)]
        length = (normal[0].square() + normal[1].square() + normal[2].square()).sqrt()
        x, y, z = (one / length for one in normal)
        return torch.where(near <= far, near, torch.inf), (x, y, z)

    def _enter(
        self, start: list[Tensor], way: list[Tensor], normals: Tensor, low: Tensor, high: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Where rays enter and leave, and the number of the slab by which they enter, counted from 1 and of the sign of
        the way through it."""
        near = torch.full_like(way[0] + start[0], -torch.inf)
        far, face = -near, torch.ones_like(near)
        for number, (normal, below, above) in enumerate(zip(normals.unbind(), low.unbind(), high.unbind()), start=1):
            x, y, z = normal.unbind()
            here = start[0] * x + start[1] * y + start[2] * z
            speed = way[0] * x + way[1] * y + way[2] * z
            speed = torch.where(speed == 0, 1e-30, speed)
            one, other = (below - here) / speed, (above - here) / speed
            enter = torch.minimum(one, other)
            face = torch.where(enter > near, torch.where(speed > 0, number, -number).to(face), face)
            near, far = torch.maximum(near, enter), torch.minimum(far, torch.maximum(one, other))
        return near, far, face

    @cached_property
    def _slabs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Unit normals [S, 3], and the lowest and highest n·p [S] inside: parallel faces make one slab."""
        table = np.array(self.faces, dtype=np.float64)
        table /= np.linalg.norm(table[:, :3], axis=1, keepdims=True)
        slabs: list[list[float]] = []
        for *normal, distance in table.tolist():
            partner = next((slab for slab in slabs if np.allclose(slab[:3], np.negative(normal), atol=1e-9)), None)
            if partner is None:
                slabs.append([*normal, -math.inf, distance])
            else:
                partner[3] = -distance
        tensor = torch.tensor(slabs, dtype=torch.float64)
        return tensor[:, :3], tensor[:, 3], tensor[:, 4]

    @property
    def corners(self) -> NDArray[np.float64]:
        """Corners [V, 3]."""
        return _corners(np.array(self.faces, dtype=np.float64))


def cube() -> Polyhedron:
    """The box [-1, 1]³ as a polyhedron."""
    x, y, z = np.eye(3)
    return _of_normals([x, -x, y, -y, z, -z], 1.0)


def octahedron() -> Polyhedron:
    """The regular octahedron with corners on the axes, at distance 1."""
    return _of_normals([np.array(signs) for signs in itertools.product((-1.0, 1.0), repeat=3)], 1 / math.sqrt(3))


def icosahedron() -> Polyhedron:
    """The regular icosahedron with corners at distance 1 from the centre, two of them on top in the plane y = 0."""
    golden = (1 + math.sqrt(5)) / 2
    signs = list(itertools.product((-1.0, 1.0), repeat=2))
    edges = [np.array([0, one / golden, other * golden]) for one, other in signs]
    normals = [np.array(each) for each in itertools.product((-1.0, 1.0), repeat=3)]
    normals += [np.roll(edge, shift) for edge in edges for shift in range(3)]
    inner = math.sqrt((5 + 2 * math.sqrt(5)) / 15)
    return _of_normals(normals, inner)


def prism(sides: int = 3) -> Polyhedron:
    """An upright prism with a regular base whose corners are at distance 1 from the axis, the first on the x axis.

    Raises:
        DataError: fewer than three sides.
    """
    if sides < 3:
        raise DataError(f"a prism of {sides} sides", "at least 3")
    angles = (2 * np.arange(sides) + 1) * (math.pi / sides)
    around = [(math.cos(angle), math.sin(angle), 0.0, math.cos(math.pi / sides)) for angle in angles]
    return Polyhedron((*around, (0.0, 0.0, 1.0, 1.0), (0.0, 0.0, -1.0, 1.0)))


def _of_normals(normals: list[NDArray[np.float64]], distance: float) -> Polyhedron:
    units = [normal / np.linalg.norm(normal) for normal in normals]
    return Polyhedron(tuple((float(x), float(y), float(z), distance) for x, y, z in units))


def _corners(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where three of the planes (n, d) [F, 4] meet on the inner side of all others, [V, 3] without repetition."""
    chosen = table[np.array(list(itertools.combinations(range(len(table)), 3)), dtype=np.int64).reshape(-1, 3)]
    scale = np.linalg.norm(chosen[..., :3], axis=-1).prod(axis=1)
    chosen = chosen[np.abs(np.linalg.det(chosen[..., :3])) > 1e-9 * scale]
    points = np.linalg.solve(chosen[..., :3], chosen[..., 3, None])[..., 0]
    inside = (points @ table[:, :3].T <= table[:, 3] + 1e-9 * np.linalg.norm(table[:, :3], axis=1)).all(axis=1)
    return np.unique(points[inside].round(9), axis=0)
