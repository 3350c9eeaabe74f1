"""The adapter with dm_env's interface."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from env_contract import actions_of, assert_same
from gymnasium import spaces

from percepts.core.errors import DataError
from percepts.envs.spriteworld.actions import ClickGrid
from percepts.envs.spriteworld.configs import task_config
from percepts.envs.spriteworld.dm import DmEnvironment, Spec, StepType, TimeStep
from percepts.envs.spriteworld.env import SpriteworldEnv

KEYS: Any = ("image", "factors", "present", "success")


def made(name: str = "goal-finding-new-position", seed: int | None = 0, **settings: Any) -> DmEnvironment:
    config = task_config(name, keys=KEYS, height=8, width=8)
    arena = dataclasses.replace(config.arena, **settings)
    return DmEnvironment(SpriteworldEnv(dataclasses.replace(config, arena=arena)), seed)


def test_steps_have_dm_envs_fields() -> None:
    assert TimeStep._fields == ("step_type", "reward", "discount", "observation")
    assert [int(kind) for kind in (StepType.FIRST, StepType.MID, StepType.LAST)] == [0, 1, 2]


def test_an_episode_is_gymnasiums() -> None:
    environment, env = made(), made().environment
    step = environment.reset()
    observation, _ = env.reset(seed=0)
    assert (step.first(), step.mid(), step.last()) == (True, False, False)
    assert (step.reward, step.discount) == (None, None)
    assert_same(step.observation, observation)
    for number, action in enumerate(actions_of(env.action_space, 20)):
        step = environment.step(action)
        observation, reward, _, _, _ = env.step(action)
        assert step.reward == reward
        assert_same(step.observation, observation)
        assert (step.first(), step.mid(), step.last()) == (False, number < 19, number == 19)
        assert step.discount == (1.0 if number < 19 else 0.0)
    # The next step begins an episode, whatever the action.
    step = environment.step("nonsense")
    assert step.first()
    assert_same(step.observation, env.reset()[0])


def test_success_ends_with_discount_0() -> None:
    task = dataclasses.replace(task_config("goal-finding-new-position").arena.task, terminate_distance=2.0)
    environment = made(task=task)
    environment.reset()
    step = environment.step(environment.action_spec().generate_value())
    assert (step.step_type, step.discount) == (StepType.LAST, 0.0)
    assert step.observation["success"].tolist() == [1]


def test_the_first_step_of_all_is_a_reset() -> None:
    one, other = made(), made()
    assert_same(one.step(None).observation, other.reset().observation)
    assert_same(one.reset().observation, other.reset().observation)
    assert not np.array_equal(
        made(seed=None).reset().observation["factors"], made(seed=None).reset().observation["factors"]
    )


def test_bad_actions_change_nothing() -> None:
    one, other = made(), made()
    one.reset()
    other.reset()
    with pytest.raises(DataError, match="nan"):
        one.step([0, 0, 0, np.nan])
    action = [0.5, 0.5, 1.0, 1.0]
    assert_same(one.step(action).observation, other.step(action).observation)


@pytest.mark.parametrize(
    ("task", "settings"),
    [("goal-finding-new-position", {}), ("goal-finding-embodied", {}), ("exploration", {"actions": ClickGrid()})],
)
def test_everything_conforms_to_its_specification(task: str, settings: dict[str, Any]) -> None:
    with made(task, **settings) as environment:
        assert set(environment.observation_spec()) == set(KEYS)
        step = environment.reset()
        for _ in range(12):
            for name, spec in environment.observation_spec().items():
                spec.validate(step.observation[name])
            action = environment.action_spec().generate_value()
            environment.action_spec().validate(action)
            step = environment.step(action)
            if not step.first():
                environment.reward_spec().validate(step.reward)
                environment.discount_spec().validate(step.discount)


def test_specifications() -> None:
    click = Spec.of(spaces.Box(0, 1, (4,), np.float32), "click")
    assert (click.shape, click.dtype, click.minimum.tolist()) == ((4,), np.float32, [0] * 4)
    both = Spec.of(spaces.MultiDiscrete([2, 4]))
    assert (both.shape, both.maximum.tolist(), both.generate_value().tolist()) == ((2,), [1, 3], [0, 0])
    one = Spec.of(spaces.Discrete(5, start=2))
    assert (one.shape, int(one.minimum), int(one.maximum), int(one.generate_value())) == ((), 2, 6, 2)
    assert Spec.of(spaces.MultiBinary(3)).validate(np.ones(3, np.int8)).tolist() == [1, 1, 1]
    for wrong in (np.zeros(3, np.float32), np.zeros(4), np.full(4, 2, np.float32), np.full(4, np.nan, np.float32)):
        with pytest.raises(DataError, match="click"):
            click.validate(wrong)
    with pytest.raises(DataError, match="Text"):
        Spec.of(spaces.Text(3))
