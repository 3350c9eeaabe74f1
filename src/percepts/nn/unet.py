"""The attention network of MONet: a U-Net with a fully connected bottleneck (Burgess et al. 2019, appendix B).

A block is a 3×3 convolution without bias, instance normalisation with a learnt scale and bias, and a ReLU; between
blocks the size is halved on the way down and doubled on the way up, by nearest neighbours. Each block going up also
sees the activations of its mirror image going down. Three linear layers join the two ways.

What differs from the paper: it does not give channel numbers, so these follow two re-implementations that agree
(`unet_channels`). Images whose size the halvings do not divide are padded by repeating their borders, and the output is
cropped. Doubling and the convolution after it are one transposed convolution with 4×4 kernels, which is exact, needs
four ninths of the arithmetic and never makes the enlarged tensor. Instance normalisation is group normalisation with a
group a channel: the same function, and faster on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError
from percepts.nn.layers import linear_chain


def unet_channels(blocks: int, width: int = 32) -> tuple[int, ...]:
    """Channels of the blocks going down: `width` in all but the last three (but always in the first), twice it there.

    Five blocks are for 64×64 images, six for 128×128 (the paper), four for 32×32 (re-implementations), three for 24×24.
    """
    narrow = max(1, blocks - 3)
    return (width,) * min(narrow, blocks) + (2 * width,) * (blocks - narrow)


class UNet(nn.Module, Configurable):
    """Images → one map of `output_channels`, of the same size.

    Args:
        image_shape: (C, H, W) of the input, with every channel that it will have.

    Raises:
        ConfigError: no blocks, or so many that fewer than 2×2 positions are left at the bottom.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Blocks down, a fully connected bottleneck, blocks up.

        Attributes:
            channels: of the blocks going down, the one next to the image first; those going up mirror them.
            hidden: widths of the hidden linear layers of the bottleneck.
            output_channels: of the last, 1×1 convolution.
        """

        channels: tuple[int, ...] = unet_channels(5)
        hidden: tuple[int, ...] = (128, 128)
        output_channels: int = 1

    config: Config

    def __init__(self, config: Config, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.config = config
        channels, (depth, height, width) = config.channels, image_shape
        if not channels or min(channels) < 1:
            raise ConfigError(f"a U-Net with channels {channels}", "a positive number for every block, at least one")
        multiple = 2 ** (len(channels) - 1)
        self.size = (_divisible(height, multiple), _divisible(width, multiple))
        bottom = (self.size[0] // multiple, self.size[1] // multiple)
        if min(bottom) < 2:
            raise ConfigError(
                f"a U-Net of {len(channels)} blocks has {bottom[0]}×{bottom[1]} positions at the bottom for images of "
                f"{height}×{width} pixels",
                "at least 2×2, and 4×4 is usual",
                f"channels with {_blocks_for(min(height, width))} entries",
            )
        self.down = nn.ModuleList(Block(i, o) for i, o in zip((depth, *channels), channels))
        self.bottom = (channels[-1], *bottom)
        flat = channels[-1] * bottom[0] * bottom[1]
        self.bottleneck = nn.Sequential(*linear_chain((flat, *config.hidden, flat), "relu"))
        below = channels[::-1]
        above = (*below[1:], channels[0])
        # A block going up gives what the next one's mirror image has.
        self.first_up = Block(2 * below[0], above[0])
        self.up = nn.ModuleList(UpBlock(above[i - 1], below[i], above[i]) for i in range(1, len(channels)))
        self.output = nn.Conv2d(channels[0], config.output_channels, 1)

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch outputs height width"]:
        height, width = image.shape[2:]
        features = _padded(image, self.size).contiguous()
        skips: list[Tensor] = []
        for block in self.down:
            # The nearest neighbour at half the size is every other pixel.
            features = block(features[:, :, ::2, ::2].contiguous() if skips else features)
            skips.append(features)
        features = self.bottleneck(features.flatten(1)).unflatten(1, self.bottom)
        features = self.first_up(torch.cat([features.to(skips[-1].dtype), skips.pop()], dim=1))
        for block in self.up:
            features = block(features, skips.pop())
        return _cropped(self.output(features), (height, width))


class Block(nn.Module):
    """3×3 convolution without bias → instance normalisation → ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(outputs, outputs)

    def forward(self, features: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs h w"]:
        return F.relu(self.norm(F.conv2d(features, self.convolution.weight.contiguous(), padding=1)), inplace=True)


class UpBlock(nn.Module):
    """`Block` of features twice as large, nearest neighbour, followed by the channels of a skip connection."""

    doubling: Tensor

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs + skip, outputs, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(outputs, outputs)
        self.register_buffer("doubling", DOUBLING.clone(), persistent=False)

    def forward(
        self,
        features: Float[Tensor, "batch inputs height width"],
        skip: Float[Tensor, "batch skip height2 width2"],
    ) -> Float[Tensor, "batch outputs height2 width2"]:
        inputs = features.shape[1]
        weight = self.convolution.weight.contiguous()
        enlarged = doubled_convolution(features, weight[:, :inputs], self.doubling)
        beside = F.conv2d(skip, weight[:, inputs:].contiguous(), padding=1)
        return F.relu(self.norm(enlarged.add_(beside)), inplace=True)


DOUBLING = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
"""Which of the 3 taps of a convolution meet which of the 4 taps of the transposed one that also doubles the size: of
three neighbours in the enlarged map two always come from the same pixel."""


def doubled_convolution(
    features: Float[Tensor, "batch inputs height width"],
    weight: Float[Tensor, "outputs inputs 3 3"],
    doubling: Float[Tensor, "4 3"],
) -> Float[Tensor, "batch outputs height2 width2"]:
    """The 3×3 convolution, padded by 1, of `features` enlarged twice by nearest neighbours, without enlarging them."""
    kernel = torch.einsum("ay,oiyx,bx->ioab", doubling, weight, doubling)
    return F.conv_transpose2d(features, kernel.contiguous(), stride=2, padding=1)


def _divisible(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


def _blocks_for(length: int) -> int:
    """How many blocks leave 4 positions or more, at least one."""
    return max(1, (length // 4).bit_length())


def _padded(image: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = size[0] - image.shape[2], size[1] - image.shape[3]
    if height == width == 0:
        return image
    margins = (width // 2, width - width // 2, height // 2, height - height // 2)
    return F.pad(image, margins, mode="replicate")


def _cropped(output: Tensor, size: tuple[int, int]) -> Tensor:
    top, left = ((have - want) // 2 for have, want in zip(output.shape[2:], size))
    return output[:, :, top : top + size[0], left : left + size[1]]
