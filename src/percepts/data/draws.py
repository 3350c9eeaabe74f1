"""What the distributions of factors draw with, and how they read and check numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from percepts.core.errors import ConfigError, DataError


def uniform(count: int, generator: torch.Generator) -> Float64[Tensor, " count"]:
    """Numbers in [0, 1) on the generator's device.

    Raises:
        DataError: a negative count.
    """
    if count < 0:
        raise DataError(f"count = {count}", "0 or more")
    return torch.rand(count, dtype=torch.float64, generator=generator, device=generator.device)


def choose(weights: tuple[float, ...], count: int, generator: torch.Generator) -> Int64[Tensor, " count"]:
    """Numbers 0 to len(weights) - 1, drawn by relative weight (positive)."""
    ends = torch.tensor(weights, dtype=torch.float64, device=generator.device).cumsum(0)
    return torch.searchsorted(ends / ends[-1], uniform(count, generator), right=True)


def column(factors: Mapping[str, Tensor], name: str) -> Float64[Tensor, " count"]:
    """The values of one factor.

    Raises:
        DataError: the factor is missing, or not one value for each item.
    """
    if name not in factors:
        raise DataError(f"no factor '{name}' among {', '.join(factors) or 'none'}", "values of every factor asked for")
    values = torch.as_tensor(factors[name])
    if values.ndim != 1:
        raise DataError(f"'{name}' of shape {tuple(values.shape)}", "one value for each item, [count]")
    return values.double()


def check_weights(what: str, weights: tuple[float, ...], count: int) -> None:
    """Make sure of `count` finite numbers above 0.

    Raises:
        ConfigError: other numbers.
    """
    if len(weights) != count or not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise ConfigError(f"{what} are {weights}", f"{count} finite numbers above 0")
