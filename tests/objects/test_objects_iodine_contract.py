"""What every slot model promises, kept by every kind of IODINE."""

from __future__ import annotations

import torch
from slot_model_contract import SlotModelContract
from small_iodine import images, small_iodine, small_refinement

from percepts.core.capabilities import Batch
from percepts.core.config import Config
from percepts.objects.geco import Geco
from percepts.objects.iodine import slot_decoder


class TestIODINE(SlotModelContract):
    def config(self) -> Config:
        return small_iodine()


class TestTheRelease(SlotModelContract):
    def config(self) -> Config:
        return small_iodine(
            capacity_channel=True,
            density="logistic",
            scale=0.3,
            prior_std=0.8326,
            decoder=slot_decoder((6, 6), 5),
            refinement=small_refinement(coordinates="cos", kernel=5, lstm=None),
        )


class TestNotSquareWithALearnedScale(SlotModelContract):
    def config(self) -> Config:
        return small_iodine(image_shape=(1, 7, 11), scale=None, kl_warm_up=50, loss_weights=(0.0, 1.0, 0.5))


class TestLittleMemoryWithGeco(SlotModelContract):
    def config(self) -> Config:
        return small_iodine(
            checkpoint=True, slot_chunk=2, geco=Geco.Config(goal=-1.0, rate=1e-3), loss_weights="constant"
        )


class TestNoGradientInputs(SlotModelContract):
    def config(self) -> Config:
        return small_iodine(refinement=small_refinement(inputs=("image", "components", "pred_mask", "zp")))


class TestVideo(SlotModelContract):
    """Trained on frames; images are taken apart as videos in which nothing happens."""

    def config(self) -> Config:
        return small_iodine(sequential=True, refinement=small_refinement(head="predictor_corrector"))

    def batch(self, generator: torch.Generator) -> Batch:
        still = images(self.batch_size)
        return {"image": still, "video": torch.rand(self.batch_size, 3, 3, 8, 8, generator=generator)}
