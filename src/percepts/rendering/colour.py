"""Colour spaces."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from percepts.core.errors import DataError


def hsv_to_rgb(hsv: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 3"]:
    """RGB in [0, 1] of hue, saturation and value in [0, 1]; hue wraps around (0 and 1 are red)."""
    hue, saturation, value = hsv.unbind(-1)
    # Every channel is a trapezoid over the hue circle, shifted by a third of it.
    shifts = torch.tensor([5.0, 3.0, 1.0], dtype=hsv.dtype, device=hsv.device)
    k = (shifts + (hue * 6)[..., None]) % 6
    ramp = torch.minimum(k, 4 - k).clamp(0, 1)
    return value[..., None] * (1 - saturation[..., None] * ramp)


def hsv_bytes(hsv: Float[Tensor, "*shape 3"]) -> UInt8[Tensor, "*shape 3"]:
    """RGB in 0 … 255 as Spriteworld makes it: Python's `colorsys.hsv_to_rgb`, times 255, fractions cut off.

    Computed step by step in the precision of `hsv`, since that may decide about a fraction: Spriteworld's own is single
    with NumPy 2 and double before. Hue wraps around; colours beyond [0, 1] are clipped.

    Raises:
        DataError: a number that is NaN or infinite.
    """
    if not bool(hsv.isfinite().all()):
        raise DataError("a colour that is NaN or infinite", "hue, saturation and value in [0, 1]")
    hue, saturation, value = hsv.unbind(-1)
    sixth = hue * 6
    whole = sixth.floor()
    rest = sixth - whole
    low = value * (1 - saturation)
    falling = value * (1 - saturation * rest)
    rising = value * (1 - saturation * (1 - rest))
    table = torch.stack([value, falling, low, low, rising, value], dim=-1)
    # Red runs through the table from its start, green and blue follow by a third each.
    place = (whole[..., None].long() + torch.tensor([0, 4, 2], device=hsv.device)) % 6
    rgb = torch.where((saturation == 0)[..., None], value[..., None], table.gather(-1, place))
    return (rgb * 255).clamp_(0, 255).to(torch.uint8)
