"""The best plans: equal to a search through every order of potions."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import pytest
import torch

from percepts.agents.alchemy.plans import MOST, best_plans, options_of, pack
from percepts.core.random import torch_generator
from percepts.envs.alchemy.chemistry import chemistry_tables, graph_number
from percepts.envs.alchemy.levels import NARROW, OPEN

VALUES = (-3.0, -1.0, -1.0, 1.0, -1.0, 1.0, 1.0, 15.0)
MOVES = chemistry_tables().transition.tolist()


def searched(
    values: Sequence[float], graph: int, stones: Sequence[int], counts: Sequence[int], steps: int = 1000
) -> tuple[float, int]:
    """The most that can be had and the fewest moves for it, by trying everything."""

    @functools.cache
    def best(left: tuple[int, ...], have: tuple[int, ...], time: int) -> tuple[float, int]:
        pays = sorted((max(0.0, values[stone]) for stone in left), reverse=True)
        found = (sum(pays[: max(0, time)]), 0)
        for place, potion in itertools.product(range(len(left)), range(6)):
            after = MOVES[graph][left[place]][potion]
            if have[potion] and after != left[place] and time:
                rest = (*have[:potion], have[potion] - 1, *have[potion + 1 :])
                moved = tuple(sorted((*left[:place], after, *left[place + 1 :])))
                value, moves = best(moved, rest, time - 1)
                found = max(found, (value, moves - 1))
        return found

    value, moves = best(tuple(sorted(stones)), tuple(counts), steps)
    return value, -moves


def plan(graph: int, stones: Sequence[int], counts: Sequence[int], steps: int | None = None) -> tuple[float, int]:
    plans = best_plans(
        VALUES,
        torch.tensor([graph]),
        torch.tensor([list(stones)]),
        torch.ones(1, len(stones), dtype=torch.bool),
        torch.tensor([list(counts)]),
        None if steps is None else torch.tensor([steps]),
    )
    return float(plans.value), int(plans.moves)


@pytest.mark.parametrize(("stones", "potions"), [(1, 5), (2, 4), (3, 12), (4, 6)])
def test_equals_searching_everything(stones: int, potions: int) -> None:
    generator = torch_generator(0, "plans", stones)
    number = 40
    graph = torch.randint(0, 109, (number,), generator=generator)
    vertices = torch.randint(0, 8, (number, stones), generator=generator)
    here = torch.rand(number, stones, generator=generator) < 0.9
    have = torch.randint(0, 6, (number, potions), generator=generator)
    counts = torch.nn.functional.one_hot(have, 6).sum(1)
    plans = best_plans(VALUES, graph, vertices, here, counts)
    for row in range(number):
        expected = searched(VALUES, int(graph[row]), vertices[row, here[row]].tolist(), counts[row].tolist())
        assert (float(plans.value[row]), int(plans.moves[row])) == expected
    assert torch.equal(plans.worth.sum(1), plans.value)
    assert (plans.worth[~here] == 0).all()
    assert (plans.potion[~here] == -1).all()


@pytest.mark.parametrize("weights", [(2.0, 1.0, -3.0), (0.5, 0.25, 1.0)])
def test_other_rewards(weights: tuple[float, float, float]) -> None:
    generator = torch_generator(1, "plans")
    values = tuple((chemistry_tables().sign.double() @ torch.tensor(weights, dtype=torch.float64)).tolist())
    graph = torch.randint(0, 109, (20,), generator=generator)
    stones = torch.randint(0, 8, (20, 2), generator=generator)
    counts = torch.randint(0, 3, (20, 6), generator=generator)
    plans = best_plans(values, graph, stones, torch.ones(20, 2, dtype=torch.bool), counts)
    for row in range(20):
        expected = searched(values, int(graph[row]), stones[row].tolist(), counts[row].tolist())
        assert float(plans.value[row]) == pytest.approx(expected[0])
        assert int(plans.moves[row]) == expected[1]


def test_few_steps_are_spent_on_what_pays_most() -> None:
    generator = torch_generator(2, "plans")
    for steps in range(7):
        for _ in range(5):
            graph = int(torch.randint(0, 109, (), generator=generator))
            stones = torch.randint(0, 8, (3,), generator=generator).tolist()
            counts = torch.randint(0, 2, (6,), generator=generator).tolist()
            assert plan(graph, stones, counts, steps)[0] == searched(VALUES, graph, stones, counts, steps)[0]
    assert plan(OPEN, [7, 7, 7], [0] * 6, -1) == (0.0, 0)


def test_the_originals_cases_of_the_search_oracle() -> None:
    """Cases of dm_alchemy's tests on the first bottleneck: moves along axis 0 need y = -1 and z = 1."""
    bottleneck = NARROW["bottleneck1"]
    assert graph_number(((-1, 1), (0, 0), (0, 0))) == bottleneck
    # Stones at (-1, -1, -1) and (1, 1, -1), one potion up each axis: the short way to 15 leaves nothing for the other.
    assert plan(bottleneck, [0, 3], [0, 1, 0, 1, 0, 1]) == (16.0, 3)
    # Of equals the one with fewer moves: the stone at (-1, -1, 1) needs one potion to pay 1.
    assert plan(bottleneck, [0, 4], [1, 1, 0, 0, 0, 1]) == (1.0, 1)


def test_nothing_to_do() -> None:
    assert plan(OPEN, [7, 6, 0], [0] * 6) == (16.0, 0)
    none = torch.zeros(0, dtype=torch.int64)
    assert len(best_plans(VALUES, none, none.view(0, 3), none.view(0, 3) > 0, none.view(0, 6)).value) == 0


def test_first_potions_lead_to_the_value() -> None:
    """Following the first potion of a plan, and planning anew, reaches what was promised in as many moves."""
    generator = torch_generator(3, "plans")
    number = 200
    graph = torch.randint(0, 109, (number,), generator=generator)
    stones = torch.randint(0, 8, (number, 3), generator=generator)
    counts = torch.randint(0, 4, (number, 6), generator=generator)
    here = torch.ones(number, 3, dtype=torch.bool)
    plans = best_plans(VALUES, graph, stones, here, counts)
    value, moves = plans.value, plans.moves
    row = torch.arange(number)
    for _ in range(int(moves.max())):
        goes = (plans.potion >= 0).any(1)
        slot = (plans.potion >= 0).int().argmax(1)
        potion = plans.potion[row, slot].clamp(min=0)
        after = chemistry_tables().transition[graph, stones[row, slot], potion]
        stones = stones.index_put((row[goes], slot[goes]), after[goes])
        counts = counts.index_put((row[goes], potion[goes]), counts[row[goes], potion[goes]] - 1)
        assert (counts >= 0).all()
        plans = best_plans(VALUES, graph, stones, here, counts)
        moves = moves - goes.long()
        assert torch.equal(plans.value, value)
        assert torch.equal(plans.moves, moves)
    assert (plans.potion == -1).all()


def test_few_options_are_left() -> None:
    options = options_of(VALUES)
    # Five that pay or stay, and leaving the stone alone.
    assert options.usage.shape == (109, 9, 6)
    assert ((options.value > -torch.inf).sum(2)[:, :8] >= 2).all()


def test_many_potions_are_as_good_as_enough() -> None:
    many = [10**6] * 6
    assert plan(OPEN, [0, 0, 0], many) == (45.0, 9)
    assert pack(torch.tensor([10**6, 0, 0, 0, 0, 0])) == MOST
