"""The factor-conditioned capacity model."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from percepts.core.capabilities import StillStep
from percepts.core.errors import ConfigError
from percepts.data.dataset import FactorDataset
from percepts.factors.capacity import FactorChannel, FactorChannels, factor_channels
from percepts.factors.cci_vae import CapacitySchedule
from percepts.nn.mlp import MLPDecoder

CHANNELS = (
    FactorChannel(name="x", column=1, values=(10.0, 20.0, 30.0, 40.0)),
    FactorChannel(name="angle", column=0, values=tuple(i * math.pi / 2 for i in range(4)), circular=True),
)


class Grid(FactorDataset):
    image_shape = (1, 4, 4)
    factor_names = ("angle", "x")
    factor_sizes = (4, 4)

    def render(self, factors: Tensor) -> Tensor:
        return torch.zeros(len(factors), 1, 4, 4)

    def factor_values(self, name: str) -> Tensor:
        return {"angle": torch.arange(4).double() * math.pi / 2, "x": torch.arange(1, 5).double() * 10}[name]


def build(**settings: Any) -> FactorChannels:
    torch.manual_seed(0)
    defaults: dict[str, Any] = {"image_shape": (1, 4, 4), "decoder": MLPDecoder.Config(hidden=(8,))}
    return FactorChannels.Config(channels=CHANNELS, **{**defaults, **settings}).build()


def test_factors_enter_standardised_by_their_values() -> None:
    table = CHANNELS[0].table()
    torch.testing.assert_close(table[:, 0], torch.tensor([-3.0, -1.0, 1.0, 3.0]) / math.sqrt(5))
    circle = CHANNELS[1].table()
    expected = math.sqrt(2) * torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    torch.testing.assert_close(circle, expected, rtol=1e-5, atol=1e-5)


def test_channels_are_taken_from_a_dataset_by_name() -> None:
    channels = factor_channels(Grid(), ("x", "angle"), circular=("angle",))
    assert channels == CHANNELS
    with pytest.raises(ConfigError, match="did you mean 'angle'"):
        factor_channels(Grid(), ("angel",))


def test_the_code_is_gain_times_factor_with_the_channels_noise() -> None:
    model = build()
    with torch.no_grad():
        model.gain.copy_(torch.tensor([2.0, 3.0, 5.0]))
        model.log_std.copy_(torch.tensor([-1.0, -2.0, 0.0]))
    posterior = model.encode_factors(torch.tensor([[1, 3], [2, 0]]))
    root = math.sqrt(2)
    expected = torch.tensor([[2 * 3 / math.sqrt(5), 0, 5 * root], [-2 * 3 / math.sqrt(5), -3 * root, 0]])
    torch.testing.assert_close(posterior.mean, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(posterior.std[0], torch.tensor([-1.0, -2.0, 0.0]).exp())


def test_kl_by_factor_is_closed_form_and_sums_to_the_total() -> None:
    model = build(gain=0.5, log_std=-1.0, gamma=3.0, capacity=CapacitySchedule(start=1.5, stop=1.5, end=0))
    everything = Grid().factors_of(torch.arange(16))
    batch = {"image": torch.rand(16, 1, 4, 4), "factors": everything}
    losses = model.losses(batch, StillStep(0, torch.Generator().manual_seed(0)))
    each = 0.5 * (0.25 + math.exp(-2) + 2 - 1)  # over the whole grid E[f²] = 1
    assert losses.terms["kl_x"] == pytest.approx(each, rel=1e-5)
    assert losses.terms["kl_angle"] == pytest.approx(2 * each, rel=1e-5)
    assert losses.terms["kl"] == pytest.approx(3 * each, rel=1e-5)
    expected = losses.terms["reconstruction"] + 3 * abs(3 * each - 1.5)
    torch.testing.assert_close(losses.minimise["model"].detach(), expected)


def test_capacity_goes_to_the_factor_that_the_image_shows() -> None:
    """x moves half of the picture, the angle changes nothing: with a nat to spend, x gets it."""
    model = build(capacity=CapacitySchedule(start=1.0, stop=1.0, end=0), gamma=10.0)
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(model.parameters(), 3e-2)
    for index in range(200):
        factors = torch.randint(4, (32, 2), generator=generator)
        image = (torch.arange(4) <= factors[:, 1:, None, None]).float().expand(-1, 1, 4, 4)
        losses = model.losses({"image": image, "factors": factors}, StillStep(index, generator))
        optimiser.zero_grad()
        losses.minimise["model"].backward()
        optimiser.step()
    assert losses.terms["kl_x"] > 0.7
    assert losses.terms["kl_angle"] < 0.2


def test_impossible_channels_are_refused() -> None:
    with pytest.raises(ConfigError, match="without factors"):
        FactorChannels.Config(image_shape=(1, 4, 4)).build()
    with pytest.raises(ConfigError, match="at least two different values"):
        FactorChannel(name="flat", column=0, values=(1.0, 1.0)).table()
    with pytest.raises(ConfigError, match="image_shape is not set"):
        build(image_shape=None)
