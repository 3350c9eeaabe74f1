"""Measuring slot models: perfect, useless and told models of scenes whose truth is known."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from percepts.core.errors import CapabilityError, NonFiniteError
from percepts.core.slots import Decomposition, Slots
from percepts.data.arrays import ArrayDataset
from percepts.data.moving_sprites import tiny_videos
from percepts.data.small_scenes import apart_sprites
from percepts.objects.iodine_presets import iodine_video
from percepts.studies.slot_measures import colour_baselines, object_slots, share_with_inactive
from percepts.training.evaluation import Evaluation, evaluate_model
from percepts.training.slot_evaluation import (
    batch_size,
    evaluate_slots,
    probe_slots,
    slot_disentanglement,
    take_apart,
)

WORLD = dataclasses.replace(apart_sprites(), images=500)


class Told(nn.Module):
    """Decomposes by the truth ("right"), by one slot for all ("one"), or into NaN ("broken")."""

    needs_segmentation = True

    def __init__(self, kind: str = "right") -> None:
        super().__init__()
        self.kind = kind
        self.weight = nn.Parameter(torch.zeros(1))

    def decompose(self, image: Tensor, slots: int | None = None, segmentation: Tensor | None = None) -> Decomposition:
        assert segmentation is not None
        count = 3 if slots is None else slots
        label = segmentation if self.kind == "right" else torch.zeros_like(segmentation)
        mask = nn.functional.one_hot(label, count).permute(0, 3, 1, 2).float()
        mean = torch.full((len(image), count, 2), float("nan") if self.kind == "broken" else 0.0)
        appearance = image[:, None].expand(-1, count, -1, -1, -1)
        return Decomposition(Slots(mean, torch.ones_like(mean), mask), appearance, mask)


def test_a_perfect_model_scores_perfectly():
    result = evaluate_model(Told(), WORLD.build(), Evaluation(scenes=40, bootstrap=10), 0)
    assert result["images"] == 40
    assert result["metrics"]["ari_fg"]["value"] == 1.0
    assert result["metrics"]["miou"]["value"] == 1.0
    assert result["metrics"]["slot_count_accuracy"]["value"] == 1.0
    assert result["reconstruction"] == {"mse": 0.0, "nmse": 0.0}
    assert result["slots"]["active"] == 3
    assert result["slots"]["mask_entropy"] == 0
    assert result["slots"]["kl"] == [0.0, 0.0, 0.0]


def test_one_slot_for_all_is_worth_nothing():
    result = evaluate_slots(Told("one"), WORLD.build(), 40, 0, 0)
    assert result["metrics"]["ari_fg"]["value"] == 0
    assert result["slots"]["largest_slot"] == 1
    assert result["slots"]["active"] == 1
    scenes = take_apart(Told("one"), WORLD.build(), 10)
    assert share_with_inactive(scenes) == 1
    assert object_slots(scenes) == 0


def test_broken_slots_are_an_error():
    with pytest.raises(NonFiniteError, match="not finite"):
        evaluate_slots(Told("broken"), WORLD.build(), 10, 0, 0)


def test_scenes_that_training_shows_are_not_measured():
    train, test = WORLD.build(), WORLD.build().unseen()
    assert test.config.split == "test"
    assert test.unseen() is test
    indices = torch.arange(8)
    assert not torch.equal(train.gather(indices)["image"], test.gather(indices)["image"])


def test_pictures_without_truth_are_measured_without_scores():
    class Blind(Told):
        needs_segmentation = False

        def decompose(self, image: Tensor, slots: int | None = None) -> Decomposition:  # type: ignore[override]
            return super().decompose(image, slots, torch.zeros(len(image), *image.shape[2:], dtype=torch.int64))

    images = torch.rand(12, 3, 8, 8)
    result = evaluate_slots(Blind(), ArrayDataset(images), 5, 0, 0)
    assert result["metrics"] == {}
    assert result["images"] == 5


def test_baselines_of_colour_know_what_they_see():
    apart = colour_baselines(WORLD.build(), 40, slots=3)
    assert apart["oracle.ari_fg"] == 1
    assert apart["kmeans.ari_fg"] > 0.95
    same = dataclasses.replace(WORLD, colours=("green",), distinct_colours=False)
    assert colour_baselines(same.build(), 40, slots=3)["oracle.ari_fg"] == 0


def test_videos_are_followed_and_scored_over_space_and_time():
    world = tiny_videos()
    model = dataclasses.replace(
        iodine_video(), image_shape=world.build().image_shape, slots=world.build().entities, noise_seed=1
    ).build()
    result = evaluate_slots(model, world.build(), 3, 0, 0)
    assert result["images"] == 3
    assert {"ari_fg", "ari_fg.frames", "slot_swaps"} <= set(result["metrics"])
    assert len(model.track(world.build().gather(torch.arange(1))["video"])) == world.build().frames


def test_a_model_of_images_cannot_follow_videos():
    with pytest.raises(CapabilityError, match="track"):
        evaluate_slots(Told(), tiny_videos().build(), 2, 0, 0)


def test_many_slots_are_taken_in_smaller_batches():
    assert batch_size(Told()) == 32
    assert batch_size(Told(), 64) == 8
    assert batch_size(Told(), 4000) == 1


class Knowing(Told):
    """Decomposes by the truth, and every slot's code is where its pixels are, how many, and their colour."""

    def decompose(self, image: Tensor, slots: int | None = None, segmentation: Tensor | None = None) -> Decomposition:
        found = super().decompose(image, slots, segmentation)
        mask = found.mask
        pixels = mask.flatten(2).sum(2).clamp_min(1)
        rows, columns = (torch.arange(float(size)) for size in image.shape[2:])
        down, across = (mask.sum(3) * rows).sum(2) / pixels, (mask.sum(2) * columns).sum(2) / pixels
        colour = (mask[:, :, None] * image[:, None]).flatten(3).sum(3) / pixels[..., None]
        codes = torch.cat([torch.stack([down, across, pixels / 50], dim=2), colour], dim=2)
        slots_ = dataclasses.replace(found.slots, mean=codes, variance=torch.ones_like(codes))
        return dataclasses.replace(found, slots=slots_)


