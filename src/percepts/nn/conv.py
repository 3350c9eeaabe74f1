"""Convolutional encoder and its mirror image, for images of any size.

Sizes need not divide by the stride: the decoder is given the sizes that the encoder passes through and reaches them
exactly (`output_padding`). At even sizes the padding is the "same" padding of the papers' code for 2×2 and 4×4
kernels. Two `Config`s with the same `channels` make an encoder and its mirror:

    higgins  channels (32, 32, 64, 64), kernels 4, hidden (256,)
    dlib     channels (32, 32, 64, 64), kernels (4, 4, 2, 2) in the encoder and 4 in the decoder, hidden (256,)
    burgess  channels (32, 32, 32, 32), kernels 4, hidden (256, 256)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError
from percepts.nn.coordinates import linear_coordinates
from percepts.nn.layers import ActivationName, Initialisation, activation, initialise, linear_chain

Size = tuple[int, int]


class ConvEncoder(nn.Module, Configurable):
    """Strided convolutions → hidden layers → the 2·D parameters of a diagonal Gaussian (means, then log-variances).

    Args:
        image_shape: (C, H, W).
        latent_size: D.

    Raises:
        ConfigError: the image is too small for that many layers.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Strided convolutions, then fully connected layers.

        Attributes:
            channels: output channels of every convolution, the one next to the image first.
            kernels: kernel size of all convolutions, or of each.
            stride: of every convolution.
            hidden: widths of the fully connected layers between the convolutions and the latents.
            activation: after every layer but the last.
            coordinates: whether two channels with x and y in [−1, 1] are added to the input.
            initialisation: of all weights, see `percepts.nn.layers.initialise`.
        """

        channels: tuple[int, ...] = (32, 32, 64, 64)
        kernels: int | tuple[int, ...] = 4
        stride: int = 2
        hidden: tuple[int, ...] = (256,)
        activation: ActivationName = "relu"
        coordinates: bool = False
        initialisation: Initialisation = "torch"

    coordinates: Tensor

    def __init__(self, config: Config, image_shape: tuple[int, int, int], latent_size: int) -> None:
        super().__init__()
        self.config = config
        depth, height, width = image_shape
        kernels = kernel_sizes(config.kernels, len(config.channels))
        sizes = feature_sizes((height, width), kernels, config.stride)
        if config.coordinates:
            depth += 2
            self.register_buffer("coordinates", linear_coordinates((height, width)), persistent=False)
        layers: list[nn.Module] = []
        for channels, kernel in zip(config.channels, kernels):
            layers += [
                nn.Conv2d(depth, channels, kernel, config.stride, _padding(kernel)),
                activation(config.activation),
            ]
            depth = channels
        self.convolutions = nn.Sequential(*layers)
        widths = (depth * sizes[-1][0] * sizes[-1][1], *config.hidden)
        self.head = nn.Sequential(
            *linear_chain(widths, config.activation),
            nn.Linear(widths[-1], 2 * latent_size),
        )
        initialise(self, config.initialisation)

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch parameters"]:
        if self.config.coordinates:
            image = with_coordinates(image, self.coordinates)
        return self.head(self.convolutions(image).flatten(1))


class ConvDecoder(nn.Module, Configurable):
    """Latents → hidden layers → transposed convolutions → logits or means of every pixel, the mirror of `ConvEncoder`.

    Args:
        image_shape: (C, H, W) of the output.
        latent_size: D.

    Raises:
        ConfigError: the image is too small for that many layers.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Fully connected layers, then transposed convolutions.

        Attributes:
            channels: as in the encoder that this mirrors, so input channels of every transposed convolution, the one
                next to the image first.
            kernels: kernel size of all convolutions, or of each, in the same order.
            stride: of every convolution.
            hidden: widths of the fully connected layers, the one next to the convolutions first.
            activation: after every layer but the last.
            coordinates: whether every convolution also gets x and y in [−1, 1] (CoordConv, the ablation of the
                spatial-broadcast paper).
            initialisation: of all weights, see `percepts.nn.layers.initialise`.
        """

        channels: tuple[int, ...] = (32, 32, 64, 64)
        kernels: int | tuple[int, ...] = 4
        stride: int = 2
        hidden: tuple[int, ...] = (256,)
        activation: ActivationName = "relu"
        coordinates: bool = False
        initialisation: Initialisation = "torch"

    def __init__(self, config: Config, image_shape: tuple[int, int, int], latent_size: int) -> None:
        super().__init__()
        self.config = config
        kernels = kernel_sizes(config.kernels, len(config.channels))
        sizes = feature_sizes(image_shape[1:], kernels, config.stride)
        self.start = (config.channels[-1], *sizes[-1])
        widths = (latent_size, *reversed(config.hidden), config.channels[-1] * sizes[-1][0] * sizes[-1][1])
        self.head = nn.Sequential(*linear_chain(widths, config.activation))
        outputs = (image_shape[0], *config.channels[:-1])
        extra = 2 if config.coordinates else 0
        layers: list[nn.Module] = []
        for i in reversed(range(len(config.channels))):
            convolution = _transposed(config.channels[i] + extra, outputs[i], kernels[i], config.stride, sizes[i])
            layers.append(WithCoordinates(convolution, sizes[i + 1]) if config.coordinates else convolution)
            if i > 0:
                layers.append(activation(config.activation))
        self.convolutions = nn.Sequential(*layers)
        initialise(self, config.initialisation)

    def forward(self, latents: Float[Tensor, "batch latents"]) -> Float[Tensor, "batch channels height width"]:
        return self.convolutions(self.head(latents).unflatten(1, self.start))


class WithCoordinates(nn.Module):
    """`module` with two more input channels, x and y in [−1, 1] (CoordConv)."""

    coordinates: Tensor

    def __init__(self, module: nn.Module, size: Size) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("coordinates", linear_coordinates(size), persistent=False)

    def forward(self, features: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch more h w"]:
        return self.module(with_coordinates(features, self.coordinates))


def with_coordinates(
    features: Float[Tensor, "batch channels height width"], coordinates: Float[Tensor, "2 height width"]
) -> Float[Tensor, "batch more height width"]:
    """`features` followed by the coordinate channels."""
    return torch.cat([features, coordinates.to(features.dtype).expand(features.shape[0], -1, -1, -1)], dim=1)


def feature_sizes(size: Size, kernels: tuple[int, ...], stride: int) -> list[Size]:
    """The (H, W) of the image and after every convolution with padding (kernel − 1) // 2.

    Raises:
        ConfigError: a feature map would be empty.
    """
    sizes = [size]
    for kernel in kernels:
        height, width = ((length + 2 * _padding(kernel) - kernel) // stride + 1 for length in sizes[-1])
        if min(height, width) < 1:
            raise ConfigError(
                f"an image of {size[0]}×{size[1]} pixels is too small for {len(kernels)} strided convolutions",
                fix=f"at most {len(sizes) - 1} entries in channels, or larger images"
                if len(sizes) > 1
                else "larger images, or the fully connected MLPEncoder and MLPDecoder",
            )
        sizes.append((height, width))
    return sizes


def kernel_sizes(kernels: int | tuple[int, ...], count: int) -> tuple[int, ...]:
    """One kernel size for each of `count` layers.

    Raises:
        ConfigError: the list has another length.
    """
    sizes = (kernels,) * count if isinstance(kernels, int) else kernels
    if len(sizes) != count or count == 0:
        raise ConfigError(
            f"{len(sizes)} kernels for {count} layers", "one kernel size, or one for every layer (at least 1)"
        )
    return sizes


def _padding(kernel: int) -> int:
    return (kernel - 1) // 2


def _transposed(inputs: int, outputs: int, kernel: int, stride: int, size: Size) -> nn.ConvTranspose2d:
    """The transposed convolution whose output has exactly `size`: what the strided one rounded away is padded."""
    lost = tuple((length + 2 * _padding(kernel) - kernel) % stride for length in size)
    return nn.ConvTranspose2d(inputs, outputs, kernel, stride, _padding(kernel), output_padding=(lost[0], lost[1]))
