"""Alchemy in 3-D as Gymnasium environments, one table or many: pixels and a hand in place of numbers.

    import percepts.envs.alchemy.table3d           # makes the ids known
    env = gymnasium.make("Alchemy3D/RotationRandomBottleneck-v0", interface="cursor")
    observation, info = env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step({"CURSOR_LEFT_RIGHT": 1.0, "HAND_GRIP": 1.0})

Controls stay as they were set until they are set anew. The same seed gives the same chemistry, stones and potions as
in the symbolic environments. Names of controls and observations are the original's.
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
from percepts.envs.alchemy.interfaces import PlayerState
from percepts.envs.alchemy.levels import LEVELS, MAIN_LEVEL, Level
from percepts.envs.alchemy.scene import SceneView
from percepts.envs.alchemy.scene_events import Event, first_events
from percepts.envs.alchemy.table import Table
from percepts.envs.alchemy.world3d import InterfaceName, Seats, World3D, boxed
from percepts.envs.arguments import check_options, check_render_mode, checked_seed
from percepts.envs.families import Family
from percepts.envs.vectors import Advanced, Arrays, TensorVectorEnv

require_package("gymnasium", extra="envs")

import gymnasium  # noqa: E402
from gymnasium import spaces  # noqa: E402
from gymnasium.vector import AutoresetMode  # noqa: E402


class Alchemy3DEnv(gymnasium.Env[Arrays, Any]):
    """One table in 3-D. Actions are mappings of controls to numbers, of which any may be missing.

    Observations are "RGB_INTERLEAVED" [72, 96, 3], "ACCELERATION" of the body (right, up, ahead, m/s²), "HAND_FORCE"
    in newtons, "HAND_IS_HOLDING" 0 or 1, "HAND_DISTANCE" from the eye in metres, "Score", and what `see` adds. `info`
    holds `trial`, `frame` (of the trial), `held` (a stone's slot, -1 for none), `score`, `trial_score`, `new_trial`
    (whether one ended in this step), and `events` (see `scene_events`).

    Args:
        level: a name, a `Level`, or a table's whole configuration. Its `steps` don't matter, as time limits a trial.
        interface: "hands" or "cursor".
        seconds, rate, num_action_repeats, view, see, settings: as of `World3D`.
        render_mode: "rgb_array", or None.

    Raises:
        ConfigError: as of `World3D`, or an unknown render mode.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 (Gymnasium's own type)

    def __init__(
        self,
        level: str | Level | Table.Config = MAIN_LEVEL,
        interface: InterfaceName = "hands",
        seconds: float = 60.0,
        rate: int = 30,
        num_action_repeats: int = 1,
        view: SceneView.Config = SceneView.Config(),  # noqa: B008 (it is frozen)
        see: Sequence[str] = (),
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        check_render_mode(render_mode)
        self.render_mode = render_mode
        self.world = World3D(level, interface, seconds, rate, num_action_repeats, view, see, **settings)
        self.action_space = self.world.action_space
        self.observation_space: spaces.Space[Arrays] = self.world.observation_space
        self._seats: Seats | None = None

    @property
    def player(self) -> PlayerState:
        """The player, for those who may know the truth: a batch of one.

        Raises:
            DataError: before the first reset.
        """
        return self._current().player

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begin an episode: with a `seed` the first of its stream, without one the next.

        Raises:
            DataError: another seed, or any option.
        """
        check_options(options, ())
        if seed is not None or self._seats is None:
            super().reset(seed=checked_seed(seed))
            fresh = int(self.np_random.integers(self.world.most_seed)) if seed is None else int(seed)
            self._seats = self.world.start([fresh])
        else:
            self._seats = self.world.restart(self._seats, torch.ones(1, dtype=torch.bool))
        events = first_events(self.world.bench, self._seats.player.bench, 0)
        return self._observe(), self._info(np.zeros(1, bool), events)

    def step(self, action: Any) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Set controls, and let the frames of a step pass.

        Raises:
            DataError: before the first reset, after the end of an episode, or controls that there are not.
        """
        seats = self._current()
        if bool(seats.finished):
            raise DataError("a step after the end of the episode", fix="env.reset()")
        passed = self.world.go(self.world.set_controls(seats, action))
        self._seats = passed.seats
        info = self._info(passed.new_trial, passed.events[0])
        return self._observe(), float(passed.reward[0]), bool(passed.seats.finished), False, info

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The picture [H, W, 3]; None without a render mode.

        Raises:
            DataError: before the first reset.
        """
        if self.render_mode is None:
            return None
        found: NDArray[np.uint8] = self.world.draw(self._current()).image[0].numpy()
        return found

    def _observe(self) -> Arrays:
        return {name: np.asarray(value[0]) for name, value in self.world.observe(self._current()).items()}

    def _info(self, new_trial: NDArray[np.bool_], events: tuple[Event, ...]) -> dict[str, Any]:
        facts = self.world.facts(self._current(), new_trial)
        return {**{name: value[0].item() for name, value in facts.items()}, "events": events}

    def _current(self) -> Seats:
        if self._seats is None:
            raise DataError("an environment that was never reset", fix="env.reset(seed=0)")
        return self._seats


class Alchemy3DVectorEnv(TensorVectorEnv[Seats]):
    """B tables in 3-D, simulated and drawn together; see `Alchemy3DEnv`. `infos` hold its numbers as arrays [B], and as
    "events" an array of tuples.

    Args:
        num_envs: B.
        autoreset_mode: when a table whose episode is over begins anew, as of `TensorVectorEnv`.
        level, interface, seconds, rate, num_action_repeats, view, see, render_mode, settings: as of `Alchemy3DEnv`.

    Raises:
        ConfigError: as of `Alchemy3DEnv`, no tables, or an unknown autoreset mode.
    """

    def __init__(
        self,
        num_envs: int = 1,
        level: str | Level | Table.Config = MAIN_LEVEL,
        interface: InterfaceName = "hands",
        seconds: float = 60.0,
        rate: int = 30,
        num_action_repeats: int = 1,
        view: SceneView.Config = SceneView.Config(),  # noqa: B008 (it is frozen)
        see: Sequence[str] = (),
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        self.world = World3D(level, interface, seconds, rate, num_action_repeats, view, see, **settings)
        self.most_seed = self.world.most_seed
        super().__init__(num_envs, self.world.observation_space, self.world.action_space, autoreset_mode, render_mode)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # type: ignore[override]
        """The pictures [H, W, 3]; None without a render mode.

        Raises:
            DataError: before the first reset.
        """
        return None if self.render_mode is None else tuple(self.world.draw(self.current).image.numpy())

    def _start(self, seeds: Sequence[int]) -> Seats:
        return self.world.start(seeds)

    def _restart(self, state: Seats, rows: Bool[Tensor, " batch"]) -> Seats:
        return self.world.restart(state, rows)

    def _advance(self, state: Seats, actions: Any, over: Bool[Tensor, " batch"]) -> Advanced[Seats]:
        passed = self.world.go(self.world.set_controls(state, actions))
        seats = passed.seats
        terminated = (seats.finished & ~over).numpy()
        if bool(over.any()):
            # What is over stands still in a step, so it begins anew as if there had been none.
            seats = self.world.restart(seats, over)
            for row in over.nonzero()[:, 0].tolist():
                passed.events[row] = first_events(self.world.bench, seats.player.bench, row)
        infos = self.world.facts(seats, passed.new_trial) | {"events": boxed(passed.events)}
        return Advanced(seats, passed.reward, terminated, np.zeros(self.num_envs, bool), infos)

    def _look(self, state: Seats) -> Arrays:
        return self.world.observe(state)

    def _facts(self, state: Seats) -> Arrays:
        events = [first_events(self.world.bench, state.player.bench, row) for row in range(self.num_envs)]
        return self.world.facts(state, np.zeros(self.num_envs, bool)) | {"events": boxed(events)}


FAMILY = Family(
    "Alchemy3D",
    "level",
    single="percepts.envs.alchemy.table3d:Alchemy3DEnv",
    many="percepts.envs.alchemy.table3d:Alchemy3DVectorEnv",
)


def environment_id(level: str) -> str:
    """The id of a level in 3-D."""
    return FAMILY.environment_id(level)


def register() -> None:
    """Make every named level known to `gymnasium.make` and `make_vec`. Doing it twice changes nothing."""
    FAMILY.register(LEVELS)


register()
