"""Multi-dSprites: where sprites are, what hides what, the colours of the variants, rules, and the user's own file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scene_contract import SceneContract

from percepts.core.errors import ConfigError, DataError
from percepts.data.multi_dsprites import MultiDSprites, is_green, more_sprites, without_green_squares
from percepts.data.sprite_masks import Placed, sprite_masks

SOME = torch.arange(120)
KINDS = ("square", "ellipse", "heart")


class TestMultiDSprites(SceneContract):
    @pytest.fixture
    def dataset(self) -> MultiDSprites:
        return MultiDSprites.Config().build()


class TestBinarized(SceneContract):
    @pytest.fixture
    def dataset(self) -> MultiDSprites:
        return MultiDSprites.Config(variant="binarized", sprites=(0, 3), size=32, images=9).build()


class TestTextured(SceneContract):
    @pytest.fixture
    def dataset(self) -> MultiDSprites:
        return MultiDSprites.Config(
            variant="genesis", textured=True, min_pixels=10, unique_colours=True, split="validation"
        ).build()


class TestFromFile(SceneContract):
    @pytest.fixture
    def dataset(self, archive: Path) -> MultiDSprites:
        return MultiDSprites.Config(variant="colored_on_grayscale", path=str(archive)).build()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """dSprites on a smaller grid, 16 x 16: the square one pixel wide, the ellipse two and the heart three."""
    sizes = (1, 3, 2, 4, 3, 3)
    classes = np.stack(np.unravel_index(np.arange(math.prod(sizes)), sizes), axis=1)
    images = np.zeros((len(classes), 16, 16), np.uint8)
    for image, (_, shape, _, _, x, y) in zip(images, classes):
        image[4 * y : 4 * y + 2, 4 * x : 4 * x + 1 + shape] = 1
    values = classes * np.array([1, 1, 0.5, 0.5, 0.5, 0.5]) + np.array([1, 1, 0.5, 0, 0, 0])
    np.savez(tmp_path / "sprites.npz", imgs=images, latents_classes=classes, latents_values=values)
    return tmp_path / "sprites.npz"


@pytest.mark.parametrize("size", [64, 48])
def test_sprites_are_where_and_what_the_properties_say(size: int) -> None:
    dataset = MultiDSprites.Config(size=size).build()
    batch, amodal = dataset.gather(SOME), dataset.details(SOME)["amodal"].double()
    unit, places = size / 64, torch.arange(size, dtype=torch.float64)
    area = amodal.flatten(2).sum(2)
    there = batch["entity.shape"] > 0
    assert torch.equal(there[:, 1:], area[:, 1:] > 0)
    column = (amodal.sum(2) * places).sum(2)[there] / area[there]
    row = (amodal.sum(3) * places).sum(2)[there] / area[there]
    kind, angle = batch["entity.shape"][there], batch["entity.orientation"][there].double()
    scale = batch["entity.scale"][there].double() * unit
    # The centroid of the heart is not the middle of its box.
    above = torch.where(kind == 3, scale * heart_centroid(), 0)
    middle = (size - 1) / 2
    for found, name, shift in ((column, "x", torch.sin(angle) * above), (row, "y", -torch.cos(angle) * above)):
        centre = middle + 31 * unit * (batch[f"entity.{name}"][there].double() - 0.5)
        assert (found - centre - shift).abs().max() < 0.5
    exact = torch.tensor([0, 22 * 22, math.pi * 15.5 * 8, 180 * math.pi * (26 / 32) ** 2])[kind] * scale**2
    assert ((area[there] - exact).abs() < 0.15 * exact).all()
    assert abs((area[there] / exact).mean() - 1) < 0.01


def heart_centroid() -> float:
    """How far the heart's centroid lies above the middle of its bounding box, by summing thin trapezoids."""
    t = np.linspace(0, 2 * math.pi, 100_001)
    x, y = 16 * np.sin(t) ** 3, 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    cross = x[:-1] * y[1:] - x[1:] * y[:-1]
    centroid = ((y[:-1] + y[1:]) * cross).sum() / (3 * cross.sum())
    return float(centroid - (y.min() + y.max()) / 2) * 26 / 32


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_masks_are_the_pixels_whose_centre_is_inside(kind: int) -> None:
    angle, scale, x, y = 0.7, 0.9, 29.0, 33.25
    placed = Placed(*(torch.tensor([value], dtype=torch.float64) for value in (x, y, angle, scale)))
    mask = sprite_masks(torch.tensor([kind]), KINDS, placed, 1.0, 64)[0]
    rows, columns = np.mgrid[:64, :64]
    dx, dy = (columns - x) / scale, (rows - y) / scale
    u, v = np.cos(angle) * dx + np.sin(angle) * dy, -np.sin(angle) * dx + np.cos(angle) * dy
    if kind == 0:
        inside = (np.abs(u) <= 11) & (np.abs(v) <= 11)
    elif kind == 1:
        inside = (u / 15.5) ** 2 + (v / 8) ** 2 <= 1
    else:
        t = np.linspace(0, 2 * math.pi, 4001)
        curve = np.stack([16 * np.sin(t) ** 3, 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)])
        curve[1] -= (curve[1].min() + curve[1].max()) / 2
        from matplotlib.path import Path as Outline

        inside = Outline(curve.T * 26 / 32).contains_points(np.stack([u.ravel(), -v.ravel()], 1)).reshape(64, 64)
    assert (mask.numpy() != inside).sum() <= 1
    assert mask.sum() > 100


