"""The diagonal Gaussian against torch.distributions."""

from __future__ import annotations

import torch
from torch.distributions import Normal, kl_divergence

from percepts.core.capabilities import Posterior
from percepts.nn.distributions import DiagonalGaussian


def gaussian() -> DiagonalGaussian:
    generator = torch.Generator().manual_seed(0)
    return DiagonalGaussian.from_parameters(3 * torch.randn(5, 8, generator=generator, dtype=torch.float64))


def test_kl_is_that_of_torch_for_every_latent() -> None:
    posterior = gaussian()
    expected = kl_divergence(Normal(posterior.mean, posterior.std), Normal(0.0, 1.0))
    torch.testing.assert_close(posterior.kl_to_standard(), expected)


def test_kl_is_zero_at_the_prior_and_known_elsewhere() -> None:
    assert DiagonalGaussian.from_parameters(torch.zeros(1, 2)).kl_to_standard().item() == 0.0
    shifted = DiagonalGaussian(torch.tensor([[2.0]]), torch.tensor([[0.0]]))
    assert shifted.kl_to_standard().item() == 2.0


def test_samples_have_the_mean_and_variance() -> None:
    posterior = DiagonalGaussian(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, -2.0]]))
    noise = torch.randn(40_000, 2, generator=torch.Generator().manual_seed(0))
    draws = posterior.mean + (posterior.sample(noise[:1]) - posterior.mean) / noise[:1] * noise
    torch.testing.assert_close(draws.mean(0), posterior.mean[0], rtol=0, atol=0.02)
    torch.testing.assert_close(draws.var(0), posterior.variance[0], rtol=0.03, atol=0)


def test_parameters_are_means_then_log_variances_and_the_clamp_holds_only_the_latter() -> None:
    parameters = torch.tensor([[20.0, -20.0, 20.0, -20.0]])
    posterior = DiagonalGaussian.from_parameters(parameters, (-12.0, 6.0))
    assert posterior.mean.tolist() == [[20.0, -20.0]]
    assert posterior.log_variance.tolist() == [[6.0, -12.0]]
    assert DiagonalGaussian.from_parameters(parameters).log_variance.tolist() == [[20.0, -20.0]]


def test_half_precision_is_widened_and_double_kept() -> None:
    assert DiagonalGaussian.from_parameters(torch.zeros(1, 2, dtype=torch.bfloat16)).mean.dtype == torch.float32
    assert gaussian().mean.dtype == torch.float64
    assert isinstance(gaussian(), Posterior)
