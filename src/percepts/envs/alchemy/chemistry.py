"""The hidden structure of Alchemy: what potions do to stones, and how both look.

    tables = chemistry_tables()
    some = Chemistry.of(graph=0, potion_map=5, stone_map=3, rotation=0)
    latent = tables.latent_potion[some.potion_map, perceived]         # what a colour does
    after = tables.transition[some.graph, vertex, latent]             # the stone afterwards; the potion is used up
    seen = tables.coordinates[some.rotation, some.stone_map, after]   # colour, size, roundness of the stone

A stone is a corner of a cube, its latent vertex: number v, whose coordinate k is +1 where bit k of v is set, else -1. A
potion moves it along an axis in a direction, number 2 * axis + (direction + 1) / 2, where the graph has that edge.
Three frames are told apart: *latent*; *aligned*, latent with signs changed by the stone map; and *perceived*, aligned
and rotated back. Perceived potions are numbered as latent ones; the potion map says which axis and direction a colour
stands for. 109 graphs x 48 potion maps x 8 stone maps x 4 rotations are 167 424 chemistries.

Numbers and orders are those of dm_alchemy, so that its seeds give the same chemistries here.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from percepts.core.errors import ConfigError
from percepts.envs.rows import TensorRows

AXES, VERTICES, POTIONS = 3, 8, 6
EDGES = ((0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 3), (2, 6), (3, 7), (4, 5), (4, 6), (5, 7), (6, 7))
"""The edges of the cube in the order of every vector of 12."""
PERMUTATIONS = tuple(itertools.permutations(range(AXES)))
"""Maps of perceived to latent axes, in the order of their numbers."""
POTION_MAPS, STONE_MAPS, ROTATIONS, GRAPHS = 48, 8, 4, 109
POTION_COLOURS = ("red", "green", "orange", "yellow", "pink", "turquoise")
STONE_FEATURES = (("purple", "blurple", "blue"), ("small", "medium", "large"), ("pointy", "somewhat pointy", "round"))
"""Names of the perceived coordinates -1, 0 and 1 along colour, size and roundness."""
FREE = 0
"""In constraints: the coordinate may be anything."""

Constraints = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""For every axis what the two other axes, in rising order, must be for a move along it: -1, 1 or FREE."""

NO_BOTTLENECK: Constraints = ((0, 0), (0, 0), (0, 0))
BOTTLENECKS: dict[str, Constraints] = {
    "bottleneck1": ((-1, 1), (0, 0), (0, 0)),
    "bottleneck2": ((-1, 0), (0, 0), (0, 0)),
    "bottleneck3": ((-1, 1), (0, 0), (0, -1)),
}
"""The fixed graphs of the named levels."""

_TURNS = (
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    ((1, 1, 0), (-1, 1, 0), (0, 0, 1)),
    ((1, 0, -1), (0, 1, 0), (1, 0, 1)),
    ((1, 0, 0), (0, 1, 1), (0, -1, 1)),
)
"""The rotations, perceived to aligned: about no axis, z, y and x by -45°, the turned rows times √2."""


@dataclass(frozen=True)
class Chemistry(TensorRows):
    """B chemistries.

    Attributes:
        graph: 0 to 108, in the order of `chemistry_tables().constraints`.
        potion_map: 0 to 47: 8 * number of the permutation + vertex of the directions.
        stone_map: 0 to 7: the vertex of its signs.
        rotation: 0 to 3.
    """

    graph: Int64[Tensor, " batch"]
    potion_map: Int64[Tensor, " batch"]
    stone_map: Int64[Tensor, " batch"]
    rotation: Int64[Tensor, " batch"]

    @classmethod
    def of(
        cls,
        graph: int | Sequence[int],
        potion_map: int | Sequence[int],
        stone_map: int | Sequence[int],
        rotation: int | Sequence[int] = 0,
    ) -> Self:
        """From numbers, or one number for all.

        Raises:
            ConfigError: a number that none has, or different lengths.
        """
        given = {"graph": graph, "potion_map": potion_map, "stone_map": stone_map, "rotation": rotation}
        found = {}
        length = max(len(value) if isinstance(value, Sequence) else 1 for value in given.values())
        for (name, value), count in zip(given.items(), (GRAPHS, POTION_MAPS, STONE_MAPS, ROTATIONS)):
            numbers = list(value) if isinstance(value, Sequence) else [value] * length
            if len(numbers) != length or not all(one in range(count) for one in numbers):
                raise ConfigError(f"{name} = {value}", f"{length} numbers from 0 to {count - 1}")
            found[name] = torch.tensor(numbers, dtype=torch.int64)
        return cls(**found)

    def __len__(self) -> int:
        return len(self.graph)


