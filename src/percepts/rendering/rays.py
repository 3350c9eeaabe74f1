"""A batched ray-caster: B scenes of N primitives at once, exact surfaces, any size and device, no randomness.

    scene = ObjectScene(shapes=(Plane(), Sphere()), shape=..., position=..., rotation=..., size=..., colour=...,
                        camera=look_at(eye, target), intrinsics=pinhole(45), light=...)
    rendered = render_objects(scene, height=64, width=64)
    rendered.image, rendered.segmentation, rendered.depth

An object is looked for only in a window around it. Its rays are made in its own frame: there the direction is linear in
the pixel, so a whole window costs three additions. Light is Lambert's: ambient + (1 − ambient) max(0, n·l), where the
lamp is seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from percepts.core.errors import DataError
from percepts.rendering.objects import ObjectScene, check_objects
from percepts.rendering.primitives import Normal, Primitive, Vector

_CPU_CHUNK, _GPU_CHUNK = 1 << 18, 1 << 24
"""Rays worked on at a time: about what the caches hold, and what a GPU needs to be busy."""

_CLEAR = 1e-5
"""The share of the way to the lamp that is taken to be free: touching things must not shade each other by rounding."""


@dataclass(frozen=True)
class RenderedObjects:
    """What `render_objects` gives.

    Attributes:
        image: in [0, 1].
        segmentation: 0 = background, n = object n - 1 of the scene is what the pixel's centre shows; None if not asked
            for.
        depth: metres along the camera's axis to what the pixel's centre shows, infinite at the background; None if not
            asked for.
    """

    image: Float[Tensor, "batch 3 height width"]
    segmentation: Int64[Tensor, "batch height width"] | None
    depth: Float[Tensor, "batch height width"] | None


@torch.no_grad()
def render_objects(
    scene: ObjectScene,
    height: int,
    width: int,
    *,
    samples: int = 1,
    shadows: bool = False,
    labels: bool = True,
    chunk: int | None = None,
) -> RenderedObjects:
    """Draw the scenes, on the device and in the precision of their positions.

    A camera inside of a solid looks through it. A solid is lit from outside only.

    Args:
        scene: what to draw.
        height: rows of the image.
        width: columns of the image.
        samples: rays along each side of a pixel; the pixel is their mean.
        shadows: objects keep the lamp's light from what lies behind them.
        labels: also give segmentation and depth, both of the pixel's centre.
        chunk: scenes drawn at a time; a choice of speed and memory that does not change the result.

    Raises:
        DataError: tensors that do not fit together, numbers that cannot be drawn, no pixel, no sample.
    """
    if height < 1 or width < 1 or samples < 1:
        raise DataError(f"an image of {height} x {width} pixels, {samples} samples", "at least one of each")
    check_objects(scene)
    batch = len(scene.shape)
    device, dtype = scene.position.device, scene.position.dtype
    result = RenderedObjects(
        torch.empty(batch, 3, height, width, device=device, dtype=dtype),
        torch.empty(batch, height, width, device=device, dtype=torch.int64) if labels else None,
        torch.empty(batch, height, width, device=device, dtype=dtype) if labels else None,
    )
    frames = _frames(scene)
    budget = _CPU_CHUNK if device.type == "cpu" else _GPU_CHUNK
    chunk = chunk or max(1, budget // (height * width * samples**2))
    for start in range(0, batch, chunk):
        piece = slice(start, min(start + chunk, batch))
        some = frames.scenes(piece)
        canvas = _cast(scene.shapes, some, height * samples, width * samples)
        light = canvas.lambert
        if shadows:
            light = torch.where(_shaded(scene.shapes, some, canvas), 0.0, light)
        image = _paint(some, canvas.number, scene.ambient + (1 - scene.ambient) * light)
        result.image[piece] = _shrink(image, samples)
        if result.segmentation is not None and result.depth is not None:
            canvas = canvas if samples == 1 else _cast(scene.shapes, some, height, width)
            result.segmentation[piece], result.depth[piece] = canvas.number, canvas.depth
    return result


@dataclass
class _Frames:
    """What an object's own frame knows of a scene, [B, N, …] each, and where to look for it.

    `rays` takes (u, v, 1), u and v fractions of the image, to a direction that is 1 long along the camera's axis, so
    that distances are depths. `kind` (on the CPU) is -1 for what is not drawn. `window` (on the CPU) is the part of
    the image that holds the object: left, top, right, bottom. `palette` starts with the background.
    """

    rays: Tensor
    eye: Tensor
    lamp: Tensor
    size: Tensor
    kind: Tensor
    window: Tensor
    palette: Tensor

    def scenes(self, piece: slice) -> _Frames:
        """The same for some scenes only."""
        return _Frames(**{name: value[piece] for name, value in vars(self).items()})


@dataclass
class _Canvas:
    """What is nearest, [B, rows, columns] each: depth, the cosine between normal and lamp, the object's number."""

    depth: Tensor
    lambert: Tensor
    number: Tensor


