"""Colour spaces."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def hsv_to_rgb(hsv: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 3"]:
    """RGB in [0, 1] of hue, saturation and value in [0, 1]; hue wraps around (0 and 1 are red)."""
    hue, saturation, value = hsv.unbind(-1)
    # Every channel is a trapezoid over the hue circle, shifted by a third of it.
    shifts = torch.tensor([5.0, 3.0, 1.0], dtype=hsv.dtype, device=hsv.device)
    k = (shifts + (hue * 6)[..., None]) % 6
    ramp = torch.minimum(k, 4 - k).clamp(0, 1)
    return value[..., None] * (1 - saturation[..., None] * ramp)
