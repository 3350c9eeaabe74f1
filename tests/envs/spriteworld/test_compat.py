"""The compat mode against golden values of the original, spriteworld 1.0.2 (see benchmarks/spriteworld_original.py)."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from percepts.core.errors import ConfigError, DataError
from percepts.data.distributions import Continuous, Discrete, Product
from percepts.envs.spriteworld import examples  # noqa: F401  (registers its tasks)
from percepts.envs.spriteworld.actions import ClickGrid, SelectMove
from percepts.envs.spriteworld.arena import Arena
from percepts.envs.spriteworld.compat import CompatEnvironment, StepType, TimeStep
from percepts.envs.spriteworld.compat_rendering import render
from percepts.envs.spriteworld.compat_sampling import CompatOptions
from percepts.envs.spriteworld.compat_sprite import CompatSprite
from percepts.envs.spriteworld.configs import SpriteworldConfig, task_config
from percepts.envs.spriteworld.generators import Generate
from percepts.envs.spriteworld.observations import Observer
from percepts.envs.spriteworld.physics import Bounce
from percepts.envs.spriteworld.state import SHAPES
from percepts.envs.spriteworld.tasks import FindGoalPosition

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "spriteworld.json").read_text())
PLAYED = sorted({(rollout["task"], rollout["mode"]) for rollout in GOLDEN["rollouts"]})
GOALS = [row for row in GOLDEN["random"] if row[0].startswith("goal")]
OTHERS = [row for row in GOLDEN["random"] if not row[0].startswith("goal")]
WHOLE = {"goal_finding_clustering": ("angle", "c0", "c1", "c2")}
"""Factors that the original's examples draw as whole numbers."""
UNSEEN = {"keys": ("success",)}
NOWHERE = np.array([0.999, 0.001, 0.5, 0.5])


def environment(task: str, mode: str = "train", seed: Any = 0, numpy: Any = 2, noise: Any = None, **observer: Any):
    config = task_config(task.replace("_", "-"), mode, noise, **observer)
    return CompatEnvironment(config, seed, CompatOptions(numpy=numpy, whole=WHOLE.get(task, ())))


def small(task: Any = FindGoalPosition(), steps: int = 10, **settings: Any) -> SpriteworldConfig:  # noqa: B008
    """One sprite at (0.3, 0.5), nothing drawn that matters."""
    factors = Product((Discrete("x", (0.3,)), Discrete("y", (0.5,)), Continuous("c0", 0.0, 1.0)))
    factors = Product((*factors.components, *settings.pop("factors", ())))
    arena = Arena.Config(generator=Generate(factors), task=task, max_episode_length=steps, **settings)
    return SpriteworldConfig(name="small", arena=arena, observer=Observer(keys=("success",)))


def replay(rollout: dict[str, Any], numpy: int) -> tuple[list[TimeStep], list[list[CompatSprite]]]:
    """The steps of a rollout and the scene after each, from the same seed."""
    arena = environment(rollout["task"], rollout["mode"], rollout["seed"], numpy, rollout["noise"], **UNSEEN)
    steps, scenes = [arena.reset()], [copy.deepcopy(arena.sprites)]
    for number in range(len(rollout["steps"]) - 1):
        if rollout["actions"] == "objects" and number % 2:
            action = np.concatenate([arena.sample_point_inside(), arena.rng.uniform(0, 1, 2)])
        else:
            action = arena.sample_action()
        steps.append(arena.step(action))
        scenes.append(copy.deepcopy(arena.sprites))
    return steps, scenes


def expected_scene(state: list[Any], before: np.ndarray | None) -> np.ndarray:
    """The positions that a golden step tells: all of them, or those that changed."""
    if before is None:
        return np.array([row[:2] for row in state])
    after = before.copy()
    for number, *position in state:
        after[number] = position
    return after


def digest(frame: np.ndarray) -> str:
    return hashlib.sha256(frame.tobytes()).hexdigest()[:12]


