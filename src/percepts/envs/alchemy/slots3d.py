"""Symbolic actions, seen in 3-D: Gymnasium environments in which a script's hand does what an action by slots says.

    import percepts.envs.alchemy.slots3d           # makes the ids known
    env = gymnasium.make("Alchemy3DSlots/RotationRandomBottleneck-v0")
    observation, info = env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step(1)      # stone 0 into the cauldron

Actions, rewards and ends are those of the symbolic environment of the same seed; observations are those of
`Alchemy3DEnv`, after the hand is done. For agents with eyes but without motor skills.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.errors import DataError
from percepts.core.optional import require_package
from percepts.envs.alchemy.env import table_config
from percepts.envs.alchemy.executor import Executor, ExecutorState
from percepts.envs.alchemy.levels import LEVELS, MAIN_LEVEL, Level
from percepts.envs.alchemy.scene import SceneView
from percepts.envs.alchemy.scene_events import Event, events_of, first_events
from percepts.envs.alchemy.table import Outcome, Table
from percepts.envs.alchemy.world3d import InterfaceName, Seats, World3D, boxed
from percepts.envs.arguments import check_options, check_render_mode, checked_seed
from percepts.envs.families import Family
from percepts.envs.vectors import Advanced, Arrays, TensorVectorEnv

require_package("gymnasium", extra="envs")

import gymnasium  # noqa: E402
from gymnasium import spaces  # noqa: E402
from gymnasium.vector import AutoresetMode  # noqa: E402

_SECONDS = 3600.0
"""Of a trial: steps limit it, and no slow hand does."""


class Slots3D:
    """What single and vector environments have in common.

    Args:
        level, interface, view, see, settings: as of `World3D`.
    """

    def __init__(
        self,
        level: str | Level | Table.Config,
        interface: InterfaceName,
        view: SceneView.Config,
        see: Sequence[str],
        **settings: Any,
    ) -> None:
        table_config(level, ("interface", "view", "see", "render_mode"), **settings)
        self.world = World3D(level, interface, _SECONDS, 30, 1, view, see, **settings)
        self.executor = Executor(self.world.interface, wait=False)
        self.action_space = spaces.Discrete(self.executor.actions)
        self.observation_space = self.world.observation_space

    def step(self, state: ExecutorState, action: Tensor) -> tuple[ExecutorState, Outcome, list[tuple[Event, ...]]]:
        """Do what is said; also what happened, told event by event."""
        after, outcome = self.executor.step(state, action)
        before, now = state.player.bench, after.player.bench
        events = [events_of(self.world.bench, before, now, outcome, row) for row in range(len(action))]
        return after, outcome, events

    def observe(self, state: ExecutorState) -> Arrays:
        """What is observed, [B, …]."""
        return self.world.observe(self.seats(state))

    def facts(self, state: ExecutorState, new_trial: NDArray[np.bool_]) -> Arrays:
        """What infos say, [B]."""
        return {**self.world.facts(self.seats(state), new_trial), "step": state.step.numpy().copy()}

    def seats(self, state: ExecutorState) -> Seats:
        """The players as `World3D` knows them."""
        return Seats(state.player, torch.zeros(len(state.step), len(self.world.interface.controls)))


class Alchemy3DSlotsEnv(gymnasium.Env[Arrays, Any]):
    """One table. `info` is that of `Alchemy3DEnv`, with `step`, the steps made in the trial.

    Args:
        level: a name, a `Level`, or a table's whole configuration.
        interface: whose hand is seen: "cursor", or "hands", which also look where they go.
        view, see, settings: as of `World3D`.
        render_mode: "rgb_array", or None.

    Raises:
        ConfigError: as of `World3D`, or an unknown render mode.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's own type)

    def __init__(
        self,
        level: str | Level | Table.Config = MAIN_LEVEL,
        interface: InterfaceName = "cursor",
        view: SceneView.Config = SceneView.Config(),  # noqa: B008 (it is frozen)
        see: Sequence[str] = (),
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        check_render_mode(render_mode)
        self.render_mode = render_mode
        self.slots = Slots3D(level, interface, view, see, **settings)
        self.action_space = self.slots.action_space
        self.observation_space: spaces.Space[Arrays] = self.slots.observation_space
        self._state: ExecutorState | None = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begin an episode: with a `seed` the first of its stream, without one the next.

        Raises:
            DataError: another seed, or any option.
        """
        check_options(options, ())
        if seed is not None or self._state is None:
            super().reset(seed=checked_seed(seed))
            most = self.slots.world.most_seed
            self._state = self.slots.executor.reset([int(self.np_random.integers(most)) if seed is None else int(seed)])
        else:
            self._state = self.slots.executor.restart(self._state, torch.ones(1, dtype=torch.bool))
        events = first_events(self.slots.world.bench, self._state.player.bench, 0)
        return self._observe(), self._info(np.zeros(1, bool), events)

    def step(self, action: Any) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Do what is said.

        Raises:
            DataError: before the first reset, after the end of an episode, or an action that is none.
        """
        state = self._current()
        if bool(state.finished):
            raise DataError("a step after the end of the episode", fix="env.reset()")
        number = None if isinstance(action, str) or action is None else np.asarray(action)
        if number is None or number.ndim or number.dtype.kind not in "iu":
            raise DataError(f"the action {action!r}", f"a whole number from 0 to {self.slots.executor.actions - 1}")
        self._state, outcome, events = self.slots.step(state, torch.tensor([int(number)]))
        info = self._info(outcome.new_trial.numpy(), events[0])
        return self._observe(), float(outcome.reward), bool(self._state.finished), False, info

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The picture [H, W, 3]; None without a render mode.

        Raises:
            DataError: before the first reset.
        """
        if self.render_mode is None:
            return None
        found: NDArray[np.uint8] = self.slots.world.draw(self.slots.seats(self._current())).image[0].numpy()
        return found

    def _observe(self) -> Arrays:
        return {name: np.asarray(value[0]) for name, value in self.slots.observe(self._current()).items()}

    def _info(self, new_trial: NDArray[np.bool_], events: tuple[Event, ...]) -> dict[str, Any]:
        facts = self.slots.facts(self._current(), new_trial)
        return {**{name: value[0].item() for name, value in facts.items()}, "events": events}

    def _current(self) -> ExecutorState:
        if self._state is None:
            raise DataError("an environment that was never reset", fix="env.reset(seed=0)")
        return self._state


class Alchemy3DSlotsVectorEnv(TensorVectorEnv[ExecutorState]):
    """B tables; see `Alchemy3DSlotsEnv`. `infos` hold its numbers as arrays [B], and as "events" an array of tuples.

    Args:
        num_envs: B.
        autoreset_mode: when a table whose episode is over begins anew, as of `TensorVectorEnv`.
        level, interface, view, see, render_mode, settings: as of `Alchemy3DSlotsEnv`.

    Raises:
        ConfigError: as of `Alchemy3DSlotsEnv`, no tables, or an unknown autoreset mode.
    """

    def __init__(
        self,
        num_envs: int = 1,
        level: str | Level | Table.Config = MAIN_LEVEL,
        interface: InterfaceName = "cursor",
        view: SceneView.Config = SceneView.Config(),  # noqa: B008 (it is frozen)
        see: Sequence[str] = (),
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        self.slots = Slots3D(level, interface, view, see, **settings)
        self.most_seed = self.slots.world.most_seed
        spaces_ = self.slots.observation_space, self.slots.action_space
        super().__init__(num_envs, *spaces_, autoreset_mode, render_mode)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # type: ignore[override]
        """The pictures [H, W, 3]; None without a render mode.

        Raises:
            DataError: before the first reset.
        """
        if self.render_mode is None:
            return None
        return tuple(self.slots.world.draw(self.slots.seats(self.current)).image.numpy())

    def _start(self, seeds: Sequence[int]) -> ExecutorState:
        return self.slots.executor.reset(seeds)

    def _restart(self, state: ExecutorState, rows: Bool[Tensor, " batch"]) -> ExecutorState:
        return self.slots.executor.restart(state, rows)

    def _advance(self, state: ExecutorState, actions: Any, over: Bool[Tensor, " batch"]) -> Advanced[ExecutorState]:
        array = np.asarray(actions)
        if array.dtype.kind not in "iu" or array.shape != (self.num_envs,):
            raise DataError(f"actions of {array.dtype} {list(array.shape)}", f"whole numbers [{self.num_envs}]")
        after, outcome, events = self.slots.step(state, torch.from_numpy(array.astype(np.int64, copy=False)))
        terminated = (after.finished & ~over).numpy()
        if bool(over.any()):
            # What is over stands still in a step, so it begins anew as if there had been none.
            after = self.slots.executor.restart(after, over)
            for row in over.nonzero()[:, 0].tolist():
                events[row] = first_events(self.slots.world.bench, after.player.bench, row)
        infos = self.slots.facts(after, outcome.new_trial.numpy()) | {"events": boxed(events)}
        truncated = np.zeros(self.num_envs, bool)
        return Advanced(after, outcome.reward.double().numpy(), terminated, truncated, infos)

    def _look(self, state: ExecutorState) -> Arrays:
        return self.slots.observe(state)

    def _facts(self, state: ExecutorState) -> Arrays:
        bench = self.slots.world.bench
        events = [first_events(bench, state.player.bench, row) for row in range(self.num_envs)]
        return self.slots.facts(state, np.zeros(self.num_envs, bool)) | {"events": boxed(events)}


FAMILY = Family(
    "Alchemy3DSlots",
    "level",
    single="percepts.envs.alchemy.slots3d:Alchemy3DSlotsEnv",
    many="percepts.envs.alchemy.slots3d:Alchemy3DSlotsVectorEnv",
)


def environment_id(level: str) -> str:
    """The id of a level by slots in 3-D."""
    return FAMILY.environment_id(level)


def register() -> None:
    """Make every named level known to `gymnasium.make` and `make_vec`. Doing it twice changes nothing."""
    FAMILY.register(LEVELS)


register()
