"""One arena as a Gymnasium environment.

    import percepts.envs.spriteworld.registration      # makes the ids known
    env = gymnasium.make("Spriteworld/GoalFindingNewPosition-v0", mode="test", keys=("image", "factors", "present"))
    observation, info = env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())

It is the batched twin (`arena.Arena`) with a batch of one: the same seed gives the same trajectory in both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.errors import ConfigError, DataError
from percepts.core.optional import require_package
from percepts.envs.arguments import check_options as check_options
from percepts.envs.arguments import check_render_mode as check_render_mode
from percepts.envs.arguments import checked_seed as checked_seed
from percepts.envs.spriteworld.arena import Arena, ArenaState, Outcome
from percepts.envs.spriteworld.configs import Noise, SpriteworldConfig, task_config
from percepts.envs.spriteworld.observations import Observer, Screen, backdrop
from percepts.envs.spriteworld.state import FACTORS, Sprites

require_package("gymnasium", extra="envs")

import gymnasium  # noqa: E402
from gymnasium import spaces  # noqa: E402

Arrays = dict[str, NDArray[Any]]

_FARTHEST = 1e6
"""What spaces say of factors, whose distributions are the user's: learners expect finite bounds."""


class SpriteworldEnv(gymnasium.Env[Arrays, Any]):
    """An arena of sprites that are clicked, dragged or carried; observations are dictionaries (see `Observer.keys`).

    `info` holds `success` (whether the task is done), `hit_sprite` (the sprite that the action found, from 0; -1 for
    none), `motion` (its displacement, arena units), `moved` (which sprites changed place), `solved_at_start`, `sprites`
    (how many there are), `factors` and `present` (the truth, whatever is observed), and `discount` as dm_env has it (0
    at every end).

    Args:
        task: a name of `configs.TASKS`, or a whole configuration.
        mode: "train" or the held-out "test".
        noise: standard deviation of the noise on actions, for tasks by name.
        render_mode: "rgb_array", or None.
        observer: changes of the configuration's observer, such as `renderer="fast"` or `keys=("factors", "present")`.

    Raises:
        ConfigError: an unknown task, mode, render mode or setting, or one that does not fit.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's own type)

    def __init__(
        self,
        task: str | SpriteworldConfig = "exploration",
        mode: str = "train",
        noise: Noise = None,
        render_mode: str | None = None,
        **observer: Any,
    ) -> None:
        check_render_mode(render_mode)
        self.config = task_config(task, mode, noise, **observer)
        self.render_mode = render_mode
        self.arena = self.config.arena.build()
        self.observer = self.config.observer
        self._screen = Screen(self.observer)
        self.action_space = self.config.arena.actions.space
        self.observation_space: spaces.Space[Arrays] = observation_space(self.config)
        self._seed = 0
        self._episode = 0
        self._state: ArenaState | None = None

    @property
    def state(self) -> ArenaState:
        """The arena, for planners that know the truth.

        Raises:
            DataError: before the first reset.
        """
        if self._state is None:
            raise DataError("an environment that was never reset", fix="env.reset(seed=0)")
        return self._state

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begin an episode: with a `seed` the first of its stream, without one the next.

        Args:
            seed: of the stream of scenes and noise, a whole number from 0.
            options: {"factors": [N, 10]} begins with these sprites instead, in the order of `FACTORS`.

        Raises:
            DataError: another seed, other options, or sprites that leave the task nothing to judge.
        """
        options = check_options(options, ("factors",))
        given = given_sprites(options["factors"], 1, self.arena) if "factors" in options else None
        if seed is not None or self._state is None:
            super().reset(seed=checked_seed(seed))
            fresh = int(self.np_random.integers(1 << 62)) if seed is None else int(seed)
            self._state = self.arena.reset([fresh])
            self._seed, self._episode = fresh, 0
        else:
            self._state = self.arena.restart(self._state, torch.ones(1, dtype=torch.bool))
            self._episode += 1
        if given is not None:
            self._state = dataclasses.replace(self._state, sprites=given[0], solved_at_start=given[1])
        return self._observe(self._state.solved_at_start), one(facts(self._state, None))

    def step(self, action: Any) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Act once.

        Raises:
            DataError: before the first reset, after the end of an episode, or an action that is none.
        """
        if bool(self.state.finished):
            raise DataError("a step after the end of the episode", fix="env.reset()")
        self._state, outcome = self.arena.step(self.state, action_tensor(action, self.action_space)[None])
        return (
            self._observe(outcome.success),
            float(outcome.reward),
            bool(outcome.terminated),
            bool(outcome.truncated),
            one(facts(self._state, outcome)),
        )

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The picture [H, W, 3]; None without a render mode.

        Raises:
            DataError: before the first reset.
        """
        if self.render_mode is None:
            return None
        return np.asarray(picture(self.observer, self.state.sprites, self._grey())[0])

    def _observe(self, success: Tensor) -> Arrays:
        return one(arrays(self._screen.observe(self.state.sprites, success, self._grey())))

    def _grey(self) -> Tensor | None:
        return backdrop([self._seed], [self._episode]) if self.observer.background == "random_grey" else None


