"""Tasks: the original's published values, closed forms, singular scenes, and batches that do not matter."""

from __future__ import annotations

import json
import math
import pickle

import pytest
import torch
from sklearn.metrics import davies_bouldin_score

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError, DataError
from percepts.data.distributions import Continuous, Discrete
from percepts.envs.spriteworld.state import DEFAULTS, FACTORS, Sprites
from percepts.envs.spriteworld.tasks import (
    Clustering,
    ClusteringError,
    FindGoalPosition,
    Judgement,
    MetaAggregated,
    NoReward,
    Task,
    davies_bouldin,
)

RED, BLUE, GREEN = Continuous("c0", 0.9, 1.0), Continuous("c0", 0.55, 0.65), Continuous("c0", 0.27, 0.37)


def sprites(*points: tuple[float, float], hues: tuple[float, ...] | None = None) -> Sprites:
    """One arena with sprites at these points."""
    factors = torch.tensor([list(DEFAULTS.values())] * len(points), dtype=torch.float64).reshape(1, -1, 10)
    for number, (x, y) in enumerate(points):
        factors[0, number, :2] = torch.tensor([x, y], dtype=torch.float64)
        if hues is not None:
            factors[0, number, FACTORS.index("c0")] = hues[number]
    return Sprites.of(factors, torch.ones(1, len(points), dtype=torch.bool))


def crowd(count: int, most: int = 7, seed: int = 0) -> Sprites:
    """Many arenas with sprites anywhere, of any hue, some absent, absent ones full of NaN."""
    generator = torch.Generator().manual_seed(seed)
    factors = torch.rand(count, most, 10, dtype=torch.float64, generator=generator)
    factors[..., FACTORS.index("shape")] = 2.0
    present = torch.rand(count, most, generator=generator) < 0.8
    made = Sprites.of(factors, present)
    made.position[~present] = torch.nan
    return made


def answer(task: Task, state: Sprites) -> tuple[float, bool]:
    judgement = task.judge(state)
    return float(judgement.reward[0]), bool(judgement.success[0])


@pytest.mark.parametrize(
    ("points", "reward", "success"),
    [
        ([(0.0, 0.0)], -30.4, False),
        ([(0.4, 0.6)], -2.1, False),
        ([(0.43, 0.56)], 0.4, True),
        ([(0.48, 0.52), (0.4, 0.6)], 1.5, False),
        ([(0.48, 0.52), (0.5, 0.5)], 8.6, True),
    ],
)
def test_goal_rewards_of_the_original(points: list[tuple[float, float]], reward: float, success: bool) -> None:
    found = answer(FindGoalPosition(terminate_distance=0.1), sprites(*points))
    assert found == (pytest.approx(reward, abs=0.05), success)


def test_goal_options() -> None:
    near, far = sprites((0.5, 0.52)), sprites((0.9, 0.5))
    assert answer(FindGoalPosition(terminate_bonus=7.0), near) == (pytest.approx(50 * 0.03 + 7), True)
    assert answer(FindGoalPosition(terminate_bonus=7.0), far) == (pytest.approx(50 * -0.35), False)
    assert answer(FindGoalPosition(sparse=True), near) == (pytest.approx(1.5), True)
    assert answer(FindGoalPosition(sparse=True, terminate_bonus=7.0), far) == (0.0, False)
    assert answer(FindGoalPosition(multiplier=0.0, terminate_bonus=1.0), near) == (1.0, True)
    assert answer(FindGoalPosition(multiplier=0.0, terminate_bonus=1.0), far) == (0.0, False)
    edge = FindGoalPosition(goal=(0.0, 0.0), weights=(1.0, 0.0), terminate_distance=0.15, multiplier=30.0)
    assert answer(edge, sprites((0.1, 0.9))) == (pytest.approx(30 * 0.05), True)
    weighted = FindGoalPosition(goal=(0.0, 0.0), weights=(4.0, 0.25), multiplier=1.0)
    assert answer(weighted, sprites((0.3, 0.4)))[0] == pytest.approx(0.05 - math.sqrt(4 * 0.09 + 0.25 * 0.16))


def test_the_terminate_distance_itself_is_near_enough() -> None:
    task = FindGoalPosition(goal=(0.0, 0.0), terminate_distance=0.25)
    assert answer(task, sprites((0.25, 0.0))) == (0.0, True)
    assert answer(task, sprites((math.nextafter(0.25, 1), 0.0)))[1] is False


