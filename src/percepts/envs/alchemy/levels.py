"""The levels of Alchemy: what is drawn anew every episode.

level("rotation-random-bottleneck")                                 # the main one
level("alchemy/perceptual_mapping_randomized_with_random_bottleneck")   # dm_alchemy's names
Level(graphs=(graph_number(constraints),), rotation=False)          # one's own
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from percepts.core.config import Config
from percepts.core.errors import ConfigError, nearest
from percepts.envs.alchemy.chemistry import (
    FREE,
    GRAPHS,
    POTION_MAPS,
    ROTATIONS,
    STONE_MAPS,
    chemistry_tables,
)


@dataclass(frozen=True, kw_only=True)
class Level(Config):
    """What is drawn and what is fixed.

    Attributes:
        name: for people.
        random_maps: whether potion map and stone map are drawn; if not, both are the identity.
        graphs: numbers of the graphs that are drawn from; all 109 if None. Every number of constraints that occurs
            among them has the same probability, and so has every graph of one number.
        rotation: whether the rotation is drawn; if not, there is none.

    Raises:
        ConfigError: no graphs, one twice, or one that there is not.
    """

    name: str = "custom"
    random_maps: bool = True
    graphs: tuple[int, ...] | None = None
    rotation: bool = True

    def __post_init__(self) -> None:
        graphs = self.graphs
        if graphs is not None and not (
            graphs and len(set(graphs)) == len(graphs) and all(one in range(GRAPHS) for one in graphs)
        ):
            raise ConfigError(f"graphs = {graphs}", f"different numbers from 0 to {GRAPHS - 1}")

    @property
    def choices(self) -> tuple[int, ...]:
        """The numbers of the graphs that may occur, in the order in which they are drawn."""
        return tuple(range(GRAPHS)) if self.graphs is None else self.graphs

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """How many graphs, potion maps, stone maps and rotations may occur."""
        maps = (POTION_MAPS, STONE_MAPS) if self.random_maps else (1, 1)
        return len(self.choices), *maps, ROTATIONS if self.rotation else 1

    @property
    def potion_maps(self) -> tuple[int, ...]:
        """The numbers of the potion maps that may occur, all alike."""
        return tuple(range(POTION_MAPS)) if self.random_maps else (IDENTITY,)

    @property
    def stone_maps(self) -> tuple[int, ...]:
        """The numbers of the stone maps that may occur, all alike."""
        return tuple(range(STONE_MAPS)) if self.random_maps else (IDENTITY,)

    @property
    def rotations(self) -> tuple[int, ...]:
        """The numbers of the rotations that may occur, all alike."""
        return tuple(range(ROTATIONS)) if self.rotation else (0,)

    def has(self, chemistry: tuple[int, int, int, int]) -> bool:
        """Whether a chemistry may occur: graph, potion map, stone map, rotation."""
        possible = (self.choices, self.potion_maps, self.stone_maps, self.rotations)
        return all(number in numbers for number, numbers in zip(chemistry, possible))

    def prior(self) -> Float64[Tensor, "109"]:
        """The probability of every graph; the rest of a chemistry is uniform and independent of it."""
        return torch.zeros(GRAPHS, dtype=torch.float64).index_put_(
            (torch.tensor(self.choices),), torch.tensor(_priors(self.choices), dtype=torch.float64)
        )


IDENTITY = 7
"""The number of the potion map and of the stone map that change nothing: all signs are +1, axes are not permuted."""
OPEN = 108
"""The number of the graph without bottlenecks."""
NARROW = {"bottleneck1": 9, "bottleneck2": 20, "bottleneck3": 7}
"""The numbers of `chemistry.BOTTLENECKS`."""


@functools.cache
def _priors(choices: tuple[int, ...]) -> tuple[float, ...]:
    """Of these graphs: as many classes as there are numbers of constraints, alike; so are the graphs of one."""
    numbers = (chemistry_tables().constraints[list(choices)] != FREE).sum((1, 2)).tolist()
    return tuple(1.0 / (len(set(numbers)) * numbers.count(number)) for number in numbers)


LEVELS: dict[str, Level] = {
    each.name: each
    for each in (
        Level(name="rotation-random-bottleneck"),
        Level(name="random-bottleneck", rotation=False),
        Level(name="rotation-no-bottleneck", graphs=(OPEN,)),
        Level(name="no-bottleneck", graphs=(OPEN,), rotation=False),
        Level(name="fixed", random_maps=False, graphs=(OPEN,), rotation=False),
        *(
            Level(name=f"fixed-{name}", random_maps=False, graphs=(number,), rotation=False)
            for name, number in NARROW.items()
        ),
    )
}  # fmt: skip
"""The named levels, the main one first."""

MAIN_LEVEL = "rotation-random-bottleneck"
"""The level of the paper's results in 3-D; those of its symbolic analysis are without rotation."""

_ORIGINAL = re.compile(
    r"(alchemy/)?(all_fixed|perceptual_mapping_randomized)"
    r"(_with|_and|_w|_rotation|_no_bottleneck|_random_bottleneck|_bottleneck[123]|_shaping)*"
)


def level(name: str | Level) -> Level:
    """The level of a name: one of `LEVELS` or one of dm_alchemy's, which are read as there, by their parts.

    "…_w_shaping" names the level without shaping: what a potion pays is a setting of the table.

    Raises:
        ConfigError: no level has that name; the nearest is named.
    """
    if isinstance(name, Level):
        return name
    if not isinstance(name, str):
        raise ConfigError(f"the level {name!r}", "a name, or a Level")
    if name in LEVELS:
        return LEVELS[name]
    if not _ORIGINAL.fullmatch(name):
        close = nearest(name, (*LEVELS, *_LONG_NAMES))
        raise ConfigError(
            f"unknown level '{name}'" + (f", did you mean '{close}'?" if close else ""), "one of " + ", ".join(LEVELS)
        )
    graphs: tuple[int, ...] | None = None
    if "random_bottleneck" not in name:
        graphs = (next((number for part, number in NARROW.items() if part in name), OPEN),)
    random_maps, rotation = "perceptual_mapping_randomized" in name, "rotation" in name
    found = Level(name=name, random_maps=random_maps, graphs=graphs, rotation=rotation)
    same = (each for each in LEVELS.values() if _drawn(each) == _drawn(found))
    return next(same, found)


def _drawn(one: Level) -> tuple[bool, tuple[int, ...] | None, bool]:
    return one.random_maps, one.graphs, one.rotation


_LONG_NAMES = (
    "alchemy/perceptual_mapping_randomized_with_rotation_and_random_bottleneck",
    "alchemy/perceptual_mapping_randomized_with_random_bottleneck",
    "alchemy/perceptual_mapping_randomized",
    "alchemy/all_fixed",
    "alchemy/all_fixed_w_shaping",
    "alchemy/all_fixed_bottleneck1",
)