@pytest.mark.parametrize(("task", "mode"), PLAYED)
@pytest.mark.parametrize("numpy", [1, 2])
def test_every_rollout_of_the_original_is_reproduced(task, mode, numpy):
    for rollout in GOLDEN["rollouts"]:
        if (rollout["task"], rollout["mode"]) != (task, mode):
            continue
        steps, scenes = replay(rollout, numpy)
        positions = None
        for golden, step, scene in zip(rollout["steps"], steps, scenes, strict=True):
            kind, reward, state = golden[:3]
            assert step.step_type == kind
            assert step.discount == {0: None, 1: 1.0, 2: 0.0}[kind]
            assert step.reward == (None if reward is None else pytest.approx(reward, abs=1e-5))
            positions = expected_scene(state, None if kind == 0 else positions)
            np.testing.assert_allclose([sprite.position for sprite in scene], positions, rtol=0, atol=1e-7)
            if kind == 0:
                for sprite, (_, _, shape, angle, scale, colour, dtype) in zip(scene, state, strict=True):
                    assert (list(SHAPES)[sprite.shape - 1], sprite.position.dtype) == (shape, dtype)
                    np.testing.assert_allclose([sprite.angle, sprite.scale, *sprite.colour], [angle, scale, *colour])


@pytest.mark.parametrize(("task", "mode"), PLAYED)
def test_frames_are_those_of_the_original_to_the_bit(task, mode):
    """Of Pillow 13: before, it filled stars and spokes otherwise, which only the frames of one example show."""
    observer = task_config(task.replace("_", "-"), mode).observer
    for rollout in GOLDEN["rollouts"]:
        if (rollout["task"], rollout["mode"]) != (task, mode):
            continue
        _, scenes = replay(rollout, 2)
        frames = render(scenes, observer, CompatOptions())
        assert [digest(frame) for frame in frames] == [step[-2] for step in rollout["steps"]]
        assert [int(frame.sum(dtype=np.int64)) for frame in frames] == [step[-1] for step in rollout["steps"]]


# Task, mode, sprites, shape, x, y and hue of sprite 0, reward, sum of the frame before and after: measured with the
# package independently of the recorded rollouts.
TABLE = [
    ("exploration", "train", 4, "square", 0.2491, 0.6895, 0.5684, 0.0, 148472, 148462),
    ("goal_finding_new_position", "train", 2, "square", 0.4692, 0.7244, 0.5473, -4.181223, 60574, 60574),
    ("goal_finding_new_position", "test", 2, "square", 0.6571, 0.8344, 0.1350, -13.726915, 64059, 42502),
    ("goal_finding_more_targets", "test", 4, "circle", 0.4092, 0.8221, 0.5889, -18.552051, 149438, 149475),
    ("goal_finding_more_distractors", "train", 3, "circle", 0.7194, 0.4649, 0.6058, -22.665562, 94456, 94604),
    ("goal_finding_new_shape", "test", 1, "triangle", 0.4501, 0.8134, 0.3855, -8.811652, 37130, 37130),
    ("clustering", "train", 4, "circle", 0.4092, 0.8221, 0.3398, -12.078705, 140391, 140424),
    ("sorting", "train", 2, "circle", 0.1162, 0.7661, 0.7387, -11.009095, 80387, 80379),
    ("sorting", "test", 2, "square", 0.7689, 0.3699, 0.9393, -18.691291, 72438, 72438),
]


@pytest.mark.parametrize(("task", "mode", "count", "shape", "x", "y", "hue", "reward", "before", "after"), TABLE)
def test_table_of_golden_values(task, mode, count, shape, x, y, hue, reward, before, after):
    arena = environment(task, mode)
    first = arena.reset()
    sprite = arena.sprites[0]
    assert (len(arena.sprites), list(SHAPES)[sprite.shape - 1]) == (count, shape)
    assert [*sprite.position, sprite.colour[0]] == pytest.approx([x, y, hue], abs=1e-4)
    step = arena.step(np.array([*sprite.position, 0.75, 0.25]))
    assert step.reward == pytest.approx(reward, abs=1e-3)
    assert [int(one.observation["image"].sum(dtype=np.int64)) for one in (first, step)] == [before, after]
    assert step.observation["image"].flags.c_contiguous


