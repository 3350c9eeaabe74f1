"""Symbolic agents at the table in 3-D: they score what they score in the symbolic environment."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from percepts.agents.alchemy.bots import RandomHeuristic
from percepts.agents.alchemy.oracle import OracleAgent
from percepts.agents.alchemy.playing import play
from percepts.core.errors import DataError, RunError
from percepts.envs.alchemy.bench import Bench
from percepts.envs.alchemy.cursor import Cursor
from percepts.envs.alchemy.executor import Executor
from percepts.envs.alchemy.hands import Hands
from percepts.envs.alchemy.observations import observe
from percepts.envs.alchemy.table import Table, TableState

SEEDS = range(3)


def told(state: TableState) -> dict[str, Tensor]:
    chemistry = [getattr(state.chemistry, name) for name in ("graph", "potion_map", "stone_map", "rotation")]
    return {"symbolic": observe(state), "chemistry": torch.stack(chemistry, 1)}


@pytest.mark.parametrize(
    ("kind", "interface", "seeding"),
    [
        (OracleAgent, Cursor, "fast"),
        (OracleAgent, Cursor, "compat"),
        (OracleAgent, Hands, "compat"),
        (RandomHeuristic, Hands, "fast"),
    ],
)
def test_scores_are_those_of_the_symbolic_environment(kind: Any, interface: Any, seeding: Any) -> None:
    table = Table.Config(trials=2, steps=8, potions=5, seeding=seeding).build()
    wanted = play(kind(table), table, seeds=SEEDS)
    agent = kind(table)
    executor = Executor(interface(Bench.Config(table=table.config, seconds=14, rate=10).build()))
    state, memory, scores = executor.reset(SEEDS), agent.start(SEEDS), torch.zeros(3, 2)
    for step in range(16):
        trial = state.player.bench.table.trial
        assert (trial == step // 8).all()
        action, memory = agent.act(told(state.player.bench.table), memory)
        state, outcome = executor.step(state, action)
        scores[torch.arange(3), trial] += outcome.reward
        assert outcome.new_trial.all() == (step % 8 == 7)
    assert state.finished.all()
    assert outcome.terminated.all()
    assert torch.equal(scores, wanted.scores)
    assert wanted.scores.abs().sum() > 0


@pytest.mark.parametrize("interface", [Cursor, Hands])
def test_every_action_is_done_as_said(interface: Any) -> None:
    bench = Bench.Config(table=Table.Config(level="random-bottleneck")).build()
    executor, symbolic = Executor(interface(bench)), Table(bench.config.table)
    state, expected = executor.reset([7]), symbolic.reset([7])
    frames = []
    for number in (14 + 1 + 5, 1 + 1 + 11, 27 + 1 + 0, 14 + 1 + 5, 0, 27, 1, 1, 14 + 1 + 2):
        action = torch.tensor([number])
        before = int(state.player.bench.frame)
        state, outcome = executor.step(state, action)
        expected, wanted = symbolic.step(expected, action)
        for name in ("reward", "stone", "potion", "banked", "before", "after"):
            assert torch.equal(getattr(outcome, name), getattr(wanted, name)), (number, name)
        assert torch.equal(state.player.bench.table.stones, expected.stones)
        assert torch.equal(observe(state.player.bench.table), observe(expected))
        frames.append(int(state.player.bench.frame) - before)
    assert frames[3] == frames[4] == frames[7] == 0, "what cannot be done takes no time"
    assert max(frames) < 90, "twenty steps fit into a minute"


def test_ending_a_trial() -> None:
    bench = Bench.Config(table=Table.Config(end_trial=True, trials=2), seconds=3).build()
    executor = Executor(Cursor(bench))
    state, outcome = executor.step(executor.reset([0, 1]), torch.tensor([0, 1]))
    assert outcome.new_trial.tolist() == [True, False]
    assert state.player.bench.table.trial.tolist() == [1, 0]
    assert state.step.tolist() == [0, 1]
    assert state.player.bench.frame.tolist() == [0, 0]


def test_too_little_time_ends_the_trial_before_its_steps() -> None:
    bench = Bench.Config(table=Table.Config(trials=3), seconds=0.2).build()
    state, outcome = Executor(Hands(bench)).step(Executor(Hands(bench)).reset([0]), torch.tensor([1]))
    assert outcome.new_trial.all()
    assert outcome.stone.tolist() == [-1]
    assert state.step.tolist() == [0]


def test_many_frames_a_second_take_no_longer() -> None:
    """The way to a stone and on to a potion takes more than a second, whatever the frames."""
    table = Table.Config(level="random-bottleneck", trials=1, steps=2)
    for rate in (30, 600):
        executor = Executor(Cursor(Bench.Config(table=table, rate=rate).build()), wait=False)
        state, outcome = executor.step(executor.reset([0, 1, 2]), torch.tensor([2, 13, 39]))
        assert (outcome.potion >= 0).all()
        assert (state.player.bench.frame >= rate * 0.4).all()


def test_all_frames_can_be_watched() -> None:
    film: list[Any] = []
    bench = Bench.Config().build()
    executor = Executor(Cursor(bench), film.append)
    state, _ = executor.step(executor.reset([0]), torch.tensor([1]))
    assert [int(player.bench.frame) for player in film] == list(range(1, int(state.player.bench.frame) + 1))


def test_a_body_that_stands_too_far_away() -> None:
    bench = Bench.Config().build()
    hands = Hands(bench)
    executor = Executor(hands)
    state = executor.reset([0])
    player = state.player
    away = torch.tensor([[2.9, -2.9]])
    state = type(state)(type(player)(**{**vars(player), "place": away}), state.step)
    with pytest.raises(RunError, match="not done after"):
        executor.step(state, torch.tensor([1]))


@pytest.mark.usefixtures("unchecked_shapes")
def test_actions_that_are_none() -> None:
    executor = Executor(Cursor(Bench.Config().build()))
    state = executor.reset([0, 1])
    for bad in (torch.tensor([0, 40]), torch.tensor([-1, 0]), torch.tensor([0]), torch.tensor([0.0, 1.0])):
        with pytest.raises(DataError, match="actions"):
            executor.step(state, bad)
