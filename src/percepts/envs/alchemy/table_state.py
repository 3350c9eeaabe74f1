"""What tables of Alchemy are in tensors: their state, what a step brings, and whole episodes."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from percepts.core.config import Config
from percepts.core.errors import ConfigError, DataError
from percepts.envs.alchemy.chemistry import AXES, Chemistry, chemistry_tables
from percepts.envs.alchemy.drawing import LegacyStreams
from percepts.envs.rows import TensorRows
from percepts.envs.streams import Streams

NONE = -1
"""No item, no slot, no vertex."""


@dataclass(frozen=True, kw_only=True)
class Rewards(Config):
    """What a stone is worth in the cauldron, and what a potion pays.

    Attributes:
        weights: of the latent coordinates.
        offset: added to every stone.
        bonus: added to the stone whose coordinates are all 1.
        potion: paid for every potion used, to shape behaviour. It doesn't count in a state's scores.

    Raises:
        ConfigError: not three weights, or what is no finite number.
    """

    weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    offset: float = 0.0
    bonus: float = 12.0
    potion: float = 0.0

    def __post_init__(self) -> None:
        numbers = (*self.weights, self.offset, self.bonus, self.potion)
        if len(self.weights) != AXES or not all(map(math.isfinite, numbers)):
            raise ConfigError(f"rewards {numbers}", "three weights, an offset, a bonus, a pay for potions, all finite")


def stone_values(rewards: Rewards) -> Float32[Tensor, "8"]:
    """What every latent vertex pays in the cauldron: -3, -1, 1 or 15 by default."""
    worth = chemistry_tables().sign.double() @ torch.tensor(rewards.weights, dtype=torch.float64) + rewards.offset
    worth[-1] += rewards.bonus
    return worth.float()


@dataclass(frozen=True)
class Episodes(TensorRows):
    """B whole episodes: what a table is told to play instead of what it would draw.

    Attributes:
        chemistry: theirs.
        stones: latent vertices, -1 where there is no stone.
        potions: latent potions, -1 where there is none.
    """

    chemistry: Chemistry
    stones: Int64[Tensor, "batch trials stones"]
    potions: Int64[Tensor, "batch trials potions"]

    def __len__(self) -> int:
        return len(self.stones)


@dataclass(frozen=True)
class TableState(TensorRows):
    """Where B tables are.

    Attributes:
        chemistry: theirs.
        stones: latent vertices of the stones; of one that is gone, its last.
        potions: latent potions, used ones included.
        stone_here, potion_here: which are there.
        trial: number of the trial, from 0.
        step: steps made in it.
        score: what stones have paid in this episode.
        trial_score: what they have paid in this trial.
        finished: whether the episode is over.
        streams: of random numbers.
        episodes: that are played instead of drawn ones.
    """

    chemistry: Chemistry
    stones: Int64[Tensor, "batch stones"]
    potions: Int64[Tensor, "batch potions"]
    stone_here: Bool[Tensor, "batch stones"]
    potion_here: Bool[Tensor, "batch potions"]
    trial: Int64[Tensor, " batch"]
    step: Int64[Tensor, " batch"]
    score: Float32[Tensor, " batch"]
    trial_score: Float32[Tensor, " batch"]
    finished: Bool[Tensor, " batch"]
    streams: Streams | LegacyStreams
    episodes: Episodes | None = None

    def __len__(self) -> int:
        return len(self.trial)

    def put(self, index: Any, others: Self) -> Self:
        """A copy with the tables at `index` replaced.

        Raises:
            DataError: some play given episodes and the others do not.
        """
        if (self.episodes is None) != (others.episodes is None):
            raise DataError("tables that play given episodes among tables that draw theirs", "all of one kind")
        return super().put(index, others)


@dataclass(frozen=True)
class Outcome:
    """What a step brought, that of a trial's last action included, which the next observation doesn't show.

    Attributes:
        reward: what the stone paid, and the pay for a used potion.
        terminated: whether the episode is over.
        new_trial: whether the step ended a trial, be it the episode's last.
        stone: the stone that was banked or dipped; -1 for none.
        potion: the potion that was used up; -1 for none.
        banked: whether the stone went into the cauldron.
        before: the stone's latent vertex before; -1 for no stone.
        after: the one afterwards; -1 for no stone, and for one that was banked.
    """

    reward: Float32[Tensor, " batch"]
    terminated: Bool[Tensor, " batch"]
    new_trial: Bool[Tensor, " batch"]
    stone: Int64[Tensor, " batch"]
    potion: Int64[Tensor, " batch"]
    banked: Bool[Tensor, " batch"]
    before: Int64[Tensor, " batch"]
    after: Int64[Tensor, " batch"]


def put(old: Any, index: Any, new: Any) -> Any:
    """A copy of a tensor, or of a dataclass of some, with the rows at `index` replaced."""
    if isinstance(old, Tensor):
        changed = old.clone()
        changed[index] = new
        return changed
    names = [part.name for part in dataclasses.fields(old)]
    return type(old)(*(put(getattr(old, name), index, getattr(new, name)) for name in names))
