"""Trainings at the table of Alchemy: that they learn, resume to the same bits, and play what they were trained for."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from percepts.agents import stages
from percepts.agents.alchemy.playing import look, play
from percepts.agents.meta_rl import TRAININGS, AlchemyTraining, open_agent, train
from percepts.agents.meta_rl.acting import NetworkAgent, drawn
from percepts.agents.meta_rl.cores import LSTM, FeedForward
from percepts.agents.meta_rl.episodic import EpisodicPlanning
from percepts.agents.meta_rl.learner import falling
from percepts.agents.meta_rl.network import ActorCritic
from percepts.agents.meta_rl.ppo import ProximalPolicy
from percepts.agents.meta_rl.predictions import Predictions
from percepts.agents.meta_rl.presets import CANONICAL, alchemy_cpu, alchemy_tiny
from percepts.agents.meta_rl.senses import Senses, view_of
from percepts.agents.meta_rl.shaping import Shaping
from percepts.agents.meta_rl.training import evaluation_seeds, settings_of
from percepts.agents.meta_rl.transformer import TransformerMemory
from percepts.agents.meta_rl.v_mpo import VMPO
from percepts.core.config import from_json, to_json
from percepts.core.errors import CheckpointError, ConfigError, DataError, RunError
from percepts.core.runs import Run
from percepts.envs.alchemy.table import Table

SHORT = Table.Config(level="random-bottleneck", trials=2, steps=5)
CORES = (
    FeedForward.Config(hidden=(8,)),
    LSTM.Config(embedding=8, width=8),
    TransformerMemory.Config(width=8, heads=2, layers=1, memory=6),
    EpisodicPlanning.Config(width=8, heads=2, rows=10, encoder=4, recurrent=8),
)


def small(core: Any = CORES[1], **settings: Any) -> AlchemyTraining.Config:
    return AlchemyTraining.Config(
        table=SHORT,
        senses=Senses.Config(chemistry="exact", row=isinstance(core, EpisodicPlanning.Config)),
        network=ActorCritic.Config(core=core, popart=0.1),
        **{"learner": ProximalPolicy.Config(epochs=1, minibatches=2), "predictions": Predictions(features=0.1),
           "shaping": Shaping(), "arenas": 4, "rollout": 3, "steps": 96, "log_every": 2, "episodes": 3} | settings,
    )  # fmt: skip


def weights_of(path: Path) -> dict[str, Any]:
    return stages.read_result(path, "alchemy", "", "")["network"]


@pytest.mark.parametrize("core", CORES, ids=lambda core: type(core).__qualname__)
def test_a_killed_training_ends_as_an_unbroken_one(core: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = VMPO.Config(copy_every=3) if isinstance(core, LSTM.Config) else ProximalPolicy.Config(epochs=1)
    config = small(core, learner=learner)
    assert train(config, tmp_path / "whole").status == "finished"
    step = AlchemyTraining.step

    def killed(self: AlchemyTraining) -> Any:
        if self.rollouts == 5:
            raise KeyboardInterrupt
        return step(self)

    # Nothing but what is on disk goes on, and a checkpoint is written after every step.
    monkeypatch.setattr(stages, "SAVE_EVERY", -1.0)
    monkeypatch.setattr(AlchemyTraining, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "killed")
    monkeypatch.setattr(AlchemyTraining, "step", step)
    assert train(config, tmp_path / "killed").status == "finished"
    whole, again = weights_of(tmp_path / "whole"), weights_of(tmp_path / "killed")
    assert whole.keys() == again.keys()
    for name, part in whole.items():
        assert torch.equal(part, again[name]), name
    scores = [json.loads((tmp_path / name / "evaluation.json").read_text()) for name in ("whole", "killed")]
    assert scores[0]["per_trial"] == scores[1]["per_trial"]
    metrics = [Run(tmp_path / name).metrics() for name in ("whole", "killed")]
    assert [entry["score"] for entry in metrics[0]] == [entry["score"] for entry in metrics[1]]
    assert len(metrics[0]) == 4


def test_another_seed_is_another_training(tmp_path: Path) -> None:
    for seed in (0, 1):
        train(small(seed=seed), tmp_path / str(seed))
    first, second = (weights_of(tmp_path / str(seed)) for seed in (0, 1))
    assert not torch.equal(first["policy.weight"], second["policy.weight"])


def test_it_learns_to_bank_what_is_worth_it() -> None:
    """Within seconds it scores more than chance does with the same legal actions."""
    config = dataclasses.replace(
        small(CORES[0]), senses=Senses.Config(encoding=CANONICAL, previous=False), arenas=64, rollout=10,
        steps=64 * 10 * 60, shaping=None, episodes=200,
        learner=ProximalPolicy.Config(optimizer=falling(5e-3), minibatches=1),
    )  # fmt: skip
    training = config.build()
    began = training.measure()["score"]
    entries = []
    while not training.finished:
        entries.append(training.step())
    assert training.measure()["score"] > began + 5
    logged = [entry for entry in entries if entry is not None]
    assert logged[-1]["score"] > logged[0]["score"] + 3
    assert logged[-1]["step"] == training.total == config.steps
    assert all(0 <= entry["no_effect_rate"] <= 1 for entry in logged)


def test_the_agent_of_a_folder_plays_as_it_was_measured(tmp_path: Path) -> None:
    config = small(CORES[3])
    train(config, tmp_path / "run")
    agent = open_agent(tmp_path / "run")
    played = play(agent, Table(config.table), evaluation_seeds(config))
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert played.per_trial == pytest.approx(found["per_trial"])
    assert settings_of(tmp_path / "run") == config


@pytest.mark.parametrize("core", CORES, ids=lambda core: type(core).__qualname__)
def test_agents_go_on_as_trainings_do(core: Any) -> None:
    """Over the ends of trials and episodes: from observations the same inputs, and the same policy."""
    config = small(core)
    training = config.build()
    table, network = training.table, training.network
    rollout = training.arenas.collect(network, 13, training.generator, config.predictions, None, 1.0)
    agent = NetworkAgent(training.senses, network)
    state, thought = table.reset(seeds_of(config)), None
    for t in range(13):
        choice, thought = agent.act(look(state), thought)
        assert torch.equal(thought.mind.action < 0, rollout.first[t])
        inputs = agent.senses.inputs(thought.mind, state.chemistry)
        torch.testing.assert_close(inputs, rollout.inputs[t])
        greedy = choice
        # From here on what the training did.
        slot = agent.senses.slots(thought.mind, rollout.action[t], state.chemistry)
        thought = dataclasses.replace(thought, action=rollout.action[t], slot=slot)
        assert greedy.shape == slot.shape
        state, outcome = table.step(state, slot)
        state = table.restart(state, outcome.terminated)
    assert rollout.last[9].all()
    assert rollout.last.sum() == 4


def seeds_of(config: AlchemyTraining.Config) -> list[int]:
    from percepts.core.random import derive_seed

    return [derive_seed(config.seed, "arena", n) % 2**32 for n in range(config.arenas)]


def test_what_an_agent_draws_in_an_episode_does_not_depend_on_the_others() -> None:
    training = small(CORES[0]).build()
    agent = NetworkAgent(training.senses, training.network, greedy=False)
    table = Table(SHORT)
    together, alone = play(agent, table, [5, 6, 7]), play(agent, table, [6])
    assert torch.equal(together.recording.action[1], alone.recording.action[0])
    greedy = NetworkAgent(training.senses, training.network)
    assert not torch.equal(play(greedy, table, [5, 6, 7]).recording.action, together.recording.action)


def test_actions_are_drawn_with_their_probabilities() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.2, 0.0])
    unit = torch.rand(20_000, 4, generator=torch.Generator().manual_seed(0))
    unit[0] = 0.0
    action = drawn(probabilities.log().expand(20_000, 4), unit)
    shares = torch.bincount(action, minlength=4) / 20_000
    torch.testing.assert_close(shares, probabilities, rtol=0, atol=0.015)
    assert shares[3] == 0


def test_privileged_agents_ask_for_the_truth() -> None:
    training = alchemy_tiny().build()
    agent = NetworkAgent(training.senses, training.network)
    with pytest.raises(DataError, match="trained to see"):
        agent.act({"symbolic": look(Table(alchemy_tiny().table).reset([0]))["symbolic"]})
    blind = small().build()
    seen = look(Table(SHORT).reset([0, 1]))
    action, _ = NetworkAgent(blind.senses, blind.network).act({"symbolic": seen["symbolic"]})
    assert action.shape == (2,)


def test_shaping_and_scale_are_for_learning_only() -> None:
    plain, shaped = small(shaping=None).build(), small(reward_scale=0.1).build()
    for training, shaping, scale in ((plain, None, 1.0), (shaped, Shaping(), 0.1)):
        training.arenas.collect(training.network, 10, training.generator, Predictions(), shaping, scale)
    assert plain.arenas.tally.entry() == shaped.arenas.tally.entry()


def test_a_tally_tells_of_trials_that_ended() -> None:
    training = small().build()
    training.arenas.collect(training.network, 5, training.generator, Predictions(), None, 1.0)
    entry = training.arenas.tally.entry()
    assert entry["per_trial"][1] is None
    assert entry["adaptation"] is None
    assert math.isfinite(entry["score"])


@pytest.mark.parametrize("name", TRAININGS)
def test_presets_are_whole(name: str) -> None:
    config = TRAININGS[name]()
    assert from_json(to_json(config)) == config
    senses = config.senses.build(table=config.table)
    network = config.network.build(sizes=senses.sizes, actions=senses.actions, predicts=config.predictions.sizes)
    state = Table(config.table).reset([0, 1])
    mind = senses.begin(view_of(state))
    inputs, legal = senses.inputs(mind, state.chemistry), senses.legal(mind, state.chemistry)
    found, _ = network(inputs[None], network.initial(2), torch.ones(1, 2, dtype=torch.bool), legal[None])
    assert torch.allclose(found.log_probs.exp().sum(2), torch.ones(1, 2))
    config.learner.build(network=network, predictions=config.predictions, rollouts=config.rollouts)


def test_what_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="arenas = 0"):
        small(arenas=0)
    with pytest.raises(ConfigError, match="reward_scale"):
        small(reward_scale=0.0)
    with pytest.raises(ConfigError, match=r"senses\.row=True"):
        dataclasses.replace(small(CORES[3]), senses=Senses.Config()).build()
    config = small()
    run = stages.begun(stages.Stage("alchemy", tmp_path / "begun", config))
    with pytest.raises(RunError, match="playing needs it"):
        open_agent(run.path)
    with pytest.raises(ConfigError, match="begun with other settings"):
        train(small(seed=3), run.path)
    other = Run.create(tmp_path / "other", config.table)
    with pytest.raises(CheckpointError, match="a training of Alchemy"):
        settings_of(other.path)


@pytest.mark.slow
def test_the_cpu_preset_beats_what_is_reached_without_inference(tmp_path: Path) -> None:
    """30 points above the local optimum of 150 to 156, in minutes."""
    train(alchemy_cpu(), tmp_path / "cpu")
    found = json.loads((tmp_path / "cpu" / "evaluation.json").read_text())
    assert found["score"] - 2 * found["standard_error"] >= 185
