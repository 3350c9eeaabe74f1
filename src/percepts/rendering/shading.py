"""Colour and light: from what is seen where to an image.

    light = ambient + (1 - ambient) Σ strength max(0, n·l) visible
    image = diffuse colour light + specular (1 - ambient) Σ strength max(0, n·h)^shininess visible + mirror colour seen

with the unit vectors n normal, l to the lamp and h halfway between l and the way to the eye (Blinn 1977), and `seen`
what the mirrored ray meets; `light` and the highlights are tinted by coloured lamps. The background shines by itself,
and through what is far away where there is haze.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from percepts.rendering.casting import Canvas, Pattern
from percepts.rendering.frames import Bounds, Frames, PerScene, View, rays_of
from percepts.rendering.objects import Lamp, Materials, ObjectScene
from percepts.rendering.primitives import Primitive


@dataclass(frozen=True)
class Looks(PerScene):
    """Colours and materials by number, [B, N + 1, …] each: first the background, then the objects. What is None is the
    same for all: no second colour, diffuse 1, no highlight, no mirror, white lamps, a background of one colour. `lamps`
    are the lamps' colours and `places` the places (or directions), [B, 3] each."""

    palette: Tensor
    second: Tensor | None
    diffuse: Tensor | None
    specular: Tensor | None
    shininess: Tensor | None
    mirror: Tensor | None
    lamps: tuple[Tensor | None, ...]
    places: tuple[Tensor, ...]
    zenith: Tensor | None
    ambient: float
    haze: float


@dataclass(frozen=True)
class Stage:
    """Everything that light needs to know of some scenes."""

    shapes: tuple[Primitive, ...]
    lamps: tuple[Lamp, ...]
    frames: Frames
    bounds: Bounds
    view: View
    looks: Looks
    pattern: Pattern | None


def looks_of(scene: ObjectScene) -> Looks:
    """The colours and materials of all scenes, in the precision of their positions."""
    batch, objects = scene.shape.shape
    dtype = scene.position.dtype
    materials = scene.materials or Materials()
    background = torch.zeros(3).to(scene.colour) if scene.background is None else scene.background
    black = torch.zeros_like(scene.colour)

    def table(colour: Tensor) -> Tensor:
        return torch.cat([background.to(colour).expand(batch, 3)[:, None], colour], dim=1).to(dtype)

    def column(value: Tensor | None, first: float) -> Tensor | None:
        return None if value is None else torch.cat([value.new_full((batch, 1), first), value], dim=1).to(dtype)

    specular, mirror = (
        None if value is None or not bool((value > 0).any()) else value
        for value in (materials.specular, materials.mirror)
    )
    default = torch.full((batch, objects), 32.0, device=scene.shape.device)
    second = black if materials.second_colour is None else materials.second_colour
    return Looks(
        palette=table(scene.colour),
        second=None if materials.texture is None else table(second),
        diffuse=column(materials.diffuse, 1.0),
        specular=column(specular, 0.0),
        shininess=column(default if materials.shininess is None else materials.shininess, 1.0),
        mirror=column(mirror, 0.0),
        lamps=tuple(None if lamp.colour is None else lamp.colour.to(dtype).expand(batch, 3) for lamp in scene.lamps),
        places=tuple(lamp.place.to(dtype).expand(batch, 3) for lamp in scene.lamps),
        zenith=None if scene.zenith is None else scene.zenith.to(dtype).expand(batch, 3),
        ambient=scene.ambient,
        haze=scene.haze,
    )


def pattern_of(scene: ObjectScene) -> Pattern | None:
    """The textures of all scenes."""
    materials = scene.materials
    if materials is None or materials.texture is None:
        return None
    size = torch.ones_like(scene.colour[..., 0]) if materials.texture_size is None else materials.texture_size
    return Pattern(materials.texture, size.to(scene.position.dtype))


