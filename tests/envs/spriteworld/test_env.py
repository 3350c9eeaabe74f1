"""The Gymnasium environment of one arena, and what it shares with its batched twin."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
import torch
from env_contract import EnvironmentContract, Many, Single, actions_of, assert_same, check_clean
from gymnasium.vector import SyncVectorEnv

from percepts.core.errors import ConfigError, DataError
from percepts.envs.spriteworld.actions import ClickGrid
from percepts.envs.spriteworld.configs import TASKS, SpriteworldConfig, task_config
from percepts.envs.spriteworld.env import SpriteworldEnv
from percepts.envs.spriteworld.generators import Generate
from percepts.envs.spriteworld.observations import Key, backdrop
from percepts.envs.spriteworld.state import DEFAULTS, FACTORS
from percepts.envs.spriteworld.vector import SpriteworldVectorEnv

EVERYTHING: tuple[Key, ...] = ("image", "segmentation", "layers", "factors", "present", "success")


def short(name: str, noise: float | None = None, **settings: Any) -> SpriteworldConfig:
    """A task whose episodes end soon, many of them with success."""
    config = task_config(name, noise=noise)
    task = dataclasses.replace(config.arena.task, terminate_distance=0.25)
    arena = dataclasses.replace(config.arena, task=task, **{"max_episode_length": 6, **settings})
    return dataclasses.replace(config, arena=arena)


class OfConfig(EnvironmentContract):
    """The contract for the environments of one configuration."""

    config: SpriteworldConfig
    observer: dict[str, Any]

    @pytest.fixture
    def single(self) -> Single:
        return functools.partial(SpriteworldEnv, self.config, **self.observer)

    @pytest.fixture
    def many(self) -> Many:
        return functools.partial(SpriteworldVectorEnv, task=self.config, **self.observer)


class TestNoisyClicks(OfConfig):
    config = short("goal-finding-new-position", noise=0.05)
    observer = {"keys": ("factors", "present", "success"), "most": 3}  # noqa: RUF012


class TestPicturesOfAGrid(OfConfig):
    config = short("goal-finding-more-targets", actions=ClickGrid(scale=0.5, columns=4, rows=4))
    observer = {  # noqa: RUF012
        "keys": EVERYTHING, "height": 12, "width": 16, "supersampling": 2, "background": "random_grey",
        "image_as": "floats",
    }  # fmt: skip


class TestBody(OfConfig):
    """Without pictures, which a body that moves in every step makes slow: they are those of a grid."""

    config = short("goal-finding-embodied")
    observer = {"keys": ("success", "factors")}  # noqa: RUF012


@pytest.mark.parametrize("keys", [(key,) for key in EVERYTHING] + [("image", "factors"), EVERYTHING[::-1]])
def test_every_mix_of_observations_passes_the_checker(keys: tuple[Key, ...]) -> None:
    env = SpriteworldEnv("exploration", keys=keys, height=16, width=16, render_mode="rgb_array")
    check_clean(env)
    assert tuple(env.reset(seed=0)[0]) == keys


@pytest.mark.parametrize("mode", ["train", "test"])
@pytest.mark.parametrize("task", TASKS)
def test_single_and_batched_agree_for_every_task(task: str, mode: str) -> None:
    keys: Any = {"keys": ("factors", "present")}
    here = SyncVectorEnv([functools.partial(SpriteworldEnv, task, mode, **keys)] * 2)
    there = SpriteworldVectorEnv(2, task, mode, **keys)
    assert_same(here.reset(seed=3)[0], there.reset(seed=3)[0])
    for action in actions_of(here.action_space, 5):
        assert_same(here.step(action)[:4], there.step(action)[:4])


def test_info_says_what_happened() -> None:
    env = SpriteworldEnv("goal-finding-new-position", keys=("factors",))
    observation, info = env.reset(seed=0)
    assert (info["success"], info["hit_sprite"], info["discount"]) == (False, -1, 1.0)
    assert info["motion"].tolist() == [0, 0]
    assert not info["moved"].any()
    assert (info["sprites"], info["present"].tolist()) == (2, [True, True])
    assert np.array_equal(observation["factors"], info["factors"].astype(np.float32))
    x, y = info["factors"][1, :2]
    observation, reward, terminated, truncated, info = env.step(np.array([x, y, 0.75, 0.25]))
    assert info["hit_sprite"] == 1
    assert info["motion"].tolist() == pytest.approx([0.0625, -0.0625])
    assert info["moved"].tolist() == [False, True]
    assert info["factors"][1, :2].tolist() == pytest.approx([x + 0.0625, y - 0.0625])
    assert (terminated, truncated, info["discount"]) == (False, False, 1.0)
    hue, target = info["factors"][:, 5], int(info["factors"][1, 5] < 0.4)
    assert (hue < 0.4).sum() == 1
    distance = np.hypot(*(info["factors"][target, :2] - 0.5))
    assert reward == pytest.approx(50 * (0.075 - distance))


def test_ends() -> None:
    env = SpriteworldEnv("goal-finding-new-shape", keys=("success",))
    square = [DEFAULTS[name] for name in FACTORS]
    square[4] = 0.13
    square[0] = 0.7
    env.reset(seed=0, options={"factors": [square]})
    assert not env.state.solved_at_start
    observation, _, terminated, truncated, info = env.step([0.7, 0.5, 0.0, 0.5])
    assert (terminated, truncated, info["success"], info["discount"]) == (True, False, True, 0.0)
    assert observation["success"].tolist() == [1]
    env.reset(options={"factors": [square]})
    results = [env.step([0.0, 0.0, 0.5, 0.5]) for _ in range(20)]
    assert [result[3] for result in results] == [False] * 19 + [True]
    assert not any(result[2] for result in results)
    assert (results[-1][4]["success"], results[-1][4]["discount"]) == (False, 0.0)


def test_success_at_the_start_is_told() -> None:
    env = SpriteworldEnv("goal-finding-new-shape", keys=("success",))
    middle = [[DEFAULTS[name] for name in FACTORS]]
    observation, info = env.reset(seed=0, options={"factors": middle})
    assert observation["success"].tolist() == [1]
    assert (info["success"], info["solved_at_start"]) == (True, True)


class TestGivenSprites:
    """reset(options={"factors": …})."""

    given = np.array([[0.25, 0.5, 2, 0, 0.13, 0.2, 1, 1, 0, 0]])

    def test_they_are_the_scene_and_the_next_one_is_not(self) -> None:
        env = SpriteworldEnv("exploration", keys=("factors", "present"))
        observation, info = env.reset(seed=0, options={"factors": self.given})
        assert np.array_equal(observation["factors"][:1], self.given.astype(np.float32))
        assert observation["present"].tolist() == [1, 0, 0, 0, 0, 0]
        assert not observation["factors"][1:].any()
        assert info["sprites"] == 1
        assert env.step([0.25, 0.5, 0.75, 0.5])[4]["hit_sprite"] == 0
        again = SpriteworldEnv("exploration", keys=("factors", "present"))
        again.reset(seed=0)
        assert_same(env.reset(), again.reset())

    def test_none_at_all(self) -> None:
        env = SpriteworldEnv("exploration", keys=("image", "factors"), height=8, width=8)
        observation, info = env.reset(seed=0, options={"factors": np.zeros((0, 10))})
        assert info["sprites"] == 0
        assert not observation["image"].any()
        assert env.step([0.5, 0.5, 0.5, 0.5])[4]["hit_sprite"] == -1

    @pytest.mark.parametrize(
        ("factors", "match"),
        [
            (np.zeros((7, 10)), "up to 6"),
            (np.zeros(10), "shape"),
            (np.zeros((1, 9)), "shape"),
            ([[np.nan] * 10], "x = nan"),
            ([[0.5, 0.5, 13, 0, 0.1, 0, 0, 0, 0, 0]], "shape 13"),
            ([["square"] * 10], "numbers"),
            (None, "shape|numbers"),
        ],
    )
    def test_bad_ones_change_nothing(self, factors: Any, match: str) -> None:
        env, twin = (SpriteworldEnv("exploration", keys=("factors",)) for _ in range(2))
        assert_same(env.reset(seed=0), twin.reset(seed=0))
        with pytest.raises(DataError, match=match):
            env.reset(options={"factors": factors})
        assert_same(env.reset(), twin.reset())

    def test_nothing_to_judge_is_refused(self) -> None:
        env = SpriteworldEnv("goal-finding-new-position", keys=("factors",))
        blue = self.given.copy()
        blue[0, 5] = 0.7
        with pytest.raises(DataError, match="nothing to judge"):
            env.reset(seed=0, options={"factors": blue})

    def test_many_at_once(self) -> None:
        envs = SpriteworldVectorEnv(2, "exploration", keys=("factors",))
        single = SyncVectorEnv([functools.partial(SpriteworldEnv, "exploration", keys=("factors",))] * 2)
        options = {"factors": self.given}
        assert_same(envs.reset(seed=0, options=options), single.reset(seed=0, options=dict(options)))
        each = np.stack([self.given, self.given * [0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1]])
        observations, _ = envs.reset(options={"factors": each})
        assert observations["factors"][:, 0, 0].tolist() == [0.25, 0.125]
        mask = np.array([False, True])
        observations, _ = envs.reset(options={"factors": self.given, "reset_mask": mask})
        assert observations["factors"][:, 0, 0].tolist() == [0.25, 0.25]
        with pytest.raises(DataError, match="each of 2"):
            envs.reset(options={"factors": each[:1].repeat(3, 0)})


def test_a_grey_of_its_own_for_every_episode() -> None:
    env = SpriteworldEnv("exploration", background="random_grey", height=16, width=16, render_mode="rgb_array")
    levels = []
    for episode in range(20):
        image = env.reset(seed=5 if episode == 0 else None)[0]["image"]
        # Most pixels; near sprites the filter rings.
        levels.append(int(np.bincount(image.ravel()).argmax()))
        assert levels[-1] == round(float(backdrop([5], [episode])) * 255)
        assert np.array_equal(env.render(), image)
        after = env.step([0, 0, 0.5, 0.5])[0]["image"]
        assert np.bincount(after.ravel()).argmax() == levels[-1]
    assert len(set(levels)) > 10
    assert max(levels) - min(levels) > 100


def test_more_places_than_sprites() -> None:
    """Observations of both modes have one shape, though there are more sprites in one."""
    spaces = []
    for mode in ("train", "test"):
        env = SpriteworldEnv("goal-finding-more-distractors", mode, keys=("factors", "present", "layers"), most=5)
        observation, _ = env.reset(seed=0)
        assert observation in env.observation_space
        count = 3 if mode == "train" else 4
        assert observation["present"].tolist() == [1] * count + [0] * (5 - count)
        assert observation["layers"][:count].any(axis=(1, 2, 3)).all()
        assert not observation["layers"][count:].any()
        spaces.append(env.observation_space)
    assert spaces[0] == spaces[1]


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="did you mean 'sorting'"):
        SpriteworldEnv("sortin")
    with pytest.raises(ConfigError, match="mode of sorting"):
        SpriteworldEnv("sorting", mode="validation")
    with pytest.raises(ConfigError, match="render_mode = 'human'"):
        SpriteworldEnv("sorting", render_mode="human")
    with pytest.raises(ConfigError, match="unknown setting 'heigth', did you mean 'height'"):
        SpriteworldEnv("sorting", heigth=3)
    with pytest.raises(ConfigError, match=r"did you mean 'noise'\?; expected one of mode, noise, "):
        SpriteworldEnv("sorting", nosie=0.1)
    with pytest.raises(ConfigError, match="did you mean 'factors'"):
        SpriteworldEnv("sorting", keys=("factor",))
    with pytest.raises(ConfigError, match="places for 1 sprites where scenes have up to 2"):
        SpriteworldEnv("sorting", most=1)
    config = task_config("exploration")
    none = dataclasses.replace(
        config, arena=dataclasses.replace(config.arena, generator=Generate(config.arena.generator.factors, 0, 0))
    )
    with pytest.raises(ConfigError, match="without any sprite"):
        SpriteworldEnv(none)


def test_scenes_may_be_empty_at_times() -> None:
    config = task_config("exploration")
    some = dataclasses.replace(
        config, arena=dataclasses.replace(config.arena, generator=Generate(config.arena.generator.factors, 0, 1))
    )
    env = SpriteworldEnv(some, keys=EVERYTHING, height=8, width=8)
    counts = [env.reset(seed=seed)[1]["sprites"] for seed in range(10)]
    assert set(counts) == {0, 1}
    for action in actions_of(env.action_space, 5):
        assert env.step(action)[0] in env.observation_space


def test_planners_see_the_state() -> None:
    env = SpriteworldEnv("goal-finding-new-shape", keys=("factors",))
    with pytest.raises(DataError, match="never reset"):
        _ = env.state
    env.reset(seed=0)
    action = torch.tensor([[*env.state.sprites.position[0, 0].tolist(), 0.75, 0.25]])
    _, reward, success = env.arena.simulate(env.state.sprites, action)
    result = env.step(action[0])
    assert (result[1], result[2]) == (float(reward), bool(success))
