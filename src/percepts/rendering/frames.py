"""The objects' own frames: where the camera and the lamps are in them, and where to look for an object in the image.

Set up once for all scenes, in double precision. Light and colours are prepared here too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from percepts.rendering.objects import ObjectScene
from percepts.rendering.primitives import Vector

_NEAR = 1e-6
"""Metres before the camera from where on it sees."""

Part = TypeVar("Part", bound="PerScene")


@dataclass(frozen=True)
class PerScene:
    """A dataclass of tensors, or tuples of tensors, that all have one row a scene."""

    def scenes(self: Part, piece: slice) -> Part:
        """The same for some scenes only."""
        fields: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                fields[name] = value[piece]
            elif isinstance(value, tuple):
                fields[name] = tuple(None if one is None else one[piece] for one in value)
        return replace(self, **fields)


@dataclass(frozen=True)
class Bounds(PerScene):
    """Where objects are in the world, in double precision: `corners` [B, N, 8, 3] and `low`, `high` [B, N, 3] of their
    boxes, `middle` [B, N, 3] their centres, `turn` [B, N, 3, 3] world from object; `endless` [B, N] says which are
    planes without ends."""

    corners: Tensor
    low: Tensor
    high: Tensor
    middle: Tensor
    turn: Tensor
    endless: Tensor


@dataclass(frozen=True)
class View(PerScene):
    """The cameras in double precision: `pose` [B, 4, 4], `lens` [B, 4], and `rays` [B, 3, 3], which takes (u, v, 1), u
    and v fractions of the image, to a direction in the world that is 1 long along the camera's axis."""

    pose: Tensor
    lens: Tensor
    rays: Tensor


@dataclass(frozen=True)
class Frames(PerScene):
    """What an object's own frame knows of a scene, [B, N, …] each, and where to look for it.

    `rays` is `View.rays` in the object's frame, so that distances are depths; `lamps` [B, N, L, 3] has the places (or
    directions) of the lamps. `shape` is the primitive, or -1 for what does not exist; `kind` (on the CPU) is the same,
    but -1 also for what is not in view. `window` (on the CPU) is the part of the image that holds the object: left,
    top, right, bottom.
    """

    rays: Tensor
    eye: Tensor
    lamps: Tensor
    size: Tensor
    shape: Tensor
    kind: Tensor
    window: Tensor


def view_of(scene: ObjectScene) -> View:
    """The cameras of all scenes."""
    batch = len(scene.shape)
    pose, lens = scene.camera.double().expand(batch, 4, 4), scene.intrinsics.double().expand(batch, 4)
    right, down, along = (pose[..., :3, axis] for axis in range(3))
    return View(pose, lens, _lens_rays(right, down, along, lens))


def frames_of(scene: ObjectScene, view: View, bounds: Bounds) -> Frames:
    """Move the camera and the lamps into the objects' frames."""
    batch, objects = scene.shape.shape
    dtype = scene.position.dtype
    back = scene.rotation.double().mT
    position = scene.position.double()
    camera, lens = view.pose[:, None], view.lens[:, None]
    right, down, along = (times(back, camera[..., :3, axis]) for axis in range(3))
    window = project(bounds.corners, view)
    exists = torch.ones_like(scene.shape, dtype=torch.bool) if scene.present is None else scene.present
    drawn = (window[..., :2] < window[..., 2:]).all(-1) & exists
    lamps = [place_lamp(lamp.place, lamp.directional, bounds).to(dtype) for lamp in scene.lamps]
    nowhere = torch.zeros(batch, objects, 0, 3).to(scene.position)
    return Frames(
        rays=_lens_rays(right, down, along, lens).to(dtype),
        eye=times(back, camera[..., :3, 3] - position).to(dtype),
        lamps=torch.stack(lamps, dim=2) if lamps else nowhere,
        size=scene.size.to(dtype),
        shape=torch.where(exists, scene.shape, -1),
        kind=torch.where(drawn, scene.shape, -1).cpu(),
        window=window.cpu(),
    )


def place_lamp(place: Tensor, directional: bool, bounds: Bounds) -> Tensor:
    """A lamp's place (or direction) [3] or [B, 3] in the frames of all objects [B, N, 3]."""
    away = place.double().expand(len(bounds.middle), 3)[:, None]
    return times(bounds.turn.mT, away if directional else away - bounds.middle)


