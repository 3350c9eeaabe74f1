"""Linear probes: what a linear readout of codes can tell about labels or continuous targets."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.metrics.arrays import (
    Codes,
    Factors,
    Labels,
    TestCodes,
    TestFactors,
    TestLabels,
    as_continuous_split,
    as_labels,
    as_table,
    check_same_columns,
    standardised,
)
from percepts.metrics.bootstrap import bootstrap_interval
from percepts.metrics.logistic import fit_logistic


def linear_probe(
    train_codes: Codes,
    train_labels: Labels,
    test_codes: TestCodes,
    test_labels: TestLabels,
    *,
    cost: float = 1.0,
    max_iterations: int = 1000,
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> MetricResult:
    """Test accuracy of a multinomial logistic regression on standardised codes.

    Args:
        train_codes: training rows, one column a code.
        train_labels: one label a row.
        test_codes: rows to score.
        test_labels: their labels; a class that the training rows lack counts as an error.
        cost: inverse weight C of the squared penalty.
        max_iterations: of the lbfgs solver.
        bootstrap: resamples of the test rows for the interval (the probe stays).
        level: confidence level of the interval.
        rng: source of the resamples.

    Returns:
        "probe.logistic"; details: `train_accuracy`, `classes`, `confusion` [true classes, predicted classes] over the
        training classes.

    Raises:
        DataError: arrays that do not fit together, or fewer than two classes in the training rows.
    """
    train, test = as_table(train_codes, "training codes"), as_table(test_codes, "test codes")
    check_same_columns(train, test, "codes")
    labels = as_labels(train_labels, len(train), "training labels")
    test_truth = as_labels(test_labels, len(test), "test labels")
    if np.unique(labels).size < 2:
        raise DataError("the training rows hold a single class", "two classes or more")
    train, test = standardised(train, test)
    model = fit_logistic(train, labels, cost=cost, max_iterations=max_iterations)
    predicted = model.predict(test)
    correct = predicted == test_truth
    confusion = (test_truth[:, None] == model.classes).T.astype(np.int64) @ (predicted[:, None] == model.classes)
    value = float(correct.mean())
    return MetricResult(
        name="probe.logistic",
        value=value,
        interval=bootstrap_interval(
            lambda rows: float(correct[rows].mean()),
            len(correct),
            value,
            resamples=bootstrap,
            rng=rng,
            level=level,
            bounds=(0.0, 1.0),
        ),
        level=level,
        details={
            "train_accuracy": float((model.predict(train) == labels).mean()),
            "classes": model.classes,
            "confusion": confusion,
        },
        parameters={
            "cost": cost,
            "max_iterations": max_iterations,
            "num_train": len(train),
            "num_test": len(test),
        },
    )


def regression_probe(
    train_codes: Codes,
    train_targets: Factors,
    test_codes: TestCodes,
    test_targets: TestFactors,
    *,
    penalty: float = 1.0,
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> MetricResult:
    """R² of a ridge regression from standardised codes to continuous targets, mean over targets.

    Args:
        train_codes: training rows, one column a code.
        train_targets: one column a target.
        test_codes: rows to score.
        test_targets: their targets.
        penalty: weight of the squared coefficients beside the sum of squared errors; 0 is least squares.
        bootstrap: resamples of the test rows for the interval (the probe stays).
        level: confidence level of the interval.
        rng: source of the resamples.

    Returns:
        "probe.ridge", at most 1, below 0 where worse than the test mean; details: `per_target`, `coefficients`
        [codes, targets] on standardised codes. A target that is constant in the test rows counts as 1 where it is
        predicted exactly and as 0 otherwise.

    Raises:
        DataError: arrays that do not fit together.
    """
    train, targets, test, truth = as_continuous_split(train_codes, train_targets, test_codes, test_targets)
    train, test = standardised(train, test)
    centre = targets.mean(axis=0)
    root = np.sqrt(penalty) * np.eye(train.shape[1])
    stacked = np.concatenate([train, root]), np.concatenate([targets - centre, np.zeros((len(root), len(centre)))])
    coefficients = np.linalg.lstsq(*stacked, rcond=None)[0]
    predicted = test @ coefficients + centre
    scores = determination(truth, predicted)
    value = float(scores.mean())
    return MetricResult(
        name="probe.ridge",
        value=value,
        interval=bootstrap_interval(
            lambda rows: float(determination(truth[rows], predicted[rows]).mean()),
            len(truth),
            value,
            resamples=bootstrap,
            rng=rng,
            level=level,
            bounds=(-np.inf, 1.0),
        ),
        level=level,
        details={"per_target": scores, "coefficients": coefficients},
        parameters={"penalty": penalty, "num_train": len(train), "num_test": len(test)},
    )


def determination(
    truth: Float[np.ndarray, "samples targets"], predicted: Float[np.ndarray, "samples targets"]
) -> Float[np.ndarray, " targets"]:
    """R² of every target: 1 - squared error over squared deviation from the mean."""
    error = ((truth - predicted) ** 2).sum(axis=0)
    total = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    constant = truth.min(axis=0) == truth.max(axis=0)
    return np.where(constant, (error <= 1e-20).astype(np.float64), 1.0 - error / np.where(constant, 1.0, total))