def _cast(shapes: tuple[Primitive, ...], frames: _Frames, height: int, width: int) -> _Canvas:
    batch, objects = frames.kind.shape
    depth = torch.full((batch, height, width), torch.inf, dtype=frames.rays.dtype, device=frames.rays.device)
    canvas = _Canvas(depth, torch.zeros_like(depth), torch.zeros_like(depth, dtype=torch.int64))
    for slot in range(objects):
        for kind, shape in enumerate(shapes):
            members = (frames.kind[:, slot] == kind).nonzero()[:, 0]
            if len(members):
                _draw(canvas, shape, frames, members, slot)
    return canvas


def _draw(canvas: _Canvas, shape: Primitive, frames: _Frames, members: Tensor, slot: int) -> None:
    """Draw object `slot` of the scenes `members`, where it is nearer than what is there."""
    height, width = canvas.depth.shape[1:]
    extent = torch.tensor([width, height])
    window = frames.window[members, slot]
    low = (window[:, :2] * extent).floor().long() - 1
    high = (window[:, 2:] * extent).ceil().long() + 1
    low, high = torch.minimum(low.clamp(min=0), extent), torch.minimum(high.clamp(min=0), extent)
    columns, rows = (high - low).amax(0).tolist()
    if columns <= 0 or rows <= 0:
        return
    corner = torch.minimum(low, extent - torch.tensor([columns, rows]))
    start = (members * height * width + corner[:, 1] * width + corner[:, 0]).to(canvas.depth.device)
    members, corner = members.to(start.device), corner.to(start.device)
    eye, lamp, size = (_apart(value[members, slot]) for value in (frames.eye, frames.lamp, frames.size))
    rays = _rays(frames.rays[members, slot], corner, (columns, rows), (width, height))
    distance, normal = shape.hit(eye, rays, size)
    depth, lambert, number = (_every_window(value, rows, columns) for value in vars(canvas).values())
    below = depth.index_select(0, start)
    nearer = (distance > 0) & (distance < below)
    depth.index_copy_(0, start, torch.where(nearer, distance, below))
    light = _lambert(normal, distance, eye, rays, lamp)
    lambert.index_copy_(0, start, torch.where(nearer, light, lambert.index_select(0, start)))
    number.index_copy_(0, start, number.index_select(0, start).masked_fill_(nearer, slot + 1))


def _rays(matrix: Tensor, corner: Tensor, window: tuple[int, int], extent: tuple[int, int]) -> Vector:
    """Directions [n, rows, columns] of the pixels of a window, in the frames of `matrix` [n, 3, 3]."""
    u, v = (
        (torch.arange(count, device=corner.device) + corner[:, axis, None] + 0.5).to(matrix.dtype) / extent[axis]
        for axis, count in enumerate(window)
    )
    x, y, z = (
        (row[:, 0, None] * u + row[:, 2, None])[:, None] + (row[:, 1, None] * v)[:, :, None] for row in matrix.unbind(1)
    )
    return x, y, z


def _lambert(normal: Normal, distance: Tensor, eye: Vector, rays: Vector, lamp: Vector) -> Tensor:
    """The cosine between the normal and the way to the lamp, 0 on the far side."""
    away = [(end - start) - distance * ray for start, ray, end in zip(eye, rays, lamp)]
    length = (away[0].square() + away[1].square()).add_(away[2].square()).sqrt_()
    facing = sum(n * a for n, a in zip(normal, away) if n is not None)
    assert isinstance(facing, Tensor)
    return (facing / length.clamp_(min=1e-20)).clamp_(min=0)


def _shaded(shapes: tuple[Primitive, ...], frames: _Frames, canvas: _Canvas) -> Tensor:
    """Which visible points [B, rows, columns] have something between themselves and the lamp."""
    shaded = torch.zeros_like(canvas.number, dtype=torch.bool)
    height, width = canvas.depth.shape[1:]
    depth = torch.where(canvas.number > 0, canvas.depth, 0.0)
    for slot in range(frames.kind.shape[1]):
        for kind, shape in enumerate(shapes):
            members = (frames.kind[:, slot] == kind).nonzero()[:, 0].to(depth.device)
            if not len(members):
                continue
            eye, lamp, size = (_apart(value[members, slot]) for value in (frames.eye, frames.lamp, frames.size))
            corner = torch.zeros(len(members), 2, dtype=torch.int64, device=depth.device)
            rays = _rays(frames.rays[members, slot], corner, (width, height), (width, height))
            x, y, z = (start + depth[members] * ray for start, ray in zip(eye, rays))
            share, _ = shape.hit((x, y, z), (lamp[0] - x, lamp[1] - y, lamp[2] - z), size)
            shaded[members] |= (share > _CLEAR) & (share < 1)
    return shaded


