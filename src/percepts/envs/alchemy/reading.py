"""Observations of Alchemy read back: what an agent may know of a table from what it sees.

seen = read(observation["symbolic"])
seen.coordinates, seen.reward, seen.here, seen.colour, seen.potion_here
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from percepts.core.errors import DataError
from percepts.envs.alchemy.chemistry import AXES, POTIONS
from percepts.envs.alchemy.observations import MOST_SHOWN, observation_size


@dataclass(frozen=True)
class TableView:
    """What B observations show.

    Attributes:
        coordinates: colour, size and roundness of the stones, -1, 0 or 1; 0 of those that are gone.
        reward: that they show, -3, -1, 1 or 3; 0 of those that are gone. The best pays more than it shows.
        here: which stones are there.
        colour: of the potions, a number in `POTION_COLOURS`; 0 of those that are gone.
        potion_here: which potions are there.
    """

    coordinates: Float32[Tensor, "batch stones 3"]
    reward: Int64[Tensor, "batch stones"]
    here: Bool[Tensor, "batch stones"]
    colour: Int64[Tensor, "batch potions"]
    potion_here: Bool[Tensor, "batch potions"]


def read(
    observation: Mapping[str, Tensor] | Float32[Tensor, "batch numbers"], stones: int = 3, potions: int = 12
) -> TableView:
    """What observations show, with or without the numbers that tell what is used.

    Args:
        observation: the numbers, or a dictionary that holds them as "symbolic".
        stones, potions: how many slots there are.

    Raises:
        DataError: numbers that are not of so many slots.
    """
    symbolic = observation["symbolic"] if isinstance(observation, Mapping) else observation
    sizes = {observation_size(stones, potions, used): used for used in (True, False)}
    if symbolic.ndim != 2 or symbolic.shape[1] not in sizes:
        got = f"observations {list(symbolic.shape)}"
        raise DataError(got, f"[B, {' or '.join(map(str, sizes))}] of {stones} stones and {potions} potions")
    used = sizes[symbolic.shape[1]]
    width = AXES + 1 + used
    stone = symbolic[:, : stones * width].unflatten(1, (stones, width))
    potion = symbolic[:, stones * width :].unflatten(1, (potions, 1 + used))[..., 0]
    here, potion_here = stone[..., 0] < 1.5, potion < 5 / 6
    return TableView(
        coordinates=stone[..., :AXES] * here[..., None],
        reward=(stone[..., AXES] * MOST_SHOWN).round().long() * here,
        here=here,
        colour=((potion + 1) * (POTIONS / 2)).round().long() * potion_here,
        potion_here=potion_here,
    )
