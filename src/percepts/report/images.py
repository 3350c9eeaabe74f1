"""Pictures for the report: tensors as pixels, pixels as data URIs, and the colour maps of the maps."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, UInt8
from PIL import Image
from torch import Tensor

LARGEST_SIDE = 96
"""Pictures in a report are shrunk to this many pixels a side: it shows what a model does, and is no archive."""

LOSSLESS_BYTES = 24_000
"""A picture that needs more bytes than this without loss, or than half a byte a pixel, is stored with a small one."""

DIVERGING = np.array(
    [[18, 52, 110], [44, 108, 178], [133, 183, 222], [247, 246, 243], [246, 178, 116], [212, 96, 28], [122, 43, 8]],
    np.float64,
)
SEQUENTIAL = np.array(
    [[13, 12, 24], [66, 25, 92], [143, 41, 104], [214, 72, 82], [248, 140, 76], [252, 230, 168]], np.float64
)


@dataclass(frozen=True)
class Picture:
    """An image of the page.

    Attributes:
        source: a data URI.
        width, height: in pixels.
        alt: what it shows, in words.
        title: a note shown on hovering.
    """

    source: str
    width: int
    height: int
    alt: str
    title: str = ""


def picture(pixels: UInt8[np.ndarray, "height width channels"], alt: str, title: str = "") -> Picture:
    """`pixels` (1, 3 or 4 channels) as an inline WebP, without loss where that is small."""
    image = as_image(pixels)
    limit = min(LOSSLESS_BYTES, max(2_000, image.width * image.height // 2))
    data = _webp(image, lossless=True, effort=0)
    if len(data) > 2 * limit or len(data := _webp(image, lossless=True, effort=2)) > limit:
        data = _webp(image, lossless=False, effort=2)
    source = "data:image/webp;base64," + base64.b64encode(data).decode()
    return Picture(source, image.width, image.height, alt, title)


def as_image(pixels: UInt8[np.ndarray, "height width channels"]) -> Image.Image:
    """`pixels` as a Pillow image: grey, RGB or RGBA."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def to_pixels(
    images: Float[Tensor, "batch channels height width"], largest: int = LARGEST_SIDE
) -> UInt8[np.ndarray, "batch height width kept"]:
    """Images in [0, 1] as grey or RGB bytes, at most `largest` pixels a side.

    Of more than three channels the first three are shown, of two the mean; NaN shows as 0.
    """
    images = images.detach().float().cpu().nan_to_num(0.0)
    channels, side = images.shape[1], max(images.shape[-2:])
    if channels == 2:
        images = images.mean(dim=1, keepdim=True)
    elif channels > 3:
        images = images[:, :3]
    if side > largest:
        height, width = (max(1, round(size * largest / side)) for size in images.shape[-2:])
        images = F.interpolate(images, size=(height, width), mode="area")
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def colour(values: np.ndarray, anchors: Float64[np.ndarray, "anchors 3"]) -> UInt8[np.ndarray, "*shape 3"]:
    """Values in [0, 1] through a colour map of evenly spaced `anchors`; values outside are clamped, NaN is grey."""
    values = np.asarray(values, np.float64)
    position = np.clip(np.nan_to_num(values, nan=0.0), 0, 1) * (len(anchors) - 1)
    low = np.minimum(position.astype(int), len(anchors) - 2)
    share = (position - low)[..., None]
    mixed = anchors[low] * (1 - share) + anchors[low + 1] * share
    mixed[np.isnan(values)] = 128
    return mixed.round().astype(np.uint8)


def diverging(values: np.ndarray, limit: float) -> UInt8[np.ndarray, "*shape 3"]:
    """Values in [-limit, limit] as blue, white at 0, and orange: distinguishable with any kind of colour vision."""
    return colour(0.5 + np.asarray(values, np.float64) / (2 * limit), DIVERGING)


def sequential(values: np.ndarray, limit: float) -> UInt8[np.ndarray, "*shape 3"]:
    """Values in [0, limit] from dark to bright."""
    return colour(np.asarray(values, np.float64) / limit, SEQUENTIAL)


def _webp(image: Image.Image, lossless: bool, effort: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=lossless, quality=50 if lossless else 85, method=effort)
    return file.getvalue()
