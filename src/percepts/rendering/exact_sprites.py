"""Sprites drawn as Spriteworld's renderer draws them through Pillow, to the last bit, for many scenes at once.

Spriteworld (Watters et al. 2019) draws polygons with `ImageDraw.polygon` on a canvas of several cells a pixel, makes it
smaller with `Image.resize(…, LANCZOS)` and turns it upside down. Here are the same pictures in batched torch on any
device, without Pillow: `polygon_spans` fills, `lanczos` makes smaller. They are compared with Pillow 13 in the tests.
Unlike Spriteworld's, pictures that are not square are not transposed.

Pillow drops the fractions of the corners and fills every cell that an outline touches: sprites are up to a cell too
large and half a cell too far down and to the left. `render_sprites` covers the true area, and is several times faster.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64, UInt8
from torch import Tensor

from percepts.core.errors import DataError
from percepts.rendering.lanczos import reduce_labels, stride_of
from percepts.rendering.polygon_spans import Filled, fill_polygons

_CPU_CELLS, _GPU_CELLS = 1 << 22, 1 << 28
"""Cells worked on at a time: about what the caches hold, and what a GPU needs to be busy."""
_FARTHEST = 2.0**30
"""Where Pillow's whole numbers end, in cells."""

Background = tuple[int, int, int] | UInt8[Tensor, "*scenes 3"]


@dataclass(frozen=True)
class ExactSprites:
    """What `render_sprites_exactly` gives; row 0 of the pictures is the top.

    Attributes:
        image: RGB.
        segmentation: 0 = background, n = at least half of the pixel's cells show sprite n - 1 of the scene (of two that
            show in half each, the nearer one); None if not asked for.
        layers: every sprite's colour and, as if it were alone, its coverage of the pixel, filtered like the image; 0
            for absent sprites. None if not asked for.
    """

    image: UInt8[Tensor, "batch height width 3"]
    segmentation: Int64[Tensor, "batch height width"] | None
    layers: UInt8[Tensor, "batch sprites height width 4"] | None


@torch.no_grad()
def render_sprites_exactly(
    corners: Float64[Tensor, "batch sprites corners 2"],
    counts: Int64[Tensor, "batch sprites"],
    colour: UInt8[Tensor, "batch sprites 3"],
    present: Bool[Tensor, "batch sprites"],
    height: int,
    width: int,
    supersampling: int = 5,
    background: Background = (0, 0, 0),
    segmentation: bool = False,
    layers: bool = False,
    chunk: int | None = None,
) -> ExactSprites:
    """Draw scenes of polygons, on the device of their tensors.

    Args:
        corners: outlines in the unit square, (0, 0) is the lower left corner and y points up.
        counts: how many of a sprite's corners are meant, at least 3; the others are ignored.
        colour: of the sprites. Later sprites hide earlier ones.
        present: which sprites exist; what the others hold does not matter.
        height: rows of the image.
        width: columns of the image.
        supersampling: cells a pixel along each axis.
        background: RGB in 0 … 255, for all scenes or for each.
        segmentation: also give who is seen where.
        layers: also give every sprite by itself.
        chunk: scenes drawn at a time; a choice of speed and memory that does not change the result.

    Raises:
        DataError: tensors that do not fit together, corners that are not finite or farther from the origin than 2³⁰
            cells, a present sprite of fewer than 3 corners, an image or supersampling without cells.
    """
    if min(height, width, supersampling, 1 if chunk is None else chunk) < 1:
        sizes = f"{height} x {width} pixels, supersampling {supersampling}, chunk {chunk}"
        raise DataError(f"an image of {sizes}", "numbers of at least 1")
    _check(corners, counts, colour, present)
    batch, sprites = present.shape
    device = corners.device
    palette = torch.cat([_background(background, batch, device)[:, None], colour], dim=1)
    result = ExactSprites(
        torch.empty(batch, height, width, 3, dtype=torch.uint8, device=device),
        torch.zeros(batch, height, width, dtype=torch.int64, device=device) if segmentation else None,
        torch.zeros(batch, sprites, height, width, 4, dtype=torch.uint8, device=device) if layers else None,
    )
    if not present.any():
        result.image.copy_(palette[:, :1, None])
        return result
    if result.layers is not None:
        result.layers[..., :3] = (colour * present[..., None])[:, :, None, None]
    canvas = (height * supersampling, width * supersampling)
    cells, area = _cells(corners, counts, present, canvas)
    budget = _CPU_CELLS if device.type == "cpu" else _GPU_CELLS
    chunk = chunk or max(1, int(budget / (canvas[0] * canvas[1] * (1 + sprites * layers) + sprites * area)))
    for start in range(0, batch, chunk):
        piece = slice(start, start + chunk)
        some, number = (value[piece].transpose(0, 1).flatten(0, 1) for value in (cells, counts * present))
        filled = fill_polygons(some, number, *canvas, grid=supersampling)
        if filled is None:
            result.image[piece] = palette[piece, :1, None]
        else:
            _draw(filled, palette[piece], supersampling, result, piece)
    return result


