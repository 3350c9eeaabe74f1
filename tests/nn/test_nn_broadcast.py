"""The spatial-broadcast decoder: coordinates, and the first layer against the tensor it avoids to make."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError
from percepts.nn.broadcast import SpatialBroadcast, SpatialBroadcastDecoder
from percepts.nn.coordinates import cosine_coordinates, linear_coordinates

OPTIONS = list(itertools.product([1, 3, 4, 5], ["same", "valid"], ["linear", "cos", "none"]))


def naive(decoder: SpatialBroadcastDecoder, latents: Tensor) -> Tensor:
    """The decoder as the paper writes it: tile, concatenate, convolve."""
    grid = decoder.coordinates.expand(latents.shape[0], -1, -1, -1)
    tiled = torch.cat([latents[:, :, None, None].expand(-1, -1, *grid.shape[2:]), grid], dim=1)
    if decoder.config.padding == "same":
        before, after = (decoder.config.kernel - 1) // 2, decoder.config.kernel // 2
        tiled = F.pad(tiled, (before, after, before, after))
    return decoder.rest(decoder.first(tiled))


def test_x_grows_along_the_width_and_y_along_the_height() -> None:
    x, y = linear_coordinates((3, 5))
    assert torch.equal(x, torch.linspace(-1, 1, 5).expand(3, 5))
    assert torch.equal(y, torch.linspace(-1, 1, 3)[:, None].expand(3, 5))


def test_cosines_are_all_products_but_the_constant() -> None:
    channels = cosine_coordinates((4, 6), 3)
    assert channels.shape == (8, 4, 6)
    assert torch.equal(cosine_coordinates((4, 6), 1), torch.zeros(0, 4, 6))
    row, column = 2, 4
    expected = [
        math.cos(math.pi * f * column / 5) * math.cos(math.pi * g * row / 3) for f in range(3) for g in range(3)
    ][1:]
    torch.testing.assert_close(channels[:, row, column], torch.tensor(expected))


def test_broadcast_is_latents_then_x_then_y() -> None:
    broadcast = SpatialBroadcast.Config().build(size=(3, 5))
    latents = torch.randn(2, 4)
    tiled = broadcast(latents)
    assert tiled.shape == (2, 6, 3, 5)
    assert torch.equal(tiled[:, :4], latents[:, :, None, None].expand(-1, -1, 3, 5))
    assert torch.equal(tiled[1, 4:], linear_coordinates((3, 5)))
    assert broadcast(latents, (7, 2)).shape == (2, 6, 7, 2)


@pytest.mark.parametrize("size", [(6, 9), (3, 2)])
@pytest.mark.parametrize(("kernel", "padding", "coordinates"), OPTIONS)
def test_the_split_first_layer_is_exact(kernel: int, padding: str, coordinates: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    config = SpatialBroadcastDecoder.Config(channels=(5, 4), kernel=kernel, padding=padding, coordinates=coordinates)
    decoder = config.build(image_shape=(2, *size), latent_size=3).double()
    latents = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    output, expected = decoder(latents), naive(decoder, latents)
    assert output.shape == (4, 2, *size)
    torch.testing.assert_close(output, expected)
    inputs = [latents, *decoder.parameters()]
    weights = torch.randn_like(output)
    found = torch.autograd.grad((output * weights).sum(), inputs)
    wanted = torch.autograd.grad((expected * weights).sum(), inputs)
    for gradient, reference in zip(found, wanted):
        torch.testing.assert_close(gradient, reference)


def test_shifting_the_coordinates_by_a_pixel_shifts_the_image() -> None:
    torch.manual_seed(0)
    config = SpatialBroadcastDecoder.Config(channels=(8, 8), kernel=1)
    decoder = config.build(image_shape=(1, 9, 11), latent_size=3).double()
    latents = torch.randn(2, 3, dtype=torch.float64)
    still = decoder(latents)
    decoder.coordinates[0] += 2 / 10  # one step of x
    torch.testing.assert_close(decoder(latents)[..., :-1], still[..., 1:])
    decoder.coordinates[0] -= 2 / 10
    decoder.coordinates[1] += 2 / 8  # one step of y
    torch.testing.assert_close(decoder(latents)[..., :-1, :], still[..., 1:, :])


def test_without_coordinates_only_padding_tells_positions_apart() -> None:
    torch.manual_seed(0)
    for kernel, padding, flat in ((1, "same", True), (3, "valid", True), (3, "same", False)):
        config = SpatialBroadcastDecoder.Config(channels=(8,), kernel=kernel, padding=padding, coordinates="none")
        output = config.build(image_shape=(1, 8, 8), latent_size=3)(torch.randn(1, 3))
        assert (output.std() < 1e-6) == flat
        assert output[0, 0, 2:-2, 2:-2].std() < 1e-6


@pytest.mark.parametrize("shape", [(1, 24, 24), (3, 28, 28), (2, 33, 47), (1, 64, 64), (3, 128, 128)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_any_size_with_extra_channels_and_pre_mlp(shape: tuple[int, int, int], padding: str) -> None:
    config = SpatialBroadcastDecoder.Config(
        channels=(4, 4), kernel=3, output_kernel=1, padding=padding, extra_channels=1, pre_mlp=(7, 6), activation="elu"
    )
    decoder = config.build(image_shape=shape, latent_size=5)
    assert decoder.first.in_channels == 8
    assert decoder(torch.randn(2, 5)).shape == (2, shape[0] + 1, *shape[1:])


def test_valid_padding_eats_the_margin_of_the_hidden_layers_only() -> None:
    config = SpatialBroadcastDecoder.Config(channels=(32,) * 4, kernel=3, output_kernel=1, padding="valid")
    assert config.build(image_shape=(3, 64, 64), latent_size=16).coordinates.shape == (2, 72, 72)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_another_size_at_run_time_is_the_decoder_of_that_size(padding: str) -> None:
    config = SpatialBroadcastDecoder.Config(channels=(4, 4), padding=padding)
    small = config.build(image_shape=(1, 8, 8), latent_size=3)
    large = config.build(image_shape=(1, 16, 20), latent_size=3)
    large.load_state_dict(small.state_dict())  # coordinates are no part of a checkpoint
    latents = torch.randn(2, 3)
    torch.testing.assert_close(small(latents, (16, 20)), large(latents))
    torch.testing.assert_close(small(latents, (8, 8)), small(latents))


def test_buffers_move_with_the_module_and_half_precision_runs() -> None:
    decoder = SpatialBroadcastDecoder.Config(channels=(4,)).build(image_shape=(1, 8, 8), latent_size=3)
    assert dict(decoder.named_buffers()).keys() == {"coordinates"}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(decoder(torch.randn(2, 3)).float()).all()
    assert decoder.to(torch.bfloat16)(torch.randn(2, 3).bfloat16()).dtype == torch.bfloat16


def test_configs_round_trip_and_an_empty_decoder_is_refused() -> None:
    configs: list[Any] = [SpatialBroadcast.Config(coordinates="cos", frequencies=4)]
    configs.append(SpatialBroadcastDecoder.Config(kernel=4, output_kernel=1, pre_mlp=(8,), padding="valid"))
    for config in configs:
        assert from_json(json.loads(json.dumps(to_json(config)))) == config
    with pytest.raises(ConfigError, match="without hidden channels"):
        SpatialBroadcastDecoder.Config(channels=()).build(image_shape=(1, 8, 8), latent_size=3)