def bounds_of(scene: ObjectScene) -> Bounds:
    """The boxes of all objects; what an endless plane has no end along is infinite."""
    turn, middle, size = scene.rotation.double(), scene.position.double(), scene.size.double()
    flat = torch.tensor([shape.flat for shape in scene.shapes] or [False], device=size.device)
    kind = scene.shape.clamp(0, max(0, len(scene.shapes) - 1))
    size = torch.cat([size[..., :2], torch.where(flat[kind], 0.0, size[..., 2])[..., None]], dim=-1)
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3).to(size)
    corners = middle[:, :, None] + times(turn[:, :, None], size[:, :, None] * signs)
    # Rounding in a rotation must not tilt what is endless.
    share = turn.abs()
    reach = torch.where(share < 1e-6, 0.0, share * torch.where(size.isinf(), 1e300, size)[..., None, :]).sum(-1)
    reach = torch.where(reach > 1e200, torch.inf, reach)
    return Bounds(
        corners=corners,
        low=middle - reach,
        high=middle + reach,
        middle=middle,
        turn=turn,
        endless=size[..., :2].isinf().all(-1),
    )


def project(points: Tensor, view: View) -> Tensor:
    """Left, top, right and bottom [B, N, 4] of the part of the image that holds a box of corners [B, N, 8, 3] in the
    order of `Bounds`, or what lies between two such boxes [B, N, 16, 3]: as fractions of the image, the whole image if
    a corner is infinitely far, nothing if all are behind the camera."""
    camera, lens = view.pose[:, None, None], view.lens[:, None, :, None]
    local = times(camera[..., :3, :3].mT, points - camera[..., :3, 3])
    # What reaches behind the camera is cut off just before it, where its edges pass.
    one, other = (local[:, :, end] for end in _edges(points.shape[2], points.device).unbind(1))
    share = (_NEAR - one[..., 2]) / (other[..., 2] - one[..., 2])
    cut = one + (other - one) * share[..., None]
    passes = (one[..., 2] >= _NEAR) != (other[..., 2] >= _NEAR)
    front = torch.cat([local[..., 2] >= _NEAR, passes], dim=2)
    x, y, z = torch.cat([local, cut], dim=2).unbind(-1)
    ends = [lens[..., axis, :] * value / z + lens[..., axis + 2, :] for axis, value in enumerate((x, y))]
    low = [torch.where(front, end, torch.inf).amin(-1) for end in ends]
    high = [torch.where(front, end, -torch.inf).amax(-1) for end in ends]
    window = torch.stack([*low, *high], dim=-1).clamp(-1, 2)
    unbounded = ~points.isfinite().flatten(2).all(-1, keepdim=True)
    window = torch.where(unbounded, torch.tensor([0.0, 0, 1, 1]).to(window), window)
    return torch.where((local[..., 2] < _NEAR).all(-1, keepdim=True), 0.0, window)


def _edges(count: int, device: torch.device) -> Tensor:
    """The edges [E, 2] of a box by its corners, or all that may be edges of the hull of two."""
    box = [(corner, corner | bit) for corner in range(8) for bit in (1, 2, 4) if not corner & bit]
    if count == 16:
        box += [(one + 8, other + 8) for one, other in box] + [(corner, corner + 8) for corner in range(8)]
    return torch.tensor(box, device=device)


def rays_of(matrix: Tensor, corner: Tensor, window: tuple[int, int], extent: tuple[int, int]) -> Vector:
    """Directions [n, rows, columns] of the pixels of windows of (columns, rows) pixels that start at `corner` [n, 2],
    in images of `extent` (width, height), in the frames of `matrix` [n, 3, 3]."""
    u, v = (
        (torch.arange(count, device=corner.device) + corner[:, axis, None] + 0.5).to(matrix.dtype) / extent[axis]
        for axis, count in enumerate(window)
    )
    x, y, z = (
        (row[:, 0, None] * u + row[:, 2, None])[:, None] + (row[:, 1, None] * v)[:, :, None] for row in matrix.unbind(1)
    )
    return x, y, z


def every_window(canvas: Tensor, rows: int, columns: int) -> Tensor:
    """A view [S, rows, columns] of all windows of a contiguous canvas [B, H, W] by their first pixel in memory. Those
    of different scenes do not overlap, so index_copy_ may write them together."""
    width = canvas.shape[2]
    last = (rows - 1) * width + columns - 1
    return canvas.as_strided((canvas.numel() - last, rows, columns), (1, width, 1))


def times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrix [..., 3, 3] times vector [..., 3]; not by a library's product, whose last bit depends on the batch."""
    x, y, z = (vector[..., axis, None] * matrix[..., :, axis] for axis in range(3))
    return x + y + z


def components(vectors: Tensor) -> Vector:
    """The components of [n, 3], to go with [n, rows, columns]."""
    return split(vectors[:, None, None])


def split(vectors: Tensor) -> Vector:
    """The components of [..., 3]."""
    x, y, z = vectors.unbind(-1)
    return x, y, z


def _lens_rays(right: Tensor, down: Tensor, along: Tensor, lens: Tensor) -> Tensor:
    right, down = right / lens[..., 0, None], down / lens[..., 1, None]
    along = along - right * lens[..., 2, None] - down * lens[..., 3, None]
    return torch.stack([right, down, along], dim=-1)
