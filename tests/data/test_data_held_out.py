"""Held-out combinations: the two halves make up the whole, of any dataset of factors."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from dataset_contract import DatasetContract, assert_equal

from percepts.core.config import Config, digest
from percepts.core.errors import ConfigError, DataError
from percepts.data import Blobs24, FactorDataset, Preloaded, Sprites, Squares24
from percepts.data.arrays import ArrayDataset
from percepts.data.circles import Circles
from percepts.data.continuity import Subsampled, neighbour_distance
from percepts.data.distributions import Continuous, Discrete, Distribution
from percepts.data.held_out import HeldOut, grid_support, split

BLOCK = Discrete("scale", (3.5, 4.0)) * Continuous("x", 9.0, 15.0) * Continuous("y", 9.0, 15.0)
CENTRE = Continuous("x", 12 - 0.45 * 7, 12 + 0.45 * 7) * Continuous("y", 12 - 0.45 * 7, 12 + 0.45 * 7)

DATASETS: dict[str, Config] = {
    "seen": HeldOut.Config(dataset=Squares24.Config(), hole=BLOCK),
    "hole": HeldOut.Config(dataset=Squares24.Config(), hole=BLOCK, keep="hole"),
    "by index": HeldOut.Config(dataset=Squares24.Config(), hole=Continuous("scale", 1.0, 3.0), by="indices"),
    "in a hole": HeldOut.Config(dataset=Blobs24.Config(hole=0.45), hole=Discrete("x", (0.0, 1.0)), by="indices"),
    "preloaded": Preloaded.Config(dataset=HeldOut.Config(dataset=Squares24.Config(), hole=BLOCK)),
    "of preloaded": HeldOut.Config(dataset=Preloaded.Config(dataset=Blobs24.Config()), hole=CENTRE),
    "subsampled": Subsampled.Config(dataset=Squares24.Config(), steps={"x": 3, "scale": 2}),
    "subsampled hole": Subsampled.Config(dataset=Blobs24.Config(hole=0.45), steps={"x": 2}),
    "hole of subsampled": HeldOut.Config(
        dataset=Subsampled.Config(dataset=Sprites.Config(positions=8, orientations=6), steps={"orientation": 2}),
        hole=Discrete("shape", (2.0,)) * Continuous("position_x", 0.5, 1.5),
    ),
}


class TestHeldOut(DatasetContract):
    @pytest.fixture(params=list(DATASETS))
    def dataset(self, request: pytest.FixtureRequest) -> FactorDataset:
        return DATASETS[request.param].build()


def combinations(dataset: FactorDataset) -> set[tuple[int, ...]]:
    return {tuple(row) for row in dataset.gather(torch.arange(len(dataset)))["factors"].tolist()}


@pytest.mark.parametrize(
    ("dataset", "hole", "by"),
    [
        (Squares24.Config(), BLOCK, "values"), (Squares24.Config(), BLOCK | BLOCK, "values"),
        (Squares24.Config(), (Continuous("y", 0.0, 9.0) * Continuous("x", 0.0, 9.0)) - Discrete("x", (6.0,)), "values"),
        (Blobs24.Config(hole=0.45), Continuous("x", 3.0, 8.0), "indices"), (Blobs24.Config(), CENTRE, "values"),
    ],
)  # fmt: skip
def test_the_halves_make_up_the_whole(dataset: Config, hole: Distribution, by: str) -> None:
    whole = dataset.build()
    seen, held = (config.build() for config in split(dataset, hole, by))
    assert 0 < len(held) < len(whole)
    assert combinations(seen) | combinations(held) == combinations(whole)
    assert not combinations(seen) & combinations(held)
    assert torch.equal(seen.support | held.support, grid_support(whole))
    factors = held.factors_of(torch.arange(len(held)))
    values = {
        name: whole.factor_values(name)[column] if by == "values" else column.double()
        for name, column in zip(whole.factor_names, factors.T)
    }
    assert hole.contains(values).all()
    assert_equal(seen.complement()[3], held[3])
    assert_equal(seen.complement().complement()[5], seen[5])


def test_the_block_of_large_squares_in_the_middle() -> None:
    held = HeldOut.Config(dataset=Squares24.Config(), hole=BLOCK, keep="hole").build()
    centres = Squares24.Config().build().factor_values("x")
    inside = int(((centres >= 9) & (centres < 15)).sum())
    assert len(held) == 2 * inside * inside
    assert set(held.gather(torch.arange(len(held)))["factors"][:, 0].tolist()) == {4, 5}


def test_the_hole_of_blobs_is_one_of_these() -> None:
    one, other = Blobs24.Config(hole=0.45).build(), HeldOut.Config(dataset=Blobs24.Config(), hole=CENTRE).build()
    assert torch.equal(one.support, other.support)
    everything = torch.arange(220)
    assert_equal(one.gather(everything), other.gather(everything))
    assert torch.equal(one.indices_of(other.factors_of(everything)), everything)


def test_every_key_of_the_dataset_comes_along() -> None:
    class Masked(Squares24):
        @dataclasses.dataclass(frozen=True, kw_only=True)
        class Config(Squares24.Config):
            pass

        def gather(self, indices, device="cpu"):
            batch = super().gather(indices, device)
            return {**batch, "segmentation": (batch["image"][:, 0] > 0.5).long()}

    whole = Masked.Config().build()
    held = HeldOut.Config(dataset=Masked.Config(), hole=BLOCK, keep="hole").build()
    batch = held.gather(torch.tensor([0, 5]))
    assert_equal(batch, whole.gather(whole.indices_of(batch["factors"])))
    assert "segmentation" in batch


def test_left_out_points_still_render_but_have_no_index() -> None:
    seen, held = (config.build() for config in split(Squares24.Config(), BLOCK))
    inside = held.factors_of(torch.tensor([0, 7]))
    assert torch.equal(seen.render(inside), held.gather(torch.tensor([0, 7]))["image"])
    with pytest.raises(DataError, match="hole"):
        seen.indices_of(inside)
    with pytest.raises(DataError, match="hole"):  # the last point of the grid lies behind all that is held
        held.indices_of(torch.tensor([[5, 11, 11]]))


def test_other_holes_have_other_names() -> None:
    seen, held = split(Squares24.Config(), BLOCK)
    assert len({digest(config) for config in (seen, held, split(Squares24.Config(), BLOCK, "indices")[0])}) == 3
    assert seen.build().identity != held.build().identity


@pytest.mark.parametrize(
    ("hole", "words"),
    [
        (Continuous("scal", 1.0, 2.0), "did you mean 'scale'"), (Continuous("x", 1.0, 5.0), "takes no value"),
        (Discrete("scale", (4.0, 4.2)), "scale in {4.2}"), (Continuous("x", 0.0, 99.0), "every point"),
        (Continuous("x", 0.0, 9.0) - Continuous("x", 0.0, 9.0), "no point"),
        (BLOCK & (BLOCK - Continuous("y", 9.0, 15.0)), "no point"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("keep", ["seen", "hole"])
def test_holes_that_make_no_sense(hole: Distribution, words: str, keep: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        HeldOut.Config(dataset=Squares24.Config(), hole=hole, keep=keep).build()
    assert "\n" not in str(error.value)


def test_only_datasets_of_factors_have_combinations() -> None:
    plain = ArrayDataset(torch.rand(5, 1, 8, 8).numpy())
    with pytest.raises(ConfigError, match="ArrayDataset"):
        HeldOut(HeldOut.Config(dataset=Squares24.Config(), hole=BLOCK), plain)
    with pytest.raises(ConfigError, match="ArrayDataset"):
        Subsampled(Subsampled.Config(dataset=Squares24.Config()), plain)


def test_subsampling_keeps_every_nth_value() -> None:
    whole, coarse = Squares24.Config().build(), Subsampled.Config(dataset=Squares24.Config(), steps={"x": 5}).build()
    assert coarse.factor_sizes == (6, 3, 12)
    assert torch.equal(coarse.factor_values("x"), whole.factor_values("x")[[0, 5, 10]])
    assert torch.equal(coarse.factor_values("y"), whole.factor_values("y"))
    fine = whole.render(torch.tensor([[2, 10, 4]]))
    assert torch.equal(coarse.render(torch.tensor([[2, 2, 4]])), fine)
    again = Subsampled.Config(dataset=Squares24.Config(), steps={"x": 1}).build()
    assert combinations(again) == combinations(whole)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ({"z": 2}, "unknown factor 'z'"), ({"x": 0}, "step"), ({"x": 12}, "step"), ({"x": -1}, "step"),
        ({"x": 2.5}, "a step of 2.5"),
    ],
)  # fmt: skip
def test_steps_that_make_no_sense(steps: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Subsampled.Config(dataset=Squares24.Config(), steps=steps).build()


@pytest.mark.parametrize("settings", [{"by": "colour"}, {"keep": "half"}])
def test_unknown_words(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(settings))} = "):
        HeldOut.Config(dataset=Squares24.Config(), hole=BLOCK, **settings).build()


def test_parts_without_items_are_refused() -> None:
    odd = HeldOut.Config(dataset=Squares24.Config(), hole=Discrete("x", tuple(range(0, 12, 2))), by="indices")
    for empty in (
        Subsampled.Config(dataset=odd, steps={"x": 2}),
        Circles.Config(bins=2, support="centre_hole", hole=0.9999),
    ):
        with pytest.raises(ConfigError, match="without items") as error:
            empty.build()
        assert "\n" not in str(error.value)


def test_neighbours_are_as_far_apart_as_their_pixels() -> None:
    world = Squares24.Config(scales=1, half_size_range=(2.0, 2.0), positions=3, centre_range=(8.0, 10.0)).build()
    # Coverage along an axis is 1/2, 1, 1, 1, 1/2; one pixel further four columns (or rows) differ by a half.
    expected = math.sqrt(4 * 0.25 * (0.25 + 1 + 1 + 1 + 0.25))
    assert neighbour_distance(world, "x") == pytest.approx(expected, rel=1e-6)
    assert neighbour_distance(world, "y") == pytest.approx(expected, rel=1e-6)


def test_coarser_steps_put_neighbours_farther_apart() -> None:
    distances = [
        neighbour_distance(Subsampled.Config(dataset=Squares24.Config(), steps={"x": step}).build(), "x")
        for step in (1, 2, 4)
    ]
    assert distances[0] < distances[1] < distances[2]


def test_the_distance_is_that_of_all_pairs_or_a_sample() -> None:
    world = Squares24.Config().build()
    exact = neighbour_distance(world, "scale", pairs=10_000)
    assert neighbour_distance(world, "scale", pairs=300, seed=1) == pytest.approx(exact, rel=0.1)
    assert neighbour_distance(world, "scale", pairs=300, seed=1) == neighbour_distance(world, "scale", 300, 1)
    assert neighbour_distance(world, "scale", pairs=300, seed=2) != neighbour_distance(world, "scale", 300, 1)


def test_only_pairs_within_the_dataset_count() -> None:
    hole = Continuous("x", 6.5, 99.0) * Continuous("scale", 2.0, 99.0)  # large squares at the first position alone
    seen = HeldOut.Config(dataset=Squares24.Config(), hole=hole).build()
    whole = HeldOut.Config(dataset=Squares24.Config(), hole=Continuous("scale", 2.0, 99.0)).build()
    assert neighbour_distance(seen, "x", 10_000) == pytest.approx(neighbour_distance(whole, "x", 10_000))


def test_no_neighbours() -> None:
    with pytest.raises(DataError, match="did you mean 'scale'"):
        neighbour_distance(Squares24.Config().build(), "scales")
    single = HeldOut.Config(dataset=Squares24.Config(), hole=Discrete("x", (6.0,)), keep="hole").build()
    with pytest.raises(DataError, match="one step of x"):
        neighbour_distance(single, "x")
    alone = Squares24.Config(scales=1).build()
    with pytest.raises(DataError, match="one step of scale"):
        neighbour_distance(alone, "scale")
