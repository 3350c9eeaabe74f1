"""Interventional robustness: how still a code stays while all factors but one change (Suter et al. 2019)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.metrics.arrays import Codes, Factors, as_pair, spread, varying
from percepts.metrics.bootstrap import bootstrap_interval


def interventional_robustness(
    codes: Codes,
    factors: Factors,
    *,
    quantile: float = 0.99,
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> MetricResult:
    """The interventional robustness score (IRS), in [0, 1]. It rewards insensitive codes.

    Args:
        codes: one row a sample, one column a code.
        factors: the index of every factor's value.
        quantile: of the deviations inside a group of samples that share a factor value: 0.99 in Locatello et al. 2019,
            1 (the maximum) in the paper. Noise scores 0.33 and 0.12 there (10 factors of 10 values).
        bootstrap: resamples for the confidence interval.
        level: confidence level of the interval.
        rng: source of the resamples.

    Returns:
        "irs.dlib": mean over codes, weighted by each code's largest deviation, of the best score over factors. Details:
        `scores` [codes, factors], `per_code`, `parents` (the factor that each code follows; -1 for constant codes),
        `largest_deviation` [codes], and `interventions`, for plots: for every factor its `values`, and the codes'
        `mean` and `deviation` [codes, values] while the factor is held at a value and the others vary.
        Constant codes are left out; if all are constant the score is 0.

    Raises:
        DataError: arrays that do not fit together (see `as_pair`) or a quantile outside of (0, 1].
    """
    if not 0 < quantile <= 1:
        raise DataError(f"quantile = {quantile}", "a number in (0, 1]")
    table, values = as_pair(codes, factors)
    kept = varying(values)
    scores, deviation = robustness_scores(table, values[:, kept], quantile)

    def resampled(rows: Int[np.ndarray, " rows"]) -> float:
        return _mean(*robustness_scores(table[rows], values[rows][:, kept], quantile))

    value = _mean(scores, deviation)
    parents = np.flatnonzero(kept)[scores.argmax(axis=1)]
    return MetricResult(
        name="irs.dlib",
        value=value,
        interval=bootstrap_interval(
            resampled, len(table), value, resamples=bootstrap, rng=rng, level=level, bounds=(0.0, 1.0)
        ),
        level=level,
        details={
            "scores": spread(scores, kept),
            "per_code": scores.max(axis=1),
            "parents": np.where(deviation > 0, parents, -1),
            "largest_deviation": deviation,
            "interventions": [_plot_data(table, values[:, factor], quantile) for factor in range(values.shape[1])],
        },
        parameters={"quantile": quantile, "samples": len(table)},
    )


def robustness_scores(
    codes: Float[np.ndarray, "samples codes"], factors: Int[np.ndarray, "samples factors"], quantile: float
) -> tuple[Float[np.ndarray, "codes factors"], Float[np.ndarray, " codes"]]:
    """1 - (mean over a factor's values of the deviation quantile) / (largest deviation), and the largest deviations."""
    constant = codes.min(axis=0) == codes.max(axis=0)
    largest = np.where(constant, 0.0, np.abs(codes - codes.mean(axis=0)).max(axis=0))
    inside = np.stack([interventions(codes, column, quantile)[2].mean(axis=1) for column in factors.T], axis=1)
    scores = 1.0 - inside / np.where(largest > 0, largest, 1.0)[:, None]
    return np.where(largest[:, None] > 0, scores, 0.0), largest


def interventions(
    codes: Float[np.ndarray, "samples codes"], column: Int[np.ndarray, " samples"], quantile: float
) -> tuple[Int[np.ndarray, " values"], Float[np.ndarray, "codes values"], Float[np.ndarray, "codes values"]]:
    """What holding one factor at each of its values does to the codes: the values, means, and deviation quantiles."""
    values = np.unique(column)
    groups = [codes[column == value] for value in values]
    means = [group.mean(axis=0) for group in groups]
    deviations = [np.quantile(np.abs(group - mean), quantile, axis=0) for group, mean in zip(groups, means)]
    return values, np.stack(means, axis=1), np.stack(deviations, axis=1)


def _mean(scores: Float[np.ndarray, "codes factors"], deviation: Float[np.ndarray, " codes"]) -> float:
    return float(scores.max(axis=1) @ deviation / deviation.sum()) if deviation.sum() > 0 else 0.0


def _plot_data(
    codes: Float[np.ndarray, "samples codes"], column: Int[np.ndarray, " samples"], quantile: float
) -> dict[str, np.ndarray]:
    return dict(zip(("values", "mean", "deviation"), interventions(codes, column, quantile)))
