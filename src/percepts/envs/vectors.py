"""What vector environments in tensors share: seeds, masks, and Gymnasium's three ways of beginning anew.

A subclass says how its arenas start, begin anew, advance and look; their state is a value whose rows are arenas. Arena
i gives the trajectory of a single environment with its seed, however many others there are.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.errors import ConfigError, DataError
from percepts.core.optional import require_package
from percepts.envs.arguments import check_options, check_render_mode, checked_seed
from percepts.envs.rows import row_counts

require_package("gymnasium", extra="envs")

from gymnasium import spaces  # noqa: E402
from gymnasium.vector import AutoresetMode, VectorEnv  # noqa: E402
from gymnasium.vector.utils import batch_space  # noqa: E402

Arrays = dict[str, NDArray[Any]]
Bools = NDArray[np.bool_]


class Rows(Protocol):
    """A state whose rows are arenas."""

    @property
    def finished(self) -> Bool[Tensor, " batch"]:
        """Whose episode is over."""

    def put(self, index: Any, others: Any) -> Self:
        """A copy with the rows at `index` replaced."""


State = TypeVar("State", bound=Rows)


@dataclass
class Advanced(Generic[State]):
    """What a step brought: the state afterwards, and arrays [B] that Gymnasium asks for."""

    state: State
    reward: NDArray[np.float64]
    terminated: Bools
    truncated: Bools
    infos: Arrays


class TensorVectorEnv(VectorEnv[Arrays, Any, NDArray[Any]], Generic[State]):
    """B arenas; infos are arrays [B, …] with masks `_NAME`.

    Args:
        num_envs: B.
        observation_space, action_space: of one arena.
        autoreset_mode: when an arena that has ended begins anew: at the next step, whose action it ignores (NEXT_STEP),
            at once, with the last observation and info in `final_obs` and `final_info` (SAME_STEP), or only by
            `reset(options={"reset_mask": bool [B]})` (DISABLED).
        render_mode: "rgb_array", or None.

    Raises:
        ConfigError: no arenas, or an unknown autoreset or render mode.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's own type)
    most_seed = 1 << 62
    """Seeds that are drawn are below."""
    reset_options: tuple[str, ...] = ("reset_mask",)
    """That are known."""

    def __init__(
        self,
        num_envs: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs = {num_envs}", "1 or more")
        check_render_mode(render_mode)
        try:
            self.autoreset_mode = AutoresetMode(autoreset_mode)
        except ValueError as error:
            known = ", ".join(mode.value for mode in AutoresetMode)
            raise ConfigError(f"autoreset_mode = {autoreset_mode!r}", f"one of {known}") from error
        self.num_envs, self.render_mode = num_envs, render_mode
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.single_action_space, self.single_observation_space = action_space, observation_space
        self.action_space = batch_space(action_space, num_envs)
        self.observation_space = batch_space(observation_space, num_envs)
        self._state: State | None = None

    @abstractmethod
    def _start(self, seeds: Sequence[int]) -> State:
        """The first episode of each seed."""

    @abstractmethod
    def _restart(self, state: State, rows: Bool[Tensor, " batch"]) -> State:
        """The next episodes of some arenas."""

    @abstractmethod
    def _advance(self, state: State, actions: Any, over: Bool[Tensor, " batch"]) -> Advanced[State]:
        """Act once, where an arena is `over` not: it begins anew instead, with neither reward nor end.

        Raises:
            DataError: actions that are none.
        """

    @abstractmethod
    def _look(self, state: State) -> Arrays:
        """What is observed; the arrays are the caller's."""

    @abstractmethod
    def _facts(self, state: State) -> Arrays:
        """What `infos` say after a reset; the arrays are the caller's."""

    def _arranged(self, state: State, mask: Bools, options: Mapping[str, Any]) -> State:
        """What the options of a reset make of the episodes that it began (`mask`): they are as they are by default.

        Raises:
            DataError: options that cannot be followed.
        """
        return state

    @property
    def current(self) -> State:
        """Where the arenas are.

        Raises:
            DataError: before the first reset.
        """
        if self._state is None:
            raise DataError("an environment that was never reset", fix="envs.reset(seed=0)")
        return self._state

    def go_on(self, state: State) -> None:
        """Be where arenas of the same configuration were, as their `current` told: what follows is what followed there.

        Raises:
            DataError: those of another number of arenas, all of them or some part.
        """
        if (found := row_counts(state)) != {self.num_envs}:
            raise DataError(f"the state of {' and '.join(map(str, sorted(found)))} arenas", f"that of {self.num_envs}")
        self._state = state

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begin episodes, with a seed the first of its stream, without one the next.

        Args:
            seed: of the first arena, of which the others count up, or one for each.
            options: "reset_mask", bool [B], True at one arena at least: which ones begin anew; all by default. Others
                as the class says.

        Raises:
            DataError: other seeds or options.
        """
        options = check_options(options, self.reset_options)
        mask, seeds = self._mask(options), self._given(seed)
        self._state = state = self._arranged(self._begun(mask, seeds), mask, options)
        return self._look(state), masked(self._facts(state), mask)

    def step(self, actions: Any) -> tuple[Arrays, NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """Act once in every arena.

        Raises:
            DataError: before the first reset, actions that are none, or (DISABLED) an arena that has ended.
        """
        over = self.current.finished
        if self.autoreset_mode == AutoresetMode.DISABLED and bool(over.any()):
            raise DataError(
                f"a step after the end of the episode in arena {int(over.nonzero()[0])}",
                fix="envs.reset(options={'reset_mask': terminated | truncated})",
            )
        advanced = self._advance(self.current, actions, over)
        self._state = advanced.state
        seen, infos = self._look(advanced.state), masked(advanced.infos, np.ones(self.num_envs, bool))
        ended = advanced.terminated | advanced.truncated
        if self.autoreset_mode == AutoresetMode.SAME_STEP and ended.any():
            seen, infos = self._begin_again(ended, seen, advanced.infos)
        return seen, advanced.reward, advanced.terminated, advanced.truncated, infos

    def _begin_again(self, ended: Bools, seen: Arrays, last: Arrays) -> tuple[Arrays, dict[str, Any]]:
        """New episodes where the last step ended one; what it showed goes to `final_obs` and `final_info`."""
        final = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended).tolist():
            final[i] = {key: value[i].copy() for key, value in seen.items()}
        self._state = state = self._restart(self.current, torch.from_numpy(ended))
        begun = self._facts(state)
        kept = {name: np.where(_shaped(ended, value), begun[name], value) for name, value in last.items()}
        infos = masked(kept, np.ones(self.num_envs, bool))
        infos |= {"final_obs": final, "_final_obs": ended, "final_info": masked(last, ended), "_final_info": ended}
        return self._look(state), infos

    def _begun(self, mask: Bools, seeds: list[int | None]) -> State:
        """New episodes of some arenas; nothing changes if that fails."""
        if self._state is None:
            drawn = self.np_random.integers(self.most_seed, size=self.num_envs).tolist()
            return self._start([drawn[i] if given is None else given for i, given in enumerate(seeds)])
        state = self._state
        anew = {i: given for i, given in enumerate(seeds) if given is not None and mask[i]}
        again = mask & np.array([given is None for given in seeds])
        fresh = self._start(list(anew.values())) if anew else None
        if again.any():
            state = self._restart(state, torch.from_numpy(again))
        return state if fresh is None else state.put(torch.tensor(list(anew)), fresh)

    def _given(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        """A seed, or none, for each arena."""
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, Sequence | np.ndarray) and not isinstance(seed, str):
            if len(seed) != self.num_envs:
                raise DataError(f"{len(seed)} seeds for {self.num_envs} arenas", "one each")
            return [checked_seed(value) for value in seed]
        first = checked_seed(seed)
        assert first is not None
        return [first + i for i in range(self.num_envs)]

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


def masked(infos: Mapping[str, Any], rows: Bools) -> dict[str, Any]:
    """Infos with the masks that say whose they are."""
    return {**infos, **{f"_{name}": rows.copy() for name in infos}}


def _shaped(rows: Bools, like: NDArray[Any]) -> Bools:
    return rows.reshape(-1, *[1] * (like.ndim - 1))
