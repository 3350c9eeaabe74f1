"""Encoders and decoders: shapes at any size, tabled parameter counts, coordinates, initialisation."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError
from percepts.nn.broadcast import SpatialBroadcastDecoder
from percepts.nn.conv import ConvDecoder, ConvEncoder
from percepts.nn.layers import activation
from percepts.nn.mlp import MLPDecoder, MLPEncoder

SHAPES = [(1, 24, 24), (3, 28, 28), (2, 33, 47), (1, 64, 64), (3, 128, 128)]
ENCODERS = [
    ConvEncoder.Config(),
    ConvEncoder.Config(channels=(8, 8, 8, 8), kernels=(4, 4, 2, 2), activation="leaky_relu"),
    ConvEncoder.Config(channels=(4, 4), kernels=(5, 3), stride=3, hidden=(), activation="elu", coordinates=True),
    MLPEncoder.Config(hidden=(16, 8), activation="tanh"),
    MLPEncoder.Config(hidden=()),
]
DECODERS = [
    ConvDecoder.Config(),
    ConvDecoder.Config(channels=(8, 8, 8, 8), kernels=(4, 4, 2, 2), hidden=(16, 8)),
    ConvDecoder.Config(channels=(4, 4), kernels=(5, 3), stride=3, hidden=(), coordinates=True),
    MLPDecoder.Config(hidden=(16, 8), activation="elu"),
]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("config", ENCODERS)
def test_encoders_take_any_image_and_give_two_numbers_a_latent(config: Any, shape: tuple[int, int, int]) -> None:
    encoder = config.build(image_shape=shape, latent_size=5)
    output = encoder(torch.rand(2, *shape))
    assert output.shape == (2, 10)
    output.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in encoder.parameters())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("config", DECODERS)
def test_decoders_give_images_of_any_size(config: Any, shape: tuple[int, int, int]) -> None:
    decoder = config.build(image_shape=shape, latent_size=5)
    output = decoder(torch.randn(2, 5))
    assert output.shape == (2, *shape)
    output.square().mean().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in decoder.parameters())


def test_parameter_counts_are_those_of_the_papers_networks() -> None:
    grey, red_green_blue = (1, 64, 64), (3, 64, 64)
    fc_encoder = MLPEncoder.Config(hidden=(1200, 1200)).build(image_shape=grey, latent_size=10)
    assert count(fc_encoder) == 4097 * 1200 + 1201 * 1200 + 1201 * 20
    fc_decoder = MLPDecoder.Config(hidden=(1200,) * 3).build(image_shape=grey, latent_size=10)
    assert count(fc_decoder) == 11 * 1200 + 2 * 1201 * 1200 + 1201 * 4096
    higgins = ConvEncoder.Config().build(image_shape=grey, latent_size=32)
    convolutions = (16 + 1) * 32 + (512 + 1) * 32 + (512 + 1) * 64 + (1024 + 1) * 64
    assert count(higgins) == convolutions + 1025 * 256 + 257 * 64
    dlib = ConvEncoder.Config(kernels=(4, 4, 2, 2)).build(image_shape=grey, latent_size=10)
    assert count(dlib) == (16 + 1) * 32 + (512 + 1) * 32 + (128 + 1) * 64 + (256 + 1) * 64 + 1025 * 256 + 257 * 20
    dlib_decoder = ConvDecoder.Config().build(image_shape=red_green_blue, latent_size=10)
    transposed = (1024 * 64 + 64) + (1024 * 32 + 32) + (512 * 32 + 32) + (512 * 3 + 3)
    assert count(dlib_decoder) == 11 * 256 + 257 * 1024 + transposed
    burgess = ConvEncoder.Config(channels=(32,) * 4, hidden=(256, 256)).build(image_shape=grey, latent_size=10)
    assert count(burgess) == 17 * 32 + 3 * 513 * 32 + 513 * 256 + 257 * 256 + 257 * 20
    burgess_decoder = ConvDecoder.Config(channels=(32,) * 4, hidden=(256, 256))
    expected = 11 * 256 + 257 * 256 + 257 * 512 + 3 * (512 * 32 + 32) + 512 + 1
    assert count(burgess_decoder.build(image_shape=grey, latent_size=10)) == expected


def test_the_deconvolution_baseline_starts_from_two_by_two() -> None:
    decoder = ConvDecoder.Config(channels=(64,) * 5, hidden=()).build(image_shape=(3, 64, 64), latent_size=10)
    assert decoder.start == (64, 2, 2)
    assert len([layer for layer in decoder.convolutions if isinstance(layer, nn.ConvTranspose2d)]) == 5


def test_the_decoder_passes_through_the_encoders_sizes() -> None:
    shape = (1, 33, 47)
    encoder = ConvEncoder.Config().build(image_shape=shape, latent_size=3)
    decoder = ConvDecoder.Config().build(image_shape=shape, latent_size=3)
    down, up = [], []
    features = torch.rand(1, *shape)
    for layer in encoder.convolutions:
        features = layer(features)
        if isinstance(layer, nn.Conv2d):
            down.append(features.shape[2:])
    features = decoder.head(torch.zeros(1, 3)).unflatten(1, decoder.start)
    for layer in decoder.convolutions:
        up += [features.shape[2:]] if isinstance(layer, nn.ConvTranspose2d) else []
        features = layer(features)
    assert down == up[::-1]


def test_memory_layout_changes_nothing_but_speed() -> None:
    torch.manual_seed(0)
    encoder = ConvEncoder.Config(channels=(8, 8), hidden=()).build(image_shape=(3, 12, 12), latent_size=3)
    decoder = ConvDecoder.Config(channels=(8, 8), hidden=()).build(image_shape=(3, 12, 12), latent_size=3)
    image, latents = torch.rand(4, 3, 12, 12), torch.randn(4, 3)
    parameters, output = encoder(image), decoder(latents)
    encoder.to(memory_format=torch.channels_last)
    decoder.to(memory_format=torch.channels_last)
    torch.testing.assert_close(encoder(image.to(memory_format=torch.channels_last)), parameters)
    torch.testing.assert_close(decoder(latents), output)


def test_coordinates_let_a_constant_image_be_located() -> None:
    torch.manual_seed(0)
    encoder = ConvEncoder.Config(channels=(4,), coordinates=True).build(image_shape=(1, 8, 8), latent_size=2)
    assert encoder.convolutions[0].in_channels == 3
    features = encoder.convolutions(torch.cat([torch.zeros(1, 1, 8, 8), encoder.coordinates[None]], 1))
    assert features[0, :, 1, 1:-1].std(dim=1).max() > 0
    decoder = ConvDecoder.Config(channels=(4, 4), coordinates=True).build(image_shape=(1, 8, 8), latent_size=2)
    assert [layer.module.in_channels for layer in decoder.convolutions if hasattr(layer, "module")] == [6, 6]


def test_glorot_initialisation_is_bounded_with_zero_biases() -> None:
    for config in (ConvEncoder.Config(initialisation="glorot"), ConvDecoder.Config(initialisation="glorot")):
        network = config.build(image_shape=(1, 32, 32), latent_size=4)
        for layer in network.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                receptive = layer.weight[0, 0].numel()
                bound = (6 / (sum(layer.weight.shape[:2]) * receptive)) ** 0.5
                assert layer.weight.abs().max() <= bound
                assert layer.weight.abs().max() > 0.8 * bound
                assert not layer.bias.any()


def test_configs_round_trip_through_json() -> None:
    for config in (*ENCODERS, *DECODERS):
        assert from_json(json.loads(json.dumps(to_json(config)))) == config


def test_impossible_networks_are_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"8×8 pixels is too small for 4.*at most 3 entries in channels, or larger"):
        ConvEncoder.Config().build(image_shape=(1, 8, 8), latent_size=2)
    for kind in (ConvEncoder, ConvDecoder):
        with pytest.raises(ConfigError, match=r"1×1 pixels is too small for 4 .*Try: larger images, or the fully"):
            kind.Config().build(image_shape=(1, 1, 1), latent_size=2)
    with pytest.raises(ConfigError, match="3 kernels for 4 layers"):
        ConvEncoder.Config(kernels=(4, 4, 4)).build(image_shape=(1, 64, 64), latent_size=2)
    with pytest.raises(ConfigError, match="0 kernels for 0 layers"):
        ConvDecoder.Config(channels=()).build(image_shape=(1, 64, 64), latent_size=2)


def test_an_unknown_activation_is_refused(unchecked_shapes: None) -> None:
    with pytest.raises(ConfigError, match="activation 'swish'"):
        activation("swish")  # type: ignore[arg-type]


def test_encoders_and_decoders_compile_without_breaks(unchecked_shapes: None) -> None:
    """One graph each, so that every child module can be compiled by itself."""
    torch.manual_seed(0)
    shape = (1, 12, 12)
    image, latents = torch.rand(2, *shape), torch.randn(2, 3)
    decoders = [ConvDecoder.Config(channels=(4, 4)), MLPDecoder.Config(), SpatialBroadcastDecoder.Config(channels=(4,))]
    for config, value in [(ConvEncoder.Config(channels=(4, 4)), image), *((config, latents) for config in decoders)]:
        network = config.build(image_shape=shape, latent_size=3)
        compiled = torch.compile(network, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(value), network(value))
