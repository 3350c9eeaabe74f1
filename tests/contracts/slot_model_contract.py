"""What every model of several objects keeps, beside the promises of all models.

class TestMONet(SlotModelContract):
    def config(self) -> Config:
        return MONet.Config(image_shape=(3, 16, 16), slots=3, ...)
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from model_contract import ModelContract, gradients
from torch import Tensor

from percepts.core.capabilities import Batch, Encodes, Reconstructs, Samples, Segments, StillStep
from percepts.core.slots import DecodesSlots, Decomposes, Decomposition, Slots, labels, present

SUM = 1e-4
"""How far the masks of a pixel may be from 1 in sum."""


class SlotModelContract(ModelContract):
    """Inherit, implement `config`, and every promise of a slot model is checked."""

    other_slots = 5
    """A number of slots that differs from that of training."""

    def test_it_has_the_capabilities_of_a_slot_model(self, model: Any) -> None:
        for capability in (Decomposes, DecodesSlots, Encodes, Reconstructs, Samples, Segments):
            assert isinstance(model, capability), capability.__name__

    def test_images_are_taken_apart(self, model: Any, data: Batch) -> None:
        slots, found = model.config.slots, model.decompose(data["image"])
        self.check_decomposition(found, data["image"], slots, model.config.latent_size)
        torch.testing.assert_close(model.reconstruct(data["image"]), found.reconstruction)
        segmentation = model.segment(data["image"])
        assert segmentation.dtype == torch.int64
        assert torch.equal(segmentation, labels(found.mask))

    def test_slots_can_be_more_or_fewer_than_in_training(self, model: Any, data: Batch) -> None:
        assert self.other_slots != model.config.slots
        for slots in (self.other_slots, 2):
            found = model.decompose(data["image"], slots)
            self.check_decomposition(found, data["image"], slots, model.config.latent_size)

    def check_decomposition(self, found: Decomposition, image: Tensor, slots: int, latents: int) -> None:
        """Shapes, ranges, and masks that share out every pixel."""
        count, channels, height, width = image.shape
        assert isinstance(found.slots, Slots)
        assert found.slots.mean.shape == found.slots.variance.shape == (count, slots, latents)
        assert (found.slots.variance > 0).all()
        for mask in (found.mask, found.decoded_mask):
            assert mask.shape == (count, slots, height, width)
            assert mask.dtype == torch.float32
            assert mask.min() >= 0
            assert (mask.sum(1) - 1).abs().max() <= SUM
        assert found.appearance.shape == (count, slots, channels, height, width)
        for picture in (found.appearance, found.reconstruction):
            assert picture.dtype == torch.float32
            assert picture.min() >= 0
            assert picture.max() <= 1
        assert torch.equal(found.slots.presence, present(found.mask))

    def test_latents_alone_draw_the_decoded_masks(self, model: Any, data: Batch) -> None:
        found = model.decompose(data["image"])
        appearance, mask = model.components(found.slots.mean)
        torch.testing.assert_close(appearance, found.appearance)
        torch.testing.assert_close(mask, found.decoded_mask)
        whole = model.decode(found.slots.mean)
        torch.testing.assert_close(whole, (mask.unsqueeze(2) * appearance).sum(1).clamp(0, 1))

    def test_images_out_are_like_images_in(self, model: Any, data: Batch) -> None:
        image = data["image"]
        made = [model.reconstruct(image), model.decode(model.encode(image).mean)]
        made += [model.sample(len(image), torch.Generator().manual_seed(0)) for _ in range(2)]
        torch.testing.assert_close(made[2], made[3])
        for result in made:
            assert result.shape == image.shape
            assert result.dtype == torch.float32
            assert result.min() >= 0
            assert result.max() <= 1

    def test_decoding_treats_slots_alike(self, model: Any, data: Batch) -> None:
        latents = model.encode(data["image"]).mean
        order = torch.randperm(latents.shape[1], generator=torch.Generator().manual_seed(3))
        appearance, mask = model.components(latents)
        shuffled_appearance, shuffled_mask = model.components(latents[:, order])
        torch.testing.assert_close(shuffled_appearance, appearance[:, order], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(shuffled_mask, mask[:, order], rtol=1e-4, atol=1e-5)

    def test_decomposing_is_deterministic_and_independent_of_the_batch(self, model: Any, data: Batch) -> None:
        model.eval()
        with torch.no_grad():
            first, again = model.decompose(data["image"]), model.decompose(data["image"])
            alone = model.decompose(data["image"][:1])
        assert torch.equal(first.mask, again.mask)
        assert torch.equal(first.slots.mean, again.slots.mean)
        torch.testing.assert_close(alone.mask, first.mask[:1], rtol=1e-3, atol=1e-4)

    def test_the_log_says_what_symptoms_read(self, model: Any, data: Batch) -> None:
        terms = model.losses(data, self.step()).terms
        assert {"reconstruction", "kl", "mse", "mask_entropy", "largest_slot", "active_slots"} <= set(terms)
        for name in ("kl_per_slot", "share_per_slot"):
            assert terms[name].shape == (model.config.slots,)
        torch.testing.assert_close(terms["kl_per_slot"].sum(), terms["kl"], rtol=1e-4, atol=1e-4)
        assert float(terms["share_per_slot"].sum()) == pytest.approx(1, abs=1e-4)
        entries = [{"step": 100 * n, **{k: v.tolist() for k, v in terms.items()}} for n in range(1, 80)]
        assert all(isinstance(text, str) for text in model.diagnose(entries).values())

    @pytest.mark.parametrize("level", [0.0, 1.0])
    def test_images_of_one_colour_are_no_accident(self, model: Any, data: Batch, level: float) -> None:
        flat = {**data, "image": torch.full_like(data["image"], level)}
        for name, value in gradients(model, flat, self.step()).items():
            assert torch.isfinite(value).all(), name

    def test_half_precision_networks_leave_masks_and_likelihoods_exact(self, model: Any, data: Batch) -> None:
        exact = model.losses(data, self.step()).minimise["model"]
        with torch.autocast("cpu", torch.bfloat16):
            losses = model.losses(data, self.step())
            found = model.decompose(data["image"])
        losses.minimise["model"].backward()
        assert losses.minimise["model"].dtype == torch.float32
        torch.testing.assert_close(losses.minimise["model"], exact, rtol=0.05, atol=0.05)
        self.check_decomposition(found, data["image"], model.config.slots, model.config.latent_size)

    def test_one_slot_is_a_vae_of_the_whole_image(self, data: Batch) -> None:
        torch.manual_seed(0)
        model = dataclasses.replace(self.config(), slots=1).build()  # type: ignore[call-arg]
        losses = model.losses(data, StillStep(0, torch.Generator().manual_seed(0)))
        assert torch.isfinite(losses.minimise["model"])
        found = model.decompose(data["image"])
        self.check_decomposition(found, data["image"], 1, model.config.latent_size)
        assert torch.equal(found.mask, torch.ones_like(found.mask))
