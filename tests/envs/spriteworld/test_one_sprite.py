"""Worlds of a single sprite."""

from __future__ import annotations

import pytest
import torch

from percepts.envs.spriteworld.configs import SpriteworldConfig, cobra_task, task_config


def starts(config: SpriteworldConfig) -> torch.Tensor:
    """Where the only sprite of every arena begins."""
    sprites = config.arena.build().reset(range(400)).sprites
    assert sprites.present.sum(1).tolist() == [1] * 400
    return sprites.position[:, 0]


def in_corner(position: torch.Tensor) -> torch.Tensor:
    return (position >= 0.5).all(1)


def test_the_upper_right_quarter_is_held_out() -> None:
    assert not in_corner(starts(task_config("goal-finding-one-sprite"))).any()
    assert in_corner(starts(task_config("goal-finding-one-sprite", "test"))).all()
    assert 0.1 < in_corner(starts(task_config("exploration-one-sprite"))).double().mean() < 0.4


def test_every_sprite_is_a_target_whatever_its_hue() -> None:
    config = task_config("goal-finding-one-sprite")
    arena = config.arena.build()
    sprites = arena.reset(range(200)).sprites
    hue = sprites.colour[:, 0, 0]
    assert hue.min() < 0.1
    assert hue.max() > 0.9
    distance = (sprites.position[:, 0] - 0.5).norm(dim=1)
    judged = config.arena.task.judge(sprites)
    torch.testing.assert_close(judged.reward, 50 * (0.075 - distance))
    assert torch.equal(judged.success, distance < 0.075)


@pytest.mark.parametrize(("task", "steps"), [("exploration-one-sprite", 10), ("goal-finding-one-sprite", 20)])
def test_actions_noise_and_length_are_those_of_cobra(task: str, steps: int) -> None:
    assert task_config(task, "test", 0.05).arena.actions == cobra_task("sorting", noise=0.05).arena.actions
    assert task_config(task).arena.max_episode_length == steps
