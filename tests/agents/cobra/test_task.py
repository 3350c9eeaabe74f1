"""The task phase: a reward predictor learns, all else stands still, and a broken phase ends like an unbroken one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from exact_slots import parts

from percepts.agents.agent import Agent
from percepts.agents.cobra.planning import OneStepSearch, RandomShooting
from percepts.agents.cobra.rewards import DeepSetsHead, FlatHead, RewardModel, SumHead
from percepts.agents.cobra.task import TaskPhase
from percepts.agents.snapshots import read_snapshot, write_snapshot
from percepts.agents.spriteworld_policies import success_rate
from percepts.core.config import from_json, to_json
from percepts.core.errors import CheckpointError, ConfigError, NonFiniteError

SMALL = TaskPhase.Config(
    steps=30, warm_up=10, updates=2, batch_size=16, log_every=10, planner=OneStepSearch(candidates=20),
    reward=RewardModel.Config(heads=(SumHead.Config(hidden=(8,)),)),
)  # fmt: skip


def phase_of(config: TaskPhase.Config = SMALL, seed: int = 0, **settings) -> TaskPhase:
    return config.build(**parts(**settings), seed=seed)


@dataclass(frozen=True, kw_only=True)
class Counted(OneStepSearch):
    """Counts how many observations it searches for."""

    calls: tuple[list[int], ...] = ()

    def plan(self, simulation, proposals, state, observation, generator):
        self.calls[0].append(len(state))
        return super().plan(simulation, proposals, state, observation, generator)


def test_a_task_is_learned_in_few_rewarded_steps():
    """One square belongs in the middle: 0.03 of random agents' episodes succeed, the agent's nearly all do."""
    config = TaskPhase.Config(
        steps=150, updates=5, planner=OneStepSearch(candidates=200),
        reward=RewardModel.Config(heads=(DeepSetsHead.Config(reads=(0, 1)),), input_dropout=0.0),
    )  # fmt: skip
    phase = phase_of(config)
    arena = phase.world.arena
    before = success_rate(arena, phase.agent(OneStepSearch(candidates=400)), 40, seed=1).success
    phase.run()
    assert before <= 0.3
    assert success_rate(arena, phase.agent(OneStepSearch(candidates=400)), 40, seed=1).success >= 0.9


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, arenas=4),
        replace(SMALL, imagined=0.5, reward=replace(SMALL.reward, members=2), optimism=1.0),
    ],
)
def test_a_broken_phase_ends_like_an_unbroken_one(tmp_path: Path, config: TaskPhase.Config):
    whole, entries = phase_of(config), []
    whole.run(entries.append)
    broken, logged = phase_of(config), []
    broken.run(logged.append, until=14)
    write_snapshot(tmp_path / "state", broken.state_dict(), "test")
    again = phase_of(config)
    again.load_state_dict(read_snapshot(tmp_path / "state", "test"))
    again.run(logged.append)
    assert again.finished
    assert again.rewarded_steps == whole.rewarded_steps >= 30
    assert logged == entries
    for name, weight in whole.reward.state_dict().items():
        assert torch.equal(weight, again.reward.state_dict()[name]), name
    for name, rows in whole.replay.rows().items():
        assert torch.equal(rows, again.replay.rows()[name]), name


def test_looking_at_the_agent_changes_nothing_in_its_training():
    looked, alone = phase_of(), phase_of()
    looked.run(until=15)
    success_rate(looked.world.arena, looked.agent(), 5, seed=0)
    looked.run()
    alone.run()
    for name, weight in alone.reward.state_dict().items():
        assert torch.equal(weight, looked.reward.state_dict()[name])


def test_only_the_reward_predictor_learns():
    phase = phase_of()
    frozen = [phase.transition, phase.explorer]
    before = [{name: value.clone() for name, value in part.state_dict().items()} for part in frozen]
    start = {name: value.clone() for name, value in phase.reward.state_dict().items()}
    phase.run()
    for part, weights in zip(frozen, before):
        assert all(torch.equal(value, weights[name]) for name, value in part.state_dict().items())
    assert all(not torch.equal(value, start[name]) for name, value in phase.reward.state_dict().items())


@pytest.mark.parametrize("arenas", [1, 5])
def test_a_rewarded_step_is_a_step_of_one_arena(arenas: int):
    phase = phase_of(replace(SMALL, arenas=arenas))
    entries = []
    phase.run(entries.append)
    assert phase.rewarded_steps == len(phase.replay) == 30
    assert phase._learner.done == 30 * SMALL.updates
    assert [entry["step"] for entry in entries] == [10, 20, 30]


def test_the_first_steps_and_a_share_of_the_others_explore():
    calls: list[int] = []
    config = replace(
        SMALL, steps=240, warm_up=40, explore=0.25, updates=1, planner=Counted(candidates=2, calls=(calls,))
    )
    phase = phase_of(config)
    phase.run(until=40)
    assert not calls
    phase.run()
    assert 0.65 * 200 < sum(calls) < 0.85 * 200
    always = phase_of(replace(config, steps=60, explore=0.0))
    calls.clear()
    always.run()
    assert sum(calls) == 20


def test_exploratory_actions_come_from_where_they_should():
    """Clicks into objects hit, uniform ones hardly ever do, and half and half is between them."""
    hits = {}
    for kind in ("objects", "uniform", "mixed"):
        config = replace(SMALL, steps=200, arenas=20, warm_up=200, updates=1, exploratory=kind, log_every=200)
        entries: list[dict[str, float]] = []
        phase_of(config, policy="objects").run(entries.append)
        hits[kind] = entries[-1]["hit_fraction"]
    assert hits["objects"] > 0.9
    assert hits["uniform"] < 0.1
    assert 0.35 < hits["mixed"] < 0.65


def test_what_is_replayed_is_what_came_after_the_action():
    phase = phase_of(replace(SMALL, imagined=0.1))
    phase.run(until=1)
    rows = phase.replay.rows()
    predicted = phase.transition.predict(rows["before"], rows["action"])
    torch.testing.assert_close(predicted, rows["latents"])
    place = rows["latents"][0, 0, :2].double()
    torch.testing.assert_close(rows["reward"][0].double(), 50 * (0.075 - (place - 0.5).norm()), atol=1e-4, rtol=0)


def test_the_agent_acts_in_batches_and_its_state_is_explicit():
    phase = phase_of()
    agent = phase.agent()
    assert isinstance(agent, Agent)
    observation = phase.world.look(phase.world.arena.reset(range(6)).sprites).observation
    first, state = agent.act(observation, None)
    again, _ = agent.act(observation, None)
    later, _ = agent.act(observation, state)
    assert first.shape == (6, 4)
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert not torch.equal(first, phase.agent(seed=5).act(observation, None)[0])


def test_the_log_counts_episodes():
    entries: list[dict[str, float]] = []
    phase_of(replace(SMALL, steps=120, arenas=3, log_every=60, warm_up=120)).run(entries.append)
    assert sum(entry["episodes"] for entry in entries) >= 3
    assert entries[-1]["length"] <= 20
    assert entries[-1]["return"] < 0
    assert 0 <= entries[-1]["success"] <= 1


def test_a_flat_head_takes_the_number_of_slots_of_the_arena():
    phase = phase_of(replace(SMALL, reward=RewardModel.Config(heads=(FlatHead.Config(hidden=(8,)),))))
    phase.run(until=15)
    more = phase_of(replace(SMALL, reward=phase.config.reward), task="clustering")
    more.run(until=12)
    assert len(more.replay.rows()["weight"][0]) == 4


def test_looking_further_is_possible():
    phase_of(replace(SMALL, steps=13, planner=RandomShooting(candidates=10, horizon=2))).run()


def test_states_of_other_phases_are_refused():
    phase = phase_of()
    phase.run(until=3)
    for other in (phase_of(replace(SMALL, explore=0.2)), phase_of(seed=1)):
        with pytest.raises(CheckpointError, match="other settings or another seed"):
            other.load_state_dict(phase.state_dict())


def test_a_reward_that_is_not_finite_ends_it_with_a_word():
    phase = phase_of()
    phase.run(until=3)
    phase.replay._rows["reward"][:] = torch.nan
    with pytest.raises(NonFiniteError, match="reward predictor became nan"):
        phase.step()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps = 0"),
        ({"arenas": 0}, "arenas = 0"),
        ({"explore": 1.5}, "explore = 1.5"),
        ({"warm_up": -1}, "warm_up = -1"),
        ({"imagined": -1.0}, r"imagined = -1\.0"),
        ({"exploratory": "sprites"}, "exploratory = 'sprites'"),
    ],
)
def test_wrong_settings_are_named(settings: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        replace(SMALL, **settings)


def test_configurations_survive_json():
    assert from_json(to_json(SMALL), TaskPhase.Config) == SMALL
