"""Where interventional metrics get codes from: a table of encoded images, or an encoder on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from percepts.core.errors import DataError
from percepts.metrics.arrays import Codes, Factors, as_array, as_pair, as_table, varying

Sampler: TypeAlias = Callable[[Int[np.ndarray, "n factors"], np.random.Generator], Codes]
"""Renders and encodes factor values: `sampler(factors, rng) -> codes`."""


@runtime_checkable
class CodeSource(Protocol):
    """Draws codes under interventions on one factor."""

    @property
    def varying(self) -> Bool[np.ndarray, " factors"]:
        """Which factors take more than one value."""

    def independent(self, count: int, rng: np.random.Generator) -> Float[np.ndarray, "count codes"]:
        """Codes of random samples."""

    def common_value(
        self, factor: Int[np.ndarray, " batches"], size: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "batches size codes"]:
        """For every batch a random value of its factor, and codes of random samples that all have this value."""

    def shared_pairs(
        self, factor: Int[np.ndarray, " batches"], size: int, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "batches size codes"], Float[np.ndarray, "batches size codes"]]:
        """Codes of two random samples a pair that share the value of the batch's factor, another one in each pair."""


def as_source(codes: Codes | Sampler, factors: Factors | tuple[int, ...]) -> CodeSource:
    """A table of codes with factors, or a sampler with the number of values of every factor, as a source.

    Raises:
        DataError: arrays that do not fit together, or sizes that are no positive whole numbers.
    """
    if not callable(codes):
        return CodeTable.index(codes, factors)  # type: ignore[arg-type]
    sizes = as_array(factors)
    if sizes.ndim != 1 or sizes.size == 0 or sizes.dtype.kind not in "iu" or sizes.min() < 1 or sizes.max() < 2:
        raise DataError(
            f"factor sizes {sizes.tolist()} beside a sampler",
            "how many values each factor has, at least one of them 2 or more",
        )
    return RenderedCodes(sampler=codes, sizes=sizes.astype(np.int64))


@dataclass(frozen=True, kw_only=True)
class CodeTable:
    """Codes of a fixed sample, with the rows of every factor value.

    Attributes:
        codes: one row a sample.
        groups: for every sample and factor the number of the group of rows that have this value of this factor.
        members: the rows of all groups, one group after the other.
        first: where each group begins in `members`.
        count: how many rows each group has.
        varying: which factors take more than one value.
    """

    codes: Float[np.ndarray, "samples codes"]
    groups: Int[np.ndarray, "samples factors"]
    members: Int[np.ndarray, " entries"]
    first: Int[np.ndarray, " groups"]
    count: Int[np.ndarray, " groups"]
    varying: Bool[np.ndarray, " factors"]

    @classmethod
    def index(cls, codes: Codes, factors: Factors) -> CodeTable:
        """Sort the rows by every factor.

        Raises:
            DataError: arrays that do not fit together (see `as_pair`).
        """
        table, values = as_pair(codes, factors)
        groups = np.empty(values.shape, np.int32)
        members, counts, offset = [], [], 0
        for factor, column in enumerate(values.T):
            distinct, inverse, count = np.unique(column, return_inverse=True, return_counts=True)
            groups[:, factor] = inverse + offset
            offset += len(distinct)
            # Small integers sort by radix, in linear time.
            small = inverse.astype(np.uint16) if len(distinct) <= 1 << 16 else inverse
            members.append(np.argsort(small, kind="stable").astype(np.int32))
            counts.append(count)
        count = np.concatenate(counts)
        return cls(
            codes=np.ascontiguousarray(table),
            groups=groups,
            members=np.concatenate(members),
            first=np.concatenate([[0], np.cumsum(count)[:-1]]),
            count=count,
            varying=varying(values),
        )

    def independent(self, count: int, rng: np.random.Generator) -> Float[np.ndarray, "count codes"]:
        return self.codes[rng.integers(len(self.codes), size=count)]

    def common_value(
        self, factor: Int[np.ndarray, " batches"], size: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "batches size codes"]:
        anchor = rng.integers(len(self.codes), size=(len(factor), 1))
        return self.codes.take(self._rows_like(anchor, factor, size, rng), axis=0)

    def shared_pairs(
        self, factor: Int[np.ndarray, " batches"], size: int, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "batches size codes"], Float[np.ndarray, "batches size codes"]]:
        anchor = rng.integers(len(self.codes), size=(len(factor), size))
        return self.codes.take(anchor, axis=0), self.codes.take(self._rows_like(anchor, factor, size, rng), axis=0)

    def _rows_like(
        self,
        anchor: Int[np.ndarray, "batches _"],
        factor: Int[np.ndarray, " batches"],
        size: int,
        rng: np.random.Generator,
    ) -> Int[np.ndarray, "batches size"]:
        """Random rows that have the anchor's value of the batch's factor."""
        group = self.groups[anchor, factor[:, None]]
        step = (rng.random((len(factor), size)) * self.count[group]).astype(np.int64)
        return self.members.take(self.first[group] + step)


@dataclass(frozen=True, kw_only=True)
class RenderedCodes:
    """Codes that are rendered and encoded when they are asked for; factors are independent and uniform.

    Attributes:
        sampler: gives the codes of factor values.
        sizes: how many values each factor has.
    """

    sampler: Sampler
    sizes: Int[np.ndarray, " factors"]

    @property
    def varying(self) -> Bool[np.ndarray, " factors"]:
        return self.sizes > 1

    def independent(self, count: int, rng: np.random.Generator) -> Float[np.ndarray, "count codes"]:
        return self._encode(self._draw((count,), rng), rng)

    def common_value(
        self, factor: Int[np.ndarray, " batches"], size: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "batches size codes"]:
        values = self._draw((len(factor), size), rng)
        batch = np.arange(len(factor))
        values[batch, :, factor] = values[batch, 0, factor][:, None]
        return self._encode(values, rng)

    def shared_pairs(
        self, factor: Int[np.ndarray, " batches"], size: int, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "batches size codes"], Float[np.ndarray, "batches size codes"]]:
        one, other = self._draw((len(factor), size), rng), self._draw((len(factor), size), rng)
        batch = np.arange(len(factor))
        other[batch, :, factor] = one[batch, :, factor]
        return self._encode(one, rng), self._encode(other, rng)

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Int[np.ndarray, "*shape factors"]:
        return rng.integers(self.sizes, size=(*shape, len(self.sizes)))

    def _encode(
        self, values: Int[np.ndarray, "*shape factors"], rng: np.random.Generator
    ) -> Float[np.ndarray, "*shape codes"]:
        flat = values.reshape(-1, len(self.sizes))
        codes = as_table(self.sampler(flat, rng), "codes of the sampler")
        if len(codes) != len(flat):
            raise DataError(f"the sampler gave {len(codes)} codes for {len(flat)} factor vectors", "one row for each")
        return codes.reshape(*values.shape[:-1], -1).copy()
