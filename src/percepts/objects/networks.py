"""The networks that MONet's slots share, and how they start."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from percepts.nn.broadcast import SpatialBroadcastDecoder
from percepts.nn.conv import ConvEncoder


def component_encoder(**changes: Any) -> ConvEncoder.Config:
    """The paper's encoder: 3×3 convolutions of stride 2 with 32, 32, 64, 64 channels, then 256."""
    return ConvEncoder.Config(**{"channels": (32, 32, 64, 64), "kernels": 3, "hidden": (256,), **changes})


def component_decoder(channels: tuple[int, ...] = (32, 32, 32, 32)) -> SpatialBroadcastDecoder.Config:
    """The paper's decoder: a broadcast 8 pixels larger, four unpadded 3×3 convolutions, and a 1×1 convolution."""
    return SpatialBroadcastDecoder.Config(
        channels=channels, kernel=3, output_kernel=1, padding="valid", extra_channels=1
    )


def truncated_normal(module: nn.Module) -> None:
    """Weights of linear and convolutional layers of deviation 1/√fan_in cut at two deviations, biases zero.

    That MONet's or IODINE's papers did so is from memory and unverified; it is their framework's default.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            std = 1 / math.sqrt(layer.weight[0].numel())
            nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
