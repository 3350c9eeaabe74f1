"""Mixtures of slots: against torch's own distributions in float64, at extremes, and the bound."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import (
    AffineTransform,
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
    SigmoidTransform,
    TransformedDistribution,
    Uniform,
)

from percepts.nn.mixture import log_density, mask_entropy, mask_kl, mixture_log_prob, mixture_nll, weighted_nll

B, K, C, H, W = 2, 3, 3, 4, 5


@pytest.fixture
def scene() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An image, the slots' means, log-masks; float64."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(B, C, H, W, generator=generator, dtype=torch.float64)
    mean = torch.rand(B, K, C, H, W, generator=generator, dtype=torch.float64)
    logits = 3 * torch.randn(B, K, H, W, generator=generator, dtype=torch.float64)
    return image, mean, logits.log_softmax(1)


def reference(kind, mean, scale):
    if kind == "normal":
        return Normal(mean, scale)
    unit = Uniform(torch.zeros_like(mean), torch.ones_like(mean), validate_args=False)
    return TransformedDistribution(unit, [SigmoidTransform().inv, AffineTransform(mean, scale)])


@pytest.mark.parametrize("kind", ["normal", "logistic"])
@pytest.mark.parametrize("per_slot", [True, False])
def test_densities_are_those_of_torch(scene, kind, per_slot):
    image, mean, _ = scene
    scale = torch.tensor([0.09, 0.11, 0.3], dtype=torch.float64) if per_slot else 0.2
    shaped = scale[None, :, None, None, None] if per_slot else torch.tensor(0.2, dtype=torch.float64)
    expected = reference(kind, mean, shaped).log_prob(image.unsqueeze(1).expand_as(mean))
    torch.testing.assert_close(log_density(kind, image, mean, scale), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("over", ["pixel", "channel"])
def test_the_mixture_is_that_of_torch(scene, over):
    image, mean, log_mask = scene
    log_prob = log_density("normal", image, mean, 0.3)
    if over == "pixel":
        slots = Independent(Normal(mean.permute(0, 3, 4, 1, 2), 0.3), 1)
        weights = Categorical(logits=log_mask.permute(0, 2, 3, 1))
        expected = MixtureSameFamily(weights, slots).log_prob(image.permute(0, 2, 3, 1))
    else:
        slots = Normal(mean.permute(0, 2, 3, 4, 1), 0.3)
        weights = Categorical(logits=log_mask.permute(0, 2, 3, 1).unsqueeze(1).expand(-1, C, -1, -1, -1))
        expected = MixtureSameFamily(weights, slots).log_prob(image).sum(1)
    torch.testing.assert_close(mixture_log_prob(log_mask, log_prob, over), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(mixture_nll(log_mask, log_prob, over), -expected.sum(dim=(1, 2)))


def test_a_grey_image_is_the_same_over_pixels_and_channels(scene):
    image, mean, log_mask = (scene[0][:, :1], scene[1][:, :, :1], scene[2])
    log_prob = log_density("normal", image, mean, 0.1)
    torch.testing.assert_close(mixture_nll(log_mask, log_prob), mixture_nll(log_mask, log_prob, "channel"))


def test_the_weighted_form_bounds_the_mixture_and_meets_it_for_hard_masks(scene):
    image, mean, log_mask = scene
    log_prob = log_density("normal", image, mean, 0.3)
    assert (weighted_nll(log_mask, log_prob) > mixture_nll(log_mask, log_prob)).all()
    hard = (1e4 * log_mask).log_softmax(1)
    torch.testing.assert_close(weighted_nll(hard, log_prob), mixture_nll(hard, log_prob), rtol=1e-6, atol=1e-6)


def test_one_slot_is_its_density(scene):
    image, mean, _ = scene
    log_prob = log_density("logistic", image, mean[:, :1], 0.03)
    nothing_to_share = torch.zeros(B, 1, H, W, dtype=torch.float64)
    expected = -log_prob.sum(dim=(1, 2, 3, 4))
    for nll in (
        mixture_nll(nothing_to_share, log_prob),
        mixture_nll(nothing_to_share, log_prob, "channel"),
        weighted_nll(nothing_to_share, log_prob),
    ):
        torch.testing.assert_close(nll, expected)


def test_zero_error_costs_the_normaliser():
    image = torch.rand(1, 3, 8, 8)
    log_prob = log_density("normal", image, image.unsqueeze(1), 0.11)
    nll = float(mixture_nll(torch.zeros(1, 1, 8, 8), log_prob))
    assert nll / image.numel() == pytest.approx(math.log(0.11 * math.sqrt(2 * math.pi)), rel=1e-5)


@pytest.mark.parametrize("kind", ["normal", "logistic"])
def test_far_off_means_and_sure_masks_stay_finite_with_their_gradients(kind):
    image = torch.rand(1, 3, 4, 4)
    mean = torch.full((1, 2, 3, 4, 4), 100.0, requires_grad=True)
    logits = torch.tensor([1e4, -1e4]).reshape(1, 2, 1, 1).expand(1, 2, 4, 4).clone().requires_grad_()
    log_mask = torch.stack(
        [torch.nn.functional.logsigmoid(logits[:, 0]), torch.nn.functional.logsigmoid(logits[:, 1])], 1
    )
    log_prob = log_density(kind, image, mean, torch.tensor([0.03, 0.1]))
    total = mixture_nll(log_mask, log_prob) + weighted_nll(log_mask, log_prob) + mask_entropy(log_mask)
    total.sum().backward()
    assert torch.isfinite(total).all()
    assert torch.isfinite(mean.grad).all()
    assert torch.isfinite(logits.grad).all()
    assert mean.grad.abs().sum() > 0


def test_half_precision_is_widened_and_a_learnt_scale_learns():
    image, mean = torch.rand(1, 3, 4, 4), torch.rand(1, 2, 3, 4, 4, dtype=torch.bfloat16)
    scale = torch.tensor(0.1, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        log_prob = log_density("normal", image, mean, scale)
        nll = mixture_nll(torch.full((1, 2, 4, 4), math.log(0.5)).bfloat16(), log_prob)
    assert log_prob.dtype == nll.dtype == torch.float32
    nll.sum().backward()
    assert scale.grad is not None
    assert scale.grad.abs() > 0


def test_mask_kl_is_torchs_in_this_direction(scene):
    log_mask, log_other = scene[2], scene[2].flip(1)
    mask, other = (Categorical(logits=value.permute(0, 2, 3, 1)) for value in (log_mask, log_other))
    expected = torch.distributions.kl_divergence(mask, other).sum(dim=(1, 2))
    torch.testing.assert_close(mask_kl(log_mask, log_other), expected)
    torch.testing.assert_close(mask_kl(log_mask, log_mask), torch.zeros(B, dtype=torch.float64))
    lopsided = torch.tensor([0.9, 0.1]).log().reshape(1, 2, 1, 1)
    even = torch.tensor([0.5, 0.5]).log().reshape(1, 2, 1, 1)
    assert float(mask_kl(lopsided, even)) == pytest.approx(0.3681, abs=1e-4)
    assert float(mask_kl(even, lopsided)) == pytest.approx(0.5108, abs=1e-4)


def test_entropy_of_even_and_of_hard_masks():
    even = torch.full((1, 4, 3, 3), math.log(0.25))
    assert float(mask_entropy(even)) == pytest.approx(math.log(4))
    hard = torch.tensor([0.0, -50.0, -50.0, -50.0]).reshape(1, 4, 1, 1)
    assert float(mask_entropy(hard)) == pytest.approx(0.0, abs=1e-6)
