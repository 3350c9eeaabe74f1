"""What shining surfaces add: highlights, and what is seen in mirrors. Worked out only for the rays that meet them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from percepts.rendering.casting import Canvas, lambert_of, second_colour
from percepts.rendering.frames import split, times
from percepts.rendering.shading import Stage, hazy, sky_colour, total_light


@dataclass
class _Rays:
    """n rays of a camera: the `scene` [n] each is in, the `number` of the object that it meets, the `point` where, the
    `way` it came and the `normal` there, by components in the world."""

    scene: Tensor
    number: Tensor
    point: list[Tensor]
    way: list[Tensor]
    normal: list[Tensor]


def add_gloss(stage: Stage, canvas: Canvas, visible: list[Tensor] | None, image: Tensor) -> None:
    """Add highlights and mirror images to an image [B, 3, rows, columns]."""
    looks = stage.looks
    which = canvas.number.flatten(1).long()
    shares = [value.gather(1, which).flatten() for value in (looks.specular, looks.mirror) if value is not None]
    index = torch.stack(shares).amax(0).nonzero()[:, 0]
    rays = _seen(stage, canvas, index)
    size = canvas.depth[0].numel()
    place = rays.scene * (3 * size) + index % size
    flat = image.view(-1)
    if looks.specular is not None:
        shine = _highlights(stage, rays, canvas, visible, index)
        strength = looks.specular[rays.scene, rays.number] * (1 - looks.ambient)
        for channel in range(3):
            tints = [None if colour is None else colour[rays.scene, channel] for colour in looks.lamps]
            flat[place + channel * size] += strength * total_light(stage.lamps, shine, tints)
    if looks.mirror is not None:
        share = looks.mirror[rays.scene, rays.number]
        second = None if canvas.second is None else canvas.second.flatten()[index]
        tint = _colour(stage, rays.scene, rays.number, second)
        for channel, seen in enumerate(_mirrored(stage, rays)):
            flat[place + channel * size] += share * tint[:, channel] * seen


def _seen(stage: Stage, canvas: Canvas, index: Tensor) -> _Rays:
    """The cameras' rays at pixels `index` [n] of the flattened canvas."""
    height, width = canvas.depth.shape[1:]
    scene = index // (height * width)
    u, v = (
        (number + 0.5).to(canvas.depth) / extent
        for number, extent in ((index % width, width), (index // width % height, height))
    )
    matrix = stage.view.rays.to(canvas.depth)
    way = [matrix[scene, axis, 0] * u + matrix[scene, axis, 2] + matrix[scene, axis, 1] * v for axis in range(3)]
    eye = stage.view.pose[:, :3, 3].to(canvas.depth)
    depth, number, *normal = (value.flatten()[index] for value in (canvas.depth, canvas.number, *canvas.normal))
    # The background has no depth, and is nowhere.
    depth = torch.where(number > 0, depth, 0.0)
    point = [eye[scene, axis] + depth * way[axis] for axis in range(3)]
    return _Rays(scene, number.long(), point, way, normal)


def _highlights(stage: Stage, rays: _Rays, canvas: Canvas, visible: list[Tensor] | None, index: Tensor) -> list[Tensor]:
    """Blinn's highlight of every lamp, max(0, n·l) max(0, n·h)^shininess of what is visible."""
    exponent = stage.looks.shininess
    assert exponent is not None
    exponent = exponent[rays.scene, rays.number].double()
    back = _length(rays.way)
    facing_eye = -_dot(rays.normal, rays.way) / back
    result = []
    for number, (lamp, places) in enumerate(zip(stage.lamps, stage.looks.places)):
        place = places[rays.scene]
        away = [place[:, axis] if lamp.directional else place[:, axis] - rays.point[axis] for axis in range(3)]
        facing_lamp = canvas.lambert[number].flatten()[index]
        # |l + v|² = 2 + 2 l·v, for unit vectors.
        between = (2 - 2 * _dot(away, rays.way) / (_length(away) * back)).clamp(min=1e-12).sqrt()
        half = ((facing_lamp + facing_eye) / between).clamp(min=0, max=1)
        # Double precision: the last bit of a float32 power may depend on how many are computed at a time.
        shine = facing_lamp * (half.double() ** exponent).to(half.dtype)
        result.append(shine if visible is None else shine * visible[number].flatten()[index])
    return result


def _mirrored(stage: Stage, rays: _Rays) -> list[Tensor]:
    """What is seen in the mirror, by channels: the nearest object by its diffuse light without shadows, or the sky."""
    twice = 2 * _dot(rays.normal, rays.way)
    way = [one - twice * normal for one, normal in zip(rays.way, rays.normal)]
    depth = torch.full_like(twice, torch.inf)
    number, second = torch.zeros_like(rays.number), torch.zeros_like(rays.number, dtype=torch.bool)
    lambert = [torch.zeros_like(depth) for _ in stage.lamps]
    for slot in range(stage.frames.shape.shape[1]):
        kinds = torch.where(rays.number == slot + 1, -1, stage.frames.shape[rays.scene, slot])
        for kind in range(len(stage.shapes)):
            some = (kinds == kind).nonzero()[:, 0]
            if len(some):
                _meet(stage, rays, way, (kind, slot, some), depth, number, second, lambert)
    looks = stage.looks
    colour = _colour(stage, rays.scene, number, None if stage.pattern is None else second)
    sky = sky_colour(looks, (way[0], way[1], way[2]), rays.scene)
    diffuse = 1.0 if looks.diffuse is None else looks.diffuse[rays.scene, number]
    share = hazy(looks.haze, depth, way) if looks.haze < math.inf else None
    seen = []
    for channel in range(3):
        tints = [None if tint is None else tint[rays.scene, channel] for tint in looks.lamps]
        light = looks.ambient + (1 - looks.ambient) * total_light(stage.lamps, lambert, tints)
        shown = colour[:, channel] * light * diffuse
        if share is not None:
            shown = shown + (sky[channel] - shown) * share
        seen.append(torch.where(number > 0, shown, sky[channel]))
    return seen


def _meet(
    stage: Stage,
    rays: _Rays,
    way: list[Tensor],
    group: tuple[int, int, Tensor],
    depth: Tensor,
    number: Tensor,
    second: Tensor,
    lambert: list[Tensor],
) -> None:
    """Let `some` mirrored rays meet object `slot` of their scenes, and note where it is the nearest so far."""
    kind, slot, some = group
    shape, frames, scene = stage.shapes[kind], stage.frames, rays.scene[some]
    back = stage.bounds.turn[:, slot].mT.to(depth)[scene]
    middle = stage.bounds.middle[:, slot].to(depth)[scene]
    origin = split(times(back, torch.stack([value[some] for value in rays.point], dim=-1) - middle))
    direction = split(times(back, torch.stack([value[some] for value in way], dim=-1)))
    size = split(frames.size[scene, slot])
    distance, normal = shape.hit(origin, direction, size)
    nearer = (distance > 0) & (distance < depth[some])
    depth[some] = torch.where(nearer, distance, depth[some])
    number[some] = torch.where(nearer, slot + 1, number[some])
    for index, lamp in enumerate(stage.lamps):
        place = split(frames.lamps[scene, slot, index])
        light = lambert_of(normal, distance, origin, direction, place, lamp.directional)
        lambert[index][some] = torch.where(nearer, light, lambert[index][some])
    if stage.pattern is not None:
        point = [start + distance * one for start, one in zip(origin, direction)]
        kinds, unit = stage.pattern.kind[scene, slot], stage.pattern.size[scene, slot]
        second[some] = torch.where(nearer, second_colour(kinds, unit, point, normal, shape.flat), second[some])


def _colour(stage: Stage, scene: Tensor, number: Tensor, second: Tensor | None) -> Tensor:
    """The colours [n, 3] of objects by number, the second where the texture has it."""
    colour = stage.looks.palette[scene, number]
    if second is None or stage.looks.second is None:
        return colour
    return torch.where(second[:, None], stage.looks.second[scene, number], colour)


def _dot(one: list[Tensor], other: list[Tensor]) -> Tensor:
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


def _length(vector: list[Tensor]) -> Tensor:
    return (vector[0].square() + vector[1].square() + vector[2].square()).sqrt()
