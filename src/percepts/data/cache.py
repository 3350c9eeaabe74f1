"""Every item of a small dataset in memory, ready on the device."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.config import Config as BaseConfig
from percepts.core.errors import DataError
from percepts.data.dataset import FactorDataset, ImageDataset
from percepts.data.held_out import grid_support
from percepts.data.mapped import check_indices

_CHUNK = 1024


class Preloaded(ImageDataset):
    """A dataset held in memory: the same items, without drawing or decoding them again.

    The items are made at the first `gather`, on the device that it asks for; each device that is asked for holds its
    own copy. A dataset with factors becomes a `FactorDataset` again (`PreloadedFactors`).

    Args:
        config: what to hold, and how much memory it may take.
        dataset: the dataset itself, instead of the one that `config.dataset` describes.

    Attributes:
        dataset: the wrapped dataset.

    Raises:
        DataError: the items would take more than `max_gigabytes`.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """What to hold in memory.

        Attributes:
            dataset: the config of any dataset.
            max_gigabytes: the memory that its items may take on each device, in 10^9 bytes.
        """

        dataset: BaseConfig
        max_gigabytes: float = 2.0

        def build(self, **context: Any) -> Preloaded:
            """Build the wrapped dataset with `context`, and hold it."""
            dataset = self.dataset.build(**context)
            return (PreloadedFactors if isinstance(dataset, FactorDataset) else Preloaded)(self, dataset)

    def __init__(self, config: Config, dataset: ImageDataset) -> None:
        self.config = config
        self.dataset = dataset
        self.image_shape = dataset.image_shape
        for name in ("factor_names", "factor_sizes", "label_names"):
            if hasattr(dataset, name):
                setattr(self, name, getattr(dataset, name))
        self._items: dict[torch.device, Batch] = {}
        self._check_size()

    @property
    def identity(self) -> str:
        """That of the dataset held."""
        return self.dataset.identity

    def __len__(self) -> int:
        return len(self.dataset)

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The items at `indices`, with all keys of the wrapped dataset.

        Raises:
            IndexError: an index is negative or too large.
        """
        check_indices(indices.cpu().numpy(), len(self))
        items = self._held_on(torch.device(device))
        indices = indices.to(device)
        return {key: value.index_select(0, indices) for key, value in items.items()}

    def _held_on(self, device: torch.device) -> Batch:
        if device not in self._items:
            items: Batch = {}
            for start in range(0, len(self), _CHUNK):
                stop = min(start + _CHUNK, len(self))
                part = self.dataset.gather(torch.arange(start, stop), device)
                for key, value in part.items():
                    if key not in items:
                        items[key] = torch.empty((len(self), *value.shape[1:]), dtype=value.dtype, device=device)
                    items[key][start:stop] = value
            self._items[device] = items
        return self._items[device]

    def _check_size(self) -> None:
        if len(self) == 0:
            return
        item = self.dataset[0]
        gigabytes = len(self) * sum(value.numel() * value.element_size() for value in item.values()) / 1e9
        if gigabytes > self.config.max_gigabytes:
            raise DataError(
                f"the {len(self)} items of {type(self.dataset).__name__} take {gigabytes:.1f} GB of memory",
                f"at most {self.config.max_gigabytes:g} GB",
                f"the dataset itself without Preloaded, or max_gigabytes={math.ceil(gigabytes)}",
            )


class PreloadedFactors(Preloaded, FactorDataset):
    """A `FactorDataset` held in memory; `render` looks images up."""

    dataset: FactorDataset

    def render(self, factors: Tensor) -> Tensor:
        """The images [B,C,H,W] of factor values [B,F], on their device."""
        if not self._whole:  # points that the dataset leaves out can still be drawn
            return self.dataset.render(factors)
        self.check_factors(factors)
        return self._held_on(factors.device)["image"].index_select(0, self.indices_of(factors))

    @functools.cached_property
    def _whole(self) -> bool:
        return bool(grid_support(self.dataset).all())

    def factors_of(self, indices: Tensor) -> Tensor:
        """The factor values [B,F] of the items at `indices` [B], as the wrapped dataset has it."""
        return self.dataset.factors_of(indices)

    def indices_of(self, factors: Tensor) -> Tensor:
        """The items [B] of factor values [B,F], as the wrapped dataset has it."""
        return self.dataset.indices_of(factors)

    def factor_values(self, name: str) -> Float64[Tensor, " size"]:
        """What the values of factor `name` mean, as the wrapped dataset has it."""
        return self.dataset.factor_values(name)