def test_only_sprites_that_pass_the_filter_count() -> None:
    state = sprites((0.5, 0.5), (0.0, 0.0), hues=(0.95, 0.6))
    assert answer(FindGoalPosition(filter=RED), state) == (pytest.approx(2.5), True)
    assert answer(FindGoalPosition(filter=BLUE), state)[1] is False
    left = FindGoalPosition(filter=Continuous("x", 0.0, 0.2))
    assert answer(left, state)[0] == pytest.approx(50 * (0.05 - math.sqrt(0.5)))


def test_one_of_several_can_be_enough() -> None:
    state = sprites((0.5, 0.5), (0.0, 0.0))
    assert answer(FindGoalPosition(), state)[1] is False
    assert answer(FindGoalPosition(reach="any"), state)[1] is True
    assert answer(FindGoalPosition(reach="any"), sprites((0.1, 0.1), (0.0, 0.0)))[1] is False


def test_no_sprite_that_passes() -> None:
    state = sprites((0.5, 0.5), hues=(0.1,))
    judgement = FindGoalPosition(filter=RED, terminate_bonus=3.0).judge(state)
    assert (float(judgement.reward), bool(judgement.success), bool(judgement.judged)) == (0.0, True, False)
    original = FindGoalPosition(filter=RED, terminate_bonus=3.0, compat=True).judge(state)
    assert math.isnan(float(original.reward))
    assert bool(original.success)


def test_filters_ask_the_stored_value() -> None:
    almost = 0.9999999999
    assert answer(FindGoalPosition(filter=RED), sprites((0.0, 0.0), hues=(almost,)))[1] is False
    rounded = float(torch.tensor(almost, dtype=torch.float32))
    assert rounded == 1.0
    judgement = FindGoalPosition(filter=RED).judge(sprites((0.0, 0.0), hues=(rounded,)))
    assert not bool(judgement.judged)


def test_single_precision_factors_are_assigned_as_double_ones() -> None:
    state = crowd(200, seed=3)
    single = Sprites.of(state.factors.float().double(), state.present)
    task = Clustering(clusters=(Continuous("c0", 0.0, 0.5), Continuous("c0", 0.5, 1.0)))
    assert torch.equal(task.members(state), task.members(single))
    one, other = task.judge(state), task.judge(single)
    assert torch.equal(one.applies, other.applies)
    torch.testing.assert_close(one.reward, other.reward, rtol=1e-4, atol=1e-4)


PAIRS = (0.6, 0.6, 0.3, 0.3)
TWO = (BLUE, GREEN)


@pytest.mark.parametrize(
    ("points", "reward", "success"),
    [
        ([(0.2, 0.2), (0.21, 0.21), (0.8, 0.8), (0.81, 0.81)], 287.5, True),
        ([(0.2, 0.2), (0.25, 0.25), (0.8, 0.8), (0.81, 0.81)], 84.2, True),
        ([(0.2, 0.2), (0.53, 0.53), (0.8, 0.8), (0.81, 0.81)], 0.4, True),
        ([(0.2, 0.2), (0.53, 0.53), (0.8, 0.8), (0.9, 0.9)], -1.2, False),
    ],
)
def test_clustering_rewards_of_the_original(points: list[tuple[float, float]], reward: float, success: bool) -> None:
    for compat in (False, True):
        found = answer(Clustering(clusters=TWO, compat=compat), sprites(*points, hues=PAIRS))
        assert found == (pytest.approx(reward, abs=0.05), success)


@pytest.mark.parametrize(
    ("settings", "reward"),
    [
        ({}, 17.5),
        ({"termination_threshold": 5.0}, 5.0),
        ({"termination_threshold": 10.0}, -20.0),
        ({"reward_range": 5.0}, 8.75),
        ({"terminate_bonus": 5.0}, 22.5),
        ({"sparse": True}, 17.5),
        ({"sparse": True, "termination_threshold": 10.0, "terminate_bonus": 5.0}, 0.0),
        ({"reward_bounds": (-12.5, 10.0), "terminate_bonus": 5.0}, 15.0),
        ({"reward_bounds": (-12.5, 10.0), "termination_threshold": 10.0}, -12.5),
    ],
)
def test_clustering_options(settings: dict, reward: float) -> None:
    state = sprites((0.2, 0.2), (0.3, 0.3), (0.8, 0.9), (0.9, 0.8), hues=PAIRS)
    assert answer(Clustering(clusters=TWO, **settings), state)[0] == pytest.approx(reward, abs=1e-6)