def test_what_slots_tell_about_their_objects_is_measured():
    result = evaluate_model(Knowing(), WORLD.build(), Evaluation(scenes=200, bootstrap=10), 0)
    probes = {name: metric["value"] for name, metric in result["metrics"].items() if name.startswith("slot_probe")}
    assert set(probes) == {f"slot_probe.linear.mask.{name}" for name in WORLD.build().properties}
    # The middle of a triangle's pixels is not that of its box.
    assert min(probes[f"slot_probe.linear.mask.{name}"] for name in ("x", "y", "colour")) > 0.97
    assert result["metrics"]["slot_probe.linear.mask.x"]["interval"] is not None
    assert 0.4 < result["metrics"]["slot_dci.forest"]["value"] < 1
    assert "skipped" not in result
    nothing = evaluate_model(Told(), WORLD.build(), Evaluation(scenes=100, bootstrap=0), 0)
    assert nothing["metrics"]["slot_probe.linear.mask.x"]["value"] < 0.05
    assert nothing["metrics"]["ari_fg"]["value"] == 1


def test_what_slots_tell_can_be_left_out():
    result = evaluate_model(Knowing(), WORLD.build(), Evaluation(scenes=20, bootstrap=0, slot_codes=False), 0)
    assert not any(name.startswith("slot_") and "count" not in name for name in result["metrics"])
    assert evaluate_slots(Knowing(), WORLD.build(), 20, 0, 0)["metrics"] == result["metrics"]


def test_too_few_objects_for_probes_lose_no_other_score():
    empty = dataclasses.replace(WORLD, sprites=(0, 0))
    result = evaluate_slots(Knowing(), empty.build(), 10, 0, 0, codes=True)
    assert "fewer than two" in result["skipped"]
    assert result["metrics"]["slot_count_accuracy"]["value"] == 1


def test_videos_and_pictures_without_truth_have_no_probes():
    world = tiny_videos()
    scenes = dataclasses.replace(take_apart(Told(), WORLD.build(), 4), predicted=torch.zeros(4, 3, 24, 24).long())
    assert probe_slots(scenes, world.build()) == slot_disentanglement(scenes, world.build()) == {}
    assert probe_slots(scenes, ArrayDataset(torch.rand(12, 3, 8, 8))) == {}
