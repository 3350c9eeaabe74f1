"""Shifts of scenes: what changes, what does not, and that labels stay true."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from scene_contract import SceneContract

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError
from percepts.data.minis import Squares24
from percepts.data.moving_sprites import tiny_videos
from percepts.data.multi_dsprites import MultiDSprites
from percepts.data.shifting import covered_by, grey, hue_turned
from percepts.data.shifts import Shifted
from percepts.data.small_scenes import tiny_shapes, two_sprites
from percepts.data.tetrominoes import Tetrominoes

SOME = torch.arange(60)
KINDS = ("colour", "shape", "texture", "occluder", "crop", "grey")


@pytest.mark.parametrize("kind", KINDS)
class TestShiftedImages(SceneContract):
    @pytest.fixture
    def dataset(self, kind: str) -> Shifted:
        objects = "all" if kind == "shape" else "one"
        return Shifted.Config(dataset=two_sprites(), kind=kind, objects=objects).build()


@pytest.mark.parametrize("kind", KINDS)
class TestShiftedVideos(SceneContract):
    @pytest.fixture
    def dataset(self, kind: str) -> Shifted:
        return Shifted.Config(dataset=dataclasses.replace(tiny_videos(), images=20), kind=kind, seed=3).build()


def shifted(kind: str, **settings: object) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], Shifted]:
    """A batch of small scenes before and after a shift."""
    config = Shifted.Config(dataset=two_sprites(), kind=kind, **settings)
    assert from_json(json.loads(json.dumps(to_json(config)))) == config
    dataset = config.build()
    return dataset.dataset.gather(SOME), dataset.gather(SOME), dataset


def changed_objects(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> torch.Tensor:
    """How many objects of each scene have other pixels, by the segmentation before."""
    other = (before["image"] != after["image"]).any(1)
    return torch.stack([(other & (before["segmentation"] == entity)).flatten(1).any(1) for entity in (1, 2)], 1).sum(1)


@pytest.mark.parametrize("kind", ["colour", "texture"])
def test_one_object_or_all_look_different_and_nothing_else_does(kind: str) -> None:
    before, after, _ = shifted(kind)
    visible = before["visible"][:, 1:].sum(1)
    assert torch.equal(before["segmentation"], after["segmentation"])
    assert torch.equal(changed_objects(before, after), torch.ones_like(visible))
    background = before["segmentation"] == 0
    assert torch.equal(before["image"].movedim(1, 3)[background], after["image"].movedim(1, 3)[background])
    before, after, _ = shifted(kind, objects="all")
    assert torch.equal(changed_objects(before, after), visible)


def test_each_object_is_chosen_as_often() -> None:
    dataset = Shifted.Config(dataset=tiny_shapes(), kind="colour").build()
    indices = torch.arange(1000)
    before, after = dataset.dataset.gather(indices), dataset.gather(indices)
    changed = (before["entity.colour"] != after["entity.colour"]).any(-1)[:, 1:]
    assert (changed.sum(1) == 1).all()
    assert abs(changed[:, 0].double().mean() - 0.5) < 3.5 * 0.5 / 1000**0.5


def test_hues_turn_and_labels_with_them() -> None:
    before, after, dataset = shifted("colour", objects="all", hue=1 / 3)
    wanted = before["entity.colour"][..., [2, 0, 1]]  # red becomes green
    visible = before["visible"][..., None]
    assert torch.allclose(after["entity.colour"], torch.where(visible, wanted, before["entity.colour"]), atol=1e-6)
    for scene in range(10):
        shown = after["segmentation"][scene] > 0
        label = after["entity.colour"][scene][after["segmentation"][scene]].permute(2, 0, 1)
        assert torch.equal(after["image"][scene][:, shown], label[:, shown])
    alone = dataset.details(SOME)
    assert torch.allclose(alone["unoccluded"].amax((3, 4))[:, 1:], after["entity.colour"][:, 1:], atol=1e-6)


def test_the_hue_of_greys_stays_and_a_full_turn_changes_nothing() -> None:
    image = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(hue_turned(image, 1.0), image, atol=1e-6)
    assert torch.allclose(hue_turned(hue_turned(image, 0.3), -0.3), image, atol=1e-6)
    level = image[:, :1].expand(-1, 3, -1, -1)
    assert torch.allclose(hue_turned(level, 0.4), level)
    assert torch.equal(hue_turned(torch.zeros(1, 3, 2, 2), 0.5), torch.zeros(1, 3, 2, 2))


def test_new_shapes_cover_the_old_ones_and_are_labelled_as_none() -> None:
    before, after, dataset = shifted("shape")
    new = (after["entity.shape"] == 0) & (before["entity.shape"] > 0)
    assert (new.sum(1) == 1).all()
    for scene in range(len(SOME)):
        entity = int(new[scene].nonzero()[0])
        old_mask, mask = before["segmentation"][scene] == entity, after["segmentation"][scene] == entity
        assert mask[old_mask].all()
        widths = mask.sum(1)[mask.any(1)]
        assert (widths.diff() >= 0).all() or mask[:, [0, -1]].any() or mask[-1].any(), "no triangle"
        pixels = after["image"][scene][:, mask]
        assert torch.allclose(pixels, before["entity.colour"][scene, entity][:, None].expand_as(pixels), atol=1e-6)
        rest = after["segmentation"][scene] != entity
        assert torch.equal(after["image"][scene][:, rest], before["image"][scene][:, rest])
        assert torch.equal(after["segmentation"][scene][rest], before["segmentation"][scene][rest])
    assert dataset.details(SOME) == {}


def test_a_triangle_has_the_size_it_needs() -> None:
    mask = torch.zeros(2, 30, 30, dtype=torch.bool)
    mask[0, 10:15, 12:17] = True
    image, inside = covered_by(torch.full((2, 3, 30, 30), 0.25), mask)
    assert not inside[1].any()
    rows = inside[0].any(1).nonzero()[:, 0]
    # Its sides are 2 and 2 cos 30° + 1 pixels from the middle of the square, the farthest at 2.73; its tip twice that.
    assert (int(rows[0]), int(rows[-1])) == (12 - 5, 12 + 2)
    assert inside[0, 14].sum() > inside[0, 10].sum() > inside[0, 8].sum()
    assert torch.equal(inside[0], inside[0].roll(1, 1).flip(1)) or torch.equal(
        inside[0][:, 5:24], inside[0][:, 5:24].flip(1)
    )
    assert (image == 0.25).all()


def test_occluders_are_background() -> None:
    before, after, _ = shifted("occluder", occluder=0.5)
    other = before["segmentation"] != after["segmentation"]
    assert (after["segmentation"][other] == 0).all()
    covered = (before["image"] != after["image"]).any(1)
    assert (covered.flatten(1).sum(1) <= 144).all()
    assert (covered.flatten(1).sum(1) == 144).float().mean() > 0.8
    colours = after["image"].movedim(1, 3)[covered]
    assert (colours == colours[:, :1]).all()
    assert (before["visible"].sum() - after["visible"].sum()) > 0


def test_crops_enlarge_image_and_labels_alike() -> None:
    before, after, _ = shifted("crop", crop=0.5)
    middle = slice(6, 18)
    label = before["segmentation"][:, middle, middle].repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.equal(after["segmentation"], label)
    inner = torch.nn.functional.interpolate(
        before["image"][..., middle, middle], scale_factor=2, mode="bilinear", align_corners=False
    )
    assert torch.allclose(after["image"], inner, atol=1e-6)
    assert not after["visible"].all()


def test_grey_keeps_labels_and_luminance() -> None:
    before, after, dataset = shifted("grey")
    assert torch.equal(after["image"][:, 0], after["image"][:, 2])
    assert torch.allclose(after["image"][:, :1], (before["image"] * luminance()).sum(1, keepdim=True), atol=1e-6)
    for key in before.keys() - {"image"}:
        assert torch.equal(before[key], after[key])
    assert torch.equal(dataset.details(SOME)["amodal"], dataset.dataset.details(SOME)["amodal"])
    assert grey(torch.ones(1, 3, 1, 1)).allclose(torch.ones(1, 3, 1, 1))


def luminance() -> torch.Tensor:
    return torch.tensor([0.299, 0.587, 0.114])[:, None, None]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_works_on_every_generator(kind: str) -> None:
    for config in (Tetrominoes.Config(), MultiDSprites.Config(size=32)):
        dataset = Shifted.Config(dataset=config, kind=kind).build()
        before, after = dataset.dataset.gather(SOME[:8]), dataset.gather(SOME[:8])
        assert before.keys() == after.keys()
        assert not torch.equal(before["image"], after["image"])


def test_scenes_without_objects_stay_as_they_are() -> None:
    for kind in ("colour", "shape", "texture"):
        dataset = Shifted.Config(dataset=tiny_shapes((0, 0)), kind=kind).build()
        assert torch.equal(dataset.gather(SOME)["image"], dataset.dataset.gather(SOME)["image"])


def test_shifts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="a dataset of scenes"):
        Shifted.Config(dataset=Squares24.Config(), kind="crop").build()
    with pytest.raises(ConfigError, match="RGB images"):
        Shifted.Config(dataset=Tetrominoes.Config(binary=True), kind="grey").build()
    with pytest.raises(ConfigError, match="a share above 0"):
        Shifted.Config(dataset=two_sprites(), kind="crop", crop=0.0).build()
    with pytest.raises(ConfigError, match="did you mean 'occluder'"):
        Shifted.Config(dataset=two_sprites(), kind="ocluder")
