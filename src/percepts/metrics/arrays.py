"""What every metric accepts: tables of codes and factors, checked once and turned into float64 and int64.

A row is a sample, a column a code (latent) or a factor. Tensors of any device and precision are converted; all sums
run in float64, because near-constant float32 codes make spurious histogram bins.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped
from torch import Tensor

from percepts.core.errors import DataError

Table: TypeAlias = Num[np.ndarray, "samples columns"] | Num[Tensor, "samples columns"]
Codes: TypeAlias = Num[np.ndarray, "samples codes"] | Num[Tensor, "samples codes"]
Factors: TypeAlias = Num[np.ndarray, "samples factors"] | Num[Tensor, "samples factors"]
Labels: TypeAlias = Shaped[np.ndarray, " samples"] | Shaped[Tensor, " samples"]
TestCodes: TypeAlias = Num[np.ndarray, "tests codes"] | Num[Tensor, "tests codes"]
TestFactors: TypeAlias = Num[np.ndarray, "tests factors"] | Num[Tensor, "tests factors"]
TestLabels: TypeAlias = Shaped[np.ndarray, " tests"] | Shaped[Tensor, " tests"]
Mask: TypeAlias = Bool[np.ndarray, " codes"] | Bool[Tensor, " codes"]


def as_pair(
    codes: Codes, factors: Factors
) -> tuple[Float[np.ndarray, "samples codes"], Int[np.ndarray, "samples factors"]]:
    """Codes as float64 and discrete factors as int64, row for row.

    Raises:
        DataError: a wrong shape, different numbers of rows, NaN or infinite codes, factors that are not whole numbers,
            or no factor that takes two values.
    """
    table, values = as_table(codes, "codes"), as_discrete(factors)
    _check_rows(table, values)
    varying(values)
    return table, values


def as_continuous_pair(
    codes: Codes, factors: Factors
) -> tuple[Float[np.ndarray, "samples codes"], Float[np.ndarray, "samples factors"]]:
    """Codes and factors both as float64, row for row; whole-number factors count as measurements.

    Raises:
        DataError: a wrong shape, different numbers of rows, or values that are NaN or infinite.
    """
    table, values = as_table(codes, "codes"), as_table(factors, "factors")
    _check_rows(table, values)
    return table, values


def as_split(
    codes: Codes, factors: Factors, test_codes: TestCodes, test_factors: TestFactors
) -> tuple[
    Float[np.ndarray, "samples codes"],
    Int[np.ndarray, "samples factors"],
    Float[np.ndarray, "tests codes"],
    Int[np.ndarray, "tests factors"],
]:
    """Training and test rows of codes and discrete factors, each as `as_pair` gives them; test factors may be constant.

    Raises:
        DataError: as `as_pair`, or test rows with another number of codes or factors than the training rows.
    """
    train, values = as_pair(codes, factors)
    test, test_values = as_table(test_codes, "test codes"), as_discrete(test_factors, "test factors")
    _check_rows(test, test_values, "test ")
    check_same_columns(train, test, "codes")
    check_same_columns(values, test_values, "factors")
    return train, values, test, test_values


def as_continuous_split(
    codes: Codes, factors: Factors, test_codes: TestCodes, test_factors: TestFactors
) -> tuple[
    Float[np.ndarray, "samples codes"],
    Float[np.ndarray, "samples factors"],
    Float[np.ndarray, "tests codes"],
    Float[np.ndarray, "tests factors"],
]:
    """Training and test rows of codes and measured factors, each as `as_continuous_pair` gives them.

    Raises:
        DataError: as `as_continuous_pair`, or test rows with another number of codes or factors than the training rows.
    """
    train, values = as_continuous_pair(codes, factors)
    test, test_values = as_table(test_codes, "test codes"), as_table(test_factors, "test factors")
    _check_rows(test, test_values, "test ")
    check_same_columns(train, test, "codes")
    check_same_columns(values, test_values, "factors")
    return train, values, test, test_values


def check_same_columns(train: np.ndarray, test: np.ndarray, name: str) -> None:
    """Refuse training and test tables of different widths.

    Raises:
        DataError: naming both widths; the message calls the tables `name`.
    """
    if train.shape[1] != test.shape[1]:
        raise DataError(
            f"training {name} have {train.shape[1]} columns and test {name} {test.shape[1]}",
            "the same columns in both",
            "cut training and test rows from one table",
        )


def as_table(values: Table, name: str = "codes") -> Float[np.ndarray, "samples columns"]:
    """A float64 table of at least two rows and one column.

    Raises:
        DataError: another number of dimensions, too few rows, no column, or values that are NaN or infinite.
    """
    table = as_array(values)
    if table.ndim != 2:
        fix = f"{name}[:, None] if it is one column" if table.ndim == 1 else f"{name}.reshape(len({name}), -1)"
        raise DataError(f"{name} has shape {table.shape}", "two dimensions [samples, columns]", fix)
    if table.shape[0] < 2 or table.shape[1] < 1:
        raise DataError(f"{name} has shape {table.shape}", "at least two samples and one column", "more samples")
    if table.dtype.kind not in "biuf":
        raise DataError(f"{name} of type {table.dtype}", "real numbers")
    table = table.astype(np.float64, copy=False)
    bad = ~np.isfinite(table)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(
            f"{name} holds {bad.sum()} values that are NaN or infinite, the first in row {row}, column {column}",
            "finite numbers",
            "find where the encoder diverged",
        )
    return table


def as_discrete(factors: Table, name: str = "factors") -> Int[np.ndarray, "samples columns"]:
    """Whole-number factor values as int64 [samples, columns].

    Raises:
        DataError: as `as_table`, or a value that is no whole number.
    """
    array = as_array(factors)
    if array.dtype.kind in "iub" and array.ndim == 2 and min(array.shape) > 0:
        return array.astype(np.int64, copy=False)
    table = as_table(factors, name)
    values = np.rint(table)
    if not np.array_equal(values, table):
        raise DataError(
            f"{name} holds values that are no whole numbers",
            "the index of each factor's value",
            "a metric for continuous factors (sap_continuous, dci with predictor 'lasso'), or bin the factors first",
        )
    return values.astype(np.int64)


def as_labels(labels: Labels, samples: int, name: str = "labels") -> np.ndarray:
    """One label a sample, in the type that it came in.

    Raises:
        DataError: another number of dimensions or of samples.
    """
    array = as_array(labels)
    if array.shape != (samples,):
        raise DataError(f"{name} has shape {array.shape}", f"({samples},), one label for every row of the codes")
    return array


def as_array(values: object) -> np.ndarray:
    """`values` as a NumPy array; tensors are detached and copied to the CPU (float ones as float64)."""
    if isinstance(values, Tensor):
        tensor = values.detach().cpu()
        return (tensor.double() if tensor.is_floating_point() else tensor).numpy()
    return np.asarray(values)


def as_mask(mask: Mask, codes: int) -> Bool[np.ndarray, " codes"]:
    """One boolean a code.

    Raises:
        DataError: another type or length.
    """
    array = as_array(mask)
    if array.dtype != bool or array.shape != (codes,):
        raise DataError(f"a mask of type {array.dtype} and shape {array.shape}", f"{codes} booleans, one a code")
    return array


def varying(factors: Num[np.ndarray, "samples factors"]) -> Bool[np.ndarray, " factors"]:
    """Which factors take more than one value in the sample; the others say nothing and are left out of every mean.

    Raises:
        DataError: none does.
    """
    kept = (factors != factors[0]).any(axis=0)
    if not kept.any():
        raise DataError(
            "no factor takes two different values in this sample",
            "at least one that varies",
            "measure on a sample of the whole dataset, not of one factor value",
        )
    return kept


def spread(
    matrix: Float[np.ndarray, "codes kept"], kept: Bool[np.ndarray, " factors"]
) -> Float[np.ndarray, "codes factors"]:
    """A matrix with one column a factor from one that has columns for the `kept` factors only; the rest is zero."""
    full = np.zeros((matrix.shape[0], kept.size))
    full[:, kept] = matrix
    return full


def standardised(
    train: Float[np.ndarray, "samples columns"], *others: Float[np.ndarray, "other columns"]
) -> list[Float[np.ndarray, "_ columns"]]:
    """`train` and `others` less the mean and over the standard deviation of `train`; constant columns become zero."""
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    # A constant column's computed deviation is rounding noise; dividing by it would invent a signal.
    constant = train.min(axis=0) == train.max(axis=0)
    scale = np.where(constant, np.inf, np.maximum(deviation, 1e-150))
    return [(table - mean) / scale for table in (train, *others)]


def split_rows(
    samples: int, num_train: int, num_test: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """Disjoint random rows for training and testing; two thirds and one third where the sample is too small for both.

    Raises:
        DataError: fewer than ten samples.
    """
    if samples < 10:
        raise DataError(f"only {samples} samples to split into training and test", "at least 10")
    if samples < num_train + num_test:
        num_test = samples * num_test // (num_train + num_test)
        num_train = samples - num_test
    rows = rng.permutation(samples)
    return rows[:num_train], rows[num_train : num_train + num_test]


def _check_rows(codes: np.ndarray, factors: np.ndarray, which: str = "") -> None:
    if len(codes) == len(factors):
        return
    fix = "give both for the same images, in the same order"
    if codes.shape[1] == len(factors):
        fix = "codes.T: the codes seem to be stored as [codes, samples]"
    elif factors.shape[1] == len(codes):
        fix = "factors.T: the factors seem to be stored as [factors, samples]"
    rows = f"{which}codes have {len(codes)} rows and {which}factors {len(factors)}"
    raise DataError(f"{rows} (shapes {codes.shape} and {factors.shape})", "one row a sample in both", fix)
