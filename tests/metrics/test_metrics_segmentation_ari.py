import math

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from percepts.core.errors import DataError, PerceptsError
from percepts.metrics import adjusted_rand_index, segmentation_scores
from percepts.metrics.segmentation_tables import Contingency


def stripes(*labels: int, images: int = 1) -> np.ndarray:
    """Images of equal stripes [N,6,len(labels)]."""
    return np.broadcast_to(np.array(labels), (images, 6, len(labels))).copy()


def ari(true: np.ndarray, predicted: np.ndarray, **settings: object) -> float:
    return adjusted_rand_index(true, predicted, **settings).value


def test_published_values() -> None:
    true = stripes(1, 2, 3)
    assert ari(true, true) == 1.0
    assert ari(true, stripes(4, 0, 2)) == 1.0, "names of slots do not matter"
    assert ari(true, stripes(0, 0, 0)) == pytest.approx(0.0, abs=1e-12)
    pieces = np.repeat(np.array([[[1, 2, 3]]]), 100, axis=1)
    merged = np.repeat(np.array([[[1, 1, 2]]]), 100, axis=1)
    assert ari(pieces, merged) == pytest.approx(0.5698, abs=5e-5)


def test_a_thousand_cases_agree_with_scikit_learn(rng: np.random.Generator) -> None:
    true = rng.integers(0, 1 + rng.integers(1, 7, size=(1000, 1, 1)), size=(1000, 5, 7))
    predicted = rng.integers(0, 1 + rng.integers(0, 7, size=(1000, 1, 1)), size=(1000, 5, 7))
    predicted = np.where(rng.random((1000, 1, 1)) < 0.5, predicted, np.where(rng.random(true.shape) < 0.8, true, 0))
    everything = adjusted_rand_index(true, predicted, foreground=False, degenerate="sklearn").details["per_image"]
    objects = adjusted_rand_index(true, predicted, degenerate="sklearn").details["per_image"]
    for number, (one, other) in enumerate(zip(true, predicted)):
        kept = one > 0
        assert everything[number] == pytest.approx(adjusted_rand_score(one.ravel(), other.ravel()), abs=1e-9)
        assert objects[number] == pytest.approx(adjusted_rand_score(one[kept], other[kept]), abs=1e-9)


def test_large_images_stay_exact(rng: np.random.Generator) -> None:
    true = rng.integers(0, 11, size=(1, 33, 240, 320))
    predicted = np.where(rng.random(true.shape) < 0.9, true, 0)
    expected = adjusted_rand_score(true.ravel(), predicted.ravel())
    assert ari(true, predicted, foreground=False) == pytest.approx(expected, abs=1e-9)


def test_random_masks_score_zero(rng: np.random.Generator) -> None:
    true, predicted = rng.integers(0, 4, size=(200, 35, 35)), rng.integers(0, 4, size=(200, 35, 35))
    assert ari(true, predicted) == pytest.approx(0.0, abs=1e-3)


def test_the_background_is_the_first_entities() -> None:
    true, predicted = stripes(0, 1, 2, 3), stripes(0, 1, 2, 2)
    assert ari(true, predicted, backgrounds=2) < ari(true, predicted, backgrounds=1)
    assert ari(true, stripes(0, 5, 2, 3), backgrounds=2) == 1.0
    spilled = stripes(2, 1, 2, 3)
    assert ari(true, spilled) == 1.0, "ARI-FG does not see the background"
    assert ari(true, spilled, foreground=False) < 1


def test_degenerate_images() -> None:
    none, one, split = stripes(0, 0), stripes(0, 1), stripes(0, 1)
    split[:, :3, 1] = 2
    whole, apart = stripes(1, 1), stripes(0, 1)
    cases = {  # true, predicted: ours, official, sklearn
        "no object": (none, none, math.nan, 1.0, 1.0),
        "one object, one slot for all": (one, none, 1.0, 1.0, 1.0),
        "one object, background apart": (one, apart, 1.0, math.nan, 1.0),
        "one object in two slots": (one, split, 0.0, 0.0, 0.0),
        "only an object": (whole, whole, 1.0, 1.0, 1.0),
    }
    for case, (true, predicted, *expected) in cases.items():
        for policy, value in zip(("ours", "official", "sklearn"), expected):
            found = adjusted_rand_index(true, predicted, degenerate=policy)
            assert found.value == pytest.approx(value, nan_ok=True), (case, policy)
            assert found.name == ("ari_fg" if policy == "ours" else f"ari_fg.{policy}")


def test_every_pixel_its_own_slot() -> None:
    true = np.arange(1, 7).reshape(1, 2, 3)
    assert ari(true, true) == ari(true, true, degenerate="sklearn") == 1.0
    assert math.isnan(ari(true, true, degenerate="official"))


