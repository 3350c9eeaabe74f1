"""From any picture to pixels: orientation, transparency, depth, size, channels."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor

GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N", "F")


def read_image(path: Path | str, size: tuple[int, int], crop: bool, background: str) -> Image.Image:
    """The first frame of the picture at `path`, upright, opaque, as an 8-bit "L" or "RGB" image of `size` (H, W).

    Raises:
        Exception: whatever the decoder raises on a damaged file.
    """
    with Image.open(path) as image:
        # Large JPEGs are decoded at a fraction of their size, yet at twice what is asked for at least.
        image.draft(None, (2 * max(size), 2 * max(size)))
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return resize(plain_image(image, background), size, crop)


def plain_image(image: Image.Image, background: str = "black") -> Image.Image:
    """`image` as "L" or "RGB" with 8 bits a channel, transparent pixels laid over `background`.

    16-bit grey maps 0..65535 to 0..255, floating-point grey must lie in [0, 1].

    Raises:
        ValueError: grey values outside of the range of their format.
    """
    grey = image.mode in GREY_MODES
    if image.mode.startswith(("I", "F")):
        return _eight_bit(image)
    if image.has_transparency_data:
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", over.size, background), over)
    return _in_mode(image, "L" if grey else "RGB")


def resize(image: Image.Image, size: tuple[int, int], crop: bool = True) -> Image.Image:
    """`image` at `size` (H, W), with anti-aliased bilinear filtering; equal sizes leave the pixels as they are.

    Args:
        image: an "L" or "RGB" image.
        size: wanted (height, width).
        crop: cut the largest centred part with the wanted aspect first; otherwise the picture is squeezed.
    """
    height, width = size
    if image.size == (width, height):
        return image
    box = (0.0, 0.0, float(image.width), float(image.height))
    if crop:
        scale = min(image.width / width, image.height / height)
        left, top = (image.width - scale * width) / 2, (image.height - scale * height) / 2
        box = (left, top, left + scale * width, top + scale * height)
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box)


def pixels(image: Image.Image, channels: Literal[1, 3]) -> UInt8[np.ndarray, "channels height width"]:
    """An "L" or "RGB" image as an array; colour becomes luma for one channel, grey is repeated for three."""
    values = np.array(_in_mode(image, "L" if channels == 1 else "RGB"))
    return values[None] if values.ndim == 2 else np.ascontiguousarray(values.transpose(2, 0, 1))


def unit_range(values: UInt8[Tensor, "..."]) -> Float[Tensor, "..."]:
    """uint8 values 0..255 as float32 in [0, 1]."""
    return values.to(torch.float32).div_(255)


def _in_mode(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    """`image` in `mode`, without the copy that Pillow makes where it is in that mode already."""
    return image if image.mode == mode else image.convert(mode)


def _eight_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    largest = 1.0 if image.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= largest):
        raise ValueError(f"grey values from {values.min():g} to {values.max():g}, expected 0 to {largest:g}")
    return Image.fromarray(np.round(values * (255 / largest)).astype(np.uint8))
