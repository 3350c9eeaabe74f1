"""What ways of acting on a bench share: named controls, a state whose rows are players, and what is sensed.

A way of acting has controls with ranges; `act` takes one number for each of them and lets a frame pass.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from percepts.core.errors import DataError
from percepts.envs.alchemy.bench import STONE_UNIT, Bench, BenchState, length
from percepts.envs.alchemy.scene import Arm, Drawn, SceneView, with_reticle
from percepts.envs.alchemy.table import Outcome
from percepts.envs.alchemy.table_state import put

GRAVITY, STONE_MASS = 9.81, 0.3
"""In m/s², and the kilograms of a stone of size 1."""


@dataclass(frozen=True)
class Control:
    """One number that a player sets.

    Attributes:
        name: as the original has it, where it has it.
        low, high: its range.
    """

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class PlayerState:
    """B players.

    Attributes:
        bench: at which they are.
        motion: of the hands, in m/s.
        force: with which the hands hold what they hold, in newtons; 0 for empty ones.
    """

    bench: BenchState
    motion: Float32[Tensor, "batch 3"]
    force: Float32[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.bench)

    @property
    def finished(self) -> Bool[Tensor, " batch"]:
        """Whose episode is over."""
        return self.bench.finished

    def rows(self, index: Any) -> Self:
        """Some of the players."""
        parts: dict[str, Any] = {part.name: getattr(self, part.name) for part in dataclasses.fields(self)}
        chosen: dict[str, Any] = {
            name: part[index] if isinstance(part, Tensor) else part.rows(index) for name, part in parts.items()
        }
        return type(self)(**chosen)

    def put(self, index: Any, others: PlayerState) -> Self:
        """A copy with the players at `index` replaced."""
        changed = {
            part.name: put(getattr(self, part.name), index, getattr(others, part.name))
            for part in dataclasses.fields(self)
            if part.name != "bench"
        }
        return dataclasses.replace(self, bench=self.bench.put(index, others.bench), **changed)


State = TypeVar("State", bound=PlayerState)


class Interface(ABC, Generic[State]):
    """A way of acting on a bench.

    Args:
        bench: on which.
    """

    controls: ClassVar[tuple[Control, ...]]
    reticle: ClassVar[bool] = False
    """Whether pictures show where their middle is."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.interval = 1 / bench.config.rate

    @property
    def names(self) -> tuple[str, ...]:
        """Of the controls, in the order of an action's numbers."""
        return tuple(control.name for control in self.controls)

    @abstractmethod
    def begin(self, bench: BenchState) -> State:
        """Players at the beginning of an episode."""

    @abstractmethod
    def act(self, state: State, action: Float32[Tensor, "batch controls"]) -> tuple[State, Outcome]:
        """Let a frame pass.

        Args:
            state: before.
            action: a number for each of the `controls`; what is out of range counts as its end.

        Raises:
            DataError: another shape, or numbers that are NaN.
        """

    @abstractmethod
    def look(self, state: State) -> tuple[Float32[Tensor, "*batch 4 4"], Arm]:
        """World from camera, for all or each, and the arms."""

    def acceleration(self, state: State) -> Float32[Tensor, "batch 3"]:
        """Of the players, to the right, up and ahead, in m/s²."""
        return torch.zeros_like(state.motion)

    @abstractmethod
    def hand_distance(self, state: State) -> Float32[Tensor, " batch"]:
        """From the eye to the hand, in metres."""

    def restart(self, state: State, rows: Bool[Tensor, " batch"]) -> State:
        """The next episode of some players."""
        index = rows.nonzero()[:, 0]
        if not len(index):
            return state
        part = state.bench.rows(index)
        return state.put(index, self.begin(self.bench.restart(part, torch.ones_like(part.finished))))

    def checked(self, state: PlayerState, action: Tensor) -> Tensor:
        """An action within its ranges."""
        wanted = (len(state), len(self.controls))
        if action.dtype != torch.float32 or tuple(action.shape) != wanted:
            raise DataError(f"actions of {action.dtype} {list(action.shape)}", f"float32 {list(wanted)}")
        if bool(action.isnan().any()):
            raise DataError(
                "an action that is NaN", ", ".join(f"{c.name} {c.low:g} to {c.high:g}" for c in self.controls)
            )
        low, high = (action.new_tensor([getattr(c, end) for c in self.controls]) for end in ("low", "high"))
        return torch.minimum(torch.maximum(action, low), high)

    def handled(self, before: PlayerState, after: BenchState) -> tuple[Tensor, Tensor]:
        """How fast hands move after a frame, and with what force they hold."""
        same = (before.bench.held == after.held) & (after.held >= 0)
        motion = (after.hand - before.bench.hand) / self.interval
        pull = (motion - before.motion) / self.interval * same[:, None]
        pull = pull + pull.new_tensor((0.0, 0.0, GRAVITY))
        radius = self.bench.radii(after).gather(1, after.held.clamp(min=0)[:, None])[:, 0]
        force = STONE_MASS * (radius / STONE_UNIT) ** 3 * length(pull)
        return motion, torch.where(after.held >= 0, force, 0.0)


def seen(interface: Interface[Any], view: SceneView, state: PlayerState, *, segmentation: bool = False) -> Drawn:
    """What players see."""
    camera, arm = interface.look(state)
    drawn = view.draw(state.bench, camera, arm, segmentation=segmentation)
    return dataclasses.replace(drawn, image=with_reticle(drawn.image)) if interface.reticle else drawn


def towards(place: Tensor, goal: Tensor, most: float) -> Tensor:
    """Places [B, n] after going up to `most` metres towards goals."""
    way = goal - place
    far = length(way)[:, None]
    return torch.where(far <= most, goal, place + way * (most / far.clamp(min=1e-9)))
