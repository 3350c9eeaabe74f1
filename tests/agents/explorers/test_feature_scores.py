"""What is said of episodes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from percepts.agents.explorers.feature_policies import InformationGain, RandomTests
from percepts.agents.explorers.feature_scores import (
    Episodes,
    efficiency_ratio,
    estimate,
    paired_test,
    run_episodes,
    success_curve,
)
from percepts.core.errors import ConfigError, DataError
from percepts.envs.feature_world.worlds import conjunction, single

EPISODES = Episodes(
    tests=torch.tensor([2, 4, 4, 9]),
    decided=torch.tensor([True, True, True, False]),
    success=torch.tensor([True, False, True, False]),
    erred=torch.tensor([False, True, False, False]),
    regret=torch.tensor([0.0, 1.0, 0.5, 0.5], dtype=torch.float64),
)


def test_measures_by_hand() -> None:
    assert EPISODES.tests_taken.mean == 4.75
    assert EPISODES.tests_taken.error == pytest.approx(math.sqrt((2.75**2 + 2 * 0.75**2 + 4.25**2) / 3 / 4))
    assert EPISODES.concluding_accuracy.mean == pytest.approx(2 / 3)
    assert EPISODES.concluding_accuracy.count == 3
    assert EPISODES.mean_regret.mean == 0.5
    assert success_curve(EPISODES, 5).tolist() == [0, 0.25, 0.25, 0.5, 0.5]
    filtered = EPISODES.rows(~EPISODES.erred)
    assert len(filtered) == 3
    assert filtered.concluding_accuracy.mean == 1
    assert efficiency_ratio(filtered, EPISODES) == pytest.approx(5 / 4.75)
    assert math.isnan(estimate(torch.zeros(0)).mean)
    assert math.isnan(estimate(torch.ones(1)).error)


def test_the_budget_bounds_it() -> None:
    world = conjunction(values=5, budget=6).build()
    episodes = run_episodes(world, RandomTests(world), 100, seed=0)
    assert int(episodes.tests.max()) == 6
    assert bool((episodes.tests[~episodes.decided] == 6).all())
    assert 0 < int(episodes.decided.sum()) < 100
    curve = success_curve(episodes, 10)
    assert bool((curve.diff() >= 0).all())
    assert float(curve[-1]) == pytest.approx(float(episodes.success.double().mean()))


def test_the_same_seeds_are_the_same_worlds_and_many_are_like_few() -> None:
    world = single(values=3, budget=100).build()
    many = run_episodes(world, InformationGain(world), 40, seed=3)
    few = run_episodes(world, InformationGain(world), 10, seed=3)
    assert torch.equal(many.tests[:10], few.tests)
    other = run_episodes(world, InformationGain(world), 40, seed=4)
    assert not torch.equal(other.tests, many.tests)
    with pytest.raises(ConfigError, match="episodes"):
        run_episodes(world, InformationGain(world), 0, seed=0)


def test_signs_in_closed_form() -> None:
    # Of five equal differences only all plus and all minus are as far out.
    first, second = torch.full((5,), 3.0), torch.full((5,), 1.0)
    assert paired_test(first, second).p == pytest.approx(2 / 32)
    assert paired_test(first, second, "greater").p == pytest.approx(1 / 32)
    assert paired_test(first, second, "less").p == 1
    assert paired_test(first, second).t == math.inf
    assert paired_test(first, first).p == 1
    assert paired_test(first, first).t == 0
    found = paired_test(torch.tensor([1.0, 2.0, 6.0]), torch.tensor([0.0, 0.0, 0.0]))
    assert found.difference.mean == 3
    assert found.t == pytest.approx(3 / math.sqrt(7 / 3))


def test_chance_is_found_to_be_chance() -> None:
    """p-values of equal agents are spread over the unit interval."""
    generator = torch.Generator().manual_seed(0)
    p = torch.tensor(
        [paired_test(*torch.randn(2, 40, generator=generator), seed=n).p for n in range(60)], dtype=torch.float64
    )
    assert 0.35 < float(p.mean()) < 0.65
    assert int((p < 0.05).sum()) <= 9
    numbers = torch.randn(40, generator=generator)
    assert paired_test(numbers + 1, numbers * 0.5, "greater").p < 0.01


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (torch.ones(3), torch.ones(4)),
        (torch.ones(0), torch.ones(0)),
        (torch.ones(2, 2), torch.ones(2, 2)),
        (torch.tensor([1.0, math.nan]), torch.ones(2)),
    ],
)
def test_bad_pairs(first: torch.Tensor, second: torch.Tensor) -> None:
    with pytest.raises(DataError):
        paired_test(first, second)


class Forgetful:
    """Tests one object after the other, and has a memory that cannot be picked from."""

    def __init__(self, choices: int) -> None:
        self.choices = choices

    def act(self, observation: Any, state: Any = None) -> tuple[Tensor, Any]:
        turn = 0 if state is None else state + 1
        return torch.full((len(observation["left"]),), turn % self.choices), turn


def test_episodes_that_are_over_take_no_more_tests() -> None:
    world = single(values=3, budget=50).build()
    episodes = run_episodes(world, Forgetful(world.choices), 40, seed=0)
    assert episodes.tests.unique().numel() > 1
    alone = [run_episodes(world, Forgetful(world.choices), count, seed=0).tests[-1] for count in (1, 2, 3)]
    assert episodes.tests[:3].tolist() == [int(one) for one in alone]
