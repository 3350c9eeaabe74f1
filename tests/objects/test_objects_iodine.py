"""IODINE: its loss against a plain computation, symmetry of the slots, inference in any mode, bad input."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from small_iodine import built, images, small_iodine, small_refinement, step
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from percepts.core.errors import ConfigError, DataError, NonFiniteError
from percepts.core.slots import Refines
from percepts.objects.iodine import IODINE
from percepts.objects.iodine_steps import loss_weights


class Logistic(torch.distributions.TransformedDistribution):
    """Made of a uniform distribution, as textbooks do."""

    def __init__(self, location: Tensor, scale: float) -> None:
        uniform = torch.distributions.Uniform(torch.zeros_like(location), torch.ones_like(location))
        moves = [
            torch.distributions.SigmoidTransform().inv,
            torch.distributions.AffineTransform(location, scale),
        ]
        super().__init__(uniform, moves)


@torch.no_grad()
def naive_step(model: IODINE, image: Tensor, parameters: Tensor, noise: Tensor) -> tuple[float, float]:
    """NLL and KL of one belief, averaged over the batch, slot by slot and probability by probability."""
    config, kl, logits, densities = model.config, 0.0, [], []
    for slot in range(parameters.shape[1]):
        mean, pre = parameters[:, slot].chunk(2, dim=1)
        std = torch.log1p(pre.exp()).sqrt()
        kl += float(kl_divergence(Normal(mean, std), Normal(torch.zeros_like(mean), config.prior_std)).sum())
        latents = mean + std * noise[:, slot]
        if config.capacity_channel:
            latents = torch.cat([latents, torch.full((len(image), 1), 5.0, dtype=image.dtype)], dim=1)
        output = model.decoder(latents)
        pixel: Any = Normal if config.density == "normal" else Logistic
        densities.append(pixel(output[:, :3], config.scale).log_prob(image).sum(1).exp())
        logits.append(output[:, 3])
    mask = torch.stack(logits).softmax(0)
    nll = -float((mask * torch.stack(densities)).sum(0).log().sum())
    return nll / len(image), kl / len(image)


@pytest.mark.parametrize(
    "settings",
    [{}, {"density": "logistic", "scale": 0.3, "prior_std": 0.8326, "capacity_channel": True, "beta": 0.5}],
    ids=["normal", "release"],
)
def test_the_loss_is_the_weighted_sum_over_the_beliefs(settings: dict[str, Any]):
    model = built(**settings).double()
    image = images(3).double()
    generator = torch.Generator().manual_seed(5)
    noise = [torch.randn(3, 3, 4, dtype=torch.float64, generator=generator) for _ in range(3)]
    explanations = list(model.iterate([image] * 3, model.start(3, 3), drawn(noise), model.scale(), keep=True))
    naive = [naive_step(model, image, e.posterior.parameters.detach(), n) for e, n in zip(explanations, noise)]
    found = model.losses({"image": image}, step(5))
    for name, number in (("nll_per_step", 0), ("kl_per_step", 1)):
        torch.testing.assert_close(found.terms[name].tolist(), [both[number] for both in naive], rtol=1e-9, atol=1e-9)
    beta = model.config.beta
    expected = sum(t / 2 * (nll + beta * kl) for t, (nll, kl) in enumerate(naive))
    assert float(found.minimise["model"].detach()) == pytest.approx(expected, rel=1e-10)
    assert float(found.terms["elbo"]) == pytest.approx(-sum(naive[-1]), rel=1e-10)


def drawn(noise: list[Tensor]) -> Any:
    """Gives the noise, one after the other."""
    left = iter(noise)
    return lambda like: next(left).to(like)


def test_the_first_belief_weighs_nothing_and_the_last_one_most():
    assert loss_weights("linear", 4) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert loss_weights("constant", 2) == [1.0, 1.0, 1.0]
    assert loss_weights((0.0, 3.0), 1) == [0.0, 3.0]
    for wrong in ((1.0,), (1.0, -1.0, 1.0), (0.0, 0.0, 0.0), (1.0, math.nan, 1.0)):
        with pytest.raises(ConfigError, match="loss_weights"):
            small_iodine(loss_weights=wrong)


def test_slots_are_exchangeable():
    model, image = built().double(), images(2).double()
    noise = [torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    order = [2, 0, 1]
    runs = []
    for draw in (drawn(noise), drawn([one[:, order] for one in noise])):
        runs.append(list(model.iterate([image] * 3, model.start(2, 3), draw, 0.5, keep=False)))
    for straight, shuffled in zip(*runs):
        torch.testing.assert_close(shuffled.posterior.parameters, straight.posterior.parameters[:, order])
        torch.testing.assert_close(shuffled.log_mask, straight.log_mask[:, order])
        torch.testing.assert_close(shuffled.nll, straight.nll)
    assert not torch.allclose(runs[0][-1].log_mask, runs[1][-1].log_mask)


def test_without_noise_slots_would_stay_equal():
    model, image = built(), images(2)
    silent = list(model.iterate([image] * 3, model.start(2, 3), torch.zeros_like, 0.5, keep=False))
    torch.testing.assert_close(silent[-1].log_mask.exp(), torch.full((2, 3, 8, 8), 1 / 3))
    parameters = silent[-1].posterior.parameters
    torch.testing.assert_close(parameters[:, 1], parameters[:, 0])


def test_beliefs_are_shown_step_by_step():
    model, image = built(), images()
    assert isinstance(model, Refines)
    found = model.refine(image)
    assert len(found) == 3
    torch.testing.assert_close(found[-1].mask, model.decompose(image).mask)
    torch.testing.assert_close(found[0].slots.mean, model.first[:4].detach().expand(4, 3, 4))
    longer = model.refine(image, steps=5, slots=4)
    assert len(longer) == 6
    assert longer[2].mask.shape[1] == 4
    assert len(model.refine(image, steps=0)) == 1
    with pytest.raises(ConfigError, match="steps = -1"):
        model.refine(image, steps=-1)
    with pytest.raises(ConfigError, match="slots = 0"):
        model.refine(image, slots=0)


def test_the_noise_of_inference_is_fixed_unless_a_generator_brings_other():
    model, image = built(), images()
    first, other = (model.refine(image, generator=torch.Generator().manual_seed(n))[-1].mask for n in (0, 1))
    again = model.refine(image, generator=torch.Generator().manual_seed(0))[-1].mask
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    torch.manual_seed(5)
    plain = model.decompose(image).mask
    torch.manual_seed(6)
    assert torch.equal(plain, model.decompose(image).mask)
    elsewhere = built(noise_seed=1)
    assert not torch.allclose(plain, elsewhere.decompose(image).mask)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize(
    "settings", [{}, {"checkpoint": True}, {"slot_chunk": 1}], ids=["plain", "recalled", "chunked"]
)
def test_inference_works_in_any_mode_and_leaves_no_trace(mode: Any, settings: dict[str, Any]):
    model = built(**settings)
    expected = built().decompose(images()).mask
    frozen = built(**settings).requires_grad_(False)
    with mode():
        found, still = model.decompose(images() + 0), frozen.decompose(images() + 0)
    torch.testing.assert_close(found.mask, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(still.mask, expected, rtol=1e-4, atol=1e-6)
    assert not found.mask.requires_grad
    assert not found.slots.mean.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("settings", [{}, {"checkpoint": True}], ids=str)
def test_training_differentiates_through_all_steps(settings: dict[str, Any]):
    """Without stopped inputs the gradient is that of finite differences; a belief cut off anywhere would show."""
    seen = ("components", "image", "mask", "posterior", "pred_mask", "zp")
    refinement = small_refinement(inputs=seen, normalise=(), stop_gradients=())
    model, batch = built(refinement=refinement, steps=3, **settings).double(), {"image": images().double()}
    model.losses(batch, step()).minimise["model"].backward()
    generator = torch.Generator().manual_seed(0)
    moves = [torch.randn(weight.shape, dtype=torch.float64, generator=generator) for weight in model.parameters()]
    slope = sum(float((weight.grad * move).sum()) for weight, move in zip(model.parameters(), moves))
    costs, size = [], 1e-6
    for amount in (size, -2 * size):
        with torch.no_grad():
            for weight, move in zip(model.parameters(), moves):
                weight += amount * move
            costs.append(float(model.losses(batch, step()).minimise["model"]))
    assert slope == pytest.approx((costs[0] - costs[1]) / (2 * size), rel=1e-5)


def test_inference_keeps_no_graph_from_step_to_step():
    model = built()
    for explanation in model.infer(images(), steps=4):
        assert explanation.posterior.parameters.is_leaf
    trained = list(model.iterate([images()] * 3, model.start(4, 3), step().normal, 0.5, keep=True))
    assert not trained[1].posterior.parameters.is_leaf


def test_what_is_inferred_does_not_depend_on_the_batch_unless_asked():
    image = images(6)
    for inner, same in (("sum", True), ("mean", False)):
        # Without normalisation the size of the gradients shows.
        model = built(inner=inner, refinement=small_refinement(normalise=())).double()
        whole, part = model.encode(image.double()).mean[:2], model.encode(image[:2].double()).mean
        assert torch.allclose(whole, part) == same, inner


@pytest.mark.parametrize("shape", [(3, 35, 35), (1, 9, 16), (4, 5, 3)])
def test_images_of_any_size(shape: tuple[int, int, int]):
    model = built(image_shape=shape)
    losses = model.losses({"image": images(2, shape)}, step())
    losses.minimise["model"].backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    assert model.segment(images(2, shape)).shape == (2, *shape[1:])
    assert model.sample(2).shape == (2, *shape)


def test_a_frozen_decoder_leaves_the_network_trainable():
    model = built()
    model.decoder.requires_grad_(False)
    expected = built()
    for one in (model, expected):
        one.losses({"image": images()}, step()).minimise["model"].backward()
    for (name, parameter), other in zip(model.named_parameters(), expected.parameters()):
        if name.startswith("decoder"):
            assert parameter.grad is None
        else:
            torch.testing.assert_close(parameter.grad, other.grad, msg=name)


def test_scales_and_weights_of_the_first_steps():
    model = built(first_scale=1.0, first_scale_steps=10, kl_warm_up=4)
    assert (model.scale(9), model.scale(10), model.scale()) == (1.0, 0.5, 0.5)
    losses = [float(model.losses({"image": images()}, step(index=n)).minimise["model"].detach()) for n in (20, 11)]
    assert losses[0] == losses[1]
    early = built(kl_warm_up=4, loss_weights=(0.0, 0.0, 1.0)).losses({"image": images()}, step(index=0))
    expected = early.terms["reconstruction"] + 0.25 * early.terms["kl"]
    torch.testing.assert_close(early.minimise["model"].detach(), expected)


def test_a_learned_scale_starts_at_a_tenth_and_learns():
    model = built(scale=None)
    assert float(model.scale().detach()) == pytest.approx(0.1)
    losses = model.losses({"image": images()}, step())
    assert float(losses.terms["scale"]) == pytest.approx(0.1)
    losses.minimise["model"].backward()
    # Images of noise are far from the means: a wider density explains them better.
    assert model.log_scale.grad < 0


def test_bad_images_are_refused():
    model = built()
    with pytest.raises(NonFiniteError, match="NaN"):
        model.decompose(torch.full((1, 3, 8, 8), math.nan))
    with pytest.raises(DataError, match="as the model was built"):
        model.decompose(images(1, (3, 8, 9)))
    with pytest.raises(DataError, match="as the model was built"):
        model.losses({"image": images(1, (1, 8, 8))}, step())
    bad = images()
    bad[0, 0, 0, 0] = math.nan
    with pytest.raises(NonFiniteError, match="NaN"):
        model.losses({"image": bad}, step())
    with pytest.raises(DataError, match="image / 255"):
        model.decompose(255 * images())
    with pytest.raises(DataError, match=r"type torch.uint8"):
        model.decompose((255 * images()).byte())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"slots": 0}, "slots = 0"),
        ({"steps": 0}, "steps = 0"),
        ({"scale": 0.0}, "scale = 0.0"),
        ({"first_scale": -1.0}, "first_scale"),
        ({"prior_std": math.inf}, "prior_std"),
        ({"beta": -1.0}, "beta"),
        ({"slot_chunk": 0}, "slot_chunk"),
        ({"density": "cauchy"}, "density"),
        ({"image_shape": None}, "image_shape is not set"),
    ],
)
def test_settings_that_cannot_be_meant(settings: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        small_iodine(**settings).build()


def test_the_decoder_must_draw_a_mask():
    with pytest.raises(ConfigError, match="the logit of the mask"):
        small_iodine(decoder=dataclasses.replace(small_iodine().decoder, extra_channels=0))
