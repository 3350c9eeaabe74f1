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
from percepts.data.dataset import FactorDataset, check_places
from percepts.data.distributions import Continuous, Discrete, Distribution

_CHUNK = 1 << 16


class PartialGrid(FactorDataset):
    """A dataset that holds some points of the grid of its factors.

    Its length, `gather` and `factors_of` speak of those, in the order of the grid, while `render` still draws every
    point. Subclasses call `_keep`.

    Attributes:
        support: bool [points of the full grid, last factor fastest], which points the dataset holds.
    """

    support: Bool[Tensor, " grid"]

    def _keep(self, support: Bool[Tensor, " grid"], points: Int64[Tensor, " items"] | None = None) -> None:
        """Hold the points of `support`, each once; or as items at the grid places `points`, several to a point.

        Raises:
            ConfigError: there is no point to hold.
        """
        if not support.any():
            raise ConfigError(
                f"{type(self).__name__} without items: none of the {len(support)} points of its grid is left",
                "at least one point",
                "a smaller hole, a wider support or smaller steps",
            )
        self.support = support
        self._points = _Copies(support.nonzero()[:, 0] if points is None else points)
        held = self._points.on("cpu")
        self._sorted, self._items_sorted = self._points, None
        if not (held[1:] > held[:-1]).all():  # several items at a point: the search below needs them in order
            ordered, items = held.sort(stable=True)
            self._sorted, self._items_sorted = _Copies(ordered), _Copies(items)

    def __len__(self) -> int:
        return len(self._points.on("cpu"))

    def factors_of(self, indices: Int64[Tensor, " batch"]) -> Int64[Tensor, "batch factors"]:
        """The factor values of the items `indices`.

        Raises:
            IndexError: an index is negative or too large.
        """
        check_places(indices, len(self))
        return super().factors_of(self._points.on(indices.device)[indices])

    def indices_of(self, factors: Int64[Tensor, "batch factors"]) -> Int64[Tensor, " batch"]:
        """The items with factor values `factors`; the first of several.

        Raises:
            DataError: factors that do not exist, or a point that the dataset leaves out.
        """
        held, grid = self._sorted.on(factors.device), super().indices_of(factors)
        found = torch.searchsorted(held, grid).clamp(max=len(held) - 1)
        if not torch.equal(held[found], grid):
            raise DataError("factors of a point in the hole", "points of the dataset's `support`")
        return found if self._items_sorted is None else self._items_sorted.on(factors.device)[found]


class PartOfDataset(PartialGrid):
    """The items of another dataset at some points of its grid, in their order and with all their keys.

    Several items may share a point, as the toys of small NORB do, which are no factor: all of them come along.
    Subclasses set `factor_names` and `factor_sizes` and call `_take`.

    Attributes:
        dataset: the dataset of which this is a part.
    """

    dataset: FactorDataset

    def _take(self, dataset: FactorDataset, places: Int64[Tensor, " grid"]) -> None:
        """Hold the part of `dataset` at the points of its grid that have a place on this grid, or -1 in `places`.

        Raises:
            ConfigError: nothing is left.
        """
        self.dataset = dataset
        taken = places[grid_points(dataset)]
        items = (taken >= 0).nonzero()[:, 0]
        points = taken[items]
        support = torch.zeros(math.prod(self.factor_sizes), dtype=torch.bool)
        self._keep(support.index_fill_(0, points, True), points)
        self._items = _Copies(items)

    @property
    def identity(self) -> str:
        """That of the dataset, and how much of it this holds."""
        return f"{self.dataset.identity}, {len(self)} of them"

    def gather(self, indices: Int64[Tensor, " batch"], device: torch.device | str = "cpu") -> Batch:
        """The items of the dataset, with all its keys; `factors` on this grid.

        Raises:
            IndexError: an index is negative or too large.
        """
        check_places(indices, len(self))
        batch = self.dataset.gather(self._items.on(indices.device)[indices], device)
        return {**batch, "factors": self.factors_of(indices.to(device))}

    def factor_values(self, name: str) -> Tensor:
        """As the dataset has them."""
        return self.dataset.factor_values(name)


class HeldOut(PartOfDataset):
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
        kept = hole if config.keep == "hole" else whole & ~hole
        self._take(dataset, torch.where(kept, torch.arange(len(kept)), -1))

    def complement(self) -> HeldOut:
        """The other half: the hole where this is what is seen, and the other way round."""
        other = "seen" if self.config.keep == "hole" else "hole"
        return HeldOut(replace(self.config, keep=other), self.dataset)

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
    return torch.zeros(points, dtype=torch.bool).index_fill_(0, grid_points(dataset), True)


def grid_points(dataset: FactorDataset) -> Int64[Tensor, " items"]:
    """The place of every item on the full grid of the factors of a dataset; several items may share one."""
    if type(dataset).factors_of is FactorDataset.factors_of:
        return torch.arange(len(dataset))
    pieces = torch.arange(len(dataset)).split(_CHUNK)
    return torch.cat([FactorDataset.indices_of(dataset, dataset.factors_of(piece)) for piece in pieces])


class _Copies:
    """A tensor on the CPU and on every device that has asked for it."""

    def __init__(self, tensor: Tensor) -> None:
        self._held = {torch.device("cpu"): tensor}

    def on(self, device: torch.device | str) -> Tensor:
        device = torch.device(device)
        if device not in self._held:
            self._held[device] = self._held[torch.device("cpu")].to(device)
        return self._held[device]


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