def paint(stage: Stage, canvas: Canvas, visible: list[Tensor] | None) -> Tensor:
    """The image [B, 3, rows, columns]; `visible` is the share of every lamp that is not hidden."""
    looks = stage.looks
    which = canvas.number.flatten(1).long()
    something = canvas.number > 0
    lights = [
        lambert if visible is None else lambert * visible[number] for number, lambert in enumerate(canvas.lambert)
    ]
    diffuse = None if looks.diffuse is None else looks.diffuse.gather(1, which).view_as(canvas.depth)
    channels = []
    for channel in range(3):
        if channel == 0 or any(colour is not None for colour in looks.lamps):
            tints = [None if colour is None else colour[:, channel, None, None] for colour in looks.lamps]
            light = looks.ambient + (1 - looks.ambient) * total_light(stage.lamps, lights, tints)
            light = torch.where(something, light if diffuse is None else light * diffuse, 1.0)
        colour = looks.palette[..., channel].gather(1, which)
        if canvas.second is not None and looks.second is not None:
            colour = torch.where(canvas.second.flatten(1), looks.second[..., channel].gather(1, which), colour)
        channels.append(colour.view_as(canvas.depth) * light)
    image = torch.stack(channels, dim=1)
    if looks.zenith is not None:
        image = torch.where(something[:, None], image, _sky(stage, canvas.depth))
    return image


def add_haze(stage: Stage, canvas: Canvas, image: Tensor) -> Tensor:
    """An image [B, 3, rows, columns] with the background shining through what is far away."""
    height, width = canvas.depth.shape[1:]
    corner = torch.zeros(len(image), 2, dtype=torch.int64, device=image.device)
    rays = rays_of(stage.view.rays.to(image), corner, (width, height), (width, height))
    share = hazy(stage.looks.haze, canvas.depth, rays)
    sky = torch.stack(sky_colour(stage.looks, rays, None), dim=1)
    return image + (sky - image) * torch.where(canvas.number > 0, share, 0.0)[:, None]


def hazy(haze: float, distance: Tensor, ray: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    """The background's share in what is `distance` lengths of `ray` away."""
    length2 = (ray[0].square() + ray[1].square() + ray[2].square()) / haze**2
    far = (distance.square() * length2).square()
    return 1 - 1 / (1 + far)


def total_light(lamps: tuple[Lamp, ...], lights: list[Tensor], tints: list[Tensor | None]) -> Tensor | float:
    """What all lamps together give in one channel of colour, where each gives its light of a tint (white if None)."""
    total: Tensor | float = 0.0
    for lamp, light, tint in zip(lamps, lights, tints):
        tinted = light if tint is None else light * tint
        tinted = tinted if lamp.strength == 1 else tinted * lamp.strength
        total = tinted if isinstance(total, float) else total + tinted
    return total


def _sky(stage: Stage, like: Tensor) -> Tensor:
    """The background [B, 3, rows, columns] as a gradient."""
    matrix = stage.view.rays.to(like)
    height, width = like.shape[1:]
    corner = torch.zeros(len(matrix), 2, dtype=torch.int64, device=like.device)
    return torch.stack(sky_colour(stage.looks, rays_of(matrix, corner, (width, height), (width, height)), None), dim=1)


def sky_colour(looks: Looks, ray: tuple[Tensor, ...], scene: Tensor | None) -> list[Tensor]:
    """The background's colour by channels along rays [B, rows, columns], or along rays [n] of the scenes [n]."""
    shape = (-1, 1, 1) if scene is None else (-1,)
    horizon, zenith = (
        None if colour is None else (colour if scene is None else colour[scene])
        for colour in (looks.palette[:, 0], looks.zenith)
    )
    assert horizon is not None
    if zenith is None:
        return [horizon[:, channel].view(shape).expand_as(ray[0]) for channel in range(3)]
    length = (ray[0].square() + ray[1].square() + ray[2].square()).sqrt()
    sine = (ray[2] / length).clamp(min=0)
    return [horizon[:, channel].view(shape) + (zenith - horizon)[:, channel].view(shape) * sine for channel in range(3)]