def _paint(frames: _Frames, number: Tensor, light: Tensor) -> Tensor:
    """The image [B, 3, rows, columns]: every object's colour times its light; the background shines by itself."""
    which = number.flatten(1)
    light = torch.where(number > 0, light, 1.0)
    channels = [frames.palette[..., channel].gather(1, which).view_as(light) * light for channel in range(3)]
    return torch.stack(channels, dim=1)


def _shrink(image: Tensor, samples: int) -> Tensor:
    """Means over squares of `samples` x `samples` pixels, in an order that does not depend on the batch."""
    if samples == 1:
        return image
    total = torch.zeros_like(image[..., ::samples, ::samples])
    for row in range(samples):
        for column in range(samples):
            total += image[..., row::samples, column::samples]
    return total / samples**2


def _frames(scene: ObjectScene) -> _Frames:
    """Move the camera and the lamp into the objects' frames, in double precision."""
    batch = len(scene.shape)
    dtype = scene.position.dtype
    rotation, position = scene.rotation.double(), scene.position.double()
    camera = scene.camera.double().expand(batch, 4, 4)[:, None]
    lens = scene.intrinsics.double().expand(batch, 4)[:, None]
    lamp = scene.light.double().expand(batch, 3)[:, None]
    eye = camera[..., :3, 3]
    right, down, along = (_times(rotation.mT, camera[..., :3, axis]) for axis in range(3))
    right, down = right / lens[..., 0, None], down / lens[..., 1, None]
    along = along - right * lens[..., 2, None] - down * lens[..., 3, None]
    window = _windows(rotation, position, scene.size.double(), camera, lens)
    drawn = (window[..., :2] < window[..., 2:]).all(-1)
    drawn = drawn if scene.present is None else drawn & scene.present
    background = torch.zeros(3).to(scene.colour) if scene.background is None else scene.background
    palette = torch.cat([background.expand(batch, 3)[:, None], scene.colour], dim=1)
    return _Frames(
        rays=torch.stack([right, down, along], dim=-1).to(dtype),
        eye=_times(rotation.mT, eye - position).to(dtype),
        lamp=_times(rotation.mT, lamp - position).to(dtype),
        size=scene.size.to(dtype),
        kind=torch.where(drawn, scene.shape, -1).cpu(),
        window=window.cpu(),
        palette=palette.to(dtype),
    )


def _windows(rotation: Tensor, position: Tensor, size: Tensor, camera: Tensor, lens: Tensor) -> Tensor:
    """Left, top, right and bottom [B, N, 4] of what holds the object's bounding box in the image, as fractions of the
    image: the whole image if the box reaches behind the camera, nothing if it lies there."""
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3).to(size)
    corners = position[:, :, None] + _times(rotation[:, :, None], size[:, :, None] * signs)
    inverse = camera[:, :, None, :3, :3].mT
    x, y, z = _times(inverse, corners - camera[:, :, None, :3, 3]).unbind(-1)
    ends = [lens[..., axis, None] * value / z + lens[..., axis + 2, None] for axis, value in enumerate((x, y))]
    window = torch.stack([*(end.amin(-1) for end in ends), *(end.amax(-1) for end in ends)], dim=-1)
    whole = torch.tensor([0.0, 0, 1, 1]).to(window)
    window = torch.where((z > 0).all(-1, keepdim=True), window.clamp(-1, 2), whole)
    return torch.where((z <= 0).all(-1, keepdim=True), 0.0, window)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrix [..., 3, 3] times vector [..., 3]; not by a library's product, whose last bit depends on the batch."""
    x, y, z = (vector[..., axis, None] * matrix[..., :, axis] for axis in range(3))
    return x + y + z


def _apart(vectors: Tensor) -> Vector:
    """The components of [n, 3], to go with [n, rows, columns]."""
    x, y, z = vectors[:, :, None, None].unbind(1)
    return x, y, z


def _every_window(canvas: Tensor, rows: int, columns: int) -> Tensor:
    """A view [S, rows, columns] of all windows of a contiguous canvas [B, H, W] by their first pixel in memory. Those
    of different scenes do not overlap, so index_copy_ may write them together."""
    width = canvas.shape[2]
    last = (rows - 1) * width + columns - 1
    return canvas.as_strided((canvas.numel() - last, rows, columns), (1, width, 1))
