import json
import math

import numpy as np
import pytest

from percepts.core.errors import DataError, PerceptsError
from percepts.core.results import MetricResult
from percepts.metrics import (
    adjusted_rand_index,
    mean_best_overlap,
    mean_iou,
    object_recovery,
    segmentation_covering,
    segmentation_scores,
    slot_count,
    slot_swaps,
)


def image(*rows: str) -> np.ndarray:
    """One image [1,H,W] of digits."""
    return np.array([[[int(label) for label in row] for row in rows]])


TRUE = image("0011", "0011", "0002")
"""Background 7 pixels, object 1 four, object 2 one."""
FOUND = image("0033", "0033", "0003")
"""Both objects in one slot."""


def test_one_slot_for_two_objects() -> None:
    assert mean_iou(TRUE, FOUND).value == pytest.approx((4 / 5 + 0) / 2), "a slot serves one object"
    assert mean_best_overlap(TRUE, FOUND).value == pytest.approx((4 / 5 + 1 / 5) / 2)
    assert segmentation_covering(TRUE, FOUND).value == pytest.approx((4 * 4 / 5 + 1 / 5) / 5)
    assert segmentation_covering(TRUE, FOUND, scaled=False).value == mean_best_overlap(TRUE, FOUND).value
    recovery = object_recovery(TRUE, FOUND)
    assert (recovery.value, recovery.details["corloc"]) == (0.5, 1.0)
    assert object_recovery(TRUE, FOUND, threshold=0.85).value == 0.0


def test_the_background_counts_on_demand() -> None:
    assert mean_iou(TRUE, FOUND, foreground=False).value == pytest.approx((1 + 4 / 5 + 0) / 3)
    assert mean_best_overlap(TRUE, FOUND, foreground=False).value == pytest.approx((1 + 4 / 5 + 1 / 5) / 3)
    assert segmentation_covering(TRUE, FOUND, foreground=False).value == pytest.approx((7 + 16 / 5 + 1 / 5) / 12)


def test_a_slot_that_spills_over_the_background_has_a_small_overlap() -> None:
    true, spilled = image("0011", "0022"), image("1111", "2222")
    assert adjusted_rand_index(true, spilled).value == 1.0
    assert mean_iou(true, spilled).value == 0.5


def test_fewer_slots_than_objects() -> None:
    true = image("1122", "3344")
    assert mean_iou(true, np.zeros_like(true)).value == pytest.approx(1 / 16)
    assert mean_best_overlap(true, np.zeros_like(true)).value == pytest.approx(1 / 4)


def test_matching_is_the_best_of_all_not_greedy() -> None:
    # Slot 0 is the best of both objects; giving it to object 1 would leave object 2 with nothing.
    true = image("1111122222")
    found = image("3000000000")
    best = max((1 / 5 + 5 / 9), (4 / 10 + 0)) / 2
    assert mean_iou(true, found).value == pytest.approx(best)


@pytest.mark.parametrize("backgrounds", [0, 1, 2, 3])
def test_the_truth_is_perfect(rng: np.random.Generator, backgrounds: int) -> None:
    true = rng.integers(0, 5, size=(20, 6, 8))
    scores = segmentation_scores(true, 6 - true, backgrounds=backgrounds)
    values = {name: score.value for name, score in scores.items()}
    assert values.pop("slot_count_error") == 0
    assert set(values.values()) == {1.0}


def test_scores_are_in_range_and_do_not_know_names(rng: np.random.Generator) -> None:
    true, found = rng.integers(0, 5, size=(50, 7, 7)), rng.integers(0, 4, size=(50, 7, 7))
    scores = segmentation_scores(true, found)
    renamed = segmentation_scores(true, np.array([2, 0, 3, 1])[found])
    for name, score in scores.items():
        assert score.name == name
        assert renamed[name].value == pytest.approx(score.value, abs=1e-12)
        if name != "slot_count_error":
            assert -0.5 <= score.value <= 1
    assert scores["miou"].value <= scores["mbo"].value == scores["msc_fg"].value
    assert scores["ari_fg"].details["per_image"].shape == (50,)


