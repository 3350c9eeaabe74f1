"""What action spaces insist on: tensors of the right shape and kind, numbers within bounds, settings that fit."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from percepts.core.errors import ConfigError, DataError


def within(values: Float64[Tensor, "batch numbers"], bounds: str) -> Float64[Tensor, "batch numbers"]:
    """Numbers of [0, 1] as `bounds` has it: "raise" an error, "clip" them, or "ignore" all but NaN and infinity.

    Raises:
        DataError: numbers that are not allowed, naming their row.
    """
    good = values.isfinite() if bounds != "raise" else (values >= 0) & (values <= 1)
    if not bool(good.all()):
        row = int((~good).any(-1).nonzero()[0])
        fix = None if bounds != "raise" or not bool(values[row].isfinite().all()) else "bounds='clip'"
        expected = "numbers in [0, 1]" if bounds == "raise" else "finite numbers"
        raise DataError(f"the action {_listed(values[row])} in row {row}", expected, fix)
    return values.clamp(0, 1) if bounds == "clip" else values


def numbered(
    action: Tensor, shape: tuple[int, ...], sizes: tuple[int, ...], bounds: str
) -> Int64[Tensor, "batch *numbers"]:
    """Whole numbers from 0 to the sizes, these excluded; with `bounds` = "clip" by force.

    Raises:
        DataError: a tensor of another shape or kind, or other numbers, naming their row.
    """
    whole = isinstance(action, Tensor) and not action.is_floating_point()
    whole = whole and not action.is_complex() and action.dtype != torch.bool
    check_shape(action, shape, "whole numbers", whole)
    most = torch.tensor(sizes, device=action.device) - 1
    values = action.long().view(len(action), len(sizes))
    if bounds == "clip":
        values = torch.minimum(values.clamp(min=0), most)
    good = (values >= 0) & (values <= most)
    if not bool(good.all()):
        row = int((~good).any(-1).nonzero()[0])
        upto = " and ".join(f"0 to {size - 1}" for size in sizes)
        raise DataError(f"the action {_listed(values[row])} in row {row}", upto)
    return values.view(shape)


def check_shape(action: Any, shape: tuple[int, ...], kind: str, fits: bool) -> None:
    """Make sure of a tensor of this shape that `fits`.

    Raises:
        DataError: it is none.
    """
    if not isinstance(action, Tensor):
        raise DataError(f"an action that is a {type(action).__name__}", f"a tensor of {kind} {list(shape)}")
    if tuple(action.shape) != shape or not fits:
        got = f"actions of {str(action.dtype).removeprefix('torch.')} {list(action.shape)}"
        raise DataError(got, f"{kind} {list(shape)}, one row for each arena")


def _listed(values: Tensor) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values.tolist()) + ")"


def check_positive(name: str, value: float) -> None:
    """Raises a ConfigError for a setting that is not finite and above 0."""
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{name} = {value}", "a finite number above 0")


def check_cost(value: float) -> None:
    """Raises a ConfigError for a cost that is not finite."""
    if not math.isfinite(value):
        raise ConfigError(f"motion_cost = {value}", "a finite number")


def check_deviations(name: str, *values: float) -> None:
    """Raises a ConfigError unless these are one or four standard deviations."""
    good = all(isinstance(value, Real) and math.isfinite(value) and value >= 0 for value in values)
    if len(values) not in (1, 4) or not good:
        raise ConfigError(f"{name} = {values}", "a standard deviation, or one for each of the four numbers")


def check_numbered(kind: str, bounds: str) -> None:
    """Raises a ConfigError where the bounds of numbered actions are to be ignored."""
    if bounds == "ignore":
        raise ConfigError(f"{kind} with bounds = 'ignore'", "'raise' or 'clip': numbers beyond the last are no action")
