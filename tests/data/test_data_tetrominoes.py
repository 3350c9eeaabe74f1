"""Tetrominoes: the published recipe, its statistics, rules and sizes."""

from __future__ import annotations

import itertools

import pytest
import torch
from scene_contract import SceneContract

from percepts.core.errors import ConfigError, DataError
from percepts.data.tetrominoes import (
    ALL,
    COLOURS,
    PIECES,
    SEVENTEEN,
    Tetrominoes,
    piece_tiles,
    without_green_zs,
    without_zs,
)
from percepts.metrics.segmentation_ari import adjusted_rand_index

SOME = torch.arange(1000)
TILE = [
    [191, 255, 255, 255, 223],
    [127, 159, 159, 159, 191],
    [127, 159, 159, 159, 191],
    [127, 159, 159, 159, 191],
    [95, 63, 63, 63, 127],
]


class TestTetrominoes(SceneContract):
    @pytest.fixture
    def dataset(self) -> Tetrominoes:
        return Tetrominoes.Config().build()


class TestFewBinaryTetrominoes(SceneContract):
    @pytest.fixture
    def dataset(self) -> Tetrominoes:
        return Tetrominoes.Config(pieces=(0, 4), binary=True, image_size=32, images=40, split="test").build()


class TestGreenTetrominoes(SceneContract):
    @pytest.fixture
    def dataset(self) -> Tetrominoes:
        return without_green_zs(test=True).build()


def test_an_image_is_exactly_its_tiles() -> None:
    batch = Tetrominoes.Config().build().gather(torch.arange(100))
    wanted = torch.zeros(100, 3, 35, 35, dtype=torch.int64)
    labels = torch.zeros(100, 35, 35, dtype=torch.int64)
    for scene, piece in itertools.product(range(100), (1, 2, 3)):
        top, left = int(batch["entity.x"][scene, piece]), int(batch["entity.y"][scene, piece])
        rows = PIECES[int(batch["entity.shape"][scene, piece]) - 1].split("/")
        for row, text in enumerate(rows):
            for column, character in enumerate(text):
                if character == "#":
                    place = slice(top + 5 * row, top + 5 * row + 5), slice(left + 5 * column, left + 5 * column + 5)
                    colour = batch["entity.colour"][scene, piece].long()
                    wanted[scene, :, *place] += colour[:, None, None] * torch.tensor(TILE)
                    labels[scene, *place] += piece
    assert torch.equal((batch["image"] * 255).round().long(), wanted)
    assert torch.equal(batch["segmentation"], labels)


def test_the_shapes_are_the_nineteen_tetrominoes() -> None:
    shapes = {frozenset(map(tuple, tiles.tolist())) for tiles in piece_tiles()[1:]}
    assert len(shapes) == 19
    for tiles in shapes:
        assert min(row for row, _ in tiles) == min(column for _, column in tiles) == 0
        assert sum(abs(a - c) + abs(b - d) == 1 for (a, b), (c, d) in itertools.combinations(tiles, 2)) in (3, 4)


@pytest.mark.parametrize(("pieces", "left"), [((3, 3), {925}), ((2, 4), {1025, 925, 825}), ((0, 0), {1225})])
def test_pieces_never_overlap(pieces: tuple[int, int], left: set[int]) -> None:
    batch = Tetrominoes.Config(pieces=pieces).build().gather(SOME)
    areas = torch.stack([(batch["segmentation"] == entity).flatten(1).sum(1) for entity in range(1 + pieces[1])], 1)
    assert set(areas[:, 0].tolist()) == left
    assert torch.equal(areas[:, 1:], (batch["entity.shape"][:, 1:] > 0) * 100)


def test_shapes_colours_and_numbers_are_equally_likely() -> None:
    batch = Tetrominoes.Config(pieces=(2, 4)).build().gather(torch.arange(2000))
    shape, colour = batch["entity.shape"][:, 1:], batch["entity.colour"][:, 1:]
    there = shape > 0
    code = (colour[there] @ torch.tensor([1.0, 2.0, 4.0])).long()
    for values, classes in ((there.sum(1), (2, 3, 4)), (shape[there], ALL), (code, (1, 2, 4, 3, 5, 6))):
        share = torch.tensor([(values == value).double().mean() for value in classes])
        expected = 1 / len(classes)
        assert (share - expected).abs().max() < 3.5 * (expected * (1 - expected) / len(values)) ** 0.5


