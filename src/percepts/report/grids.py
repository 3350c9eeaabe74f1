"""Image grids: equal tiles in rows, with transparent gaps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from percepts.core.errors import PerceptsError
from percepts.report.images import as_image

MARGIN = 10
"""White pixels around a labelled figure."""
BREAK = 12
"""Further pixels between blocks of rows."""


def grid(
    tiles: UInt8[np.ndarray, "tiles height width channels"], columns: int, gap: int = 2
) -> UInt8[np.ndarray, "rows_height columns_width 4"]:
    """Tiles in reading order in `columns` columns, as RGBA; gaps and missing tiles of the last row are transparent.

    Raises:
        PerceptsError: there is no tile, or no column.
    """
    if len(tiles) == 0 or columns < 1:
        raise PerceptsError(f"a grid of {len(tiles)} tiles in {columns} columns", "at least one of each")
    count, height, width, _ = tiles.shape
    rows = -(-count // columns)
    canvas = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4), np.uint8)
    for number, tile in enumerate(with_alpha(tiles)):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def font(size: int) -> ImageFont.FreeTypeFont:
    """A typeface that has the Greek letters and signs of the captions; `size` in pixels."""
    import matplotlib  # Brings the file; Pillow's own typeface lacks β, ρ, ² and −.

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def with_alpha(pixels: UInt8[np.ndarray, "*shape channels"]) -> UInt8[np.ndarray, "*shape 4"]:
    """Grey or RGB pixels as opaque RGBA."""
    if pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, axis=-1)
    return np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=-1)


def labelled_rows(
    rows: Sequence[UInt8[np.ndarray, "height width channels"]],
    labels: Sequence[tuple[str, str]],
    scale: int = 2,
    gap: int = 6,
    note: str = "",
    breaks: Sequence[int] = (),
) -> Image.Image:
    """Rows of pixels under each other, each with two lines of text at its left, on white: for files and slides.

    Args:
        rows: equally high.
        labels: a name and a remark for every row.
        scale: every pixel becomes a square of so many.
        gap: between rows, in pixels of the result.
        note: a last line of text.
        breaks: rows that begin a new block: a wider gap and a line stand before them.
    """
    pictures = [as_image(row).convert("RGBA") for row in rows]
    pictures = [one.resize((one.width * scale, one.height * scale), Image.Resampling.NEAREST) for one in pictures]
    large, small = font(14), font(11)
    wide = max([large.getlength(name) for name, _ in labels] + [small.getlength(remark) for _, remark in labels])
    margin, step, below = MARGIN + 14 + round(wide), max(one.height for one in pictures), 24 if note else 0
    width = margin + max(one.width for one in pictures) + MARGIN
    high = len(rows) * (step + gap) - gap + 2 * MARGIN + below + BREAK * len(breaks)
    canvas = Image.new("RGB", (width, high), "white")
    draw = ImageDraw.Draw(canvas)
    for number, (one, (name, remark)) in enumerate(zip(pictures, labels)):
        top = MARGIN + number * (step + gap) + BREAK * sum(number >= first for first in breaks)
        if number in breaks:
            height = top - (gap + BREAK) // 2
            draw.line([(MARGIN, height), (width - MARGIN, height)], fill="#e3e3de", width=1)
        canvas.paste(one, (margin, top), one)
        draw.text((MARGIN, top + step / 2 - 18), name, fill="#111", font=large)
        draw.text((MARGIN, top + step / 2 + 1), remark, fill="#555", font=small)
    draw.text((margin, canvas.height - MARGIN - 14), note, fill="#555", font=small)
    return canvas
