"""A slow ray-caster to test the fast one by: numpy, float64, in the world's frame, one scene and one object at a time.

Solids are quadrics: every convex part is the set of points where all of some functions p'Qp, p = (x, y, z, 1), are at
most 0. A ray meets a part at a root of one function where all others are negative; the normal is the gradient. Nothing
here is shared with the library but the description of the scene and the points of a lamp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from percepts.rendering import (
    Box,
    Capsule,
    Cone,
    Cylinder,
    ObjectScene,
    Plane,
    Polyhedron,
    Sphere,
)
from percepts.rendering.shadows import lamp_points

Array = NDArray[np.float64]


@dataclass
class Picture:
    """What one scene looks like, [H, W, …] each."""

    image: Array
    number: NDArray[np.int64]
    depth: Array
    normal: Array
    point: Array


@dataclass
class Hits:
    """What rays meet: the distance in lengths of the direction, the normal, the object's number from 1."""

    distance: Array
    normal: Array
    number: NDArray[np.int64]


def half_space(normal: Array, distance: float) -> Array:
    matrix = np.zeros((4, 4))
    matrix[:3, 3] = matrix[3, :3] = normal / 2
    matrix[3, 3] = -distance
    return matrix


def slab(axis: int, half: float) -> list[Array]:
    return [half_space(sign * np.eye(3)[axis], half) for sign in (1.0, -1.0)]


def ball(radius: float, height: float = 0.0) -> Array:
    matrix = np.diag([1.0, 1, 1, height * height - radius * radius])
    matrix[2, 3] = matrix[3, 2] = -height
    return matrix


def parts_of(shape: object, size: Array) -> list[list[Array]]:
    """The convex parts of a solid in its own frame."""
    x, y, z = size
    tube = np.diag([1.0, 1, 0, -x * x])
    if isinstance(shape, Sphere):
        return [[ball(x)]]
    if isinstance(shape, Box):
        return [[*slab(0, x), *slab(1, y), *slab(2, z)]]
    if isinstance(shape, Cylinder):
        return [[tube, *slab(2, z)]]
    if isinstance(shape, Capsule):
        return [[tube, *slab(2, z - x)], [ball(x, z - x)], [ball(x, x - z)]]
    if isinstance(shape, Cone):
        k2 = (x / (2 * z)) ** 2
        cone = np.diag([1.0, 1, -k2, -k2 * z * z])
        cone[2, 3] = cone[3, 2] = k2 * z
        return [[cone, *slab(2, z)]]
    if isinstance(shape, Polyhedron):
        return [[half_space(np.array(face[:3]) / size, face[3]) for face in shape.faces]]
    raise TypeError(shape)


def form(left: Array, matrix: Array, right: Array) -> Array:
    return np.einsum("ri,ij,rj->r", left, matrix, right)


def enter(part: list[Array], others: list[list[Array]], origin: Array, way: Array) -> tuple[Array, Array]:
    """Where rays (homogeneous, [R, 4]) enter a part, outside of all others: distance [R] and gradient [R, 3]."""
    best, gradient = np.full(len(origin), np.inf), np.zeros((len(origin), 3))
    for matrix in part:
        a, b, c = form(way, matrix, way), 2 * form(way, matrix, origin), form(origin, matrix, origin)
        with np.errstate(all="ignore"):
            root = np.sqrt(b * b - 4 * a * c)
            # An entry is where the function falls, 2 a t + b < 0: the root with the minus sign, whatever the sign of a.
            curved = np.where(b > 0, (-b - root) / (2 * a), 2 * c / (-b + root))
            distance = np.where(np.abs(a) < 1e-13, -c / b, curved)
            falls = np.where(np.abs(a) < 1e-13, b, -root) < 0
        distance = np.where(falls & np.isfinite(distance), distance, -1.0)
        point = origin + distance[:, None] * way
        inside = [form(point, other, point) <= 1e-10 for other in part if other is not matrix]
        hidden = [np.all([form(point, one, point) < -1e-9 for one in other], axis=0) for other in others]
        good = (distance > 0) & np.all([*inside, np.ones(len(best))], axis=0)
        good &= ~np.any([*hidden, np.zeros(len(best))], axis=0) & (distance < best)
        best = np.where(good, distance, best)
        gradient = np.where(good[:, None], 2 * (point @ matrix)[:, :3], gradient)
    return best, gradient


