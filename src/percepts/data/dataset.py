"""What a dataset is: a map-style `torch.utils.data.Dataset` of dicts, and optionally named factors that render.

Batch number n of a run is a pure function of (seed, n): `stream.py` draws indices, `gather` turns them into a batch.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.utils.data
from jaxtyping import Int64
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.config import Configurable
from percepts.core.errors import DataError

_WHOLE = (torch.int64, torch.int32)  # smaller types overflow as indices, and bytes index as masks do


class ImageDataset(Configurable, torch.utils.data.Dataset[Batch], ABC):
    """Images by index. Subclasses set `image_shape` and implement `__len__` and `gather`.

    Attributes:
        image_shape: (C, H, W) of every image.
    """

    image_shape: tuple[int, int, int]

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    def identity(self) -> str:
        """What tells this data from other data of the same configuration; a run refuses to go on with other data.
        Readers of files add a fingerprint of the files."""
        return f"{type(self).__name__}: {len(self)} images {self.image_shape}"

    @abstractmethod
    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The items at int64 `indices` [B] as one batch on `device`: at least `image` float32 [B,C,H,W] in [0,1].

        Raises:
            IndexError: an index is negative or too large (indices on a GPU are not looked at).
        """

    def __getitem__(self, index: int) -> Batch:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} of a dataset of {len(self)} items")
        batch = self.gather(torch.tensor([index % len(self)]))
        return {key: value[0] for key, value in batch.items()}

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A whole batch at once; `torch.utils.data.DataLoader` calls it (its collate function must be the identity)."""
        return self.gather(torch.as_tensor(indices, dtype=torch.int64))


class FactorDataset(ImageDataset):
    """A dataset with ground truth: the full grid of its factors, last factor fastest.

    Subclasses set `factor_names` and `factor_sizes` and implement `render`; index i is the i-th point of the grid.
    Datasets whose images are files on the full grid (dSprites) implement `render` by looking images up.

    Attributes:
        factor_names: a name for every factor.
        factor_sizes: how many values every factor takes.
    """

    factor_names: tuple[str, ...]
    factor_sizes: tuple[int, ...]

    @abstractmethod
    def render(self, factors: Tensor) -> Tensor:
        """The images [B,C,H,W] float32 in [0,1] of int64 `factors` [B,F], on the device of `factors`.

        Raises:
            DataError: factors that do not exist (`check_factors`).
        """

    def __len__(self) -> int:
        return math.prod(self.factor_sizes)

    def check_factors(self, factors: Tensor) -> None:
        """Refuse factors that are not on the grid; `render` calls it. On a GPU values are not looked at, as that would
        make every batch wait.

        Raises:
            DataError: another shape or type, or a value out of range, named by its factor.
        """
        names, sizes = self.factor_names, self.factor_sizes
        if factors.ndim != 2 or factors.shape[1] != len(sizes) or factors.dtype not in _WHOLE:
            raise DataError(
                f"factors of shape {tuple(factors.shape)} and type {factors.dtype}",
                f"int64 whole numbers of shape batch x {len(sizes)} ({', '.join(names)})",
            )
        if factors.device.type != "cpu":
            return
        outside = (factors < 0) | (factors >= torch.tensor(sizes))
        if bool(outside.any()):
            row, column = outside.nonzero()[0].tolist()
            raise DataError(
                f"the value {int(factors[row, column])} of factor '{names[column]}'", f"0 to {sizes[column] - 1}"
            )

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        check_places(indices, len(self))
        factors = self.factors_of(indices.to(device))
        return {"image": self.render(factors), "factors": factors}

    def factors_of(self, indices: Tensor) -> Tensor:
        """The factor values [B,F] at grid positions `indices` [B].

        Raises:
            IndexError: a position that does not exist (`check_places`).
        """
        check_places(indices, math.prod(self.factor_sizes))
        values = []
        for size in reversed(self.factor_sizes):
            values.append(indices % size)
            indices = indices // size
        return torch.stack(values[::-1], dim=1)

    def indices_of(self, factors: Tensor) -> Tensor:
        """The grid positions [B] of factor values [B,F].

        Raises:
            DataError: factors that do not exist (`check_factors`).
        """
        self.check_factors(factors)
        index = torch.zeros(len(factors), dtype=torch.int64, device=factors.device)
        for column, size in enumerate(self.factor_sizes):
            index = index * size + factors[:, column]
        return index

    def factor_values(self, name: str) -> Tensor:
        """What the indices of factor `name` mean, as float64 [size] in the unit of the factor; by default 0, 1, 2, …"""
        return torch.arange(self.factor_sizes[self.factor_names.index(name)], dtype=torch.float64)


def check_places(indices: Int64[Tensor, " batch"], count: int) -> None:
    """Refuse indices outside of 0 to `count` - 1: negative ones would silently count from the end. On a GPU they are
    not looked at, as that would make every batch wait.

    Raises:
        IndexError: naming the first offender.
    """
    if indices.device.type != "cpu":
        return
    outside = indices[(indices < 0) | (indices >= count)]
    if len(outside):
        raise IndexError(f"index {int(outside[0])} of {count} items")
