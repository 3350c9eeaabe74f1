"""The attention U-Net: the paper's layers, spelled out; sizes; the doubling convolution."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from percepts.core.errors import ConfigError
from percepts.nn.unet import DOUBLING, UNet, doubled_convolution, unet_channels


def small(blocks: int = 3, size: tuple[int, int] = (24, 24), **settings) -> UNet:
    torch.manual_seed(0)
    config = UNet.Config(channels=unet_channels(blocks, 6), hidden=(9, 7), **settings)
    return config.build(image_shape=(4, *size))


def by_the_paper(net: UNet, image: Tensor) -> Tensor:
    """The forward pass with resizing, concatenation and instance normalisation as the paper writes them."""

    def block(part, features: Tensor) -> Tensor:
        features = F.conv2d(features, part.convolution.weight, padding=1)
        return F.relu(F.instance_norm(features, weight=part.norm.weight, bias=part.norm.bias))

    skips: list[Tensor] = []
    features = image
    for part in net.down:
        features = block(part, F.interpolate(features, scale_factor=0.5) if skips else features)
        skips.append(features)
    features = net.bottleneck(features.flatten(1)).reshape(skips[-1].shape)
    features = block(net.first_up, torch.cat([features, skips.pop()], 1))
    for part in net.up:
        features = block(part, torch.cat([F.interpolate(features, scale_factor=2.0), skips.pop()], 1))
    return net.output(features)


@pytest.mark.parametrize(("blocks", "size"), [(1, (8, 8)), (3, (24, 16)), (4, (32, 32)), (5, (64, 32))])
def test_it_is_the_papers_network(blocks: int, size: tuple[int, int]):
    net = small(blocks, size).double()
    for part in net.modules():
        if isinstance(part, torch.nn.GroupNorm):
            torch.nn.init.normal_(part.weight)
            torch.nn.init.normal_(part.bias)
    image = torch.randn(2, 4, *size, dtype=torch.float64)
    torch.testing.assert_close(net(image), by_the_paper(net, image), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("size", "blocks", "parameters"), [(64, 5, 604_513), (128, 6, 632_289)])
def test_numbers_of_parameters(size: int, blocks: int, parameters: int):
    net = UNet.Config(channels=unet_channels(blocks)).build(image_shape=(4, size, size))
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


def test_channels_follow_the_re_implementations():
    assert unet_channels(3, 16) == (16, 32, 32)
    assert unet_channels(4) == (32, 64, 64, 64)
    assert unet_channels(5) == (32, 32, 64, 64, 64)
    assert unet_channels(6) == (32, 32, 32, 64, 64, 64)
    assert unet_channels(1) == (32,)


@pytest.mark.parametrize("size", [(35, 35), (33, 24), (17, 30)])
def test_other_sizes_are_padded_at_their_borders_and_cropped(size: tuple[int, int]):
    net = small(3, size)
    image = torch.randn(2, 4, *size)
    output = net(image)
    assert output.shape == (2, 1, *size)
    full = tuple(-(-length // 4) * 4 for length in size)
    before = [(have - want) // 2 for have, want in zip(full, size)]
    rows = (torch.arange(full[0]) - before[0]).clamp(0, size[0] - 1)
    columns = (torch.arange(full[1]) - before[1]).clamp(0, size[1] - 1)
    padded = image[:, :, rows][:, :, :, columns]
    whole = by_the_paper(net, padded)
    cropped = whole[:, :, before[0] : before[0] + size[0], before[1] : before[1] + size[1]]
    torch.testing.assert_close(output, cropped, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 4)])
def test_doubling_within_a_convolution(shape: tuple[int, int]):
    features, weight = torch.randn(2, 3, *shape).double(), torch.randn(4, 3, 3, 3).double()
    expected = F.conv2d(F.interpolate(features, scale_factor=2.0), weight, padding=1)
    torch.testing.assert_close(doubled_convolution(features, weight, DOUBLING.double()), expected)


def test_memory_layout_changes_nothing():
    net, image = small(), torch.randn(2, 4, 24, 24)
    expected = net(image)
    net.to(memory_format=torch.channels_last)
    torch.testing.assert_close(net(image.contiguous(memory_format=torch.channels_last)), expected)


def test_every_parameter_learns():
    net = small(output_channels=2)
    net(torch.randn(2, 4, 24, 24)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_images_do_not_see_each_other():
    net, images = small(), torch.randn(3, 4, 24, 24)
    torch.testing.assert_close(net(images)[1:2], net(images[1:2]))


@pytest.mark.parametrize(
    ("channels", "size", "message"),
    [
        ((), 24, "at least one"),
        ((4, 0), 24, "positive number"),
        ((4,) * 6, 32, "channels with 4 entries"),
        ((4,) * 3, 4, "channels with 1 entries"),
    ],
)
def test_what_cannot_be_built_is_explained(channels: tuple[int, ...], size: int, message: str):
    with pytest.raises(ConfigError, match=message):
        UNet.Config(channels=channels).build(image_shape=(4, size, size))
