"""The batched arena against the compat mode, from the same sprites, actions and noise."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from percepts.envs.spriteworld import examples  # noqa: F401  (registers its tasks)
from percepts.envs.spriteworld.actions import DragAndDrop, Embodied
from percepts.envs.spriteworld.arena import ArenaState
from percepts.envs.spriteworld.compat import CompatEnvironment
from percepts.envs.spriteworld.compat_rendering import as_tensors, render
from percepts.envs.spriteworld.compat_tasks import judge
from percepts.envs.spriteworld.configs import SpriteworldConfig, task_config
from percepts.envs.spriteworld.state import Sprites
from percepts.envs.streams import Streams

TASKS = [
    ("exploration", "train"),
    *((f"goal-finding-{what}", mode)
      for what in ("new-shape", "new-position", "more-distractors", "more-targets") for mode in ("train", "test")),
    ("clustering", "train"), ("clustering", "test"), ("sorting", "train"), ("sorting", "test"),
    ("goal-finding-clustering", "train"), ("goal-finding-embodied", "train"),
]  # fmt: skip
STEPS = 120


@dataclasses.dataclass
class Played:
    """Steps of the compat mode, one below the other: what was before and after, done and got."""

    before: Sprites
    after: Sprites
    action: torch.Tensor
    reward: np.ndarray
    success: np.ndarray
    hit: np.ndarray
    ended: np.ndarray
    time: np.ndarray


def play(config: SpriteworldConfig, seed: int = 0) -> Played:
    """Every other action clicks on a sprite; bodies begin where another sprite is. The arena is told the sum of action
    and noise."""
    unseen = dataclasses.replace(config.observer, keys=("success",))
    arena = CompatEnvironment(dataclasses.replace(config, observer=unseen), seed)
    embodied = isinstance(config.arena.actions, Embodied)
    noise = None if embodied else config.arena.actions.noise
    rows: list[tuple[Any, ...]] = []
    step, time = None, 0
    while len(rows) < STEPS:
        if step is None or step.last():
            step, time = arena.reset(), 0
            if embodied:
                arena.sprites[-1].position = arena.sprites[0].position.copy()
        action = arena.sample_action()
        if len(rows) % 2 and not embodied:
            action = np.concatenate([arena.sample_point_inside(), arena.rng.uniform(0, 1, 2)])
        told = action + copy.deepcopy(arena.rng).normal(0.0, noise, 4) if noise else action
        before = copy.deepcopy(arena.sprites)
        step = arena.step(action)
        after, success = copy.deepcopy(arena.sprites), step.observation["success"]
        rows.append((before, after, told, step.reward, success, arena.hit, step.last(), time))
        time += 1
    before, after, action, *others = zip(*rows)
    return Played(as_tensors(before), as_tensors(after), torch.tensor(np.array(action)), *map(np.array, others))


def compare(config: SpriteworldConfig, played: Played) -> None:
    actions = config.arena.actions
    if not isinstance(actions, Embodied):
        actions = dataclasses.replace(actions, noise=None, bounds="ignore")
    arena = dataclasses.replace(config.arena, actions=actions).build()
    rows = len(played.before)
    no = torch.zeros(rows, dtype=torch.bool)
    state = ArenaState(played.before, Streams.of(range(rows)), torch.tensor(played.time), no, no)
    after, outcome = arena.step(state, played.action)
    np.testing.assert_array_equal(outcome.hit, played.hit)
    np.testing.assert_allclose(outcome.reward, played.reward, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(outcome.success, played.success)
    np.testing.assert_array_equal(after.finished, played.ended)
    np.testing.assert_allclose(after.sprites.factors, played.after.factors, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("task", "mode"), TASKS)
def test_steps_are_those_of_the_batched_arena(task, mode):
    config = task_config(task, mode)
    played = play(config)
    assert (played.hit >= 0).sum() >= (10 if task == "goal-finding-embodied" else STEPS // 3)
    compare(config, played)


@pytest.mark.parametrize("task", ["clustering", "sorting"])
def test_steps_with_noise_are_those_of_the_batched_arena(task):
    config = task_config(task, noise=0.05)
    compare(config, play(config, seed=1))


def test_drags_with_a_cost_that_leave_the_frame_are_those_of_the_batched_arena():
    config = task_config("exploration")
    actions = DragAndDrop(scale=0.9, motion_cost=2.0)
    config = dataclasses.replace(config, arena=dataclasses.replace(config.arena, actions=actions, keep_in_frame=False))
    played = play(config, seed=2)
    compare(config, played)


@pytest.mark.parametrize(("task", "mode"), TASKS)
def test_scenes_and_judgements_of_the_batched_arena_are_those_of_the_compat_mode(task, mode):
    """Over many scenes: rewards of the start, what is solved already, and pictures."""
    config = task_config(task, mode)
    arena = CompatEnvironment(config, 3)
    scenes = [arena._scene() for _ in range(60)]
    sprites = as_tensors(scenes)
    judgement = config.arena.task.judge(sprites)
    wanted = [judge(config.arena.task, scene) for scene in scenes]
    np.testing.assert_allclose(judgement.reward, [reward for reward, _ in wanted], rtol=1e-5, atol=1e-4)
    assert judgement.success.tolist() == [success for _, success in wanted]
    pictures = config.observer.observe(sprites)["image"]
    np.testing.assert_array_equal(pictures[:20], render(scenes[:20], config.observer))
