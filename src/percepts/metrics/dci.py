"""Disentanglement, completeness and informativeness (Eastwood & Williams 2018).

One predictor a factor is trained on all codes; how much it relies on each code makes the importance matrix.
Disentanglement: does a code serve one factor? Completeness: is a factor served by one code? Informativeness: how good
is the prediction? The predictor changes the scores by up to 0.3, so it is part of the result's name.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from percepts.core.errors import PerceptsError
from percepts.core.results import MetricResult
from percepts.metrics.arrays import (
    Codes,
    Factors,
    TestCodes,
    TestFactors,
    as_continuous_split,
    as_split,
    spread,
    standardised,
    varying,
)

Predictor = Literal["gbt", "forest", "lasso"]


def dci(
    codes: Codes,
    factors: Factors,
    test_codes: TestCodes,
    test_factors: TestFactors,
    *,
    predictor: Predictor = "gbt",
    rng: np.random.Generator,
    trees: int | None = None,
    alpha: float = 0.02,
) -> MetricResult:
    """Disentanglement (the value), completeness and informativeness of codes.

    Args:
        codes: training rows, one column a code.
        factors: the index of every factor's value (any number for "lasso").
        test_codes: rows that the informativeness is measured on.
        test_factors: their factors.
        predictor: "gbt": gradient boosted trees of depth 3 at rate 0.1, as in Locatello et al. 2019; minutes for
            factors of many values. "forest": a random forest of depth 8 that tries every code at every split; seconds.
            "lasso": linear, on standardised codes and factors, as in Eastwood & Williams 2018.
        rng: source of the trees' seeds.
        trees: how many (100 for "gbt", 20 for "forest").
        alpha: weight of the L1 penalty of "lasso".

    Returns:
        "dci.<predictor>"; details: `importance` [codes, factors], `completeness`, `informativeness` (mean test
        accuracy, higher is better; for "lasso" the mean error over the target's standard deviation, lower is better),
        `train_informativeness`, and per factor and per code values. Factors that do not vary are left out.

    Raises:
        DataError: arrays that do not fit together (see `as_split`).
        PerceptsError: an unknown predictor.
    """
    if predictor not in get_args(Predictor):
        raise PerceptsError(f"DCI predictor '{predictor}'", "one of " + ", ".join(get_args(Predictor)))
    check = as_continuous_split if predictor == "lasso" else as_split
    train, values, test, test_values = check(codes, factors, test_codes, test_factors)
    kept = varying(values)
    tables = (train, values[:, kept], test, test_values[:, kept])
    if predictor == "lasso":
        parameters: dict[str, Any] = {"alpha": alpha}
        importance, on_train, on_test = _lasso(*tables, alpha)
    else:
        trees = trees or (100 if predictor == "gbt" else 20)
        parameters = {"trees": trees, "depth": _DEPTH[predictor]}
        importance, on_train, on_test = _trees(*tables, predictor, trees, rng)
    return MetricResult(
        name=f"dci.{predictor}",
        value=disentanglement_of(importance),
        details={
            "importance": spread(importance, kept),
            "completeness": completeness_of(importance, weighted=predictor != "lasso"),
            "informativeness": float(on_test.mean()),
            "train_informativeness": float(on_train.mean()),
            "informativeness_per_factor": spread(on_test[None], kept)[0],
            "disentanglement_per_code": code_disentanglement(importance),
            "completeness_per_factor": spread(factor_completeness(importance)[None], kept)[0],
        },
        parameters={**parameters, "num_train": len(train), "num_test": len(test)},
    )


def disentanglement_of(importance: Float[np.ndarray, "codes factors"]) -> float:
    """Mean over codes, weighted by importance, of 1 - entropy of the code's importance over factors (base factors)."""
    importance = np.abs(np.asarray(importance, np.float64))
    return float(_weights(importance.sum(axis=1)) @ code_disentanglement(importance))


def completeness_of(importance: Float[np.ndarray, "codes factors"], weighted: bool = True) -> float:
    """Mean over factors of 1 - entropy of the factor's importance over codes (base codes).

    Args:
        importance: how much each factor's predictor relies on each code.
        weighted: weight factors by their total importance (Locatello et al. 2019) or equally (Eastwood & Williams).
    """
    importance = np.abs(np.asarray(importance, np.float64))
    per_factor = factor_completeness(importance)
    return float(_weights(importance.sum(axis=0)) @ per_factor if weighted else per_factor.mean())


def code_disentanglement(importance: Float[np.ndarray, "codes factors"]) -> Float[np.ndarray, " codes"]:
    """1 - entropy over factors for every code; 0 for a code without importance, 1 if there is one factor only."""
    return _concentration(importance)


def factor_completeness(importance: Float[np.ndarray, "codes factors"]) -> Float[np.ndarray, " factors"]:
    """1 - entropy over codes for every factor; 0 for a factor without importance, 1 if there is one code only."""
    return _concentration(importance.T)


def _concentration(rows: Float[np.ndarray, "rows choices"]) -> Float[np.ndarray, " rows"]:
    total = rows.sum(axis=1)
    if rows.shape[1] == 1:
        return (total > 0).astype(np.float64)
    share = rows / np.where(total > 0, total, 1.0)[:, None]
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1) / np.log(rows.shape[1])
    return np.where(total > 0, 1.0 - entropy, 0.0)


def _weights(totals: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return totals / totals.sum() if totals.sum() > 0 else np.full(len(totals), 1 / len(totals))


_DEPTH = {"gbt": 3, "forest": 8}


def _trees(
    train: Float[np.ndarray, "samples codes"],
    values: Int[np.ndarray, "samples factors"],
    test: Float[np.ndarray, "tests codes"],
    test_values: Int[np.ndarray, "tests factors"],
    predictor: Predictor,
    trees: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Importance [codes, factors], training accuracy and test accuracy [factors]."""
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

    importance, on_train, on_test = [], [], []
    for target, test_target in zip(values.T, test_values.T):
        seed = int(rng.integers(2**31 - 1))
        depth = _DEPTH[predictor]
        if predictor == "gbt":
            model = GradientBoostingClassifier(
                n_estimators=trees, learning_rate=0.1, max_depth=depth, subsample=1.0, random_state=seed
            )
        else:
            model = RandomForestClassifier(n_estimators=trees, max_depth=depth, max_features=None, random_state=seed)
        model.fit(train, target)
        importance.append(np.abs(model.feature_importances_))
        on_train.append(float((model.predict(train) == target).mean()))
        on_test.append(float((model.predict(test) == test_target).mean()))
    return np.stack(importance, axis=1), np.array(on_train), np.array(on_test)


def _lasso(
    train: Float[np.ndarray, "samples codes"],
    values: Float[np.ndarray, "samples factors"],
    test: Float[np.ndarray, "tests codes"],
    test_values: Float[np.ndarray, "tests factors"],
    alpha: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Importance [codes, factors], training and test error over the standard deviation of the target [factors]."""
    from sklearn.linear_model import Lasso

    train, test = standardised(train, test)
    values, test_values = standardised(values, test_values)
    model = Lasso(alpha=alpha, max_iter=10000, tol=1e-6).fit(train, values)
    coefficients = np.atleast_2d(model.coef_)

    def error(table: np.ndarray, target: np.ndarray) -> np.ndarray:
        residual = target - (table @ coefficients.T + model.intercept_)
        deviation = target.std(axis=0)
        return np.sqrt((residual**2).mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)

    return np.abs(coefficients).T, error(train, values), error(test, test_values)
