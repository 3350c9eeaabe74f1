"""CLEVR-like scenes: the grammar, what is visible, the views, the conditions."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scene_contract import SceneContract

from percepts.core.errors import ConfigError
from percepts.data import scene_draws
from percepts.data.clevr_like import ClevrLike, clevr6, clevr7_10, clevr10, cogent_a, cogent_b, no_green_spheres
from percepts.data.scene_draws import pixel_counts

FEW = torch.arange(12)
PLAIN: dict[str, Any] = {"size": 24, "samples": 1, "images": 500, "shadows": False}
GREEN, CUBE, SPHERE, CYLINDER = 4, 1, 2, 3
"""Codes."""


def clevr(**settings: Any) -> ClevrLike:
    return ClevrLike.Config(**PLAIN | settings).build()


class TestClevr(SceneContract):
    @pytest.fixture
    def dataset(self) -> ClevrLike:
        return clevr(size=16, objects=(3, 6))


class TestWholePicture(SceneContract):
    @pytest.fixture
    def dataset(self) -> ClevrLike:
        return clevr(size=12, view="full", objects=(0, 2))


def codes(config: ClevrLike.Config, count: int = 60) -> dict[str, torch.Tensor]:
    """Properties of many scenes, before any are drawn."""
    dataset = config.build()
    dataset._visible_enough = lambda values: torch.ones_like(values["attempt"], dtype=torch.bool)  # type: ignore[method-assign]
    return dataset._properties(dataset._settled(torch.arange(count), "cpu"))


def test_objects_keep_clevrs_distances_and_margins() -> None:
    known = codes(clevr10(**PLAIN))
    there = known["shape"] > 0
    radius = torch.where(known["size"] == 1, 0.7, 0.35)
    behind = torch.tensor([-math.sin(math.radians(46.69)), math.cos(math.radians(46.69))])
    left = torch.tensor([-behind[1], behind[0]])
    assert known["position"][..., :2].abs().max() <= 3
    for b in range(len(there)):
        numbers = there[b].nonzero()[:, 0].tolist()
        for i in numbers:
            for j in numbers:
                offset = (known["position"][b, i] - known["position"][b, j])[:2]
                if i != j:
                    assert float(offset.norm() - radius[b, i] - radius[b, j]) >= 0.25 - 1e-5
                for way in (left, behind):
                    assert i == j or abs(float(offset @ way)) >= 0.4 - 1e-5


def test_objects_rest_on_the_floor() -> None:
    known = codes(clevr10(**PLAIN))
    there = known["shape"] > 0
    height = torch.where(known["size"] == 1, 0.7, 0.35) * torch.where(known["shape"] == CUBE, math.sqrt(0.5), 1.0)
    assert torch.allclose(known["position"][..., 2][there], height[there])


def test_everything_is_equally_likely() -> None:
    known = codes(clevr10(**PLAIN | {"images": 400}), 400)
    there = known["shape"] > 0
    count = torch.bincount(there.sum(1), minlength=11)
    assert count[:3].sum() == 0
    assert (count[3:] - 50).abs().max() <= 3 * math.sqrt(400 * 7 / 64)
    for name, kinds in (("shape", 3), ("material", 2), ("colour", 8)):
        found = torch.bincount(known[name][there], minlength=kinds + 1)[1:]
        total = int(found.sum())
        assert (found - total / kinds).abs().max() <= 3.5 * math.sqrt(total * (kinds - 1)) / kinds, name
    # Small objects find a place more easily.
    assert 0.5 < float((known["size"][there] == 2).double().mean()) < 0.7


@pytest.mark.parametrize("view", ["crop", "full"])
def test_every_object_shows_200_pixels_of_the_whole_picture(view: str) -> None:
    dataset = clevr(view="full", size=240)
    batch = dataset.gather(FEW[:3])
    seen = pixel_counts(batch["segmentation"], 11)
    there = batch["entity.shape"] > 0
    # Visibility is decided on every other row and column: 50 there are about 200 here.
    assert seen[there].min() > 170
    cropped = clevr(size=192)
    inner = cropped.gather(FEW[:3])
    if view == "full":
        return
    for name in ("position", "rotation", "shape", "colour", "size", "material"):
        assert torch.equal(inner[f"entity.{name}"], batch[f"entity.{name}"])
    # The square is cut out of the picture: rows 29 to 221, columns 64 to 256.
    same = inner["segmentation"] == batch["segmentation"][:, 29:221, 64:256]
    assert same.double().mean() > 0.999
    moved = batch["entity.pixel_coords"] - inner["entity.pixel_coords"]
    assert torch.allclose(moved[there], torch.tensor([64.0, 29.0, 0.0]), atol=1e-3)


def test_what_is_outside_of_the_square_is_not_visible() -> None:
    batch = clevr(size=16).gather(torch.arange(40))
    there = batch["entity.shape"] > 0
    assert not batch["visible"][:, 1:][~there[:, 1:]].any()
    column = batch["entity.pixel_coords"][..., 0]
    outside = there & ((column < -4) | (column > 20))
    assert outside.any()
    assert not batch["visible"][outside].any()


def test_centres_are_where_the_pixels_are() -> None:
    dataset = clevr(view="full", size=60)
    batch, details = dataset.gather(FEW[:6]), dataset.details(FEW[:6])
    rows, columns = torch.arange(60) + 0.5, torch.arange(80) + 0.5
    for b, e in (batch["entity.shape"] > 0).nonzero().tolist():
        mask = details["amodal"][b, e].float()
        middle = torch.stack([(mask.sum(0) * columns).sum(), (mask.sum(1) * rows).sum()]) / mask.sum()
        assert (middle - batch["entity.pixel_coords"][b, e, :2]).abs().max() < 1.0
        x, y, depth = batch["entity.pixel_coords"][b, e].tolist()
        if batch["segmentation"][b, int(y), int(x)] == e:
            surface = float(details["depth"][b, int(y), int(x)])
            assert 0 < depth - surface < 1.2


def test_cameras_are_clevrs_and_lamps_change() -> None:
    dataset = clevr(size=8)
    camera = dataset.details(FEW)["camera"]
    offset = camera[:, :3, 3] - torch.tensor([7.48, -6.51, 5.34])
    assert offset.abs().max() <= 0.5
    assert offset.abs().max() > 0.3
    assert torch.equal(camera[:, :3, :3], camera[:1, :3, :3].expand(12, -1, -1))
    middle = torch.tensor([0.0, 0.0, 0.0]) - camera[:, :3, 3]
    assert ((middle * camera[:, :3, 2]).sum(1) / middle.norm(dim=1)).min() > 0.99, "they look at the middle"
    lamps = dataset._settled(FEW, "cpu")["lamps"]
    assert 0 < (lamps - lamps.mean(0)).abs().max() <= 2


def test_relations_are_clevrs() -> None:
    dataset = clevr(size=8)
    batch, details = dataset.gather(FEW[:4]), dataset.details(FEW[:4])
    angle = math.radians(46.69)
    ways = {"right": (math.cos(angle), math.sin(angle)), "behind": (-math.sin(angle), math.cos(angle))}
    ways |= {"left": tuple(-one for one in ways["right"]), "front": tuple(-one for one in ways["behind"])}  # type: ignore[dict-item]
    there = batch["entity.shape"] > 0
    for name, (x, y) in ways.items():
        for b in range(4):
            for i in range(11):
                for j in range(11):
                    offset = batch["entity.position"][b, j] - batch["entity.position"][b, i]
                    further = float(offset[0] * x + offset[1] * y) > 0.2
                    wanted = further and bool(there[b, i] & there[b, j])
                    assert bool(details[f"relation.{name}"][b, i, j]) == wanted


def test_conditions_have_their_colours() -> None:
    warm, cold = {1, 3, 5, 8}, {2, 4, 6, 7}
    for config, cubes, cylinders in ((cogent_a(**PLAIN), warm, cold), (cogent_b(**PLAIN), cold, warm)):
        known = codes(config)
        assert set(known["colour"][known["shape"] == CUBE].tolist()) == cubes
        assert set(known["colour"][known["shape"] == CYLINDER].tolist()) == cylinders
        assert set(known["colour"][known["shape"] == SPHERE].tolist()) == warm | cold


def test_green_spheres_can_be_held_out() -> None:
    def green_spheres(known: dict[str, torch.Tensor]) -> torch.Tensor:
        return ((known["shape"] == SPHERE) & (known["colour"] == GREEN)).any(1)

    held = codes(no_green_spheres(**PLAIN))
    assert not green_spheres(held).any()
    assert set(held["colour"][held["shape"] == SPHERE].tolist()) == {1, 2, 3, 5, 6, 7, 8}
    assert green_spheres(codes(clevr10(**PLAIN))).any()
    assert green_spheres(codes(clevr10(**PLAIN, green_spheres="some"))).all()


def test_presets_have_their_objects() -> None:
    for config, fewest, most in ((clevr6(**PLAIN), 3, 6), (clevr7_10(**PLAIN), 7, 10), (clevr10(**PLAIN), 3, 10)):
        count = (codes(config)["shape"] > 0).sum(1)
        assert set(count.tolist()) == set(range(fewest, most + 1))
        assert config.build().entities == most + 1


def test_scenes_do_not_depend_on_the_size_of_the_image_nor_of_the_batch() -> None:
    small, large = clevr(size=8), clevr(size=20, samples=2, shadows=True)
    few = torch.tensor([3, 499, 3])
    one, other = small.gather(few), large.gather(few)
    for name in small.properties:
        if name != "pixel_coords":
            assert torch.equal(one[f"entity.{name}"], other[f"entity.{name}"])
    assert torch.equal(large.gather(torch.arange(7))["image"][3], other["image"][0])


def test_the_floor_turns_into_the_light_of_the_horizon() -> None:
    empty = clevr(size=120, view="full", objects=(0, 0)).gather(torch.arange(6))["image"].mean((0, 1, 3))
    assert (empty[:20].diff() < 0).all(), "the floor gets lighter towards the horizon"
    assert abs(empty[0] - 0.62) < 0.08
    busy = clevr(size=120, view="full", images=20, objects=(5, 10))
    near = busy.details(torch.arange(20))["depth"][busy.gather(torch.arange(20))["segmentation"] > 0]
    assert 1 / (1 + (28 / float(near.max())) ** 4) < 0.1, "objects keep their colours"


def test_metal_shines_and_rubber_does_not() -> None:
    dataset = clevr(size=96, view="full")
    batch = dataset.gather(torch.arange(16))
    shape, material = batch["entity.shape"], batch["entity.material"]
    brightest: dict[int, list[float]] = {1: [], 2: []}
    for b, e in ((shape == SPHERE) & (batch["entity.size"] == 1)).nonzero().tolist():
        pixels = batch["image"][b][:, batch["segmentation"][b] == e]
        if pixels.shape[1] > 60:
            # White highlights: the weakest channel.
            brightest[int(material[b, e])].append(float(pixels.amin(0).max() - pixels.amin(0).median()))
    assert min(len(each) for each in brightest.values()) >= 2
    assert sum(brightest[2]) / len(brightest[2]) > 2 * sum(brightest[1]) / len(brightest[1])


@pytest.mark.parametrize(
    "settings",
    [
        {"objects": (4, 3)},
        {"objects": (3, 11)},
        {"pixels": -1},
        {"size": 0},
        {"size": 64, "view": "full"},
        {"view": "wide"},
        {"green_spheres": "some", "objects": (0, 3)},
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        clevr(**settings)


def test_more_pixels_than_there_are_is_never_visible_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_draws, "ROUNDS", 3)
    dataset = clevr(pixels=76_000, objects=(1, 1), size=8)
    with pytest.raises(ConfigError, match="visible enough"):
        dataset.gather(torch.tensor([0]))
