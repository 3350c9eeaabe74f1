"""Which records of a published set of scenes papers train and test on. None of these splits is the authors' own."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from percepts.core.errors import ConfigError, DataError

RecordSplit = Literal[
    "all",
    "iodine-train",
    "iodine-test",
    "genesis-train",
    "genesis-validation",
    "genesis-test",
    "addtt-train",
    "addtt-validation",
    "addtt-test",
]
"""Conventions, by who uses them:

- iodine (IODINE, Slot Attention, EfficientMORL): the first 60 000 records (CLEVR: 70 000) train, of which only those
  that pass the filter are used; the next 320 that pass it test;
- genesis: the first 10 000 records test, the next 10 000 validate, the others train;
- addtt (the object-centric library of Dittadi et al.): of the first 100 000 records that pass the filter the last 5 000
  test and the 5 000 before validate, or 2 000 each of a filtered set; the others train. The sizes are theirs; the order
  is unverified.
"""

_GENESIS = 10_000
_IODINE_TEST = 320
_ADDTT = 100_000


def split_rows(
    split: RecordSplit, passes: Bool[Tensor, " records"], iodine_train: int = 60_000
) -> Int64[Tensor, " items"]:
    """The records of a split, in order.

    Args:
        split: see `RecordSplit`.
        passes: which records pass the filter.
        iodine_train: how many records "iodine-train" takes from.

    Raises:
        DataError: it has no records.
    """
    kind, _, part = split.partition("-")
    rows = passes.nonzero()[:, 0]
    if kind == "iodine":
        chosen = rows[rows < iodine_train] if part == "train" else rows[rows >= iodine_train][:_IODINE_TEST]
    elif kind == "genesis":
        first, last = {"test": (0, 1), "validation": (1, 2), "train": (2, None)}[part]
        chosen = rows[rows >= first * _GENESIS]
        chosen = chosen if last is None else chosen[chosen < last * _GENESIS]
    elif kind == "addtt":
        rows = rows[:_ADDTT]
        held = 5_000 if bool(passes.all()) else 2_000
        train = max(len(rows) - 2 * held, 0)
        bounds = {"train": (0, train), "validation": (train, train + held), "test": (train + held, None)}[part]
        chosen = rows[slice(*bounds)]
    else:
        chosen = rows
    if len(chosen) == 0:
        raise DataError(
            f"the split '{split}' has none of the {len(passes)} records, of which {int(passes.sum())} pass the filter",
            fix="split='all', more records or another filter",
        )
    return chosen


def passing(count: Int64[Tensor, " records"], objects: tuple[int, int] | None) -> Bool[Tensor, " records"]:
    """Which records have as many `objects` as wanted, the least and the most; all if None.

    Raises:
        ConfigError: the least is more than the most, or negative.
    """
    if objects is None:
        return torch.ones_like(count, dtype=torch.bool)
    least, most = objects
    if not 0 <= least <= most:
        raise ConfigError(f"objects = {objects}", "the least and the most objects of a scene", "objects=(3, 6)")
    return (count >= least) & (count <= most)
