"""Policies that know or ignore the rules, and how episodes are counted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from percepts.agents.agent import Agent
from percepts.agents.spriteworld_policies import (
    Episodes,
    GreedyOracle,
    RandomObjectPolicy,
    RandomPolicy,
    object_clicks,
    run_episodes,
    sprites_of,
    success_rate,
    truth,
    wilson_interval,
)
from percepts.core.errors import CapabilityError, ConfigError
from percepts.envs.spriteworld.actions import ClickGrid, Embodied
from percepts.envs.spriteworld.arena import Arena
from percepts.envs.spriteworld.configs import COBRA, cobra_task
from percepts.envs.streams import Streams

TASKS = [name for name in COBRA if name != "exploration"]


def arena_of(task: str = "goal-finding-new-position", mode: str = "train", **settings) -> Arena:
    return replace(cobra_task(task, mode).arena, **settings).build()


@pytest.mark.parametrize("mode", ["train", "test"])
@pytest.mark.parametrize("task", TASKS)
def test_the_oracle_solves_every_task_of_cobra(task: str, mode: str):
    """As it does in the original package, with 1000 uniform actions or 100 clicks into sprites (spriteworld.md 6)."""
    arena = arena_of(task, mode)
    uniform = success_rate(arena, GreedyOracle(arena, 1000), 40, seed=0)
    objects = success_rate(arena, GreedyOracle(arena, 100, "objects"), 40, seed=0)
    assert uniform.success == objects.success == 1.0
    assert objects.length < uniform.length < 10


def test_the_oracle_solves_tasks_in_spite_of_noise():
    for task in ("goal-finding-more-targets", "clustering"):
        arena = cobra_task(task, "test", noise=0.05).arena.build()
        assert success_rate(arena, GreedyOracle(arena, 300, "objects"), 60, seed=0).success >= 0.95


@pytest.mark.parametrize(("task", "most"), [("goal-finding-new-position", 0.1), ("sorting", 0.02)])
def test_random_actions_hardly_ever_solve_a_task(task: str, most: float):
    arena = arena_of(task)
    score = success_rate(arena, RandomPolicy(arena), 200, seed=0)
    assert score.success <= most
    assert score.solved_at_start <= score.success
    assert score.length > 18


def test_clicks_into_objects_hit_them():
    arena = cobra_task("exploration").arena.build()
    state = arena.reset(range(200))
    for policy, least, most in ((RandomObjectPolicy(arena), 0.97, 1.0), (RandomPolicy(arena), 0.01, 0.12)):
        action, _ = policy.act(truth(state.sprites))
        _, outcome = arena.step(state, action)
        assert least <= (outcome.hit >= 0).double().mean() <= most


def test_clicks_stay_in_the_arena_where_sprites_stick_out():
    arena = cobra_task("exploration").arena.build()
    sprites = arena.reset(range(100)).sprites
    edge = replace(sprites, position=sprites.position.round())
    clicks, _ = object_clicks(edge, Streams.of(range(100)))
    assert (clicks >= 0).all()
    assert (clicks <= 1).all()
    # A quarter of every sprite in a corner is inside; the clicks beside it land on the border.
    assert (edge.topmost(clicks[:, None, :2]) >= 0).double().mean() > 0.15


@pytest.mark.parametrize(
    "make",
    [
        RandomPolicy,
        RandomObjectPolicy,
        lambda arena: GreedyOracle(arena, 30),
        lambda arena: GreedyOracle(arena, 30, "objects"),
    ],
)
def test_an_arena_does_not_depend_on_the_others(make):
    arena = arena_of(max_episode_length=6)
    policy = make(arena)
    assert isinstance(policy, Agent)
    whole, one = (run_episodes(arena, policy, count, seed=3) for count in (9, 4))
    for name in ("success", "length", "total", "solved_at_start"):
        assert torch.equal(getattr(whole, name)[:4], getattr(one, name)), name
    other = run_episodes(arena, make(arena), 9, seed=4)
    assert not torch.equal(other.total, whole.total)


def test_the_oracle_takes_the_best_candidate():
    """Of the very actions that it tries, none is better than the one it takes."""
    arena = arena_of("goal-finding-new-shape")
    state = arena.reset(range(5))
    oracle = GreedyOracle(arena, 64, "objects")
    action, _ = oracle.act(truth(state.sprites))
    _, reward, _ = arena.simulate(state.sprites, action)
    streams = oracle.streams(truth(state.sprites))
    _, streams = streams.uniform(64)
    forked, _ = streams.fork(64)
    many = state.sprites.rows(torch.arange(5).repeat_interleave(64))
    tried, _ = object_clicks(many, forked)
    _, rewards, _ = arena.simulate(many, tried)
    torch.testing.assert_close(reward, rewards.view(5, 64).amax(1))


def test_ties_are_broken_at_random():
    """In the exploration nothing is rewarded, so the oracle acts at random."""
    arena = cobra_task("exploration").arena.build()
    action, _ = GreedyOracle(arena, 50).act(truth(arena.reset(range(400)).sprites))
    assert ((action.mean(0) - 0.5).abs() < 0.06).all()


@dataclass(frozen=True)
class Still:
    """Does nothing, and counts; its memory is not a batch of anything."""

    def act(self, observation, state=None):
        state = {"calls": 0} if state is None else state
        return torch.zeros(len(observation["present"]), 4, dtype=torch.float64), {"calls": state["calls"] + 1}


def test_episodes_are_counted_to_their_ends_whatever_the_memory_is():
    arena = arena_of(max_episode_length=5)
    found = run_episodes(arena, Still(), 300, seed=0)
    # Nothing moves: whoever has not begun in the goal runs out of time.
    assert torch.equal(found.success, found.solved_at_start)
    assert (found.length[found.success] == 1).all()
    assert (found.length[~found.success] == 5).all()
    start = arena.reset(range(1)).sprites  # one scene by hand
    _, reward, _ = arena.simulate(start, torch.zeros(1, 4, dtype=torch.float64))
    assert float(reward) < 0
    assert 0.005 < found.success.double().mean() < 0.09


def test_other_actions_than_clicks():
    for actions in (Embodied(), ClickGrid(columns=4, rows=4, directions=4)):
        arena = arena_of(actions=actions, max_episode_length=3)
        assert 1 <= success_rate(arena, RandomPolicy(arena), 20, seed=0).length <= 3
        assert success_rate(arena, GreedyOracle(arena, 20), 5, seed=0).episodes == 5
        with pytest.raises(ConfigError, match="clicks into objects"):
            GreedyOracle(arena, 20, "objects")


def test_a_score_is_means_and_intervals():
    found = Episodes(
        torch.tensor([True, False, True, True]),
        torch.tensor([1, 5, 2, 4]),
        torch.tensor([1.0, -3.0, 2.0, 4.0], dtype=torch.float64),
        torch.tensor([True, False, False, False]),
    )
    score = found.score()
    assert (score.success, score.length, score.total, score.solved_at_start) == (0.75, 3.0, 1.0, 0.25)
    half = 1.959964 * math.sqrt((0 + 16 + 1 + 9) / 3) / 2
    assert score.total_interval == pytest.approx((1 - half, 1 + half), rel=1e-6)
    assert score.success_interval[0] < 0.75 < score.success_interval[1]


@pytest.mark.parametrize(
    ("successes", "episodes", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilsons_interval_has_its_published_values(successes: int, episodes: int, low: float, high: float):
    """The last row is Newcombe's (1998, Statistics in Medicine 17, table I) example."""
    assert wilson_interval(successes, episodes) == pytest.approx((low, high), abs=5e-5)


def test_a_single_episode_has_an_interval_of_success_only():
    score = Episodes(torch.tensor([True]), torch.tensor([3]), torch.ones(1, dtype=torch.float64),
                     torch.tensor([False])).score()  # fmt: skip
    assert score.length_interval == (3.0, 3.0)
    assert score.success_interval[0] < 0.3


def test_the_truth_is_read_back_from_an_observation():
    sprites = arena_of("clustering").reset(range(3)).sprites
    again = sprites_of(truth(sprites))
    assert torch.equal(again.factors, sprites.factors)
    assert torch.equal(again.body, sprites.body)


def test_bad_input_is_named():
    arena = arena_of()
    with pytest.raises(ConfigError, match="candidates = 0"):
        GreedyOracle(arena, 0)
    with pytest.raises(ConfigError, match="episodes = 0"):
        success_rate(arena, RandomPolicy(arena), 0, seed=0)
    pictures: dict[str, Tensor] = {"image": torch.zeros(1, 64, 64, 3)}
    with pytest.raises(CapabilityError, match="an observation of image does not tell the truth"):
        GreedyOracle(arena).act(pictures)
