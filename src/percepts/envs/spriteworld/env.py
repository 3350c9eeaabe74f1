"""One arena as a Gymnasium environment.

    env = gymnasium.make("Spriteworld/GoalFindingNewPosition-v0", mode="test", keys=("image", "factors", "present"))
    observation, info = env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())

It is the batched twin (`arena.Arena`) with a batch of one: the same seed gives the same trajectory in both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.errors import ConfigError, DataError
from percepts.data.hashing import hashed_uniform
from percepts.envs.spriteworld.arena import ArenaState, Outcome
from percepts.envs.spriteworld.configs import SpriteworldConfig, task_config
from percepts.envs.spriteworld.observations import Observer
from percepts.envs.spriteworld.state import FACTORS, Sprites

Arrays = dict[str, NDArray[Any]]


class SpriteworldEnv(gymnasium.Env[Arrays, Any]):
    """An arena of sprites that are clicked, dragged or carried; observations are dictionaries (see `Observer.keys`).

    `info` holds `success`, `hit_sprite` (the sprite that the action found, from 0; -1 for none), `motion` (its
    displacement, arena units), `moved` (which sprites changed place), `solved_at_start`, `sprites` (how many there are),
    `factors` and `present` (the truth, whatever is observed), and `discount` as dm_env has it (0 at every end).

    Args:
        task: a name of `configs.TASKS`, or a whole configuration.
        mode: "train" or the held-out "test".
        noise: standard deviation of the noise on actions, for tasks by name.
        render_mode: "rgb_array", or None.
        observer: changes of the configuration's observer, such as `renderer="fast"` or `keys=("factors", "present")`.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 4}

    def __init__(
        self,
        task: str | SpriteworldConfig = "exploration",
        mode: str = "train",
        noise: float | tuple[float, ...] | None = None,
        render_mode: str | None = None,
        **observer: Any,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ConfigError(f"render_mode = {render_mode!r}", "'rgb_array' or None")
        self.config = task_config(task, mode, noise, **observer)
        self.render_mode = render_mode
        self.arena = self.config.arena.build()
        self.observer = self.config.observer
        self.action_space = self.config.arena.actions.space
        self.observation_space = observation_space(self.observer, self.config.arena.generator.most)
        self._seed: int | None = None
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
            seed: of the stream of scenes and noise.
            options: {"factors": [N, 10]} begins with these sprites instead, in the order of `FACTORS`.
        """
        super().reset(seed=seed)
        if seed is not None or self._seed is None:
            self._seed = int(self.np_random.integers(1 << 62)) if seed is None else seed
            self._state, self._episode = self.arena.reset([self._seed]), 0
        else:
            self._state = self.arena.restart(self.state, torch.ones(1, dtype=torch.bool))
            self._episode += 1
        if options and "factors" in options:
            self._state = dataclasses.replace(self._state, sprites=self._given(options["factors"]))
        return self._observe(None), one(facts(self._state, None))

    def step(self, action: Any) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Act once.

        Raises:
            DataError: before the first reset, after the end of an episode, or an action that is none.
        """
        if bool(self.state.finished):
            raise DataError("a step after the end of the episode", fix="env.reset()")
        self._state, outcome = self.arena.step(self.state, action_tensor(action, self.action_space)[None])
        return (
            self._observe(outcome),
            float(outcome.reward),
            bool(outcome.terminated),
            bool(outcome.truncated),
            one(facts(self._state, outcome)),
        )

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The picture [H, W, 3]; None without a render mode."""
        if self.render_mode is None:
            return None
        picture = self.observer.draw(self.state.sprites, backdrop([self._seed or 0], [self._episode]))
        return np.asarray(picture.image[0])

    def _observe(self, outcome: Outcome | None) -> Arrays:
        success = None if outcome is None else outcome.success
        grey = backdrop([self._seed or 0], [self._episode])
        return one(arrays(self.observer.observe(self.state.sprites, success, grey)))

    def _given(self, factors: Any) -> Sprites:
        values = torch.as_tensor(np.asarray(factors, dtype=np.float64))
        most = self.config.arena.generator.most
        if values.ndim != 2 or values.shape[1] != len(FACTORS) or len(values) > most:
            raise DataError(f"factors of shape {tuple(values.shape)}", f"[N, {len(FACTORS)}] with N up to {most}")
        if not bool(torch.isfinite(values).all()):
            raise DataError("factors that are not finite", "finite numbers")
        padded = torch.zeros(1, most, len(FACTORS), dtype=torch.float64)
        padded[0, : len(values)] = values
        present = (torch.arange(most) < len(values))[None]
        return Sprites.of(padded, present, self.state.sprites.outlines)


def observation_space(observer: Observer, most: int) -> spaces.Dict:
    """The space of one arena's observations, of up to `most` sprites."""
    height, width = observer.height, observer.width
    known: dict[str, spaces.Space[Any]] = {
        "image": spaces.Box(0, 255, (height, width, 3), np.uint8),
        "segmentation": spaces.Box(0, most, (height, width), np.int64),
        "layers": spaces.Box(0, 255, (most, height, width, 4), np.uint8),
        "factors": spaces.Box(-np.inf, np.inf, (most, len(FACTORS)), np.float32),
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
    """What `info` says of every arena after a step, or after a reset."""
    sprites = state.sprites
    batch, most = sprites.present.shape
    found: Arrays = {
        "success": np.zeros(batch, bool),
        "hit_sprite": np.full(batch, -1),
        "motion": np.zeros((batch, 2)),
        "moved": np.zeros((batch, most), bool),
        "discount": np.ones(batch),
    }
    if outcome is not None:
        found["success"] = outcome.success.cpu().numpy()
        found["hit_sprite"] = outcome.hit.cpu().numpy()
        found["motion"] = outcome.motion.cpu().numpy()
        found["moved"] = outcome.moved.cpu().numpy()
        found["discount"] = 1.0 - (outcome.terminated | outcome.truncated).double().cpu().numpy()
    return found | {
        "solved_at_start": state.solved_at_start.cpu().numpy(),
        "sprites": sprites.present.sum(1).cpu().numpy(),
        "factors": sprites.factors.cpu().numpy(),
        "present": sprites.present.cpu().numpy(),
    }


def backdrop(seeds: list[int], episodes: list[int]) -> Tensor:
    """The grey level in [0, 1] behind an episode, a function of the stream's seed and the episode's number."""
    levels = [hashed_uniform(torch.tensor([episode]), seed, "backdrop") for seed, episode in zip(seeds, episodes)]
    return torch.cat(levels)


def action_tensor(action: Any, space: spaces.Space[Any]) -> Tensor:
    """An action, or a batch of them, as the arena takes it: float64 of a Box, int64 of the discrete spaces.

    Raises:
        DataError: no numbers.
    """
    try:
        values = np.asarray(action)
        return torch.as_tensor(values, dtype=torch.float64 if isinstance(space, spaces.Box) else torch.int64)
    except (TypeError, ValueError) as error:
        raise DataError(f"the action {action!r}", f"an element of {space}") from error
