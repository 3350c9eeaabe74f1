"""A batched ray-caster: B scenes of N primitives at once, exact surfaces, any size and device, no randomness.

    scene = ObjectScene(shapes=(Plane(), Sphere()), shape=..., position=..., rotation=..., size=..., colour=...,
                        camera=look_at(eye, target), intrinsics=pinhole(45), light=...)
    rendered = render_objects(scene, height=64, width=64)
    rendered.image, rendered.segmentation, rendered.depth

Scenes are drawn in chunks: `casting` finds what is seen where, `shadows` which lamps shine there, `shading` and
`reflections` make an image of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from percepts.core.errors import DataError
from percepts.rendering.casting import Canvas, Wanted, cast
from percepts.rendering.checks import check_objects
from percepts.rendering.frames import bounds_of, frames_of, rays_of, view_of
from percepts.rendering.objects import ObjectScene
from percepts.rendering.reflections import add_gloss
from percepts.rendering.shading import Stage, add_haze, looks_of, paint, pattern_of
from percepts.rendering.shadows import Shadows, shadows_of, shine

_CPU_CHUNK, _GPU_CHUNK = 1 << 18, 1 << 24
"""Rays worked on at a time: about what the caches hold, and what a GPU needs to be busy."""


@dataclass(frozen=True)
class RenderedObjects:
    """What `render_objects` gives. What was not asked for is None.

    Attributes:
        image: in [0, 1].
        segmentation: the label of what the pixel's centre shows; 0 = background.
        depth: metres along the camera's axis to what the pixel's centre shows, infinite at the background.
        normal: the unit normal there, in the world; 0 at the background.
        position: the point there, in the world; 0 at the background.
    """

    image: Float[Tensor, "batch 3 height width"]
    segmentation: Int64[Tensor, "batch height width"] | None = None
    depth: Float[Tensor, "batch height width"] | None = None
    normal: Float[Tensor, "batch 3 height width"] | None = None
    position: Float[Tensor, "batch 3 height width"] | None = None


@dataclass(frozen=True)
class RenderedApart:
    """What `render_apart` gives.

    Attributes:
        mask: where each thing would be seen if nothing hid it, by pixel centres; the background everywhere.
        image: each thing so, in [0, 1], in the light and shadow of the whole scene; black where it is not. The edges
            are mixed with this black as far as pixels are only partly covered.
    """

    mask: Bool[Tensor, "batch things height width"]
    image: Float[Tensor, "batch things 3 height width"]


@torch.no_grad()
def render_objects(
    scene: ObjectScene,
    height: int,
    width: int,
    *,
    samples: int = 1,
    shadows: bool = False,
    labels: bool = True,
    geometry: bool = False,
    chunk: int | None = None,
) -> RenderedObjects:
    """Draw the scenes, on the device and in the precision of their positions.

    A camera inside of a solid looks through it. A solid is lit from outside only.

    Args:
        scene: what to draw.
        height: rows of the image.
        width: columns of the image.
        samples: rays along each side of a pixel; the pixel is their mean.
        shadows: objects keep the lamps' light from what lies behind them.
        labels: also give segmentation and depth, both of the pixel's centre.
        geometry: also give normals and positions, both of the pixel's centre.
        chunk: scenes drawn at a time; a choice of speed and memory that does not change the result.

    Raises:
        DataError: tensors that do not fit together, numbers that cannot be drawn, no pixel, no sample, a chunk below 1.
    """
    _check_picture(height, width, samples, chunk)
    check_objects(scene)
    batch = len(scene.shape)
    numbers = torch.cat([scene.labels.new_zeros(batch, 1), scene.labels], dim=1)
    new = scene.position.new_empty
    result = RenderedObjects(
        image=new(batch, 3, height, width),
        segmentation=new(batch, height, width, dtype=torch.int64) if labels else None,
        depth=new(batch, height, width) if labels else None,
        normal=new(batch, 3, height, width) if geometry else None,
        position=new(batch, 3, height, width) if geometry else None,
    )
    stage = _stage(scene)
    points = shadows_of(scene, stage.frames, stage.view, stage.bounds) if shadows and scene.shape.numel() else None
    for piece in _chunks(scene, height * width * samples**2, chunk):
        some, size = _some(stage, piece), (height * samples, width * samples)
        canvas, result.image[piece] = _picture(some, _some_points(points, piece), size, samples, geometry)
        if labels or geometry:
            if samples > 1:
                canvas = cast(some.shapes, some.frames, some.bounds, None, (height, width), Wanted(normal=geometry))
            _label(some, canvas, numbers[piece], result, piece)
    return result


@torch.no_grad()
def render_apart(
    scene: ObjectScene,
    height: int,
    width: int,
    *,
    things: int | None = None,
    samples: int = 1,
    shadows: bool = False,
    chunk: int | None = None,
) -> RenderedApart:
    """Draw every thing as if nothing stood in front of it: thing e is all objects of label e, and 0 the background with
    the objects of label 0.

    Light, shadows and mirror images are those of the whole scene: where a thing is not hidden, it looks as in
    `render_objects`.

    Args:
        scene: what to draw.
        height: rows of the image.
        width: columns of the image.
        things: how many, the background included; up to the largest label if None.
        samples: rays along each side of a pixel.
        shadows: objects keep the lamps' light from what lies behind them.
        chunk: scenes drawn at a time; a choice of speed and memory that does not change the result.

    Raises:
        DataError: as `render_objects`; fewer `things` than labels.
    """
    _check_picture(height, width, samples, chunk)
    check_objects(scene)
    batch = len(scene.shape)
    exists = torch.ones_like(scene.shape, dtype=torch.bool) if scene.present is None else scene.present
    label = torch.where(exists, scene.labels, 0)
    least = 1 + (int(label.max()) if label.numel() else 0)
    things = least if things is None else things
    if things < least:
        raise DataError(f"{things} things, and labels up to {least - 1}", f"at least {least} things")
    mask = torch.zeros(batch, things, height, width, dtype=torch.bool, device=scene.shape.device)
    image = scene.position.new_zeros(batch, things, 3, height, width)
    whole = _stage(scene)
    for thing in range(least):
        seen = label == thing
        kind = torch.where(seen.cpu(), whole.frames.kind, -1)
        stage = replace(whole, frames=replace(whole.frames, kind=kind))
        points = (
            shadows_of(scene, whole.frames, whole.view, whole.bounds, seen) if shadows and scene.shape.numel() else None
        )
        for piece in _chunks(scene, height * width * samples**2, chunk):
            some, size = _some(stage, piece), (height * samples, width * samples)
            canvas, image[piece, thing] = _picture(some, _some_points(points, piece), size, samples, False, thing > 0)
            if samples > 1:
                canvas = cast(some.shapes, some.frames, some.bounds, None, (height, width), Wanted())
            mask[piece, thing] = (canvas.number > 0) | (thing == 0)
    return RenderedApart(mask, image)


def _check_picture(height: int, width: int, samples: int, chunk: int | None) -> None:
    if height < 1 or width < 1 or samples < 1:
        raise DataError(f"an image of {height} x {width} pixels, {samples} samples", "at least one of each")
    if chunk is not None and chunk < 1:
        raise DataError(f"chunk = {chunk}", "at least 1")


def _chunks(scene: ObjectScene, rays: int, chunk: int | None) -> Iterator[slice]:
    budget = _CPU_CHUNK if scene.shape.device.type == "cpu" else _GPU_CHUNK
    batch, step = len(scene.shape), chunk or max(1, budget // rays)
    return (slice(start, min(start + step, batch)) for start in range(0, batch, step))


def _stage(scene: ObjectScene) -> Stage:
    view, bounds = view_of(scene), bounds_of(scene)
    frames = frames_of(scene, view, bounds)
    return Stage(scene.shapes, scene.lamps, frames, bounds, view, looks_of(scene), pattern_of(scene))


def _some(stage: Stage, piece: slice) -> Stage:
    """The same for some scenes only."""
    return replace(
        stage,
        frames=stage.frames.scenes(piece),
        bounds=stage.bounds.scenes(piece),
        view=stage.view.scenes(piece),
        looks=stage.looks.scenes(piece),
        pattern=None if stage.pattern is None else stage.pattern.scenes(piece),
    )


def _some_points(points: list[list[Shadows]] | None, piece: slice) -> list[list[Shadows]] | None:
    return None if points is None else [[one.scenes(piece) for one in lamp] for lamp in points]


def _picture(
    stage: Stage,
    points: list[list[Shadows]] | None,
    size: tuple[int, int],
    samples: int,
    normal: bool,
    alone: bool = False,
) -> tuple[Canvas, Tensor]:
    """What is seen where, in images of `size`, and the image of that, smaller by `samples`; with a black background if
    `alone`."""
    gloss = stage.looks.specular is not None or stage.looks.mirror is not None
    wanted = Wanted(stage.lamps, normal or gloss, stage.pattern is not None)
    canvas = cast(stage.shapes, stage.frames, stage.bounds, stage.pattern, size, wanted)
    visible = None
    if points is not None:
        visible = [shine(stage.shapes, stage.frames, some, canvas, lamp) for some, lamp in zip(points, stage.lamps)]
    image = paint(stage, canvas, visible)
    if gloss:
        add_gloss(stage, canvas, visible, image)
    if stage.looks.haze < math.inf:
        image = add_haze(stage, canvas, image)
    if alone:
        image = torch.where(canvas.number[:, None] > 0, image, 0.0)
    return canvas, shrink(image.clamp_(0, 1), samples)


def _label(stage: Stage, canvas: Canvas, numbers: Tensor, result: RenderedObjects, piece: slice) -> None:
    """Write down what the pixels' centres show."""
    if result.segmentation is not None and result.depth is not None:
        result.segmentation[piece] = numbers.gather(1, canvas.number.flatten(1).long()).view_as(canvas.number)
        result.depth[piece] = canvas.depth
    if result.normal is not None and result.position is not None:
        result.normal[piece] = torch.stack(canvas.normal, dim=1)
        height, width = canvas.depth.shape[1:]
        corner = torch.zeros(len(canvas.depth), 2, dtype=torch.int64, device=canvas.depth.device)
        rays = rays_of(stage.view.rays.to(canvas.depth), corner, (width, height), (width, height))
        eye = stage.view.pose[:, :3, 3, None, None].to(canvas.depth)
        for axis, ray in enumerate(rays):
            point = eye[:, axis] + canvas.depth * ray
            result.position[piece, axis] = torch.where(canvas.number > 0, point, 0.0)


def shrink(image: Float[Tensor, "batch 3 rows columns"], samples: int) -> Float[Tensor, "batch 3 height width"]:
    """Means over squares of `samples` x `samples` pixels, in an order that does not depend on the batch."""
    if samples == 1:
        return image
    total = torch.zeros_like(image[..., ::samples, ::samples])
    for row in range(samples):
        for column in range(samples):
            total += image[..., row::samples, column::samples]
    return total / samples**2
