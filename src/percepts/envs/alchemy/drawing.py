"""Where chemistries and items of Alchemy come from: a stream of random numbers for every episode's arena.

`Streams` gives as many numbers for every trial, whether they are used or not, so that two tables that differ in their
level or in when their chemistry changes draw the same items from the same seed. `LegacyStreams` are dm_alchemy's:
NumPy's RandomState, from which a chemistry is drawn when an episode starts, and items when a trial does.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.errors import DataError
from percepts.envs.alchemy.chemistry import POTIONS, ROTATIONS, VERTICES, Chemistry
from percepts.envs.alchemy.levels import Level
from percepts.envs.rows import TensorRows
from percepts.envs.streams import Streams

CHEMISTRY_NUMBERS = 4
"""Numbers of a stream that make a chemistry: of the potion map, stone map, graph and rotation."""
_WORDS = 625
"""Of the state of a Mersenne Twister, its place in them included."""

Drawn = tuple[int, int, int, int]
"""Graph, potion map, stone map, rotation."""


@dataclass(frozen=True)
class LegacyStreams(TensorRows):
    """B of NumPy's RandomStates.

    Attributes:
        words: their states: 624 words and the place.
    """

    words: Int64[Tensor, "batch 625"]

    @classmethod
    def of(cls, seeds: Iterable[int], device: torch.device | str = "cpu") -> Self:
        """Fresh ones.

        Raises:
            DataError: a seed that RandomState does not take.
        """
        states = [words_of(legacy_state(seed)) for seed in seeds]
        return cls(torch.from_numpy(np.stack(states) if states else np.zeros((0, _WORDS), np.int64)).to(device))

    def __len__(self) -> int:
        return len(self.words)


@dataclass(frozen=True)
class Draws:
    """How a table draws.

    Attributes:
        level: what of a chemistry is drawn.
        stones, potions: how many items a trial has.
        fixed_chemistry, fixed_items: whether none are drawn at all.
    """

    level: Level
    stones: int
    potions: int
    fixed_chemistry: bool
    fixed_items: bool

    def draw(
        self, streams: Streams | LegacyStreams, anew: Bool[Tensor, " batch"]
    ) -> tuple[Chemistry, Int64[Tensor, "batch stones"], Int64[Tensor, "batch potions"], Streams | LegacyStreams]:
        """Latent items of a trial for every stream, and a chemistry, which means something where `anew` only."""
        if isinstance(streams, LegacyStreams):
            return self._legacy(streams, anew)
        numbers, after = streams.uniform(CHEMISTRY_NUMBERS + self.stones + self.potions)
        chemistry = self.chemistry_of(numbers[:, :CHEMISTRY_NUMBERS])
        items = numbers[:, CHEMISTRY_NUMBERS:]
        stones, potions = items[:, : self.stones] * VERTICES, items[:, self.stones :] * POTIONS
        return chemistry, stones.long(), potions.long(), after

    def chemistry_of(self, numbers: Float64[Tensor, "batch 4"]) -> Chemistry:
        """The chemistries of numbers in [0, 1)."""
        counts = self.level.counts
        potion_map, stone_map, graph, rotation = numbers.unbind(1)
        choices = torch.tensor(self.level.choices, device=numbers.device)
        cumulated = torch.from_numpy(cumulated_priors(self.level)).to(numbers.device)
        place = torch.searchsorted(cumulated, graph.contiguous(), right=True)
        return Chemistry(
            choices[place],
            (potion_map * counts[1]).long() + self.level.potion_maps[0],
            (stone_map * counts[2]).long() + self.level.stone_maps[0],
            (rotation * counts[3]).long(),
        )

    def one_chemistry(self, numbers: Sequence[float]) -> Drawn:
        """The same of one stream, in Python's own numbers: graph, potion map, stone map, rotation."""
        level, counts = self.level, self.level.counts
        place = bisect.bisect_right(_cumulated_list(level), numbers[2])
        return (
            level.choices[place],
            int(numbers[0] * counts[1]) + level.potion_maps[0],
            int(numbers[1] * counts[2]) + level.stone_maps[0],
            int(numbers[3] * counts[3]),
        )

    def _legacy(self, streams: LegacyStreams, anew: Tensor) -> tuple[Chemistry, Tensor, Tensor, LegacyStreams]:
        """Stream by stream: a RandomState has no batches."""
        device = streams.words.device
        words = streams.words.numpy(force=True).copy()
        chemistries = np.zeros((len(streams), 4), np.int64)
        stones, potions = (np.zeros((len(streams), count), np.int64) for count in (self.stones, self.potions))
        state = np.random.RandomState(0)
        for row, fresh in enumerate(anew.tolist()):
            set_words(state, words[row])
            if fresh and not self.fixed_chemistry:
                chemistries[row] = legacy_chemistry(self.level, state)
            if not self.fixed_items:
                stones[row], potions[row] = legacy_items(state, self.stones, self.potions)
            words[row] = words_of(state)
        chemistry = Chemistry(*(torch.from_numpy(chemistries[:, n].copy()).to(device) for n in range(4)))
        after = LegacyStreams(torch.from_numpy(words).to(device))
        return chemistry, torch.from_numpy(stones).to(device), torch.from_numpy(potions).to(device), after


