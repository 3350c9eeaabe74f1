"""Which of the seen points a lamp shines on, looking for every object's shadow only where it can fall."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from percepts.rendering.batches import ObjectBatch, object_batches
from percepts.rendering.casting import Canvas
from percepts.rendering.frames import (
    Bounds,
    Frames,
    PerScene,
    View,
    components,
    every_window,
    place_lamp,
    project,
    rays_of,
)
from percepts.rendering.objects import Lamp, ObjectScene
from percepts.rendering.primitives import Primitive, Vector

CLEAR, CLEAR_METRES = 1e-5, 1e-4
"""The share of the way to the lamp, or the metres towards a directional one, that is taken to be free: touching things
must not shade each other by rounding."""


@dataclass(frozen=True)
class Shadows(PerScene):
    """The shadows of one point of light, [B, N, …] each: its `place` (or direction) in the objects' frames, and on the
    CPU the primitive that throws a shadow or -1, and the part of the image where the shadow can fall."""

    place: Tensor
    kind: Tensor
    window: Tensor


def shadows_of(
    scene: ObjectScene, frames: Frames, view: View, bounds: Bounds, seen: Tensor | None = None
) -> list[list[Shadows]]:
    """For every lamp the shadows of its points, on what is `seen` [B, N] (all that exists if None)."""
    dtype = scene.position.dtype
    exists = frames.shape >= 0
    receives = exists if seen is None else exists & seen
    result = []
    for lamp in scene.lamps:
        points = []
        for place in lamp_points(lamp):
            window, falls = _windows(place, lamp.directional, view, bounds, receives)
            falls &= receives.any(1)[:, None] & exists & (window[..., :2] < window[..., 2:]).all(-1)
            local = place_lamp(place, lamp.directional, bounds).to(dtype)
            points.append(Shadows(local, torch.where(falls, frames.shape, -1).cpu(), window.cpu()))
        result.append(points)
    return result


def lamp_points(lamp: Lamp) -> list[Tensor]:
    """The places [3] or [B, 3] in double precision from which a lamp casts shadows: spread evenly over its ball, along
    a spiral of golden angles."""
    place = lamp.place.double()
    if not lamp.radius:
        return [place]
    if lamp.directional:
        place = place / (place[..., 0].square() + place[..., 1].square() + place[..., 2].square()).sqrt()[..., None]
    points = []
    for number in range(lamp.points):
        height = 1 - (2 * number + 1) / lamp.points
        around = number * math.pi * (3 - math.sqrt(5))
        # Radii in an order that has nothing to do with the angles.
        out = lamp.radius * ((0.5 + number * math.sqrt(2)) % 1) ** (1 / 3)
        level = math.sqrt(1 - height * height)
        offset = torch.tensor([level * math.cos(around), level * math.sin(around), height], dtype=torch.float64)
        points.append(place + out * offset.to(place.device))
    return points


def shine(shapes: tuple[Primitive, ...], frames: Frames, points: list[Shadows], canvas: Canvas, lamp: Lamp) -> Tensor:
    """Which share of a lamp's points each seen point [B, rows, columns] can see."""
    depth = torch.where(canvas.number > 0, canvas.depth, 0.0)
    height, width = depth.shape[1:]
    total = None
    for shadows in points:
        shaded = torch.zeros_like(canvas.number, dtype=torch.bool)
        for batch in object_batches(shapes, shadows.kind, shadows.window, (height, width), depth.device):
            _shade(shaded, depth, batch, frames, shadows, lamp.directional)
        clear = (~shaded).to(depth.dtype)
        total = clear if total is None else total + clear
    assert total is not None
    return total / len(points)


