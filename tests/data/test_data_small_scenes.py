"""Small scenes: sprites, colours, overlap, and what cannot be made."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from scene_contract import SceneContract

from percepts.core.errors import ConfigError, DataError
from percepts.data.small_scenes import (
    RGB,
    SmallScenes,
    apart_sprites,
    held_out_combination,
    tiny_shapes,
    two_sprites,
)

SOME = torch.arange(1000)


class TestTwoSprites(SceneContract):
    @pytest.fixture
    def dataset(self) -> SmallScenes:
        return two_sprites().build()


class TestApartSprites(SceneContract):
    @pytest.fixture
    def dataset(self) -> SmallScenes:
        return dataclasses.replace(apart_sprites((0, 3)), images=50, seed=3, split="test").build()


class TestTinyShapes(SceneContract):
    @pytest.fixture
    def dataset(self) -> SmallScenes:
        return tiny_shapes((3, 3)).build()


class TestNoSprites(SceneContract):
    @pytest.fixture
    def dataset(self) -> SmallScenes:
        return tiny_shapes((0, 0)).build()


class TestHeldOut(SceneContract):
    @pytest.fixture
    def dataset(self) -> SmallScenes:
        return held_out_combination(tiny_shapes(), "plus", "blue", test=True).build()


@pytest.mark.parametrize(
    ("config", "size"), [(two_sprites(), 24), (apart_sprites(), 24), (apart_sprites((1, 1)), 24), (tiny_shapes(), 16)]
)
def test_every_scene_has_its_sprites(config: SmallScenes.Config, size: int) -> None:
    dataset = config.build()
    assert dataset.image_shape == (3, size, size)
    present = dataset.details(SOME)["amodal"].flatten(2).any(2)
    assert (present.sum(1) == 1 + config.sprites[1]).all()


def test_scenes_that_may_not_overlap_do_not() -> None:
    for config in (apart_sprites(), apart_sprites((3, 3)), tiny_shapes((3, 3))):
        dataset = config.build()
        batch, amodal = dataset.gather(SOME), dataset.details(SOME)["amodal"]
        assert (amodal[:, 1:].sum(1) <= 1).all()
        assert batch["visible"].all()
        colours = batch["entity.colour"][:, 1:]
        same = (colours[:, :, None] == colours[:, None]).all(-1)
        assert (same == torch.eye(same.shape[1], dtype=torch.bool)).all()


def test_later_sprites_hide_earlier_ones() -> None:
    dataset = two_sprites().build()
    amodal = dataset.details(SOME)["amodal"]
    both = amodal[:, 1] & amodal[:, 2]
    assert 0.3 < both.flatten(1).any(1).float().mean() < 0.9
    assert (dataset.gather(SOME)["segmentation"][both] == 2).all()


def test_pixels_have_the_colour_of_their_entity() -> None:
    batch = two_sprites().build().gather(SOME)
    table = batch["entity.colour"].clone()
    table[:, 0] = 0.1
    wanted = torch.stack([table[i][batch["segmentation"][i]] for i in range(50)]).permute(0, 3, 1, 2)
    assert torch.equal(batch["image"][:50], wanted)
    levels = table[:, 1:] * 255
    assert torch.allclose(levels, levels.round(), atol=1e-4)
    assert (table[:, 1:].amax(2) == 1).all()
    assert (table[:, 1:].amin(2) == 0).all()


def test_the_exact_pixels_of_the_tiny_shapes() -> None:
    dataset = tiny_shapes((1, 1)).build()
    batch, amodal = dataset.gather(SOME), dataset.details(SOME)["amodal"][:, 1]
    plus = [[0, 0, 1, 0, 0], [0, 0, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0], [0, 0, 1, 0, 0]]
    wanted = {1: torch.ones(4, 4), 2: torch.tensor(plus), 3: torch.ones(3, 6)}
    for code, bitmap in wanted.items():
        for scene in (batch["entity.shape"][:, 1] == code).nonzero()[:20, 0].tolist():
            rows, columns = amodal[scene].any(1), amodal[scene].any(0)
            assert torch.equal(amodal[scene][rows][:, columns], bitmap.bool())


def test_boxes_are_where_the_properties_say() -> None:
    dataset = two_sprites().build()
    batch, amodal = dataset.gather(SOME), dataset.details(SOME)["amodal"][:, 1:]
    for name, size, axis in (("x", "width", 2), ("y", "height", 3)):
        along = amodal.any(axis)
        places = torch.arange(24.0)
        low = torch.where(along, places, 99).amin(2)
        high = torch.where(along, places + 1, -1).amax(2)
        assert torch.equal((low + high) / 2, batch[f"entity.{name}"][:, 1:])
        assert torch.equal(high - low, batch[f"entity.{size}"][:, 1:])


def test_shapes_sizes_and_numbers_are_equally_likely() -> None:
    batch = dataclasses.replace(two_sprites(), sprites=(0, 3)).build().gather(torch.arange(4000))
    shape, width = batch["entity.shape"][:, 1:], batch["entity.width"][:, 1:]
    number = (shape > 0).sum(1)
    for values, classes in ((number, range(4)), (shape[shape > 0], (1, 2, 3)), (width[shape > 0], (6, 7, 8, 9))):
        share = torch.tensor([(values == value).double().mean() for value in classes])
        deviation = (1 / len(classes) * (1 - 1 / len(classes)) / len(values)) ** 0.5
        assert (share - 1 / len(classes)).abs().max() < 3.5 * deviation


def test_named_colours_are_those_of_the_config() -> None:
    colour = apart_sprites().build().gather(SOME)["entity.colour"][:, 1:].flatten(0, 1)
    wanted = torch.tensor([RGB[name] for name in ("red", "green", "cyan")]).float()
    assert torch.equal(colour.unique(dim=0), wanted.unique(dim=0))


def test_distinct_hues_are_apart() -> None:
    config = dataclasses.replace(two_sprites(), distinct_colours=True)
    colour = config.build().gather(SOME)["entity.colour"][:, 1:]
    assert ((colour[:, 0] - colour[:, 1]).abs().amax(1) > 0.5).all()


def test_splits_and_seeds_are_other_scenes() -> None:
    images = [
        dataclasses.replace(tiny_shapes(), **change).build().gather(SOME[:50])["image"]
        for change in ({}, {"split": "test"}, {"split": "validation"}, {"seed": 1})
    ]
    for i, one in enumerate(images):
        for other in images[:i]:
            assert (one == other).flatten(1).all(1).float().mean() < 0.1


@pytest.mark.parametrize("world", [apart_sprites(), apart_sprites((0, 3)), tiny_shapes((1, 2))])
def test_a_held_out_combination_is_in_no_scene_of_training_and_in_every_one_of_the_test(world: SmallScenes.Config):
    shape, colour = world.shapes[0], "green"
    for test in (False, True):
        batch = held_out_combination(world, shape, colour, test).build().gather(SOME)
        square = batch["entity.shape"] == 1
        green = (batch["entity.colour"] == torch.tensor(RGB[colour]).float()).all(-1)
        assert ((square & green).any(1) == test).all()
        if not test:  # Each by itself is seen often.
            assert (square & ~green).any(1).float().mean() > 0.1
            assert (green & ~square & (batch["entity.shape"] > 0)).any(1).float().mean() > 0.1


def test_scenes_without_the_combination_are_those_of_the_rule_free_world_in_all_else() -> None:
    """Given that no sprite is a green square, shapes and colours of the rest are as likely as ever."""
    whole = apart_sprites((1, 1)).build().gather(torch.arange(4000))
    held_out = held_out_combination(apart_sprites((1, 1)), "square", "green").build().gather(torch.arange(4000))

    def pairs(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        colour = (batch["entity.colour"][:, 1] * torch.tensor([4.0, 2, 1])).sum(1).long()
        return torch.bincount((batch["entity.shape"][:, 1] - 1) * 8 + colour, minlength=24).double()

    before, after = pairs(whole), pairs(held_out)
    assert before[2] > 300
    before[2] = 0
    assert after[2] == 0
    share, expected = after / after.sum(), before / before.sum()
    assert (share - expected).abs().max() < 5 * (2 * 0.125 * 0.875 / 4000) ** 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sprites": (3, 2)}, "the fewest, 0 or more"),
        ({"sprites": (-1, 2)}, "the fewest, 0 or more"),
        ({"extent": (9, 6)}, "the smaller first"),
        ({"extent": (6, 25)}, "no wider than the image"),
        ({"widths": (4,)}, "1 widths of 3 shapes"),
        ({"shapes": ()}, "0 shapes"),
        ({"shapes": ("sqare",)}, "did you mean 'square'"),
        ({"background": 2.0}, "a grey from 0 to 1"),
        ({"images": 0}, "at least 1"),
        ({"colours": ("red",), "distinct_colours": True}, "more colours"),
        ({"colours": ("reed",)}, "did you mean 'red'"),
        ({"split": "trian"}, "did you mean 'train'"),
        ({"rule": "with"}, "nothing held out"),
        ({"held_out": ("square", "green")}, "scenes that have no green"),
        ({"colours": ("green", "red"), "held_out": ("bar", "green")}, "scenes that have no bar"),
        ({"colours": ("green", "red"), "held_out": ("square", "gren")}, "did you mean 'green'"),
        ({"colours": ("red",), "shapes": ("disc",), "held_out": ("disc", "red")}, "nothing but"),
        ({"colours": ("red",), "held_out": ("disc", "red"), "rule": "with", "sprites": (0, 0)}, "no sprites"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(two_sprites(), **change).build()


def test_sprites_that_do_not_fit_are_an_error_and_no_endless_search() -> None:
    dataset = SmallScenes.Config(size=10, sprites=(3, 3), overlap=False).build()
    with pytest.raises(DataError, match=r"without overlap.*fewer or smaller sprites"):
        dataset.gather(torch.tensor([0]))
