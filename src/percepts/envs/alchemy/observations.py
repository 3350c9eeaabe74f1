"""What of a table is seen: five numbers a stone, two a potion, in slots that do not move.

A stone shows colour, size and roundness (-1, 0 or 1) and its reward over 3; a potion shows its colour q, 0 to 5, as
q / 3 - 1. Each has a last number that is 1 where the item is used. A used stone shows 2, 2, 2, 2, a used potion 1. The
bonus is not shown.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from percepts.envs.alchemy.chemistry import (
    AXES,
    POTION_MAPS,
    POTIONS,
    ROTATIONS,
    STONE_MAPS,
    VERTICES,
    chemistry_tables,
)
from percepts.envs.alchemy.table_state import TableState

MOST_SHOWN = 3
"""The reward that shows as 1."""
GONE_STONE, GONE_POTION = 2.0, 1.0
"""What used items show."""


def observation_size(stones: int, potions: int, used: bool = True) -> int:
    """How many numbers an observation has: 39 of three stones and twelve potions."""
    return stones * (AXES + 1 + used) + potions * (1 + used)


def observe(state: TableState, used: bool = True) -> Float32[Tensor, "batch numbers"]:
    """The observations of dm_alchemy, 39 numbers of three stones and twelve potions.

    Args:
        state: of the tables.
        used: whether every item has its number that tells whether it is used; 24 numbers if not.
    """
    rows = _rows(str(state.stones.device))
    stones, potions = rows.stones, rows.potions
    if not used:
        stones, potions = stones[:, :-1].contiguous(), potions[:, :-1].contiguous()
    chemistry, batch = state.chemistry, len(state)
    view = (chemistry.rotation * STONE_MAPS + chemistry.stone_map) * (VERTICES + 1)
    vertex = torch.where(state.stone_here, state.stones, VERTICES) + view[:, None]
    colour = torch.where(state.potion_here, state.potions, POTIONS) + (chemistry.potion_map * (POTIONS + 1))[:, None]
    seen = stones.index_select(0, vertex.view(-1)), potions.index_select(0, colour.view(-1))
    return torch.cat([part.view(batch, -1) for part in seen], 1)


def shown_items(
    potion_map: int, stone_map: int, rotation: int, used: bool = True
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the items of one chemistry show: stones by vertex [9, 5], potions by latent number [7, 2], the last of each
    being one that is gone. Without the numbers that tell what is used a column less."""
    rows = _rows("cpu")
    view, width = rotation * STONE_MAPS + stone_map, VERTICES + 1
    stones = rows.stones.numpy()[view * width : (view + 1) * width]
    potions = rows.potions.numpy()[potion_map * (POTIONS + 1) : (potion_map + 1) * (POTIONS + 1)]
    return (stones, potions) if used else (stones[:, :-1], potions[:, :-1])


@dataclass(frozen=True)
class _Rows:
    """What items show: stones by rotation, stone map and vertex, potions by potion map and latent potion. The last of
    every nine stones and of every seven potions is one that is gone."""

    stones: Float32[Tensor, "288 5"]
    potions: Float32[Tensor, "336 2"]


@functools.cache
def _rows(device: str) -> _Rows:
    tables = chemistry_tables()
    stones = torch.full((ROTATIONS, STONE_MAPS, VERTICES + 1, AXES + 2), GONE_STONE, dtype=torch.float64)
    stones[..., -1] = 1
    stones[..., :VERTICES, :AXES] = tables.coordinates.double()
    stones[..., :VERTICES, AXES] = tables.shown / MOST_SHOWN
    stones[..., :VERTICES, AXES + 1] = 0
    potions = torch.full((POTION_MAPS, POTIONS + 1, 2), GONE_POTION, dtype=torch.float64)
    potions[:, :POTIONS, 0] = tables.perceived_potion.double() / (POTIONS / 2) - 1
    potions[:, :POTIONS, 1] = 0
    # In double precision until here, as in the original, so that the last bit is the same.
    return _Rows(stones.float().flatten(0, 2).to(device), potions.float().flatten(0, 1).to(device))
