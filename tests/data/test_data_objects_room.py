"""Objects Room: what every split has, that properties are where the pixels are, and videos of it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scene_contract import SceneContract

from percepts.core.errors import ConfigError
from percepts.data.objects_room import ObjectsRoom, ObjectsRoomVideo, objects_room_nine
from percepts.data.scene_draws import pixel_counts, project
from percepts.rendering.objects import pinhole

VARIANTS = {"train": (1, 3, 7), "empty_room": (0, 0, 4), "six_objects": (6, 6, 10), "identical_color": (4, 6, 10)}
FEW = torch.arange(24)


def room(**settings: Any) -> ObjectsRoom:
    return ObjectsRoom.Config(**{"size": 32, "samples": 1, "images": 500} | settings).build()


def video(**settings: Any) -> ObjectsRoomVideo:
    return ObjectsRoomVideo.Config(**{"size": 16, "samples": 1, "frames": 3, "images": 500} | settings).build()


class TestRoom(SceneContract):
    @pytest.fixture
    def dataset(self) -> ObjectsRoom:
        return room(size=16)


class TestEmptyRoom(SceneContract):
    @pytest.fixture
    def dataset(self) -> ObjectsRoom:
        return room(size=16, variant="empty_room")


class TestVideo(SceneContract):
    @pytest.fixture
    def dataset(self) -> ObjectsRoomVideo:
        return video()


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_have_their_objects(variant: str) -> None:
    fewest, most, entities = VARIANTS[variant]
    dataset = room(variant=variant, size=64)
    batch = dataset.gather(FEW)
    assert (dataset.entities, dataset.backgrounds) == (entities, 4)
    count = (batch["entity.shape"] > 0).sum(1)
    assert set(count.tolist()) == set(range(fewest, most + 1))
    # Of 64 x 64 pixels, those of a picture drawn with one ray each, 20 or more show every object.
    seen = pixel_counts(batch["segmentation"], entities)
    assert (seen[batch["entity.shape"] > 0] >= 20).all()
    assert not seen[:, 4:][batch["entity.shape"][:, 4:] == 0].any()
    assert batch["visible"][:, 1].all(), "the floor is always seen"


def test_numbers_of_objects_are_equally_likely() -> None:
    values = room()._settled(torch.arange(300), "cpu")
    count = torch.bincount(values["exists"].sum(1), minlength=4)
    assert count[0] == 0
    assert (count[1:] - 100).abs().max() <= 3 * math.sqrt(300 * 2 / 9)


def test_one_colour_is_shared_where_it_must_be() -> None:
    for variant, shared in (("identical_color", True), ("six_objects", False)):
        batch = room(variant=variant, size=8).gather(FEW[:8])
        there = batch["entity.shape"] > 0
        for colours, mask in zip(batch["entity.colour"], there):
            assert (len(colours[mask].unique(dim=0)) == 1) == shared


def test_colours_are_bright_and_saturated() -> None:
    batch = room(size=8).gather(FEW)
    colour = batch["entity.colour"][batch["entity.shape"] > 0]
    assert torch.allclose(colour.amax(1), torch.tensor(1.0))
    assert (colour.amin(1) <= 0.25 + 1e-6).all()
    assert len(colour.unique(dim=0)) == len(colour)


def test_objects_stand_on_the_floor_apart_from_each_other() -> None:
    batch = room(size=8, variant="six_objects").gather(FEW[:8])
    position, size = batch["entity.position"][:, 4:], batch["entity.size"][:, 4:]
    assert (position[..., :2].norm(dim=-1) <= 2 + 1e-5).all()
    assert (size >= 0.35 - 1e-6).all()
    assert (size <= 0.7).all()
    assert (position[..., 2] <= size * 1.001).all()
    distance = (position[:, :, None, :2] - position[:, None, :, :2]).norm(dim=-1)
    apart = distance - size[:, :, None] - size[:, None, :] + 10 * torch.eye(6)
    assert (apart > 0.1 - 1e-5).all()


def test_properties_are_where_the_pixels_are() -> None:
    dataset = room(size=64)
    batch, details = dataset.gather(FEW), dataset.details(FEW)
    pixels = project(batch["entity.position"], details["camera"], pinhole(60.0)) * torch.tensor([64, 64, 1])
    rows, columns = (torch.arange(64) + 0.5 for _ in range(2))
    checked = 0
    for b, e in (batch["entity.shape"] > 0).nonzero().tolist():
        mask = details["amodal"][b, e].float()
        if mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any():
            continue  # cut off by the edge of the image
        middle = torch.stack([(mask.sum(0) * columns).sum(), (mask.sum(1) * rows).sum()]) / mask.sum()
        # A solid's outline is nearly, not wholly, around the image of its centre; a cone's lies lower.
        across, down = (middle - pixels[b, e, :2]).tolist()
        assert abs(across) < 0.5 + 0.05 * float(mask.sum()) ** 0.5
        cone = int(batch["entity.shape"][b, e]) == 5
        assert (down > 0) if cone else abs(down) < 0.5 + 0.1 * float(mask.sum()) ** 0.5
        own = (batch["segmentation"][b] == e) & (mask > 0)
        near, far = details["depth"][b][own].min(), details["depth"][b][own].max()
        assert float(near) - 0.05 < float(pixels[b, e, 2])
        assert float(far) - float(near) < 2 * float(batch["entity.size"][b, e])
        checked += 1
    assert checked >= 10


def test_unoccluded_objects_are_what_is_seen_where_nothing_hides_them() -> None:
    dataset = room(samples=1)
    batch, details = dataset.gather(FEW[:6]), dataset.details(FEW[:6])
    own = batch["segmentation"][:, None, None].expand(-1, 1, 3, -1, -1)
    assert torch.allclose(details["unoccluded"].gather(1, own)[:, 0], batch["image"], atol=1e-5)
    hidden = details["amodal"][:, 4:] & (batch["segmentation"][:, None] != torch.arange(4, 7)[:, None, None])
    assert details["unoccluded"][:, 4:].amax(2)[hidden].min() > 0


def test_scenes_do_not_depend_on_the_size_of_the_image_nor_of_the_batch() -> None:
    small, large = room(size=8), room(size=40, samples=2, shadows=True)
    few = torch.tensor([3, 499, 3])
    one, other = small.gather(few), large.gather(few)
    for name in small.properties:
        assert torch.equal(one[f"entity.{name}"], other[f"entity.{name}"])
    again = small.gather(torch.arange(40))
    assert torch.equal(again["image"][3], one["image"][0])


def test_seeds_splits_and_variants_are_different_scenes() -> None:
    first = FEW[:2]
    images = [
        room(**settings).gather(first)["image"]
        for settings in ({}, {"seed": 1}, {"split": "test"}, {"variant": "empty_room"})
    ]
    for i, one in enumerate(images):
        for other in images[i + 1 :]:
            assert not torch.equal(one, other)


def test_no_scenes_are_an_empty_batch() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    for dataset in (room(size=8), room(size=8, variant="empty_room"), video(size=8)):
        assert dataset.gather(none)["visible"].shape == (0, dataset.entities)
        assert len(dataset.details(none)["amodal"]) == 0


def test_relations_of_objects_only() -> None:
    dataset = room(variant="six_objects", size=8)
    details = dataset.details(FEW[:4])
    left = details["relation.left"]
    assert left.shape == (4, 10, 10)
    assert not left[:, :4].any()
    assert not left[:, :, :4].any()
    assert left.any()
    assert torch.equal(left.mT, details["relation.right"])


def test_the_camera_moves_on_its_ring_and_objects_stay() -> None:
    dataset = video(frames=5, arc=180.0, size=8)
    batch = dataset.gather(FEW)
    eye = batch["camera"][..., :3, 3]
    assert torch.allclose(eye[..., :2].norm(dim=-1), torch.tensor(3.0))
    assert torch.allclose(eye[..., 2], eye[:, :1, 2])
    chord = (eye[:, 1:] - eye[:, :-1]).norm(dim=-1)
    assert torch.allclose(chord, chord[:, :1].expand_as(chord), atol=1e-4)
    turned = 2 * (chord[:, 0] / 6).asin() * 4
    assert (turned >= math.pi / 2 - 1e-3).all()
    assert (turned <= math.pi + 1e-3).all()
    assert batch["entity.position"].shape == (24, 7, 3)
    assert batch["video"].shape == (24, 5, 3, 8, 8)


def test_a_frame_is_the_image_from_its_camera() -> None:
    dataset = video(size=32)
    batch, details = dataset.gather(FEW[:3]), dataset.details(FEW[:3])
    assert torch.equal(details["camera"], batch["camera"])
    assert details["relation.left"].shape == (3, 3, 7, 7)
    pixels = project(batch["entity.position"][:, None].expand(-1, 3, -1, -1), batch["camera"], pinhole(60.0))
    amodal = details["amodal"]
    for b, t, e in amodal[:, :, 4:].flatten(3).any(3).nonzero().tolist():
        x, y, _ = pixels[b, t, 4 + e].tolist()
        if 0 <= x < 1 and 0 <= y < 1:
            assert amodal[b, t, 4 + e, int(y * 32), int(x * 32)], "the centre of a solid is inside of its outline"


def test_nine_objects_fit() -> None:
    dataset = objects_room_nine(size=8, frames=2, samples=1).build()
    assert dataset.entities == 13
    assert (dataset.gather(FEW[:4])["entity.shape"] > 0).sum(1).tolist() == [9] * 4


@pytest.mark.parametrize("settings", [{"size": 0}, {"images": 0}, {"samples": 0}, {"pixels": -1}, {"variant": "blue"}])
def test_bad_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        room(**settings)


@pytest.mark.parametrize(
    "settings", [{"frames": 0}, {"objects": (3, 1)}, {"objects": (-1, 2)}, {"radius": (0.5, 0.4)}, {"arc": 400.0}]
)
def test_bad_videos_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        video(**settings)


def test_too_many_objects_are_refused_when_they_are_to_be_placed() -> None:
    with pytest.raises(ConfigError, match="keep their distance"):
        video(objects=(40, 40)).gather(torch.tensor([0]))
