"""What a look at a stone, or at what a potion did to it, says about the chemistry: tables for the filters.

Given the rotation, a perceived stone has a corner in the aligned frame. There the unknowns separate: what a colour does
to a corner depends on the aligned graph and the aligned potion map alone, and the reward that a stone shows on the
stone map alone. Aligned graphs and potion maps are the latent ones with signs changed by the stone map; both sets are
closed under that, so aligned ones are numbered as latent ones are.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float32, Float64, Int64, UInt8
from torch import Tensor

from percepts.envs.alchemy.chemistry import (
    EDGES,
    GRAPHS,
    POTION_MAPS,
    POTIONS,
    ROTATIONS,
    STONE_MAPS,
    VERTICES,
    chemistry_tables,
)
from percepts.envs.alchemy.levels import Level

if TYPE_CHECKING:
    from percepts.envs.alchemy.table_state import Outcome, TableState

PLACES = 27
"""Perceived coordinates, each of three -1, 0 or 1."""
SHOWN = 4
"""Rewards that stones show: -3, -1, 1, 3."""
GRAPH_BYTES = 14
"""Bytes that hold a bit for each of the 109 graphs."""
NOTHING_SEEN = PLACES * SHOWN
"""Row of `EvidenceTables.stone_maps` for a stone that is not there."""
NO_OUTCOME = VERTICES * POTIONS * VERTICES
"""Row of `EvidenceTables.chemistries` for no outcome."""


@dataclass(frozen=True)
class EvidenceTables:
    """What observations leave possible.

    Attributes:
        corner: aligned vertex of a perceived place under each rotation; -1 where that is no corner.
        stone_maps: by place and shown reward (4 * place + (reward + 3) / 2) and rotation: the stone maps that agree.
            The last row is for nothing seen.
        chemistries: by aligned vertex, colour and changed axes (as bits): of every aligned potion map the aligned
            graphs that agree, bit g % 8 of byte g // 8. The last row is for no outcome.
        moved: by aligned graph, aligned potion map, aligned vertex and colour: aligned vertex afterwards.
        reflected: the graph with signs changed by a stone map: aligned from latent, latent from aligned.
        turned: the potion map with signs changed by a stone map: aligned from latent, latent from aligned.
    """

    corner: Int64[Tensor, "27 4"]
    stone_maps: Bool[Tensor, "109 4 8"]
    chemistries: UInt8[Tensor, "385 48 14"]
    moved: Int64[Tensor, "109 48 8 6"]
    reflected: Int64[Tensor, "8 109"]
    turned: Int64[Tensor, "8 48"]


@dataclass(frozen=True)
class Seen:
    """What there was to be seen of a step at B tables.

    Attributes:
        rows: where a stone was put into a potion; elsewhere the rest means nothing.
        before, after: perceived coordinates of that stone.
        before_reward, after_reward: that it showed: -3, -1, 1 or 3.
        colour: perceived number of the potion.
    """

    rows: Bool[Tensor, " batch"]
    before: Float32[Tensor, "batch 3"]
    before_reward: Int64[Tensor, " batch"]
    colour: Int64[Tensor, " batch"]
    after: Float32[Tensor, "batch 3"]
    after_reward: Int64[Tensor, " batch"]


def seen_outcome(before: TableState, outcome: Outcome) -> Seen:
    """What a step showed, or, where it was the last of its trial, would have shown.

    Args:
        before: the tables.
        outcome: of the step.
    """
    tables, chemistry = chemistry_tables(str(outcome.before.device)), before.chemistry
    vertices = torch.stack([outcome.before, outcome.after], 1).clamp(min=0)
    looks = tables.coordinates[chemistry.rotation[:, None], chemistry.stone_map[:, None], vertices]
    shown = tables.shown[vertices]
    # One slot more, so that there is something to look up where there are no potions.
    potions = torch.nn.functional.pad(before.potions, (0, 1))
    latent = potions.gather(1, outcome.potion.clamp(min=0)[:, None])[:, 0]
    return Seen(
        rows=(outcome.potion >= 0) & (outcome.before >= 0),
        before=looks[:, 0],
        before_reward=shown[:, 0],
        colour=tables.perceived_potion[chemistry.potion_map, latent],
        after=looks[:, 1],
        after_reward=shown[:, 1],
    )


def seen_stones(state: TableState) -> tuple[Float32[Tensor, "batch stones 3"], Int64[Tensor, "batch stones"]]:
    """Perceived coordinates of the stones on tables, and the rewards that they show; those of gone ones, too."""
    tables, chemistry = chemistry_tables(str(state.stones.device)), state.chemistry
    looks = tables.coordinates[chemistry.rotation[:, None], chemistry.stone_map[:, None], state.stones]
    return looks, tables.shown[state.stones]


@functools.cache
def evidence_tables(device: str = "cpu") -> EvidenceTables:
    """The tables, made once for each device. They are shared: not to be written to."""
    if device != "cpu":
        made = evidence_tables()
        return EvidenceTables(*(getattr(made, field.name).to(device) for field in dataclasses.fields(made)))
    tables = chemistry_tables()
    corner = _corners()
    moved = tables.transition[:, :, tables.latent_potion].permute(0, 2, 1, 3).contiguous()
    return EvidenceTables(
        corner=corner,
        stone_maps=_stone_maps(corner),
        chemistries=_chemistries(moved),
        moved=moved,
        reflected=_reflected(),
        turned=torch.stack([8 * (torch.arange(48) // 8) + signs[torch.arange(48) % 8] for signs in tables.aligned]),
    )


def place_of(coordinates: Tensor) -> Int64[Tensor, "*batch"]:
    """The number of perceived coordinates [..., 3], 0 to 26; coordinates out of range give 13, the middle, which is no
    corner under any rotation."""
    colour, size, roundness = coordinates.to(torch.int64).unbind(-1)
    number = 9 * colour + 3 * size + roundness + 13
    inside = torch.maximum(torch.maximum(colour.abs(), size.abs()), roundness.abs()) <= 1
    return torch.where(inside, number, 13)


def packed(graphs: Bool[Tensor, "*batch 109"]) -> UInt8[Tensor, "*batch 14"]:
    """Sets of graphs as bits."""
    padded = torch.nn.functional.pad(graphs.to(torch.int64), (0, 8 * GRAPH_BYTES - GRAPHS))
    places = torch.arange(8, device=graphs.device)
    return (padded.unflatten(-1, (GRAPH_BYTES, 8)) << places).sum(-1).to(torch.uint8)


def unpacked(bits: UInt8[Tensor, "*batch 14"]) -> UInt8[Tensor, "*batch 109"]:
    """Sets of graphs as 0 and 1."""
    places = torch.arange(8, dtype=torch.uint8, device=bits.device)
    return (bits[..., None] >> places).bitwise_and_(1).flatten(-2)[..., :GRAPHS]


def graph_weights(level: Level, device: str = "cpu") -> Float64[Tensor, "8 109"]:
    """How likely every aligned graph is beforehand, by stone map; nothing for stone maps that the level has not."""
    weights = level.prior().to(device)[evidence_tables(device).reflected]
    there = torch.zeros(STONE_MAPS, 1, dtype=torch.float64, device=device)
    there[list(level.stone_maps)] = 1.0
    return weights * there


def _corners() -> Int64[Tensor, "27 4"]:
    corner = torch.full((PLACES, ROTATIONS), -1)
    tables = chemistry_tables()
    unchanged = STONE_MAPS - 1
    for rotation in range(ROTATIONS):
        corner[place_of(tables.coordinates[rotation, unchanged]), rotation] = torch.arange(VERTICES)
    return corner


def _stone_maps(corner: Tensor) -> Bool[Tensor, "109 4 8"]:
    tables = chemistry_tables()
    agree = torch.zeros(PLACES, SHOWN, ROTATIONS, STONE_MAPS, dtype=torch.bool)
    for place, rotation in itertools.product(range(PLACES), range(ROTATIONS)):
        vertex = int(corner[place, rotation])
        if vertex >= 0:
            rewards = tables.shown[tables.aligned[:, vertex]]
            agree[place, :, rotation] = rewards == torch.arange(-3, 4, 2)[:, None]
    everything = torch.ones(1, ROTATIONS, STONE_MAPS, dtype=torch.bool)
    return torch.cat([agree.flatten(0, 1), everything])


def _chemistries(moved: Tensor) -> UInt8[Tensor, "385 48 14"]:
    change = moved ^ torch.arange(VERTICES)[:, None]
    agree = change[..., None] == torch.arange(VERTICES)
    rows = packed(agree.permute(2, 3, 4, 1, 0).reshape(NO_OUTCOME, POTION_MAPS, GRAPHS))
    everything = packed(torch.ones(1, POTION_MAPS, GRAPHS, dtype=torch.bool))
    return torch.cat([rows, everything])


def _reflected() -> Int64[Tensor, "8 109"]:
    tables = chemistry_tables()
    number = {frozenset(_edges(row)): graph for graph, row in enumerate(tables.edges.tolist())}
    result = torch.empty(STONE_MAPS, GRAPHS, dtype=torch.int64)
    for stone_map, graph in itertools.product(range(STONE_MAPS), range(GRAPHS)):
        signs = tables.aligned[stone_map].tolist()
        edges = _edges(tables.edges[graph].tolist())
        result[stone_map, graph] = number[frozenset(tuple(sorted((signs[i], signs[j]))) for i, j in edges)]
    return result


def _edges(present: list[bool]) -> list[tuple[int, int]]:
    return [edge for edge, there in zip(EDGES, present) if there]