def test_davies_bouldin_against_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(1)
    tried = 0
    for clusters in (2, 3, 5):
        position = torch.rand(150, 9, 2, dtype=torch.float64, generator=generator)
        label = torch.randint(0, clusters + 1, (150, 9), generator=generator)  # the last one belongs to no cluster
        counts = torch.stack([(label == number).sum(1) for number in range(clusters)])
        proper = ((counts > 0).sum(0) >= 2) & ((counts > 0).sum(0) < counts.sum(0))
        position, label = position[proper], label[proper]
        members = torch.stack([label == number for number in range(clusters)], 1)
        for compat in (False, True):
            found = davies_bouldin(position, members, compat)
            for row in range(len(label)):
                kept = label[row] < clusters
                names = label[row][kept]
                expected = davies_bouldin_score(position[row][kept].numpy(), names.numpy())
                # scikit-learn's distance of a point from itself, the spread of a cluster of one, is up to 1e-8.
                tolerance = 1e-9 if names.bincount().ne(1).all() else 1e-6
                assert float(found[row]) == pytest.approx(expected, rel=tolerance, abs=tolerance)
                tried += tolerance == 1e-9
    assert tried > 300


def test_clustering_ignores_strangers_and_prefers_the_first_cluster() -> None:
    points = ((0.2, 0.2), (0.3, 0.3), (0.8, 0.9), (0.9, 0.8))
    plain = answer(Clustering(clusters=TWO), sprites(*points, hues=PAIRS))
    assert answer(Clustering(clusters=TWO), sprites(*points, (0.5, 0.5), hues=(*PAIRS, 0.95))) == plain
    assert answer(Clustering(clusters=(*TWO, Continuous("c0", 0.0, 1.0))), sprites(*points, hues=PAIRS)) == plain


STACKED = ((0.2, 0.2), (0.2, 0.2), (0.8, 0.8), (0.8, 0.8))
CORNER = ((0.0, 0.0),) * 4
CROSSED = ((0.4, 0.5), (0.6, 0.5), (0.5, 0.4), (0.5, 0.6))


def test_singular_scenes_are_defined() -> None:
    task = Clustering(clusters=TWO)
    reward, success = answer(task, sprites(*STACKED, hues=PAIRS))
    assert success
    assert 1e3 < reward < math.inf
    bounded = Clustering(clusters=TWO, reward_bounds=(-12.5, 50.0))
    assert answer(bounded, sprites(*STACKED, hues=PAIRS)) == (50.0, True)
    reward, success = answer(task, sprites(*CORNER, hues=PAIRS))
    assert not success
    assert -12.5 <= reward < 0
    reward, success = answer(task, sprites(*CROSSED, hues=PAIRS))
    assert not success
    assert reward == pytest.approx(-12.5, abs=1e-3)


@pytest.mark.parametrize("points", [STACKED, CORNER, CROSSED])
def test_singular_scenes_of_the_original(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ZeroDivisionError):
        Clustering(clusters=TWO, compat=True).judge(sprites(*points, hues=PAIRS))


@pytest.mark.parametrize(
    ("points", "hues"),
    [
        (((0.2, 0.2), (0.3, 0.3)), (0.6, 0.6)),
        (((0.2, 0.2), (0.3, 0.3)), (0.6, 0.3)),
        (((0.2, 0.2),), (0.1,)),
        ((), ()),
    ],
)
def test_too_few_for_a_clustering(points: tuple[tuple[float, float], ...], hues: tuple[float, ...]) -> None:
    judgement = Clustering(clusters=TWO, terminate_bonus=4.0).judge(sprites(*points, hues=hues))
    assert (float(judgement.reward), bool(judgement.success), bool(judgement.judged)) == (0.0, True, False)
    with pytest.raises(ValueError, match="in arena 0"):
        Clustering(clusters=TWO, compat=True).judge(sprites(*points, hues=hues))
    with pytest.raises(ClusteringError):
        Clustering(clusters=TWO, compat=True).judge(sprites(*points, hues=hues))


