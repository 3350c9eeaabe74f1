"""Draws by name, and rejection that does not depend on what is drawn together."""

from __future__ import annotations

import pytest
import torch
from dataset_contract import assert_equal

from percepts.core.config import Config
from percepts.core.errors import DataError
from percepts.data.flat_scenes import paste, topmost
from percepts.data.hashed_draws import TRIES, Attempt, Draws, Values, first_accepted
from percepts.data.objects_room import ObjectsRoom
from percepts.data.shifts import Shifted
from percepts.data.tetrominoes import Tetrominoes


def draws(*numbers: int, seed: int = 0) -> Draws:
    return Draws(torch.tensor(numbers), seed, ("test",))


def test_numbers_are_uniform_and_of_their_scene_seed_and_name_alone() -> None:
    many = Draws(torch.arange(4000), 0, ("test",)).uniform("a", 2, 3)
    assert many.shape == (4000, 2, 3)
    assert abs(many.mean() - 0.5) < 4 * (1 / 12 / many.numel()) ** 0.5
    assert len(many.unique()) == many.numel()
    assert torch.equal(draws(7, 3).uniform("a", 2, 3), many[[7, 3]])
    for other in (draws(7, seed=1).uniform("a", 2, 3), draws(7).uniform("b", 2, 3)):
        assert not (other == many[7]).any()


def test_whole_numbers_reach_both_ends_which_may_differ_by_scene() -> None:
    some = Draws(torch.arange(2000), 0)
    assert set(some.whole("a", 2, 5, 3).unique().tolist()) == {2, 3, 4, 5}
    low, high = torch.tensor([0, 10]), torch.tensor([0, 11])
    found = some.whole("a", low, high, 2)
    assert set(found[:, 0].tolist()) == {0}
    assert set(found[:, 1].tolist()) == {10, 11}
    between = some.between("a", (-1.0, 3.0), 2)
    assert -1 <= between.min() < -0.9
    assert 2.9 < between.max() < 3


def test_choices_are_different_numbers() -> None:
    found = Draws(torch.arange(600), 0).choice("a", 5, 3)
    assert all(len(set(row)) == 3 for row in found.tolist())
    share = found.flatten().bincount(minlength=5) / found.numel()
    assert (share - 0.2).abs().max() < 0.05


def unlikely(attempt: Attempt) -> tuple[Values, torch.Tensor]:
    """One attempt in thirty is accepted."""
    value, kind = attempt.place.uniform("value"), attempt.scene.uniform("kind")
    return {"value": value, "kind": kind}, value < 1 / 30


def test_a_scene_takes_its_first_accepted_attempt_whatever_is_drawn_with_it() -> None:
    together = first_accepted(Draws(torch.arange(300), 0), unlikely, "a", "b")
    for scene in (0, 17, 299):
        alone = first_accepted(Draws(torch.tensor([scene]), 0), unlikely, "a", "b")
        own = Draws(torch.tensor([scene]), 0)
        for which in range(1000):
            zero, at = torch.zeros(1, dtype=torch.int64), torch.tensor([which])
            values, good = unlikely(Attempt(zero, own.attempt(zero, at // TRIES), own.attempt(zero, at)))
            if good:
                break
        for name in ("value", "kind"):
            assert alone[name][0] == together[name][scene] == values[name][0]


def test_what_never_fits_is_an_error() -> None:
    def never(attempt: Attempt) -> tuple[Values, torch.Tensor]:
        return {}, torch.zeros(len(attempt.rows), dtype=torch.bool)

    with pytest.raises(DataError, match=r"70 attempts at castles in the air did not fit.*Try: less"):
        first_accepted(draws(0, 1), never, "castles in the air", "less", attempts=70)


def test_no_scenes_need_no_attempts() -> None:
    none = Draws(torch.zeros(0, dtype=torch.int64), 0)
    assert first_accepted(none, unlikely, "a", "b")["value"].shape == (0,)


def test_bitmaps_are_cut_off_at_the_border() -> None:
    bitmaps = torch.tensor([[[1, 2], [3, 4]], [[5, 6], [7, 8]]])
    pasted = paste(bitmaps, torch.tensor([[0, 1, 1]]), torch.tensor([[-1, 1, 5]]), torch.tensor([[0, 2, 0]]), (3, 3))
    assert pasted.tolist() == [
        [[[3, 4, 0], [0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 5], [0, 0, 7]], [[0, 0, 0], [0, 0, 0], [0, 0, 0]]]
    ]


def test_the_last_entity_is_on_top() -> None:
    amodal = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=torch.bool)[None, :, None]
    assert topmost(amodal).tolist() == [[[0, 1, 2, 2]]]


class TestNumbers:
    """Indices of other types would overflow as numbers, and give other scenes."""

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
    @pytest.mark.parametrize(
        "config",
        [
            Tetrominoes.Config(),
            ObjectsRoom.Config(size=16, samples=1),
            Shifted.Config(dataset=Tetrominoes.Config(), kind="occluder"),
        ],
        ids=["flat", "solid", "shifted"],
    )
    def test_any_whole_numbers_are_indices(self, config: Config, dtype: torch.dtype) -> None:
        dataset = config.build()
        index = torch.tensor([min(torch.iinfo(dtype).max, 999_999), 3])
        assert_equal(dataset.gather(index.to(dtype)), dataset.gather(index))
        assert_equal(dataset.details(index.to(dtype)), dataset.details(index))

    @pytest.mark.parametrize("indices", [torch.tensor([0.0]), torch.tensor([True]), torch.zeros(2, 2).long()])
    @pytest.mark.parametrize("config", [Tetrominoes.Config(), ObjectsRoom.Config()], ids=["flat", "solid"])
    def test_others_are_refused(self, config: Config, indices: torch.Tensor) -> None:
        with pytest.raises(IndexError, match="int64"):
            config.build().gather(indices)
