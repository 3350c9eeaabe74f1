"""The original's rewards: the facts that its own tests state, scikit-learn's rounding, not-a-number and errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.metrics import davies_bouldin_score

from percepts.core.errors import ConfigError
from percepts.data.distributions import Continuous
from percepts.envs.spriteworld.compat_sampling import CompatOptions
from percepts.envs.spriteworld.compat_sprite import CompatDataError, CompatSprite, CompatZeroDivisionError
from percepts.envs.spriteworld.compat_tasks import davies_bouldin, judge
from percepts.envs.spriteworld.tasks import Clustering, FindGoalPosition, MetaAggregated, NoReward, Task

RED, BLUE, GREEN = (Continuous("c0", low, low + 0.1) for low in (0.0, 0.5, 0.8))
PAIR = ((0.2, 0.2), (0.3, 0.3)), ((0.8, 0.9), (0.9, 0.8))


def scene(*groups, hues=(0.05, 0.55, 0.85)) -> list[CompatSprite]:
    """Sprites at these places, a hue for each group."""
    return [CompatSprite({"x": x, "y": y, "c0": hue}) for hue, group in zip(hues, groups) for x, y in group]


def clustering(**settings) -> Clustering:
    return Clustering(clusters=(RED, BLUE, GREEN), **settings)


@pytest.mark.parametrize(
    ("places", "reward", "success"),
    [
        ([(0.0, 0.0)], -30.4, False),
        ([(0.4, 0.6)], -2.1, False),
        ([(0.43, 0.56)], 0.4, True),
        ([(0.48, 0.52), (0.4, 0.6)], 1.5, False),
        ([(0.48, 0.52), (0.5, 0.5)], 8.6, True),
    ],
)
def test_goals_of_the_originals_tests(places, reward, success):
    task = FindGoalPosition(terminate_distance=0.1)
    assert judge(task, scene(places)) == (pytest.approx(reward, abs=0.05), success)
    sparse = FindGoalPosition(terminate_distance=0.1, sparse=True, terminate_bonus=5.0)
    assert judge(sparse, scene(places))[0] == pytest.approx(reward + 5 if success else 0.0, abs=0.05)


def test_a_goal_with_weights_is_a_line():
    task = FindGoalPosition(goal=(0.0, 0.5), weights=(1.0, 0.0), terminate_distance=0.15, multiplier=30.0)
    assert judge(task, scene([(0.1, 0.9)])) == (pytest.approx(1.5), True)


def test_a_filter_that_nothing_passes_gives_not_a_number_and_success():
    reward, success = judge(FindGoalPosition(filter=BLUE), scene([(0.1, 0.1)]))
    assert math.isnan(reward)
    assert success is True


@pytest.mark.parametrize(
    ("groups", "reward", "success"),
    [
        (([(0.2, 0.2), (0.21, 0.21)], [(0.8, 0.8), (0.81, 0.81)]), 287.5, True),
        (([(0.2, 0.2), (0.25, 0.25)], [(0.8, 0.8), (0.81, 0.81)]), 84.2, True),
        (([(0.2, 0.2), (0.53, 0.53)], [(0.8, 0.8), (0.81, 0.81)]), 0.4, True),
        (([(0.2, 0.2), (0.53, 0.53)], [(0.8, 0.8), (0.9, 0.9)]), -1.2, False),
    ],
)
def test_clusterings_of_the_originals_tests(groups, reward, success):
    assert judge(clustering(), scene(*groups)) == (pytest.approx(reward, abs=0.06), success)


@pytest.mark.parametrize(
    ("settings", "reward", "success"),
    [
        ({}, 17.5, True),
        ({"termination_threshold": 5.0}, 5.0, True),
        ({"termination_threshold": 10.0}, -20.0, False),
        ({"reward_range": 5.0}, 8.8, True),
        ({"terminate_bonus": 5.0}, 22.5, True),
        ({"termination_threshold": 10.0, "terminate_bonus": 5.0, "sparse": True}, 0.0, False),
    ],
)
def test_settings_of_clusterings_of_the_originals_tests(settings, reward, success):
    assert judge(clustering(**settings), scene(*PAIR)) == (pytest.approx(reward, abs=0.06), success)


def test_sprites_of_no_cluster_are_ignored():
    assert judge(clustering(), scene(*PAIR, [(0.1, 0.9)], hues=(0.05, 0.55, 0.3))) == judge(clustering(), scene(*PAIR))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_index_has_scikit_learns_rounding(dtype):
    rng = np.random.RandomState(0)
    for case in range(200):
        spread = (1.0, 1e-3, 1e-5)[case % 3]
        clusters = rng.permutation(np.repeat([0, 1, 2], (3, 2, 1 + case % 3)))
        centres = rng.uniform(size=(3, 2))[clusters]
        places = (centres + spread * rng.normal(size=centres.shape)).astype(dtype)
        wanted = davies_bouldin_score(places, clusters)
        # In float32 one rounding more or less would show as 1e-7.
        assert davies_bouldin(places, clusters) == pytest.approx(wanted, rel=1e-9 if spread > 1e-4 else 1e-6)


@pytest.mark.parametrize(
    "groups",
    [
        ([(0.2, 0.2), (0.2, 0.2)], [(0.8, 0.8), (0.8, 0.8)]),
        ([(0.0, 0.0), (0.0, 0.0)], [(0.0, 0.0), (0.0, 0.0)]),
        ([(0.2, 0.2), (0.4, 0.4)], [(0.2, 0.4), (0.4, 0.2)]),
    ],
)
def test_clusters_without_extent_or_distance_are_a_division_by_zero(groups):
    with pytest.raises(CompatZeroDivisionError):
        judge(clustering(), scene(*groups))
    assert issubclass(CompatZeroDivisionError, ZeroDivisionError)


@pytest.mark.parametrize("groups", [([(0.2, 0.2), (0.3, 0.2)],), ([(0.2, 0.2)], [(0.3, 0.2)]), ()])
def test_one_cluster_or_as_many_as_sprites_are_a_value_error(groups):
    with pytest.raises(CompatDataError):
        judge(clustering(), scene(*groups))
    assert issubclass(CompatDataError, ValueError)


def test_aggregates_leave_out_what_has_nothing_to_judge():
    goals = zip((RED, BLUE, GREEN), ((0.5, 0.5), (0.0, 0.0), (1.0, 1.0)))
    subtasks = tuple(FindGoalPosition(filter=hue, goal=goal) for hue, goal in goals)
    sprites = scene([(0.5, 0.5)], [(0.3, 0.4)])  # rewards 2.5 (done), -22.5, nothing
    for aggregator, reward in (("sum", -20.0), ("max", 2.5), ("min", -22.5), ("mean", -10.0)):
        task = MetaAggregated(subtasks=subtasks, reward_aggregator=aggregator)
        assert judge(task, sprites) == (pytest.approx(reward), False)
    anyone = MetaAggregated(subtasks=subtasks, termination_criterion="any", terminate_bonus=3.0)
    assert judge(anyone, sprites) == (pytest.approx(-17.0), True)


@pytest.mark.filterwarnings("error")
def test_an_aggregate_of_nothing_is_zero_as_a_sum_and_not_a_number_else():
    for aggregator in ("sum", "max", "min", "mean"):
        task = MetaAggregated(subtasks=(FindGoalPosition(filter=BLUE),), reward_aggregator=aggregator)
        reward, success = judge(task, scene([(0.5, 0.5)]))
        assert success
        assert reward == 0.0 if aggregator == "sum" else math.isnan(reward)


def test_the_precision_of_numpy_decides_at_the_bounds_of_a_filter():
    sprites = [CompatSprite({"c0": np.float32(0.9)})]
    task = FindGoalPosition(filter=Continuous("c0", 0.9, 1.0))
    assert judge(task, sprites) == (pytest.approx(2.5), True)
    assert math.isnan(judge(task, sprites, CompatOptions(numpy=1))[0])


def test_without_a_reward_there_is_no_success():
    assert judge(NoReward(), scene([(0.5, 0.5)])) == (0.0, False)


@dataclass(frozen=True, kw_only=True)
class OwnCompatTask(Task):
    def judge(self, sprites):
        raise NotImplementedError


@pytest.mark.parametrize(
    "task", [OwnCompatTask(), FindGoalPosition(reach="any"), clustering(reward_bounds=(-1.0, 1.0))]
)
def test_what_the_original_does_not_have_is_an_error(task):
    with pytest.raises(ConfigError, match="original has no"):
        judge(task, scene([(0.5, 0.5)]))
