"""Episodes as they were played: what was laid out, what was done and what came of it.

A recording has a row for every episode and a column for every step. Outcomes are latent and complete: that of a trial's
last action, which no observation shows, is there, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from percepts.envs.alchemy.chemistry import Chemistry

if TYPE_CHECKING:
    from percepts.envs.alchemy.table_state import Outcome


@dataclass(frozen=True)
class Recording:
    """B episodes.

    Attributes:
        chemistry: of every trial, [B * trials], the trials of an episode one after another.
        stones: latent vertices at the beginning of every trial.
        potions: latent potions of every trial.
        trial: in which a step happened.
        played: whether the episode was still on; what else stands in other columns means nothing.
        action: as it was given.
        reward: for it.
        stone: the slot acted on, -1 where the action did nothing to any.
        potion: the slot used up, -1 for none.
        banked: whether the stone went into the cauldron.
        before, after: vertices of that stone; -1 for none.
    """

    chemistry: Chemistry
    stones: Int64[Tensor, "batch trials stones"]
    potions: Int64[Tensor, "batch trials potions"]
    trial: Int64[Tensor, "batch steps"]
    played: Bool[Tensor, "batch steps"]
    action: Int64[Tensor, "batch steps"]
    reward: Float32[Tensor, "batch steps"]
    stone: Int64[Tensor, "batch steps"]
    potion: Int64[Tensor, "batch steps"]
    banked: Bool[Tensor, "batch steps"]
    before: Int64[Tensor, "batch steps"]
    after: Int64[Tensor, "batch steps"]

    def __len__(self) -> int:
        return len(self.stones)

    def order(self) -> Int64[Tensor, "batch steps"]:
        """Which event of its trial, from 0, a step was; -1 where it was none."""
        event = (self.stone >= 0) & self.played
        of_trial = self.per_trial(event)
        earlier = of_trial.cumsum(1) - of_trial
        return torch.where(event, event.cumsum(1) - 1 - earlier.gather(1, self.trial), -1)

    def per_trial(self, values: Tensor) -> Tensor:
        """Sums over the played steps of every trial [B, trials] of something told of every step [B, steps]."""
        kept = torch.where(self.played, values, torch.zeros_like(values))
        kept = kept.long() if kept.dtype == torch.bool else kept
        found = torch.zeros(self.stones.shape[:2], dtype=kept.dtype, device=kept.device)
        return found.scatter_add_(1, self.trial, kept)

    def bounds(self) -> tuple[Bool[Tensor, "batch steps"], Bool[Tensor, "batch steps"]]:
        """Which steps are the first ones of their trials, and which the last ones."""
        shown = torch.where(self.played, self.trial, -1)
        edge = shown.new_full((len(shown), 1), -1)
        first = self.played & (shown != torch.cat([edge, shown[:, :-1]], 1))
        last = self.played & (shown != torch.cat([shown[:, 1:], edge], 1))
        return first, last

    def changing(self) -> Bool[Tensor, " batch"]:
        """Whose chemistry was not the same in all trials."""
        numbers = torch.stack([getattr(self.chemistry, part.name) for part in dataclasses.fields(self.chemistry)], 1)
        of_trials = numbers.view(*self.stones.shape[:2], -1)
        return (of_trials != of_trials[:, :1]).flatten(1).any(1)

    def scores(self) -> Float32[Tensor, "batch trials"]:
        """Rewards of every trial."""
        return self.per_trial(self.reward)

    def rows(self, index: Any) -> Self:
        """Some of the episodes."""
        trials = self.stones.shape[1]
        places = torch.arange(len(self), device=self.stones.device)[index]
        of_trials = (places[:, None] * trials + torch.arange(trials, device=places.device)).flatten()
        others = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        others = {name: value[index] for name, value in others.items() if name != "chemistry"}
        return type(self)(chemistry=self.chemistry.rows(of_trials), **others)


class Recorder:
    """Gathers a recording while it is played.

    Args:
        trials: of an episode.
    """

    def __init__(self, trials: int) -> None:
        self.trials = trials
        self._steps: list[dict[str, Tensor]] = []
        self._laid: dict[str, Tensor] = {}

    def trial(self, number: Tensor, stones: Tensor, potions: Tensor, chemistry: Chemistry, fresh: Tensor) -> None:
        """What lies on the table at the beginning of a trial.

        Args:
            number: of the trial [B].
            stones, potions: latent ones [B, ...].
            chemistry: of B.
            fresh: whether a trial begins [B]; other rows are left.
        """
        parts = {field.name: getattr(chemistry, field.name) for field in dataclasses.fields(chemistry)}
        for name, value in {"stones": stones, "potions": potions, **parts}.items():
            if name not in self._laid:
                self._laid[name] = value.new_zeros(len(value), self.trials, *value.shape[1:])
            rows = fresh.nonzero()[:, 0]
            self._laid[name][rows, number[rows]] = value[rows]

    def step(self, trial: Tensor, played: Tensor, action: Tensor, outcome: Outcome) -> None:
        """What was done in a trial [B], and what came of it."""
        told = {"trial": trial, "played": played, "action": action}
        names = ("reward", "stone", "potion", "banked", "before", "after")
        self._steps.append({**told, **{name: getattr(outcome, name) for name in names}})

    def recording(self) -> Recording:
        """All of it."""
        laid = dict(self._laid)
        parts = [laid.pop(field.name).flatten() for field in dataclasses.fields(Chemistry)]
        return Recording(chemistry=Chemistry(*parts), **laid, **_stacked(self._steps))


def joined(recordings: Sequence[Recording]) -> Recording:
    """Episodes of several recordings, with as many trials each, as one."""
    longest = max(one.trial.shape[1] for one in recordings)
    found: dict[str, Any] = {}
    for field in dataclasses.fields(Recording):
        parts = [getattr(one, field.name) for one in recordings]
        if field.name == "chemistry":
            names = [part.name for part in dataclasses.fields(Chemistry)]
            found["chemistry"] = Chemistry(*(torch.cat([getattr(one, name) for one in parts]) for name in names))
        elif field.name in ("stones", "potions"):
            found[field.name] = torch.cat(parts)
        else:
            found[field.name] = torch.cat([_longer(part, longest) for part in parts])
    return Recording(**found)


def _longer(part: Tensor, steps: int) -> Tensor:
    """With columns of nothing up to `steps`."""
    return torch.cat([part, part.new_zeros(len(part), steps - part.shape[1])], 1)


def _stacked(steps: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([one[name] for one in steps], 1) for name in steps[0]}
