"""Objects, hypotheses and sets of objects."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from percepts.core.errors import ConfigError
from percepts.envs.feature_world.features import DIMENSIONS, MOST_VALUES, feature_tables
from percepts.envs.feature_world.object_sets import all_objects, random_sets

THREE = ("colour", "shape", "texture")


def test_no_value_belongs_to_two_dimensions() -> None:
    words = [word for values in DIMENSIONS.values() for word in values]
    assert len(set(words)) == len(words)
    assert {len(values) for values in DIMENSIONS.values()} == {MOST_VALUES}


@pytest.mark.parametrize(
    ("dimensions", "values", "k", "n", "hypotheses"),
    [(2, 3, 1, 1, 6), (2, 8, 1, 1, 16), (3, 5, 1, 1, 15), (3, 8, 1, 1, 24), (2, 5, 2, 2, 25), (3, 3, 2, 2, 27),
     (3, 8, 2, 2, 192), (4, 5, 2, 2, 150), (3, 2, 2, 3, 8)],
)  # fmt: skip
def test_numbers_of_the_published_settings(dimensions: int, values: int, k: int, n: int, hypotheses: int) -> None:
    tables = feature_tables(tuple(DIMENSIONS)[:dimensions], (values,) * dimensions, dimensions, k, n)
    assert tables.rewarded.shape == (hypotheses, values**dimensions)
    assert hypotheses == math.comb(dimensions, n) * values**n


def test_objects_are_numbered_by_their_strides() -> None:
    tables = feature_tables(THREE, (3, 2, 4), 3, 1, 1)
    assert torch.equal((tables.features * tables.stride).sum(1), torch.arange(24))
    assert tables.features.tolist() == [list(row) for row in itertools.product(range(3), range(2), range(4))]


@pytest.mark.parametrize(("k", "n"), [(1, 1), (1, 2), (2, 2), (2, 3), (3, 3)])
def test_rewards_count_features(k: int, n: int) -> None:
    tables = feature_tables(THREE, (3, 2, 2), 3, k, n)
    for targets, rewarded in zip(tables.targets.tolist(), tables.rewarded.tolist()):
        assert len({dimension for dimension, _ in targets}) == n
        for features, lit in zip(tables.features.tolist(), rewarded):
            assert lit == (sum(features[dimension] == value for dimension, value in targets) >= k)


def test_decoys_never_matter() -> None:
    with_decoy = feature_tables(THREE, (3, 3, 2), 2, 2, 2)
    without = feature_tables(THREE[:2], (3, 3), 2, 2, 2)
    assert torch.equal(with_decoy.rewarded, without.rewarded.repeat_interleave(2, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((("color",), (3,), 1, 1, 1), "did you mean 'colour'"),
        ((("colour", "colour"), (3, 3), 2, 1, 1), "each once"),
        (((), (), 0, 1, 1), "one or more"),
        ((THREE, (3, 3), 3, 1, 1), "values"),
        ((THREE, (3, 3, 1), 3, 1, 1), "2 to 8"),
        ((THREE, (3, 3, 9), 3, 1, 1), "2 to 8"),
        ((THREE, (3, 3, 3), 3, 1, 4), "n = 4"),
        ((THREE, (3, 3, 3), 3, 3, 2), "k = 3"),
        ((THREE, (3, 3, 3), 3, 0, 2), "k = 0"),
    ],
)
def test_bad_settings(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        feature_tables(*arguments)  # type: ignore[arg-type]


def test_tables_too_large_to_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("percepts.envs.feature_world.features._LARGEST", 1000)
    with pytest.raises(ConfigError, match="64 hypotheses about 64 objects"):
        feature_tables(THREE, (4, 4, 4), 3, 1, 3)


def test_all_objects_tell_everything_apart() -> None:
    sets = all_objects(feature_tables(THREE, (4, 4, 4), 3, 2, 2).rewarded)
    assert sets.distinguishing
    assert sets.objects.tolist() == [list(range(64))]
    assert sets.classes.tolist() == [list(range(48))]


def test_random_sets_tell_everything_apart() -> None:
    rewarded = feature_tables(THREE[:2], (4, 4), 2, 1, 1).rewarded
    sets = random_sets(rewarded, 8, 50, seed=0)
    assert sets.distinguishing
    assert len({tuple(row) for row in sets.objects.tolist()}) > 40
    for chosen in sets.objects:
        assert len(np.unique(rewarded[:, chosen].numpy(), axis=0)) == 8
        assert (chosen.diff() > 0).all()


def test_sets_that_are_rarely_right_by_chance_are_built() -> None:
    # 15 of 16 objects tell 16 conjunctions of two dimensions apart, fewer do not.
    rewarded = feature_tables(THREE[:2], (4, 4), 2, 2, 2).rewarded
    assert random_sets(rewarded, 15, 3, seed=0).distinguishing
    rewarded = feature_tables(THREE, (5, 5, 5), 3, 2, 2).rewarded
    assert random_sets(rewarded, 60, 2, seed=0).distinguishing
    with pytest.raises(ConfigError, match="more objects"):
        random_sets(rewarded, 6, 1, seed=0)


def test_set_number_n_does_not_depend_on_how_many_there_are() -> None:
    rewarded = feature_tables(THREE, (3, 3, 3), 3, 1, 1).rewarded
    many, few = random_sets(rewarded, 10, 9, seed=4), random_sets(rewarded, 10, 3, seed=4)
    assert torch.equal(many.objects[:3], few.objects)
    assert not torch.equal(many.objects[:3], random_sets(rewarded, 10, 3, seed=5).objects)


def test_classes_of_what_cannot_be_told_apart() -> None:
    rewarded = feature_tables(("colour",), (3,), 1, 1, 1).rewarded
    sets = random_sets(rewarded, 1, 5, seed=0, distinguishing=False)
    assert not sets.distinguishing
    for chosen, classes, size in zip(sets.objects.tolist(), sets.classes.tolist(), sets.class_size.tolist()):
        others = [value for value in range(3) if value != chosen[0]]
        assert [classes[value] for value in others] == [others[0]] * 2
        assert size[chosen[0]] == 1
        assert [size[value] for value in others] == [2, 2]


@pytest.mark.parametrize(("size", "count"), [(0, 1), (28, 1), (5, 0)])
def test_bad_sets(size: int, count: int) -> None:
    rewarded = feature_tables(THREE, (3, 3, 3), 3, 1, 1).rewarded
    with pytest.raises(ConfigError, match=r"expected 1 to 10000 sets of 1 to 27 objects"):
        random_sets(rewarded, size, count, seed=0)
