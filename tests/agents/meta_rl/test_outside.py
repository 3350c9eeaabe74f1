"""stable-baselines3's PPO at our tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3")

from percepts.agents.alchemy.playing import play
from percepts.agents.meta_rl.outside import OutsideLearner, outside_tables
from percepts.agents.model_free_learners import PPO
from percepts.core.errors import CapabilityError, ConfigError
from percepts.envs.alchemy.codecs import Encoding, encode
from percepts.envs.alchemy.table import Table

SHORT = Table.Config(level="random-bottleneck", trials=2, steps=5)


def learner(**settings: object) -> OutsideLearner:
    ppo = PPO(rollout=10, batch_size=40, epochs=2, learning_rate=5e-3, discount=0.9)
    return OutsideLearner.Config(**{"table": SHORT, "learner": ppo, "arenas": 8, "steps": 80} | settings).build()


def test_it_learns_plays_and_leaves_the_global_streams_alone() -> None:
    state, numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    found = learner(steps=8 * 10 * 30)
    before = play(found.agent(), Table(SHORT), range(100)).mean
    found.run()
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy)
    assert play(found.agent(), Table(SHORT), range(100)).mean > before + 1


def test_the_same_seed_learns_the_same() -> None:
    weights = []
    for seed in (0, 0, 1):
        found = learner(seed=seed)
        found.run()
        weights.append(found.learner.policy.action_net.weight.detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_tables_tell_what_a_vec_env_tells() -> None:
    tables = outside_tables(SHORT, 3, reward_scale=0.5)
    tables.seed(0)
    seen = tables.reset()
    assert seen.shape == (3, 21)
    assert np.allclose(seen, encode(tables.tables.state, Encoding(potions="counts")).numpy())
    for step in range(10):
        seen, reward, done, infos = tables.step(np.full(3, 7))
        assert reward.dtype == np.float32
        assert done.all() == (step == 9)
    assert all(set(info) == {"terminal_observation", "TimeLimit.truncated", "episode"} for info in infos)
    assert all(info["episode"]["l"] == 10 for info in infos)
    with pytest.raises(CapabilityError):
        tables.env_method("render")
    with pytest.raises(CapabilityError):
        tables.set_attr("table", None)
    with pytest.raises(ConfigError, match="arenas = 0"):
        learner(arenas=0)
