"""Mutual information between codes and factors by counting.

A code is cut into equal-width bins over its own range; joint and marginal entropies are those of the counts
(plug-in estimate, in nats). Locatello et al. 2019 (disentanglement_lib) define MIG and modularity on this matrix.
The estimate of two independent variables is not 0 but about (bins - 1)(values - 1) / (2 samples) nats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from percepts.core.errors import DataError
from percepts.metrics.arrays import Codes, Factors, as_pair, as_table

_CHUNK = 16384  # samples counted at once: bounds the memory of a whole dataset and keeps the keys in the cache


@dataclass(frozen=True, kw_only=True)
class Information:
    """What binned codes say about factors.

    Attributes:
        matrix: mutual information in nats, codes by factors.
        entropies: of the factors, in nats.
        binned: the bin of every sample.
        factors: the value of every sample.
        bins: how many bins a code was cut into.
    """

    matrix: Float[np.ndarray, "codes factors"]
    entropies: Float[np.ndarray, " factors"]
    binned: Int[np.ndarray, "samples codes"]
    factors: Int[np.ndarray, "samples factors"]
    bins: int

    @classmethod
    def measure(cls, codes: Codes, factors: Factors, bins: int = 20) -> Information:
        """Bin the codes and count.

        Raises:
            DataError: arrays that do not fit (`as_pair`) or fewer than one bin.
        """
        table, values = as_pair(codes, factors)
        return cls.count(discretise(table, bins), values, bins)

    @classmethod
    def count(
        cls, binned: Int[np.ndarray, "samples codes"], factors: Int[np.ndarray, "samples factors"], bins: int
    ) -> Information:
        """Count codes that are already binned (bins numbered from 0)."""
        matrix, entropies = _information(binned, factors)
        return cls(matrix=matrix, entropies=entropies, binned=binned, factors=factors, bins=bins)

    def resampled(self, rows: Int[np.ndarray, " rows"]) -> Information:
        """The same for other rows of the sample, in the same bins."""
        return Information.count(self.binned[rows], self.factors[rows], self.bins)


def mutual_information(codes: Codes, factors: Factors, bins: int = 20) -> Float[np.ndarray, "codes factors"]:
    """Mutual information of every binned code and every factor, in nats, by one pass of counting.

    Raises:
        DataError: arrays that do not fit (`as_pair`) or fewer than one bin.
    """
    return Information.measure(codes, factors, bins).matrix


def entropy(values: Int[np.ndarray, "samples columns"]) -> Float[np.ndarray, " columns"]:
    """Plug-in entropy of every column of whole numbers, in nats."""
    return _information(np.zeros((len(values), 1), np.int64), np.asarray(values))[1]


def discretise(codes: Codes, bins: int = 20) -> Int[np.ndarray, "samples codes"]:
    """The bin of every code in an equal-width histogram over the code's own range, numbered from 0.

    Exactly `digitize(code, linspace(min, max, bins + 1)[:-1]) - 1`, computed by one multiplication; only samples close
    to an edge are compared with it. A constant code (or one whose bins float64 cannot resolve) falls into one bin.

    Raises:
        DataError: no table of finite codes or fewer than one bin.
    """
    if bins < 1:
        raise DataError(f"{bins} bins", "at least 1")
    columns = np.ascontiguousarray(as_table(codes).T)
    low, high = columns.min(axis=1), columns.max(axis=1)
    constant = high - low <= 1e-13 * bins * np.maximum(np.abs(low), np.abs(high))
    low, high = np.where(constant, low - 0.5, low), np.where(constant, low + 0.5, high)
    edges = np.linspace(low, high, bins + 1)
    edges[-1] = np.inf
    position = (columns - low[:, None]) * (bins / (high - low))[:, None]
    binned = np.minimum(position.astype(np.int64), bins - 1)
    # Rounding may carry a sample across an edge; comparing with the edge itself puts that right.
    code, sample = np.nonzero(np.abs(position - np.rint(position)) < 0.01)
    guess, value = binned[code, sample], columns[code, sample]
    guess -= value < edges[guess, code]
    guess += value >= edges[guess + 1, code]
    binned[code, sample] = guess
    binned[constant] = 0
    return binned.T


def _information(
    binned: Int[np.ndarray, "samples codes"], factors: Int[np.ndarray, "samples factors"]
) -> tuple[Float[np.ndarray, "codes factors"], Float[np.ndarray, " factors"]]:
    """Mutual information of codes and factors, and the entropies of the factors."""
    counts, starts = joint_counts(binned, factors)
    samples = len(binned)
    total = samples * np.log(samples)
    joint = np.add.reduceat(_x_log_x(counts).sum(axis=1), starts, axis=1)
    first = counts[:, :, : starts[1]] if len(starts) > 1 else counts
    of_codes = _x_log_x(first.sum(axis=2)).sum(axis=1)
    of_factors = np.add.reduceat(_x_log_x(counts[0].sum(axis=0)), starts)
    matrix = (joint - of_codes[:, None] - of_factors + total) / samples
    return np.maximum(matrix, 0.0), np.maximum((total - of_factors) / samples, 0.0)


def joint_counts(
    binned: Int[np.ndarray, "samples codes"], factors: Int[np.ndarray, "samples factors"]
) -> tuple[Int[np.ndarray, "codes bins values"], Int[np.ndarray, " factors"]]:
    """How often every bin of every code meets every value of every factor.

    The values of all factors lie side by side on the last axis; the second result says where each factor begins.
    Each (bin of a code, value of a factor) is one key, and one `bincount` counts the keys of all pairs.
    """
    values, sizes = _compact(factors)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    width, codes = int(sizes.sum()), binned.shape[1]
    bins = int(binned.max()) + 1
    rows = np.ascontiguousarray(binned.T) * width + (np.arange(codes) * (bins * width))[:, None]
    columns = values + starts[:, None]
    counts = np.zeros(codes * bins * width, np.int64)
    for start in range(0, rows.shape[1], _CHUNK):
        part = slice(start, start + _CHUNK)
        keys = rows[:, None, part] + columns[None, :, part]
        counts += np.bincount(keys.ravel(), minlength=counts.size)
    return counts.reshape(codes, bins, width), starts


def _compact(factors: Int[np.ndarray, "samples factors"]) -> tuple[Int[np.ndarray, "factors samples"], np.ndarray]:
    """Factor values counted from 0, and how many numbers each factor needs."""
    values = np.ascontiguousarray(factors.T)
    values = values - values.min(axis=1, keepdims=True)
    sizes = values.max(axis=1) + 1
    for factor in np.flatnonzero(sizes > len(factors) + 256):  # sparse labels: number those that occur
        values[factor] = np.unique(values[factor], return_inverse=True)[1]
        sizes[factor] = values[factor].max() + 1
    return values, sizes


def _x_log_x(counts: Int[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    return counts * np.log(np.maximum(counts, 1))
