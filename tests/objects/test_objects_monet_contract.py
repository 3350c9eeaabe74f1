"""MONet in all its forms keeps the contract of slot models."""

from __future__ import annotations

from typing import Any

import torch
from model_contract import ModelContract
from slot_model_contract import SlotModelContract
from small_monet import small_monet

from percepts.core.capabilities import Batch
from percepts.core.config import Config
from percepts.objects.geco import Geco


class TestMONet(SlotModelContract):
    def config(self) -> Config:
        return small_monet()


class TestMONetOfOtherSettings(SlotModelContract):
    def config(self) -> Config:
        return small_monet(
            image_shape=(1, 15, 13),
            mixture_over="channel",
            recon="weighted",
            even_start=True,
            initialisation="truncated_normal",
            checkpoint_attention=True,
            slot_chunk=2,
            log_variance_range=None,
        )


class TestMONetWithGeco(SlotModelContract):
    def config(self) -> Config:
        return small_monet(geco=Geco.Config(goal=-1.0, rate=1e-3))


class WithSegmentation(ModelContract):
    """A VAE of components has no masks of its own: it takes images apart only where it is told how."""

    def batch(self, generator: torch.Generator) -> Batch:
        segmentation = torch.randint(4, (self.batch_size, 16, 12), generator=generator)
        return {**super().batch(generator), "segmentation": segmentation}

    def test_encode_gives_a_posterior_for_every_image(self, model: Any, data: Batch) -> None:
        found = model.encode(data["image"], None, data["segmentation"])
        assert found.mean.shape == found.variance.shape == (self.batch_size, 3, 4)
        assert (found.mask.sum(1) == 1).all()

    def test_images_out_are_like_images_in(self, model: Any, data: Batch) -> None:
        found = model.decompose(data["image"], None, data["segmentation"])
        assert found.reconstruction.shape == data["image"].shape
        assert found.reconstruction.min() >= 0
        assert found.reconstruction.max() <= 1

    def test_evaluation_is_deterministic_and_independent_of_the_batch(self, model: Any, data: Batch) -> None:
        image, segmentation = data["image"], data["segmentation"]
        first = model.encode(image, None, segmentation)
        assert torch.equal(first.mean, model.encode(image, None, segmentation).mean)
        alone = model.encode(image[:1], None, segmentation[:1])
        torch.testing.assert_close(alone.mean, first.mean[:1], rtol=1e-4, atol=1e-5)


class TestComponentsOfGivenMasks(WithSegmentation):
    def config(self) -> Config:
        return small_monet(masks="given")


class TestComponentsOfOneMask(WithSegmentation):
    def config(self) -> Config:
        return small_monet(masks="all_in_one")
