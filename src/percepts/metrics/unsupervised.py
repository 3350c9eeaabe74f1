"""Scores that need no factors: how dependent the codes are, and how many of them are in use.

The three dependence scores are those of Locatello et al. 2019, appendix on unsupervised scores; none of them predicts
a supervised score reliably.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.metrics.arrays import Codes, as_table
from percepts.metrics.bootstrap import bootstrap_interval
from percepts.metrics.information import Information, discretise


def unsupervised_scores(
    codes: Codes,
    *,
    bins: int = 20,
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> dict[str, MetricResult]:
    """All dependence scores of codes, by name; lower is more independent, 0 for a single code.

    Args:
        codes: one row a sample, one column a code.
        bins: equal-width histogram bins a code, for the mutual information score.
        bootstrap: resamples for the confidence intervals.
        level: confidence level of the intervals.
        rng: source of the resamples.

    Returns:
        "gaussian_total_correlation" (nats; infinite where one code is a linear function of others),
        "gaussian_wasserstein_correlation" (squared units of the codes), the same with ".normalised" (over the total
        variance) and "mutual_information_score.dlib" (nats, mean over pairs; details: `mutual_information`).

    Raises:
        DataError: no table of finite codes.
    """
    table = as_table(codes)
    binned = discretise(table, bins)

    def result(name: str, score: Callable[[np.ndarray], float], **details: np.ndarray) -> MetricResult:
        value = score(np.arange(len(table)))
        interval = bootstrap_interval(
            score, len(table), value, resamples=bootstrap, rng=rng, level=level, bounds=(0.0, np.inf)
        )
        parameters = {"samples": len(table)} | ({"bins": bins} if details else {})
        return MetricResult(
            name=name, value=value, interval=interval, level=level, details=details, parameters=parameters
        )

    def covariance(rows: np.ndarray) -> Float[np.ndarray, "codes codes"]:
        # Less one row, a constant code has a variance of exactly 0.
        return np.atleast_2d(np.cov(table[rows] - table[rows[0]], rowvar=False))

    def normalised(rows: np.ndarray) -> float:
        matrix = covariance(rows)
        return gaussian_wasserstein_correlation(matrix) / (float(np.trace(matrix)) or 1.0)

    def pairwise(rows: np.ndarray) -> Float[np.ndarray, "codes codes"]:
        return Information.count(binned[rows], binned[rows], bins).matrix

    wasserstein = "gaussian_wasserstein_correlation"
    results = [
        result("gaussian_total_correlation", lambda rows: gaussian_total_correlation(covariance(rows))),
        result(wasserstein, lambda rows: gaussian_wasserstein_correlation(covariance(rows))),
        result(f"{wasserstein}.normalised", normalised),
        result(
            "mutual_information_score.dlib",
            lambda rows: _mean_off_diagonal(pairwise(rows)),
            mutual_information=pairwise(np.arange(len(table))),
        ),
    ]
    return {entry.name: entry for entry in results}


def gaussian_total_correlation(covariance: Float[np.ndarray, "codes codes"]) -> float:
    """½ (sum of log variances - log determinant) in nats, of the Gaussian with this covariance.

    Constant codes depend on nothing and are left out; linear dependence to 13 digits gives infinity.
    """
    eigenvalues = np.linalg.eigvalsh(_correlation(covariance))
    if eigenvalues.size and eigenvalues[0] <= 1e-13 * eigenvalues.size:
        return float("inf")
    return float(max(0.0, -0.5 * np.log(eigenvalues).sum()))


def gaussian_wasserstein_correlation(covariance: Float[np.ndarray, "codes codes"]) -> float:
    """Squared 2-Wasserstein distance of the Gaussian with this covariance to the one with its diagonal.

    2 tr S - 2 tr (D S)^½ with D the diagonal of S; the trace of the root is the sum of the roots of the eigenvalues of
    D^½ S D^½, which is symmetric.
    """
    covariance = np.asarray(covariance, np.float64)
    root = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    eigenvalues = np.linalg.eigvalsh(root[:, None] * covariance * root)
    return float(max(0.0, 2 * np.trace(covariance) - 2 * np.sqrt(np.maximum(eigenvalues, 0.0)).sum()))


def active_units(
    mean: Codes, variance: Codes, *, kl_threshold: float = 0.01, deviation_threshold: float = 0.05
) -> MetricResult:
    """How many latents carry information about the input.

    Args:
        mean: posterior means, one row a sample, one column a latent.
        variance: posterior variances.
        kl_threshold: a latent is active if its mean KL to the standard normal exceeds this many nats.
        deviation_threshold: the other common criterion: the standard deviation of the means over samples.

    Returns:
        "active_units.kl": the count by KL. Details: `kl` (nats) [latents], `active` [latents], `deviation` [latents],
        `active_by_deviation` [latents], `count_by_deviation`, `mean_variance` [latents].

    Raises:
        DataError: no tables of the same shape, or a variance that is not positive.
    """
    means, variances = as_table(mean, "posterior means"), as_table(variance, "posterior variances")
    if means.shape != variances.shape:
        raise DataError(f"means of shape {means.shape} with variances of shape {variances.shape}", "equal shapes")
    if variances.min() <= 0:
        raise DataError(f"a posterior variance of {variances.min()}", "positive variances", "exp(log_variance)")
    kl = 0.5 * (means**2 + variances - np.log(variances) - 1).mean(axis=0)
    deviation = means.std(axis=0)
    return MetricResult(
        name="active_units.kl",
        value=float((kl > kl_threshold).sum()),
        details={
            "kl": kl,
            "active": kl > kl_threshold,
            "deviation": deviation,
            "active_by_deviation": deviation > deviation_threshold,
            "count_by_deviation": int((deviation > deviation_threshold).sum()),
            "mean_variance": variances.mean(axis=0),
        },
        parameters={
            "kl_threshold": kl_threshold,
            "deviation_threshold": deviation_threshold,
            "samples": len(means),
        },
    )


def _correlation(covariance: Float[np.ndarray, "codes codes"]) -> Float[np.ndarray, "kept kept"]:
    """The correlation matrix of the codes that vary."""
    covariance = np.asarray(covariance, np.float64)
    kept = np.diag(covariance) > 0
    scale = np.sqrt(np.diag(covariance)[kept])
    return covariance[np.ix_(kept, kept)] / np.outer(scale, scale)


def _mean_off_diagonal(matrix: Float[np.ndarray, "codes codes"]) -> float:
    codes = len(matrix)
    return float((matrix.sum() - np.trace(matrix)) / (codes * (codes - 1))) if codes > 1 else 0.0
