"""Alchemy in 3-D as Gymnasium environments, one table or many: pixels and a hand in place of numbers.

    import percepts.envs.alchemy.table3d           # makes the ids known
    env = gymnasium.make("Alchemy3D/RotationRandomBottleneck-v0", interface="cursor")
    observation, info = env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step({"CURSOR_LEFT_RIGHT": 1.0, "HAND_GRIP": 1.0})

Controls stay as they were set until they are set anew. The same seed gives the same chemistry, stones and potions as
in the symbolic environments. Names of controls and observations are the original's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.errors import ConfigError, DataError, nearest
from percepts.core.optional import require_package
from percepts.envs.alchemy.bench import Bench
from percepts.envs.alchemy.cursor import Cursor
from percepts.envs.alchemy.env import most_seed, table_config
from percepts.envs.alchemy.hands import Hands
from percepts.envs.alchemy.interfaces import Interface, PlayerState
from percepts.envs.alchemy.levels import LEVELS, MAIN_LEVEL, Level
from percepts.envs.alchemy.observations import GONE_STONE, observation_size, observe
from percepts.envs.alchemy.scene import Drawn, SceneView
from percepts.envs.alchemy.scene_events import Event, events_of, first_events
from percepts.envs.alchemy.table import Outcome, Table
from percepts.envs.alchemy.table_state import put
from percepts.envs.arguments import check_options, check_render_mode, checked_seed
from percepts.envs.vectors import Advanced, Arrays, TensorVectorEnv

require_package("gymnasium", extra="envs")

import gymnasium  # noqa: E402
from gymnasium import spaces  # noqa: E402
from gymnasium.vector import AutoresetMode  # noqa: E402

InterfaceName = Literal["hands", "cursor"]
INTERFACES: dict[str, type[Interface[Any]]] = {"hands": Hands, "cursor": Cursor}
IMAGE = "RGB_INTERLEAVED"
VERSION = 0
"""Of all ids; it rises when trajectories change."""
_STRONG = 1e6
"""What spaces say of accelerations and forces: learners expect finite bounds."""


@dataclass(frozen=True)
class Seats:
    """B players, and how their controls are set.

    Attributes:
        player: them.
        controls: as they were set last.
    """

    player: PlayerState
    controls: Float32[Tensor, "batch controls"]

    @property
    def finished(self) -> Bool[Tensor, " batch"]:
        """Whose episode is over."""
        return self.player.finished

    def put(self, index: Any, others: Seats) -> Self:
        """A copy with those at `index` replaced."""
        return type(self)(self.player.put(index, others.player), put(self.controls, index, others.controls))


@dataclass(frozen=True)
class Passed:
    """What some frames brought.

    Attributes:
        seats: afterwards.
        reward: of all of them.
        new_trial: whether one of them ended a trial.
        events: of every table, in their order.
    """

    seats: Seats
    reward: NDArray[np.float64]
    new_trial: NDArray[np.bool_]
    events: list[tuple[Event, ...]]


class World3D:
    """What single and vector environments have in common: benches, players, pictures.

    Args:
        level: a name, a `Level`, or a table's whole configuration.
        interface: "hands" for the original's controls, "cursor" for simple ones.
        seconds, rate: of a trial, and frames a second.
        num_action_repeats: frames that a step lasts; their rewards are summed.
        view: of the pictures.
        see: further observations: "symbolic" (see `observations`) and "segmentation" (see `scene`).
        settings: of the table to change.

    Raises:
        ConfigError: an unknown interface, observation, level or setting, or numbers out of range.
    """

    def __init__(
        self,
        level: str | Level | Table.Config,
        interface: InterfaceName,
        seconds: float,
        rate: int,
        num_action_repeats: int,
        view: SceneView.Config,
        see: Sequence[str],
        **settings: Any,
    ) -> None:
        if interface not in INTERFACES:
            raise ConfigError(f"interface = {interface!r}", f"one of {', '.join(INTERFACES)}")
        if num_action_repeats < 1:
            raise ConfigError(f"num_action_repeats = {num_action_repeats}", "1 or more")
        for name in see:
            if name not in ("symbolic", "segmentation"):
                raise ConfigError(f"see = {tuple(see)!r}", "some of 'symbolic', 'segmentation'")
        config = Bench.Config(table=table_config(level, **settings), seconds=seconds, rate=rate)
        self.bench = Bench(config)
        self.interface = INTERFACES[interface](self.bench)
        self.view, self.see, self.repeats = SceneView(view, self.bench), tuple(see), num_action_repeats
        self.most_seed = most_seed(self.bench.table)

    @property
    def action_space(self) -> spaces.Dict:
        """Of one table: a number for each control."""
        return spaces.Dict({c.name: spaces.Box(c.low, c.high, (), np.float32) for c in self.interface.controls})

    @property
    def observation_space(self) -> spaces.Dict:
        """Of one table."""
        config = self.view.config
        shape = config.height, config.width
        scalar: dict[str, spaces.Space[Any]] = {
            "HAND_FORCE": spaces.Box(0, _STRONG, (), np.float32),
            "HAND_IS_HOLDING": spaces.Box(0, 1, (), np.float32),
            "HAND_DISTANCE": spaces.Box(0, _STRONG, (), np.float32),
            "Score": spaces.Box(-_STRONG, _STRONG, (), np.float32),
        }
        found: dict[str, spaces.Space[Any]] = {IMAGE: spaces.Box(0, 255, (*shape, 3), np.uint8)}
        found |= {"ACCELERATION": spaces.Box(-_STRONG, _STRONG, (3,), np.float32), **scalar}
        table = self.bench.config.table
        if "symbolic" in self.see:
            count = observation_size(table.stones, table.potions)
            found["symbolic"] = spaces.Box(-1.0, GONE_STONE, (count,), np.float32)
        if "segmentation" in self.see:
            found["segmentation"] = spaces.Box(0, 4 + table.stones + table.potions, shape, np.int64)
        return spaces.Dict(found)

    def start(self, seeds: Sequence[int]) -> Seats:
        """The first episodes of seeds."""
        player = self.interface.begin(self.bench.reset(seeds))
        return Seats(player, self._rest(len(player)))

    def restart(self, seats: Seats, rows: Bool[Tensor, " batch"]) -> Seats:
        """The next episodes of some tables."""
        controls = torch.where(rows[:, None], self._rest(len(rows)), seats.controls)
        return Seats(self.interface.restart(seats.player, rows), controls)

    def set_controls(self, seats: Seats, action: Any) -> Seats:
        """Set some of the controls of all tables: a mapping of names to numbers, or to arrays [B].

        Raises:
            DataError: an unknown control (naming the nearest), or what is no number or one of another shape.
        """
        if not isinstance(action, Mapping):
            raise DataError(f"an action of type {type(action).__name__}", "a mapping of controls to numbers")
        names, controls = self.interface.names, seats.controls.clone()
        for name, value in action.items():
            if name not in names:
                close = nearest(str(name), names)
                hint = f", did you mean '{close}'?" if close else ""
                raise DataError(f"unknown control '{name}'{hint}", "one of " + ", ".join(names))
            try:
                number = np.asarray(value, np.float32)
            except (TypeError, ValueError) as error:
                raise DataError(f"{name} = {value!r}", "a number") from error
            if number.shape not in ((), (len(controls),)) or not np.isfinite(number).all():
                raise DataError(f"{name} = {value!r}", "a finite number, or one for each table")
            controls[:, names.index(name)] = torch.from_numpy(number)
        return Seats(seats.player, controls)

    def go(self, seats: Seats, events: bool = True) -> Passed:
        """Let the frames of a step pass."""
        count = len(seats.controls)
        reward, new_trial = np.zeros(count), np.zeros(count, bool)
        told: list[list[Event]] = [[] for _ in range(count)]
        player = seats.player
        for _ in range(self.repeats):
            before = player.bench
            player, outcome = self.interface.act(player, seats.controls)
            reward += outcome.reward.double().numpy()
            new_trial |= outcome.new_trial.numpy()
            if events:
                for row in ((outcome.stone >= 0) | outcome.new_trial).nonzero()[:, 0].tolist():
                    told[row].extend(events_of(self.bench, before, player.bench, outcome, row))
        return Passed(Seats(player, seats.controls), reward, new_trial, [tuple(one) for one in told])

    def draw(self, seats: Seats) -> Drawn:
        """What the players see."""
        camera, arm = self.interface.look(seats.player)
        return self.view.draw(seats.player.bench, camera, arm)

    def observe(self, seats: Seats) -> Arrays:
        """What the players observe, [B, …]."""
        player, drawn = seats.player, self.draw(seats)
        found: Arrays = {
            IMAGE: drawn.image.numpy(),
            "ACCELERATION": self.interface.acceleration(player).numpy().copy(),
            "HAND_FORCE": player.force.numpy().copy(),
            "HAND_IS_HOLDING": (player.bench.held >= 0).float().numpy(),
            "HAND_DISTANCE": self.interface.hand_distance(player).numpy(),
            "Score": player.bench.table.score.numpy().copy(),
        }
        if "symbolic" in self.see:
            found["symbolic"] = observe(player.bench.table).numpy()
        if "segmentation" in self.see:
            found["segmentation"] = drawn.segmentation.numpy()
        return found

    def facts(self, seats: Seats, new_trial: NDArray[np.bool_]) -> Arrays:
        """What infos say, [B]."""
        bench = seats.player.bench
        return {
            "trial": bench.table.trial.numpy().copy(),
            "frame": bench.frame.numpy().copy(),
            "held": bench.held.numpy().copy(),
            "score": bench.table.score.double().numpy(),
            "trial_score": bench.table.trial_score.double().numpy(),
            "new_trial": new_trial.copy(),
        }

    def _rest(self, count: int) -> Tensor:
        return torch.zeros(count, len(self.interface.controls))


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
        return {name: value[0] for name, value in self.world.observe(self._current()).items()}

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
        super().__init__(
            num_envs, self.world.observation_space, self.world.action_space, autoreset_mode, render_mode
        )

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
        infos = self.world.facts(seats, passed.new_trial) | {"events": _boxed(passed.events)}
        return Advanced(seats, passed.reward, terminated, np.zeros(self.num_envs, bool), infos)

    def _look(self, state: Seats) -> Arrays:
        return self.world.observe(state)

    def _facts(self, state: Seats) -> Arrays:
        events = [first_events(self.world.bench, state.player.bench, row) for row in range(self.num_envs)]
        return self.world.facts(state, np.zeros(self.num_envs, bool)) | {"events": _boxed(events)}


def _boxed(events: list[tuple[Event, ...]]) -> NDArray[Any]:
    """Tuples in an array [B], which NumPy would make a table of."""
    found = np.empty(len(events), object)
    for row, some in enumerate(events):
        found[row] = some
    return found


def environment_id(level: str) -> str:
    """The id of a level in 3-D."""
    return f"Alchemy3D/{''.join(word.capitalize() for word in level.split('-'))}-v{VERSION}"


def register() -> None:
    """Make every named level known to `gymnasium.make` and `make_vec`. Doing it twice changes nothing."""
    for level in LEVELS:
        name = environment_id(level)
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point="percepts.envs.alchemy.table3d:Alchemy3DEnv",
                vector_entry_point="percepts.envs.alchemy.table3d:Alchemy3DVectorEnv",
                kwargs={"level": level},
            )


register()
