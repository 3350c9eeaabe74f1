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
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Bool, Int64
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.errors import DataError
from percepts.core.optional import require_package
from percepts.envs.spriteworld.arena import ArenaState, Outcome
from percepts.envs.spriteworld.configs import Noise, SpriteworldConfig, task_config
from percepts.envs.spriteworld.env import action_tensor, arrays, facts, given_sprites, observation_space, picture
from percepts.envs.spriteworld.observations import Screen, backdrop
from percepts.envs.vectors import Advanced, Arrays, Bools, TensorVectorEnv

require_package("gymnasium", extra="envs")

from gymnasium.vector import AutoresetMode  # noqa: E402


@dataclass(frozen=True)
class Arenas:
    """B arenas, and what tells their backdrops.

    Attributes:
        arena: where they are.
        seeds: of their streams.
        episodes: numbers of the episodes in their streams, from 0.
        success: whether the task is done; None where nobody has asked yet.
    """

    arena: ArenaState
    seeds: tuple[int, ...]
    episodes: Int64[Tensor, " batch"]
    success: Bool[Tensor, " batch"] | None = None

    @property
    def finished(self) -> Bool[Tensor, " batch"]:
        """Whose episode is over."""
        return self.arena.finished

    def put(self, index: Int64[Tensor, " some"], others: Arenas) -> Self:
        """A copy with those at `index` replaced."""
        seeds, episodes = list(self.seeds), self.episodes.clone()
        for place, seed in zip(index.tolist(), others.seeds):
            seeds[place] = seed
        episodes[index] = others.episodes
        success = None
        if self.success is not None and others.success is not None:
            success = self.success.clone()
            success[index] = others.success
        return type(self)(self.arena.put(index, others.arena), tuple(seeds), episodes, success)


class SpriteworldVectorEnv(TensorVectorEnv[Arenas]):
    """B arenas; see `SpriteworldEnv` for the arguments and for what `infos` hold, here [B, …] with masks `_NAME`.

    A reset knows one option more: "factors" as of `SpriteworldEnv.reset`, for all arenas [N, 10] or for each
    [B, N, 10].

    Args:
        num_envs: B.
        task, mode, noise, render_mode, observer: as of `SpriteworldEnv`.
        autoreset_mode: when an arena that has ended begins anew, as of `TensorVectorEnv`.

    Raises:
        ConfigError: as of `SpriteworldEnv`, no arenas, or an unknown autoreset mode.
    """

    reset_options = ("reset_mask", "factors")

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
        self.config = task_config(task, mode, noise, **observer)
        self.arena = self.config.arena.build()
        self.observer = self.config.observer
        self._screen = Screen(self.observer)
        seen, actions = observation_space(self.config), self.config.arena.actions.space
        super().__init__(num_envs, seen, actions, autoreset_mode, render_mode)

    @property
    def state(self) -> ArenaState:
        """The arenas, for planners that know the truth.

        Raises:
            DataError: before the first reset.
        """
        return self.current.arena

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the streams of the arenas, as the last reset that gave or drew one left them; none before the first."""
        return () if self._state is None else self._state.seeds

    @property
    def episodes(self) -> NDArray[np.int64]:
        """The number of every arena's episode in its stream [B], from 0; a copy."""
        return np.zeros(self.num_envs, np.int64) if self._state is None else self._state.episodes.numpy().copy()

    def go_on(self, state: Arenas) -> None:
        """Be where arenas of the same configuration were, as their `current` told: what follows is what followed there.

        Raises:
            DataError: those of another number of arenas, all of them or some part, or sprites.
        """
        places, found = self.config.arena.generator.most, state.arena.sprites.present.shape[1]
        if found != places or len(state.seeds) != self.num_envs:
            raise DataError(
                f"the state of arenas of {found} sprites with {len(state.seeds)} seeds",
                f"that of {self.num_envs} arenas of {places} sprites",
            )
        super().go_on(state)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # type: ignore[override]
        """The pictures [H, W, 3]; None without a render mode.

        Raises:
            DataError: before the first reset.
        """
        if self.render_mode is None:
            return None
        return tuple(np.asarray(picture(self.observer, self.state.sprites, self._backdrop(self.current))))

    def _start(self, seeds: Sequence[int]) -> Arenas:
        state = self.arena.reset(seeds)
        return Arenas(state, tuple(seeds), torch.zeros(len(seeds), dtype=torch.int64), state.solved_at_start)

    def _restart(self, state: Arenas, rows: Bool[Tensor, " batch"]) -> Arenas:
        arena, success = self.arena.restart(state.arena, rows), state.success
        success = None if success is None else torch.where(rows, arena.solved_at_start, success)
        return Arenas(arena, state.seeds, state.episodes + rows, success)

    def _arranged(self, state: Arenas, mask: Bools, options: Mapping[str, Any]) -> Arenas:
        if "factors" not in options:
            return state
        sprites, solved = given_sprites(options["factors"], self.num_envs, self.arena)
        rows, arena = torch.from_numpy(mask), state.arena
        changed = dataclasses.replace(
            arena,
            sprites=arena.sprites.put(rows, sprites.rows(rows)),
            solved_at_start=torch.where(rows, solved, arena.solved_at_start),
        )
        success = None if state.success is None else torch.where(rows, solved, state.success)
        return dataclasses.replace(state, arena=changed, success=success)

    def _advance(self, state: Arenas, actions: Any, over: Bool[Tensor, " batch"]) -> Advanced[Arenas]:
        action = action_tensor(actions, self.single_action_space)
        anew = bool(over.any())
        arena, outcome = self.arena.step(state.arena, self._without(action, over) if anew else action)
        after = dataclasses.replace(state, arena=arena, success=outcome.success)
        if anew:
            # What is over stands still in a step, so it begins anew as if there had been none.
            after = self._restart(after, over)
            outcome = _nothing(outcome, after.arena, over)
        reward, terminated, truncated = (
            part.numpy(force=True) for part in (outcome.reward, outcome.terminated, outcome.truncated)
        )
        return Advanced(after, reward, terminated, truncated, facts(after.arena, outcome))

    def _look(self, state: Arenas) -> Arrays:
        sprites, success = state.arena.sprites, state.success
        success = self.arena.config.task.judge(sprites).success if success is None else success
        return arrays(self._screen.observe(sprites, success, self._backdrop(state)))

    def _facts(self, state: Arenas) -> Arrays:
        return facts(state.arena, None)

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

    def _backdrop(self, state: Arenas) -> Tensor | None:
        if self.observer.background != "random_grey":
            return None
        return backdrop(list(state.seeds), state.episodes.tolist())


def _nothing(outcome: Outcome, state: ArenaState, rows: Tensor) -> Outcome:
    """The outcome with nothing happening in some arenas: those that begin anew instead."""
    changed = {}
    for field in dataclasses.fields(outcome):
        value = getattr(outcome, field.name).clone()
        value[rows] = -1 if field.name == "hit" else 0
        changed[field.name] = value
    changed["success"][rows] = state.solved_at_start[rows]
    return dataclasses.replace(outcome, **changed)
