"""Where sprites are in the picture and how much of every pixel there they cover: the first half of the rasteriser.

From here on coordinates are pixels with y down, and tensors are ordered [N, B]: from the farthest sprite to the
nearest, then by scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from percepts.rendering.coverage import ellipse_coverage, polygon_coverage
from percepts.rendering.scene import SpriteScene
from percepts.rendering.shapes import Ellipse, Shape

_DUST = 1e-6
"""Coverage below this is rounding: the background stays exactly the background."""


@dataclass
class Placed:
    """Sprites in pixels: [N, B, …] each but `geometry`, which is [5, N, B]: x, y, scale, sine and cosine of the angle.
    `number` counts the sprites of a scene from 1, before they were sorted."""

    geometry: Tensor
    number: Tensor
    shape: Tensor
    drawn: Tensor
    colour: Tensor

    def scenes(self, piece: slice) -> Placed:
        """The same for some scenes only."""
        rest = (self.number, self.shape, self.drawn, self.colour)
        return Placed(self.geometry[:, :, piece], *(value[:, piece] for value in rest))


@dataclass
class Windows:
    """A covered window for every sprite: `cover` [N, B, rows, columns], and `start` [N, B], the number of its first
    pixel in the flattened frame."""

    cover: Tensor
    start: Tensor


@dataclass
class _Group:
    """The sprites of one shape that reach into the frame: where they are in [N * B], the pixels [low, high) of the
    frame, [2, n] each, that hold them, and their corners [2, V, n] (or centres, V = 1) in pixels from `low`."""

    shape: Shape
    index: Tensor
    geometry: Tensor
    outline: Tensor
    low: Tensor
    high: Tensor


def place(scene: SpriteScene, height: int, width: int) -> tuple[Placed, float]:
    """Sprites in pixels, sorted by depth, and the largest extent of any of them."""
    batch, sprites = scene.shape.shape
    device = scene.shape.device
    scale = scene.scale.float() * min(height, width)
    x, y = scene.position.float().unbind(-1)
    # Double precision: the last bit of a float32 sine may depend on how many are computed at a time.
    sine, cosine = scene.angle.double().sin().float(), scene.angle.double().cos().float()
    number = torch.arange(1, sprites + 1, device=device).expand(batch, sprites)
    # What is smaller covers nothing of a pixel, by rounding, and its size has no inverse in single precision.
    drawn = scale > _DUST if scene.visible is None else (scale > _DUST) & scene.visible
    geometry = torch.stack([x * width, (1 - y) * height, scale, sine, cosine], dim=-1)
    values = [geometry, number, scene.shape, drawn, scene.colour.float()]
    if scene.depth is not None:
        order = scene.depth.argsort(dim=1, descending=True, stable=True)
        rows = torch.arange(batch, device=device)[:, None]
        values = [value[rows, order] for value in values]
    geometry, *rest = (value.transpose(0, 1) for value in values)
    radii = torch.tensor([shape.radius for shape in scene.shapes], dtype=torch.float32, device=device)
    return Placed(geometry.movedim(-1, 0).contiguous(), *rest), 2 * float((scale * radii[scene.shape]).max())


def cover_windows(shapes: tuple[Shape, ...], placed: Placed, size: tuple[int, int], hard: bool) -> Windows | None:
    """Cover a window of one size, the smallest that does for all, around every sprite; None if none is to be seen."""
    height, width = size
    sprites, batch = placed.shape.shape
    device = placed.shape.device
    frame = torch.tensor([[width], [height]], device=device)
    found = (_group(shape, number, placed, frame) for number, shape in enumerate(shapes))
    groups = [group for group in found if group is not None]
    if not groups:
        return None
    columns, rows = torch.stack([(group.high - group.low).amax(1) for group in groups]).amax(0).tolist()
    cover = torch.zeros(sprites * batch, rows * columns, device=device)
    start = torch.zeros(sprites * batch, dtype=torch.int64, device=device)
    extent = torch.tensor([[columns], [rows]], device=device)
    for group in groups:
        corner = torch.minimum(group.low, frame - extent)
        start[group.index] = corner[1] * width + corner[0]
        cover.index_copy_(0, group.index, _cover(group, (corner - group.low).float(), rows, columns))
    cover = (cover >= 0.5).float() if hard else torch.threshold_(cover.clamp_(max=1), _DUST, 0.0)
    return Windows(cover.view(sprites, batch, rows, columns), start.view(sprites, batch))


def _group(shape: Shape, number: int, placed: Placed, frame: Tensor) -> _Group | None:
    index = (placed.drawn & (placed.shape == number)).flatten().nonzero()[:, 0]
    geometry = placed.geometry.flatten(1)[:, index]
    centre, scale, sine, cosine = geometry[:2], geometry[2], geometry[3], geometry[4]
    origin = centre.floor()
    # Relative to a whole pixel near the sprite, so that a sprite looks the same to the last bit wherever it is.
    outline = (centre - origin)[:, None]
    if isinstance(shape, Ellipse):
        reach = torch.stack([
            ((cosine * shape.semi_x).square() + (sine * shape.semi_y).square()).sqrt(),
            ((sine * shape.semi_x).square() + (cosine * shape.semi_y).square()).sqrt(),
        ]) * scale  # fmt: skip
        low, high = outline[:, 0] - reach, outline[:, 0] + reach
    else:
        corners = torch.tensor(shape.array, dtype=torch.float32, device=frame.device).T[:, :, None]
        across, up = corners * scale
        outline = outline + torch.stack([cosine * across - sine * up, -sine * across - cosine * up])
        low, high = outline.amin(1), outline.amax(1)
    low, high = (low.floor() + origin).clamp(min=0), torch.minimum(high.ceil() + origin, frame)
    kept = (low < high).all(0).nonzero()[:, 0]
    if not len(kept):
        return None
    if len(kept) < len(index):
        index, geometry, outline = index[kept], geometry[:, kept], outline[..., kept]
        low, high, origin = low[:, kept], high[:, kept], origin[:, kept]
    return _Group(shape, index, geometry, outline - (low - origin)[:, None], low.long(), high.long())


def _cover(group: _Group, shift: Tensor, rows: int, columns: int) -> Tensor:
    """The coverage [n, rows * columns] of windows that start `shift` pixels [2, n] from `group.low`."""
    outline = group.outline
    shape, (scale, sine, cosine) = group.shape, group.geometry[2:]
    if isinstance(shape, Ellipse):
        to_circle = torch.stack(
            [
                torch.stack([cosine, -sine]) / (shape.semi_x * scale),
                torch.stack([-sine, -cosine]) / (shape.semi_y * scale),
            ]
        )
        cover = ellipse_coverage(outline[:, 0], to_circle, shift[0], shift[1], rows, columns)
    else:
        cover = polygon_coverage(outline[0], outline[1], shift[0], shift[1], rows, columns)
        if shape.signed_area < 0:
            cover.neg_()
    # Nothing but rounding lies outside of the sprite's own box, whose place in the window depends on the batch.
    for axis, count in enumerate((columns, rows)):
        pixels = torch.arange(count, device=cover.device)[:, None] + shift[axis]
        mask = ((pixels >= 0) & (pixels < (group.high - group.low)[axis])).float()
        cover.mul_(mask if axis == 0 else mask[:, None])
    return cover.flatten(0, 1).t().contiguous()
