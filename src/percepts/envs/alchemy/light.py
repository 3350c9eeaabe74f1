"""The rules of Alchemy for one table, in Python's own numbers: a step takes microseconds.

It does what `Table` does with a batch of one, to the bit; both are tested side by side.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from percepts.core.random import derive_seed
from percepts.envs.alchemy.chemistry import POTIONS, Chemistry, chemistry_tables
from percepts.envs.alchemy.drawing import (
    CHEMISTRY_NUMBERS,
    Drawn,
    LegacyStreams,
    items_of,
    legacy_chemistry,
    legacy_items,
    legacy_state,
    words_of,
)
from percepts.envs.alchemy.observations import shown_items
from percepts.envs.alchemy.table import NONE, STREAM, Table, TableState, stone_values
from percepts.envs.streams import Streams, numbers_of


@dataclass(slots=True)
class Happened:
    """What the last step brought, as `Outcome` says it."""

    reward: float = 0.0
    new_trial: bool = False
    stone: int = NONE
    potion: int = NONE
    banked: bool = False
    before: int = NONE
    after: int = NONE


class LightTable:
    """One table that changes in place.

    Args:
        table: whose rules it follows.
        used: whether observations have the numbers that tell what is used.
    """

    def __init__(self, table: Table, used: bool = True) -> None:
        self.table, self.config, self.used = table, table.config, used
        self.values = stone_values(table.config.rewards).tolist()
        self.pay = float(np.float32(table.config.rewards.potion))
        self.stone_width, self.potion_width = 4 + used, 1 + used
        self.trial, self.step_number, self.score, self.trial_score = 0, 0, 0.0, 0.0
        self.finished = True
        self.happened = Happened()
        self.key, self.count = 0, 0
        self.legacy: np.random.RandomState | None = None

    def seed(self, seed: int) -> None:
        """Take up the stream of a seed; the next episode is its first.

        Raises:
            DataError: one that NumPy's RandomState does not take, in compat mode.
        """
        if self.config.seeding == "compat":
            self.legacy = legacy_state(seed)
        else:
            self.key, self.count = derive_seed(seed, STREAM), 0

    def begin(self) -> None:
        """The next episode."""
        self.score, self.finished = 0.0, False
        self.happened = Happened()
        self._begin_trial(0, True)

    def act(self, action: int) -> Happened:
        """Do one of the actions."""
        config = self.config
        happened = Happened()
        number = action - 1 - config.end_trial
        if number >= 0:
            stone, place = divmod(number, config.potions + 1)
            if self.stone_here[stone]:
                if place == 0:
                    self._bank(stone, happened)
                elif self.potion_here[place - 1]:
                    self._dip(stone, place - 1, happened)
        self.step_number += 1
        if self.step_number >= config.steps or (action == 0 and config.end_trial):
            happened.new_trial = True
            if self.trial == config.trials - 1:
                self.finished = True
            else:
                self._begin_trial(self.trial + 1, self.trial + 1 in config.switch_trials)
        self.happened = happened
        return happened

    def slot_of(self, action: int) -> int:
        """The action by slots that does what an action by colours says, as `slots_of_colours`."""
        special = 1 + self.config.end_trial
        if action < special:
            return action
        stone, colour = divmod(action - special, POTIONS + 1)
        first = special + stone * (self.config.potions + 1)
        if colour == POTIONS:
            return first
        latent = self.latent[colour]
        for place, (potion, here) in enumerate(zip(self.potions, self.potion_here), 1):
            if here and potion == latent:
                return first + place
        return special - 1

    def state(self) -> TableState:
        """The same in tensors, as a batch of one."""

        def row(*values: int) -> torch.Tensor:
            return torch.tensor([values], dtype=torch.int64)

        streams: Streams | LegacyStreams
        if self.legacy is None:
            streams = Streams(row(self.key)[0], row(self.count)[0])
        else:
            streams = LegacyStreams(torch.from_numpy(words_of(self.legacy))[None])
        score = torch.tensor([[self.score], [self.trial_score]])
        return TableState(
            Chemistry.of(*self.chemistry), row(*self.stones), row(*self.potions), torch.tensor([self.stone_here]),
            torch.tensor([self.potion_here], dtype=torch.bool), row(self.trial)[0], row(self.step_number)[0],
            score[0], score[1], torch.tensor([self.finished]), streams,
        )  # fmt: skip

    def _bank(self, stone: int, happened: Happened) -> None:
        vertex = self.stones[stone]
        paid = self.values[vertex]
        # Sums are rounded to single precision, as in tensors.
        self.score, self.trial_score = float(np.float32(self.score + paid)), float(np.float32(self.trial_score + paid))
        self.stone_here[stone] = False
        first = stone * self.stone_width
        self.seen[first : first + self.stone_width] = self.stone_rows[-1]
        happened.reward, happened.stone, happened.before, happened.banked = paid, stone, vertex, True

    def _dip(self, stone: int, potion: int, happened: Happened) -> None:
        vertex = self.stones[stone]
        self.stones[stone] = after = self.moves[vertex][self.potions[potion]]
        self.potion_here[potion] = False
        first = self.config.stones * self.stone_width + potion * self.potion_width
        self.seen[first : first + self.potion_width] = self.potion_rows[-1]
        if after != vertex:
            first = stone * self.stone_width
            self.seen[first : first + self.stone_width] = self.stone_rows[after]
        happened.reward, happened.stone, happened.potion = self.pay, stone, potion
        happened.before, happened.after = vertex, after

    def _begin_trial(self, trial: int, anew: bool) -> None:
        """Draw as `Draws` does."""
        config = self.config
        drawn, stones, potions = self._legacy_draw(anew) if self.legacy is not None else self._draw()
        if config.items is not None:
            given = config.items[trial]
            stones, potions = list(given[0]), list(given[1])
        if anew:
            self.chemistry = drawn if config.chemistry is None else config.chemistry
            self.moves, self.latent = _moves()[self.chemistry[0]], _latent()[self.chemistry[1]]
            self.stone_rows, self.potion_rows = shown_items(*self.chemistry[1:], self.used)
        missing = config.stones - len(stones), config.potions - len(potions)
        self.stones, self.potions = stones + [0] * missing[0], potions + [0] * missing[1]
        self.stone_here = [True] * len(stones) + [False] * missing[0]
        self.potion_here = [True] * len(potions) + [False] * missing[1]
        self.trial, self.step_number, self.trial_score = trial, 0, 0.0
        rows = self.stone_rows[stones + [-1] * missing[0]], self.potion_rows[potions + [-1] * missing[1]]
        self.seen: NDArray[np.float32] = np.concatenate([part.ravel() for part in rows])

    def _draw(self) -> tuple[Drawn, list[int], list[int]]:
        config = self.config
        count = CHEMISTRY_NUMBERS + config.stones + config.potions
        numbers = numbers_of(self.key, self.count, count)
        self.count += count
        stones, potions = items_of(numbers[CHEMISTRY_NUMBERS:], config.stones)
        return self.table.draws.one_chemistry(numbers.tolist()), stones, potions

    def _legacy_draw(self, anew: bool) -> tuple[Drawn, list[int], list[int]]:
        assert self.legacy is not None
        drawn, stones, potions = (0, 0, 0, 0), np.zeros(0, np.int64), np.zeros(0, np.int64)
        if anew and self.config.chemistry is None:
            drawn = legacy_chemistry(self.table.level, self.legacy)
        if self.config.items is None:
            stones, potions = legacy_items(self.legacy, self.config.stones, self.config.potions)
        return drawn, stones.tolist(), potions.tolist()


@functools.cache
def _moves() -> list[list[list[int]]]:
    """The transitions of all graphs as lists, which are faster to look into."""
    found: list[list[list[int]]] = chemistry_tables().transition.tolist()
    return found


@functools.cache
def _latent() -> list[list[int]]:
    """The latent potions of all potion maps as lists."""
    found: list[list[int]] = chemistry_tables().latent_potion.tolist()
    return found
