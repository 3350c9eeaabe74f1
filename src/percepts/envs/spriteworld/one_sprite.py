"""Worlds of a single sprite, for agents that see with one vector instead of objects; none of COBRA's own tasks.

The sprite is larger than in COBRA's tasks, so that pictures of 32 × 32 show its shape and clicks find it more often.
"""

from __future__ import annotations

import dataclasses

from percepts.data.distributions import Continuous, Discrete, Distribution, Product
from percepts.envs.spriteworld.configs import AREA, CORNER, Noise, SpriteworldConfig, cobra_task, register_task
from percepts.envs.spriteworld.generators import Generate, shapes
from percepts.envs.spriteworld.tasks import FindGoalPosition

SINGLE = Product(
    (
        shapes("square", "triangle", "circle"),
        Discrete("scale", (0.2,)),
        Continuous("c0", 0.0, 1.0),
        Continuous("c1", 0.3, 1.0),
        Continuous("c2", 0.9, 1.0),
    )
)
"""The sprite: any hue, COBRA's shapes, saturations and values."""


@register_task("exploration-one-sprite")
def exploration_one_sprite(mode: str, noise: Noise) -> SpriteworldConfig:
    """One sprite of any hue, nothing to do, 10 steps; the same in both modes."""
    return _with_one(cobra_task("exploration", mode, noise), AREA)


@register_task("goal-finding-one-sprite")
def goal_finding_one_sprite(mode: str, noise: Noise) -> SpriteworldConfig:
    """One sprite of any hue belongs in the middle, 20 steps. Trained with sprites that begin anywhere but in the upper
    right quarter, tested with those that begin there: goal-finding-new-position without a distractor."""
    whole = _with_one(
        cobra_task("goal-finding-new-position", mode, noise), AREA - CORNER if mode == "train" else CORNER
    )
    return dataclasses.replace(
        whole, arena=dataclasses.replace(whole.arena, task=FindGoalPosition(terminate_distance=0.075))
    )


def _with_one(whole: SpriteworldConfig, start: Distribution) -> SpriteworldConfig:
    scenes = Generate(Product((start, SINGLE)))
    return dataclasses.replace(whole, arena=dataclasses.replace(whole.arena, generator=scenes))
