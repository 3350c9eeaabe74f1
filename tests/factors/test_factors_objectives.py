"""The objectives in closed form, their special cases, and how they behave when a batch is split."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from model_contract import FixedStep, PartStep, RecordingStep
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from percepts.core.capabilities import Losses, StillStep
from percepts.core.errors import ConfigError
from percepts.factors.beta_vae import BetaVAE
from percepts.factors.capacity import FactorChannels
from percepts.factors.cci_vae import CCIVAE, CapacitySchedule, penalise
from percepts.factors.vae import VAE
from percepts.nn.broadcast import SpatialBroadcastDecoder
from percepts.nn.mlp import MLPDecoder, MLPEncoder

SHARED: dict[str, Any] = {
    "image_shape": (1, 6, 7),
    "latent_size": 4,
    "encoder": MLPEncoder.Config(hidden=(9,)),
    "decoder": MLPDecoder.Config(hidden=(9,)),
}


def build(config: VAE.Config) -> Any:
    torch.manual_seed(0)
    return config.build()


def images(count: int = 5) -> Tensor:
    return torch.rand(count, 1, 6, 7, generator=torch.Generator().manual_seed(1))


def losses(config: VAE.Config, index: int = 0) -> Losses:
    return build(config).losses({"image": images()}, StillStep(index, torch.Generator().manual_seed(2)))


def test_the_loss_is_a_sum_over_pixels_and_latents_and_a_mean_over_the_batch() -> None:
    config = BetaVAE.Config(beta=3.0, **SHARED)
    model, image = build(config), images()
    mean, log_variance = model.encoder(image).chunk(2, dim=1)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(2))
    logits = model.decoder(mean + (log_variance / 2).exp() * noise)
    bce = F.binary_cross_entropy_with_logits(logits, image, reduction="sum") / len(image)
    kl = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum() / len(image)
    found = losses(config)
    torch.testing.assert_close(found.minimise["model"], bce + 3 * kl)
    torch.testing.assert_close(found.terms["reconstruction"], bce.detach())
    torch.testing.assert_close(found.terms["kl"], kl.detach())
    torch.testing.assert_close(found.terms["elbo"], -(bce + kl).detach())  # β = 1 in the ELBO, always
    assert found.terms["kl_per_latent"].shape == (4,)
    torch.testing.assert_close(found.terms["kl_per_latent"].sum(), found.terms["kl"])
    assert found.terms["active_units"] == (found.terms["kl_per_latent"] > 0.01).sum()


def test_special_cases_agree() -> None:
    nothing = CapacitySchedule(start=0.0, stop=0.0, end=0)
    plain = losses(VAE.Config(**SHARED)).minimise["model"]
    assert torch.equal(losses(BetaVAE.Config(beta=1.0, **SHARED)).minimise["model"], plain)
    assert torch.equal(losses(CCIVAE.Config(gamma=1.0, capacity=nothing, **SHARED)).minimise["model"], plain)
    seven = losses(BetaVAE.Config(beta=7.0, **SHARED)).minimise["model"]
    assert torch.equal(losses(CCIVAE.Config(gamma=7.0, capacity=nothing, **SHARED)).minimise["model"], seven)
    assert not torch.equal(plain, seven)


def test_normalised_beta_is_converted_by_inputs_over_latents() -> None:
    config = BetaVAE.Config(beta=99.0, beta_normalised=0.5, **SHARED)
    assert build(config).beta == 0.5 * 42 / 4
    assert losses(config).terms["beta"] == 0.5 * 42 / 4
    dsprites = BetaVAE.Config(beta_normalised=4 * 10 / 4096, image_shape=(1, 64, 64))
    assert build(dsprites).beta == pytest.approx(4.0)


def test_warm_up_is_linear_from_zero() -> None:
    model = build(BetaVAE.Config(beta=8.0, warm_up=4, **SHARED))
    assert [model.beta_at(index) for index in (0, 1, 2, 4, 100)] == [0.0, 2.0, 4.0, 8.0, 8.0]
    assert build(BetaVAE.Config(beta=8.0, **SHARED)).beta_at(0) == 8.0


def test_capacity_schedules() -> None:
    linear = CapacitySchedule(start=1.0, stop=5.0, begin=10, end=30)
    assert [linear.at(index) for index in (0, 10, 15, 20, 30, 99)] == [1.0, 1.0, 2.0, 3.0, 5.0, 5.0]
    cosine = dataclasses.replace(linear, shape="cosine")
    assert cosine.at(20) == pytest.approx(3.0)
    assert cosine.at(15) == pytest.approx(3 - 2 * math.cos(math.pi / 4))
    step = dataclasses.replace(linear, shape="step")
    assert [step.at(index) for index in (0, 29, 30)] == [1.0, 1.0, 5.0]
    for bad in ({"begin": 5, "end": 4}, {"begin": -1}):
        with pytest.raises(ConfigError, match="begin ≤ end"):
            CapacitySchedule(**bad)


@pytest.mark.parametrize("excess", [-3.0, -0.4, 0.0, 0.4, 3.0])
def test_penalties(excess: float) -> None:
    value = torch.tensor(excess)
    assert penalise(value, "abs") == abs(excess)
    torch.testing.assert_close(penalise(value, "square"), value**2)
    torch.testing.assert_close(penalise(value, "huber"), F.huber_loss(value, torch.tensor(0.0)))
    leaf = torch.tensor(excess, requires_grad=True)
    penalise(leaf, "huber").backward()
    assert leaf.grad == pytest.approx(max(-1.0, min(1.0, excess)))


def test_below_the_capacity_the_kl_is_pushed_up() -> None:
    """The gradient's sign flips with that of KL − C."""
    gradients = []
    for stop in (0.0, 1000.0):
        config = CCIVAE.Config(capacity=CapacitySchedule(stop=stop, end=0), gamma=1e6, **SHARED)
        model = build(config)
        result = model.losses({"image": images()}, StillStep(0, torch.Generator().manual_seed(2)))
        result.minimise["model"].backward()
        gradients.append(model.encoder.layers[-1].weight.grad.flatten())
        assert result.terms["capacity"] == stop
        torch.testing.assert_close(result.terms["kl_minus_capacity"], result.terms["kl"] - stop)
    assert F.cosine_similarity(gradients[0], gradients[1], dim=0) < -0.999


