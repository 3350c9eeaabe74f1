"""Disentanglement, completeness and informativeness (Eastwood & Williams 2018).

One predictor a factor is trained on all codes; how much it relies on each code makes the importance matrix.
Disentanglement: does a code serve one factor? Completeness: is a factor served by one code? Informativeness: how good
is the prediction? The predictor changes the scores by up to 0.3, so it is part of the result's name.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

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
    varying,
)
from percepts.metrics.predictors import Fit, boosted, forest, forest_regressor, lasso, sparse_logistic

Predictor = Literal["gbt", "forest", "lasso", "forest_regressor", "logreg_l1"]
Tables: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Prediction: TypeAlias = tuple[Fit, dict[str, Any]]

_REGRESSORS = ("lasso", "forest_regressor")
_TREES = {"gbt": 100, "forest": 20, "forest_regressor": 10}
_ALPHA = {"lasso": 0.02, "logreg_l1": 0.01}


def dci(
    codes: Codes,
    factors: Factors,
    test_codes: TestCodes,
    test_factors: TestFactors,
    *,
    predictor: Predictor = "gbt",
    rng: Generator,
    trees: int | None = None,
    alpha: float | None = None,
) -> MetricResult:
    """Disentanglement (the value), completeness and informativeness of codes.

    Args:
        codes: training rows, one column a code.
        factors: the index of every factor's value (any number for "lasso" and "forest_regressor").
        test_codes: rows that the informativeness is measured on.
        test_factors: their factors.
        predictor: "gbt": gradient boosted trees of depth 3 at rate 0.1, as in Locatello et al. 2019. "forest":
            a random forest of depth 8 that tries every code at every split. Both use torch's threads. "lasso" and
            "forest_regressor": linear with an L1 penalty, and forests of 10 trees whose depth (2 to 12) a ninth of the
            training rows chooses, both on standardised codes and factors, as in Eastwood & Williams 2018 (split 80 %,
            10 % and 10 %: give nine tenths of the rows for training). "logreg_l1": logistic regression with an L1
            penalty on standardised codes, importance being the mean size of a code's coefficients over a factor's
            values (settings of this library, not of a paper).
        rng: source of the trees' seeds and of the rows that choose a depth.
        trees: how many (by default 100 for "gbt", 20 for "forest", 10 for "forest_regressor").
        alpha: weight of the L1 penalty (by default 0.02 for "lasso", 0.01 for "logreg_l1").

    Returns:
        "dci.<predictor>"; details: `importance` [codes, factors], `completeness`, `informativeness` (mean test
        accuracy, higher is better; for the regressors the mean error over the target's standard deviation, lower is
        better), `train_informativeness`, and per factor and per code values. Factors that do not vary are left out.

    Raises:
        DataError: arrays that do not fit together (see `as_split`).
        PerceptsError: an unknown predictor.
    """
    if predictor not in get_args(Predictor):
        raise PerceptsError(f"DCI predictor '{predictor}'", "one of " + ", ".join(get_args(Predictor)))
    if (trees is not None and trees < 1) or (alpha is not None and not alpha > 0):
        raise PerceptsError(f"trees = {trees} and alpha = {alpha}", "at least one tree and a positive alpha")
    regression = predictor in _REGRESSORS
    check = as_continuous_split if regression else as_split
    train, values, test, test_values = check(codes, factors, test_codes, test_factors)
    kept = varying(values)
    tables = (train, values[:, kept], test, test_values[:, kept])
    fit, settings = _fit(predictor, tables, alpha, trees, rng)
    return MetricResult(
        name=f"dci.{predictor}",
        value=disentanglement_of(fit.importance),
        details={
            "importance": spread(fit.importance, kept),
            "completeness": completeness_of(fit.importance, weighted=not regression),
            "informativeness": float(fit.test.mean()),
            "train_informativeness": float(fit.train.mean()),
            "informativeness_per_factor": spread(fit.test[None], kept)[0],
            "disentanglement_per_code": code_disentanglement(fit.importance),
            "completeness_per_factor": spread(factor_completeness(fit.importance)[None], kept)[0],
        },
        parameters={**settings, "num_train": len(train), "num_test": len(test)},
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


def _fit(predictor: Predictor, tables: Tables, alpha: float | None, trees: int | None, rng: Generator) -> Prediction:
    """What the predictor found, and its settings."""
    settings: dict[str, Any]
    if predictor in ("lasso", "logreg_l1"):
        settings = {"alpha": _ALPHA[predictor] if alpha is None else alpha}
        return (lasso if predictor == "lasso" else sparse_logistic)(*tables, **settings), settings
    settings = {"trees": trees or _TREES[predictor]}
    if predictor == "forest_regressor":
        settings["depths"] = tuple(range(2, 13))
        return forest_regressor(*tables, rng=rng, **settings), settings
    settings["depth"] = 3 if predictor == "gbt" else 8
    return (boosted if predictor == "gbt" else forest)(*tables, rng=rng, **settings), settings