# Random success in 300 episodes of the package, train and test, with actions from another generator than the scenes.
RANDOM_SUCCESS = {
    "goal_finding_new_shape": (0.033, 0.027),
    "goal_finding_new_position": (0.030, 0.033),
    "goal_finding_more_targets": (0.033, 0.003),
    "goal_finding_more_distractors": (0.003, 0.003),
    "clustering": (0.077, 0.077),
    "sorting": (0.0, 0.0),
}


def check_random_play(task, mode, successes, solved, steps, total):
    arena = environment(task, mode, numpy=1, **UNSEEN)
    reached, ready, count, reward = 0, 0, 0, 0.0
    for _ in range(300):
        step = arena.reset()
        ready += arena.success()
        while not step.last():
            step = arena.step(arena.sample_action())
            count, reward = count + 1, reward + step.reward
        reached += arena.success()
    assert (reached, ready, count) == (successes, solved, steps)
    assert reward == pytest.approx(total, abs=1e-3)
    assert abs(reached / 300 - RANDOM_SUCCESS[task][mode == "test"]) <= 0.03


@pytest.mark.parametrize(("task", "mode", "successes", "solved", "steps", "total"), GOALS[::3])
def test_random_actions_reach_what_they_reach_in_the_original(task, mode, successes, solved, steps, total):
    check_random_play(task, mode, successes, solved, steps, total)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "mode", "successes", "solved", "steps", "total"),
    [row for row in GOLDEN["random"] if row not in GOALS[::3]],
)
def test_random_actions_reach_what_they_reach_in_the_original_everywhere(task, mode, successes, solved, steps, total):
    check_random_play(task, mode, successes, solved, steps, total)


def test_a_scene_is_drawn_when_the_environment_is_made_and_another_one_at_the_reset():
    arena = environment("goal_finding_new_shape", **UNSEEN)
    made = arena.sprites[0].position.copy()
    rng = np.random.RandomState(0)
    scenes = [rng.uniform(size=5)[:2] for _ in range(2)]  # x, y and three numbers of the colour
    np.testing.assert_allclose(made, 0.1 + 0.8 * scenes[0], atol=1e-6)
    arena.reset()
    np.testing.assert_allclose(arena.sprites[0].position, 0.1 + 0.8 * scenes[1], atol=1e-6)


def test_a_generator_can_be_shared_so_that_actions_and_scenes_come_from_one():
    rng = np.random.RandomState(3)
    shared, own = environment("sorting", seed=rng, **UNSEEN), environment("sorting", seed=3, **UNSEEN)
    assert [one.factors for one in shared.sprites] == [one.factors for one in own.sprites]
    np.testing.assert_array_equal(rng.uniform(0, 1, 4), own.sample_action())


def test_a_step_before_the_first_reset_or_after_the_end_is_a_reset_whatever_the_action():
    arena = environment("exploration", **UNSEEN)
    step = arena.step("no action at all")
    assert (step.step_type, step.reward, step.discount) == (StepType.FIRST, None, None)
    kinds = [arena.step(NOWHERE).step_type for _ in range(11)]
    assert kinds == [StepType.MID] * 9 + [StepType.LAST, StepType.FIRST]


def test_time_success_and_leaving_the_frame_end_an_episode_alike():
    far = FindGoalPosition(goal=(0.9, 0.9))
    arenas = {
        "time": CompatEnvironment(small(far, steps=1)),
        "success": CompatEnvironment(small(FindGoalPosition(goal=(0.3, 0.5)))),
        "out": CompatEnvironment(small(far, keep_in_frame=False, factors=(Discrete("x_vel", (-0.4,)),))),
    }
    for name, arena in arenas.items():
        assert arena.reset().first()
        step = arena.step(NOWHERE)
        assert (step.last(), step.mid(), step.discount) == (True, False, 0.0)
        assert step.observation == {"success": name == "success"}