def _shade(
    shaded: Tensor, depth: Tensor, batch: ObjectBatch, frames: Frames, shadows: Shadows, directional: bool
) -> None:
    height, width = depth.shape[1:]
    who = batch.scene, batch.slot
    eye, place, size = (components(value[who]) for value in (frames.eye, shadows.place, frames.size))
    rays = rays_of(frames.rays[who], batch.corner, (batch.columns, batch.rows), (width, height))
    far = every_window(depth, batch.rows, batch.columns).index_select(0, batch.start)
    x, y, z = (origin + far * ray for origin, ray in zip(eye, rays))
    hidden = blocks(batch.shape, (x, y, z), place, size, directional)
    windows = every_window(shaded, batch.rows, batch.columns)
    for some in batch.rounds:
        start = batch.start[some]
        windows.index_copy_(0, start, windows.index_select(0, start).logical_or_(hidden[some]))


def blocks(shape: Primitive, point: Vector, place: Vector, size: Vector, directional: bool) -> Tensor:
    """Whether an object is between points and a lamp, all in its own frame."""
    if not directional:
        x, y, z = (end - start for start, end in zip(point, place))
        share, _ = shape.hit(point, (x, y, z), size)
        return (share > CLEAR) & (share < 1)
    x, y, z = (end.expand_as(start) for start, end in zip(point, place))
    share, _ = shape.hit(point, (x, y, z), size)
    length = (place[0].square() + place[1].square() + place[2].square()).sqrt()
    return (share > CLEAR_METRES / length) & (share < torch.inf)


def _windows(place: Tensor, directional: bool, view: View, bounds: Bounds, receives: Tensor) -> tuple[Tensor, Tensor]:
    """Where the shadows of all objects can fall: the part of the image [B, N, 4], and whether at all [B, N].

    A shadow is the object's box, stretched away from the lamp. It ends where everything that receives it ends, at the
    box around that and at endless planes, as nothing is seen beyond them: this is what makes windows small, and lets
    walls and floors throw no shadows at all.
    """
    lamp = place.expand(len(receives), 3)[:, None, None]
    away = -lamp.expand_as(bounds.corners) if directional else bounds.corners - lamp
    reach = torch.zeros_like(receives, dtype=torch.float64).fill_(torch.inf)
    for axis in range(3):
        low = torch.where(receives, bounds.low[..., axis], torch.inf).amin(1)[:, None]
        high = torch.where(receives, bounds.high[..., axis], -torch.inf).amax(1)[:, None]
        origin = bounds.corners[..., axis] if directional else lamp[..., axis]
        for sign, end in ((-1.0, low), (1.0, high)):
            reach = torch.minimum(reach, _until(sign * (end[..., None] - origin), sign * away[..., axis], directional))
    eye = view.pose[:, :3, 3]
    blind = torch.zeros_like(receives)
    for plane in range(receives.shape[1]):
        upwards, middle = bounds.turn[:, plane, :, 2], bounds.middle[:, plane]
        side = torch.sign(_dot(upwards, eye - middle))[:, None]
        front = receives[:, plane, None] & bounds.endless[:, plane, None]
        origin = bounds.corners if directional else lamp
        room = side[..., None] * _dot(upwards[:, None, None], origin - middle[:, None, None])
        until = _until(room, -side[..., None] * _dot(upwards[:, None, None], away), directional)
        reach = torch.where(front, torch.minimum(reach, until), reach)
        towards = lamp[:, 0] if directional else lamp[:, 0] - middle[:, None]
        blind[:, plane] = (front & (side * _dot(upwards[:, None], towards) > 0))[:, 0]
    far = (bounds.corners if directional else lamp) + away * reach[..., None, None]
    window = project(torch.cat([bounds.corners, far], dim=2), view)
    return window, ~blind & ~(reach <= (0 if directional else 1 + CLEAR))


def _until(room: Tensor, speed: Tensor, directional: bool) -> Tensor:
    """How far, at most, the corners [B, N, 8] can move before they have used up their room, infinite if one never does.
    A point lamp outside of the bound (no room) bounds nothing."""
    until = torch.where(speed > 0, room / speed, torch.inf).amax(-1)
    return until if directional else torch.where((room >= 0).all(-1), until, torch.inf)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    product = one * other
    return product[..., 0] + product[..., 1] + product[..., 2]