def test_no_sprite_is_cut_by_the_border() -> None:
    for size in (64, 32):
        amodal = MultiDSprites.Config(sprites=(4, 4), size=size).build().details(SOME)["amodal"][:, 1:]
        border = amodal.clone()
        border[..., 1:-1, 1:-1] = False
        assert border.flatten(1).any(1).float().mean() < 0.01


def test_later_sprites_hide_earlier_ones() -> None:
    dataset = MultiDSprites.Config(sprites=(4, 4)).build()
    batch, amodal = dataset.gather(SOME), dataset.details(SOME)["amodal"]
    wanted = torch.zeros_like(batch["segmentation"])
    for entity in range(1, 5):
        wanted[amodal[:, entity]] = entity
    assert torch.equal(batch["segmentation"], wanted)
    assert torch.equal(batch["entity.layer"], torch.arange(5).expand(120, 5))
    assert not batch["visible"].all()


def test_a_scene_drawn_from_back_to_front_is_its_image() -> None:
    for textured in (False, True):
        dataset = MultiDSprites.Config(variant="genesis", textured=textured).build()
        image, details = dataset.gather(SOME)["image"], dataset.details(SOME)
        painted = torch.zeros_like(image)
        for entity in range(dataset.entities):
            mask = details["amodal"][:, entity, None]
            painted = torch.where(mask, details["unoccluded"][:, entity], painted)
        assert torch.equal(image, painted)


def test_the_colours_of_the_variants() -> None:
    batch = MultiDSprites.Config(variant="colored_on_grayscale").build().gather(SOME)
    colour = batch["entity.colour"][batch["entity.shape"] > 0]
    assert colour.amax(1).min() >= 0.49
    assert ((1 - colour.amin(1) / colour.amax(1)) >= 0.49).all()
    background = batch["image"].permute(0, 2, 3, 1)[batch["segmentation"] == 0]
    assert (background == background[:, :1]).all()
    genesis = MultiDSprites.Config(variant="genesis").build().gather(SOME)["image"]
    assert set((genesis * 255).round().long().unique().tolist()) == {0, 63, 127, 191, 255}
    binarized = MultiDSprites.Config(variant="binarized").build().gather(SOME)
    assert torch.equal(binarized["image"][:, 0], (binarized["segmentation"] > 0).float())


@pytest.mark.parametrize(
    ("variant", "low", "high"),
    [("binarized", 2, 3), ("colored_on_grayscale", 2, 5), ("colored_on_colored", 1, 4), ("genesis", 1, 4)],
)
def test_numbers_of_sprites_are_those_of_the_variant_and_equally_likely(variant: str, low: int, high: int) -> None:
    batch = MultiDSprites.Config(variant=variant, size=16).build().gather(torch.arange(2000))
    shape = batch["entity.shape"]
    for values, first, last in (((shape > 0).sum(1), low, high), (shape[shape > 0], 1, 3)):
        expected = 1 / (last - first + 1)
        share = torch.tensor([(values == value).double().mean() for value in range(first, last + 1)])
        assert share.sum() == pytest.approx(1)
        assert (share - expected).abs().max() < 3.5 * (expected * (1 - expected) / len(values)) ** 0.5


def test_contrast_and_visible_pixels_are_at_least_what_is_asked() -> None:
    dataset = MultiDSprites.Config(min_contrast=0.4, min_pixels=30, sprites=(4, 4)).build()
    batch = dataset.gather(SOME)
    there = batch["entity.shape"] > 0
    background = batch["image"][..., 0, 0][:, None]
    assert ((batch["entity.colour"] - background).abs().amax(2) >= 0.4)[there].all()
    pixels = torch.stack([(batch["segmentation"] == entity).flatten(1).sum(1) for entity in range(1, 5)], 1)
    assert torch.equal(pixels > 0, there[:, 1:])
    assert pixels[pixels > 0].min() >= 30
    assert 0 < (~there[:, 1:]).sum() < 120
    assert not batch["entity.x"][~there].any()