def _cells(corners: Tensor, counts: Tensor, present: Tensor, canvas: tuple[int, int]) -> tuple[Tensor, float]:
    """The corners in whole cells, and the area of a window that holds any of the sprites.

    Corners that do not count, and absent sprites, lie at other corners of the scene or at 0.
    """
    size = torch.tensor([canvas[1], canvas[0]], device=corners.device)
    real = torch.arange(corners.shape[2], device=corners.device) < counts[..., None]
    cells = torch.where(present[..., None, None], torch.where(real[..., None], corners, corners[:, :, :1]), 0.0) * size
    low, high = cells.amin(2), cells.amax(2)
    farthest = max(-float(low.amin()), float(high.amax()))
    if not farthest < _FARTHEST:
        raise DataError(f"a corner {farthest:g} cells from the origin", "a distance of less than 2³⁰")
    extent = (torch.minimum(high, size) - low.clamp(min=0)).flatten(0, 1).amax(0).clamp(min=1)
    return cells.trunc().long(), float(extent.prod())


def _draw(filled: Filled, palette: Tensor, supersampling: int, result: ExactSprites, piece: slice) -> None:
    """Some of the scenes, from their filled sprites in the order [N, B]. The canvas is upside down."""
    batch, sprites = len(palette), palette.shape[1] - 1
    height, width = result.image.shape[1:3]
    rows, stride = height * supersampling, stride_of(width * supersampling)
    start = filled.top * stride + filled.left + 1
    cover = filled.cover.unflatten(0, (sprites, batch))
    labels = _Canvas.of(batch, rows, stride, cover, start)
    labels.paint(cover)
    result.image[piece] = reduce_labels(labels.cells, palette, height, width, supersampling).flip(1)
    if result.segmentation is not None:
        result.segmentation[piece] = _segment(labels, filled, (height, width), supersampling).flip(1)
    if result.layers is not None:
        cover = filled.cover[None]
        single = _Canvas.of(len(start), rows, stride, cover, start)
        single.paint(cover)
        opaque = torch.tensor([[0], [255]], dtype=torch.uint8, device=start.device).expand(len(start), 2, 1)
        alpha = reduce_labels(single.cells, opaque, height, width, supersampling)[..., 0].flip(1)
        result.layers[piece, ..., 3] = alpha.unflatten(0, (sprites, batch)).transpose(0, 1)


@dataclass(frozen=True)
class _Canvas:
    """Labels `cells` [B, rows, stride], 0 for the background and n for sprite n - 1, a view of all `windows` of them by
    their first cell in memory, and the numbers of those that belong to the sprites, `place` [N, B].

    Windows overlap in memory; index_copy_ may write them as long as those of one call do not. Moving whole windows is
    several times cheaper than moving single cells by index.
    """

    cells: Tensor
    windows: Tensor
    place: Tensor

    @classmethod
    def of(cls, batch: int, rows: int, stride: int, cover: Tensor, start: Tensor) -> _Canvas:
        """A blank canvas with windows for `cover` [N, B, …] that start at cells `start` [N * B] of their scenes."""
        sprites, _, high, wide = cover.shape
        dtype = torch.uint8 if sprites < 256 else torch.int16
        cells = torch.zeros(batch, rows, stride, dtype=dtype, device=cover.device)
        count = cells.numel() - (high - 1) * stride - wide + 1
        scene = torch.arange(batch, device=cover.device) * (rows * stride)
        return cls(cells, cells.as_strided((count, high, wide), (1, stride, 1)), start.view(sprites, batch) + scene)

    def paint(self, cover: Tensor) -> None:
        """Paint the sprites [N, B, rows, columns], 1 where they are and 0 elsewhere, one over the other."""
        for number, (place, mask) in enumerate(zip(self.place, cover)):
            # The label in front is the largest.
            below = self.windows.index_select(0, place)
            above = mask.to(below.dtype) * (number + 1)
            self.windows.index_copy_(0, place, torch.maximum(below, above, out=below))


