"""Carries out actions by slots with a cursor or a hand, so that whoever plays symbolic Alchemy plays it in 3-D.

    executor = Executor(Cursor(bench))
    state = executor.reset(seeds=range(8))
    state, outcome = executor.step(state, action)              # an action of `Table`, int64 [8]
    observe(state.player.bench.table)                          # what a symbolic agent sees next

A step lasts as many frames as it takes to do what was said; one that does nothing, such as with a stone that is gone,
lasts none. After as many steps as a trial of the table has, the executor waits for the trial to end, so that its scores
are those of the symbolic environment of the same seed, as long as there is time enough for all steps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from percepts.core.errors import DataError, RunError
from percepts.envs.alchemy.bench import CAULDRON, HOVER, TOP, BenchState, length
from percepts.envs.alchemy.cursor import SPEED, Cursor
from percepts.envs.alchemy.hands import NOD, REACH, STRETCH, TURN, Hands, HandsState
from percepts.envs.alchemy.interfaces import Interface, PlayerState
from percepts.envs.alchemy.table import NONE, Outcome
from percepts.envs.alchemy.table_state import put

_THERE = 0.03
"""How near to where it should be a hand is, in metres, before it lets go."""
_AIMED = 0.01
"""How far off the view may point, in radians, before the hand takes something."""
_PATIENCE, _LEAST_FRAMES = 10.0, 300
"""Seconds, and at least so many frames, after which a step is given up as impossible."""


@dataclass(frozen=True)
class ExecutorState:
    """B players who are told what to do.

    Attributes:
        player: them.
        step: steps that they have made in this trial.
    """

    player: PlayerState
    step: Int64[Tensor, " batch"]

    @property
    def finished(self) -> Bool[Tensor, " batch"]:
        """Whose episode is over."""
        return self.player.finished

    def put(self, index: Any, others: ExecutorState) -> Self:
        """A copy with the players at `index` replaced."""
        return type(self)(self.player.put(index, others.player), put(self.step, index, others.step))


@dataclass(frozen=True)
class _Orders:
    """What B players are to do: take a stone, and let it go at a place in space, that of a potion or the cauldron."""

    stone: Tensor
    place: Tensor

    def rows(self, index: Any) -> _Orders:
        return _Orders(self.stone[index], self.place[index])


class Executor:
    """A script that never errs.

    Args:
        interface: a `Cursor` or `Hands`.
        watch: is shown the players after every frame, for a film.
        wait: whether it waits for a trial to end after its last step; if not, the trial ends at once.
    """

    def __init__(
        self, interface: Interface[Any], watch: Callable[[PlayerState], None] | None = None, wait: bool = True
    ) -> None:
        self.interface, self.bench, self.watch, self.wait = interface, interface.bench, watch, wait
        self.config = interface.bench.config.table

    @property
    def actions(self) -> int:
        """How many actions there are: those of the table."""
        return self.config.actions

    def reset(self, seeds: Iterable[int]) -> ExecutorState:
        """The first episode of each seed."""
        return self.of(self.bench.reset(seeds))

    def of(self, bench: BenchState) -> ExecutorState:
        """Players at benches where a trial begins."""
        return ExecutorState(self.interface.begin(bench), torch.zeros_like(bench.held))

    def restart(self, state: ExecutorState, rows: Bool[Tensor, " batch"]) -> ExecutorState:
        """The next episode of some players."""
        return ExecutorState(self.interface.restart(state.player, rows), torch.where(rows, 0, state.step))

    def step(self, state: ExecutorState, action: Int64[Tensor, " batch"]) -> tuple[ExecutorState, Outcome]:
        """Do what is said, and wait for the end of the trial after its last step.

        Raises:
            DataError: actions that are none.
            RunError: a stone or place that hands do not reach.
        """
        if action.dtype != torch.int64 or action.shape != state.step.shape:
            raise DataError(f"actions of {action.dtype} {list(action.shape)}", f"int64 [{len(state.step)}]")
        if len(action) and not 0 <= int(action.min()) <= int(action.max()) < self.actions:
            raise DataError(f"actions from {int(action.min())} to {int(action.max())}", f"0 to {self.actions - 1}")
        orders, does = self._orders(state.player.bench, action)
        going = ~state.finished
        total = _empty(state.player)
        player = self._until(state.player, does & going, total, orders)
        step = state.step + going
        last = going & ~total.new_trial & (step >= self.config.steps)
        if self.config.end_trial:
            last |= going & ~total.new_trial & (action == 0)
        player = self._until(player, last, total, None) if self.wait else self._ended(player, last, total)
        return ExecutorState(player, torch.where(total.new_trial & ~player.finished, 0, step)), total

    def _until(self, player: PlayerState, rows: Tensor, total: Outcome, orders: _Orders | None) -> PlayerState:
        """Frames at some benches until the orders are carried out; without any until the trial ends."""
        index, frames = rows.nonzero()[:, 0], 0
        patience = max(_LEAST_FRAMES, round(_PATIENCE * self.bench.config.rate))
        limit = patience if orders is not None else self.bench.config.frames + 1
        while len(index):
            if frames == limit:
                raise RunError(f"what was to be done at table {int(index[0])} is not done after {frames} frames")
            whole = len(index) == len(player)
            part = player if whole else player.rows(index)
            motors = self._idle(part) if orders is None else self._motors(part, orders.rows(index))
            part, outcome = self.interface.act(part, motors)
            player = part if whole else player.put(index, part)
            over = outcome.new_trial if orders is None else outcome.new_trial | (outcome.stone >= 0)
            _add(total, index, outcome)
            index, frames = index[~over], frames + 1
            if self.watch is not None:
                self.watch(player)
        return player

    def _ended(self, player: PlayerState, rows: Tensor, total: Outcome) -> PlayerState:
        bench, outcome = self.bench.end_trial(player.bench, rows)
        _add(total, torch.arange(len(player), device=rows.device), outcome)
        return dataclasses.replace(player, bench=bench)

    def _orders(self, bench: BenchState, action: Tensor) -> tuple[_Orders, Tensor]:
        """What actions ask for, and whose asks for something that can be done."""
        config, table = self.config, bench.table
        number = action - (1 + config.end_trial)
        stone, column = number.clamp(min=0) // (config.potions + 1), number.clamp(min=0) % (config.potions + 1)
        row = torch.arange(len(action), device=action.device)
        spots = torch.cat([bench.potions.new_tensor(CAULDRON).expand(len(action), 1, 2), bench.potions], 1)
        here = torch.cat([torch.ones_like(table.finished)[:, None], table.potion_here], 1)
        place = torch.cat([spots[row, column], torch.full_like(spots[:, 0, :1], TOP + HOVER)], 1)
        does = (number >= 0) & table.stone_here[row, stone] & here[row, column]
        return _Orders(stone, place), does

    def _motors(self, player: PlayerState, orders: _Orders) -> Float32[Tensor, "batch controls"]:
        held = player.bench.held
        index = orders.stone[:, None, None].expand(-1, 1, 3)
        stone = self.bench.centres(player.bench).gather(1, index)[:, 0]
        carries = held == orders.stone
        goal = torch.where(carries[:, None], orders.place, stone)
        # A hand that holds another stone puts it down first.
        wrong = (held != NONE) & ~carries
        if isinstance(self.interface, Cursor):
            way = goal[:, :2] - player.bench.hand[:, :2]
            there = length(way) < _THERE
            grip = torch.where(carries, ~there, there) & ~wrong
            motion = way / (SPEED * self.interface.interval)
            return torch.cat([motion, grip[:, None].to(motion)], 1)
        assert isinstance(self.interface, Hands)
        assert isinstance(player, HandsState)
        return self._gaze(self.interface, player, goal, carries, wrong)

    def _gaze(self, hands: Hands, player: HandsState, goal: Tensor, carries: Tensor, wrong: Tensor) -> Tensor:
        """How to look at a goal, and when to take or to let go."""
        way = goal - hands.eye(player)
        level = length(way[:, :2])
        side = torch.remainder(torch.atan2(way[:, 0], way[:, 1]) - player.yaw + math.pi, 2 * math.pi) - math.pi
        up = torch.atan2(way[:, 2], level) - player.pitch
        aimed = (side.abs() < _AIMED) & (up.abs() < _AIMED)
        there = length(goal[:, :2] - player.bench.hand[:, :2]) < _THERE
        grip = torch.where(carries, ~there, aimed) & ~wrong
        motors = self._idle(player)
        for name, value in (
            ("LOOK_LEFT_RIGHT", side / (TURN * hands.interval)),
            ("LOOK_DOWN_UP", up / (NOD * hands.interval)),
            ("HAND_PUSH_PULL", (REACH - player.stretch) / (STRETCH * hands.interval)),
            ("HAND_GRIP", grip.to(side)),
        ):
            motors[:, hands.names.index(name)] = value
        return motors

    def _idle(self, player: PlayerState) -> Tensor:
        """Nothing, but that the hand keeps what it holds."""
        return player.motion.new_zeros(len(player), len(self.interface.controls))


def _empty(player: PlayerState) -> Outcome:
    none = torch.full_like(player.bench.held, NONE)
    false = torch.zeros_like(player.finished)
    return Outcome(
        torch.zeros_like(player.force), player.finished.clone(), false, none, none.clone(), false.clone(),
        none.clone(), none.clone(),
    )  # fmt: skip


def _add(total: Outcome, index: Tensor, outcome: Outcome) -> None:
    """Write what a frame brought into what a step brought."""
    total.reward[index] += outcome.reward
    total.new_trial[index] |= outcome.new_trial
    total.terminated[index] |= outcome.terminated
    acted = outcome.stone >= 0
    for name in ("stone", "potion", "banked", "before", "after"):
        getattr(total, name)[index[acted]] = getattr(outcome, name)[acted]
