"""Grids with points left out: train on some combinations of factors, test on others.

    hole = Continuous("x", 9, 15) * Continuous("y", 9, 15)
    Data(dataset=HeldOut.Config(dataset=Squares24.Config(), hole=hole))     # in a preset: trains outside of the hole
    seen, held_out = split(Squares24.Config(), hole)                        # both halves, as configs

The tests of zero-shot inference of Higgins et al. (2016) and of held-out regions of Watters et al. (2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError, DataError, nearest
from percepts.data.dataset import FactorDataset
from percepts.data.distributions import Continuous, Discrete, Distribution


class PartialGrid(FactorDataset):
    """A dataset that holds some points of the grid of its factors.

    Its length, `gather` and `factors_of` speak of those, in the order of the grid, while `render` still draws every
    point. Subclasses call `_keep`.

    Attributes:
        support: bool [points of the full grid, last factor fastest], which points the dataset holds.
    """

    support: Bool[Tensor, " grid"]

    def _keep(self, support: Bool[Tensor, " grid"]) -> None:
        self.support = support
        self._kept = {torch.device("cpu"): support.nonzero()[:, 0]}

    def __len__(self) -> int:
        return len(self._kept[torch.device("cpu")])

    def factors_of(self, indices: Int64[Tensor, " batch"]) -> Int64[Tensor, "batch factors"]:
        """The factor values of the items `indices`."""
        return super().factors_of(self._kept_on(indices.device)[indices])

    def indices_of(self, factors: Int64[Tensor, "batch factors"]) -> Int64[Tensor, " batch"]:
        """The items with factor values `factors`.

        Raises:
            DataError: a point that the dataset leaves out.
        """
        kept, grid = self._kept_on(factors.device), super().indices_of(factors)
        found = torch.searchsorted(kept, grid).clamp(max=len(kept) - 1)
        if not torch.equal(kept[found], grid):
            raise DataError("factors of a point in the hole", "points of the dataset's `support`")
        return found

    def _kept_on(self, device: torch.device) -> Int64[Tensor, " kept"]:
        if device not in self._kept:
            self._kept[device] = self._kept[torch.device("cpu")].to(device)
        return self._kept[device]


class HeldOut(PartialGrid):
    """Any dataset of factors without the combinations in a hole, or only those in it.

    `dataset` may itself leave points out. The hole is a distribution over some of the factors, on their values
    (`factor_values`, in the unit of the factor) or on their indices. A `Continuous` factor is half-open: [4, 6) of the
    indices are 4 and 5, and an interval that ends at the largest value does not hold it.

    Args:
        config: what to hold out of what.
        dataset: the dataset itself, instead of the one that `config.dataset` describes.

    Attributes:
        dataset: the dataset that this is a part of.

    Raises:
        ConfigError: a hole of unknown factors or of values that they do not take, or that leaves one half empty.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            dataset: the config of any dataset of factors.
            hole: the combinations that are held out.
            by: whether the hole speaks of the factors' values or of their indices 0, 1, 2, …
            keep: "seen" is everything outside of the hole, "hole" what is inside.
        """

        dataset: BaseConfig
        hole: Distribution
        by: Literal["values", "indices"] = "values"
        keep: Literal["seen", "hole"] = "seen"

        def build(self, **context: Any) -> HeldOut:
            """Build the dataset with `context`, and take the hole out."""
            return HeldOut(self, self.dataset.build(**context))

    def __init__(self, config: Config, dataset: FactorDataset) -> None:
        if not isinstance(dataset, FactorDataset):
            raise ConfigError(
                f"held-out combinations of {type(dataset).__name__}",
                "a dataset of factors on a grid, such as Squares24",
            )
        self.config = config
        self.dataset = dataset
        self.image_shape = dataset.image_shape
        self.factor_names, self.factor_sizes = dataset.factor_names, dataset.factor_sizes
        whole = grid_support(dataset)
        hole = whole & self._hole()
        if not hole.any() or torch.equal(hole, whole):
            part = "no" if not hole.any() else "every"
            raise ConfigError(
                f"the hole '{config.hole}' holds {part} point of {type(dataset).__name__}",
                "some of its points but not all",
                "other bounds; an interval does not hold its upper bound",
            )
        self._keep(hole if config.keep == "hole" else whole & ~hole)

    @property
    def identity(self) -> str:
        """That of the dataset, and how much of it this holds."""
        return f"{self.dataset.identity}, {len(self)} of them"

    def complement(self) -> HeldOut:
        """The other half: the hole where this is what is seen, and the other way round."""
        other = "seen" if self.config.keep == "hole" else "hole"
        return HeldOut(replace(self.config, keep=other), self.dataset)

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The items of the dataset, with all its keys."""
        return self.dataset.gather(self.dataset.indices_of(self.factors_of(indices)), device)

    def factor_values(self, name: str) -> Tensor:
        """As the dataset has them."""
        return self.dataset.factor_values(name)

    def render(self, factors: Tensor) -> Tensor:
        """Any point of the grid, left out or not."""
        self.check_factors(factors)
        return self.dataset.render(factors)

    def _hole(self) -> Bool[Tensor, " grid"]:
        """Which points of the full grid lie in the hole: asked on the grid of its own factors and spread over the
        others."""
        hole = self.config.hole
        values = {name: self._values(name) for name in hole.names}
        _check_leaves(hole, values)
        names = [name for name in self.factor_names if name in values]
        mesh = torch.meshgrid(*(values[name] for name in names), indexing="ij")
        inside = hole.contains({name: column.flatten() for name, column in zip(names, mesh)})
        shape = [size if name in values else 1 for name, size in zip(self.factor_names, self.factor_sizes)]
        return inside.reshape(shape).expand(self.factor_sizes).flatten()

    def _values(self, name: str) -> Tensor:
        if name not in self.factor_names:
            close = nearest(name, self.factor_names)
            raise ConfigError(
                f"the hole speaks of an unknown factor '{name}'" + (f", did you mean '{close}'?" if close else ""),
                "one or more of " + ", ".join(self.factor_names),
            )
        if self.config.by == "values":
            return self.dataset.factor_values(name)
        return torch.arange(self.factor_sizes[self.factor_names.index(name)], dtype=torch.float64)


