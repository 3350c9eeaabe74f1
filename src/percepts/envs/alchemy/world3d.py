"""What single and many tables of Alchemy in 3-D have in common: players, their controls, time, pictures, and events."""

from __future__ import annotations

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
from percepts.envs.alchemy.env import Arrays, most_seed, table_config
from percepts.envs.alchemy.hands import Hands
from percepts.envs.alchemy.interfaces import Interface, PlayerState, seen
from percepts.envs.alchemy.levels import Level
from percepts.envs.alchemy.observations import GONE_STONE, observation_size, observe
from percepts.envs.alchemy.scene import FIRST_STONE, Drawn, SceneView
from percepts.envs.alchemy.scene_events import Event, events_of
from percepts.envs.alchemy.table import Table
from percepts.envs.alchemy.table_state import put

require_package("gymnasium", extra="envs")

from gymnasium import spaces  # noqa: E402

InterfaceName = Literal["hands", "cursor"]
INTERFACES: dict[str, type[Interface[Any]]] = {"hands": Hands, "cursor": Cursor}
IMAGE = "RGB_INTERLEAVED"
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


SETTINGS_3D = ("interface", "seconds", "rate", "num_action_repeats", "view", "see", "render_mode")
"""Of the environment, beside those of its table."""


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
        config = Bench.Config(table=table_config(level, SETTINGS_3D, **settings), seconds=seconds, rate=rate)
        self.bench = Bench(config)
        self.interface = INTERFACES[interface](self.bench)
        self.view, self.see, self.repeats = SceneView(view, self.bench), tuple(see), num_action_repeats
        self.most_seed = most_seed(self.bench.table)

    @property
    def action_space(self) -> spaces.Dict:
        """Of one table: a number for each control."""
        return spaces.Dict({c.name: spaces.Box(c.low, c.high, (), np.float32) for c in self.interface.controls})

    @property
    def observation_space(self) -> spaces.Space[Any]:
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
            found["segmentation"] = spaces.Box(0, FIRST_STONE + table.stones + table.potions - 1, shape, np.int64)
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
        return seen(self.interface, self.view, seats.player, segmentation="segmentation" in self.see)

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
        if drawn.segmentation is not None:
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


def boxed(events: list[tuple[Event, ...]]) -> NDArray[Any]:
    """Tuples in an array [B], which NumPy would make a table of."""
    found = np.empty(len(events), object)
    for row, some in enumerate(events):
        found[row] = some
    return found
