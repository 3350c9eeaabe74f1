"""How many labels a representation needs: classifiers of every factor trained on few and on many labelled rows.

Locatello et al. 2019 train cross-validated logistic regression and gradient boosted trees on 10, 100, 1000 and 10 000
labels; the statistical efficiency is the accuracy with 100 labels over that with 10 000.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from percepts.core.errors import DataError, PerceptsError
from percepts.core.results import MetricResult
from percepts.metrics.arrays import Codes, Factors, TestCodes, TestFactors, as_split, spread, varying
from percepts.metrics.boosting import boosted_trees
from percepts.metrics.logistic import fit_logistic

Classifier: TypeAlias = Literal["logistic_cv", "gbt"]
_COSTS = np.logspace(-4, 4, 10)
_FOLDS = 5


def downstream(
    codes: Codes,
    factors: Factors,
    test_codes: TestCodes,
    test_factors: TestFactors,
    *,
    rng: Generator,
    classifier: Classifier = "logistic_cv",
    sizes: Sequence[int] = (10, 100, 1000, 10000),
    efficiency: tuple[int, int] = (100, 10000),
) -> MetricResult:
    """Test accuracy of classifiers of each factor by the number of labelled rows that they were trained on.

    Args:
        codes: training rows, one column a code; the classifiers see them as they are.
        factors: the index of every factor's value.
        test_codes: rows to score.
        test_factors: their factors.
        rng: source of the rows of each size (the smaller sets are parts of the larger ones) and of the trees' ties.
        classifier: "logistic_cv": multinomial logistic regression, its C chosen from ten between 1e-4 and 1e4 by 5-fold
            cross-validation over the rows in order. "gbt": gradient boosted trees (100 of depth 3 at rate 0.1).
        sizes: numbers of labels; those beyond the training rows are left out.
        efficiency: the two sizes whose accuracies' ratio is the statistical efficiency.

    Returns:
        "downstream.<classifier>": mean accuracy over factors with the most labels. Details: `sizes`, `accuracy` (mean
        over factors) [sizes], `per_factor` [sizes, factors], `train_accuracy` [sizes], `statistical_efficiency` (NaN
        where one of its sizes was not measured). Labels of a single class predict that class; factors that do not
        vary in the training rows are left out of means (0 in `per_factor`).

    Raises:
        DataError: arrays that do not fit together (see `as_split`), or no size that the training rows allow.
        PerceptsError: an unknown classifier.
    """
    if classifier not in get_args(Classifier):
        raise PerceptsError(f"downstream classifier '{classifier}'", "one of " + ", ".join(get_args(Classifier)))
    train, values, test, test_values = as_split(codes, factors, test_codes, test_factors)
    usable = sorted({size for size in sizes if 1 <= size <= len(train)})
    if not usable:
        raise DataError(f"sizes {list(sizes)} with {len(train)} training rows", "one between 1 and the training rows")
    kept = varying(values)
    order = rng.permutation(len(train))
    accuracy, on_train = np.zeros((2, len(usable), int(kept.sum())))
    for number, size in enumerate(usable):
        rows = order[:size]
        for column, factor in enumerate(np.flatnonzero(kept)):
            target = values[rows, factor]
            predicted, fitted = _predict(classifier, train[rows], target, test, rng)
            accuracy[number, column] = (predicted == test_values[:, factor]).mean()
            on_train[number, column] = (fitted == target).mean()
    means = accuracy.mean(axis=1)
    by_size = dict(zip(usable, means))
    few, many = (by_size.get(size, math.nan) for size in efficiency)
    return MetricResult(
        name=f"downstream.{classifier}",
        value=float(means[-1]),
        details={
            "sizes": usable,
            "accuracy": means,
            "per_factor": spread(accuracy, kept),
            "train_accuracy": on_train.mean(axis=1),
            "statistical_efficiency": float(few / many) if many > 0 else math.nan,
        },
        parameters={"efficiency": list(efficiency), "num_train": usable[-1], "num_test": len(test)},
    )


def _predict(
    classifier: Classifier,
    codes: Float[np.ndarray, "samples codes"],
    labels: np.ndarray,
    test: Float[np.ndarray, "tests codes"],
    rng: Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the test rows and of the training rows."""
    if (labels == labels[0]).all():
        return np.full(len(test), labels[0]), labels
    if classifier == "gbt":
        trees = boosted_trees(codes, labels, test, rng=rng)
        return trees.predicted, trees.fitted
    model = fit_logistic(codes, labels, cost=chosen_cost(codes, labels), max_iterations=100)
    return model.predict(test), model.predict(codes)


def chosen_cost(codes: Float[np.ndarray, "samples codes"], labels: np.ndarray) -> float:
    """The C of the best mean accuracy over five folds of consecutive rows; the smallest of equals.

    A fold whose other rows hold a single class is predicted to be of that class.
    """
    folds = [fold for fold in np.array_split(np.arange(len(codes)), _FOLDS) if 0 < len(fold) < len(codes)]
    scores = np.zeros((len(folds), len(_COSTS)))
    for number, fold in enumerate(folds):
        others = np.setdiff1d(np.arange(len(codes)), fold, assume_unique=True)
        target = labels[others]
        for column, cost in enumerate(_COSTS):
            if (target == target[0]).all():
                predicted = np.full(len(fold), target[0])
            else:
                model = fit_logistic(codes[others], target, cost=float(cost), max_iterations=100)
                predicted = model.predict(codes[fold])
            scores[number, column] = (predicted == labels[fold]).mean()
    return float(_COSTS[scores.mean(axis=0).argmax()]) if folds else 1.0
