"""Pixel likelihoods against torch.distributions and by hand."""

from __future__ import annotations

import json
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, distributions

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError
from percepts.nn.likelihoods import Bernoulli, Gaussian, Laplace

SHAPE = (3, 2, 4, 5)
ALL = [Bernoulli.Config(), Gaussian.Config(std=0.4), Laplace.Config(scale=0.3, constant=True, output="sigmoid")]


def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return 4 * torch.randn(SHAPE, generator=generator), torch.rand(SHAPE, generator=generator)


def per_image(value: Tensor) -> Tensor:
    return value.flatten(1).sum(1)


def test_bernoulli_is_the_summed_binary_cross_entropy() -> None:
    output, image = pair()
    expected = per_image(F.binary_cross_entropy_with_logits(output, image, reduction="none"))
    torch.testing.assert_close(Bernoulli.Config().build().nll(output, image), expected)


def test_bernoulli_is_finite_and_linear_at_extreme_logits() -> None:
    likelihood = Bernoulli.Config().build()
    output = torch.full((1, 1, 1, 1), 500.0)
    assert likelihood.nll(output, torch.zeros(1, 1, 1, 1)).item() == 500.0
    assert likelihood.nll(output, torch.ones(1, 1, 1, 1)).item() == 0.0
    assert likelihood.nll(-output, torch.ones(1, 1, 1, 1)).item() == 500.0


@pytest.mark.parametrize("output_kind", ["linear", "sigmoid"])
def test_gaussian_and_laplace_densities_are_those_of_torch(output_kind: str) -> None:
    output, image = pair()
    location = output.sigmoid() if output_kind == "sigmoid" else output
    gaussian = Gaussian.Config(std=0.3, constant=True, output=output_kind).build()
    laplace = Laplace.Config(scale=0.2, constant=True, output=output_kind).build()
    torch.testing.assert_close(
        gaussian.nll(output, image), per_image(-distributions.Normal(location, 0.3).log_prob(image))
    )
    torch.testing.assert_close(
        laplace.nll(output, image), per_image(-distributions.Laplace(location, 0.2).log_prob(image))
    )


def test_the_constant_is_all_that_the_option_adds() -> None:
    output, image = pair()
    without, with_it = (Gaussian.Config(std=0.3, constant=constant).build() for constant in (False, True))
    difference = with_it.nll(output, image) - without.nll(output, image)
    torch.testing.assert_close(
        difference, torch.full((3,), 40 * math.log(0.3 * math.sqrt(2 * math.pi))), rtol=1e-4, atol=0
    )
    plain = Gaussian.Config(std=1.0).build().nll(output, image)
    torch.testing.assert_close(plain, 0.5 * per_image((output - image) ** 2))


def test_data_entropy_is_the_least_nll_and_is_reached() -> None:
    _, image = pair()
    for config in (*ALL, Gaussian.Config(constant=True), Laplace.Config()):
        likelihood = config.build()
        linear = getattr(config, "output", "sigmoid") == "linear"
        best = image if linear else image.logit()
        torch.testing.assert_close(likelihood.nll(best, image), likelihood.data_entropy(image), rtol=1e-4, atol=1e-4)
        assert (likelihood.nll(best + 0.1, image) > likelihood.data_entropy(image)).all()
    binary = torch.tensor([0.0, 1.0, 1.0, 0.0]).view(1, 1, 2, 2)
    assert Bernoulli.Config().build().data_entropy(binary).item() == 0.0
    half = torch.full((1, 1, 2, 2), 0.5)
    assert Bernoulli.Config().build().data_entropy(half).item() == pytest.approx(4 * math.log(2))


@pytest.mark.parametrize("config", ALL)
def test_means_are_images_and_half_precision_is_widened(config: Bernoulli.Config) -> None:
    output, image = pair()
    likelihood = config.build()
    mean = likelihood.mean(output)
    assert mean.min() >= 0
    assert mean.max() <= 1
    half = output.bfloat16()
    assert likelihood.mean(half).dtype == likelihood.nll(half, image).dtype == torch.float32
    torch.testing.assert_close(likelihood.nll(half, image), likelihood.nll(half.float(), image))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert likelihood.nll(half, image).dtype == torch.float32


def test_configs_round_trip_and_refuse_impossible_scales() -> None:
    for config in ALL:
        assert from_json(json.loads(json.dumps(to_json(config)))) == config
    with pytest.raises(ConfigError, match="std = 0"):
        Gaussian.Config(std=0.0).build()
    with pytest.raises(ConfigError, match="scale = -1"):
        Laplace.Config(scale=-1.0).build()
