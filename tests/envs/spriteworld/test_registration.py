"""The ids of the tasks with Gymnasium."""

from __future__ import annotations

import pickle
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from env_contract import assert_same, check_clean
from gymnasium.vector import AutoresetMode

from percepts.envs.spriteworld.configs import COBRA, TASKS, Noise, SpriteworldConfig, register_task, task_config
from percepts.envs.spriteworld.env import SpriteworldEnv
from percepts.envs.spriteworld.registration import environment_id, register
from percepts.envs.spriteworld.vector import SpriteworldVectorEnv


def test_ids() -> None:
    assert environment_id("goal-finding-new-shape") == "Spriteworld/GoalFindingNewShape-v0"
    assert {environment_id(task) for task in COBRA} <= gymnasium.registry.keys()
    assert environment_id("goal-finding-embodied") in gymnasium.registry
    assert len({environment_id(task) for task in TASKS}) == len(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_every_id_passes_the_checker(task: str) -> None:
    env = gymnasium.make(environment_id(task), render_mode="rgb_array", height=16, width=16)
    check_clean(env.unwrapped)
    assert env.spec is not None
    assert env.unwrapped.config == task_config(task, height=16, width=16)


def test_settings_go_through_make() -> None:
    env = gymnasium.make(
        "Spriteworld/GoalFindingNewPosition-v0", mode="test", noise=0.05, keys=("factors", "present"), most=4
    )
    observation, _ = env.reset(seed=0)
    assert observation["factors"].shape == (4, 10)
    target = observation["factors"][observation["factors"][:, 5] < 0.4][0]
    assert (target[:2] >= 0.5).all()
    assert env.unwrapped.config.arena.actions.noise == 0.05


def test_many_are_the_batched_twin() -> None:
    envs = gymnasium.make_vec(
        "Spriteworld/Sorting-v0", num_envs=5, keys=("factors",), autoreset_mode=AutoresetMode.SAME_STEP
    )
    assert isinstance(envs.unwrapped, SpriteworldVectorEnv)
    assert envs.num_envs == 5
    assert envs.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    again = pickle.loads(pickle.dumps(envs))
    assert_same(again.reset(seed=3)[0], envs.reset(seed=3)[0])
    one = gymnasium.make("Spriteworld/Sorting-v0", keys=("factors",))
    assert np.array_equal(one.reset(seed=5)[0]["factors"], envs.reset(seed=3)[0]["factors"][2])


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_gymnasiums_own_vector_environments_take_the_ids(mode: str) -> None:
    envs = gymnasium.make_vec("Spriteworld/Sorting-v0", num_envs=2, vectorization_mode=mode, keys=("factors",))
    try:
        twin = gymnasium.make_vec("Spriteworld/Sorting-v0", num_envs=2, keys=("factors",))
        assert_same(envs.reset(seed=3)[0], twin.reset(seed=3)[0])
    finally:
        envs.close()


def test_specs_make_the_same_again() -> None:
    env = gymnasium.make("Spriteworld/Clustering-v0", mode="test", keys=("factors",))
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.config.mode == "test"
    assert_same(again.reset(seed=1)[0]["factors"], env.reset(seed=1)[0]["factors"])


def test_tasks_of_ones_own() -> None:
    @register_task("test-registration", modes=("only",))
    def own(mode: str, noise: Noise) -> SpriteworldConfig:
        return task_config("exploration")

    try:
        assert "Spriteworld/TestRegistration-v0" not in gymnasium.registry
        register()
        register()
        env = gymnasium.make("Spriteworld/TestRegistration-v0", mode="only", keys=("factors",))
        assert isinstance(env.unwrapped, SpriteworldEnv)
        env.reset(seed=0)
    finally:
        del TASKS["test-registration"]
        gymnasium.registry.pop("Spriteworld/TestRegistration-v0", None)


def test_an_id_can_name_the_module_that_knows_it() -> None:
    code = (
        "import gymnasium; env = gymnasium.make('percepts.envs.spriteworld.registration:Spriteworld/Sorting-v0', "
        "keys=('factors',)); print(env.reset(seed=0)[0]['factors'].shape)"
    )
    done = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "(2, 10)", done.stderr
