"""Who is seen where: every object is looked for in a window around it, and the nearest stays.

Its rays are made in its own frame: there the direction is linear in the pixel, so a whole window costs three additions.
What needs the object's own frame, the lamps' light by Lambert's law and the texture, is found here too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from percepts.rendering.batches import ObjectBatch, object_batches
from percepts.rendering.frames import (
    Bounds,
    Frames,
    PerScene,
    components,
    every_window,
    rays_of,
)
from percepts.rendering.objects import Lamp
from percepts.rendering.primitives import Normal, Primitive, Vector

_INWARDS = 1e-3
"""How far below the surface, in units of the texture, its colour is looked up: faces lie on borders of the texture."""


@dataclass(frozen=True)
class Wanted:
    """What to find beside depth and number: the light of these `lamps`, `normal`s, the `texture`."""

    lamps: tuple[Lamp, ...] = ()
    normal: bool = False
    texture: bool = False


@dataclass(frozen=True)
class Pattern(PerScene):
    """Textures of the objects: `kind` [B, N], a number into `TEXTURES`, and `size` [B, N]."""

    kind: Tensor
    size: Tensor


@dataclass
class Canvas:
    """What is nearest, [B, rows, columns] each: depth, the object's number (int32, from 1; 0 is nothing), the cosine
    between normal and lamp for every lamp, the three components of the normal in the world, whether the texture shows
    its second colour."""

    depth: Tensor
    number: Tensor
    lambert: list[Tensor]
    normal: list[Tensor]
    second: Tensor | None


def cast(
    shapes: tuple[Primitive, ...],
    frames: Frames,
    bounds: Bounds,
    pattern: Pattern | None,
    size: tuple[int, int],
    wanted: Wanted,
) -> Canvas:
    """What the cameras see, in images of `size` (height, width)."""
    depth = torch.full((len(frames.kind), *size), torch.inf, dtype=frames.rays.dtype, device=frames.rays.device)
    canvas = Canvas(
        depth=depth,
        number=torch.zeros_like(depth, dtype=torch.int32),
        lambert=[torch.zeros_like(depth) for _ in wanted.lamps],
        normal=[torch.zeros_like(depth) for _ in range(3 * wanted.normal)],
        second=torch.zeros_like(depth, dtype=torch.bool) if wanted.texture else None,
    )
    for batch in object_batches(shapes, frames.kind, frames.window, size, depth.device):
        _draw(canvas, batch, frames, bounds, pattern, wanted)
    return canvas


def _draw(
    canvas: Canvas, batch: ObjectBatch, frames: Frames, bounds: Bounds, pattern: Pattern | None, wanted: Wanted
) -> None:
    """Draw objects where they are nearer than what is there."""
    height, width = canvas.depth.shape[1:]
    who = batch.scene, batch.slot
    eye, size = components(frames.eye[who]), components(frames.size[who])
    rays = rays_of(frames.rays[who], batch.corner, (batch.columns, batch.rows), (width, height))
    distance, normal = batch.shape.hit(eye, rays, size)
    number = (batch.slot + 1).int()[:, None, None].expand_as(distance)
    laid = [(canvas.number, number)]
    for index, (lamp, lambert) in enumerate(zip(wanted.lamps, canvas.lambert)):
        place = components(frames.lamps[batch.scene, batch.slot, index])
        laid.append((lambert, lambert_of(normal, distance, eye, rays, place, lamp.directional)))
    if canvas.normal:
        turn = bounds.turn[who].to(distance)[:, :, :, None, None]
        for axis, channel in enumerate(canvas.normal):
            laid.append((channel, _dot(normal, turn[:, axis].unbind(1), distance)))
    if canvas.second is not None and pattern is not None:
        point = [origin + distance * ray for origin, ray in zip(eye, rays)]
        kind, unit = (value[who][:, None, None] for value in (pattern.kind, pattern.size))
        laid.append((canvas.second, second_colour(kind, unit, point, normal, batch.shape.flat)))
    for some in batch.rounds:
        _lay(canvas, batch, some, distance[some], [(channel, value[some]) for channel, value in laid])


def _lay(canvas: Canvas, batch: ObjectBatch, some: slice, distance: Tensor, laid: list[tuple[Tensor, Tensor]]) -> None:
    """Write windows of different scenes to the canvas, where they are nearer; of equals the first object stays."""
    start = batch.start[some]
    depth, number = (every_window(value, batch.rows, batch.columns) for value in (canvas.depth, canvas.number))
    below = depth.index_select(0, start)
    first = number.index_select(0, start) > (batch.slot[some] + 1)[:, None, None]
    nearer = (distance < below).logical_or_((distance == below).logical_and_(first)).logical_and_(distance > 0)
    depth.index_copy_(0, start, torch.where(nearer, distance, below))
    for channel, value in laid:
        windows = every_window(channel, batch.rows, batch.columns)
        windows.index_copy_(0, start, torch.where(nearer, value, windows.index_select(0, start)))


def lambert_of(normal: Normal, distance: Tensor, eye: Vector, rays: Vector, lamp: Vector, directional: bool) -> Tensor:
    """The cosine between the normal and the way to the lamp, 0 on the far side."""
    away = list(lamp)
    if not directional:
        away = [(end - start) - distance * ray for start, ray, end in zip(eye, rays, lamp)]
    length = (away[0].square() + away[1].square()).add_(away[2].square()).sqrt_()
    facing = sum(n * a for n, a in zip(normal, away) if n is not None)
    assert isinstance(facing, Tensor)
    return (facing / length.clamp_(min=1e-20)).clamp_(min=0)


def second_colour(kind: Tensor, unit: Tensor, point: list[Tensor], normal: Normal, flat: bool) -> Tensor:
    """Whether points on a surface, in the object's frame, have the texture's second colour."""
    cells = [
        (where / unit if outwards is None else where / unit - _INWARDS * outwards).floor()
        for where, outwards in zip(point, normal)
    ]
    checker = (cells[0] + cells[1] + cells[2]).remainder(2) == 1
    stripes = cells[0 if flat else 2].remainder(2) == 1
    return torch.where(kind == 1, checker, stripes & (kind == 2))


def _dot(normal: Normal, row: tuple[Tensor, ...], like: Tensor) -> Tensor:
    total = sum(n * r for n, r in zip(normal, row) if n is not None)
    assert isinstance(total, Tensor)
    return total.expand_as(like)