def meet(shape: object, size: Array, origin: Array, way: Array) -> tuple[Array, Array]:
    """Distance and unit normal [R, 3] where rays meet a shape in its own frame."""
    if isinstance(shape, Plane):
        with np.errstate(all="ignore"):
            distance = -origin[:, 2] / way[:, 2]
            point = origin + distance[:, None] * way
            on = (np.abs(point[:, 0]) <= size[0]) & (np.abs(point[:, 1]) <= size[1]) & (distance > 0)
        return np.where(on, distance, np.inf), -np.sign(way[:, 2:]) * np.eye(3)[2]
    homogeneous = np.pad(origin, ((0, 0), (0, 1)), constant_values=1.0), np.pad(way, ((0, 0), (0, 1)))
    parts = parts_of(shape, size)
    found = [enter(part, [other for other in parts if other is not part], *homogeneous) for part in parts]
    best = np.min([distance for distance, _ in found], axis=0)
    gradient = sum((distance == best)[:, None] * gradient for distance, gradient in found)
    with np.errstate(all="ignore"):
        return best, gradient / np.linalg.norm(gradient, axis=1, keepdims=True)


class PlainScene:
    """One scene of a batch."""

    def __init__(self, scene: ObjectScene, index: int, shadows: bool) -> None:
        def of(value: object) -> Array:
            array = np.asarray(value, dtype=np.float64)
            return array

        count = scene.shape.shape[1]
        row = lambda value, ndim: of(value[index] if value.ndim > ndim else value)  # noqa: E731
        self.scene, self.shadows = scene, shadows
        self.slots = [slot for slot in range(count) if scene.present is None or bool(scene.present[index, slot])]
        self.shape = [
            scene.shapes[int(kind)] if slot in self.slots else None for slot, kind in enumerate(scene.shape[index])
        ]
        self.position, self.turn, self.size, self.colour = (
            of(value[index]) for value in (scene.position, scene.rotation, scene.size, scene.colour)
        )
        self.camera, self.lens = row(scene.camera, 2), row(scene.intrinsics, 1)
        self.horizon = np.zeros(3) if scene.background is None else row(scene.background, 1)
        self.zenith = self.horizon if scene.zenith is None else row(scene.zenith, 1)
        self.lamps = [
            (
                row(lamp.place, 1),
                [row(point, 1) for point in lamp_points(lamp)],
                lamp.strength * (np.ones(3) if lamp.colour is None else row(lamp.colour, 1)),
                lamp.directional,
            )
            for lamp in scene.lamps
        ]
        materials = scene.materials

        def material(name: str, default: float) -> Array:
            value = None if materials is None else getattr(materials, name)
            return np.full(count, default) if value is None else of(value[index])

        self.diffuse, self.specular, self.mirror = (
            material(*one) for one in (("diffuse", 1), ("specular", 0), ("mirror", 0))
        )
        self.shininess, self.texture, self.unit = (
            material(*one) for one in (("shininess", 32), ("texture", 0), ("texture_size", 1))
        )
        second = None if materials is None else materials.second_colour
        self.second = np.zeros((count, 3)) if second is None else of(second[index])

    def first_hit(self, origin: Array, way: Array, besides: NDArray[np.int64] | None = None) -> Hits:
        hits = Hits(np.full(len(origin), np.inf), np.zeros((len(origin), 3)), np.zeros(len(origin), np.int64))
        for slot in self.slots:
            turn = self.turn[slot]
            distance, normal = meet(
                self.shape[slot], self.size[slot], (origin - self.position[slot]) @ turn, way @ turn
            )
            nearer = distance < hits.distance
            if besides is not None:
                nearer &= besides != slot + 1
            hits.distance = np.where(nearer, distance, hits.distance)
            hits.normal[nearer] = (normal @ turn.T)[nearer]
            hits.number[nearer] = slot + 1
        return hits

    def albedo(self, point: Array, hits: Hits) -> Array:
        colours = np.zeros((len(point), 3))
        for slot in self.slots:
            mine = hits.number == slot + 1
            turn = self.turn[slot]
            place, normal = (point[mine] - self.position[slot]) @ turn, hits.normal[mine] @ turn
            cell = np.floor(place / self.unit[slot] - 1e-3 * normal)
            axis = 0 if isinstance(self.shape[slot], Plane) else 2
            odd = [np.zeros(len(cell)), cell.sum(axis=1) % 2, cell[:, axis] % 2][int(self.texture[slot])] > 0
            colours[mine] = np.where(odd[:, None], self.second[slot], self.colour[slot])
        return colours

    def sky(self, way: Array) -> Array:
        sine = np.maximum(way[:, 2:] / np.linalg.norm(way, axis=1, keepdims=True), 0)
        return self.horizon + (self.zenith - self.horizon) * sine

    def to_lamp(self, place: Array, point: Array, directional: bool) -> Array:
        return np.broadcast_to(place, point.shape) if directional else place - point

    def visible(self, points: list[Array], point: Array, directional: bool) -> Array:
        """The share of a lamp's points that can be seen; which side a point is on is for the lamp's middle to say."""
        total = np.zeros(len(point))
        for place in points:
            way = self.to_lamp(place, point, directional)
            clear = 1e-4 / np.linalg.norm(place) if directional else 1e-5
            hits = self.first_hit(point + clear * way, way)
            total += hits.distance >= (np.inf if directional else 1 - clear)
        return (total / len(points))[:, None]

    def colour_of(self, hits: Hits, origin: Array, way: Array, bounce: bool) -> Array:
        """The light that comes along the rays; `bounce` also sees highlights, mirrors and shadows."""
        colour = self.sky(way)
        on = hits.number > 0
        if not on.any():
            return colour
        hits = Hits(hits.distance[on], hits.normal[on], hits.number[on])
        origin, way, slot = origin[on], way[on], hits.number - 1
        point = origin + hits.distance[:, None] * way
        back = -way / np.linalg.norm(way, axis=1, keepdims=True)
        rest = 1 - self.scene.ambient
        light, shine = np.full((len(point), 3), self.scene.ambient), np.zeros((len(point), 3))
        for place, points, strength, directional in self.lamps:
            to = self.to_lamp(place, point, directional)
            to = to / np.linalg.norm(to, axis=1, keepdims=True)
            facing = np.maximum((to * hits.normal).sum(axis=1, keepdims=True), 0)
            if bounce and self.shadows:
                facing = facing * self.visible(points, point, directional)
            half = (to + back) / np.linalg.norm(to + back, axis=1, keepdims=True)
            cosine = np.maximum((half * hits.normal).sum(axis=1, keepdims=True), 0)
            light += rest * strength * facing
            shine += rest * strength * facing * cosine ** self.shininess[slot, None]
        albedo = self.albedo(point, hits)
        total = albedo * light * self.diffuse[slot, None]
        if bounce:
            mirrored = way - 2 * (way * hits.normal).sum(axis=1, keepdims=True) * hits.normal
            seen = self.first_hit(point, mirrored, besides=hits.number)
            reflected = self.colour_of(seen, point, mirrored, bounce=False)
            total += shine * self.specular[slot, None] + self.mirror[slot, None] * albedo * reflected
        far = hits.distance * np.linalg.norm(way, axis=1)
        share = (1 / (1 + (self.scene.haze / far) ** 4))[:, None]
        colour[on] = (1 - share) * total + share * colour[on]
        return colour

    def picture(self, height: int, width: int) -> Picture:
        rows, columns = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
        fx, fy, cx, cy = self.lens
        pixel = np.stack([(columns - cx) / fx, (rows - cy) / fy, np.ones_like(rows)], axis=-1).reshape(-1, 3)
        way = pixel @ self.camera[:3, :3].T
        eye = np.broadcast_to(self.camera[:3, 3], way.shape)
        hits = self.first_hit(eye, way)
        image = self.colour_of(hits, eye, way, bounce=True).clip(0, 1)
        point = np.where(hits.number[:, None] > 0, eye + np.nan_to_num(hits.distance, posinf=0)[:, None] * way, 0)
        values = (image, hits.number, hits.distance, hits.normal, point)
        return Picture(*(value.reshape(height, width, *value.shape[1:]) for value in values))