@functools.cache
def cumulated_priors(level: Level) -> NDArray[np.float64]:
    """Of the level's graphs, rounded as dm_alchemy rounds them; the last is 1."""
    prior = level.prior()[list(level.choices)].numpy().astype(np.float32).astype(np.float64)
    cumulated = prior.cumsum()
    return cumulated / cumulated[-1]


@functools.cache
def _cumulated_list(level: Level) -> list[float]:
    return cumulated_priors(level).tolist()


def items_of(numbers: NDArray[np.float64], stones: int) -> tuple[list[int], list[int]]:
    """Latent stones and potions of numbers in [0, 1), first those of the stones."""
    return (numbers[:stones] * VERTICES).astype(int).tolist(), (numbers[stones:] * POTIONS).astype(int).tolist()


def legacy_state(seed: int) -> np.random.RandomState:
    """dm_alchemy's generator of a seed.

    Raises:
        DataError: a seed that it does not take.
    """
    if not 0 <= seed < 1 << 32:
        raise DataError(f"the seed {seed} in compat mode", f"0 to {(1 << 32) - 1}, as NumPy's RandomState takes them")
    return np.random.RandomState(seed)


def legacy_chemistry(level: Level, state: np.random.RandomState) -> Drawn:
    """A chemistry in dm_alchemy's order. A level without bottlenecks draws its only graph, too."""
    potion_map, stone_map, rotation = level.potion_maps[0], level.stone_maps[0], 0
    if level.random_maps:
        potion_map = int(state.randint(0, len(level.potion_maps)))
        stone_map = int(state.randint(0, len(level.stone_maps)))
    # What RandomState.choice does with probabilities.
    place = cumulated_priors(level).searchsorted(state.random_sample(), side="right")
    if level.rotation:
        rotation = int(state.randint(0, ROTATIONS))
    return level.choices[place], potion_map, stone_map, rotation


def legacy_items(
    state: np.random.RandomState, stones: int, potions: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A trial's latent stones and potions; drawn at once they are what single draws would give."""
    return state.randint(0, VERTICES, stones), state.randint(0, POTIONS, potions)


def words_of(state: np.random.RandomState) -> NDArray[np.int64]:
    """The state as whole numbers [625]."""
    found = state.get_state(legacy=False)["state"]
    return np.append(np.asarray(found["key"], np.int64), int(found["pos"]))


def set_words(state: np.random.RandomState, words: NDArray[np.int64]) -> None:
    """Make it be in a state that `words_of` gave."""
    state.set_state(("MT19937", words[:-1].astype(np.uint32), int(words[-1]), 0, 0.0))