def test_same_and_unique_colours() -> None:
    same = MultiDSprites.Config(same_colour=True, sprites=(3, 3)).build().gather(SOME)["entity.colour"][:, 1:]
    assert (same == same[:, :1]).all()
    batch = MultiDSprites.Config(variant="genesis", unique_colours=True, sprites=(4, 4)).build().gather(SOME)
    colours = torch.cat([batch["entity.colour"][:, 1:], batch["image"][:, None, :, 0, 0]], 1)
    assert all(len(scene.unique(dim=0)) == 5 for scene in colours)


def test_stripes_darken_about_half_of_every_sprite() -> None:
    dataset = MultiDSprites.Config(textured=True, sprites=(1, 1), min_contrast=0.2).build()
    batch, details = dataset.gather(SOME), dataset.details(SOME)
    mask, colour = details["amodal"][:, 1], batch["entity.colour"][:, 1, :, None, None]
    bright = (batch["image"] == colour).all(1) & mask
    dark = ((batch["image"] - 0.4 * colour).abs() < 0.5001 / 255).all(1) & mask
    assert torch.equal(bright | dark, mask)
    levels = batch["image"] * 255
    assert torch.allclose(levels, levels.round(), atol=1e-4)
    assert 0.3 < dark.sum() / mask.sum() < 0.7


def test_green_squares_are_held_out_and_tested() -> None:
    for config, wanted in ((without_green_squares(), False), (without_green_squares(test=True), True)):
        batch = config.build().gather(SOME)
        special = (batch["entity.shape"] == 1) & is_green(batch["entity.colour"])
        assert (special.any(1) == wanted).all()
    colours = torch.tensor([[0, 1, 0], [1, 0, 0], [0.5, 1, 0], [0, 0.4, 0], [0.8, 1, 0.8], [0, 1, 0.6], [0.0, 0, 0]])
    assert is_green(colours).tolist() == [True, False, True, False, False, False, False]


def test_more_sprites_than_in_training() -> None:
    assert more_sprites(6).sprites == (6, 6)
    batch = more_sprites(6, MultiDSprites.Config(variant="genesis")).build().gather(SOME)
    assert (batch["entity.shape"][:, 1:] > 0).all()
    assert batch["entity.shape"].shape == (120, 7)


def test_sprites_of_a_file_are_its_images(archive: Path) -> None:
    dataset = MultiDSprites.Config(variant="binarized", sprites=(1, 1), path=str(archive)).build()
    assert dataset.image_shape == (1, 16, 16)
    batch = dataset.gather(SOME)
    for scene in range(50):
        shape = int(batch["entity.shape"][scene, 1])
        x, y = (int(4 * 2 * batch[f"entity.{name}"][scene, 1]) for name in ("x", "y"))
        wanted = torch.zeros(16, 16)
        wanted[y : y + 2, x : x + shape] = 1
        assert torch.equal(batch["image"][scene, 0], wanted)


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="damaged"):
        MultiDSprites.Config(path=str(tmp_path / "no.npz")).build()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sprites": (2, 1)}, "the fewest"),
        ({"size": 8}, "16 or more"),
        ({"size": 32, "path": "x.npz"}, "the default with a file"),
        ({"min_contrast": 1.5}, "0 to 1"),
        ({"min_pixels": -1}, "0 or more"),
        ({"variant": "binarized", "unique_colours": True}, "another variant"),
        ({"variant": "binarised"}, "did you mean 'binarized'"),
        ({"same_colour": True, "unique_colours": True}, "one of them"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MultiDSprites.Config(**change).build()


def test_rules_that_cannot_be_met_are_an_error() -> None:
    with pytest.raises(DataError, match="a lower min_contrast"):
        MultiDSprites.Config(min_contrast=1.0).build().gather(torch.tensor([0]))


def test_moments_of_the_masks_tell_where_sprites_are() -> None:
    dataset = MultiDSprites.Config().build()
    indices = torch.arange(400)
    batch, amodal = dataset.gather(indices), dataset.details(indices)["amodal"].double()
    there = batch["entity.shape"] > 0
    masks, places = amodal[there], torch.arange(64, dtype=torch.float64)
    area = masks.flatten(1).sum(1)
    down, across = masks.sum(2), masks.sum(1)
    row, column = (down @ places) / area, (across @ places) / area
    spread = [(side @ places.square()) / area - middle.square() for side, middle in ((down, row), (across, column))]
    moments = torch.stack([torch.ones_like(area), area, row, column, *spread], 1)
    for name in ("x", "y"):
        place = batch[f"entity.{name}"][there].double()
        rest = place - moments @ torch.linalg.lstsq(moments, place).solution
        assert 1 - rest.var() / place.var() >= 0.99
