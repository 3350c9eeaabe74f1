"""Which objects are on offer: all, or a random choice that still tells the hypotheses apart.

Two hypotheses that reward the same objects of a set cannot be told apart there; they are one class. Whoever is down to
one class knows all that there is to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int64
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.errors import ConfigError
from percepts.core.random import numpy_generator

MOST_SETS = 10_000
_TRIES = 50
"""Random choices before one is built object by object."""


@dataclass(frozen=True)
class ObjectSets:
    """K sets of N objects.

    Attributes:
        objects: their numbers, rising.
        classes: the class of every hypothesis, by the number of its first member.
        class_size: how many hypotheses its class has.
    """

    objects: Int64[Tensor, "sets choices"]
    classes: Int64[Tensor, "sets hypotheses"]
    class_size: Int64[Tensor, "sets hypotheses"]

    @property
    def distinguishing(self) -> bool:
        """Whether every set tells all hypotheses apart."""
        return bool((self.class_size == 1).all())


def all_objects(rewarded: Bool[Tensor, "hypotheses objects"]) -> ObjectSets:
    """One set, of everything."""
    return _with_classes(rewarded, np.arange(rewarded.shape[1])[None])


def random_sets(
    rewarded: Bool[Tensor, "hypotheses objects"], size: int, count: int, seed: int, distinguishing: bool = True
) -> ObjectSets:
    """Random choices of `size` objects each.

    Args:
        rewarded: which hypothesis rewards which object.
        size: objects in a set.
        count: how many sets.
        seed: of their random numbers; set number n depends on it and n alone.
        distinguishing: every set tells apart what all objects together do. Sets are drawn until one does; where that
            is rare, its first objects are chosen for what they tell apart.

    Raises:
        ConfigError: more objects than there are, no set or too many, or too few objects to tell the hypotheses apart.
    """
    objects = rewarded.shape[1]
    if not 1 <= size <= objects or not 1 <= count <= MOST_SETS:
        expected = f"1 to {MOST_SETS} sets of 1 to {objects} objects"
        raise ConfigError(f"{count} sets of {size} of {objects} objects", expected)
    table = rewarded.numpy()
    wanted = _class_count(table)
    chosen = [_choice(table, size, wanted if distinguishing else 1, numpy_generator(seed, n)) for n in range(count)]
    return _with_classes(rewarded, np.stack(chosen))


def _choice(table: NDArray[Any], size: int, wanted: int, generator: np.random.Generator) -> NDArray[Any]:
    """One set, sorted, that makes `wanted` classes or more."""
    for _ in range(_TRIES):
        chosen = np.sort(generator.permutation(table.shape[1])[:size])
        if _class_count(table[:, chosen]) >= wanted:
            return chosen
    built: list[int] = []
    labels = np.zeros(len(table), np.int64)
    while labels.max() + 1 < wanted and len(built) < size:
        # All splits of the present classes at once: one more class wherever an object divides one.
        rest = np.setdiff1d(generator.permutation(table.shape[1]), built, assume_unique=True)
        rest = generator.permutation(rest)
        inside = np.zeros((labels.max() + 1, len(rest)), np.int64)
        np.add.at(inside, labels, table[:, rest].astype(np.int64))
        divided = ((inside > 0) & (inside < np.bincount(labels)[:, None])).sum(0)
        built.append(int(rest[divided.argmax()]))
        labels = np.unique(table[:, built], axis=0, return_inverse=True)[1].reshape(-1)
    if labels.max() + 1 < wanted:
        raise ConfigError(
            f"{size} objects leave hypotheses that they cannot tell apart: {labels.max() + 1} of {wanted} kinds",
            "more objects",
            "distinguishing=False (percepts explore: --any-objects), to have such sets",
        )
    rest = np.setdiff1d(np.arange(table.shape[1]), built)
    return np.sort(np.array([*built, *generator.permutation(rest)[: size - len(built)].tolist()]))


def _class_count(table: NDArray[Any]) -> int:
    return len(np.unique(np.packbits(table, axis=1), axis=0))


def _with_classes(rewarded: Bool[Tensor, "hypotheses objects"], objects: NDArray[Any]) -> ObjectSets:
    table = rewarded.numpy()
    classes, sizes = [], []
    for chosen in objects:
        packed = np.packbits(table[:, chosen], axis=1)
        _, first, label, size = np.unique(packed, axis=0, return_index=True, return_inverse=True, return_counts=True)
        classes.append(first[label.reshape(-1)])
        sizes.append(size[label.reshape(-1)])
    return ObjectSets(torch.from_numpy(objects), torch.from_numpy(np.stack(classes)), torch.from_numpy(np.stack(sizes)))