def test_repeated_colours_are_as_frequent_as_chance() -> None:
    colour = Tetrominoes.Config().build().gather(torch.arange(2000))["entity.colour"][:, 1:]
    different = torch.tensor([len(scene.unique(dim=0)) == 3 for scene in colour]).double().mean()
    assert abs(different - 5 / 6 * 4 / 6) < 3 * (5 / 9 * 4 / 9 / 2000) ** 0.5


def test_rules_hold_and_leave_the_rest() -> None:
    zs, green = torch.tensor([11, 12, 13, 14]), torch.tensor([0.0, 1.0, 0.0])
    for rule, wanted, needs_green in (
        ("without_zs", False, False),
        ("with_zs", True, False),
        ("without_green_zs", False, True),
        ("with_green_zs", True, True),
    ):
        batch = Tetrominoes.Config(rule=rule).build().gather(SOME)
        special = torch.isin(batch["entity.shape"], zs)
        if needs_green:
            special &= (batch["entity.colour"] == green).all(-1)
        assert (special.any(1) == wanted).all(), rule
    assert without_zs() == Tetrominoes.Config(rule="without_zs")
    assert without_zs(test=True).rule == "with_zs"
    assert without_green_zs().rule == "without_green_zs"


def test_some_shapes_and_one_colour() -> None:
    batch = Tetrominoes.Config(shapes=SEVENTEEN, same_colour=True).build().gather(SOME)
    assert set(batch["entity.shape"][:, 1:].unique().tolist()) == set(SEVENTEEN)
    assert len(SEVENTEEN) == 17
    colour = batch["entity.colour"][:, 1:]
    assert (colour == colour[:, :1]).all()
    assert len(colour.flatten(0, 1).unique(dim=0)) == len(COLOURS)


def test_other_image_sizes_are_crops_and_frames_of_the_same_scenes() -> None:
    batches = {size: Tetrominoes.Config(image_size=size).build().gather(SOME[:100]) for size in (32, 35, 48, 64)}
    plain = batches[35]
    for key in ("image", "segmentation"):
        assert torch.equal(batches[32][key], plain[key][..., 2:34, 2:34])
        assert torch.equal(batches[48][key][..., 6:41, 6:41], plain[key])
        assert torch.equal(batches[64][key][..., 14:49, 14:49], plain[key])
        assert batches[64][key].count_nonzero() == plain[key].count_nonzero()
    for size, shift in ((32, -2), (48, 6), (64, 14)):
        for name in ("x", "y"):
            assert torch.equal(batches[size][f"entity.{name}"][:, 1:], plain[f"entity.{name}"][:, 1:] + shift)
            assert not batches[size][f"entity.{name}"][:, 0].any()


def test_binary_pieces_are_the_masks() -> None:
    batch = Tetrominoes.Config(binary=True).build().gather(SOME)
    assert torch.equal(batch["image"][:, 0], (batch["segmentation"] > 0).float())
    assert "entity.colour" not in batch


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pieces": (3, 2)}, "the fewest"),
        ({"shapes": ()}, "different numbers of 1 to 19"),
        ({"shapes": (0, 1)}, "different numbers of 1 to 19"),
        ({"shapes": (1, 1)}, "different numbers of 1 to 19"),
        ({"rule": "with_zs", "shapes": (1, 2)}, "some of the shapes 11 to 14"),
        ({"rule": "without_zs", "shapes": (11, 12)}, "another shape"),
        ({"image_size": 36}, "image_size = 36"),
        ({"images": -1}, "at least 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Tetrominoes.Config(**change).build()


def test_pieces_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(DataError, match=r"without overlap.*fewer pieces"):
        Tetrominoes.Config(pieces=(14, 14)).build().gather(torch.tensor([0]))


def test_grouping_by_colour_scores_as_published_colours_predict() -> None:
    batch = Tetrominoes.Config().build().gather(torch.arange(1500))
    colour = (batch["image"] > 0).long()
    oracle = colour[:, 0] + 2 * colour[:, 1] + 4 * colour[:, 2]
    score = adjusted_rand_index(batch["segmentation"].numpy(), oracle.numpy()).value
    assert score == pytest.approx(0.793, abs=0.02)  # 1, 0.5698 and 0 for three, two and one colour
    chance = torch.randint(4, oracle.shape, generator=torch.Generator().manual_seed(0))
    assert abs(adjusted_rand_index(batch["segmentation"].numpy(), chance.numpy()).value) < 0.01
