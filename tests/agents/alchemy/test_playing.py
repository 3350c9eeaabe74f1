"""Whole episodes: scores, recordings, beliefs, agents that do not fit, and bots beside an agent."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from percepts.agents.alchemy.beside import episodes_of, play_beside
from percepts.agents.alchemy.bots import CashOnly, NoOp, RandomHeuristic, UniformRandom
from percepts.agents.alchemy.cognitive import LevelK, ModelFree
from percepts.agents.alchemy.oracle import OracleAgent
from percepts.agents.alchemy.playing import Played, chemistry_of, look, play
from percepts.agents.alchemy.searching import Qmdp, Thompson
from percepts.core.errors import ConfigError, RunError
from percepts.envs.alchemy.evaluation_set import generated_episodes
from percepts.envs.alchemy.table import Rewards, Table

LEVEL = "random-bottleneck"


@pytest.fixture(scope="module")
def table() -> Table:
    return Table.Config(level=LEVEL).build()


def test_summaries_of_scores() -> None:
    scores = torch.tensor([[1.0, 2, 3, 4, 5, 6, 7, 8], [3.0, 2, 3, 4, 5, 6, 7, 12]])
    played = Played(scores)
    assert played.totals.tolist() == [36, 42]
    assert played.mean == 39
    assert played.standard_error == pytest.approx(3.0)
    assert played.per_trial == [2, 2, 3, 4, 5, 6, 7, 10]
    assert played.adaptation == pytest.approx(23 / 3 - 7 / 3)
    assert math.isnan(Played(scores[:1]).standard_error)


def test_what_is_recorded_is_what_was_played(table: Table) -> None:
    played = play(UniformRandom(table), table, range(10), at_once=4)
    assert played.recording is not None
    assert tuple(played.recording.action.shape) == (10, 200)
    assert played.recording.played.all()
    torch.testing.assert_close(played.recording.scores(), played.scores)
    torch.testing.assert_close(played.tracked["score"].per_trial, played.scores)
    assert play(UniformRandom(table), table, range(10), record=False).recording is None


def test_pay_for_potions_is_no_score() -> None:
    table = Table.Config(level=LEVEL, trials=2, rewards=Rewards(potion=1.0)).build()
    plain = Table.Config(level=LEVEL, trials=2).build()
    paid, unpaid = (play(RandomHeuristic(one), one, range(6)) for one in (table, plain))
    torch.testing.assert_close(paid.scores, unpaid.scores)
    assert paid.recording is not None
    assert float(paid.recording.reward.sum()) > float(paid.scores.sum())


def test_random_play_finds_out_what_it_never_uses(table: Table) -> None:
    """The paper's claim on information that is gathered and not used: entropy sinks while scores stay."""
    played = play(RandomHeuristic(table), table, episodes=generated_episodes(60), beliefs=True)
    assert played.beliefs is not None
    entropy = played.beliefs.entropy.mean(0)
    assert entropy[0] > 2.5
    assert entropy[2] < 1.3
    assert entropy[9] < 0.3
    assert abs(played.adaptation) < 3


def test_levels_with_rotations_and_switches_are_played(table: Table) -> None:
    turned = Table.Config(level="rotation-random-bottleneck", trials=4, switch_trials=(2,)).build()
    played = play(RandomHeuristic(turned), turned, range(30), beliefs=True)
    assert played.beliefs is not None
    assert played.recording is not None
    graphs = played.recording.chemistry.graph.view(30, 4)
    assert (graphs[:, 0] == graphs[:, 1]).all()
    assert (graphs[:, 1] != graphs[:, 2]).any()
    # Somebody who does not know of the switch finds nothing possible sooner or later, and begins anew.
    assert (played.beliefs.counts["world_states"] > 0).all()
    assert played.beliefs.entropy.isfinite().all()
    assert (played.beliefs.entropy[:, 2] > played.beliefs.entropy[:, 1] + 1).float().mean() > 0.5
    with pytest.raises(ConfigError, match="chemistry changes"):
        episodes_of(played.recording)


