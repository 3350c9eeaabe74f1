"""Bots: what they do, how much they score, and that an episode does not depend on the others."""

from __future__ import annotations

import pytest
import torch

from percepts.agents.agent import Agent
from percepts.agents.alchemy.bots import (
    Actions,
    Bot,
    CashOnly,
    NoOp,
    RandomHeuristic,
    Replay,
    UniformRandom,
    one_of,
)
from percepts.agents.alchemy.playing import look, play
from percepts.core.errors import ConfigError
from percepts.envs.alchemy.evaluation_set import generated_episodes
from percepts.envs.alchemy.events import event_matrices
from percepts.envs.alchemy.table import Table

LEVEL = "random-bottleneck"


@pytest.fixture(scope="module")
def table() -> Table:
    return Table.Config(level=LEVEL).build()


@pytest.mark.parametrize(
    ("bot", "low", "high"),
    [(NoOp, 0.0, 0.0), (UniformRandom, 15.0, 20.5), (CashOnly, 64.5, 70.5), (RandomHeuristic, 140.0, 152.0)],
)
def test_scores_on_the_thousand_episodes(table: Table, bot: type[Bot], low: float, high: float) -> None:
    """The floors of the acceptance; the expectation of cash-only is exactly 67.5: 30 stones of 2.25."""
    played = play(bot(table), table, episodes=generated_episodes(), record=False)
    assert low <= played.mean <= high
    assert abs(played.adaptation) < 1


def test_cash_only_banks_all_that_is_positive_and_nothing_else(table: Table) -> None:
    tracked = play(CashOnly(table), table, range(40)).tracked
    assert not tracked["positive_not_banked"].per_trial.any()
    assert not tracked["negative_banked"].per_trial.any()
    assert not tracked["potions_used"].per_trial.any()
    assert not tracked["improvement"].per_trial.any()


def test_the_heuristic_goes_on_until_there_is_nothing_to_improve(table: Table) -> None:
    played = play(RandomHeuristic(table), table, range(60))
    tracked = played.tracked
    assert not tracked["positive_not_banked"].per_trial.any()
    assert not tracked["gold_spoiled"].per_trial.any()
    used = tracked["potions_used"].per_trial
    gold = (tracked["score"].per_trial >= 45) & (tracked["stones_banked"].per_trial == 3)
    assert ((used == 12) | gold).all()
    # It does not prefer any slot: all potions are used about as often by all stones where not all are used up.
    events = event_matrices(played.recording)[..., :-1] >= 0  # type: ignore[arg-type]
    by_stone = events.sum((0, 1, 3)).double()
    assert (by_stone / by_stone.mean() - 1).abs().max() < 0.06


def test_the_heuristic_ends_trials_where_it_can() -> None:
    table = Table.Config(level=LEVEL, end_trial=True, potions=2, steps=30).build()
    played = play(RandomHeuristic(table), table, range(20))
    assert played.recording is not None
    assert int(played.recording.per_trial(torch.ones_like(played.recording.played)).max()) <= 6


@pytest.mark.parametrize("bot", [UniformRandom, RandomHeuristic])
def test_an_episode_does_not_depend_on_the_others(table: Table, bot: type[Bot]) -> None:
    many = play(bot(table), table, range(5, 12), at_once=3)
    alone = play(bot(table), table, [9])
    assert many.recording is not None
    assert alone.recording is not None
    assert torch.equal(many.recording.action[4], alone.recording.action[0])
    other = play(bot(table, seed=1), table, [9])
    assert other.recording is not None
    assert not torch.equal(other.recording.action, alone.recording.action)


def test_bots_are_agents_that_remember_nothing_themselves(table: Table) -> None:
    state = table.reset(range(4))
    for bot in (NoOp(table), UniformRandom(table), CashOnly(table), RandomHeuristic(table)):
        assert isinstance(bot, Agent)
        first, mind = bot.act(look(state))
        again, _ = bot.act(look(state))
        assert torch.equal(first, again)
        bot.act(look(state), mind)


def test_uniform_random_takes_all_actions() -> None:
    table = Table.Config(level=LEVEL, end_trial=True, stones=2, potions=3).build()
    played = play(UniformRandom(table), table, range(50))
    assert played.recording is not None
    assert played.recording.action.unique().tolist() == list(range(table.actions))


@pytest.mark.parametrize("end_trial", [False, True])
def test_replays_repeat_the_events(end_trial: bool) -> None:
    table = Table.Config(level=LEVEL, end_trial=end_trial).build()
    episodes = generated_episodes(30)
    first = play(RandomHeuristic(table), table, episodes=episodes)
    assert first.recording is not None
    events = event_matrices(first.recording)
    again = play(Replay(table, events), table, episodes=episodes)
    assert again.recording is not None
    assert torch.equal(again.scores, first.scores)
    assert torch.equal(event_matrices(again.recording), events)


def test_replays_take_any_rising_numbers() -> None:
    table = Table.Config(level=LEVEL, trials=1, stones=1, potions=2, steps=3).build()
    events = torch.tensor([[[[441, 7, 449]]]])
    replay = Replay(table, events)
    assert replay.todo.tolist() == [[[3, 2, 1]]]


def test_replays_that_do_not_fit_are_refused(table: Table) -> None:
    with pytest.raises(ConfigError, match="size"):
        Replay(table, torch.full((2, 10, 3, 12), -1))
    with pytest.raises(ConfigError, match="21 events"):
        Replay(table, torch.cat([torch.arange(21), torch.full((18,), -1)]).view(1, 1, 3, 13).expand(1, 10, 3, 13))
    with pytest.raises(ConfigError, match="replayed"):
        play(Replay(table, torch.full((2, 10, 3, 13), -1)), table, range(3))


def test_one_of_the_choices() -> None:
    choices = torch.tensor([[False, True, False, True, True]]).expand(6, 5)
    unit = torch.tensor([0.0, 0.32, 0.34, 0.66, 0.67, 0.999], dtype=torch.float64)
    assert one_of(choices, unit).tolist() == [1, 1, 3, 3, 4, 4]
    assert one_of(torch.zeros(1, 5, dtype=torch.bool), unit[:1]).tolist() == [0]


@pytest.mark.parametrize("end_trial", [False, True])
def test_actions_are_numbered_as_the_table_does(end_trial: bool) -> None:
    table = Table.Config(level=LEVEL, end_trial=end_trial, stones=2, potions=4).build()
    actions = Actions(2, 4, end_trial)
    assert len(actions) == table.actions
    state = table.reset([0])
    one, two = torch.tensor([1]), torch.tensor([2])
    _, dipped = table.step(state, actions.dip(one, two))
    assert (int(dipped.stone), int(dipped.potion), bool(dipped.banked)) == (1, 2, False)
    _, banked = table.step(state, actions.bank(one))
    assert (int(banked.stone), int(banked.potion), bool(banked.banked)) == (1, -1, True)
    after, nothing = table.step(state, torch.tensor([actions.nothing]))
    assert int(nothing.stone) == -1
    assert int(after.trial) == 0
    after, _ = table.step(state, torch.tensor([actions.enough]))
    assert int(after.trial) == int(end_trial)
