import sys

import numpy as np
import pytest
import torch
from metric_contract import MetricContract

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.metrics import posterior_mig
from percepts.metrics.posterior_mig import mixture_log_density


class TestPosteriorMig(MetricContract):
    def score(self, codes, factors, rng) -> MetricResult:
        return posterior_mig(codes, np.full(codes.shape, 0.01), factors, rng=rng)


def grid(sizes: tuple[int, ...]) -> np.ndarray:
    return np.stack(np.meshgrid(*(np.arange(n) for n in sizes), indexing="ij"), axis=-1).reshape(-1, len(sizes))


def test_densities_are_those_of_a_loop(rng: np.random.Generator) -> None:
    points, means, deviations = rng.normal(size=40), rng.normal(size=30), rng.uniform(0.1, 2, size=30)
    normal = [np.exp(-0.5 * ((points - m) / s) ** 2) / (s * np.sqrt(2 * np.pi)) for m, s in zip(means, deviations)]
    found = mixture_log_density(*(torch.from_numpy(a) for a in (points, means, deviations)))
    np.testing.assert_allclose(found.numpy(), np.log(np.mean(normal, axis=0)), rtol=1e-12)


def test_far_points_do_not_underflow() -> None:
    far = mixture_log_density(torch.tensor([1e3]).double(), torch.zeros(2).double(), torch.ones(2).double())
    assert far.item() == pytest.approx(-0.5e6 - 0.5 * np.log(2 * np.pi))


def test_chunks_change_nothing(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [torch.from_numpy(a) for a in (rng.normal(size=50), rng.normal(size=20), rng.uniform(1, 2, size=20))]
    whole = mixture_log_density(*arguments)
    monkeypatch.setattr(sys.modules[mixture_log_density.__module__], "_ENTRIES", 60)
    np.testing.assert_array_equal(mixture_log_density(*arguments), whole)


def test_codes_that_are_their_factors_know_all_of_them(rng: np.random.Generator) -> None:
    factors = grid((3, 6, 40))
    result = posterior_mig(factors * 1.0, np.full(factors.shape, 1e-4), factors, rng=rng)
    assert result.name == "mig.chen"
    # No bins: forty values are told apart as well as three, where the histogram's ceiling is 0.80.
    np.testing.assert_allclose(result.details["gaps"], 1, atol=0.01)
    np.testing.assert_allclose(np.diag(result.details["mutual_information"]), np.log([3, 6, 40]), atol=0.03)


def test_entropies_are_the_gaussians(rng: np.random.Generator) -> None:
    """Means N(0, 1) and posteriors of variance 0.5 mix to N(0, 1.5); a dead code stays at its prior."""
    means = np.stack([rng.normal(size=4000), np.zeros(4000)], axis=1)
    variances = np.tile([0.5, 1.0], (4000, 1))
    result = posterior_mig(means, variances, rng.integers(2, size=(4000, 1)), rng=rng)
    expected = 0.5 * np.log(2 * np.pi * np.e * np.array([1.5, 1.0]))
    np.testing.assert_allclose(result.details["entropies"], expected, atol=0.05)
    assert result.value < 0.05


def test_noise_of_the_posterior_costs_information(rng: np.random.Generator) -> None:
    """Two values, a deviation apart from the middle: by numerical integration of the mixture."""
    factors = np.repeat([[0], [1]], 3000, axis=0)
    result = posterior_mig(2.0 * factors - 1, np.ones(factors.shape), factors, rng=rng)
    z = np.linspace(-12, 12, 20001)
    mixture = (np.exp(-0.5 * (z - 1) ** 2) + np.exp(-0.5 * (z + 1) ** 2)) / np.sqrt(8 * np.pi)
    entropy = -(mixture * np.log(mixture)).sum() * (z[1] - z[0])
    expected = entropy - 0.5 * np.log(2 * np.pi * np.e)
    assert result.value * np.log(2) == pytest.approx(expected, abs=0.03)
    assert 0.3 < result.value < 0.7  # the means alone would say 1


def test_excluded_factors_do_not_count(rng: np.random.Generator) -> None:
    factors = grid((4, 5))
    codes = np.stack([factors[:, 1], np.zeros(20)], axis=1) * 1.0
    variances = np.full(codes.shape, 1e-3)
    both = posterior_mig(codes, variances, factors, rng=rng)
    one = posterior_mig(codes, variances, factors, rng=rng, exclude=[0])
    assert both.value == pytest.approx(0.5, abs=0.02)
    assert one.value == pytest.approx(1, abs=0.02)
    assert one.details["gaps"][0] == 0
    assert one.parameters["excluded"] == [0]


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input(rng: np.random.Generator) -> None:
    factors = grid((4, 5))
    codes, ones = factors * 1.0, np.ones(factors.shape)
    with pytest.raises(DataError, match=r"exp\(log_variance\)"):
        posterior_mig(codes, -ones, factors, rng=rng)
    with pytest.raises(DataError, match="equal shapes"):
        posterior_mig(codes, ones[:, :1], factors, rng=rng)
    with pytest.raises(DataError, match="factor 2 to exclude; expected numbers from 0 to 1"):
        posterior_mig(codes, ones, factors, rng=rng, exclude=[2])
    with pytest.raises(DataError, match="every factor that varies is excluded"):
        posterior_mig(codes, ones, factors, rng=rng, exclude=[0, 1])
    with pytest.raises(DataError, match="samples = 0"):
        posterior_mig(codes, ones, factors, rng=rng, samples=0)