def test_three_clusters_of_which_two_share_a_centroid() -> None:
    three, hues = (BLUE, GREEN, RED), (0.6, 0.6, 0.3, 0.3, 0.95, 0.95)
    state = sprites(*CROSSED, (0.1, 0.1), (0.12, 0.1), hues=hues)
    label = [0, 0, 1, 1, 2, 2]
    index = davies_bouldin_score(state.position[0].numpy(), label)
    assert answer(Clustering(clusters=three, compat=True), state)[0] == pytest.approx((1 / index - 2.5) * 5)
    assert answer(Clustering(clusters=three), state)[0] == pytest.approx(-12.5, abs=1e-3)  # nothing is hidden


def sorting(**settings) -> MetaAggregated:
    goals = {(0.75, 0.75): RED, (0.75, 0.25): BLUE, (0.25, 0.75): GREEN}
    return MetaAggregated(
        subtasks=tuple(FindGoalPosition(filter=kind, goal=goal, multiplier=20.0) for goal, kind in goals.items()),
        **settings,
    )


@pytest.mark.parametrize(
    "settings",
    [{}, {"sparse": True}, {"reach": "any", "terminate_bonus": 2.0}, {"weights": (1.0, 0.0), "compat": True},
     {"weights": [0.5, 1.0]}],
)  # fmt: skip
def test_goals_judged_together_are_those_judged_alone(settings: dict) -> None:
    """To the bit, whether they are alike but for filter and goal, or one of them is of another kind."""
    goals = [
        FindGoalPosition(filter=Continuous("c0", low, low + 0.4), goal=goal, terminate_distance=0.4, **settings)
        for low, goal in ((0.0, (0.2, 0.7)), (0.3, (0.5, 0.1)), (0.6, (0.9, 0.9)))
    ]
    state = crowd(200)
    for subtasks in (goals, [*goals, FindGoalPosition(terminate_distance=0.5)], [*goals, NoReward()]):
        alone = [task.judge(state) for task in subtasks]
        for aggregator in ("max", "sum"):
            found = MetaAggregated(subtasks=tuple(subtasks), reward_aggregator=aggregator, compat=True).judge(state)
            rewards = torch.stack([torch.where(one.judged, one.reward, 0.0) for one in alone], -1)
            some = torch.stack([one.judged for one in alone], -1)
            if aggregator == "sum":
                total = torch.zeros_like(found.reward)
                for column in rewards.unbind(-1):
                    total = total + column
                assert torch.equal(found.reward, total)
            else:
                best = torch.where(some, rewards, -torch.inf).amax(-1)
                assert torch.equal(found.reward[some.any(-1)], best[some.any(-1)])
            assert torch.equal(found.success, torch.stack([one.success for one in alone]).all(0))
            assert torch.equal(found.judged, some.any(-1))
    assert 0 < int(alone[0].success.sum()) < 200


def test_absent_kinds_drop_out() -> None:
    state = sprites((0.75, 0.75), (0.75, 0.3), hues=(0.95, 0.6))
    single = [20 * 0.05, 0.0]
    for name, expected in (("sum", sum(single)), ("max", 1.0), ("min", 0.0), ("mean", 0.5)):
        reward, success = answer(sorting(reward_aggregator=name, terminate_bonus=2.0), state)
        assert (reward, success) == (pytest.approx(expected + 2), True)
    far = sprites((0.75, 0.75), (0.75, 0.4), hues=(0.95, 0.6))
    assert answer(sorting(terminate_bonus=2.0), far) == (pytest.approx(20 * 0.05 - 20 * 0.1), False)


def test_any_counts_only_what_applies() -> None:
    state = sprites((0.1, 0.1), hues=(0.95,))
    assert answer(sorting(termination_criterion="any"), state)[1] is False
    assert answer(sorting(termination_criterion="any", compat=True), state)[1] is True
    there = sprites((0.75, 0.75), (0.1, 0.1), hues=(0.95, 0.6))
    assert answer(sorting(termination_criterion="any"), there)[1] is True


