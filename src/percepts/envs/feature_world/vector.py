"""Many feature worlds as one Gymnasium vector environment, stepped in tensors.

    import percepts.envs.feature_world.registration       # makes the ids known
    envs = gymnasium.make_vec("FeatureWorld/Single-v0", num_envs=256)
    observations, infos = envs.reset(seed=0)               # world i has the seed 0 + i
    observations, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())

World i gives the trajectory of a single environment with its seed, however many others there are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from percepts.core.errors import ConfigError, DataError
from percepts.core.optional import require_package
from percepts.envs.feature_world.board import draw_board
from percepts.envs.feature_world.env import Arrays, observation_space, view_of
from percepts.envs.feature_world.observations import DEFAULT_KEYS, check_keys, observe
from percepts.envs.feature_world.rendered import TableView
from percepts.envs.feature_world.state import Outcome, WorldState
from percepts.envs.feature_world.world import FeatureWorld
from percepts.envs.feature_world.worlds import world_config
from percepts.envs.spriteworld.env import action_tensor, check_options, check_render_mode, checked_seed

require_package("gymnasium", extra="envs")

from gymnasium import spaces  # noqa: E402
from gymnasium.vector import AutoresetMode, VectorEnv  # noqa: E402
from gymnasium.vector.utils import batch_space  # noqa: E402

Bools = NDArray[np.bool_]


class FeatureWorldVectorEnv(VectorEnv[Arrays, Any, NDArray[Any]]):
    """B worlds; see `FeatureWorldEnv` for the arguments and for what `infos` hold, here [B, …] with masks `_NAME`.

    Args:
        num_envs: B.
        world, keys, render_mode, view, settings: as of `FeatureWorldEnv`.
        autoreset_mode: when a world whose episode has ended begins anew: at the next step, whose action it ignores
            (NEXT_STEP), at once, with the last observation and info in `final_obs` and `final_info` (SAME_STEP), or
            only by `reset(options={"reset_mask": bool [B]})` (DISABLED).

    Raises:
        ConfigError: as of `FeatureWorldEnv`, no worlds, or an unknown autoreset mode.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's own type)

    def __init__(
        self,
        num_envs: int = 1,
        world: str | FeatureWorld.Config = "single",
        keys: Sequence[str] = DEFAULT_KEYS,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        view: TableView.Config | None = None,
        **settings: Any,
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs = {num_envs}", "1 or more")
        check_render_mode(render_mode)
        check_keys(keys)
        try:
            self.autoreset_mode = AutoresetMode(autoreset_mode)
        except ValueError as error:
            known = ", ".join(mode.value for mode in AutoresetMode)
            raise ConfigError(f"autoreset_mode = {autoreset_mode!r}", f"one of {known}") from error
        self.world: FeatureWorld = world_config(world, **settings).build()
        self.config, self.keys = self.world.config, tuple(keys)
        self.num_envs, self.render_mode = num_envs, render_mode
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.view = view_of(self.world, self.keys, view)
        self.single_observation_space = observation_space(self.world, self.keys, self.view)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.single_action_space = spaces.Discrete(self.world.actions)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._state: WorldState | None = None

    @property
    def state(self) -> WorldState:
        """The worlds, for those that may know the truth.

        Raises:
            DataError: before the first reset.
        """
        if self._state is None:
            raise DataError("an environment that was never reset", fix="envs.reset(seed=0)")
        return self._state

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begin episodes, with a seed the first of its stream, without one the next.

        Args:
            seed: of the first world, of which the others count up, or one for each.
            options: "reset_mask", bool [B], True at one world at least: which ones begin anew; all by default.

        Raises:
            DataError: other seeds or options.
        """
        options = check_options(options, ("reset_mask",))
        mask, seeds = self._mask(options), self._given(seed)
        self._state = self._begun(mask, seeds)
        return self._look(self._state), _masked(facts(self._state, None), mask)

    def step(self, actions: Any) -> tuple[Arrays, NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """Act once in every world.

        Raises:
            DataError: before the first reset, actions that are none, or (DISABLED) a world whose episode has ended.
        """
        state = self.state
        over = state.finished
        action = self._checked(actions, over)
        anew = bool(over.any())
        if anew and self.autoreset_mode == AutoresetMode.DISABLED:
            raise DataError(
                f"a step after the end of the episode in arena {int(over.nonzero()[0])}",
                fix="envs.reset(options={'reset_mask': terminated | truncated})",
            )
        state, outcome = self.world.step(state, action)
        if anew:
            # What is over stands still in a step, so it begins anew as if there had been none.
            state, outcome = self.world.restart(state, over), _nothing(outcome, over)
        self._state = state
        infos = _masked(facts(state, outcome), np.ones(self.num_envs, bool))
        reward, terminated, truncated = (
            part.numpy() for part in (outcome.reward, outcome.terminated, outcome.truncated)
        )
        ended = terminated | truncated
        seen = self._look(state)
        if self.autoreset_mode == AutoresetMode.SAME_STEP and ended.any():
            seen, infos = self._begin_again(ended, seen, infos)
        return seen, reward, terminated, truncated, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # type: ignore[override]
        """The pictures [H, W, 3]; None without a render mode.

        Raises:
            DataError: before the first reset.
        """
        if self.render_mode is None:
            return None
        state = self.state
        if self.view is not None:
            return tuple(self.view.draw(state).image.numpy())
        offered = self.world.offered(state)
        return tuple(draw_board(self.world, *pair) for pair in zip(offered, state.outcomes))

    def _given(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        """A seed, or none, for each world."""
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, Sequence | np.ndarray) and not isinstance(seed, str):
            if len(seed) != self.num_envs:
                raise DataError(f"{len(seed)} seeds for {self.num_envs} worlds", "one each")
            return [checked_seed(value) for value in seed]
        first = checked_seed(seed)
        assert first is not None
        return [first + i for i in range(self.num_envs)]

    def _begun(self, mask: Bools, seeds: list[int | None]) -> WorldState:
        """The worlds after a reset."""
        if self._state is None:
            drawn = self.np_random.integers(1 << 62, size=self.num_envs).tolist()
            return self.world.reset(drawn[i] if given is None else given for i, given in enumerate(seeds))
        seeded = np.array([value is not None for value in seeds])
        state = self.world.restart(self._state, torch.from_numpy(mask & ~seeded))
        anew = {i: given for i, given in enumerate(seeds) if given is not None and mask[i]}
        return state.put(torch.tensor(list(anew)), self.world.reset(anew.values())) if anew else state

    def _begin_again(self, ended: Bools, seen: Arrays, infos: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """New episodes where the last step ended one; what it showed goes to `final_obs` and `final_info`."""
        final = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended).tolist():
            final[i] = {key: value[i].copy() for key, value in seen.items()}
        last = {name: value for name, value in infos.items() if not name.startswith("_")}
        self._state = state = self.world.restart(self.state, torch.from_numpy(ended))
        begun = facts(state, None)
        kept = {name: np.where(ended, begun[name], value) for name, value in last.items()}
        infos = _masked(kept, np.ones(self.num_envs, bool))
        infos |= {"final_obs": final, "_final_obs": ended, "final_info": _masked(last, ended), "_final_info": ended}
        return self._look(state), infos

    def _checked(self, actions: Any, over: torch.Tensor) -> torch.Tensor:
        """The actions, with any that is allowed where they are ignored."""
        action = action_tensor(actions, self.single_action_space)
        if action.shape != over.shape:
            raise DataError(f"actions of shape {list(action.shape)}", f"[{self.num_envs}]")
        if self.autoreset_mode != AutoresetMode.DISABLED:
            action = torch.where(over, 0, action)
        if bool(((action < 0) | (action >= self.world.actions)).any()):
            raise DataError(
                f"actions from {int(action.min())} to {int(action.max())}", f"0 to {self.world.actions - 1}"
            )
        return action

    def _look(self, state: WorldState) -> Arrays:
        seen = observe(self.world, state, self.keys)
        if "image" in self.keys:
            assert self.view is not None
            seen["image"] = self.view.draw(state).image
        # Copies: tensors of the state itself are not given away.
        return {key: np.array(seen[key].numpy()) for key in self.keys}

    def _mask(self, options: Mapping[str, Any]) -> Bools:
        if "reset_mask" not in options:
            return np.ones(self.num_envs, bool)
        mask = np.asarray(options["reset_mask"])
        if mask.dtype != bool or mask.shape != (self.num_envs,) or not mask.any():
            raise DataError(
                f"a reset mask of {mask.dtype} {mask.shape} with {int(np.count_nonzero(mask))} worlds",
                f"bool [{self.num_envs}], True at one world at least",
            )
        if self._state is None and not mask.all():
            raise DataError("a reset of some worlds of an environment that was never reset", fix="envs.reset(seed=0)")
        return mask


def facts(state: WorldState, outcome: Outcome | None) -> Arrays:
    """What `info` says of every world after a step, or after a reset; the arrays are the caller's."""
    false, zero = np.zeros(len(state), bool), np.zeros(len(state))
    found = {"success": false, "identified": false.copy(), "gained": zero}
    if outcome is not None:
        found = {name: getattr(outcome, name).numpy().copy() for name in found}
    known = {name: getattr(state, name).numpy().copy() for name in ("erred", "truth", "live", "steps", "object_set")}
    return found | known


def _nothing(outcome: Outcome, rows: torch.Tensor) -> Outcome:
    """The outcome with nothing happening in some worlds: those that begin anew instead."""
    changed = {part.name: getattr(outcome, part.name).clone() for part in dataclasses.fields(outcome)}
    for value in changed.values():
        value[rows] = 0
    return dataclasses.replace(outcome, **changed)


def _masked(infos: Arrays, rows: Bools) -> dict[str, Any]:
    return infos | {f"_{name}": rows.copy() for name in infos}
