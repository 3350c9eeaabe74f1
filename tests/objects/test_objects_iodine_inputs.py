"""What IODINE's refinement network is shown, and its parts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_iodine import built, images, small_refinement, step
from torch import Tensor

from percepts.core.errors import ConfigError
from percepts.objects.explanation import Belief, counterfactual, explain_pixels, responsibilities
from percepts.objects.iodine import IODINE
from percepts.objects.refinement import FLAT, SPATIAL, InputNorm, LSTMCell, RefinementNetwork
from percepts.objects.slot_posterior import SlotPosterior

NAMES = (*SPATIAL, *FLAT)


def explained(model: IODINE, image: Tensor, parameters: Tensor, noise: Tensor) -> Any:
    """The explanation of one belief, for a network that will refine it."""
    belief = Belief(parameters, model.refinement.start(parameters.shape[0] * parameters.shape[1]))
    return model.explain(image, belief, lambda like: noise, model.scale(), keep=False, refines=True)


@pytest.mark.parametrize("settings", [{}, {"density": "logistic", "scale": 0.2}, {"slot_chunk": 2}], ids=str)
def test_gradients_are_those_of_finite_differences(settings: dict[str, Any]):
    model, image = built(**settings).double(), images(2).double()
    generator = torch.Generator().manual_seed(0)
    parameters, noise, direction = (
        torch.randn(2, 3, size, dtype=torch.float64, generator=generator) for size in (8, 4, 8)
    )
    raw = explained(model, image, parameters, noise).inputs(image, model.config.refinement, 1.0)

    def cost(moved: Tensor) -> float:
        explanation = explained(model, image, moved, noise)
        return float((explanation.nll.sum() + explanation.kl.sum()).detach())

    step_size = 1e-5
    slope = (cost(parameters + step_size * direction) - cost(parameters - step_size * direction)) / (2 * step_size)
    assert float((raw["dzp"] * direction).sum()) == pytest.approx(slope, rel=1e-6)

    drawn = explained(model, image, parameters, noise)
    parts = (drawn.appearance.detach(), drawn.mask_logit.detach())
    for number, name in enumerate(("dcomponents", "dmask")):
        move = torch.randn(parts[number].shape, dtype=torch.float64, generator=generator)
        costs = []
        for sign in (1, -1):
            moved = [part + sign * step_size * move if n == number else part for n, part in enumerate(parts)]
            costs.append(-float(explain_pixels(*moved, image, model.config.density, model.scale())[2].sum()))
        assert float((raw[name] * move).sum()) == pytest.approx((costs[0] - costs[1]) / (2 * step_size), rel=1e-6)


def test_inputs_are_what_their_names_say():
    model, image = built(), images(2)
    shown = model.inputs(image)
    assert len(shown) == model.config.steps
    first = shown[0]
    assert tuple(first) == NAMES
    beliefs = model.refine(image)
    for name, value in first.items():
        assert value.shape[:2] == (2, 3), name
        assert not value.requires_grad, name
    torch.testing.assert_close(first["pred_mask"][:, :, 0], beliefs[0].mask)
    torch.testing.assert_close(first["components"].clamp(0, 1), beliefs[0].appearance)
    torch.testing.assert_close(first["mask"].softmax(1), first["pred_mask"])
    torch.testing.assert_close(first["zp"][..., :4], beliefs[0].slots.mean)
    torch.testing.assert_close(first["image"], image.unsqueeze(1).expand(-1, 3, -1, -1, -1))
    assert (first["capacity"] == 0.5).all()
    assert (first["flat_capacity"] == 0.5).all()
    torch.testing.assert_close(first["coordinates"][0, 0, 0, 0], torch.linspace(-1, 1, 8))
    for name in ("counterfactual", "dcomponents", "dmask", "log_prob"):
        rows = first[name].flatten(2)
        torch.testing.assert_close(rows.mean(2), torch.zeros(2, 3), atol=1e-4, rtol=0, msg=name)
        torch.testing.assert_close(rows.var(2, correction=0), torch.ones(2, 3), atol=2e-3, rtol=0, msg=name)
    # Summing over slots, log p is one map for all.
    assert torch.equal(first["log_prob"][:, 0], first["log_prob"][:, 1])


def test_a_pixel_is_shared_out_by_densities_alone():
    log_prob = torch.tensor([[[[0.0, -50.0]], [[-1.0, -50.0]]]])
    plain = responsibilities(log_prob, ratio=True)
    torch.testing.assert_close(plain[0, 0, 0, 0], torch.tensor(1 / (1 + torch.e**-1 + 1e-6)))
    assert (plain[0, :, 0, 1] < 1e-12).all()
    torch.testing.assert_close(responsibilities(log_prob, ratio=False)[0, :, 0, 1], torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize("slots", [2, 3, 7])
def test_the_counterfactual_is_that_of_brute_force(slots: int):
    generator = torch.Generator().manual_seed(slots)
    logit = 5 * torch.randn(2, slots, 3, 4, dtype=torch.float64, generator=generator)
    log_prob_slots = 30 * torch.randn(2, slots, 3, 4, dtype=torch.float64, generator=generator)
    log_mask = logit.log_softmax(1)
    log_prob = torch.logsumexp(log_mask + log_prob_slots, 1)
    found = counterfactual(log_mask, log_prob_slots, log_prob)
    for slot in range(slots):
        kept = [other for other in range(slots) if other != slot]
        without = torch.logsumexp(logit[:, kept].log_softmax(1) + log_prob_slots[:, kept], 1)
        torch.testing.assert_close(found[:, slot], log_prob - without)
    single = counterfactual(log_mask, log_prob_slots.float(), log_prob.float())
    torch.testing.assert_close(single.double(), found, rtol=1e-5, atol=1e-4)


def test_a_single_slot_has_no_counterfactual():
    model = built()
    assert (counterfactual(torch.zeros(1, 1, 2, 2), torch.randn(1, 1, 2, 2), torch.randn(1, 2, 2)) == 0).all()
    assert torch.isfinite(model.inputs(images(1), slots=1)[0]["counterfactual"]).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_input_can_be_left_out(name: str):
    inputs = tuple(other for other in NAMES if other != name)
    model = built(steps=1, refinement=small_refinement(inputs=inputs))
    assert tuple(model.inputs(images(1))[0]) == inputs
    assert (name in built().refinement.norms) == (name in model.config.refinement.normalise)
    assert name not in model.refinement.norms
    assert torch.isfinite(model.losses({"image": images(2)}, step()).minimise["model"])


def test_without_gradient_inputs_nothing_is_differentiated(monkeypatch: pytest.MonkeyPatch):
    model = built(refinement=small_refinement(inputs=("image", "mask", "zp", "counterfactual")))

    def refuse(*arguments: Any, **names: Any) -> None:
        raise AssertionError("a gradient was asked for")

    monkeypatch.setattr(torch.autograd, "grad", refuse)
    model.decompose(images())
    model.losses({"image": images()}, step())
    with pytest.raises(AssertionError, match="asked for"):
        built().decompose(images())


def test_only_the_listed_inputs_are_stopped():
    """The first step's components carry a gradient to λ⁰ through the network, unless they are stopped."""
    found = {}
    for stopped in ((), ("components",)):
        refinement = small_refinement(inputs=("components",), normalise=(), stop_gradients=stopped, lstm=None)
        model = built(refinement=refinement, steps=1, loss_weights=(0.0, 1.0))
        losses = model.losses({"image": images()}, step())
        found[stopped] = torch.autograd.grad(losses.minimise["model"], model.first)[0]
    assert not torch.allclose(found[()], found[("components",)])