@pytest.mark.parametrize("name", ["sum", "max", "min", "mean"])
def test_no_subtask_applies(name: str) -> None:
    state = sprites((0.1, 0.1), hues=(0.1,))
    judgement = sorting(reward_aggregator=name, terminate_bonus=2.0).judge(state)
    assert (float(judgement.reward), bool(judgement.success), bool(judgement.judged)) == (0.0, True, False)
    original = float(sorting(reward_aggregator=name, compat=True).judge(state).reward)
    assert original == 0.0 if name == "sum" else math.isnan(original)


def test_tasks_nest_and_users_bring_their_own() -> None:
    class Rightmost(Task):
        def judge(self, state: Sprites) -> Judgement:
            x = state.position[..., 0].amax(-1)
            return Judgement(x, x > 0.9)

    task = MetaAggregated(subtasks=(MetaAggregated(subtasks=(Rightmost(), NoReward())), FindGoalPosition()))
    state = sprites((0.95, 0.5))
    assert answer(task, state) == (pytest.approx(0.95 + 50 * (0.05 - 0.45)), False)


def test_no_reward() -> None:
    judgement = NoReward().judge(crowd(5))
    assert judgement.reward.tolist() == [0.0] * 5
    assert not judgement.success.any()
    assert judgement.judged.all()


ALL = [
    FindGoalPosition(filter=Continuous("c0", 0.0, 0.6), weights=(1.0, 0.7)),
    Clustering(clusters=(Continuous("c0", 0.0, 0.3), Continuous("c0", 0.3, 0.7), Continuous("c0", 0.6, 1.0))),
    sorting(reward_aggregator="mean"),
    NoReward(),
]


@pytest.mark.parametrize("task", ALL, ids=lambda task: type(task).__name__)
def test_an_arena_does_not_depend_on_its_neighbours(task: Task) -> None:
    state = crowd(64, seed=2)
    whole = task.judge(state)
    assert torch.isfinite(whole.reward).all()  # absent sprites' numbers do not leak
    for size in (1, 7):
        parts = [task.judge(state.rows(slice(start, start + size))) for start in range(0, 64, size)]
        assert torch.equal(torch.cat([part.reward for part in parts]), whole.reward)
        assert torch.equal(torch.cat([part.success for part in parts]), whole.success)


@pytest.mark.parametrize("task", ALL, ids=lambda task: type(task).__name__)
def test_the_order_of_sprites_and_absent_ones_do_not_matter(task: Task) -> None:
    state = crowd(50, seed=4)
    order = torch.tensor([3, 6, 0, 1, 5, 2, 4])
    turned = state.factors[:, order].nan_to_num()
    other = task.judge(Sprites.of(turned, state.present[:, order]))
    torch.testing.assert_close(other.reward, task.judge(state).reward)


@pytest.mark.parametrize("task", ALL, ids=lambda task: type(task).__name__)
def test_tasks_are_values(task: Task) -> None:
    assert from_json(json.loads(json.dumps(to_json(task))), Task) == task
    assert pickle.loads(pickle.dumps(task)) == task
    assert task.judge(sprites()).judged.shape == (1,)  # no sprites at all


def test_bad_settings() -> None:
    with pytest.raises(ConfigError, match="did you mean 'scale'"):
        FindGoalPosition(filter=Discrete("scales", (1.0,)))
    with pytest.raises(ConfigError, match="terminate_distance"):
        FindGoalPosition(terminate_distance=math.nan)
    with pytest.raises(ConfigError, match="multiplier"):
        FindGoalPosition(multiplier=-1.0)
    with pytest.raises(ConfigError, match="goal"):
        FindGoalPosition(goal=(0.5, math.inf))
    with pytest.raises(ConfigError, match="1 clusters"):
        Clustering(clusters=(RED,))
    with pytest.raises(ConfigError, match="cluster 1"):
        Clustering(clusters=(RED, Continuous("hue", 0.0, 1.0)))
    with pytest.raises(ConfigError, match="cluster 2 equals cluster 0"):
        Clustering(clusters=(*TWO, TWO[0]))
    with pytest.raises(ConfigError, match="reward_bounds"):
        Clustering(clusters=TWO, reward_bounds=(1.0, 0.0))
    with pytest.raises(ConfigError, match="no subtasks"):
        MetaAggregated(subtasks=())
    with pytest.raises(ConfigError, match="reward_aggregator"):
        MetaAggregated(subtasks=(NoReward(),), reward_aggregator="median")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="only the base"):
        from_json({"type": "Task"}, Task)
    assert issubclass(ClusteringError, DataError)
