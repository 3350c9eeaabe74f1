"""Many arenas as one Gymnasium vector environment, stepped in tensors.

    import percepts.envs.spriteworld.registration       # makes the ids known
    envs = gymnasium.make_vec("Spriteworld/Sorting-v0", num_envs=256, keys=("factors", "present"))
    observations, infos = envs.reset(seed=0)            # arena i has the seed 0 + i
    observations, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())

Arena i gives the trajectory of a single environment with its seed, however many others there are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.errors import ConfigError, DataError
from percepts.core.optional import require_package
from percepts.envs.spriteworld.arena import ArenaState, Outcome
from percepts.envs.spriteworld.configs import Noise, SpriteworldConfig, task_config
from percepts.envs.spriteworld.env import (
    Arrays,
    action_tensor,
    arrays,
    check_options,
    check_render_mode,
    checked_seed,
    facts,
    given_sprites,
    observation_space,
    picture,
)
from percepts.envs.spriteworld.observations import Screen, backdrop

require_package("gymnasium", extra="envs")

from gymnasium.vector import AutoresetMode, VectorEnv  # noqa: E402
from gymnasium.vector.utils import batch_space  # noqa: E402

Bools = NDArray[np.bool_]


class SpriteworldVectorEnv(VectorEnv[Arrays, Any, NDArray[Any]]):
    """B arenas; see `SpriteworldEnv` for the arguments and for what `infos` hold, here [B, …] with masks `_NAME`.

    Args:
        num_envs: B.
        task, mode, noise, render_mode, observer: as of `SpriteworldEnv`.
        autoreset_mode: when an arena that has ended begins anew: at the next step, whose action it ignores (NEXT_STEP),
            at once, with the last observation and info in `final_obs` and `final_info` (SAME_STEP), or only by
            `reset(options={"reset_mask": bool [B]})` (DISABLED).

    Raises:
        ConfigError: as of `SpriteworldEnv`, no arenas, or an unknown autoreset mode.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's own type)

    def __init__(
        self,
        num_envs: int = 1,
        task: str | SpriteworldConfig = "exploration",
        mode: str = "train",
        noise: Noise = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **observer: Any,
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs = {num_envs}", "1 or more")
        check_render_mode(render_mode)
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
        self._screen = Screen(self.observer)
        self.single_action_space = self.config.arena.actions.space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.single_observation_space = observation_space(self.config)
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

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the streams of the arenas, as the last reset that gave or drew one left them; none before the first."""
        return tuple(self._seeds)

    @property
    def episodes(self) -> NDArray[np.int64]:
        """The number of every arena's episode in its stream [B], from 0; a copy."""
        return self._episodes.copy()

    def go_on(self, state: ArenaState, seeds: Sequence[int], episodes: NDArray[np.int64]) -> None:
        """Be where arenas of the same configuration were: what follows is what followed there.

        Args:
            state: their `state`, of as many arenas and sprites as there are here.
            seeds: their `seeds`.
            episodes: their `episodes`, [B].

        Raises:
            DataError: those of another number of arenas or sprites.
        """
        places = self.config.arena.generator.most
        found = (len(state), len(seeds), *np.shape(episodes), state.sprites.present.shape[1])
        if found != (*(self.num_envs,) * 3, places):
            raise DataError(
                f"{found[0]} states, {found[1]} seeds, {np.shape(episodes)} episodes and {found[-1]} sprites",
                f"those of {self.num_envs} arenas of {places} sprites",
            )
        self._state, self._seeds, self._episodes = state, list(seeds), np.array(episodes, np.int64)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begin episodes, with a seed the first of its stream, without one the next.

        Args:
            seed: of the first arena, of which the others count up, or one for each.
            options: "reset_mask", bool [B], True at one arena at least: which ones begin anew; all by default.
                "factors" as of `SpriteworldEnv.reset`, for all arenas [N, 10] or for each [B, N, 10].

        Raises:
            DataError: other seeds or options, or sprites that leave the task nothing to judge.
        """
        options = check_options(options, ("reset_mask", "factors"))
        mask, seeds = self._mask(options), self._given(seed)
        given = given_sprites(options["factors"], self.num_envs, self.arena) if "factors" in options else None
        self._begin(mask, seeds)
        state = self.state
        if given is not None:
            rows = torch.from_numpy(mask)
            solved = torch.where(rows, given[1], state.solved_at_start)
            sprites = state.sprites.put(rows, given[0].rows(rows))
            self._state = state = dataclasses.replace(state, sprites=sprites, solved_at_start=solved)
        success = state.solved_at_start
        if not mask.all():
            success = torch.where(torch.from_numpy(mask), success, self.arena.config.task.judge(state.sprites).success)
        return arrays(self._look(state, success)), _masked(facts(state, None), mask)

    def step(self, actions: Any) -> tuple[Arrays, NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """Act once in every arena.

        Raises:
            DataError: before the first reset, actions that are none, or (DISABLED) an arena that has ended.
        """
        over = self.state.finished
        action = action_tensor(actions, self.single_action_space)
        anew = bool(over.any())
        if anew:
            if self.autoreset_mode == AutoresetMode.DISABLED:
                raise DataError(
                    f"a step after the end of the episode in arena {int(over.nonzero()[0])}",
                    fix="envs.reset(options={'reset_mask': terminated | truncated})",
                )
            action = self._without(action, over)
        state, outcome = self.arena.step(self.state, action)
        if anew:
            # What is over stands still in a step, so it begins anew as if there had been none.
            state = self.arena.restart(state, over)
            outcome = _nothing(outcome, state, over)
            self._episodes += over.numpy(force=True)
        self._state = state
        infos = _masked(facts(state, outcome), np.ones(self.num_envs, bool))
        seen = arrays(self._look(state, outcome.success))
        reward, terminated, truncated = (
            part.numpy(force=True) for part in (outcome.reward, outcome.terminated, outcome.truncated)
        )
        ended = terminated | truncated
        if self.autoreset_mode == AutoresetMode.SAME_STEP and ended.any():
            seen, infos = self._begin_again(ended, outcome.success, seen, infos)
        return seen, reward, terminated, truncated, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # type: ignore[override]
        """The pictures [H, W, 3]; None without a render mode.

        Raises:
            DataError: before the first reset.
        """
        if self.render_mode is None:
            return None
        return tuple(np.asarray(picture(self.observer, self.state.sprites, self._backdrop())))

    def _given(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        """A seed, or none, for each arena."""
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, Sequence | np.ndarray):
            if len(seed) != self.num_envs:
                raise DataError(f"{len(seed)} seeds for {self.num_envs} arenas", "one each")
            return [checked_seed(value) for value in seed]
        first = checked_seed(seed)
        assert first is not None
        return [first + i for i in range(self.num_envs)]

    def _begin(self, mask: Bools, seeds: list[int | None]) -> None:
        """New episodes of some arenas; nothing changes if that fails."""
        if self._state is None:
            drawn = self.np_random.integers(1 << 62, size=self.num_envs).tolist()
            first = [drawn[i] if given is None else given for i, given in enumerate(seeds)]
            self._state, self._seeds = self.arena.reset(first), first
            return
        state = self._state
        seeded = np.array([value is not None for value in seeds])
        again, anew = mask & ~seeded, {i: given for i, given in enumerate(seeds) if given is not None and mask[i]}
        if again.any():
            state = self.arena.restart(state, torch.from_numpy(again))
        if anew:
            state = state.put(torch.tensor(list(anew)), self.arena.reset(list(anew.values())))
        self._state = state
        self._episodes += again
        for i, given in anew.items():
            self._seeds[i], self._episodes[i] = given, 0

    def _begin_again(
        self, ended: Bools, success: Tensor, seen: Arrays, infos: dict[str, Any]
    ) -> tuple[Arrays, dict[str, Any]]:
        """New episodes where the last step ended one; what it showed goes to `final_obs` and `final_info`."""
        final = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended).tolist():
            final[i] = {key: value[i].copy() for key, value in seen.items()}
        last = {name: value for name, value in infos.items() if not name.startswith("_")}
        rows = torch.from_numpy(ended)
        self._state = state = self.arena.restart(self.state, rows)
        self._episodes += ended
        begun = facts(state, None)
        kept = {name: np.where(_shaped(ended, value), begun[name], value) for name, value in last.items()}
        infos = _masked(kept, np.ones(self.num_envs, bool))
        infos |= {"final_obs": final, "_final_obs": ended, "final_info": _masked(last, ended), "_final_info": ended}
        return arrays(self._look(state, torch.where(rows, state.solved_at_start, success))), infos

    def _without(self, action: Tensor, over: Tensor) -> Tensor:
        """The actions with those that are ignored replaced by any that is allowed."""
        if action.shape[:1] != over.shape:
            return action  # Which the arena refuses.
        actions = self.arena.config.actions
        numbers = torch.zeros(self.num_envs, *actions.uniform_shape, dtype=torch.float64)
        some = actions.of_uniform(numbers).to(action.dtype)
        if some.shape != action.shape:
            return action
        return torch.where(over.view(-1, *[1] * (action.ndim - 1)), some, action)

    def _look(self, state: ArenaState, success: Tensor) -> dict[str, Tensor]:
        return self._screen.observe(state.sprites, success, self._backdrop())

    def _backdrop(self) -> Tensor | None:
        if self.observer.background != "random_grey":
            return None
        return backdrop(self._seeds, self._episodes.tolist())

    def _mask(self, options: Mapping[str, Any]) -> Bools:
        if "reset_mask" not in options:
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


def _nothing(outcome: Outcome, state: ArenaState, rows: Tensor) -> Outcome:
    """The outcome with nothing happening in some arenas: those that begin anew instead."""
    changed = {}
    for field in dataclasses.fields(outcome):
        value = getattr(outcome, field.name).clone()
        value[rows] = -1 if field.name == "hit" else 0
        changed[field.name] = value
    changed["success"][rows] = state.solved_at_start[rows]
    return dataclasses.replace(outcome, **changed)


def _masked(infos: Arrays, rows: Bools) -> dict[str, Any]:
    return infos | {f"_{name}": rows.copy() for name in infos}


def _shaped(rows: Bools, like: NDArray[Any]) -> Bools:
    return rows.reshape(-1, *[1] * (like.ndim - 1))
