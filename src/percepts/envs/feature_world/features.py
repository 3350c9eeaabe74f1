"""What objects and hidden rules are made of: dimensions, values, and the tables of everything that can be looked up.

    tables = feature_tables(("colour", "shape", "texture"), (5, 5, 5), relevant=3, k=2, n=2)
    tables.features[7]                # the values of object 7, one for each dimension
    tables.targets[0]                 # the features of hypothesis 0: pairs of a dimension and a value
    tables.rewarded[0, 7]             # whether it rewards object 7

An object is a value of every dimension; all that there can be are numbered with the last dimension running fastest. A
hypothesis names `n` features of `n` different dimensions and rewards the objects that have `k` of them or more: 1 of 1
is a single feature, 2 of 2 a conjunction (Ke et al. 2024). How the paper's objects look in detail is not known; names
and sizes are this library's own.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from percepts.core.errors import ConfigError, nearest

DIMENSIONS: dict[str, tuple[str, ...]] = {
    "colour": ("red", "green", "blue", "yellow", "purple", "orange", "black", "white"),
    "shape": ("cube", "ball", "cylinder", "cone", "capsule", "prism", "octahedron", "icosahedron"),
    "texture": ("smooth", "rough", "striped", "dotted", "checkered", "woven", "shiny", "wavy"),
    "size": ("small", "medium", "large", "tiny", "huge", "giant", "miniature", "colossal"),
}
"""The dimensions and the names of their values. A world with V values of a dimension has the first V; no name belongs
to two dimensions."""
MOST_VALUES = 8
_LARGEST = 1 << 28
"""Entries of the table of hypotheses by objects that are still built."""


@dataclass(frozen=True)
class FeatureTables:
    """All objects and all hypotheses of a world.

    Attributes:
        features: the values of every object.
        stride: how much the object's number grows with the value of each dimension.
        targets: the features of every hypothesis: dimension and value, dimensions rising.
        rewarded: which hypothesis rewards which object.
    """

    features: Int64[Tensor, "objects dimensions"]
    stride: Int64[Tensor, " dimensions"]
    targets: Int64[Tensor, "hypotheses n 2"]
    rewarded: Bool[Tensor, "hypotheses objects"]


@functools.lru_cache(maxsize=32)
def feature_tables(
    dimensions: tuple[str, ...], values: tuple[int, ...], relevant: int, k: int, n: int
) -> FeatureTables:
    """The tables; they are shared, not to be written to.

    Args:
        dimensions: names of `DIMENSIONS`, each once.
        values: how many each has, 2 to 8.
        relevant: so many of the first dimensions can be in a hypothesis; the others are decoys.
        k: features that an object needs at least.
        n: features that a hypothesis names.

    Raises:
        ConfigError: a dimension that there is not, numbers that do not fit, or tables too large to build.
    """
    _check(dimensions, values, relevant, k, n)
    hypotheses = sum(math.prod(chosen) for chosen in itertools.combinations(values[:relevant], n))
    objects = math.prod(values)
    if hypotheses * objects > _LARGEST:
        raise ConfigError(
            f"{hypotheses} hypotheses about {objects} objects", f"fewer: {_LARGEST} pairs at most", "fewer values"
        )
    features = torch.cartesian_prod(*(torch.arange(count) for count in values)).view(objects, len(values))
    stride = torch.tensor([math.prod(values[place + 1 :]) for place in range(len(values))])
    targets = torch.tensor(
        [
            list(zip(chosen, named))
            for chosen in itertools.combinations(range(relevant), n)
            for named in itertools.product(*(range(values[dimension]) for dimension in chosen))
        ]
    )
    found = torch.zeros(hypotheses, objects, dtype=torch.int8)
    for dimension, value in (target.unbind(1) for target in targets.unbind(1)):
        found += value[:, None] == features[:, dimension].T
    return FeatureTables(features, stride, targets, found >= k)


def _check(dimensions: Sequence[str], values: Sequence[int], relevant: int, k: int, n: int) -> None:
    for name in dimensions:
        if name not in DIMENSIONS:
            close = nearest(name, DIMENSIONS)
            hint = f", did you mean '{close}'?" if close else ""
            raise ConfigError(f"unknown dimension '{name}'{hint}", "some of " + ", ".join(DIMENSIONS))
    if not dimensions or len(set(dimensions)) != len(dimensions):
        raise ConfigError(f"dimensions = {tuple(dimensions)}", "one or more, each once")
    if len(values) != len(dimensions) or not all(2 <= count <= MOST_VALUES for count in values):
        raise ConfigError(f"values = {tuple(values)}", f"2 to {MOST_VALUES} for each of {len(dimensions)} dimensions")
    if not 1 <= n <= relevant:
        raise ConfigError(f"n = {n} features of {relevant} dimensions that can matter", "1 to as many as these")
    if not 1 <= k <= n:
        raise ConfigError(f"k = {k} of n = {n} features", "1 to n")
