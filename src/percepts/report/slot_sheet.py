"""Sheets: labelled tables of small pictures on white, for figures and the frames of videos; and pixels behind masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from jaxtyping import Int, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from percepts.report.grids import font
from percepts.report.images import LARGEST_SIDE, as_image

MARGIN, GAP, NOTE, HEADING, FRAME = 10, 8, 15, 20, 3
SMALLEST_SIDE = 72
"""Tiles are enlarged by whole numbers to at least so many pixels a side."""


@dataclass(frozen=True)
class Tile:
    """A picture in a sheet.

    Attributes:
        pixels: grey, RGB or RGBA.
        note: a line of text below it.
        frame: the colour of a line around it, as a page writes it; none where empty.
    """

    pixels: UInt8[np.ndarray, "height width channels"]
    note: str = ""
    frame: str = ""


def sheet(
    rows: Sequence[Sequence[Tile | None]],
    *,
    columns: Sequence[str] = (),
    labels: Sequence[tuple[str, str]] = (),
    breaks: Sequence[int] = (),
) -> Image.Image:
    """Equally large tiles in rows, with a heading over every column and a name and a remark before every row.

    Args:
        rows: where a tile is None, its place stays empty.
        breaks: rows before which a line is drawn.
    """
    first = next(tile for row in rows for tile in row if tile is not None).pixels
    scale = max(1, -(-SMALLEST_SIDE // max(first.shape[:2])))
    height, width = first.shape[0] * scale, first.shape[1] * scale
    faces = font(12), font(11)
    left = MARGIN + round(max([0.0, *(max(faces[0].getlength(a), faces[1].getlength(b)) + 12 for a, b in labels)]))
    noted = [NOTE if any(tile is not None and tile.note for tile in row) else 0 for row in rows]
    top = MARGIN + (HEADING if columns else 0)
    tops = [
        top + sum(height + GAP + noted[n] + GAP * ((n + 1) in breaks) for n in range(row)) for row in range(len(rows))
    ]
    across = left + max(len(row) for row in rows) * (width + GAP) - GAP + MARGIN
    canvas = Image.new("RGB", (across, tops[-1] + height + noted[-1] + MARGIN), "white")
    draw = ImageDraw.Draw(canvas)
    for number, words in enumerate(columns):
        draw.text((left + number * (width + GAP), MARGIN), words, fill="#1b1d21", font=faces[1])
    for number, (row, y) in enumerate(zip(rows, tops)):
        if number in breaks:
            draw.line([(MARGIN, y - GAP), (across - MARGIN, y - GAP)], fill="#e3e3de")
        if number < len(labels):
            draw.text((MARGIN, y + height / 2 - 15), labels[number][0], fill="#1b1d21", font=faces[0])
            draw.text((MARGIN, y + height / 2 + 1), labels[number][1], fill="#5b6068", font=faces[1])
        for place, tile in enumerate(row):
            if tile is not None:
                _paste(canvas, draw, tile, (left + place * (width + GAP), y), (width, height), faces[1])
    return canvas


def through(
    pixels: UInt8[np.ndarray, "*batch height width channels"], alpha: np.ndarray
) -> UInt8[np.ndarray, "*batch height width 3"]:
    """`pixels` as far as `alpha` in [0, 1] lets them through, before a light checkerboard: black stays visible."""
    height, width = pixels.shape[-3:-1]
    size = max(2, height // 16)
    rows, columns = np.arange(height)[:, None] // size, np.arange(width)[None] // size
    board = np.where((rows + columns) % 2, 214, 240)[..., None].astype(np.float64)
    share = np.clip(np.nan_to_num(alpha), 0, 1)[..., None]
    return (pixels * share + board * (1 - share)).round().astype(np.uint8)


def shrink_labels(
    labels: Int[Tensor, "*batch height width"], largest: int = LARGEST_SIDE
) -> Int[Tensor, "*batch low narrow"]:
    """A segmentation with at most `largest` pixels a side, each that of the nearest pixel."""
    height, width = labels.shape[-2:]
    if max(height, width) <= largest:
        return labels
    size = tuple(max(1, round(side * largest / max(height, width))) for side in (height, width))
    flat = labels.reshape(-1, 1, height, width).float()
    return F.interpolate(flat, size=size, mode="nearest-exact").to(labels.dtype).reshape(*labels.shape[:-2], *size)


def _paste(
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    tile: Tile,
    place: tuple[int, int],
    size: tuple[int, int],
    face: ImageFont.FreeTypeFont,
) -> None:
    picture = as_image(tile.pixels).convert("RGBA").resize(size, Image.Resampling.NEAREST)
    (x, y), (width, height) = place, size
    if tile.frame:
        draw.rectangle([x - FRAME, y - FRAME, x + width + FRAME - 1, y + height + FRAME - 1], fill=tile.frame)
    canvas.paste(picture, place, picture)
    if tile.note:
        draw.text((x, y + height + 3), tile.note, fill="#5b6068", font=face)
