"""Coarser steps between the values of a factor: the test of data continuity of Higgins et al. (2016)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError, DataError, nearest
from percepts.core.random import torch_generator
from percepts.data.dataset import FactorDataset
from percepts.data.held_out import PartOfDataset, grid_support

_CHUNK = 256


class Subsampled(PartOfDataset):
    """Every n-th value of some factors of a dataset, from the first: the same ranges (nearly) in coarser steps.

    The grid is the coarse one: factor indices count the values that are left. Points that `dataset` leaves out stay
    out.

    Args:
        config: what to thin out.
        dataset: the dataset itself, instead of the one that `config.dataset` describes.

    Attributes:
        dataset: the dataset of which this is a part.

    Raises:
        ConfigError: an unknown factor, a step that is no whole number, below 1 or one that leaves less than two
            values, or no point left.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            dataset: the config of any dataset of factors.
            steps: by factor name, keep every so many-th value.
        """

        dataset: BaseConfig
        steps: dict[str, int] = field(default_factory=dict)

        def build(self, **context: Any) -> Subsampled:
            """Build the dataset with `context`, and thin it out."""
            return Subsampled(self, self.dataset.build(**context))

    def __init__(self, config: Config, dataset: FactorDataset) -> None:
        if not isinstance(dataset, FactorDataset):
            raise ConfigError(f"every n-th value of {type(dataset).__name__}", "a dataset of factors on a grid")
        for name, step in config.steps.items():
            _check_step(dataset, name, step)
        self.config = config
        self.image_shape, self.factor_names = dataset.image_shape, dataset.factor_names
        self._steps = torch.tensor([config.steps.get(name, 1) for name in dataset.factor_names])
        self.factor_sizes = tuple(-(-size // step) for size, step in zip(dataset.factor_sizes, self._steps.tolist()))
        places = torch.full(dataset.factor_sizes, -1)
        coarse = tuple(slice(None, None, step) for step in self._steps.tolist())
        places[coarse] = torch.arange(math.prod(self.factor_sizes)).reshape(self.factor_sizes)
        self._take(dataset, places.flatten())

    def factor_values(self, name: str) -> Tensor:
        """Every n-th value of the dataset's."""
        return self.dataset.factor_values(name)[:: self.config.steps.get(name, 1)]

    def render(self, factors: Tensor) -> Tensor:
        self.check_factors(factors)
        return self.dataset.render(factors * self._steps.to(factors.device))


def neighbour_distance(dataset: FactorDataset, name: str, pairs: int = 512, seed: int = 0) -> float:
    """How far apart images are that differ by one step in factor `name`: the mean Euclidean distance over all pixels
    and channels, a channel running from 0 to 1, over all such pairs or a random sample of `pairs` of them.

    Disentangling needs neighbours that overlap (Higgins et al. 2016): plot a score against this.

    Raises:
        DataError: an unknown factor, or no two images one step apart.
    """
    _check_name(dataset, name, DataError)
    axis = dataset.factor_names.index(name)
    support = grid_support(dataset).reshape(dataset.factor_sizes)
    size = dataset.factor_sizes[axis]
    both = (support.narrow(axis, 0, size - 1) & support.narrow(axis, 1, size - 1)) if size > 1 else support[:0]
    places = both.flatten().nonzero()[:, 0]
    if not len(places):
        raise DataError(f"no two images of {type(dataset).__name__} are one step of {name} apart", "a finer grid")
    if len(places) > pairs:
        generator = torch_generator(seed, "neighbour distance", name)
        places = places[torch.randint(len(places), (pairs,), generator=generator)]
    first = torch.stack(torch.unravel_index(places, both.shape), dim=1)
    total = 0.0
    for some in first.split(_CHUNK):
        other = some.clone()
        other[:, axis] += 1
        difference = (dataset.render(other) - dataset.render(some)).flatten(1).double()
        total += float(difference.square().sum(1).sqrt().sum())
    return total / len(first)


def _check_step(dataset: FactorDataset, name: str, step: int) -> None:
    _check_name(dataset, name, ConfigError)
    size = dataset.factor_sizes[dataset.factor_names.index(name)]
    if not isinstance(step, int) or not 1 <= step <= size - 1:
        raise ConfigError(f"a step of {step} over the {size} values of {name}", f"a whole step from 1 to {size - 1}")


def _check_name(dataset: FactorDataset, name: str, kind: type[ConfigError] | type[DataError]) -> None:
    if name not in dataset.factor_names:
        close = nearest(name, dataset.factor_names)
        raise kind(
            f"unknown factor '{name}'" + (f", did you mean '{close}'?" if close else ""),
            "one of " + ", ".join(dataset.factor_names),
        )
