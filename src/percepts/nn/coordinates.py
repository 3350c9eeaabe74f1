"""Fixed coordinate channels: where a pixel is, as numbers that a convolution can read."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Coordinates = Literal["linear", "cos", "none"]


def coordinate_channels(kind: Coordinates, size: tuple[int, int], frequencies: int) -> Float[Tensor, "channels h w"]:
    """The coordinate channels of a grid of `size` (H, W), float32.

    Args:
        kind: "linear" gives x and y; "cos" gives products of cosines; "none" gives no channels.
        frequencies: how many frequencies "cos" has in each direction.
    """
    if kind == "linear":
        return linear_coordinates(size)
    if kind == "cos":
        return cosine_coordinates(size, frequencies)
    return torch.zeros(0, *size)


def linear_coordinates(size: tuple[int, int]) -> Float[Tensor, "2 height width"]:
    """x (along the width), then y (along the height), each linear from −1 to 1 (Watters et al. 2019, Algorithm 1)."""
    height, width = size
    x, y = torch.linspace(-1, 1, width), torch.linspace(-1, 1, height)
    return torch.stack([x[None, :].expand(height, width), y[:, None].expand(height, width)])


def cosine_coordinates(size: tuple[int, int], frequencies: int) -> Float[Tensor, "channels height width"]:
    """cos(π·f·x)·cos(π·g·y) for all frequencies f, g in 0 … F−1 but the constant: F²−1 channels, x and y in [0, 1].

    The form is that of the "BroadcastConv" module published with IODINE. f varies slowest.
    """
    frequency = torch.arange(frequencies, dtype=torch.float32)
    x, y = (torch.cos(math.pi * frequency[:, None] * torch.linspace(0, 1, length)) for length in reversed(size))
    products = x[:, None, None, :] * y[None, :, :, None]
    return products.flatten(0, 1)[1:]
