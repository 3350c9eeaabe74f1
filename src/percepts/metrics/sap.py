"""The SAP score: how much better one code alone predicts a factor than the second best (Kumar et al. 2018)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from percepts.core.results import MetricResult
from percepts.metrics.arrays import (
    Codes,
    Factors,
    TestCodes,
    TestFactors,
    as_continuous_pair,
    as_split,
    spread,
    varying,
)
from percepts.metrics.bootstrap import bootstrap_interval
from percepts.metrics.scalar_svm import fit_scalar_svm


def sap(
    codes: Codes, factors: Factors, test_codes: TestCodes, test_factors: TestFactors, *, cost: float = 0.01
) -> MetricResult:
    """The gap in test accuracy of linear support vector machines that see one code each (Locatello et al. 2019).

    With factors of 32 to 40 values one scalar and linear boundaries predict little: 0.01 to 0.1 is normal.

    Args:
        codes: training rows, one column a code.
        factors: the index of every factor's value.
        test_codes: rows to score.
        test_factors: their factors.
        cost: weight C of the errors beside the margin; classes are weighted to be balanced.

    Returns:
        "sap.dlib"; details: `scores` (test accuracy) [codes, factors] and `gaps` [factors]. With one code the runner-up
        counts as 0; factors that do not vary are left out of the mean.

    Raises:
        DataError: arrays that do not fit together (see `as_split`).
    """
    train, values, test, test_values = as_split(codes, factors, test_codes, test_factors)
    kept = varying(values)
    pairs = zip(values[:, kept].T, test_values[:, kept].T)
    scores = np.stack([_accuracies(train, target, test, test_target, cost) for target, test_target in pairs], axis=1)
    gaps = _gaps(scores)
    return MetricResult(
        name="sap.dlib",
        value=float(gaps.mean()),
        details={"scores": spread(scores, kept), "gaps": spread(gaps[None], kept)[0]},
        parameters={"cost": cost, "num_train": len(train), "num_test": len(test)},
    )


def sap_continuous(
    codes: Codes,
    factors: Factors,
    *,
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> MetricResult:
    """The gap in squared correlation between a factor and single codes; no training, no split.

    Args:
        codes: one row a sample, one column a code.
        factors: the value of every factor, as numbers.
        bootstrap: resamples for the confidence interval.
        level: confidence level of the interval.
        rng: source of the resamples.

    Returns:
        "sap.continuous"; details as for `sap`, with squared correlations as scores (0 where a variance is
        at most 1e-12).

    Raises:
        DataError: arrays that do not fit together, or no factor that varies.
    """
    table, values = as_continuous_pair(codes, factors)
    kept = varying(values)

    def score(rows: np.ndarray | slice) -> Float[np.ndarray, "codes factors"]:
        return squared_correlation(table[rows], values[rows])

    scores = score(slice(None))
    value = float(_gaps(scores[:, kept]).mean())
    return MetricResult(
        name="sap.continuous",
        value=value,
        interval=bootstrap_interval(
            lambda rows: float(_gaps(score(rows)[:, kept]).mean()),
            len(table),
            value,
            resamples=bootstrap,
            rng=rng,
            level=level,
            bounds=(0.0, 1.0),
        ),
        level=level,
        details={"scores": scores, "gaps": _gaps(scores)},
        parameters={"samples": len(table)},
    )


def squared_correlation(
    codes: Float[np.ndarray, "samples codes"], factors: Float[np.ndarray, "samples factors"]
) -> Float[np.ndarray, "codes factors"]:
    """Squared Pearson correlation of every code and factor; 0 where a variance is at most 1e-12."""
    codes, factors = codes - codes.mean(axis=0), factors - factors.mean(axis=0)
    of_codes, of_factors = (codes**2).mean(axis=0), (factors**2).mean(axis=0)
    covariance = codes.T @ factors / len(codes)
    usable = (of_codes[:, None] > 1e-12) & (of_factors > 1e-12)
    return np.where(usable, covariance**2 / np.where(usable, of_codes[:, None] * of_factors, 1.0), 0.0)


def _gaps(scores: Float[np.ndarray, "codes factors"]) -> Float[np.ndarray, " factors"]:
    best = np.sort(np.concatenate([np.zeros((1, scores.shape[1])), scores]), axis=0)[-2:]
    return best[1] - best[0]


def _accuracies(
    train: Float[np.ndarray, "samples codes"],
    labels: Int[np.ndarray, " samples"],
    test: Float[np.ndarray, "tests codes"],
    test_labels: Int[np.ndarray, " tests"],
    cost: float,
) -> list[float]:
    classes, target = np.unique(labels, return_inverse=True)
    machines = [fit_scalar_svm(code, target, classes, cost) for code in train.T]
    return [float((machine.predict(code) == test_labels).mean()) for machine, code in zip(machines, test.T)]
