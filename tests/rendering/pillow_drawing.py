"""What Pillow itself draws, for the tests of the exact renderer."""

from __future__ import annotations

import numpy as np
import PIL
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

needs_same_pillow = pytest.mark.skipif(
    int(PIL.__version__.split(".")[0]) < 13,
    reason="Pillow before 13 (tall pictures) and 11.2 (spikes) draws differently",
)


def filled(corners: list[list[int]], height: int, width: int) -> np.ndarray:
    """The cells [height, width] of a polygon, row 0 with y = 0."""
    canvas = Image.new("L", (width, height))
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in corners], fill=1)
    return np.array(canvas) > 0


def painted(
    corners: Tensor, counts: Tensor, colour: Tensor, present: Tensor, size: tuple[int, int], supersampling: int,
    background: tuple[int, int, int] = (0, 0, 0),
) -> Image.Image:  # fmt: skip
    """The canvas of one scene, upside down."""
    height, width = size[0] * supersampling, size[1] * supersampling
    canvas = Image.new("RGB", (width, height), background)
    draw = ImageDraw.Draw(canvas)
    scale = torch.tensor([width, height], dtype=torch.float64)
    for outline, count, fill, there in zip(corners, counts, colour.tolist(), present):
        if there:
            draw.polygon([tuple(corner) for corner in (outline[:count] * scale).tolist()], fill=tuple(fill))
    return canvas


def rendered(scene: tuple[Tensor, Tensor, Tensor, Tensor], size: tuple[int, int], supersampling: int,
             background: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:  # fmt: skip
    """The images [B, H, W, 3] of scenes (corners, counts, colour, present)."""
    frames = []
    for one in zip(*scene):
        canvas = painted(*one, size, supersampling, background)
        frames.append(np.flipud(np.array(canvas.resize((size[1], size[0]), Image.Resampling.LANCZOS))))
    return np.stack(frames)
