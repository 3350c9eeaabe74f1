"""The Gymnasium environment of one world and its batched twin."""

from __future__ import annotations

import functools
import time
from typing import Any

import gymnasium
import numpy as np
import pytest
from env_contract import EnvironmentContract, Many, Single, actions_of, assert_same, assert_same_infos, check_clean
from gymnasium.vector import SyncVectorEnv

from percepts.core.errors import ConfigError, DataError
from percepts.envs.feature_world.env import FeatureWorldEnv
from percepts.envs.feature_world.observations import KEYS
from percepts.envs.feature_world.registration import environment_id, register
from percepts.envs.feature_world.rendered import TableView
from percepts.envs.feature_world.vector import FeatureWorldVectorEnv
from percepts.envs.feature_world.worlds import WORLDS, world_config

ALL_BUT_IMAGE = tuple(key for key in KEYS if key != "image")


class OfWorld(EnvironmentContract):
    """The contract for the environments of one world."""

    arguments: dict[str, Any]

    @pytest.fixture
    def single(self) -> Single:
        return functools.partial(FeatureWorldEnv, **self.arguments)

    @pytest.fixture
    def many(self) -> Many:
        return functools.partial(FeatureWorldVectorEnv, **self.arguments)


class TestAnswersUnderNoise(OfWorld):
    arguments = {  # noqa: RUF012
        "world": "conjunction", "values": (3, 2, 2), "objects": 8, "object_sets": 40, "distinguishing": False,
        "decoys": ("size",), "mode": "answer", "budget": 5, "noise": 0.3, "cost": 0.125, "keys": ALL_BUT_IMAGE,
    }  # fmt: skip


class TestSubsetsThatDoNotTellAllApart(OfWorld):
    arguments = {  # noqa: RUF012
        "world": "two-of-three", "values": 2, "objects": 4, "object_sets": 64, "distinguishing": False, "noise": 0.5,
        "budget": 4, "keys": ("objects", "posterior"),
    }  # fmt: skip


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_pictures_of_the_twin_are_those_of_single_ones(unchecked_shapes: None, mode: str) -> None:
    """As observations and as what `render` gives, over the ends of episodes."""
    arguments: dict[str, Any] = {
        "world": "table-top", "values": 3, "objects": 6, "object_sets": 40, "budget": 2, "keys": ("image", "tested"),
        "view": TableView.Config(height=12, samples=1), "render_mode": "rgb_array",
    }  # fmt: skip
    envs = FeatureWorldVectorEnv(2, **arguments, autoreset_mode=mode)
    others = SyncVectorEnv([functools.partial(FeatureWorldEnv, **arguments)] * 2, autoreset_mode=mode)
    check_clean(others.envs[0])
    assert_same(envs.reset(seed=0)[0], others.reset(seed=0)[0])
    for action in actions_of(envs.action_space, 4):
        ours, theirs = envs.step(action), others.step(action)
        assert_same(ours[:4], theirs[:4])
        assert_same_infos(ours[4], theirs[4])
        assert_same(envs.render(), others.render())
        assert np.array_equal(np.stack(envs.render() or ()), ours[0]["image"])


@pytest.mark.parametrize("world", WORLDS)
def test_every_id_passes_the_checker(world: str) -> None:
    env = gymnasium.make(environment_id(world), render_mode="rgb_array")
    check_clean(env.unwrapped)
    assert env.unwrapped.config == world_config(world)


def test_ids_and_settings() -> None:
    register()
    assert environment_id("two-of-three") == "FeatureWorld/TwoOfThree-v0"
    env = gymnasium.make("FeatureWorld/Conjunction-v0", values=3, mode="answer", keys=("posterior",))
    assert env.action_space == gymnasium.spaces.Discrete(27 + 27)
    observation, info = env.reset(seed=0)
    assert observation["posterior"].tolist() == [np.float32(1 / 27)] * 27
    assert info["live"] == 27
    envs = gymnasium.make_vec("FeatureWorld/Single-v0", num_envs=3, vectorization_mode="vector_entry_point")
    assert isinstance(envs.unwrapped, FeatureWorldVectorEnv)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"world": "singel"}, "did you mean 'single'"),
        ({"budgett": 3}, "did you mean 'budget'"),
        ({"keys": ("outcome",)}, "did you mean 'outcomes'"),
        ({"keys": "outcomes"}, "one or more"),
        ({"keys": ()}, "one or more"),
        ({"keys": ("image",)}, "cannot be drawn"),
        ({"render_mode": "human"}, "rgb_array"),
        ({"values": 9}, "2 to 8"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    for build in (FeatureWorldEnv, FeatureWorldVectorEnv):
        with pytest.raises(ConfigError, match=message):
            build(**arguments)
    with pytest.raises(ConfigError, match="num_envs"):
        FeatureWorldVectorEnv(0)
    with pytest.raises(ConfigError, match="autoreset"):
        FeatureWorldVectorEnv(1, autoreset_mode="never")


def test_what_is_seen_of_a_test() -> None:
    env = FeatureWorldEnv("single", values=3, budget=4, keys=ALL_BUT_IMAGE)
    seen, _ = env.reset(seed=0)
    assert not seen["outcomes"].any()
    assert not seen["last"].any()
    assert (seen["tested"], seen["lit"], seen["left"].tolist()) == (-1, 0, [1.0])
    seen, _, _, _, info = env.step(7)
    sign = 1 if seen["lit"] else -1
    assert seen["outcomes"].nonzero()[0].tolist() == [7]
    assert (seen["outcomes"][7], seen["tested"], seen["left"].tolist()) == (sign, 7, [0.75])
    # Object 7 is (0, 2, 1): red, cylinder, rough.
    assert seen["last"].tolist() == [1, 0, 0, 0, 0, 1, 0, 1, 0, float(sign > 0), float(sign < 0)]
    assert seen["posterior"].sum() == pytest.approx(1)
    assert (seen["posterior"] > 0).sum() == info["live"]
    assert info["gained"] == pytest.approx(np.log2(9 / info["live"]))


def test_a_step_takes_some_microseconds() -> None:
    """It is 6 µs where nothing else runs."""
    env = FeatureWorldEnv("single")
    env.reset(seed=0)
    actions = list(actions_of(env.action_space, 3000))
    began = time.process_time()
    for action in actions:
        if any(env.step(action)[2:4]):
            env.reset()
    assert (time.process_time() - began) / len(actions) < 60e-6


def test_boards_show_what_was_tested() -> None:
    env = FeatureWorldEnv("single", values=3, render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    assert before is not None
    assert before.shape == (45, 54, 3)
    env.step(0)
    after = env.render()
    assert after is not None
    changed = (after != before).any(2)
    assert changed[:9, :9].any()
    assert not changed[9:].any()
    assert not changed[:, 9:].any()


def test_actions_as_numpy_has_them() -> None:
    env, other = FeatureWorldEnv("single"), FeatureWorldEnv("single")
    env.reset(seed=0)
    other.reset(seed=0)
    assert_same(env.step(np.int64(3)), other.step(3))
    assert_same(env.step(np.array(4)), other.step(4))
    with pytest.raises(DataError, match="whole number"):
        env.step(np.array([4]))
