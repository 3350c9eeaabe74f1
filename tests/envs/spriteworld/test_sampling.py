"""Draws by row: what is drawn is contained and distributed as the algebra says, row by row whatever the batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from percepts.core.errors import ConfigError, DataError
from percepts.data.distributions import (
    Continuous,
    Discrete,
    Distribution,
    Factors,
    Intersection,
    Product,
    Selection,
    SetMinus,
    Union,
)
from percepts.envs.spriteworld.sampling import TRIES, Table, choose, draw
from percepts.envs.streams import Streams

MANY = 4000
X, Y = Continuous("x", 0.0, 1.0), Continuous("y", 0.0, 1.0)


def drawn(distribution: Distribution, count: int = MANY, seed: int = 0) -> Factors:
    return draw(distribution, Streams.of(range(count), seed))[0]


def share(chosen: Tensor) -> float:
    return float(chosen.double().mean())


@st.composite
def leaves(draw_: st.DrawFn, name: str) -> Distribution:
    if draw_(st.booleans()):
        low = draw_(st.integers(-4, 3))
        return Continuous(name, low / 2, draw_(st.integers(low + 1, 6)) / 2)
    values = draw_(st.lists(st.integers(-3, 3), min_size=1, max_size=4, unique=True))
    return Discrete(name, tuple(float(value) for value in values))


@st.composite
def trees(draw_: st.DrawFn, depth: int = 2) -> Distribution:
    """Distributions over a and b that are not empty."""
    kind = draw_(st.sampled_from(("product", "union", "minus", "selection", "intersection"))) if depth else "product"
    base = draw_(leaves("a")) * draw_(leaves("b")) if kind == "product" else draw_(trees(depth=depth - 1))
    if kind == "union":
        return base | draw_(trees(depth=depth - 1))
    if kind == "intersection":
        return Intersection((base | draw_(trees(depth=depth - 1)), base), sample_from=draw_(st.integers(0, 1)))
    if kind == "selection":
        return Selection(base, Continuous("a", -10.0, 10.0))
    if kind == "minus":
        # A narrow hold-out in one factor, which leaves something of everything but of one single value.
        return SetMinus(base, Continuous("b", 0.1, 0.2) | Continuous("b", 0.6, 0.7))
    return base


@settings(max_examples=80)
@given(trees(), st.integers(0, 1000))
def test_what_is_drawn_is_contained_and_does_not_depend_on_the_batch(tree: Distribution, seed: int) -> None:
    streams = Streams.of(range(20), seed)
    together, after = draw(tree, streams)
    assert set(together) == {"a", "b"}
    assert all(values.shape == (20,) and values.dtype == torch.float64 for values in together.values())
    assert tree.contains(together).all()
    for row in (0, 13):
        alone, one = draw(tree, streams.rows([row]))
        assert all(torch.equal(alone[name], together[name][[row]]) for name in together)
        assert torch.equal(one.count, after.count[[row]])
    # The next draw is another one, unless there is only one thing to draw.
    assert (after.count > 0).all()


@settings(max_examples=15, derandomize=True)
@given(trees())
def test_the_distribution_is_that_of_the_other_sampler(tree: Distribution) -> None:
    ours = drawn(tree, 8000)
    theirs = tree.sample(8000, torch.Generator().manual_seed(3))
    for name in ours:
        # The chance of that is 5e-6, and smaller where values are tied.
        assert stats.ks_2samp(ours[name].numpy(), theirs[name].numpy()).statistic < 0.04


def test_continuous_factors_fill_their_half_open_interval() -> None:
    values = drawn(Continuous("x", -1.0, 3.0))["x"]
    assert stats.kstest(values.numpy(), "uniform", (-1, 4)).pvalue > 0.01
    # Rounding would reach the upper bound here.
    narrow = drawn(Continuous("x", 1.0, math.nextafter(1.0, 2.0)))["x"]
    assert (narrow == 1.0).all()


def test_discrete_factors_have_their_probabilities() -> None:
    values = drawn(Discrete("x", (3.0, -1.0, 7.0)))["x"]
    assert stats.chisquare([int((values == value).sum()) for value in (3, -1, 7)]).pvalue > 0.01
    values = drawn(Discrete("x", (3.0, -1.0, 7.0), (0.2, 0.7, 0.1)))["x"]
    counts = [int((values == value).sum()) for value in (3, -1, 7)]
    assert stats.chisquare(counts, [MANY * part for part in (0.2, 0.7, 0.1)]).pvalue > 0.01
    assert (drawn(Discrete("x", (0.13,)))["x"] == 0.13).all()


def test_factors_of_a_product_are_independent() -> None:
    both = drawn(X * Y * Discrete("z", (0.0, 1.0)))
    table = torch.corrcoef(torch.stack(list(both.values())))
    assert (table.triu(1).abs() < 4 / math.sqrt(MANY)).all()


def test_a_union_keeps_its_weights_however_often_a_component_fails() -> None:
    rare = X - Continuous("x", 0.02, 1.0)
    half = drawn(rare | Continuous("x", 2.0, 3.0))["x"]
    assert share(half < 1) == pytest.approx(0.5, abs=0.04)
    third = drawn(Union((rare, Continuous("x", 2.0, 3.0)), (1.0, 2.0)))["x"]
    assert share(third < 1) == pytest.approx(1 / 3, abs=0.04)
    beside = drawn(Product((Y, rare | Continuous("x", 2.0, 3.0))))["x"]
    assert share(beside < 1) == pytest.approx(0.5, abs=0.04)


def test_a_hold_out_of_a_union_changes_its_weights() -> None:
    # Three quarters of the first component are taken away, nothing of the second: 1/4 to 1.
    left = drawn((X | Continuous("x", 2.0, 3.0)) - Continuous("x", 0.25, 1.0))["x"]
    assert share(left < 1) == pytest.approx(0.2, abs=0.04)
    assert not ((left >= 0.25) & (left < 1)).any()


def test_a_hold_out_leaves_the_rest_as_it_was() -> None:
    square = drawn((X * Y) - (Continuous("x", 0.5, 1.0) * Continuous("y", 0.5, 1.0)))
    right, upper = square["x"] >= 0.5, square["y"] >= 0.5
    assert not (right & upper).any()
    counts = [int((~right & ~upper).sum()), int((right & ~upper).sum()), int((~right & upper).sum())]
    assert stats.chisquare(counts).pvalue > 0.01


def test_an_intersection_is_distributed_as_the_component_that_is_drawn_from() -> None:
    weighted = Discrete("x", (1.0, 2.0, 3.0), (0.6, 0.2, 0.2))
    even = Discrete("x", (1.0, 2.0))
    first = drawn(Intersection((weighted, even)))["x"]
    assert share(first == 1) == pytest.approx(0.75, abs=0.04)
    second = drawn(Intersection((weighted, even), sample_from=1))["x"]
    assert share(second == 1) == pytest.approx(0.5, abs=0.04)


def test_a_selection_may_speak_of_some_factors() -> None:
    selected = drawn(Selection(X * Y, Continuous("y", 0.9, 1.0)))
    assert (selected["y"] >= 0.9).all()
    assert stats.kstest(selected["x"].numpy(), "uniform").pvalue > 0.01


def test_what_is_rare_is_found() -> None:
    rare = X - Continuous("x", 1 / 4096, 1.0)
    values = drawn(rare, 300)["x"]
    assert stats.kstest(values.numpy() * 4096, "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    "empty",
    [
        X - Continuous("x", -1.0, 2.0),
        (X * Y) - Continuous("y", 0.0, 1.0),
        Y * (X - Continuous("x", 0.0, 1.0)),
        (X | Continuous("x", 2.0, 3.0)) - Continuous("x", 0.0, 4.0),
        Intersection((X, Continuous("x", 5.0, 6.0))),
        X | (X - Continuous("x", 0.0, 1.0)),
    ],
)
def test_nothing_left_is_an_error_that_names_it(empty: Distribution) -> None:
    with pytest.raises(DataError, match=r"x in|y in") as caught:
        drawn(empty, 256)
    assert caught.value.fix is not None
    assert "hold-out" in caught.value.fix
    assert int(caught.value.got.split()[0]) >= TRIES


@dataclass(frozen=True)
class UnknownKind(Distribution):
    """A kind that the sampler does not know."""

    @property
    def names(self) -> tuple[str, ...]:
        return ("x",)

    def sample(self, count: int, generator: torch.Generator) -> Factors:
        raise NotImplementedError

    def contains(self, factors: object) -> Tensor:
        raise NotImplementedError


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ConfigError, match="UnknownKind"):
        drawn(Y * UnknownKind())


def test_a_table_draws_each_row_from_its_own_distribution() -> None:
    distributions = (X * Discrete("z", (1.0, 2.0)), Continuous("y", 5.0, 6.0), (X - Continuous("x", 0.1, 1.0)) | X)
    table = Table.of(distributions, ("z", "y", "x"), {"y": -1.0, "z": 9.0, "unused": 3.0})
    which = torch.arange(300) % 3
    values, _ = table.draw(which, Streams.of(range(300)))
    z, y, x = values.unbind(-1)
    assert (y[which != 1] == -1).all()
    assert ((y[which == 1] >= 5) & (y[which == 1] < 6)).all()
    assert set(z[which == 0].tolist()) == {1.0, 2.0}
    assert (z[which != 0] == 9).all()
    assert (x[which == 1] == 0).all()
    assert share(x[which == 2] < 0.1) == pytest.approx(0.55, abs=0.15)
    alone, _ = table.draw(which[[5]], Streams.of([5]))
    assert torch.equal(alone, values[[5]])
    nothing, _ = table.draw(which[:0], Streams.of([]))
    assert nothing.shape == (0, 3)


def test_places_are_chosen_by_weight() -> None:
    numbers = torch.tensor([0.0, 0.2499, 0.25, 0.7499, 0.75, 1 - 2.0**-53], dtype=torch.float64)
    assert choose((1.0, 2.0, 1.0), numbers).tolist() == [0, 0, 1, 1, 2, 2]
    # Sums that are rounded never lead beyond the last place.
    assert choose((0.1,) * 10, numbers[-1:]).item() == 9
