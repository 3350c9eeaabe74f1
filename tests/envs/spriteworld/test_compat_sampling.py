"""Scenes in the original's order of random numbers: each kind against the numbers that it must take."""

from __future__ import annotations

import numpy as np
import pytest

from percepts.core.errors import ConfigError, DataError
from percepts.data.distributions import (
    Continuous,
    Discrete,
    Intersection,
    Product,
    Selection,
    SetMinus,
    Union,
)
from percepts.envs.spriteworld.apart import Apart
from percepts.envs.spriteworld.compat_sampling import CompatOptions, contains, draw, draw_scene
from percepts.envs.spriteworld.compat_sprite import CompatDataError
from percepts.envs.spriteworld.generators import Chain, Generate, OneOf, Shuffled

X, Y = Continuous("x", 0.1, 0.9), Continuous("y", 0.0, 2.0)
LOW, HIGH = Continuous("x", 0.0, 0.3), Continuous("x", 0.7, 1.0)
OLD = CompatOptions(numpy=1)


def pair(seed: int) -> tuple[np.random.RandomState, np.random.RandomState]:
    """A generator for the code and its twin for the test."""
    return np.random.RandomState(seed), np.random.RandomState(seed)


def in_step(one: np.random.RandomState, other: np.random.RandomState) -> bool:
    """Whether both have given the same number of random numbers."""
    return one.randint(1 << 30) == other.randint(1 << 30)


def xs(scene) -> list[float]:
    return [float(sprite.position[0]) for sprite in scene]


def test_a_continuous_factor_takes_one_uniform_number_rounded_to_float32():
    rng, twin = pair(0)
    value = draw(X, rng)["x"]
    assert type(value) is np.float32
    assert value == np.float32(twin.uniform(0.1, 0.9))
    assert in_step(rng, twin)


def test_a_whole_factor_is_cut_off_behind_the_point():
    rng, twin = pair(1)
    value = draw(Continuous("c0", 0.0, 256.0), rng, CompatOptions(whole=("c0",)))["c0"]
    assert (type(value), value) == (int, int(twin.uniform(0.0, 256.0)))


def test_a_discrete_factor_takes_a_choice_and_a_single_value_nothing():
    rng, twin = pair(2)
    drawn = [draw(Discrete("x", (1.0, 2.0, 3.0)), rng)["x"] for _ in range(5)]
    assert drawn == [(1.0, 2.0, 3.0)[twin.choice(3)] for _ in range(5)]
    assert draw(Discrete("x", (4.0,)), rng) == {"x": 4.0}
    assert in_step(rng, twin)
    weighted = Discrete("x", (1.0, 2.0), (0.9, 0.1))
    assert draw(weighted, rng)["x"] == (1.0, 2.0)[twin.choice(2, p=(0.9, 0.1))]
    assert in_step(rng, twin)


def test_a_product_draws_its_factors_in_order():
    rng, twin = pair(3)
    drawn = draw(Product((Y, Product((X,)))), rng)
    assert list(drawn) == ["y", "x"]
    assert list(drawn.values()) == [np.float32(twin.uniform(0.0, 2.0)), np.float32(twin.uniform(0.1, 0.9))]


def test_a_mixture_takes_a_choice_with_probabilities_first():
    for weights, shares in ((None, (0.5, 0.5)), ((3.0, 1.0), (0.75, 0.25))):
        rng, twin = pair(4)
        for _ in range(5):
            low, high = ((0.0, 0.3), (0.7, 1.0))[twin.choice(2, p=shares)]
            assert draw(Union((LOW, HIGH), weights), rng)["x"] == np.float32(twin.uniform(low, high))