def test_a_split_batch_has_the_loss_and_gradient_of_the_whole() -> None:
    """Between the halves' KLs, |KL − C| of each half would pull in opposite directions; the global one does not."""
    image, noise = images(8) * torch.cat([torch.zeros(4), torch.full((4,), 9.0)]).view(-1, 1, 1, 1), torch.randn(8, 4)
    parts = [slice(0, 4), slice(4, 8)]
    kls = [
        float(build(VAE.Config(**SHARED)).losses({"image": image[p]}, FixedStep(0, noise[p])).terms["kl"])
        for p in parts
    ]
    between = 0.3 * sum(kls)
    assert min(kls) < between < max(kls)
    config = CCIVAE.Config(capacity=CapacitySchedule(stop=between, end=0), gamma=50.0, **SHARED)
    model = build(config)

    def gradient(batch: Tensor, step: Any) -> tuple[Tensor, Tensor]:
        model.zero_grad()
        loss = model.losses({"image": batch}, step).minimise["model"]
        loss.backward()
        return loss.detach(), model.encoder.layers[0].weight.grad.clone()

    whole = gradient(image, FixedStep(0, noise))
    recorders = [RecordingStep(0, noise[p]) for p in parts]
    alone = [gradient(image[p], recorder) for p, recorder in zip(parts, recorders)]
    shared = [recorder.shared for recorder in recorders]
    split = [gradient(image[p], PartStep(0, noise[p], number, shared)) for number, p in enumerate(parts)]
    for i in range(2):
        torch.testing.assert_close((split[0][i] + split[1][i]) / 2, whole[i], rtol=1e-4, atol=1e-4)
    assert abs((alone[0][0] + alone[1][0]) / 2 - whole[0]) > 1.0