@pytest.mark.parametrize("wrong", [("image", "imag"), ("image", "image"), ("zp",), ()])
def test_lists_of_inputs_are_checked(wrong: Any):
    with pytest.raises(ConfigError, match="inputs"):
        RefinementNetwork.Config(inputs=wrong)
    with pytest.raises(ConfigError, match="hidden"):
        RefinementNetwork.Config(hidden=())


def test_normalisation_is_over_all_pixels_and_channels_of_a_slot():
    norm = InputNorm(2)
    value = torch.randn(3, 4, 2, 5, 6, generator=torch.Generator().manual_seed(0)) * 1e4 + 7
    with torch.no_grad():
        norm.gain.copy_(torch.tensor([2.0, 3.0]))
        norm.offset.copy_(torch.tensor([-1.0, 1.0]))
    flat = value.double().flatten(2)
    centred = (flat - flat.mean(2, keepdim=True)) / flat.var(2, correction=0, keepdim=True).sqrt()
    expected = centred.view(value.shape) * torch.tensor([2.0, 3.0]).view(2, 1, 1) + torch.tensor([-1.0, 1.0]).view(
        2, 1, 1
    )
    torch.testing.assert_close(norm(value).double(), expected, rtol=1e-4, atol=1e-4)
    assert (InputNorm(1)(torch.zeros(1, 2, 1, 3, 3)) == 0).all()


def test_the_lstm_is_torchs_with_one_added_to_the_forget_gate():
    cell, reference = LSTMCell(5, 4), torch.nn.LSTMCell(5, 4)
    with torch.no_grad():
        # Ours: input, candidate, forget, output; torch's: input, forget, candidate, output.
        write, candidate, forget, read = cell.gates.weight.chunk(4)
        both = torch.cat([write, forget, candidate, read])
        reference.weight_ih.copy_(both[:, :5])
        reference.weight_hh.copy_(both[:, 5:])
        write, candidate, forget, read = cell.gates.bias.chunk(4)
        reference.bias_ih.copy_(torch.cat([write, forget + 1, candidate, read]))
        reference.bias_hh.zero_()
    memory = (torch.randn(3, 4), torch.randn(3, 4))
    for found, expected in zip(cell(torch.ones(3, 5), memory), reference(torch.ones(3, 5), memory)):
        torch.testing.assert_close(found, expected)


def test_shut_gates_leave_the_belief_as_it_is():
    """Of the head for sequences: with both gates shut nothing moves, with the corrector's open it is replaced."""
    model = built(refinement=small_refinement(head="predictor_corrector", corrector_bias=-1e4, predictor_bias=-1e4))
    shut = model.refine(images(), steps=3)
    torch.testing.assert_close(shut[3].slots.mean, shut[0].slots.mean)
    head = built(refinement=small_refinement(head="predictor_corrector", corrector_bias=1e4, predictor_bias=-1e4))
    features, parameters = torch.randn(2, 7), torch.randn(2, 8)
    corrected = head.refinement.head.correct(features)[:, 8:]
    torch.testing.assert_close(head.refinement.head(features, parameters), corrected)


def test_the_posterior_is_gaussian_with_a_softplus_variance():
    parameters = torch.randn(2, 3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    posterior = SlotPosterior(parameters)
    exact = torch.distributions.Normal(parameters[..., :4], (1 + parameters[..., 4:].exp()).log().sqrt())
    torch.testing.assert_close(posterior.variance, exact.variance)
    for std in (1.0, 0.8326):
        prior = torch.distributions.Normal(torch.zeros(4, dtype=torch.float64), std)
        torch.testing.assert_close(posterior.kl(std), torch.distributions.kl_divergence(exact, prior))
    noise = torch.randn(2, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(posterior.sample(noise), exact.mean + exact.stddev * noise)