@pytest.mark.parametrize("end_trial", [False, True])
def test_everybody_plays_without_potions(end_trial: bool) -> None:
    bare = Table.Config(potions=0, trials=2, end_trial=end_trial).build()
    thinkers = (ModelFree(bare), LevelK(bare, 3), OracleAgent(bare), Qmdp(bare, 2), Thompson(bare))
    cash = play(CashOnly(bare), bare, range(20))
    for agent in (RandomHeuristic(bare), NoOp(bare), UniformRandom(bare), *thinkers):
        played = play(agent, bare, range(20), beliefs=True)
        assert played.beliefs is not None
        assert (played.beliefs.counts["potion_maps"] == 48).all()
        assert (played.scores <= cash.scores).all()
        if isinstance(agent, RandomHeuristic | OracleAgent | Qmdp | Thompson):
            assert torch.equal(played.scores, cash.scores)


def test_agents_are_shown_the_observation_and_the_truth(table: Table) -> None:
    state = table.reset(range(3))
    seen = look(state)
    assert tuple(seen["symbolic"].shape) == (3, 39)
    told = chemistry_of(seen["chemistry"])
    for name in ("graph", "potion_map", "stone_map", "rotation"):
        assert torch.equal(getattr(told, name), getattr(state.chemistry, name))


class Wrong:
    """Gives what is no action."""

    def __init__(self, action: Any) -> None:
        self.action = action

    def act(self, observation: Any, state: Any = None) -> tuple[Tensor, Any]:
        return self.action, state


@pytest.mark.parametrize("action", [3, torch.zeros(2), torch.zeros(1, dtype=torch.int64), torch.zeros(2, 1).long()])
def test_agents_that_give_no_actions_are_refused(table: Table, action: Any) -> None:
    with pytest.raises(RunError, match="actions"):
        play(Wrong(action), table, range(2))


def test_seeds_and_episodes_have_to_fit(table: Table) -> None:
    for wrong in ({}, {"seeds": []}, {"seeds": [1, 2], "episodes": generated_episodes(3)}):
        with pytest.raises(ConfigError, match="seeds"):
            play(NoOp(table), table, **wrong)  # type: ignore[arg-type]


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("wrong", [{"episodes": 8}, {"seeds": 8}])
def test_a_number_of_episodes_is_told_how_to_be_given(table: Table, wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"Try: play\(agent, table, seeds=range\(8\)\)"):
        play(NoOp(table), table, **wrong)  # type: ignore[arg-type]


def test_bots_beside_an_agent_make_as_many_moves(table: Table) -> None:
    agent = play(UniformRandom(table), table, episodes=generated_episodes(40))
    assert agent.recording is not None
    bots = play_beside(RandomHeuristic(table), table, agent.recording, copies=3)
    assert len(bots) == 120
    used = bots.tracked["potions_used"].per_trial.unflatten(0, (40, 3)).amax(1)
    allowed = agent.tracked["potions_used"].per_trial
    assert (used <= allowed).all()
    # Fewer only where all three stones became gold before.
    gold = (bots.scores >= 45).unflatten(0, (40, 3)).any(1)
    assert ((used == allowed) | gold).all()
    assert not bots.tracked["positive_not_banked"].per_trial.any()
    assert bots.mean > agent.mean


def test_bots_beside_somebody_idle_bank_what_lies_there(table: Table) -> None:
    episodes = generated_episodes(20)
    idle = play(NoOp(table), table, episodes=episodes)
    assert idle.recording is not None
    bots = play_beside(RandomHeuristic(table), table, idle.recording)
    torch.testing.assert_close(bots.scores, play(CashOnly(table), table, episodes=episodes).scores)
    with pytest.raises(ConfigError, match="copies"):
        play_beside(RandomHeuristic(table), table, idle.recording, copies=0)
