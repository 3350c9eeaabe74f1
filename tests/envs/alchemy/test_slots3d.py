"""Actions by slots, seen in 3-D: the trajectories of the symbolic environment."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from percepts.core.errors import ConfigError, DataError
from percepts.envs.alchemy.env import AlchemyEnv
from percepts.envs.alchemy.levels import LEVELS
from percepts.envs.alchemy.scene import SceneView
from percepts.envs.alchemy.scene_events import PotionUsed, StoneUsed, TrialEnded
from percepts.envs.alchemy.slots3d import Alchemy3DSlotsEnv, Alchemy3DSlotsVectorEnv, environment_id

SMALL: dict[str, Any] = {"view": SceneView.Config(height=18, width=24, samples=1), "see": ("symbolic",)}


def test_gymnasium_finds_nothing_wrong() -> None:
    assert all(environment_id(level) in gymnasium.registry for level in LEVELS)
    env = gymnasium.make("Alchemy3DSlots/RandomBottleneck-v0", trials=1, steps=3, **SMALL)
    check_env(env.unwrapped, skip_render_check=True)
    assert env.action_space == gymnasium.spaces.Discrete(40)


@pytest.mark.parametrize("interface", ["cursor", "hands"])
@pytest.mark.parametrize("end_trial", [False, True])
def test_it_is_the_symbolic_environment_with_pictures(interface: Any, end_trial: bool) -> None:
    settings: dict[str, Any] = {"trials": 2, "steps": 5, "seeding": "compat", "end_trial": end_trial}
    env, symbolic = Alchemy3DSlotsEnv(interface=interface, **settings, **SMALL), AlchemyEnv(**settings)
    seen, info = env.reset(seed=5)
    expected, told = symbolic.reset(seed=5)
    rng = np.random.default_rng(1)
    done = False
    while not done:
        action = int(rng.integers(1, env.slots.executor.actions)) if info["step"] < 3 or not end_trial else 0
        seen, reward, done, _, info = env.step(action)
        expected, paid, over, _, told = symbolic.step(action)
        assert np.array_equal(seen["symbolic"], expected["symbolic"])
        assert (reward, done) == (paid, over)
        for name in ("trial", "step", "score", "trial_score", "new_trial"):
            assert info[name] == told[name], name
        kinds = {type(event) for event in info["events"]}
        assert (PotionUsed in kinds) == (told["potion"] >= 0)
        assert (StoneUsed in kinds) == told["banked"]
        assert (TrialEnded in kinds) == told["new_trial"]
    with pytest.raises(DataError, match="after the end"):
        env.step(0)
    env.reset()
    symbolic.reset()
    assert np.array_equal(env.step(3)[0]["symbolic"], symbolic.step(3)[0]["symbolic"])


def test_many_tables_are_as_single_ones() -> None:
    settings: dict[str, Any] = {"trials": 1, "steps": 3, **SMALL}
    envs, single = Alchemy3DSlotsVectorEnv(3, **settings), Alchemy3DSlotsEnv(**settings)
    envs.reset(seed=4)
    single.reset(seed=6)
    envs.action_space.seed(0)
    for step in range(1, 7):
        action = envs.action_space.sample()
        seen, reward, over, _, infos = envs.step(action)
        if step == 4:
            expected, info = single.reset()
        else:
            expected, paid, done, _, info = single.step(action[2])
            assert (reward[2], over[2]) == (paid, done)
        for name, value in expected.items():
            assert np.array_equal(seen[name][2], value), (step, name)
        assert infos["events"][2] == info["events"]


@pytest.mark.parametrize("setting", ["seconds", "height"])
def test_settings_that_there_are_not(setting: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown setting '{setting}'.*interface, view, see"):
        Alchemy3DSlotsEnv(**{setting: 3})


@pytest.mark.parametrize("action", [40, -1, 1.5, "1", None, [1]])
def test_actions_that_are_none(action: Any) -> None:
    env = Alchemy3DSlotsEnv(**SMALL)
    with pytest.raises(DataError, match="never reset"):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(DataError, match="0 to 39"):
        env.step(action)
    envs = Alchemy3DSlotsVectorEnv(2, **SMALL)
    envs.reset(seed=0)
    with pytest.raises(DataError, match="whole numbers"):
        envs.step(np.array([0.5, 1]))
