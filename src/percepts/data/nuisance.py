"""Nuisances on top of a grey world: a colour of the sprite or noise in the background, neither a factor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError
from percepts.data.dataset import FactorDataset
from percepts.data.hashing import hashed_uniform
from percepts.data.held_out import PartOfDataset


class Nuisance(PartOfDataset):
    """A grey dataset of factors in RGB, with something in every image that no factor explains.

    "colour": the image times a colour, each channel uniform in [0.5, 1). "noise": plus uniform noise in [0, 1) in every
    pixel and channel, cut off at 1. These are the variants Color-dSprites and Noisy-dSprites of Locatello et al. (2019)
    but for one thing: theirs draw anew whenever an image is shown; here the nuisance is a hash of (seed, grid point),
    so that every image is a function of its factors (items that share a point, as in small NORB, share the nuisance).

    Args:
        config: what to add to what.
        dataset: the dataset itself, instead of the one that `config.dataset` describes.

    Attributes:
        dataset: the grey dataset.

    Raises:
        ConfigError: a dataset without factors or with colours of its own.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            dataset: the config of any dataset of factors with one channel.
            kind: which nuisance.
            seed: which colours or noise.
        """

        dataset: BaseConfig
        kind: Literal["colour", "noise"] = "colour"
        seed: int = 0

        def build(self, **context: Any) -> Nuisance:
            """Build the dataset with `context`, and add the nuisance."""
            return Nuisance(self, self.dataset.build(**context))

    def __init__(self, config: Config, dataset: FactorDataset) -> None:
        if not isinstance(dataset, FactorDataset) or dataset.image_shape[0] != 1:
            raise ConfigError(f"a nuisance on {type(dataset).__name__}", "a dataset of factors with grey images")
        if config.kind not in ("colour", "noise"):
            raise ConfigError(f"kind = {config.kind!r}", "'colour' or 'noise'")
        self.config = config
        self.image_shape = (3, *dataset.image_shape[1:])
        self.factor_names, self.factor_sizes = dataset.factor_names, dataset.factor_sizes
        self._take(dataset, torch.arange(math.prod(dataset.factor_sizes)))

    @property
    def identity(self) -> str:
        """That of the grey dataset; the nuisance is in the configuration."""
        return self.dataset.identity

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The items of the dataset, with all its keys.

        Raises:
            IndexError: an index is negative or too large.
        """
        batch = super().gather(indices, device)
        return {**batch, "image": self._add(batch["image"], batch["factors"])}

    def render(self, factors: Tensor) -> Tensor:
        self.check_factors(factors)
        return self._add(self.dataset.render(factors), factors)

    def _add(self, image: Tensor, factors: Tensor) -> Tensor:
        """The nuisance of the grid points `factors` [B,F] on grey images [B,1,H,W]."""
        shape = (3, 1, 1) if self.config.kind == "colour" else self.image_shape
        each = shape[0] * shape[1] * shape[2]
        first = FactorDataset.indices_of(self, factors)[:, None] * each
        numbers = first + torch.arange(each, device=factors.device)
        drawn = hashed_uniform(numbers, self.config.seed, self.config.kind).float().clamp_(max=1 - 2**-24)
        drawn = drawn.reshape(-1, *shape)
        return image * (0.5 + 0.5 * drawn) if self.config.kind == "colour" else (image + drawn).clamp_(max=1)
