"""What an agent did in a trial as a matrix, and questions about it.

    events = event_matrices(recording)                     # [B, trials, stones, potions + 1]
    used = SingleEvent(0, frozenset(range(6)))             # stone 0 into any of the first six potions
    then_banked = Ordered((used, SingleEvent(0, BANKED)))  # and into the cauldron later
    then_banked.occurs(events[:, 2])                       # [B]: in the third trial

A matrix has a row for every stone and a column for every potion and, last, the cauldron. Its numbers put the events of
a trial in order, 0 for the first one, and are -1 where a stone and a potion never met. Any dimensions may stand before
the last two. The algebra is that of dm_alchemy's event trackers.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from percepts.core.errors import ConfigError
from percepts.envs.alchemy.recording import Recording

NEVER = -1
CAULDRON = -1
"""The column of the cauldron, counted from the end."""
BANKED = frozenset({CAULDRON})

Events = Int64[Tensor, "*batch stones actions"]


@dataclass(frozen=True)
class Occurrence:
    """When something happened for the first time.

    Attributes:
        start, end: orders of its first and last event; NEVER where it did not happen.
        potions: the columns that it used; none where it did not happen.
    """

    start: Int64[Tensor, "*batch"]
    end: Int64[Tensor, "*batch"]
    potions: Bool[Tensor, "*batch actions"]

    @property
    def happened(self) -> Bool[Tensor, "*batch"]:
        """Where it did."""
        return self.start != NEVER


class Event(ABC):
    """Something that may have happened in a trial."""

    @abstractmethod
    def occurrence(self, events: Events) -> Occurrence:
        """When it happened first."""

    def occurs(self, events: Events) -> Bool[Tensor, "*batch"]:
        """Whether it happened."""
        return self.occurrence(events).happened


@dataclass(frozen=True)
class SingleEvent(Event):
    """A stone meets one of some potions, for the first time.

    Attributes:
        stone: its slot.
        potions: their slots, or CAULDRON.
    """

    stone: int
    potions: frozenset[int]

    def occurrence(self, events: Events) -> Occurrence:
        """When it happened first."""
        row, allowed = self._row(events)
        met = allowed & (row != NEVER)
        first, place = torch.where(met, row, torch.iinfo(torch.int64).max).min(-1)
        happened = met.any(-1)
        order = torch.where(happened, first, NEVER)
        used = torch.zeros_like(met).scatter_(-1, place[..., None], happened[..., None])
        return Occurrence(order, order, used)

    def _row(self, events: Events) -> tuple[Tensor, Tensor]:
        stones, actions = events.shape[-2:]
        if not 0 <= self.stone < stones or not all(CAULDRON <= potion < actions for potion in self.potions):
            raise ConfigError(
                f"stone {self.stone} and potions {sorted(self.potions)}",
                f"stones below {stones}, potions below {actions - 1} or {CAULDRON}, the cauldron",
            )
        allowed = torch.zeros(actions, dtype=torch.bool, device=events.device)
        allowed[[*self.potions]] = True
        return events[..., self.stone, :], allowed


@dataclass(frozen=True)
class AnyOrder(Event):
    """All of some events happen, whichever first."""

    events: tuple[Event, ...]

    def occurrence(self, events: Events) -> Occurrence:
        """When the first one of them began and the last one ended."""
        found = [event.occurrence(events) for event in self.events]
        start = torch.stack([one.start for one in found]).amin(0)
        return _together(found, start, torch.stack([one.end for one in found]).amax(0))


@dataclass(frozen=True)
class Ordered(Event):
    """All of some events happen, none beginning before the one before it has ended.

    Of every event only its first occurrence counts, as in the original: a stone that was banked before it met a potion
    does not meet it in order later.
    """

    events: tuple[Event, ...]

    def occurrence(self, events: Events) -> Occurrence:
        """When the first one began and the last one ended."""
        found = [event.occurrence(events) for event in self.events]
        late = [before.end > after.start for before, after in itertools.pairwise(found)]
        wrong = torch.stack(late).any(0) if late else torch.zeros_like(found[0].start, dtype=torch.bool)
        return _together(found, found[0].start, found[-1].end, wrong)


def event_matrices(recording: Recording) -> Int64[Tensor, "batch trials stones actions"]:
    """The events of every trial of recorded episodes."""
    batch, trials, stones = recording.stones.shape
    actions = recording.potions.shape[-1] + 1
    matrices = torch.full((batch, trials, stones, actions), NEVER, device=recording.stones.device)
    row, step = (recording.played & (recording.stone >= 0)).nonzero(as_tuple=True)
    trial = recording.trial[row, step]
    column = torch.where(recording.banked, actions - 1, recording.potion)[row, step]
    matrices[row, trial, recording.stone[row, step], column] = recording.order()[row, step]
    return matrices


def _together(found: list[Occurrence], start: Tensor, end: Tensor, wrong: Tensor | None = None) -> Occurrence:
    happened = torch.stack([one.happened for one in found]).all(0)
    if wrong is not None:
        happened &= ~wrong
    potions = torch.stack([one.potions for one in found]).any(0) & happened[..., None]
    return Occurrence(torch.where(happened, start, NEVER), torch.where(happened, end, NEVER), potions)
