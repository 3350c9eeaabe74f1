"""Worlds whose factors are continuous: a grid of bins to measure on, and samples from anywhere in the bins.

A `ContinuousWorld` is a `FactorDataset` whose grid points are the centres of bins, and it draws any values in between.
`Jittered` moves every item to a random place in its bin: with many copies of the grid, practically endless data of
which the factors are still known.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError, DataError
from percepts.data.dataset import FactorDataset, ImageDataset, check_places
from percepts.data.hashing import hashed_uniform

Range = tuple[float, float]


@dataclass(frozen=True)
class Bins:
    """A factor cut into pieces.

    Attributes:
        centres: what the indices mean.
        width: of every bin; 0 for a factor that takes its values only.
    """

    centres: Float64[Tensor, " bins"]
    width: float = 0.0


def bins(name: str, ends: Range, count: int) -> Bins:
    """`count` bins of equal width from one end to the other; equal ends make a constant.

    Raises:
        ConfigError: no bins, ends that are not finite or in the wrong order, or several bins of one value.
    """
    low, high = ends
    if count < 1:
        raise ConfigError(f"{count} bins of {name}", "at least 1")
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ConfigError(f"the range of {name} is {ends}", "finite numbers, the smaller one first")
    if low == high and count > 1:
        raise ConfigError(f"{count} bins of {name} from {low:g} to {high:g}", "a wider range, or 1 bin")
    width = (high - low) / count
    return Bins(low + width * (torch.arange(count, dtype=torch.float64) + 0.5), width)


class ContinuousWorld(FactorDataset):
    """A world on a grid of bins. A factor of one bin is not in `factor_names`; it has the value of its centre.

    Subclasses call `_define` and implement `draw`.
    """

    _bins: dict[str, Bins]

    def _define(self, factors: Mapping[str, Bins]) -> None:
        self._bins = dict(factors)
        self.factor_names = tuple(name for name, factor in factors.items() if len(factor.centres) > 1)
        self.factor_sizes = tuple(len(factors[name].centres) for name in self.factor_names)
        if not self.factor_names:
            raise ConfigError("a world without factors: all have a single bin", "2 or more bins of some factor")

    @abstractmethod
    def draw(self, values: Mapping[str, Float[Tensor, " batch"]]) -> Float[Tensor, "batch channels height width"]:
        """The images of any values, by factor name and in the unit of the factor; factors that are not given have the
        value of their first bin."""

    @property
    def bin_widths(self) -> dict[str, float]:
        """How wide the bins are, for every factor and also for those of a single bin."""
        return {name: factor.width for name, factor in self._bins.items()}

    def factor_values(self, name: str) -> Float64[Tensor, " size"]:
        """The centres of the bins."""
        return self._bins[name].centres.clone()

    def render(self, factors: Tensor) -> Tensor:
        self.check_factors(factors)
        columns = zip(self.factor_names, factors.unbind(1))
        values = {name: self._bins[name].centres.to(factors.device)[column] for name, column in columns}
        return self.draw(values)

    def _complete(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """float32 values of all factors.

        Raises:
            DataError: no values, or values of a factor that there is not.
        """
        unknown = [name for name in values if name not in self._bins]
        if unknown or not values:
            raise DataError(f"values of {', '.join(unknown) or 'no factor'}", f"some of {', '.join(self._bins)}")
        like = next(iter(values.values())).float()
        return {
            name: values[name].float() if name in values else torch.full_like(like, float(factor.centres[0]))
            for name, factor in self._bins.items()
        }


class Jittered(ImageDataset):
    """A continuous world, or a part of one, with every item at a random place in its bin.

    Item i shows grid point i // copies. How far it lies from the middle of its bin is a hash of (seed, i): the data
    is the same whenever and in whatever order it is drawn. `factors` in a batch are those of the grid point, and
    `values` float32 [B,F] what was drawn. Factors of a single bin vary too, unlabelled. This is no `FactorDataset`:
    many images have the same factors; measure what needs `render` on the world itself.

    Args:
        config: what to jitter.
        dataset: the dataset itself, instead of the one that `config.dataset` describes.

    Attributes:
        dataset: the grid.
        factor_names: a name for every factor.
        factor_sizes: how many bins every factor has.

    Raises:
        ConfigError: no copies, or a dataset that is no part of a `ContinuousWorld`.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            dataset: the config of a continuous world, or of one with points held out.
            copies: items at every grid point.
            seed: which random places.
        """

        dataset: BaseConfig
        copies: int = 16
        seed: int = 0

        def build(self, **context: Any) -> Jittered:
            """Build the world with `context`, and jitter it."""
            return Jittered(self, self.dataset.build(**context))

    def __init__(self, config: Config, dataset: FactorDataset) -> None:
        if config.copies < 1:
            raise ConfigError(f"copies = {config.copies}", "at least 1")
        self.config = config
        self.dataset = dataset
        self._world = _world_of(dataset)
        self.image_shape = dataset.image_shape
        self.factor_names, self.factor_sizes = dataset.factor_names, dataset.factor_sizes

    def __len__(self) -> int:
        return len(self.dataset) * self.config.copies

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The items at `indices` [B]: image, factors and values.

        Raises:
            IndexError: an index is negative or too large.
        """
        check_places(indices, len(self))
        indices = indices.to(device)
        factors = self.dataset.factors_of(indices // self.config.copies)
        columns = dict(zip(self.factor_names, factors.unbind(1)))
        values = {}
        for name, width in self._world.bin_widths.items():
            centres = (self.dataset if name in columns else self._world).factor_values(name).to(indices.device)
            offset = hashed_uniform(indices, self.config.seed, "jitter", name) - 0.5
            values[name] = centres[columns.get(name, torch.zeros_like(indices))] + width * offset
        table = torch.stack([values[name] for name in self.factor_names], dim=1).float()
        return {"image": self._world.draw(values), "factors": factors, "values": table}

    def factor_values(self, name: str) -> Float64[Tensor, " size"]:
        """The centres of the bins."""
        return self.dataset.factor_values(name)


def _world_of(dataset: Any) -> ContinuousWorld:
    """The world that a dataset is a part of."""
    inner = dataset
    while inner is not None and not isinstance(inner, ContinuousWorld):
        inner = getattr(inner, "dataset", None)
    if inner is None:
        raise ConfigError(
            f"jitter of {type(dataset).__name__}, which draws nothing between its values",
            "a world of continuous factors",
            "Circles or SpriteFactors",
        )
    return inner