@pytest.mark.parametrize(
    ("distribution", "fits"),
    [
        (SetMinus(Product((X, Y)), Continuous("x", 0.3, 0.9)), lambda x: x < 0.3),
        (Selection(Product((X, Y)), LOW), lambda x: x < 0.3),
        (Intersection((Product((X, Y)), Product((LOW, Y)))), lambda x: x < 0.3),
    ],
)
def test_rejection_draws_all_factors_of_the_base_again(distribution, fits):
    rng, twin = pair(5)
    for _ in range(5):
        while True:
            x, y = np.float32(twin.uniform(0.1, 0.9)), np.float32(twin.uniform(0.0, 2.0))
            if fits(x):
                break
        assert draw(distribution, rng) == {"x": x, "y": y}


def test_an_intersection_draws_from_the_component_that_it_names():
    rng, twin = pair(6)
    assert draw(Intersection((X, LOW), sample_from=1), rng)["x"] <= 0.3
    while not twin.uniform(0.0, 0.3) >= 0.1:
        pass
    assert in_step(rng, twin)


def test_what_is_held_out_completely_is_an_error_after_the_most_tries(monkeypatch):
    monkeypatch.setattr("percepts.envs.spriteworld.compat_sampling._MOST_TRIES", 20)
    with pytest.raises(CompatDataError, match="none of them"):
        draw(SetMinus(X, Continuous("x", 0.0, 1.0)), np.random.RandomState(0))
    assert issubclass(CompatDataError, ValueError)


def test_numbers_of_sprites_take_a_draw_only_where_there_is_a_choice():
    rng, twin = pair(7)
    assert xs(draw_scene(Generate(X, 2, 2), rng)) == [np.float32(twin.uniform(0.1, 0.9)) for _ in range(2)]
    for _ in range(5):
        count = twin.randint(1, 7)
        assert xs(draw_scene(Generate(X, 1, 6), rng)) == [np.float32(twin.uniform(0.1, 0.9)) for _ in range(count)]


def test_chains_choices_and_shuffles_draw_in_the_originals_order():
    rng, twin = pair(8)
    low, high = Generate(LOW, 2, 2), Generate(HIGH)
    for _ in range(5):
        chosen = twin.choice(2)
        wanted = [np.float32(twin.uniform(0.0, 0.3)) for _ in range(2)]
        if chosen == 1:
            wanted.append(np.float32(twin.uniform(0.7, 1.0)))
        order = np.arange(len(wanted))
        twin.shuffle(order)
        scene = draw_scene(Shuffled(OneOf((low, Chain((low, high))))), rng)
        assert xs(scene) == [wanted[place] for place in order]
    weighted = OneOf((low, high), weights=(1.0, 3.0))
    assert len(draw_scene(weighted, rng)) == (2, 1)[twin.choice(2, p=(0.25, 0.75))]


def test_the_upper_bound_does_not_belong_to_an_interval_and_the_precision_decides_near_it():
    assert contains(X, {"x": 0.1, "y": 5.0})
    assert not contains(X, {"x": 0.9})
    edge = np.float32(0.9)  # a little below 0.9 in float64, equal to it in float32
    assert (contains(X, {"x": edge}, OLD), contains(X, {"x": edge})) == (True, False)
    start = Continuous("x", 0.9, 1.0)
    assert (contains(start, {"x": edge}, OLD), contains(start, {"x": edge})) == (False, True)


def test_combinations_contain_what_their_parts_say():
    inside, outside = {"x": 0.2, "y": 1.0}, {"x": 0.8, "y": 1.0}
    for distribution, wanted in (
        (Product((LOW, Y)), (True, False)),
        (Union((LOW, HIGH)), (True, True)),
        (Intersection((X, LOW)), (True, False)),
        (SetMinus(X, LOW), (False, True)),
        (Selection(X, LOW), (True, False)),
        (Discrete("x", (0.2,)), (True, False)),
    ):
        assert (contains(distribution, inside), contains(distribution, outside)) == wanted


def test_a_missing_factor_is_an_error():
    with pytest.raises(DataError, match="no factor 'x'"):
        contains(X, {"y": 1.0})


def test_a_generator_that_the_original_does_not_have_is_an_error():
    with pytest.raises(ConfigError, match="Apart"):
        draw_scene(Apart(Generate(X), ("x",), 0.1), np.random.RandomState(0))
