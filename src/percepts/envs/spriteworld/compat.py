"""The original Spriteworld 1.0.2 (Watters et al. 2019), number for number: the compat mode.

    environment = CompatEnvironment(cobra_task("sorting"), seed=0)      # as after np.random.seed(0)
    step = environment.reset()
    while not step.last():
        step = environment.step(environment.sample_action())
    step.reward, step.observation["image"]

Scenes, sampled actions and noise come from NumPy's legacy generator in the original's order, positions are float32,
rewards, errors and the end of episodes are the original's, and frames are the same to the bit. It is NumPy, one sprite
at a time: for results that must compare with published ones, and to test the batched `Arena` against. What was measured
with the package itself is in tests/golden/spriteworld.json.

What is kept of the original's habits: a scene is drawn when the environment is made and another one in `reset` (its Gym
wrapper, when it is made, resets once more); a step after the end of an episode is a reset, whatever the action; a start
may be a success already; being out of frame, out of time or done all give discount 0. What is not: frames come in
memory order, and non-square ones are not transposed.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from percepts.core.errors import ConfigError, DataError
from percepts.envs.spriteworld.compat_actions import act, sample_action
from percepts.envs.spriteworld.compat_rendering import check_observer, factor_list, render
from percepts.envs.spriteworld.compat_sampling import CURRENT, CompatOptions, draw_scene
from percepts.envs.spriteworld.compat_sprite import CompatSprite
from percepts.envs.spriteworld.compat_tasks import judge
from percepts.envs.spriteworld.configs import SpriteworldConfig
from percepts.envs.spriteworld.physics import Drift


class StepType(IntEnum):
    """Where in an episode a step is, with dm_env's numbers."""

    FIRST = 0
    MID = 1
    LAST = 2


class TimeStep(NamedTuple):
    """What an environment returns, as in dm_env: reward and discount are None in the first step of an episode, the
    discount is 0 in the last and 1 else."""

    step_type: StepType
    reward: float | None
    discount: float | None
    observation: dict[str, Any]

    def first(self) -> bool:
        """Whether the episode begins."""
        return self.step_type is StepType.FIRST

    def mid(self) -> bool:
        """Whether it goes on."""
        return self.step_type is StepType.MID

    def last(self) -> bool:
        """Whether it ends."""
        return self.step_type is StepType.LAST


class CompatEnvironment:
    """One arena of the original.

    Args:
        config: of the scene, the task, the actions and what is observed: "image" uint8 [H, W, 3], "factors", a list of
            dictionaries by name, and "success".
        seed: of the legacy generator, or the generator itself, to share it.
        options: which original.

    Attributes:
        sprites: in the arena; the last one is in front. They are moved in place.
        hit: the number of the sprite that the last action moved by its click or carried; -1 for none.

    Raises:
        ConfigError: something that the original does not have.
    """

    def __init__(
        self,
        config: SpriteworldConfig,
        seed: int | np.random.RandomState = 0,
        options: CompatOptions = CURRENT,
    ) -> None:
        _check(config)
        self.config, self.options = config, options
        self.rng = seed if isinstance(seed, np.random.RandomState) else np.random.RandomState(seed)
        self.sprites = self._scene()
        self.hit = -1
        self._steps = 0
        self._ended = True

    def reset(self) -> TimeStep:
        """Begin an episode."""
        self.sprites = self._scene()
        self._steps, self._ended, self.hit = 0, False, -1
        return TimeStep(StepType.FIRST, None, None, self.observe())

    def step(self, action: Any) -> TimeStep:
        """Act, or begin an episode where the last one has ended or there was none.

        Args:
            action: four numbers, or two whole ones of an embodied agent; they are not checked.

        Raises:
            CompatDataError, CompatZeroDivisionError: the task has no reward here (see `compat_tasks`).
        """
        if self._ended:
            return self.reset()
        arena = self.config.arena
        self._steps += 1
        reward, self.hit = act(arena.actions, action, self.sprites, self.rng, arena.keep_in_frame)
        for sprite in self.sprites:
            sprite.move(sprite.velocity, arena.keep_in_frame)
        gained, success = judge(arena.task, self.sprites, self.options)
        out_of_frame = any(sprite.out_of_frame for sprite in self.sprites)
        self._ended = success or out_of_frame or self._steps >= arena.max_episode_length
        kind, discount = (StepType.LAST, 0.0) if self._ended else (StepType.MID, 1.0)
        return TimeStep(kind, reward + gained, discount, self.observe())

    def observe(self) -> dict[str, Any]:
        """What the configuration's observer asks for."""
        seen: dict[str, Any] = {}
        for key in self.config.observer.keys:
            if key == "image":
                seen[key] = render([self.sprites], self.config.observer, self.options)[0]
            elif key == "factors":
                seen[key] = factor_list(self.sprites)
            else:
                seen[key] = self.success()
        return seen

    def success(self) -> bool:
        """Whether the task is done."""
        return judge(self.config.arena.task, self.sprites, self.options)[1]

    def sample_action(self) -> Any:
        """A uniformly random action."""
        return sample_action(self.config.arena.actions, self.rng)

    def sample_point_inside(self) -> Float[np.ndarray, "2"]:
        """A point in a sprite, any sprite as likely as any other, whether or not another one hides it.

        Raises:
            DataError: there is no sprite.
        """
        if not self.sprites:
            raise DataError("a point in a sprite of an empty scene", "a scene with sprites")
        return self.sprites[self.rng.randint(len(self.sprites))].sample_inside(self.rng)

    def _scene(self) -> list[CompatSprite]:
        return draw_scene(self.config.arena.generator, self.rng, self.options)


def _check(config: SpriteworldConfig) -> None:
    """Make sure that the original has all this.

    Raises:
        ConfigError: it does not.
    """
    arena = config.arena
    if arena.reject_solved_start:
        raise ConfigError("reject_solved_start", "False: the original does not look at the start")
    if arena.physics != Drift():
        raise ConfigError(f"the original has no physics like {arena.physics}", "Drift()")
    if arena.polygons:
        raise ConfigError(f"the original has no polygons beside its shapes, {len(arena.polygons)} given", "none")
    check_observer(config.observer)
