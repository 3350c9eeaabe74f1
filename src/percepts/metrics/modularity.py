"""Modularity and explicitness (Ridgeway & Mozer 2018), with the conventions of Locatello et al. 2019.

Modularity asks whether a code speaks of one factor only; explicitness, whether factors can be read off linearly.
Noise has a large modularity (0.68 for noise codes on dSprites' factors), so it means little alone.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.metrics.arrays import Codes, Factors, TestCodes, TestFactors, as_split, standardised, varying
from percepts.metrics.bootstrap import bootstrap_interval
from percepts.metrics.information import Information
from percepts.metrics.logistic import fit_logistic


def modularity(
    codes: Codes,
    factors: Factors,
    *,
    bins: int = 20,
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> MetricResult:
    """Mean over codes of 1 minus the share of a code's information that is about other factors than its main one.

    Args:
        codes: one row a sample, one column a code.
        factors: the index of every factor's value.
        bins: equal-width histogram bins a code.
        bootstrap: resamples for the confidence interval.
        level: confidence level of the interval.
        rng: source of the resamples.

    Returns:
        "modularity.dlib", in [0, 1]; details: `mutual_information` [codes, factors], `per_code`. Constant codes
        count as 0, factors that do not vary are left out, and with one factor an informative code counts as 1.

    Raises:
        DataError: arrays that do not fit together (see `as_pair`).
    """
    return modularity_from(Information.measure(codes, factors, bins), bootstrap=bootstrap, level=level, rng=rng)


def modularity_from(
    information: Information, *, bootstrap: int = 0, level: float = 0.95, rng: np.random.Generator | None = None
) -> MetricResult:
    """`modularity` of an information matrix that is already there."""

    def per_code(measured: Information) -> Float[np.ndarray, " codes"]:
        return code_modularity(measured.matrix[:, measured.entropies > 0])

    value = float(per_code(information).mean())
    return MetricResult(
        name="modularity.dlib",
        value=value,
        interval=bootstrap_interval(
            lambda rows: float(per_code(information.resampled(rows)).mean()),
            len(information.binned),
            value,
            resamples=bootstrap,
            rng=rng,
            level=level,
            bounds=(0.0, 1.0),
        ),
        level=level,
        details={"mutual_information": information.matrix, "per_code": per_code(information)},
        parameters={"bins": information.bins, "samples": len(information.binned)},
    )


def modularity_of(matrix: Float[np.ndarray, "codes factors"]) -> float:
    """The modularity of a matrix of mutual informations: the plain mean over all codes."""
    return float(code_modularity(np.asarray(matrix, np.float64)).mean())


def code_modularity(matrix: Float[np.ndarray, "codes factors"]) -> Float[np.ndarray, " codes"]:
    """For every code 1 - (sum of squares - largest square) / (largest square · (factors - 1)); 0 for an empty code."""
    squares = matrix**2
    if matrix.shape[1] == 0:
        return np.zeros(len(matrix))
    largest = squares.max(axis=1)
    others = squares.sum(axis=1) - largest
    share = others / np.where(largest > 0, largest * max(matrix.shape[1] - 1, 1), 1.0)
    return np.where(largest > 0, 1.0 - share, 0.0)


def explicitness(
    codes: Codes, factors: Factors, test_codes: TestCodes, test_factors: TestFactors, *, max_iterations: int = 1000
) -> MetricResult:
    """How well a linear classifier separates each factor's values: area under the ROC curve, mean over factors.

    Args:
        codes: training rows, one column a code; standardised inside.
        factors: the index of every factor's value.
        test_codes: rows to score.
        test_factors: their factors.
        max_iterations: of the logistic regression.

    Returns:
        "explicitness.dlib": one-against-rest areas on the test rows, mean over the values of a factor, then over
        factors; chance is 0.5. Details: `per_factor`, `train` (the same on the training rows). Values that are absent
        from the training or test rows are skipped; a factor without any value to score is NaN and left out.

    Raises:
        DataError: arrays that do not fit together (see `as_split`), or nothing that can be scored.
    """
    train, train_values, test, test_values = as_split(codes, factors, test_codes, test_factors)
    train, test = standardised(train, test)
    on_test, on_train = np.full((2, train_values.shape[1]), np.nan)
    for factor in np.flatnonzero(varying(train_values)):
        model = fit_logistic(train, train_values[:, factor], max_iterations=max_iterations)
        on_test[factor] = mean_area(model.probabilities(test), test_values[:, factor], model.classes)
        on_train[factor] = mean_area(model.probabilities(train), train_values[:, factor], model.classes)
    if np.isnan(on_test).all():
        raise DataError("no factor value of the training rows can be scored on the test rows", fix="more test rows")
    return MetricResult(
        name="explicitness.dlib",
        value=float(np.nanmean(on_test)),
        details={"per_factor": on_test, "train": float(np.nanmean(on_train))},
        parameters={
            "classifier": "logistic regression, lbfgs, multinomial, C=1, standardised codes",
            "max_iterations": max_iterations,
            "num_train": len(train),
            "num_test": len(test),
        },
    )


def mean_area(scores: Float[np.ndarray, "samples classes"], labels: np.ndarray, classes: np.ndarray) -> float:
    """Mean over classes of the area under the ROC curve of class against rest; NaN if no class can be scored."""
    truth: Bool[np.ndarray, "samples classes"] = labels[:, None] == classes
    positives = truth.sum(axis=0)
    usable = (positives > 0) & (positives < len(labels))
    if not usable.any():
        return float("nan")
    ranks = np.stack([_mid_ranks(column) for column in scores[:, usable].T], axis=1)
    positives = positives[usable]
    above = (ranks * truth[:, usable]).sum(axis=0) - positives * (positives + 1) / 2
    return float((above / (positives * (len(labels) - positives))).mean())


def _mid_ranks(values: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " samples"]:
    """Ranks from 1; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]