def test_images_with_few_objects_are_counted() -> None:
    true = np.concatenate([stripes(0, 0, 0), stripes(0, 1, 1), stripes(0, 1, 2), stripes(1, 2, 3)])
    predicted = np.concatenate([stripes(0, 0, 0), stripes(0, 1, 1), stripes(0, 1, 1), stripes(1, 2, 3)])
    result = adjusted_rand_index(true, predicted)
    assert result.value == pytest.approx((1 + 0 + 1) / 3)
    assert result.details["several"] == pytest.approx((0 + 1) / 2)
    assert (result.details["below_two"], result.details["images"], result.details["undefined"]) == (2, 3, 1)
    np.testing.assert_array_equal(result.details["objects"], [0, 1, 2, 3])
    np.testing.assert_array_equal(np.isnan(result.details["per_image"]), [True, False, False, False])


def test_videos_punish_swapped_slots() -> None:
    true = np.stack([stripes(1, 2)] * 2, axis=1)
    swapped = np.stack([stripes(1, 2), stripes(2, 1)], axis=1)
    assert ari(true, swapped, frames="each") == 1.0
    assert ari(true, swapped) == pytest.approx(0.0, abs=0.1)
    flat = adjusted_rand_score(true.ravel(), swapped.ravel())
    assert ari(true, swapped) == pytest.approx(flat, abs=1e-12)
    assert adjusted_rand_index(true, swapped, frames="each").name == "ari_fg.frames"


def test_frames_without_objects_do_not_count() -> None:
    true = np.stack([stripes(1, 2), stripes(0, 0)], axis=1)
    assert ari(true, np.zeros_like(true), frames="each") == pytest.approx(0.0, abs=1e-12)


def test_kinds_of_arrays_agree(rng: np.random.Generator) -> None:
    true, predicted = rng.integers(0, 4, size=(70, 48, 48)), rng.integers(0, 5, size=(70, 48, 48))
    expected = ari(true, predicted)
    assert ari(torch.from_numpy(true), torch.from_numpy(predicted).to(torch.uint8)) == expected
    assert ari(true.astype(np.uint16), predicted.astype(np.int8)) == expected
    assert ari(np.asfortranarray(true), predicted[:, ::-1][:, ::-1]) == expected


def test_the_table_counts_every_pixel(rng: np.random.Generator) -> None:
    true, predicted = rng.integers(0, 3, size=(9, 2, 200, 301)), rng.integers(0, 4, size=(9, 2, 200, 301))
    table = Contingency.measure(true, predicted)
    assert table.counts.shape == (9, 2, 3, 4)
    for entity in range(3):
        for slot in range(4):
            both = ((true == entity) & (predicted == slot)).sum(axis=(2, 3))
            np.testing.assert_array_equal(table.counts[:, :, entity, slot], both)


def test_the_interval_is_of_images(rng: np.random.Generator) -> None:
    true = rng.integers(1, 4, size=(100, 6, 6))
    predicted = np.where(rng.random((100, 1, 1)) < 0.5, true, 0)
    result = adjusted_rand_index(true, predicted, bootstrap=500, rng=rng)
    spread = result.details["per_image"].std() / 10
    assert result.interval[1] - result.interval[0] == pytest.approx(2 * 1.96 * spread, rel=0.15)
    assert result.interval[0] < result.value < result.interval[1]


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_label_maps() -> None:
    good = stripes(0, 1, 2)
    with pytest.raises(DataError, match=r"core\.slots\.labels"):
        adjusted_rand_index(good, good.astype(np.float32))
    with pytest.raises(DataError, match="from -1 to 2"):
        adjusted_rand_index(np.where(good == 1, -1, good), good)
    with pytest.raises(DataError, match="from 0 to 5000"):
        adjusted_rand_index(good, np.where(good == 1, 5000, good))
    with pytest.raises(DataError, match="nearest neighbour"):
        adjusted_rand_index(good, good[:, :3])
    with pytest.raises(DataError, match="at least one image"):
        adjusted_rand_index(good[:0], good[:0])
    with pytest.raises(DataError, match="for images"):
        adjusted_rand_index(good[0], good[0])
    with pytest.raises(DataError, match="backgrounds = -1"):
        adjusted_rand_index(good, good, backgrounds=-1)
    with pytest.raises(DataError, match="whole numbers"):
        adjusted_rand_index(np.array([[["a"]]]), good)
    with pytest.raises(PerceptsError, match="one of ours"):
        adjusted_rand_index(good, good, degenerate="theirs")
    with pytest.raises(PerceptsError, match="'joint' or 'each'"):
        adjusted_rand_index(good, good, frames="all")
    with pytest.raises(PerceptsError, match="random generator"):
        segmentation_scores(good, good, bootstrap=10)
