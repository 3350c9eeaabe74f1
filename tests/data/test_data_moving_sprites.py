"""Videos of moving sprites: constant speed, mirrors at the borders, one identity in all frames."""

from __future__ import annotations

import pytest
import torch
from scene_contract import SceneContract

from percepts.core.errors import ConfigError
from percepts.data.moving_sprites import MovingSprites, more_moving_sprites, reflected, tiny_videos

SOME = torch.arange(12)


class TestTinyVideos(SceneContract):
    @pytest.fixture
    def dataset(self) -> MovingSprites:
        return tiny_videos().build()


class TestBinarizedVideos(SceneContract):
    @pytest.fixture
    def dataset(self) -> MovingSprites:
        return MovingSprites.Config(
            variant="binarized", sprites=(0, 3), size=24, frames=3, images=20, split="test"
        ).build()


def test_by_default_videos_have_sixteen_frames_of_64_pixels() -> None:
    dataset = MovingSprites.Config().build()
    batch = dataset.gather(torch.arange(2))
    assert batch["video"].shape == (2, 16, 3, 64, 64)
    assert dataset.frames == 16
    assert set((batch["entity.shape"] > 0).sum(1).tolist()) <= {3, 4}


def test_masks_follow_the_positions() -> None:
    dataset = MovingSprites.Config(size=48, frames=12, speed=(3.0, 4.0)).build()
    batch, details = dataset.gather(SOME), dataset.details(SOME)
    amodal = details["amodal"].double()
    area = amodal.flatten(3).sum(3)
    round_ = ((batch["entity.shape"] == 1) | (batch["entity.shape"] == 2))[:, None].expand_as(area)
    places = torch.arange(48.0).double()
    for axis, along in ((0, amodal.sum(3)), (1, amodal.sum(4))):
        found = (along * places).sum(3)[round_] / area[round_]
        assert (found - details["position"][..., axis][round_]).abs().max() < 0.5
    there = (batch["entity.shape"] > 0)[:, None].expand_as(area)
    assert (area[there] > 0).all()
    usual = area.mean(1, keepdim=True).clamp(min=1)
    assert ((area / usual - 1).abs() < 0.2)[there].all(), "a sprite is cut by the border"


def test_speeds_are_constant_between_bounces() -> None:
    config = MovingSprites.Config(size=64, frames=40, speed=(1.0, 2.0))
    dataset = config.build()
    batch, position = dataset.gather(SOME), dataset.details(SOME)["position"]
    there = batch["entity.shape"] > 0
    step = position.diff(dim=1)
    velocity = batch["entity.velocity"]
    speed = velocity.norm(dim=-1)[there]
    assert speed.min() >= 1 - 1e-5
    assert speed.max() <= 2 + 1e-5
    straight = (step.abs() - velocity[:, None].abs()).abs() < 1e-4
    turned = (step.abs() < velocity[:, None].abs() + 1e-4) & ~straight
    assert (straight | turned)[there[:, None].expand(straight.shape[:-1])].all()
    assert straight[there[:, None].expand(straight.shape[:-1])].float().mean() > 0.9
    assert turned.any(), "nothing ever bounced"
    assert torch.equal(position[:, 0, :, 0], batch["entity.x"])
    assert torch.allclose(step[:, 0][there], velocity[there], atol=2.1)


def test_a_mirror_turns_back_what_went_too_far() -> None:
    position = torch.tensor([[5.0, 12.0], [7.0, -3.0], [29.0, 0.0]], dtype=torch.float64)
    found = reflected(position, torch.full((3, 1), 2.0, dtype=torch.float64), 12)  # centres from 1.5 to 9.5
    assert torch.equal(found, torch.tensor([[5.0, 7.0], [7.0, 6.0], [6.0, 3.0]], dtype=torch.float64))


def test_the_same_sprite_is_in_front_in_all_frames() -> None:
    dataset = MovingSprites.Config(size=32, frames=8, sprites=(4, 4)).build()
    batch, amodal = dataset.gather(SOME), dataset.details(SOME)["amodal"]
    wanted = torch.zeros_like(batch["segmentation"])
    for entity in range(1, 5):
        wanted[amodal[:, :, entity]] = entity
    assert torch.equal(batch["segmentation"], wanted)
    areas = amodal.flatten(3).sum(3)[:, :, 1:].double()
    assert ((areas.amax(1) - areas.amin(1)) / areas.mean(1)).max() < 0.7
    colour = batch["entity.colour"][:, None, :, :, None, None]
    shown = batch["segmentation"][:, :, None] == torch.arange(5)[:, None, None]
    for entity in range(1, 5):
        same = (batch["video"] == colour[:, :, entity]).all(2)
        assert same[shown[:, :, entity]].all()


def test_more_sprites_than_in_training() -> None:
    batch = more_moving_sprites(6, tiny_videos()).build().gather(SOME)
    assert (batch["entity.shape"][:, 1:] > 0).all()
    assert batch["entity.shape"].shape == (12, 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 0}, "at least 1"),
        ({"speed": (2.0, 1.0)}, "the lowest"),
        ({"speed": (-1.0, 1.0)}, "the lowest"),
        ({"sprites": (3, 1)}, "the fewest"),
        ({"size": 8}, "16 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MovingSprites.Config(**change).build()
