"""MONet: its loss against a plain float64 computation, its masks, its settings, bad input."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from small_monet import built, images, segmentations, small_monet
from torch import Tensor
from torch.distributions import Categorical, Normal, kl_divergence

from percepts.core.capabilities import StillStep
from percepts.core.errors import CapabilityError, ConfigError, DataError
from percepts.objects.masks import OUTSIDE, hard_log_masks, in_regime
from percepts.objects.monet import MONet
from percepts.objects.networks import component_decoder, component_encoder


class Zero(StillStep):
    """A step whose noise is zero."""

    def normal(self, like: Tensor) -> Tensor:
        return torch.zeros_like(like)


@torch.no_grad()
def naive_terms(model: MONet, image: Tensor, over: str, recon: str) -> tuple[float, float, float]:
    """NLL, KL of the latents and KL of the masks, probability by probability, with latents at their means."""
    config, slots = model.config, model.config.slots
    scope, masks = torch.ones_like(image[:, :1]), []
    for _ in range(slots - 1):
        alpha = model.attention(torch.cat([image, scope.log()], 1)).sigmoid()  # type: ignore[misc]
        masks.append(scope * alpha)
        scope = scope * (1 - alpha)
    masks.append(scope)
    nll, kl, decoded, likelihoods = 0.0, 0.0, [], []
    for slot, mask in enumerate(masks):
        mean, log_std = model.encoder(torch.cat([image, mask.log()], 1)).chunk(2, dim=1)
        kl += float(kl_divergence(Normal(mean, log_std.exp()), Normal(0.0, 1.0)).sum())
        output = model.decoder(mean)
        decoded.append(output[:, 3])
        std = config.background_scale if slot == 0 else config.foreground_scale
        likelihoods.append(Normal(output[:, :3].sigmoid(), std).log_prob(image))
    mask, log_likelihood = torch.stack(masks), torch.stack(likelihoods)
    if recon == "weighted":
        nll = -float((mask[:, :, 0] * log_likelihood.sum(2)).sum())
    elif over == "pixel":
        nll = -float((mask[:, :, 0] * log_likelihood.sum(2).exp()).sum(0).log().sum())
    else:
        nll = -float((mask * log_likelihood.exp()).sum(0).log().sum())
    attention = Categorical(mask[:, :, 0].permute(1, 2, 3, 0))
    kl_mask = float(kl_divergence(attention, Categorical(logits=torch.stack(decoded, -1))).sum())
    return nll / len(image), kl / len(image), kl_mask / len(image)


@pytest.mark.parametrize(("over", "recon"), [("pixel", "mixture"), ("channel", "mixture"), ("pixel", "weighted")])
def test_the_loss_is_the_papers(over: Any, recon: Any):
    settings = {"mixture_over": over, "recon": recon, "beta": 0.7, "gamma": 0.3, "log_variance_range": None}
    model, image = built(**settings).double(), images().double()
    losses = model.losses({"image": image}, Zero(0))
    nll, kl, kl_mask = naive_terms(model, image, over, recon)
    terms = {name: float(value) for name, value in losses.terms.items() if value.dim() == 0}
    assert terms["reconstruction"] == pytest.approx(nll, rel=1e-9)
    assert terms["kl"] == pytest.approx(kl, rel=1e-9)
    assert terms["kl_mask"] == pytest.approx(kl_mask, rel=1e-9)
    assert terms["elbo"] == pytest.approx(-(nll + kl + kl_mask), rel=1e-9)
    assert terms["nll_per_value"] == pytest.approx(nll / (3 * 16 * 12), rel=1e-9)
    assert float(losses.minimise["model"].detach()) == pytest.approx(nll + 0.7 * kl + 0.3 * kl_mask, rel=1e-9)


def test_in_float32_the_loss_is_that_of_float64():
    image = images()
    single = built().losses({"image": image}, Zero(0))
    double = built().double().losses({"image": image.double()}, Zero(0))
    assert float(single.minimise["model"].detach()) == pytest.approx(float(double.minimise["model"].detach()), rel=1e-5)


def test_the_noise_reaches_every_slot_with_its_deviation():
    model, image = built(), images()
    found = model.encode(image)

    class Recording(StillStep):
        def normal(self, like: Tensor) -> Tensor:
            self.shape = tuple(like.shape)
            return super().normal(like)

    step = Recording(0, torch.Generator().manual_seed(4))
    terms = model.terms({"image": image}, step)
    assert step.shape == found.mean.shape
    noise = torch.randn(found.mean.shape, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(terms.appearance, model.draw(found.sample(noise))[0])


@pytest.mark.parametrize("logit", [0.0, 5.0, -5.0, 1e4, -1e4, 1e30, -1e30])
def test_masks_share_out_every_pixel_whatever_the_logits(logit: float, monkeypatch: pytest.MonkeyPatch):
    model = built()
    given = torch.full((4, 1, 16, 12), logit, requires_grad=True)
    monkeypatch.setattr(model, "attention_logit", lambda image, log_scope: given)
    for slots in (1, 2, 3, 11):
        log_mask = model.attend(images(), slots)
        assert log_mask.shape == (4, slots, 16, 12)
        assert torch.isfinite(log_mask).all()
        assert (log_mask.exp().sum(1) - 1).abs().max() <= 1e-4
    log_mask.sum().backward()
    assert torch.isfinite(given.grad).all()  # type: ignore[arg-type]


def test_losses_stay_finite_with_extreme_logits(monkeypatch: pytest.MonkeyPatch):
    model = built()
    monkeypatch.setattr(model, "attention_logit", lambda image, log_scope: torch.full_like(log_scope, -1e30))
    losses = model.losses({"image": images()}, Zero(0))
    losses.minimise["model"].backward()
    assert all(torch.isfinite(value).all() for value in losses.terms.values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_more_slots_cut_further_and_the_first_cuts_stay():
    model, image = built(), images()
    three, seven = model.decompose(image), model.decompose(image, 7)
    torch.testing.assert_close(seven.mask[:, :2], three.mask[:, :2])
    torch.testing.assert_close(seven.mask[:, 2:].sum(1), three.mask[:, 2])
    torch.testing.assert_close(seven.slots.mean[:, :2], three.slots.mean[:, :2])


def test_even_start_shares_the_image_evenly(monkeypatch: pytest.MonkeyPatch):
    for even, expected in ((True, [0.25] * 4), (False, [0.5, 0.25, 0.125, 0.125])):
        model = built(slots=4, even_start=even)
        monkeypatch.setattr(model, "attention_logit", lambda image, log_scope: torch.zeros_like(log_scope))
        share = model.attend(images(1), 4).exp().mean(dim=(0, 2, 3))
        torch.testing.assert_close(share, torch.tensor(expected))


def test_the_first_slot_has_the_scale_of_the_background():
    model, image = built(background_scale=0.05, foreground_scale=0.2), images(1)
    appearance, nothing = image[:, None].expand(-1, 2, -1, -1, -1), torch.full((1, 16, 12), -1e3)
    for slot, scale in ((0, 0.05), (1, 0.2)):
        log_mask = torch.stack([nothing * (slot != owner) for owner in (0, 1)], 1)
        nll = float(model.nll(image, appearance, log_mask).detach())
        assert nll / image.numel() == pytest.approx(math.log(scale * math.sqrt(2 * math.pi)), abs=1e-4)


def test_pixels_can_be_left_unbounded_and_are_shown_in_range():
    model = built(pixel_bound="none")
    latents = 50 * torch.randn(2, 3, 4)
    appearance, _ = model.draw(latents)
    assert appearance.min() < 0
    shown, _ = model.components(latents)
    assert shown.min() >= 0
    assert shown.max() <= 1


@pytest.mark.parametrize("settings", [{"checkpoint_attention": True}, {"slot_chunk": 1}, {"slot_chunk": 2}])
def test_less_memory_same_gradients(settings: dict[str, Any]):
    image, step = images(), 3
    found = []
    for changes in ({}, settings):
        model = built(**changes)
        loss = model.losses({"image": image}, StillStep(step, torch.Generator().manual_seed(0))).minimise["model"]
        loss.backward()
        found.append({"loss": loss.detach(), **{name: p.grad for name, p in model.named_parameters()}})
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-4, atol=1e-3, msg=name)


def kept_for_backward(model: MONet) -> int:
    """How many numbers a forward pass keeps."""
    sizes: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.losses({"image": images()}, Zero(0))
    return sum(sizes)


def test_less_memory_keeps_less():
    usual = kept_for_backward(built())
    assert kept_for_backward(built(checkpoint_attention=True)) < 0.9 * usual
    assert kept_for_backward(built(checkpoint_attention=True, slot_chunk=1)) < 0.4 * usual


def test_parameters_of_the_paper():
    def count(module: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    small = MONet.Config(image_shape=(3, 64, 64)).build()
    assert (count(small.encoder), count(small.decoder), count(small.attention)) == (336_480, 33_092, 604_513)
    large = component_encoder().build(image_shape=(4, 128, 128), latent_size=16)
    assert count(large) == 1_122_912


def test_truncated_normal_weights():
    model = built(initialisation="truncated_normal")
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            std = 1 / math.sqrt(layer.weight[0].numel())
            assert layer.weight.detach().abs().max() <= 2 * std
            if layer.weight.numel() > 500:
                assert float(layer.weight.detach().std()) == pytest.approx(0.88 * std, rel=0.15)
            assert layer.bias is None or not layer.bias.any()


def test_hard_masks_and_their_regimes():
    segmentation, image = segmentations(entities=5), images()
    log_mask = hard_log_masks(segmentation, 3)
    assert set(log_mask.unique().tolist()) == {0.0, OUTSIDE}
    assert torch.equal(log_mask.argmax(1), segmentation.clamp(max=2))
    assert torch.equal(in_regime("given", segmentation, image), segmentation)
    assert torch.equal(in_regime("wrong", segmentation, image)[1], segmentation[0])
    assert not in_regime("all_in_one", None, image).any()


@pytest.mark.parametrize("masks", ["given", "wrong", "all_in_one"])
def test_components_alone_learn_from_given_masks(masks: Any):
    model, image, segmentation = built(masks=masks, gamma=0.0), images(), segmentations()
    assert model.attention is None
    batch = {"image": image, "segmentation": segmentation}
    terms = model.terms(batch, Zero(0))
    owner = in_regime(masks, segmentation, image)
    log_prob = Normal(terms.appearance, torch.tensor([0.09, 0.11, 0.11])[:, None, None, None]).log_prob(image[:, None])
    expected = -log_prob.sum(2).gather(1, owner[:, None]).sum(dim=(1, 2, 3))
    torch.testing.assert_close(terms.nll, expected, rtol=1e-5, atol=1e-2)
    found = model.decompose(image, None, segmentation)
    assert torch.equal(found.mask.argmax(1), owner)
    model.losses(batch, Zero(0)).minimise["model"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_what_a_slots_mask_leaves_out_does_not_reach_the_loss():
    model, image, segmentation = built(masks="given"), images(), segmentations()
    terms = model.terms({"image": image, "segmentation": segmentation}, Zero(0))
    (gradient,) = torch.autograd.grad(terms.reconstruction, terms.appearance)
    outside = hard_log_masks(segmentation, 3) < 0
    assert not gradient.movedim(2, 0)[:, outside].any()
    assert gradient.movedim(2, 0)[:, ~outside].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slots": 0}, "slots = 0"),
        ({"latent_size": 0}, "latent_size"),
        ({"beta": -1.0}, "beta = -1"),
        ({"gamma": math.nan}, "gamma = nan"),
        ({"background_scale": 0.0}, "background_scale"),
        ({"foreground_scale": math.inf}, "foreground_scale"),
        ({"slot_chunk": 0}, "slot_chunk"),
        ({"masks": "true"}, "masks = 'true'"),
        ({"log_variance_range": (1.0, 0.0)}, "log_variance_range"),
        ({"decoder": dataclasses.replace(component_decoder(), extra_channels=0)}, "logit of the mask"),
        ({"image_shape": None}, "image_shape is not set"),
        ({"image_shape": (3, 2, 2)}, "channels with 1 entries"),
    ],
)
def test_settings_that_do_not_fit_are_explained(changes: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        small_monet(**changes).build()


def test_bad_input_is_explained():
    model, image = built(), images()
    with pytest.raises(DataError, match=r"\(4, 3, 12, 16\)"):
        model.losses({"image": image.mT}, Zero(0))
    with pytest.raises(DataError, match="as the model was built"):
        model.decompose(image[0])
    with pytest.raises(ConfigError, match="slots = 0"):
        model.decompose(image, 0)
    with pytest.raises(CapabilityError, match="cannot cut images"):
        built(slots=1).decompose(image, 2)
    with pytest.raises(CapabilityError, match="no segmentation"):
        built(masks="given").losses({"image": image}, Zero(0))
    with pytest.raises(DataError, match="a batch of one image"):
        built(masks="wrong").losses({"image": image[:1], "segmentation": segmentations(1)}, Zero(0))
    with pytest.raises(DataError, match="a segmentation of shape"):
        built(masks="given").decompose(image, None, segmentations(3))
