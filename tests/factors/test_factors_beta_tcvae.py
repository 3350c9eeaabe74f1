"""β-TCVAE: its estimators against brute force, its parts in closed form, and the model contract."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from model_contract import ModelContract
from torch import Tensor
from torch.distributions import Normal

from percepts.core.capabilities import StillStep
from percepts.core.config import Config
from percepts.core.errors import ConfigError
from percepts.factors.beta_tcvae import (
    BetaTCVAE,
    decompose_kl,
    log_aggregate,
    log_density,
    stratified_log_weights,
)
from percepts.factors.vae import VAE
from percepts.nn.distributions import DiagonalGaussian
from percepts.nn.mlp import MLPDecoder, MLPEncoder

SMALL: dict[str, Any] = {
    "image_shape": (1, 8, 8),
    "latent_size": 4,
    "encoder": MLPEncoder.Config(hidden=(12,), activation="tanh"),
    "decoder": MLPDecoder.Config(hidden=(12,), activation="tanh"),
}


class TestWeighted(ModelContract):
    def config(self) -> Config:
        return BetaTCVAE.Config(alpha=0.5, beta=4.0, gamma=2.0, **SMALL)


class TestStratified(ModelContract):
    def config(self) -> Config:
        return BetaTCVAE.Config(beta=4.0, estimator="mss", dataset_size=50, **SMALL)


def some(batch: int = 5, latents: int = 3, seed: int = 0) -> tuple[Tensor, DiagonalGaussian]:
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(3, batch, latents, dtype=torch.float64, generator=generator)
    posterior = DiagonalGaussian(draws[0], draws[1] - 1)
    return posterior.sample(draws[2]), posterior


def densities(latents: Tensor, posterior: DiagonalGaussian) -> np.ndarray:
    """q(z_jl | x_i) in loops."""
    batch, size = latents.shape
    table = np.zeros((batch, batch, size))
    for j in range(batch):
        for i in range(batch):
            for k in range(size):
                one = Normal(posterior.mean[i, k], posterior.std[i, k])
                table[j, i, k] = one.log_prob(latents[j, k]).exp()
    return table


def test_the_density_is_the_normal_distributions() -> None:
    latents, posterior = some()
    np.testing.assert_allclose(log_density(latents, posterior).exp().numpy(), densities(latents, posterior), rtol=1e-10)


def test_weighted_sampling_is_the_sum_over_the_batch_divided_by_batch_and_data() -> None:
    latents, posterior = some()
    joint, marginals = log_aggregate(log_density(latents, posterior), estimator="mws", dataset_size=100)
    table = densities(latents, posterior)
    np.testing.assert_allclose(joint.exp().numpy(), table.prod(2).sum(1) / 500, rtol=1e-10)
    np.testing.assert_allclose(marginals.exp().numpy(), table.sum(1) / 500, rtol=1e-10)


def test_stratified_sampling_weighs_own_other_and_rest() -> None:
    latents, posterior = some()
    joint, marginals = log_aggregate(log_density(latents, posterior), estimator="mss", dataset_size=100)
    table, size, others = densities(latents, posterior), 100, 4
    for j in range(5):
        own, one, rest = j, (j + 1) % 5, [i for i in range(5) if i not in (j, (j + 1) % 5)]
        for found, values in ((joint[j], table[j].prod(1)), (marginals[j, 1], table[j, :, 1])):
            expected = (
                values[own] / size + values[one] * (size - others) / (size * others) + values[rest].sum() / others
            )
            assert found.exp().item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("batch", "size"), [(1, 1), (1, 9), (2, 2), (2, 70), (6, 6), (64, 737280)])
def test_stratified_weights_sum_to_one(batch: int, size: int) -> None:
    weights = stratified_log_weights(batch, size).exp()
    torch.testing.assert_close(weights.sum(1), torch.ones(batch, dtype=torch.float64))
    assert batch == 1 or torch.allclose(weights.diagonal(), torch.tensor(1 / size, dtype=torch.float64))


def fixed_columns(batch: int, size: int) -> Tensor:
    """The weights of copies of the published code: a stride of `batch` in the flat matrix fills columns."""
    others = batch - 1
    weights = torch.full((batch, batch), 1 / others, dtype=torch.float64)
    weights.view(-1)[::batch] = 1 / size
    weights.view(-1)[1::batch] = (size - others) / (size * others)
    weights[others - 1, 0] = (size - others) / (size * others)
    return weights


@pytest.mark.parametrize("place", range(3))
def test_stratified_sampling_has_no_bias_over_batches_of_the_whole_data(place: int) -> None:
    """The mean over every batch that has image 0 in a row is the aggregate posterior at a sample of it; weights that
    do not move with the row have a bias in every row but the first."""
    latents, posterior = some(batch=5, latents=2)
    truth = densities(latents, posterior)[0].prod(1).mean()
    estimates, copies = [], []
    for others in itertools.permutations((1, 2, 3, 4), 2):
        rows = [*others[:place], 0, *others[place:]]
        part = DiagonalGaussian(posterior.mean[rows], posterior.log_variance[rows])
        density = log_density(latents[rows], part)
        joint, _ = log_aggregate(density, estimator="mss", dataset_size=5)
        estimates.append(joint[place].exp().item())
        copies.append((fixed_columns(3, 5)[place] * density.sum(2)[place].exp()).sum().item())
    assert np.mean(estimates) == pytest.approx(truth, rel=1e-10)
    assert (np.mean(copies) == pytest.approx(truth, rel=1e-10)) == (place == 0)


def test_the_weights_are_not_those_of_fixed_columns() -> None:
    ours, copy = stratified_log_weights(4, 20).exp(), fixed_columns(4, 20)
    torch.testing.assert_close(ours[0], copy[0])
    assert all(not torch.allclose(ours[row], copy[row]) for row in (1, 2, 3))


@pytest.mark.parametrize("settings", [{}, {"dataset_size": 30}, {"estimator": "mss", "dataset_size": 30}])
def test_the_parts_sum_to_the_sampled_kl(settings: dict[str, Any]) -> None:
    latents, posterior = some(batch=8)
    parts = decompose_kl(latents, posterior, **settings)
    ratio = Normal(posterior.mean, posterior.std).log_prob(latents) - Normal(0.0, 1.0).log_prob(latents)
    total = parts.mutual_information + parts.total_correlation + parts.dimension_wise_kl
    torch.testing.assert_close(total, ratio.sum(1).mean())


def test_the_size_of_the_data_shifts_values_and_leaves_gradients() -> None:
    gradients, values = [], []
    for size in (None, 100):
        latents, posterior = some()
        mean = posterior.mean.requires_grad_()
        parts = decompose_kl(latents, DiagonalGaussian(mean, posterior.log_variance), dataset_size=size)
        values.append(parts.total_correlation.item())
        gradients.append(torch.autograd.grad(parts.total_correlation, mean)[0])
    assert values[1] - values[0] == pytest.approx((3 - 1) * math.log(100))
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize(("correlation", "truth"), [(0.0, 0.0), (0.9, -0.5 * math.log(1 - 0.81))])
def test_the_total_correlation_of_a_gaussian_code_is_found(correlation: float, truth: float) -> None:
    """Means of a correlated Gaussian and small noise: TC is that of the Gaussian with the noise added."""
    batch, noise = 2000, 0.3
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(batch, 2, generator=generator)
    mean[:, 1] = correlation * mean[:, 0] + math.sqrt(1 - correlation**2) * mean[:, 1]
    posterior = DiagonalGaussian(mean, torch.full_like(mean, 2 * math.log(noise)))
    latents = posterior.sample(torch.randn(batch, 2, generator=generator))
    blurred = correlation / (1 + noise**2)
    expected = -0.5 * math.log(1 - blurred**2)
    parts = decompose_kl(latents, posterior, estimator="mss", dataset_size=batch)
    assert parts.total_correlation.item() == pytest.approx(expected, abs=0.06)
    assert expected <= truth + 1e-12
    # Both marginals are N(0, 1 + noise²).
    apart = 0.5 * (noise**2 - math.log(1 + noise**2))
    assert parts.dimension_wise_kl.item() == pytest.approx(2 * apart, abs=0.06)
    information = 0.5 * math.log(np.linalg.det(np.array([[1, correlation], [correlation, 1]]) / noise**2 + np.eye(2)))
    assert parts.mutual_information.item() == pytest.approx(information, abs=0.1)


def test_a_code_of_one_image_has_no_total_correlation() -> None:
    latents, posterior = some(batch=1)
    parts = decompose_kl(latents, posterior, estimator="mss", dataset_size=1)
    assert parts.total_correlation.item() == pytest.approx(0.0, abs=1e-12)
    assert parts.mutual_information.item() == pytest.approx(0.0, abs=1e-12)


def loss(**settings: Any) -> Any:
    torch.manual_seed(0)
    model = BetaTCVAE.Config(**{**SMALL, **settings}).build()
    image = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return model, image, model.losses({"image": image}, StillStep(0, torch.Generator().manual_seed(2)))


def test_weights_of_one_are_the_vae_exactly() -> None:
    model, image, found = loss(beta=1.0)
    plain = VAE.losses(model, {"image": image}, StillStep(0, torch.Generator().manual_seed(2)))
    assert torch.equal(found.minimise["model"], plain.minimise["model"])


def test_every_weight_weighs_its_part() -> None:
    base = loss(alpha=1.0, beta=1.0, gamma=1.0)[2]
    for weight, part in (
        ("alpha", "mutual_information"),
        ("beta", "total_correlation"),
        ("gamma", "dimension_wise_kl"),
    ):
        heavy = loss(**{"alpha": 1.0, "beta": 1.0, "gamma": 1.0, weight: 3.5})[2]
        change = heavy.minimise["model"] - base.minimise["model"]
        torch.testing.assert_close(change.detach(), 2.5 * base.terms[part], rtol=1e-4, atol=1e-3)


def test_without_the_size_of_the_data_the_batch_is_the_data() -> None:
    latents, posterior = some()
    joint, marginals = log_aggregate(log_density(latents, posterior), estimator="mws", dataset_size=None)
    table = densities(latents, posterior)
    np.testing.assert_allclose(joint.exp().numpy(), table.prod(2).mean(1), rtol=1e-10)
    np.testing.assert_allclose(marginals.exp().numpy(), table.mean(1), rtol=1e-10)


def test_far_apart_codes_that_move_together_have_a_total_correlation_of_the_batch() -> None:
    mean = (torch.arange(4.0)[:, None] * 100).expand(4, 3)
    parts = decompose_kl(mean + 0.5, DiagonalGaussian(mean, torch.full((4, 3), 2.0)))
    assert parts.mutual_information.item() == pytest.approx(math.log(4), rel=1e-4)
    assert parts.total_correlation.item() == pytest.approx(2 * math.log(4), rel=1e-4)


def test_nothing_is_clamped() -> None:
    """A sample where the marginals are denser than the joint: the estimate is negative and has a gradient."""
    mean = torch.tensor([[0.0, 1.0], [1.0, 0.0]], requires_grad=True)
    parts = decompose_kl(torch.tensor([[0.0, 0.0], [0.0, 0.0]]), DiagonalGaussian(mean, torch.full((2, 2), -4.0)))
    assert parts.total_correlation.item() < -10
    assert torch.autograd.grad(parts.total_correlation, mean)[0].abs().max() > 1


def test_bad_settings_say_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"'mss' without dataset_size.*Try: dataclasses\.replace"):
        BetaTCVAE.Config(estimator="mss")
    with pytest.raises(ConfigError, match="dataset_size = 0"):
        BetaTCVAE.Config(dataset_size=0)
    with pytest.raises(ConfigError, match="dataset_size = 5 and a batch of 6"):
        loss(estimator="mss", dataset_size=5)
    with pytest.raises(ConfigError, match="without dataset_size"):
        log_aggregate(torch.zeros(2, 2, 1), estimator="mss", dataset_size=None)
    with pytest.raises(ConfigError, match=r"^BetaTCVAE\.estimator = 'foo'; expected one of 'mws', 'mss'"):
        BetaTCVAE.Config(estimator="foo")  # type: ignore[arg-type]
    for name in ("alpha", "beta", "gamma"):
        with pytest.raises(ConfigError, match=f"^{name} = "):
            BetaTCVAE.Config(**{name: -1.0})


def test_an_unknown_estimator_is_not_another_one(unchecked_shapes: None) -> None:
    with pytest.raises(ConfigError, match=r"^estimator = 'MSS', did you mean 'mss'\?"):
        decompose_kl(*some(), estimator="MSS")  # type: ignore[arg-type]
