"""Many arenas as one Gymnasium vector environment, stepped in tensors.

    envs = gymnasium.make_vec("Spriteworld/Sorting-v0", num_envs=256, keys=("factors", "present"))
    observations, infos = envs.reset(seed=0)            # arena i has the seed 0 + i
    observations, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())

Arena i gives the trajectory of a single environment with its seed, however many others there are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.errors import ConfigError, DataError
from percepts.envs.spriteworld.arena import ArenaState, Outcome
from percepts.envs.spriteworld.configs import SpriteworldConfig, task_config
from percepts.envs.spriteworld.env import Arrays, action_tensor, arrays, backdrop, facts, observation_space


class SpriteworldVectorEnv(VectorEnv[Arrays, Any, NDArray[Any]]):
    """B arenas; see `SpriteworldEnv` for the arguments and for what `infos` hold, here [B, …] with masks `_NAME`.

    Args:
        num_envs: B.
        task, mode, noise, observer: as of `SpriteworldEnv`.
        autoreset_mode: when an arena that has ended begins anew: at the next step, whose action it ignores (NEXT_STEP),
            at once, with the last observation and info in `final_obs` and `final_info` (SAME_STEP), or only by
            `reset(options={"reset_mask": bool [B]})` (DISABLED).
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 4}

    def __init__(
        self,
        num_envs: int = 1,
        task: str | SpriteworldConfig = "exploration",
        mode: str = "train",
        noise: float | tuple[float, ...] | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **observer: Any,
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs = {num_envs}", "1 or more")
        if render_mode not in (None, "rgb_array"):
            raise ConfigError(f"render_mode = {render_mode!r}", "'rgb_array' or None")
        try:
            self.autoreset_mode = AutoresetMode(autoreset_mode)
        except ValueError as error:
            known = ", ".join(mode.value for mode in AutoresetMode)
            raise ConfigError(f"autoreset_mode = {autoreset_mode!r}", f"one of {known}") from error
        self.config = task_config(task, mode, noise, **observer)
        self.num_envs, self.render_mode = num_envs, render_mode
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.arena = self.config.arena.build()
        self.observer = self.config.observer
        self.single_action_space = self.config.arena.actions.space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.single_observation_space = observation_space(self.observer, self.config.arena.generator.most)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._seeds: list[int] = []
        self._episodes = np.zeros(num_envs, np.int64)
        self._state: ArenaState | None = None

    @property
    def state(self) -> ArenaState:
        """The arenas, for planners that know the truth.

        Raises:
            DataError: before the first reset.
        """
        if self._state is None:
            raise DataError("an environment that was never reset", fix="envs.reset(seed=0)")
        return self._state

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begin episodes: of all arenas, or of those in options["reset_mask"] (bool [B], one True at least)."""
        mask = self._mask(options)
        given = [seed + i for i in range(self.num_envs)] if isinstance(seed, int | np.integer) else seed
        if given is not None and len(given) != self.num_envs:
            raise DataError(f"{len(given)} seeds for {self.num_envs} arenas", "one seed each")
        super().reset(seed=None)
        fresh = np.array([value is not None for value in given] if given is not None else [False] * self.num_envs)
        if self._state is None:
            drawn = self.np_random.integers(1 << 62, size=self.num_envs).tolist()
            self._seeds = [drawn[i] if given is None or given[i] is None else int(given[i] or 0)
                           for i in range(self.num_envs)]  # fmt: skip
            self._state = self.arena.reset(self._seeds)
            self._episodes[:] = 0
        else:
            again = mask & ~fresh
            if again.any():
                self._state = self._restart(again)
            anew = np.flatnonzero(mask & fresh)
            if len(anew):
                for i in anew.tolist():
                    self._seeds[i] = int(given[i])  # type: ignore[index, arg-type]
                begun = self.arena.reset([self._seeds[i] for i in anew.tolist()])
                self._state = self._state.put(torch.from_numpy(anew), begun)
                self._episodes[anew] = 0
        return arrays(self._look(self.state, None)), _masked(facts(self.state, None), mask)

    def step(
        self, actions: Any
    ) -> tuple[Arrays, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Act once in every arena.

        Raises:
            DataError: before the first reset, actions that are none, or (DISABLED) an arena that has ended.
        """
        over = self.state.finished.cpu().numpy()
        if self.autoreset_mode == AutoresetMode.DISABLED and over.any():
            raise DataError(
                f"a step after the end of the episode in arena {int(np.flatnonzero(over)[0])}",
                fix="envs.reset(options={'reset_mask': terminated | truncated})",
            )
        before = self.state
        self._state, outcome = self.arena.step(before, action_tensor(actions, self.single_action_space))
        if over.any():
            outcome = _without(outcome, torch.from_numpy(over))
            self._state = self._state.put(torch.from_numpy(over), self.arena.restart(
                before, torch.from_numpy(over)).rows(torch.from_numpy(over)))  # fmt: skip
            self._episodes += over
        infos = _masked(facts(self.state, outcome), np.ones(self.num_envs, bool))
        seen = arrays(self._look(self.state, outcome.success))
        ended = (outcome.terminated | outcome.truncated).cpu().numpy()
        if self.autoreset_mode == AutoresetMode.SAME_STEP and ended.any():
            seen, infos = self._begin_again(ended, seen, infos)
        return (
            seen,
            outcome.reward.cpu().numpy(),
            outcome.terminated.cpu().numpy(),
            outcome.truncated.cpu().numpy(),
            infos,
        )

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # type: ignore[override]
        """The pictures [H, W, 3]; None without a render mode."""
        if self.render_mode is None:
            return None
        image = self.observer.draw(self.state.sprites, self._backdrop()).image
        return tuple(np.asarray(image.cpu()))

    def _begin_again(
        self, ended: NDArray[np.bool_], seen: Arrays, infos: dict[str, Any]
    ) -> tuple[Arrays, dict[str, Any]]:
        """New episodes where the last step ended one; what it showed goes to `final_obs` and `final_info`."""
        final = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended).tolist():
            final[i] = {key: value[i].copy() for key, value in seen.items()}
        last = {name: value for name, value in infos.items() if not name.startswith("_")}
        self._state = self._restart(ended)
        begun = facts(self.state, None)
        kept = {name: np.where(_shaped(ended, value), begun[name], value) for name, value in last.items()}
        infos = _masked(kept, np.ones(self.num_envs, bool))
        infos |= {"final_obs": final, "_final_obs": ended, "final_info": _masked(last, ended), "_final_info": ended}
        again = arrays(self._look(self.state.rows(torch.from_numpy(ended)), None, np.flatnonzero(ended)))
        for key, value in again.items():
            seen[key] = seen[key].copy()
            seen[key][ended] = value
        return seen, infos

    def _restart(self, rows: NDArray[np.bool_]) -> ArenaState:
        self._episodes += rows
        return self.arena.restart(self.state, torch.from_numpy(rows))

    def _look(
        self, state: ArenaState, success: Tensor | None, which: NDArray[np.int64] | None = None
    ) -> dict[str, Tensor]:
        return self.observer.observe(state.sprites, success, self._backdrop(which))

    def _backdrop(self, which: NDArray[np.int64] | None = None) -> Tensor | None:
        if self.observer.background != "random_grey":
            return None
        chosen = range(self.num_envs) if which is None else which.tolist()
        return backdrop([self._seeds[i] for i in chosen], [int(self._episodes[i]) for i in chosen])

    def _mask(self, options: Mapping[str, Any] | None) -> NDArray[np.bool_]:
        if not options or "reset_mask" not in options:
            return np.ones(self.num_envs, bool)
        mask = np.asarray(options["reset_mask"])
        if mask.dtype != bool or mask.shape != (self.num_envs,) or not mask.any():
            raise DataError(
                f"a reset mask of {mask.dtype} {mask.shape} with {int(np.count_nonzero(mask))} arenas",
                f"bool [{self.num_envs}], True at one arena at least",
            )
        if self._state is None and not mask.all():
            raise DataError("a reset of some arenas of an environment that was never reset", fix="envs.reset(seed=0)")
        return mask


def _without(outcome: Outcome, rows: Tensor) -> Outcome:
    """The outcome with nothing happening in some arenas: those whose action is ignored."""
    changed = {}
    for field in dataclasses.fields(outcome):
        value = getattr(outcome, field.name).clone()
        value[rows] = -1 if field.name == "hit" else 0
        changed[field.name] = value
    return dataclasses.replace(outcome, **changed)


def _masked(infos: Arrays, rows: NDArray[np.bool_]) -> dict[str, Any]:
    return infos | {f"_{name}": rows.copy() for name in infos}


def _shaped(rows: NDArray[np.bool_], like: NDArray[Any]) -> NDArray[np.bool_]:
    return rows.reshape(-1, *[1] * (like.ndim - 1))