def test_the_suite_is_what_its_parts_are(rng: np.random.Generator) -> None:
    true, found = rng.integers(0, 5, size=(12, 2, 7, 7)), rng.integers(0, 4, size=(12, 2, 7, 7))
    scores = segmentation_scores(true, found, backgrounds=2)
    parts = [
        adjusted_rand_index(true, found, backgrounds=2),
        adjusted_rand_index(true, found, backgrounds=2, foreground=False),
        adjusted_rand_index(true, found, backgrounds=2, frames="each"),
        mean_iou(true, found, backgrounds=2),
        mean_iou(true, found, backgrounds=2, foreground=False),
        mean_iou(true, found, backgrounds=2, frames="each"),
        mean_best_overlap(true, found, backgrounds=2),
        mean_best_overlap(true, found, backgrounds=2, foreground=False),
        mean_best_overlap(true, found, backgrounds=2, frames="each"),
        segmentation_covering(true, found, backgrounds=2),
        segmentation_covering(true, found, backgrounds=2, foreground=False),
        segmentation_covering(true, found, backgrounds=2, scaled=False),
        object_recovery(true, found, backgrounds=2),
        slot_count(true, found, backgrounds=2),
        slot_swaps(true, found, backgrounds=2),
    ]
    for part in parts:
        assert scores[part.name].value == part.value
    assert scores["ari_fg.several"].value == scores["ari_fg"].details["several"]
    assert scores["corloc"].value == scores["recovery"].details["corloc"]
    assert scores["slot_count_error"].value == scores["slot_count_accuracy"].details["mean_error"]
    assert set(scores) == {part.name for part in parts} | {"ari_fg.several", "corloc", "slot_count_error"}


def test_images_have_no_scores_of_videos(rng: np.random.Generator) -> None:
    true = rng.integers(0, 3, size=(4, 5, 5))
    assert "slot_swaps" not in segmentation_scores(true, true)
    assert "ari_fg.sklearn" in segmentation_scores(true, true, degenerate="sklearn")


def test_no_object_in_sight() -> None:
    empty = np.zeros((3, 4, 4), int)
    scores = segmentation_scores(empty, empty, bootstrap=10, rng=np.random.default_rng(0))
    for name in ("ari_fg", "ari_fg.several", "miou", "mbo", "sc_fg", "recovery", "corloc"):
        assert math.isnan(scores[name].value)
        assert scores[name].interval is None
        assert scores[name].details["undefined"] == 3
    assert scores["ari"].value == scores["miou.all"].value == scores["slot_count_accuracy"].value == 1.0
    for score in scores.values():
        again = MetricResult.from_json(json.loads(json.dumps(score.to_json())))
        assert again.value == pytest.approx(score.value, nan_ok=True)


def test_slots_are_counted_from_a_share_of_the_image() -> None:
    true = np.zeros((1, 20, 20), int)
    true[0, :10, :10] = 1
    speck = true.copy()
    speck[0, 19, 19] = 2
    assert slot_count(true, speck).value == 1.0, "one pixel of 400 is below 0.5 %"
    strict = slot_count(true, speck, share=0.0)
    assert (strict.value, strict.details["mean_error"], strict.details["mean_excess"]) == (0.0, 1.0, 1.0)
    merged = slot_count(true, np.zeros_like(true))
    assert (merged.details["mean_error"], merged.details["mean_excess"]) == (1.0, -1.0)


def video(*frames: str) -> np.ndarray:
    """One video [1,T,1,W] of digits."""
    return np.array([[[[int(label) for label in frame]] for frame in frames]])


@pytest.mark.parametrize(
    ("found", "swaps", "chances"),
    [
        (("77889", "77889", "77889"), 0, 4),
        (("77889", "88779", "88779"), 2, 4),
        (("77889", "88779", "77889"), 4, 4),
        (("77889", "77799", "77889"), 0, 3),
    ],
)
def test_slot_swaps(found: tuple[str, ...], swaps: int, chances: int) -> None:
    true = video("11220", "11220", "11220")
    result = slot_swaps(true, video(*found), threshold=0.4)
    assert (result.details["swaps"].item(), result.details["chances"].item()) == (swaps, chances)
    assert result.value == swaps / chances


def test_an_object_that_comes_back_is_followed() -> None:
    true = video("1100", "0000", "1100")
    assert slot_swaps(true, video("7700", "7777", "7700")).value == 0.0
    assert slot_swaps(true, video("7700", "7777", "8800")).value == 1.0
    assert math.isnan(slot_swaps(true[:, :2], true[:, :2]).value)


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_settings() -> None:
    with pytest.raises(PerceptsError, match="threshold"):
        object_recovery(TRUE, FOUND, threshold=1.0)
    with pytest.raises(PerceptsError, match="share"):
        slot_count(TRUE, FOUND, share=-0.1)
    with pytest.raises(DataError, match="videos"):
        slot_swaps(TRUE, FOUND)
