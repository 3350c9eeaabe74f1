"""Matrices of events, and the algebra on them."""

from __future__ import annotations

import pytest
import torch
from test_trackers import record, uniform

from percepts.core.errors import ConfigError
from percepts.envs.alchemy.events import BANKED, CAULDRON, NEVER, AnyOrder, Event, Ordered, SingleEvent, event_matrices
from percepts.envs.alchemy.table import Table

FIRST = frozenset({0, 1})


def trial(*events: tuple[int, int], stones: int = 2, potions: int = 3) -> torch.Tensor:
    """The matrix of events (stone, potion) one after another."""
    matrix = torch.full((stones, potions + 1), NEVER)
    for order, place in enumerate(events):
        matrix[place] = order
    return matrix


def test_a_single_event_is_the_first_of_its_kind() -> None:
    events = trial((1, 2), (0, 1), (0, 0), (0, CAULDRON))
    found = SingleEvent(0, FIRST).occurrence(events)
    assert (int(found.start), int(found.end)) == (1, 1)
    assert found.potions.tolist() == [False, True, False, False]
    banked = SingleEvent(0, BANKED).occurrence(events)
    assert int(banked.start) == 3
    assert banked.potions.tolist() == [False, False, False, True]
    never = SingleEvent(1, FIRST).occurrence(events)
    assert (int(never.start), int(never.end)) == (NEVER, NEVER)
    assert not never.potions.any()
    assert not SingleEvent(1, frozenset()).occurs(events)


@pytest.mark.parametrize(
    ("order", "expected"), [((0, CAULDRON), False), ((CAULDRON, 0), True), ((CAULDRON,), False), ((0,), False)]
)
def test_order_matters_to_ordered_alone(order: tuple[int, ...], expected: bool) -> None:
    """`order` is what happens to stone 0; the ordered event wants the cauldron first."""
    events = trial(*((0, potion) for potion in order))
    wanted = SingleEvent(0, BANKED), SingleEvent(0, FIRST)
    assert bool(Ordered(wanted).occurs(events)) is expected
    assert bool(AnyOrder(wanted).occurs(events)) is (len(order) == 2)


def test_events_within_events() -> None:
    events = trial((0, 0), (1, 1), (1, CAULDRON), (0, CAULDRON))
    both = AnyOrder((SingleEvent(0, FIRST), SingleEvent(1, FIRST)))
    banked = AnyOrder((SingleEvent(0, BANKED), SingleEvent(1, BANKED)))
    found = Ordered((both, banked)).occurrence(events)
    assert (int(found.start), int(found.end)) == (0, 3)
    assert found.potions.tolist() == [True, True, False, True]
    assert not Ordered((banked, both)).occurs(events)
    # Of the two stones one is banked before the other is dipped.
    mixed = trial((0, 0), (0, CAULDRON), (1, 1), (1, CAULDRON))
    assert not Ordered((both, banked)).occurs(mixed)
    assert not Ordered((both, banked)).occurrence(mixed).potions.any()


def test_the_same_event_twice_in_order_is_allowed() -> None:
    """As in the original: what ends when the next begins is in order."""
    event = SingleEvent(0, FIRST)
    assert Ordered((event, event)).occurs(trial((0, 1)))
    assert Ordered((event,)).occurs(trial((0, 1)))


@pytest.mark.parametrize(
    "event",
    [
        SingleEvent(1, frozenset({0, 2})),
        AnyOrder((SingleEvent(0, FIRST), SingleEvent(1, BANKED))),
        Ordered((SingleEvent(0, FIRST), AnyOrder((SingleEvent(0, BANKED), SingleEvent(1, BANKED))))),
    ],
)
def test_batches_are_their_rows(event: Event) -> None:
    table = Table.Config(trials=2, steps=12, stones=2, potions=3).build()
    events = event_matrices(record(table, uniform(30, 24, table.actions)))
    found = event.occurrence(events)
    assert tuple(found.start.shape) == (30, 2)
    assert 0 < int(event.occurs(events).sum()) < 60
    for row in range(30):
        one = event.occurrence(events[row, 1])
        assert (int(one.start), int(one.end)) == (int(found.start[row, 1]), int(found.end[row, 1]))
        assert torch.equal(one.potions, found.potions[row, 1])


def test_stones_and_potions_that_there_are_not_are_refused() -> None:
    for event in (SingleEvent(2, FIRST), SingleEvent(0, frozenset({4})), SingleEvent(0, frozenset({-2}))):
        with pytest.raises(ConfigError):
            event.occurs(trial((0, 0)))


def test_matrices_say_what_had_an_effect_in_order() -> None:
    """Nothing, a stone that is gone and a potion that is used up are no events; a potion without effect is one."""
    table = Table.Config(trials=2, steps=6, stones=2, potions=3).build()
    actions = torch.tensor([[0, 6, 2, 6, 2, 1, 1, 5, 0, 3, 8, 8]])
    # Stones 0 and 1 have actions 1 to 4 and 5 to 8, the cauldron first.
    first, second = event_matrices(record(table, actions))[0]
    assert first.tolist() == [[-1, -1, -1, 1], [0, -1, -1, -1]]
    assert second.tolist() == [[-1, -1, -1, 0], [-1, -1, -1, 1]]