@dataclass(frozen=True)
class ChemistryTables:
    """Everything about chemistries that can be looked up.

    Attributes:
        constraints: of every graph: what an axis requires of the two others, 0 for nothing.
        edges: of every graph in the order of `EDGES`.
        prior: of the graphs where bottlenecks are random: a quarter for each number of constraints.
        transition: vertex after a latent potion.
        latent_potion: of a perceived one; perceived_potion: of a latent one.
        aligned: vertex in the aligned frame (the stone map applied; it is its own inverse).
        coordinates: perceived ones of a latent vertex, by rotation and stone map: -1, 0 or 1.
        sign: coordinates of a vertex.
        shown: the reward that stones show: -3, -1, 1 or 3.
    """

    constraints: Int64[Tensor, "109 3 2"]
    edges: Bool[Tensor, "109 12"]
    prior: Float64[Tensor, "109"]
    transition: Int64[Tensor, "109 8 6"]
    latent_potion: Int64[Tensor, "48 6"]
    perceived_potion: Int64[Tensor, "48 6"]
    aligned: Int64[Tensor, "8 8"]
    coordinates: Float32[Tensor, "4 8 8 3"]
    sign: Int64[Tensor, "8 3"]
    shown: Int64[Tensor, "8"]


@functools.cache
def chemistry_tables(device: str = "cpu") -> ChemistryTables:
    """The tables, made once for each device. They are shared: not to be written to."""
    if device != "cpu":
        made = chemistry_tables()
        return ChemistryTables(*(getattr(made, field.name).to(device) for field in dataclasses.fields(made)))
    sign = np.array([[1 if v >> k & 1 else -1 for k in range(AXES)] for v in range(VERTICES)])
    constraints = _valid_constraints()
    moves = np.stack([_transition(one) for one in constraints])
    numbers = np.array([sum(value != FREE for pair in one for value in pair) for one in constraints])
    latent = np.array([_latent_potions(dims, signs) for dims in PERMUTATIONS for signs in sign.tolist()])
    perceived = np.argsort(latent, axis=1)
    aligned = sign[None] * sign[:, None]
    # Halves of coordinates come of √2 in rows that turn: they are rounded to -1, 0 or 1.
    back = np.stack([np.linalg.inv(np.array(turn)) for turn in _TURNS])
    coordinates = np.rint(np.einsum("rij,svj->rsvi", back, aligned))
    arrays = {
        "constraints": np.array(constraints),
        "edges": np.stack([[table[i, _between(i, j)] == j for i, j in EDGES] for table in moves]),
        "prior": 0.25 / np.bincount(numbers)[numbers],
        "transition": moves,
        "latent_potion": latent,
        "perceived_potion": perceived,
        "aligned": ((aligned + 1) // 2) @ (1 << np.arange(AXES)),
        "coordinates": (coordinates + 0.0).astype(np.float32),
        "sign": sign,
        "shown": sign.sum(1),
    }
    return ChemistryTables(**{name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()})


def graph_number(constraints: Constraints) -> int:
    """The number of the graph with these constraints.

    Raises:
        ConfigError: it is not connected, or some vertex has no edge, so that it is none of the 109.
    """
    try:
        return _valid_constraints().index(constraints)
    except ValueError as error:
        raise ConfigError(
            f"constraints {constraints}", "three pairs of -1, 0 or 1 that leave the graph connected"
        ) from error


@functools.cache
def _valid_constraints() -> tuple[Constraints, ...]:
    """All that leave the graph connected, in dm_alchemy's order: the first axis outermost; -1, 1, free."""
    values = (-1, 1, FREE)
    pairs = [(first, second) for first in values for second in values]
    return tuple((a, b, c) for a in pairs for b in pairs for c in pairs if _connected(_transition((a, b, c))))


def _transition(constraints: Constraints) -> np.ndarray:
    """Vertex after each potion [8, 6]; the vertex itself where the potion does nothing."""
    found = np.tile(np.arange(VERTICES)[:, None], (1, POTIONS))
    for vertex, axis in itertools.product(range(VERTICES), range(AXES)):
        others = [other for other in range(AXES) if other != axis]
        if all(need in (FREE, 2 * (vertex >> other & 1) - 1) for other, need in zip(others, constraints[axis])):
            found[vertex, 2 * axis + (1 - (vertex >> axis & 1))] = vertex ^ (1 << axis)
    return found


def _connected(moves: np.ndarray) -> bool:
    reached, todo = {0}, [0]
    while todo:
        following = set(moves[todo.pop()].tolist()) - reached
        reached |= following
        todo.extend(following)
    return len(reached) == VERTICES


def _latent_potions(dims: Sequence[int], signs: Sequence[int]) -> list[int]:
    """The latent potion of every perceived one; `signs` belong to latent axes."""
    return [2 * dims[q // 2] + ((2 * (q % 2) - 1) * signs[dims[q // 2]] + 1) // 2 for q in range(POTIONS)]


def _between(i: int, j: int) -> int:
    """The latent potion that goes from vertex i to its neighbour j."""
    axis = (i ^ j).bit_length() - 1
    return 2 * axis + (j >> axis & 1)
