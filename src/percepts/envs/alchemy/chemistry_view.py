"""The hidden chemistry as an observation: all of it, what may be believed of it, or nothing, in 28 numbers.

    see = {"truth": see_chemistry("truth"), "belief": see_chemistry("relaxed")}
    views = ChemistryViews(see, level("random-bottleneck"))

In order: the graph's edges (12, as `EDGES`), the potion map's permutation (6) and directions (3), the stone map's signs
(3), the rotation (4). Yes is 1, no is 0, -1 is 0, and 0.5 is unknown. The truth is of the *latent* frame, though an
agent perceives stones and potions through the maps. What is believed of the graph is of the *aligned* frame.

A view may leave parts out, and may draw once per episode what each group of numbers holds.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn.functional import one_hot

from percepts.envs.alchemy.chemistry import PERMUTATIONS, ROTATIONS, VERTICES, Chemistry, chemistry_tables

Content = Literal["truth", "relaxed", "exact", "unknown"]
CONTENTS: tuple[Content, ...] = ("truth", "relaxed", "exact", "unknown")
PARTS = {"graph": 12, "potion_map": 9, "stone_map": 3, "rotation": 4}
"""The parts of a view in their order, with how many numbers each has."""
SIZE = sum(PARTS.values())
UNKNOWN = 0.5


def true_chemistry(chemistry: Chemistry) -> Float32[Tensor, "batch 28"]:
    """All of it, in the latent frame."""
    tables = chemistry_tables(str(chemistry.graph.device))
    permutation = torch.div(chemistry.potion_map, VERTICES, rounding_mode="floor")
    parts = (
        tables.edges[chemistry.graph],
        one_hot(permutation, len(PERMUTATIONS)),
        (tables.sign[chemistry.potion_map % VERTICES] + 1) // 2,
        (tables.sign[chemistry.stone_map] + 1) // 2,
        one_hot(chemistry.rotation, ROTATIONS),
    )
    return torch.cat([part.float() for part in parts], 1)