def test_velocities_act_after_the_action_and_stop_at_the_border():
    arena = CompatEnvironment(small(factors=(Discrete("x_vel", (-0.25,)),), actions=SelectMove()))
    arena.reset()
    arena.step(np.array([0.3, 0.5, 0.6, 0.5]))
    assert arena.hit == 0
    np.testing.assert_allclose(arena.sprites[0].position, [0.15, 0.5])
    arena.step(NOWHERE)
    assert arena.hit == -1
    np.testing.assert_allclose(arena.sprites[0].position, [0.0, 0.5])


def test_factors_and_success_are_observed():
    arena = environment("exploration", keys=("factors", "success"))
    seen = arena.reset().observation
    assert seen["success"] is False
    assert [one["shape"] for one in seen["factors"]] == [sprite.shape for sprite in arena.sprites]
    assert seen["factors"][0]["x"] == float(arena.sprites[0].position[0])


def test_a_scene_without_sprites_has_a_black_frame_and_no_point_inside():
    config = small()
    empty = dataclasses.replace(config.arena, generator=Generate(Continuous("x", 0.0, 1.0), 0, 0))
    arena = CompatEnvironment(dataclasses.replace(config, arena=empty, observer=Observer(height=8, width=12)))
    frame = arena.reset().observation["image"]
    assert frame.shape == (8, 12, 3)
    assert not frame.any()
    with pytest.raises(DataError, match="empty scene"):
        arena.sample_point_inside()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reject_solved_start": True}, "reject_solved_start"),
        ({"physics": Bounce()}, "no physics"),
        ({"polygons": (((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)),)}, "polygons"),
    ],
)
def test_what_the_original_does_not_have_is_an_error(change, message):
    config = small()
    with pytest.raises(ConfigError, match=message):
        CompatEnvironment(dataclasses.replace(config, arena=dataclasses.replace(config.arena, **change)))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"keys": ("image", "layers")}, "does not observe layers"),
        ({"renderer": "fast"}, "fast renderer"),
        ({"background": "random_grey"}, "no random background"),
        ({"image_as": "floats"}, "no pictures as floats"),
        ({"most": 4}, "most = 4"),
    ],
)
def test_an_observer_that_the_original_does_not_have_is_an_error(setting, said):
    with pytest.raises(ConfigError, match=said):
        CompatEnvironment(dataclasses.replace(small(), observer=Observer(**setting)))


def test_every_other_setting_of_the_observer_is_honoured():
    """The frame is another one with each of them, and of the renderer "pil" the same as of "exact"."""
    config = small(factors=(Discrete("c1", (0.9,)), Discrete("c2", (0.9,)), Discrete("angle", (20.0,))))

    def frame(**settings):
        observer = Observer(**{"height": 12, "width": 12, **settings})
        arena = CompatEnvironment(dataclasses.replace(config, observer=observer))
        return arena.reset().observation["image"]

    plain = frame()
    assert plain.dtype == np.uint8
    assert frame(height=9, width=17).shape == (9, 17, 3)
    for changed in (frame(supersampling=1), frame(background=(0, 9, 0)), frame(colours="rgb")):
        assert changed.shape == plain.shape
        assert (changed != plain).any()
    for settings in ({}, {"supersampling": 2, "background": (7, 8, 9)}, {"height": 9, "width": 17}):
        assert np.array_equal(frame(renderer="pil", **settings), frame(**settings))


def test_an_action_space_that_the_original_does_not_have_is_an_error():
    arena = CompatEnvironment(small(actions=ClickGrid()))
    arena.reset()
    with pytest.raises(ConfigError, match="ClickGrid"):
        arena.sample_action()
    with pytest.raises(ConfigError, match="ClickGrid"):
        arena.step(0)