def test_models_without_a_shape_or_with_a_strange_decoder_say_what_to_do() -> None:
    for config in (VAE.Config(), BetaVAE.Config(), CCIVAE.Config()):
        with pytest.raises(ConfigError, match=r"image_shape is not set.*data.*dataset\.image_shape"):
            config.build()
    with pytest.raises(ConfigError, match="channels, height and width"):
        VAE.Config(image_shape=(1, 0, 4)).build()
    masks = SpatialBroadcastDecoder.Config(extra_channels=1)
    with pytest.raises(ConfigError, match="extra_channels = 1"):
        VAE.Config(**{**SHARED, "decoder": masks}).build()


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_weights_are_finite_and_not_negative(bad: float) -> None:
    with pytest.raises(ConfigError, match=r"^beta = .*expected a finite number"):
        BetaVAE.Config(beta=bad)
    with pytest.raises(ConfigError, match=r"^beta_normalised = .*expected a finite number"):
        BetaVAE.Config(beta_normalised=bad)
    with pytest.raises(ConfigError, match=r"^gamma = .*expected a finite number"):
        CCIVAE.Config(gamma=bad)
    with pytest.raises(ConfigError, match=r"^gamma = .*expected a finite number"):
        FactorChannels.Config(gamma=bad)
    with pytest.raises(ConfigError, match=r"^capacity stop = .*expected a finite number"):
        CapacitySchedule(stop=bad)
    with pytest.raises(ConfigError, match=r"^capacity start = .*expected a finite number"):
        CapacitySchedule(start=bad)


def test_a_code_has_at_least_one_latent() -> None:
    for kind in (VAE.Config, BetaVAE.Config, CCIVAE.Config):
        assert kind(latent_size=1).latent_size == 1
        for size in (0, -3):
            with pytest.raises(ConfigError, match=f"latent_size = {size}; expected a whole number"):
                kind(latent_size=size)
        with pytest.raises(ConfigError, match=r"latent_size = 2\.5; expected a whole number"):
            kind(latent_size=2.5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="warm_up = -1"):
        BetaVAE.Config(warm_up=-1)


@pytest.mark.parametrize("ends", [(6.0, -12.0), (0.0, 0.0), (float("nan"), 1.0)])
def test_log_variances_are_clamped_to_a_range(ends: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match=r"log_variance_range = .*expected the lower end, then the upper"):
        VAE.Config(log_variance_range=ends)
    assert VAE.Config(log_variance_range=None).log_variance_range is None


def test_an_unknown_choice_is_not_another_objective() -> None:
    with pytest.raises(ConfigError, match=r"CCIVAE\.penalty = 'squared', did you mean 'square'"):
        CCIVAE.Config(penalty="squared")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"FactorChannels\.penalty = 'l1'"):
        FactorChannels.Config(penalty="l1")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"CapacitySchedule\.shape = 'cos', did you mean 'cosine'"):
        CapacitySchedule(shape="cos")  # type: ignore[arg-type]


@pytest.mark.usefixtures("unchecked_shapes")
def test_an_unknown_penalty_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^penalty = 'ABS', did you mean 'abs'"):
        penalise(torch.tensor(1.0), "ABS")  # type: ignore[arg-type]


def test_under_autocast_the_loss_is_float32_and_close() -> None:
    config = BetaVAE.Config(**SHARED)
    exact = losses(config).minimise["model"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = losses(config).minimise["model"]
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.01, atol=0)


def test_samples_follow_the_generator() -> None:
    model = build(VAE.Config(**SHARED))
    first, again, other = (model.sample(3, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not first.requires_grad
    assert model.sample(0).shape == (0, 1, 6, 7)
