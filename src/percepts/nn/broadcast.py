"""Spatial-broadcast decoder (Watters, Matthey, Burgess, Lerchner 2019, "Spatial Broadcast Decoder").

The latents are tiled over the image grid, coordinate channels are appended ([z, x, y], Algorithm 1) and a small
stride-1 convolutional network turns every position into a pixel. Position is then a coordinate and need not be learnt.

What differs from the paper: the sizes of its networks could not be checked against its appendix; the defaults here
(three hidden layers of 64 channels, 3×3) are our choice. The first convolution never sees the tiled tensor: a
convolution is linear, so that of the tiles and that of the coordinates are computed apart, which is exact and saves
B·(D+2)·H·W numbers and nearly all of the layer's time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError
from percepts.nn.coordinates import Coordinates, coordinate_channels
from percepts.nn.layers import ActivationName, Initialisation, activation, initialise, linear_chain


class SpatialBroadcastDecoder(nn.Module, Configurable):
    """Latents → tiles with coordinates → stride-1 convolutions → logits or means of every pixel.

    Args:
        image_shape: (C, H, W) of the output. The size can be another at every call.
        latent_size: D.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Latents tiled over the image with coordinates, then stride-1 convolutions.

        Attributes:
            channels: of the hidden convolutions.
            kernel: of the hidden convolutions, in pixels; 1 makes every pixel a function of latents and position.
            output_kernel: of the last convolution; None = `kernel`.
            padding: "same" pads with zeros; "valid" broadcasts to a grid larger by what the kernels eat, so that
                borders are like the interior (as MONet does).
            coordinates: "linear" x and y in [−1, 1], "cos" products of cosines, or "none" (the paper's ablation).
            frequencies: F of "cos", which makes F²−1 channels.
            pre_mlp: widths of fully connected layers before the tiling.
            activation: after every layer but the last.
            extra_channels: outputs beside those of the image, such as a mask.
            initialisation: of all weights, see `percepts.nn.layers.initialise`.
        """

        channels: tuple[int, ...] = (64, 64, 64)
        kernel: Literal[1, 3, 4, 5] = 3
        output_kernel: Literal[1, 3, 4, 5] | None = None
        padding: Literal["same", "valid"] = "same"
        coordinates: Coordinates = "linear"
        frequencies: int = 3
        pre_mlp: tuple[int, ...] = ()
        activation: ActivationName = "relu"
        extra_channels: int = 0
        initialisation: Initialisation = "torch"

    coordinates: Tensor

    def __init__(self, config: Config, image_shape: tuple[int, int, int], latent_size: int) -> None:
        super().__init__()
        if not config.channels:
            raise ConfigError("a spatial-broadcast decoder without hidden channels", "at least one entry in channels")
        self.config = config
        self.grid = image_shape[1:]
        self.pre_mlp = nn.Sequential(*linear_chain((latent_size, *config.pre_mlp), config.activation))
        self.kernels: tuple[int, ...] = (config.kernel,) * len(config.channels) + (
            config.output_kernel or config.kernel,
        )
        self.register_buffer("coordinates", self._coordinates(self.grid), persistent=False)
        tiles = (latent_size, *config.pre_mlp)[-1]
        depths = (tiles + self.coordinates.shape[0], *config.channels, image_shape[0] + config.extra_channels)
        self.first = nn.Conv2d(depths[0], depths[1], self.kernels[0])
        rest: list[nn.Module] = []
        for i in range(1, len(self.kernels)):
            rest += [activation(config.activation), *_convolution(depths[i], depths[i + 1], self.kernels[i], self.same)]
        self.rest = nn.Sequential(*rest)
        initialise(self, config.initialisation)

    def forward(
        self, latents: Float[Tensor, "batch latents"], size: tuple[int, int] | None = None
    ) -> Float[Tensor, "batch channels height width"]:
        """The output for `latents`, at `size` (H, W) instead of that of the data where given."""
        coordinates = self.coordinates
        if size is not None and size != self.grid:
            coordinates = self._coordinates(size).to(latents.device)
        features = broadcast_convolution(
            self.pre_mlp(latents), coordinates, self.first.weight, self.first.bias, self.same
        )
        return self.rest(features)

    @property
    def same(self) -> bool:
        """Whether convolutions are padded with zeros."""
        return self.config.padding == "same"

    def _coordinates(self, size: tuple[int, int]) -> Tensor:
        margin = 0 if self.same else sum(kernel - 1 for kernel in self.kernels)
        grid = (size[0] + margin, size[1] + margin)
        return coordinate_channels(self.config.coordinates, grid, self.config.frequencies)


class SpatialBroadcast(nn.Module, Configurable):
    """The broadcast alone: latents [B, D] → [B, D + coordinate channels, H, W], in the order z, x, y.

    Args:
        size: (H, W) of the grid; another one can be given at every call.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Tiles and coordinates; see `SpatialBroadcastDecoder.Config`."""

        coordinates: Coordinates = "linear"
        frequencies: int = 3

    coordinates: Tensor

    def __init__(self, config: Config, size: tuple[int, int]) -> None:
        super().__init__()
        self.config = config
        self.grid = size
        self.register_buffer("coordinates", self._coordinates(size), persistent=False)

    def forward(
        self, latents: Float[Tensor, "batch latents"], size: tuple[int, int] | None = None
    ) -> Float[Tensor, "batch channels height width"]:
        coordinates = self.coordinates
        if size is not None and size != self.grid:
            coordinates = self._coordinates(size).to(latents.device)
        tiles = latents[:, :, None, None].expand(-1, -1, *coordinates.shape[1:])
        return torch.cat([tiles, coordinates.to(latents.dtype).expand(latents.shape[0], -1, -1, -1)], dim=1)

    def _coordinates(self, size: tuple[int, int]) -> Tensor:
        return coordinate_channels(self.config.coordinates, size, self.config.frequencies)


def broadcast_convolution(
    latents: Float[Tensor, "batch latents"],
    coordinates: Float[Tensor, "coordinates height width"],
    weight: Float[Tensor, "channels inputs kernel kernel"],
    bias: Float[Tensor, " channels"] | None,
    same: bool,
) -> Float[Tensor, "batch channels out_height out_width"]:
    """The stride-1 convolution of tiled `latents` followed by `coordinates`, without making the tiled tensor.

    Args:
        weight: its inputs are the latents, then the coordinates.
        same: pad with zeros to keep the size (for even kernels one more after than before), or do not pad.
    """
    kernel, latent_size = weight.shape[-1], latents.shape[1]
    margins = _margins(kernel) if same else (0, 0, 0, 0)
    height, width = (length if same else length - kernel + 1 for length in coordinates.shape[1:])
    if same and kernel > 1:
        # Where the kernel hangs over a border it sees fewer tiles, in at most `kernel` ways along each axis: a grid of
        # that size has all of them, and its middle row and column stand for the whole interior.
        small = (min(height, kernel), min(width, kernel))
        taps = F.conv2d(F.pad(weight.new_ones(1, 1, *small), margins), _every_tap(weight))[0]
        reach = weight[:, :latent_size].flatten(2) @ taps.flatten(1)
        tiles = F.linear(latents, reach.movedim(1, 2).flatten(0, 1)).unflatten(1, (-1, *small))
        tiles = _stretch(_stretch(tiles, 2, height, kernel), 3, width, kernel)
    else:
        tiles = F.linear(latents, weight[:, :latent_size].sum(dim=(2, 3)))[:, :, None, None]
    if coordinates.shape[0] == 0:
        bias = weight.new_zeros(weight.shape[0]) if bias is None else bias
        places = bias[:, None, None].expand(-1, height, width)[None]
    else:
        places = F.conv2d(F.pad(coordinates[None].to(weight.dtype), margins), weight[:, latent_size:], bias)
    return places + tiles


def _convolution(inputs: int, outputs: int, kernel: int, same: bool) -> list[nn.Module]:
    """A convolution that keeps the size, or does not pad. Odd kernels pad by themselves, without copying the input."""
    if not same or kernel == 1:
        return [nn.Conv2d(inputs, outputs, kernel)]
    if kernel % 2 == 0:
        return [nn.ZeroPad2d(_margins(kernel)), nn.Conv2d(inputs, outputs, kernel)]
    # The layer that does nothing keeps the names that weights have in older checkpoints.
    return [nn.Identity(), nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)]


def _margins(kernel: int) -> tuple[int, int, int, int]:
    """Zeros (left, right, top, bottom) that keep the size: of an even kernel's odd number one more comes after."""
    before, after = (kernel - 1) // 2, kernel // 2
    return (before, after, before, after)


def _every_tap(weight: Tensor) -> Tensor:
    """Kernels [K², 1, K, K] that pick one tap each: their responses to ones tell which taps lie within the grid."""
    kernel = weight.shape[-1]
    return torch.eye(kernel * kernel, dtype=weight.dtype, device=weight.device).view(-1, 1, kernel, kernel)


def _stretch(tiles: Tensor, dim: int, length: int, kernel: int) -> Tensor:
    """Repeat the middle of `tiles` along `dim` until it is `length` long."""
    before, extra = (kernel - 1) // 2, length - tiles.shape[dim]
    if extra <= 0:
        return tiles
    shape = list(tiles.shape)
    shape[dim] = extra
    middle = tiles.narrow(dim, before, 1).expand(shape)
    return torch.cat([tiles.narrow(dim, 0, before), middle, tiles.narrow(dim, before, kernel - before)], dim)
