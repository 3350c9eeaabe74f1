"""The predictors of DCI: how much each factor's predictor relies on each code, and how well it predicts.

Every function here takes training and test rows whose factors all vary, and returns a `Fit`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from percepts.metrics.arrays import standardised
from percepts.metrics.boosting import boosted_trees
from percepts.metrics.logistic import fit_sparse_logistic


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One predictor a factor.

    Attributes:
        importance: how much the predictor of a factor relies on a code.
        train: accuracy (classifiers) or error over the target's deviation (regressors) on the training rows.
        test: the same on the test rows.
    """

    importance: Float[np.ndarray, "codes factors"]
    train: Float[np.ndarray, " factors"]
    test: Float[np.ndarray, " factors"]


def boosted(
    train: Float[np.ndarray, "samples codes"],
    values: Int[np.ndarray, "samples factors"],
    test: Float[np.ndarray, "tests codes"],
    test_values: Int[np.ndarray, "tests factors"],
    *,
    trees: int,
    depth: int,
    rng: np.random.Generator,
) -> Fit:
    """Gradient boosted trees; the factors share torch's threads, and their number changes nothing in the result."""
    streams = [np.random.default_rng(seed) for seed in rng.integers(2**63 - 1, size=(values.shape[1],)).tolist()]

    def fit(factor: int) -> tuple[np.ndarray, float, float]:
        model = boosted_trees(train, values[:, factor], test, rng=streams[factor], trees=trees, depth=depth)
        on_train, on_test = model.fitted == values[:, factor], model.predicted == test_values[:, factor]
        return model.importance, float(on_train.mean()), float(on_test.mean())

    return _for_each_factor(fit, values)


def forest(
    train: Float[np.ndarray, "samples codes"],
    values: Int[np.ndarray, "samples factors"],
    test: Float[np.ndarray, "tests codes"],
    test_values: Int[np.ndarray, "tests factors"],
    *,
    trees: int,
    depth: int,
    rng: np.random.Generator,
) -> Fit:
    """Random forests that try every code at every split; the factors share torch's threads."""
    from sklearn.ensemble import RandomForestClassifier

    seeds = [int(rng.integers(2**31 - 1)) for _ in values.T]

    def fit(factor: int) -> tuple[np.ndarray, float, float]:
        model = RandomForestClassifier(
            n_estimators=trees, max_depth=depth, max_features=None, random_state=seeds[factor]
        )
        target, test_target = values[:, factor], test_values[:, factor]
        model.fit(train, target)
        correct = (model.predict(train) == target).mean(), (model.predict(test) == test_target).mean()
        return model.feature_importances_, float(correct[0]), float(correct[1])

    return _for_each_factor(fit, values)


def forest_regressor(
    train: Float[np.ndarray, "samples codes"],
    values: Float[np.ndarray, "samples factors"],
    test: Float[np.ndarray, "tests codes"],
    test_values: Float[np.ndarray, "tests factors"],
    *,
    trees: int,
    depths: tuple[int, ...],
    rng: np.random.Generator,
) -> Fit:
    """Random forest regressions; the depth of each is the one with the least error on a ninth of the training rows."""
    from sklearn.ensemble import RandomForestRegressor

    train, test = standardised(train, test)
    values, test_values = standardised(values, test_values)
    rows = rng.permutation(len(train))
    held_out = max(1, len(rows) // 9)
    chosen, fitted = rows[:held_out], rows[held_out:]

    def fit(target: np.ndarray, test_target: np.ndarray) -> tuple[np.ndarray, float, float]:
        seed = int(rng.integers(2**31 - 1))

        def of_depth(depth: int) -> RandomForestRegressor:
            model = RandomForestRegressor(n_estimators=trees, max_depth=depth, random_state=seed)
            return model.fit(train[fitted], target[fitted])

        models = [of_depth(depth) for depth in depths]
        best = min(models, key=lambda model: _error(target[chosen], model.predict(train[chosen])))
        on_train = _error(target[fitted], best.predict(train[fitted]))
        return best.feature_importances_, on_train, _error(test_target, best.predict(test))

    return _collect([fit(*pair) for pair in zip(values.T, test_values.T)])


def lasso(
    train: Float[np.ndarray, "samples codes"],
    values: Float[np.ndarray, "samples factors"],
    test: Float[np.ndarray, "tests codes"],
    test_values: Float[np.ndarray, "tests factors"],
    *,
    alpha: float,
) -> Fit:
    """Linear regressions with an L1 penalty on standardised codes and factors; importance is the coefficients' size."""
    from sklearn.linear_model import Lasso

    train, test = standardised(train, test)
    values, test_values = standardised(values, test_values)
    model = Lasso(alpha=alpha, max_iter=10000, tol=1e-6).fit(train, values)
    coefficients = np.atleast_2d(model.coef_)

    def errors(table: np.ndarray, targets: np.ndarray) -> np.ndarray:
        predicted = table @ coefficients.T + model.intercept_
        return np.array([_error(*pair) for pair in zip(targets.T, predicted.T)])

    return Fit(importance=np.abs(coefficients).T, train=errors(train, values), test=errors(test, test_values))


def sparse_logistic(
    train: Float[np.ndarray, "samples codes"],
    values: Int[np.ndarray, "samples factors"],
    test: Float[np.ndarray, "tests codes"],
    test_values: Int[np.ndarray, "tests factors"],
    *,
    alpha: float,
) -> Fit:
    """Logistic regressions with an L1 penalty; importance is the mean size of a code's coefficients over classes."""
    train, test = standardised(train, test)

    def fit(target: np.ndarray, test_target: np.ndarray) -> tuple[np.ndarray, float, float]:
        model = fit_sparse_logistic(train, target, alpha=alpha)
        correct = (model.predict(train) == target).mean(), (model.predict(test) == test_target).mean()
        return np.abs(model.coefficients).mean(axis=1), float(correct[0]), float(correct[1])

    return _collect([fit(*pair) for pair in zip(values.T, test_values.T)])


def _for_each_factor(
    fit: Callable[[int], tuple[np.ndarray, float, float]], values: Int[np.ndarray, "samples factors"]
) -> Fit:
    """Fit the factors side by side; the one of most values takes longest and goes first."""
    order = sorted(range(values.shape[1]), key=lambda factor: -len(np.unique(values[:, factor])))
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        found = dict(zip(order, pool.map(fit, order)))
    return _collect([found[factor] for factor in range(values.shape[1])])


def _collect(fits: list[tuple[np.ndarray, float, float]]) -> Fit:
    importance, on_train, on_test = zip(*fits)
    return Fit(importance=np.stack(importance, axis=1), train=np.array(on_train), test=np.array(on_test))


def _error(target: Float[np.ndarray, " rows"], predicted: Float[np.ndarray, " rows"]) -> float:
    """Root of the mean squared error over the target's standard deviation (over 1 for a constant target)."""
    deviation = target.std()
    return float(np.sqrt(((target - predicted) ** 2).mean()) / (deviation if deviation > 0 else 1.0))