def observation_space(config: SpriteworldConfig) -> spaces.Space[Any]:
    """The space of one arena's observations.

    Raises:
        ConfigError: scenes without any sprite, or with more than there are places for.
    """
    observer, generator = config.observer, config.arena.generator
    if generator.most < 1:
        raise ConfigError("a generator of scenes without any sprite", "one that gives at least one at times")
    most, size = observer.places(generator.most), (observer.height, observer.width)
    image: dict[str, spaces.Space[Any]] = {
        "bytes": spaces.Box(0, 255, (*size, 3), np.uint8),
        "floats": spaces.Box(0.0, 1.0, (3, *size), np.float32),
    }
    known: dict[str, spaces.Space[Any]] = {
        "image": image[observer.image_as],
        "segmentation": spaces.Box(0, most, size, np.int64),
        "layers": spaces.Box(0, 255, (most, *size, 4), np.uint8),
        "factors": spaces.Box(-_FARTHEST, _FARTHEST, (most, len(FACTORS)), np.float32),
        "present": spaces.MultiBinary(most),
        "success": spaces.MultiBinary(1),
    }
    return spaces.Dict({key: known[key] for key in observer.keys})


def arrays(observation: Mapping[str, Tensor]) -> Arrays:
    """An observation as the arrays of `observation_space`, [B, …]."""
    found = {key: value.cpu().numpy() for key, value in observation.items()}
    if "present" in found:
        found["present"] = found["present"].astype(np.int8)
    if "success" in found:
        found["success"] = found["success"].astype(np.int8)[:, None]
    return found


def one(batched: Mapping[str, Any]) -> dict[str, Any]:
    """The first row of everything; single numbers as Python's own."""
    rows = {key: value[0] for key, value in batched.items()}
    return {key: value.item() if np.ndim(value) == 0 else value for key, value in rows.items()}


def facts(state: ArenaState, outcome: Outcome | None) -> Arrays:
    """What `info` says of every arena after a step, or after a reset; the arrays are the caller's."""
    sprites, solved = state.sprites, state.solved_at_start.numpy(force=True)
    batch, most = sprites.present.shape
    found: Arrays
    if outcome is None:
        found = {
            "success": solved.copy(),
            "hit_sprite": np.full(batch, -1),
            "motion": np.zeros((batch, 2)),
            "moved": np.zeros((batch, most), bool),
            "discount": np.ones(batch),
        }
    else:
        found = {
            "success": outcome.success.numpy(force=True).copy(),
            "hit_sprite": outcome.hit.numpy(force=True).copy(),
            "motion": outcome.motion.numpy(force=True).copy(),
            "moved": outcome.moved.numpy(force=True).copy(),
            "discount": 1.0 - (outcome.terminated.numpy(force=True) | outcome.truncated.numpy(force=True)),
        }
    present = sprites.present.numpy(force=True)
    found["solved_at_start"], found["sprites"] = solved.copy(), present.sum(1)
    found["factors"], found["present"] = sprites.factors.numpy(force=True), present.copy()
    return found


def picture(observer: Observer, sprites: Sprites, grey: Tensor | None) -> Tensor:
    """The image in bytes [B, H, W, 3], whatever is observed."""
    return dataclasses.replace(observer, keys=("image",)).draw(sprites, grey).image.cpu()


def given_sprites(factors: Any, batch: int, arena: Arena) -> tuple[Sprites, Tensor]:
    """The sprites that a reset is told to begin with, and whether they solve the task.

    Args:
        factors: [N, 10] for all arenas, or [batch, N, 10].
        batch: how many arenas.
        arena: its rules.

    Raises:
        DataError: more sprites than the arena's scenes have, factors that are none, or nothing for the task to judge.
    """
    most = arena.config.generator.most
    try:
        values = torch.as_tensor(np.asarray(factors, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise DataError(f"factors that are a {type(factors).__name__}", f"numbers [N, {len(FACTORS)}]") from error
    if values.ndim == 2:
        values = values.expand(batch, -1, -1)
    if values.ndim != 3 or values.shape[2] != len(FACTORS) or len(values) != batch or values.shape[1] > most:
        got = f"factors of shape {np.shape(factors)}"
        raise DataError(got, f"[N, {len(FACTORS)}] with N up to {most}, for all arenas or for each of {batch}")
    count = values.shape[1]
    padded = torch.zeros(batch, most, len(FACTORS), dtype=torch.float64)
    padded[:, :count] = values
    sprites = Sprites.of(padded, (torch.arange(most) < count).expand(batch, -1).clone(), arena.outlines)
    judgement = arena.config.task.judge(sprites)
    if arena.config.require_judged and not bool(judgement.judged.all()):
        raise DataError(f"{count} given sprites leave the task nothing to judge", "sprites that pass its filters")
    return sprites, judgement.success


def action_tensor(action: Any, space: spaces.Space[Any]) -> Tensor:
    """An action, or a batch of them, as the arena takes it: float64 of a Box, int64 of the discrete spaces.

    Raises:
        DataError: no numbers, or fractions where whole numbers are wanted.
    """
    boxed = isinstance(space, spaces.Box)
    try:
        values = action.numpy(force=True) if isinstance(action, Tensor) else np.asarray(action)
    except (TypeError, ValueError) as error:
        raise DataError(f"the action {action!r}", f"an element of {space}") from error
    if values.dtype.kind not in ("fiu" if boxed else "iu"):
        raise DataError(f"an action of {values.dtype}", f"an element of {space}")
    return torch.from_numpy(values.astype(np.float64 if boxed else np.int64))
