"""The geometry of two codes over a lattice of two factors, in three numbers.

The geometry plots of Watters et al. 2019 (spatial broadcast decoder) draw the lattice of two factors in the plane of
two codes. These numbers summarise such a plot; they are this library's own, not the paper's.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.metrics.arrays import Codes, Factors, as_continuous_pair, standardised


def affine_geometry(codes: Codes, factors: Factors, shape: tuple[int, int]) -> MetricResult:
    """Is the lattice of two factors an upright, unfolded grid in the plane of two codes?

    Args:
        codes: two columns, the two codes at every lattice point.
        factors: two columns, the two factors' values; the second one changes fastest, as in a flattened grid.
        shape: how many values the first and the second factor have.

    Returns:
        "affine_geometry": R² of the best affine map from codes to standardised factors, in [0, 1]. Details: `affine_r2`
        (the same), `axis_angle` (degrees in [0, 45]: the rotation left between the code axes and the factor axes after
        the best of the 8 swaps and flips), `fold_count` (lattice cells whose orientation differs from the majority;
        cells without area count), `cells`, `map` [codes, factors].

    Raises:
        DataError: other shapes, fewer than two values of a factor, or rows that are not in lattice order.
    """
    plane, values = as_continuous_pair(codes, factors)
    _check_lattice(plane, values, shape)
    (targets,) = standardised(values)
    centred = plane - plane.mean(axis=0)
    linear = np.linalg.lstsq(centred, targets, rcond=None)[0]
    r2 = 1.0 - ((targets - centred @ linear) ** 2).sum() / (targets**2).sum()
    folds = fold_count(plane.reshape(*shape, 2))
    return MetricResult(
        name="affine_geometry",
        value=float(r2),
        details={
            "affine_r2": float(r2),
            "axis_angle": axis_angle(linear),
            "fold_count": folds,
            "cells": (shape[0] - 1) * (shape[1] - 1),
            "map": linear,
        },
        parameters={"shape": list(shape)},
    )


def axis_angle(linear: Float[np.ndarray, "2 2"]) -> float:
    """The rotation in a linear map of the plane, in degrees, after the best of the 8 swaps and flips of the axes."""
    left, _, right = np.linalg.svd(linear)
    rotation = left @ right
    swaps = [np.eye(2), np.eye(2)[::-1]]
    signs = [np.diag([a, b]) for a in (1.0, -1.0) for b in (1.0, -1.0)]
    candidates = [sign @ swap @ rotation for sign in signs for swap in swaps]
    angles = [abs(np.arctan2(m[1, 0] - m[0, 1], m[0, 0] + m[1, 1])) for m in candidates if np.linalg.det(m) > 0]
    return float(np.degrees(min(angles)))


def fold_count(lattice: Float[np.ndarray, "rows columns 2"]) -> int:
    """How many cells of a lattice in the plane are turned against the majority, or have no area."""
    one, other = lattice[1:, 1:] - lattice[:-1, :-1], lattice[1:, :-1] - lattice[:-1, 1:]
    area = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]  # of the quadrilateral, by its diagonals
    return int(area.size - max((area > 0).sum(), (area < 0).sum()))


def _check_lattice(plane: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> None:
    if plane.shape[1] != 2 or values.shape[1] != 2:
        raise DataError(f"{plane.shape[1]} codes and {values.shape[1]} factors", "two of each", "choose two columns")
    if min(shape) < 2 or len(plane) != shape[0] * shape[1]:
        raise DataError(f"{len(plane)} points for a lattice of {shape[0]} x {shape[1]}", "every point of the lattice")
    grid = values.reshape(*shape, 2)
    if (grid[:, :, 0] != grid[:, :1, 0]).any() or (grid[:, :, 1] != grid[:1, :, 1]).any():
        raise DataError(
            "the factor values do not form a lattice in this order",
            "rows with the second factor changing fastest",
            "the full grid of the two factors, or shape[::-1] with the factors swapped",
        )
