"""The algebra of factor distributions: what is drawn is contained, what is contained follows set algebra."""

from __future__ import annotations

import copy
import json
import math
import operator
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from percepts.core.config import Config, from_json, to_json
from percepts.core.errors import ConfigError, DataError
from percepts.data.distributions import (
    Continuous,
    Discrete,
    Distribution,
    Intersection,
    Product,
    Selection,
    Union,
)

X, Y = Continuous("x", 0.0, 1.0), Continuous("y", -2.0, 2.0)
SQUARE = X * Y
MIDDLE = Continuous("x", 0.25, 0.75) * Continuous("y", -1.0, 1.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@st.composite
def singles(draw: st.DrawFn, name: str) -> Distribution:
    if draw(st.booleans()):
        low = draw(st.integers(-4, 3))
        return Continuous(name, low / 2, draw(st.integers(low + 1, 6)) / 2)
    values = draw(st.lists(st.integers(-3, 3), min_size=1, max_size=4, unique=True))
    return Discrete(name, tuple(float(value) for value in values))


@st.composite
def boxes(draw: st.DrawFn) -> Distribution:
    return draw(singles("a")) * draw(singles("b"))


def probes(count: int = 300) -> dict[str, torch.Tensor]:
    """Points of which many lie on the bounds and values of `singles`."""
    halves = torch.randint(-8, 9, (2, count), generator=generator(5)).double() / 2
    return {"a": halves[0], "b": halves[1]}


@settings(max_examples=60, deadline=None)
@given(boxes(), boxes())
def test_contains_is_set_algebra(one: Distribution, other: Distribution) -> None:
    points = probes()
    first, second = one.contains(points), other.contains(points)
    assert torch.equal((one | other).contains(points), first | second)
    assert torch.equal((one & other).contains(points), first & second)
    assert torch.equal((one - other).contains(points), first & ~second)
    assert torch.equal(Selection(one, other).contains(points), first & second)
    expected = one.parts[0].contains(points) & one.parts[1].contains(points)
    assert torch.equal(first, expected)


@settings(max_examples=60, deadline=None)
@given(boxes(), boxes(), st.integers(0, 2**31))
def test_what_is_drawn_is_contained_and_depends_on_the_generator_alone(
    one: Distribution, other: Distribution, seed: int
) -> None:
    whole = Continuous("a", -10.0, 10.0) * Continuous("b", -10.0, 10.0)
    for distribution in (one, other, one | other, whole - one, whole - (one | other), Selection(one, one | other)):
        drawn = distribution.sample(37, generator(seed))
        assert tuple(drawn) == distribution.names == ("a", "b")
        assert all(values.shape == (37,) and values.dtype == torch.float64 for values in drawn.values())
        assert distribution.contains(drawn).all()
        again = distribution.sample(37, generator(seed))
        assert all(torch.equal(drawn[name], again[name]) for name in drawn)


ALL = [
    X, Discrete("s", (1.0, 2.0, 4.0)), Discrete("s", (1.0, 2.0), (0.25, 0.75)), SQUARE, SQUARE | MIDDLE,
    Union((SQUARE, MIDDLE), (1.0, 3.0)), SQUARE & MIDDLE, Intersection((SQUARE, MIDDLE), sample_from=1),
    SQUARE - MIDDLE, Selection(SQUARE, Continuous("y", 1.0, 3.0)), (SQUARE - MIDDLE) * Discrete("s", (0.0,)),
]  # fmt: skip


@pytest.mark.parametrize("distribution", ALL, ids=str)
def test_every_kind_goes_through_json_and_can_be_a_key(distribution: Distribution) -> None:
    again = from_json(json.loads(json.dumps(to_json(distribution))), Config)
    assert again == distribution
    assert {distribution: 1}[again] == 1


@pytest.mark.parametrize("distribution", ALL, ids=str)
@pytest.mark.parametrize("count", [0, 1])
def test_small_counts(distribution: Distribution, count: int) -> None:
    drawn = distribution.sample(count, generator())
    assert set(drawn) == set(distribution.names)
    assert all(len(values) == count for values in drawn.values())
    assert len(distribution.contains(drawn)) == count


@pytest.mark.parametrize("distribution", ALL, ids=str)
def test_other_seeds_draw_other_values(distribution: Distribution) -> None:
    one, other = distribution.sample(50, generator(1)), distribution.sample(50, generator(2))
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_continuous_factor_is_uniform_and_half_open() -> None:
    drawn = Y.sample(20_000, generator())["y"]
    assert float(drawn.mean()) == pytest.approx(0, abs=0.03)
    assert float(drawn.var()) == pytest.approx(16 / 12, rel=0.03)
    assert Y.contains({"y": torch.tensor([-2.0, 2.0, math.nextafter(2.0, 0.0)], dtype=torch.float64)}).tolist() == [
        True, False, True,
    ]  # fmt: skip


def test_rounding_never_reaches_the_upper_bound() -> None:
    narrow = Continuous("x", 1.0, math.nextafter(1.0, 2.0))
    assert narrow.contains(narrow.sample(1000, generator())).all()


def test_a_discrete_factor_has_its_probabilities() -> None:
    drawn = Discrete("s", (3.0, 5.0, 9.0), (0.2, 0.5, 0.3)).sample(20_000, generator())["s"]
    shares = [float((drawn == value).double().mean()) for value in (3, 5, 9)]
    assert shares == pytest.approx([0.2, 0.5, 0.3], abs=0.015)
    even = Discrete("s", (3.0, 5.0)).sample(20_000, generator())["s"]
    assert float((even == 3).double().mean()) == pytest.approx(0.5, abs=0.015)


def test_a_discrete_value_may_come_as_float32() -> None:
    thirds = Discrete("s", (1 / 3, 2 / 3, 1e6 / 3))
    assert thirds.contains({"s": torch.tensor([1 / 3, 2 / 3, 1e6 / 3, 0.334], dtype=torch.float32)}).tolist() == [
        True, True, True, False,
    ]  # fmt: skip


def test_a_union_is_a_mixture_that_counts_overlaps_twice() -> None:
    drawn = (Continuous("x", 0.0, 2.0) | Continuous("x", 1.0, 3.0)).sample(20_000, generator())["x"]
    assert float(((drawn >= 1) & (drawn < 2)).double().mean()) == pytest.approx(0.5, abs=0.015)
    weighted = Union((Continuous("x", 0.0, 1.0), Continuous("x", 1.0, 2.0)), (1.0, 3.0)).sample(20_000, generator())
    assert float((weighted["x"] < 1).double().mean()) == pytest.approx(0.25, abs=0.015)


def test_rejection_leaves_the_rest_uniform() -> None:
    drawn = (SQUARE - MIDDLE).sample(20_000, generator())
    left = (drawn["x"] < 0.25).double().mean()
    assert float(left) == pytest.approx(0.25 / 0.75, abs=0.015)  # MIDDLE takes a quarter of the area


def test_a_hold_out_may_speak_of_some_factors_only() -> None:
    rest = SQUARE - Continuous("y", -2.0, 0.0)
    assert (rest.sample(200, generator())["y"] >= 0).all()
    selected = Selection(SQUARE, Continuous("y", 1.0, 9.0))
    assert (selected.sample(200, generator())["y"] >= 1).all()


def test_an_intersection_is_drawn_from_the_chosen_component() -> None:
    rare = Union((Continuous("x", 0.0, 1.0), Continuous("x", 1.0, 2.0)), (1.0, 9.0))
    even = Continuous("x", 0.0, 2.0)
    for number, share in ((0, 0.1), (1, 0.5)):
        drawn = Intersection((rare, even), sample_from=number).sample(10_000, generator())["x"]
        assert float((drawn < 1).double().mean()) == pytest.approx(share, abs=0.02)


def test_chains_are_flat() -> None:
    a, b, c = (Continuous(name, 0.0, 1.0) for name in "abc")
    assert a * b * c == Product((a, b, c)) == a * (b * c)
    one, two, three = (Continuous("a", low, low + 1.0) for low in (0.0, 1.0, 2.0))
    assert one | two | three == Union((one, two, three))
    weighted = Union((one, two), (1.0, 2.0))
    assert (weighted | three).parts == (weighted, three)


def test_factors_that_are_not_asked_for_are_ignored() -> None:
    points = {"x": torch.tensor([0.5, 7.0]), "hue": torch.tensor([float("nan"), 0.0])}
    assert X.contains(points).tolist() == [True, False]


def test_nan_never_occurs() -> None:
    nan = torch.tensor([float("nan")])
    for distribution in (X, X - Continuous("x", 0.0, 0.5), Discrete("x", (1.0,)), X | Continuous("x", 3.0, 4.0)):
        assert not distribution.contains({"x": nan}).any()


def test_a_distribution_reads_as_a_sentence() -> None:
    assert str(SQUARE - Discrete("x", (0.5, 1.0))) == "(x in [0, 1) and y in [-2, 2)) but not x in {0.5, 1}"
    assert str(Selection(X | Continuous("x", 2.0, 3.0), X)) == "(x in [0, 1) or x in [2, 3)) and x in [0, 1)"


@pytest.mark.parametrize(
    "empty", [MIDDLE - SQUARE, X & Continuous("x", 5.0, 6.0), Selection(SQUARE, Discrete("x", (3.0,)))]
)
def test_nothing_left_to_draw(empty: Distribution) -> None:
    with pytest.raises(DataError, match="none of them"):
        empty.sample(1, generator())
    assert len(empty.sample(0, generator())[empty.names[0]]) == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Continuous("", 0.0, 1.0), "name"), (lambda: Continuous("x", 1.0, 1.0), "x in"),
        (lambda: Continuous("x", float("nan"), 1.0), "finite"), (lambda: Continuous("x", 0.0, math.inf), "finite"),
        (lambda: Discrete("x", ()), "one or more"), (lambda: Discrete("x", (1.0, 1.0)), "differ"),
        (lambda: Discrete("x", (math.nan,)), "finite"), (lambda: Discrete("x", (1.0,), (0.5,)), "sum"),
        (lambda: Discrete("x", (1.0, 2.0), (1.0,)), "2 finite"),
        (lambda: Discrete("x", (1.0, 2.0), (0.0, 1.0)), "above 0"),
        (lambda: Product(()), "nothing"), (lambda: SQUARE * X, "x in several"), (lambda: Union(()), "nothing"),
        (lambda: X | Y, "same factors"), (lambda: X & SQUARE, "Selection"), (lambda: X - Y, "speaks of y"),
        (lambda: Selection(X, SQUARE), "speaks of y"), (lambda: Union((X, X), (1.0,)), "2 finite"),
        (lambda: Intersection((X, X), sample_from=2), "sample_from"),
    ],
)  # fmt: skip
def test_what_is_no_distribution(make, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        make()
    assert "\n" not in str(error.value)


def test_bad_json_names_the_place() -> None:
    data = to_json(SQUARE)
    data["components"][1]["hihg"] = 3
    with pytest.raises(ConfigError, match=r"components\[1\].hihg'.*did you mean 'high'"):
        from_json(data)


def test_bad_questions() -> None:
    with pytest.raises(DataError, match="no factor 'y' among x"):
        SQUARE.contains({"x": torch.zeros(3)})
    with pytest.raises(DataError, match="one value for each item"):
        X.contains({"x": torch.zeros(3, 2)})
    with pytest.raises(DataError, match="count = -1"):
        X.sample(-1, generator())


def test_what_is_no_distribution_is_refused() -> None:
    x = Continuous("x", 0.0, 1.0)
    for combine in (operator.sub, operator.mul, operator.or_, operator.and_):
        with pytest.raises(ConfigError, match="3 among distributions"):
            combine(x, 3)
    with pytest.raises(ConfigError, match="Distribution is no distribution by itself"):
        from_json({"type": "Distribution"}, Distribution)
    again = pickle.loads(pickle.dumps(copy.deepcopy(x * Discrete("y", (1.0,)))))
    assert again == x * Discrete("y", (1.0,))
