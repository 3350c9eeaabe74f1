"""A batched 2-D rasteriser: B scenes of N sprites at once, exact anti-aliasing, any size and device, no randomness.

    scene = SpriteScene(shapes=(square(),), shape=..., position=..., scale=..., angle=..., colour=...)
    rendered = render_sprites(scene, height=64, width=64)
    rendered.image, rendered.segmentation

Every sprite is drawn in a small window around it. Sprites of one shape are covered together, then the windows are
laid over the canvas from the farthest to the nearest sprite.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from percepts.core.errors import DataError
from percepts.rendering.scene import SpriteScene, check_scene
from percepts.rendering.windows import Placed, Windows, cover_windows, place

__all__ = ["RenderedSprites", "SpriteScene", "render_sprites"]

_CPU_CHUNK, _GPU_CHUNK = 1 << 20, 1 << 26
"""Window pixels worked on at a time: about what the caches hold, and what a GPU needs to be busy."""


@dataclass(frozen=True)
class RenderedSprites:
    """What `render_sprites` gives.

    Attributes:
        image: in [0, 1].
        segmentation: 0 = background, n = sprite n - 1 of the scene covers at least half of the pixel and no nearer one
            does; None if not asked for.
        coverage: the share of the pixel that every sprite covers, as if it were alone; None if not asked for.
    """

    image: Float[Tensor, "batch channels height width"]
    segmentation: Int64[Tensor, "batch height width"] | None
    coverage: Float[Tensor, "batch sprites height width"] | None


@torch.no_grad()
def render_sprites(
    scene: SpriteScene,
    height: int,
    width: int,
    *,
    hard: bool = False,
    segmentation: bool = True,
    coverage: bool = False,
    chunk: int | None = None,
) -> RenderedSprites:
    """Draw the scenes, on the device of their tensors.

    Args:
        scene: what to draw.
        height: rows of the image.
        width: columns of the image.
        hard: no anti-aliasing: a sprite takes the pixels that it covers by half or more.
        segmentation: also give who is seen where.
        coverage: also give every sprite's own mask.
        chunk: scenes drawn at a time; a choice of speed and memory that does not change the result.

    Raises:
        DataError: tensors that do not fit together, numbers that are not finite, an unknown shape, a scale out of
            range, no pixel, a chunk below 1.
    """
    if height < 1 or width < 1:
        raise DataError(f"an image of {height} x {width} pixels", "at least one row and one column")
    if chunk is not None and chunk < 1:
        raise DataError(f"chunk = {chunk}", "at least 1")
    check_scene(scene)
    batch, sprites, channels = scene.colour.shape
    device = scene.colour.device
    background = torch.zeros(channels, device=device) if scene.background is None else scene.background.float()
    result = RenderedSprites(
        torch.empty(batch, channels, height, width, device=device),
        torch.zeros(batch, height, width, dtype=torch.int64, device=device) if segmentation else None,
        torch.zeros(batch, sprites, height, width, device=device) if coverage else None,
    )
    if not batch * sprites:
        result.image.copy_(background.expand(batch, channels)[:, :, None, None])
        return result
    placed, extent = place(scene, height, width)
    window = min(extent + 2, height) * min(extent + 2, width)
    budget = _CPU_CHUNK if device.type == "cpu" else _GPU_CHUNK
    chunk = chunk or max(1, int(budget / (sprites * window)))
    canvas = max(1, budget // (channels * height * width))
    for start in range(0, batch, chunk):
        some = placed.scenes(slice(start, start + chunk))
        windows = cover_windows(scene.shapes, some, (height, width), hard)
        for first in range(start, min(start + chunk, batch), canvas):
            piece = slice(first, min(first + canvas, start + chunk, batch))
            result.image[piece] = background.expand(batch, channels)[piece, :, None, None]
            if windows is not None:
                _lay(windows, some, slice(piece.start - start, piece.stop - start), result, piece)
    return result


def _lay(windows: Windows, placed: Placed, members: slice, result: RenderedSprites, scenes: slice) -> None:
    """Lay the windows of some scenes over their part of the canvas, from far to near."""
    image = result.image[scenes]
    batch, channels, height, width = image.shape
    size = height * width
    rows, columns = windows.cover.shape[2:]
    scene = torch.arange(batch, device=image.device) * size
    pictures = _every_window(image, rows, columns)
    labels = None if result.segmentation is None else _every_window(result.segmentation[scenes][:, None], rows, columns)
    masks = (
        None
        if result.coverage is None
        else _every_window(result.coverage[scenes].flatten(0, 1)[:, None], rows, columns)
    )
    for cover, start, colour, number in zip(
        windows.cover[:, members], windows.start[:, members], placed.colour[:, members], placed.number[:, members]
    ):
        cover = cover[:, None]
        place = start + scene * channels
        below = pictures.index_select(0, place)
        pictures.index_copy_(0, place, below.lerp_(colour[:, :, None, None], cover))
        if labels is not None:
            place = start + scene
            below = labels.index_select(0, place)
            labels.index_copy_(0, place, torch.where(cover >= 0.5, number[:, None, None, None], below))
        if masks is not None:
            masks.index_copy_(0, start + scene * len(windows.cover) + (number - 1) * size, cover)


def _every_window(canvas: Tensor, rows: int, columns: int) -> Tensor:
    """A view [S, C, rows, columns] of all windows of a contiguous canvas [B, C, H, W] by their first pixel in memory.

    Windows overlap in memory; index_copy_ may write them as long as those of one call do not. Moving whole windows is
    several times cheaper than moving single pixels by index.
    """
    channels, height, width = canvas.shape[1:]
    last = (channels - 1) * height * width + (rows - 1) * width + columns - 1
    return canvas.as_strided((canvas.numel() - last, channels, rows, columns), (1, height * width, width, 1),
                             canvas.storage_offset())  # fmt: skip
