"""How well an agent does a task, on the train mode and on what is held out, and how fast it learned to.

    score = evaluate(phase.agent(), cobra_task("sorting", "test"), episodes=100, seed=0)
    curve = Curve(points=((200, 0.4), (500, 0.95), (1000, 1.0)))
    curve.steps_to(0.9)                 # 500
    band([curve, other])                # mean and interval over seeds at every number of rewarded steps

Scenes and noise of an evaluation come from streams of their own: it changes nothing in a training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from percepts.agents.agent import Observation
from percepts.agents.spriteworld_policies import Look, Score, run_episodes
from percepts.core.errors import ConfigError
from percepts.core.random import derive_seed
from percepts.envs.spriteworld.configs import SpriteworldConfig
from percepts.envs.spriteworld.observations import Observer
from percepts.envs.spriteworld.state import Sprites

SOLVED = 0.9
"""The share of successes that "steps to 90 %" speaks of."""


class Sees(Protocol):
    """An agent that says which keys of the observation it needs."""

    @property
    def observes(self) -> tuple[str, ...]: ...

    def act(self, observation: Observation, state: int | None = None) -> tuple[Tensor, int]: ...


def evaluate(agent: Sees, config: SpriteworldConfig, episodes: int, seed: int) -> Score:
    """Success, length and return over so many episodes, with intervals over them.

    Args:
        agent: who acts, without exploring.
        config: the task in one of its modes, and how it is seen.
        episodes: first ones of as many arenas.
        seed: of the scenes and the noise; every task and mode has streams of its own.

    Raises:
        ConfigError: no episodes.
    """
    scenes = derive_seed(seed, "evaluation", config.name, config.mode)
    return run_episodes(config.arena.build(), agent, episodes, scenes, looking(config.observer, agent.observes)).score()


def looking(observer: Observer, keys: tuple[str, ...]) -> Look:
    """What `observer` sees of sprites, with these keys."""
    chosen = replace(observer, keys=keys)  # type: ignore[arg-type]

    def look(sprites: Sprites) -> Observation:
        return chosen.observe(sprites)

    return look


@dataclass(frozen=True)
class Curve:
    """How success grows in one training.

    Attributes:
        points: rewarded steps and the share of successes after so many, in the order of the steps.
    """

    points: tuple[tuple[int, float], ...]

    def steps_to(self, level: float = SOLVED) -> int | None:
        """The first evaluated number of rewarded steps with this share of successes; None where none has it."""
        return next((steps for steps, success in self.points if success >= level), None)

    @property
    def area(self) -> float:
        """The mean success over rewarded steps from 0 to the last point, by trapezia; success at 0 counts as 0."""
        total, last, before = 0.0, 0, 0.0
        for steps, success in self.points:
            total += (steps - last) * (before + success) / 2
            last, before = steps, success
        return total / last if last else math.nan


@dataclass(frozen=True)
class BandPoint:
    """Several trainings after equally many rewarded steps: their mean, and an interval that holds the mean of all
    possible seeds with the probability asked for, were the seeds' values normal (Student's t, cut to [0, 1])."""

    steps: int
    mean: float
    low: float
    high: float
    seeds: int


def band(curves: Sequence[Curve], level: float = 0.95) -> tuple[BandPoint, ...]:
    """The curves of several seeds as one, at the numbers of steps that all of them have.

    Raises:
        ConfigError: no curves.
    """
    if not curves:
        raise ConfigError("a band of no curves", "one curve for each seed")
    known = [dict(curve.points) for curve in curves]
    shared = [steps for steps in known[0] if all(steps in other for other in known)]
    found = []
    for steps in shared:
        values = torch.tensor([points[steps] for points in known], dtype=torch.float64)
        mean, count = float(values.mean()), len(values)
        half = student_quantile(level, count - 1) * float(values.std()) / math.sqrt(count) if count > 1 else 0.0
        found.append(BandPoint(steps, mean, max(0.0, mean - half), min(1.0, mean + half), count))
    return tuple(found)


def student_quantile(level: float, freedom: int) -> float:
    """What the absolute value of Student's t with so many degrees of freedom stays below with probability `level`."""
    if freedom < 1 or not 0 < level < 1:
        raise ConfigError(f"Student's t with {freedom} degrees of freedom at level {level}", "1 or more, and (0, 1)")
    low, high = 0.0, 1.0
    while _student_inside(high, freedom) < level:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_inside(middle, freedom) < level else (low, middle)
    return (low + high) / 2


def _student_inside(t: float, freedom: int) -> float:
    """P(|T| < t), by the finite series of Abramowitz & Stegun (1964), 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(freedom))
    cos, sin = math.cos(angle), math.sin(angle)
    odd = freedom % 2 == 1
    term = cos if odd else 1.0
    total = term if freedom > 1 else 0.0
    for number in range(3 if odd else 2, freedom - 1, 2):
        term *= cos**2 * (number - 1) / number
        total += term
    return 2 / math.pi * (angle + sin * total) if odd else sin * total


def amortised_steps(exploration: int, tasks: int, rewarded: int) -> float:
    """Environment steps a task when one exploration serves several of them: exploration/tasks + rewarded steps.

    Raises:
        ConfigError: no tasks.
    """
    if tasks < 1:
        raise ConfigError(f"an exploration for {tasks} tasks", "1 or more")
    return exploration / tasks + rewarded
