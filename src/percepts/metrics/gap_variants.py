"""Relatives of the mutual information gap: DCIMIG, JEMMIG and RMIG.

The formulas are the customary ones of the open re-implementations; none has been checked against the papers, so treat
the definitions as unverified.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.metrics.arrays import Codes, Factors, as_pair, as_table
from percepts.metrics.information import Information, joint_counts
from percepts.metrics.mig import factor_gaps


def dcimig(codes: Codes, factors: Factors, *, bins: int = 20) -> MetricResult:
    """How much every factor's best devoted code says about it beside the other factors (Sepliarskaia et al. 2019).

    A code's gap is its information about its main factor less that about its second; a factor gets the largest gap
    of the codes whose main factor it is (0 if there is none). The score is the sum of gaps over the sum of entropies.

    Args:
        codes: one row a sample, one column a code.
        factors: the index of every factor's value.
        bins: equal-width histogram bins a code.

    Returns:
        "dcimig", in [0, 1]; details: `gaps` (nats) [factors], `mutual_information` [codes, factors]. Definition
        unverified.

    Raises:
        DataError: arrays that do not fit together (see `as_pair`).
    """
    measured = Information.measure(codes, factors, bins)
    matrix = measured.matrix
    ordered = np.sort(np.concatenate([np.zeros((len(matrix), 1)), matrix], axis=1), axis=1)
    gaps = np.zeros(matrix.shape[1])
    np.maximum.at(gaps, matrix.argmax(axis=1), ordered[:, -1] - ordered[:, -2])
    return MetricResult(
        name="dcimig",
        value=float(gaps.sum() / measured.entropies.sum()),
        details={"gaps": gaps, "mutual_information": matrix},
        parameters={"bins": bins, "samples": len(measured.binned), "definition": "unverified"},
    )


def jemmig(codes: Codes, factors: Factors, *, bins: int = 20) -> MetricResult:
    """The joint entropy minus the mutual information gap (Do & Tran 2020), turned so that 1 is best.

    For every factor, with its most informative code z and the second z': H(z, v) - I(z; v) + I(z'; v), which is 0 where
    z is the factor and nothing else. Divided by its largest value, log(bins) + H(v), and taken from 1. Unlike MIG it
    asks that the code says nothing else: a code with more bins than the factor has values falls below 1.

    Args:
        codes: one row a sample, one column a code.
        factors: the index of every factor's value.
        bins: equal-width histogram bins a code.

    Returns:
        "jemmig.normalised"; details: `raw` (nats, lower is better) [factors], `per_factor`, `mutual_information`.
        Factors that do not vary are left out of the mean; one that no code knows of scores 0. Definition unverified.

    Raises:
        DataError: arrays that do not fit together (see `as_pair`).
    """
    measured = Information.measure(codes, factors, bins)
    matrix, kept = measured.matrix, measured.entropies > 0
    best = matrix.argmax(axis=0)
    # The joint entropy is that of the code and the factor together, less what they share.
    joint = _bin_entropies(measured.binned)[best] + measured.entropies - matrix.max(axis=0)
    ordered = np.sort(np.concatenate([np.zeros((2, matrix.shape[1])), matrix]), axis=0)
    raw = joint - (ordered[-1] - ordered[-2])
    per_factor = np.where(kept, 1 - raw / (np.log(bins) + measured.entropies) if bins > 1 else 0.0, 0.0)
    # A code that is all in one bin shares nothing with any factor, and has no uncertainty to be paid for.
    per_factor = np.where(matrix.max(axis=0) > 1e-12, per_factor, 0.0)
    return MetricResult(
        name="jemmig.normalised",
        value=float(per_factor[kept].mean()),
        details={"raw": raw, "per_factor": per_factor, "mutual_information": matrix},
        parameters={"bins": bins, "samples": len(measured.binned), "definition": "unverified"},
    )


def rmig(mean: Codes, variance: Codes, factors: Factors, *, bins: int = 100) -> MetricResult:
    """The robust mutual information gap (Do & Tran 2020): posteriors spread over bins instead of means put into them.

    A sample adds to every bin the probability that its Gaussian posterior gives to the bin, so that a code which the
    posterior leaves uncertain says little, and a dead code (means near 0, variance near 1) nothing.

    Args:
        mean: posterior means, one row a sample, one column a code.
        variance: posterior variances.
        factors: the index of every factor's value.
        bins: equal-width bins from the least mean - 4 deviations to the largest mean + 4 deviations of a code.

    Returns:
        "rmig.normalised": the gap over the factor's entropy, mean over factors that vary; details: `mutual_information`
        (nats) [codes, factors], `gaps` [factors]. Definition unverified, the bins are this library's choice.

    Raises:
        DataError: arrays that do not fit together, variances that are not positive, or fewer than two bins.
    """
    means, values = as_pair(mean, factors)
    variances = as_table(variance, "posterior variances")
    if variances.shape != means.shape or variances.min() <= 0:
        raise DataError(
            f"variances of shape {variances.shape}, the least {variances.min()}",
            f"positive ones of shape {means.shape}",
            "exp(log_variance)",
        )
    if bins < 2:
        raise DataError(f"{bins} bins", "at least 2")
    kept = (values != values[0]).any(axis=0)
    columns = [np.unique(column, return_inverse=True)[1] for column in values.T]
    found = [
        [soft_information(bin_shares(code, spread, bins), column) for column in columns]
        for code, spread in zip(means.T, np.sqrt(variances).T)
    ]
    matrix = np.array(found)
    entropies = Information.count(np.zeros((len(values), 1), np.int64), values, bins).entropies
    gaps = factor_gaps(matrix, entropies)
    return MetricResult(
        name="rmig.normalised",
        value=float(gaps[kept].mean()),
        details={"mutual_information": matrix, "gaps": gaps},
        parameters={"bins": bins, "samples": len(means), "definition": "unverified"},
    )


def bin_shares(
    mean: Float[np.ndarray, " samples"], deviation: Float[np.ndarray, " samples"], bins: int
) -> Float[np.ndarray, "samples bins"]:
    """The probability of every bin under every sample's Gaussian; the outer bins take the tails."""
    edges = torch.from_numpy(np.linspace((mean - 4 * deviation).min(), (mean + 4 * deviation).max(), bins + 1)[1:-1])
    distance = (edges - torch.from_numpy(mean.copy())[:, None]) / torch.from_numpy(deviation.copy())[:, None]
    below = torch.special.ndtr(distance).numpy()
    ends = np.zeros((len(mean), 1)), np.ones((len(mean), 1))
    return np.diff(np.concatenate([ends[0], below, ends[1]], axis=1), axis=1)


def soft_information(shares: Float[np.ndarray, "samples bins"], column: Int[np.ndarray, " samples"]) -> float:
    """The mutual information in nats of a code given as shares of bins and a factor numbered from 0."""
    joint = np.zeros((int(column.max()) + 1, shares.shape[1]))
    order = np.argsort(column, kind="stable")
    starts = np.concatenate([[0], np.flatnonzero(np.diff(column[order])) + 1])
    joint[column[order][starts]] = np.add.reduceat(shares[order], starts, axis=0) / len(column)
    product = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    used = joint > 0
    return max(0.0, float((joint[used] * np.log(joint[used] / product[used])).sum()))


def _bin_entropies(binned: Int[np.ndarray, "samples codes"]) -> Float[np.ndarray, " codes"]:
    counts, _ = joint_counts(binned, np.zeros((len(binned), 1), np.int64))
    share = counts[:, :, 0] / len(binned)
    return -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