def _segment(labels: _Canvas, filled: Filled, size: tuple[int, int], supersampling: int) -> Tensor:
    """The labels [B, *size] of those who are seen in at least half of a pixel."""
    batch, (high, wide) = labels.place.shape[1], filled.cover.shape[1:]
    pixels = (high // supersampling, wide // supersampling)
    hidden = []
    for number, place in enumerate(labels.place):
        # Bytes without comparisons: those are several times slower.
        other = labels.windows.index_select(0, place).bitwise_xor_(number + 1).clamp_(max=1)
        hidden.append(_pixel_sums(other, pixels, supersampling))
    cover = (torch.stack(hidden) <= supersampling**2 // 2).to(torch.uint8)
    start = filled.top // supersampling * size[1] + filled.left // supersampling
    seen = _Canvas.of(batch, *size, cover, start)
    seen.paint(cover)
    return seen.cells


def _pixel_sums(cells: Tensor, pixels: tuple[int, int], supersampling: int) -> Tensor:
    """Sums over the cells of the pixels, [B, *pixels]."""
    if supersampling > 15:
        cells = cells.long()
    rows = cells.view(len(cells), pixels[0], supersampling, -1).unbind(2)
    columns = sum(rows[1:], rows[0]).view(len(cells), *pixels, supersampling).unbind(3)
    return sum(columns[1:], columns[0])


def _background(background: Background, batch: int, device: torch.device) -> Tensor:
    """uint8 [B, 3]."""
    if isinstance(background, Tensor):
        if background.dtype != torch.uint8 or tuple(background.shape) not in ((3,), (batch, 3)):
            got = f"a background of {background.dtype}, shape {tuple(background.shape)}"
            raise DataError(got, f"torch.uint8, [3] or [{batch}, 3]")
        return background.to(device).expand(batch, 3)
    if len(background) != 3 or not all(0 <= value <= 255 for value in background):
        raise DataError(f"a background of {background}", "three numbers in 0 … 255")
    return torch.tensor(background, dtype=torch.uint8, device=device).expand(batch, 3)


def _check(corners: Tensor, counts: Tensor, colour: Tensor, present: Tensor) -> None:
    if corners.ndim != 4 or corners.shape[-1] != 2:
        raise DataError(f"corners of shape {tuple(corners.shape)}", "[B, N, V, 2]")
    batch, sprites, most, _ = corners.shape
    for name, value, shape, dtype in (
        ("corners", corners, (batch, sprites, most, 2), torch.float64),
        ("counts", counts, (batch, sprites), torch.int64),
        ("colour", colour, (batch, sprites, 3), torch.uint8),
        ("present", present, (batch, sprites), torch.bool),
    ):
        if tuple(value.shape) != shape or value.dtype != dtype:
            raise DataError(f"{name} of {value.dtype}, shape {tuple(value.shape)}", f"{dtype}, {list(shape)}")
    number = counts[present]
    if number.numel() and not 3 <= int(number.min()) <= int(number.max()) <= most:
        raise DataError(f"sprites of {int(number.min())} to {int(number.max())} corners", f"3 to {most}")
    real = present[..., None] & (torch.arange(most, device=corners.device) < counts[..., None])
    bad = int((~corners.isfinite().all(-1) & real).sum())
    if bad:
        raise DataError(f"{bad} corners that are NaN or infinite", "finite numbers")