def split(
    dataset: BaseConfig, hole: Distribution, by: Literal["values", "indices"] = "values"
) -> tuple[HeldOut.Config, HeldOut.Config]:
    """What is seen and what is held out: the parts of a dataset outside and inside of `hole`, as configs."""
    seen = HeldOut.Config(dataset=dataset, hole=hole, by=by)
    return seen, replace(seen, keep="hole")


def grid_support(dataset: FactorDataset) -> Bool[Tensor, " grid"]:
    """Which points of the full grid of its factors a dataset holds."""
    if isinstance(dataset, PartialGrid):
        return dataset.support
    points = math.prod(dataset.factor_sizes)
    if len(dataset) == points:
        return torch.ones(points, dtype=torch.bool)
    held = FactorDataset.indices_of(dataset, dataset.factors_of(torch.arange(len(dataset))))
    return torch.zeros(points, dtype=torch.bool).index_fill_(0, held, True)


def _check_leaves(part: Distribution, values: dict[str, Tensor]) -> None:
    """Make sure that every single factor of a hole says something about the values that there are."""
    for inner in part.parts:
        _check_leaves(inner, values)
    if not isinstance(part, Continuous | Discrete):
        return
    single = [Discrete(part.name, (value,)) for value in part.values] if isinstance(part, Discrete) else [part]
    for leaf in single:
        if not leaf.contains(values).any():
            known = values[part.name]
            raise ConfigError(
                f"the hole has {leaf}, where {part.name} takes no value",
                f"some of its {len(known)} values from {float(known.min()):g} to {float(known.max()):g}",
            )
