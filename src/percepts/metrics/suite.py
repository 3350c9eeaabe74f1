"""Every score of one table of codes, by name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.metrics.arrays import Codes, Factors, Mask, as_mask, as_pair, as_table, split_rows
from percepts.metrics.dci import dci
from percepts.metrics.information import Information
from percepts.metrics.interventional import beta_vae_score, factor_vae_score
from percepts.metrics.mig import mig_from
from percepts.metrics.modularity import explicitness, modularity_from
from percepts.metrics.robustness import interventional_robustness
from percepts.metrics.sap import sap, sap_continuous
from percepts.metrics.unsupervised import unsupervised_scores

log = logging.getLogger(__name__)


def evaluate_codes(
    codes: Codes,
    factors: Factors,
    *,
    rng: np.random.Generator,
    fast: bool = True,
    bins: int = 20,
    num_train: int = 10000,
    num_test: int = 5000,
    active: Mask | None = None,
    sampled: bool = False,
    bootstrap: int = 0,
    level: float = 0.95,
) -> dict[str, MetricResult]:
    """All scores of a table of codes and their factors.

    Args:
        codes: one row a sample, one column a code (posterior means); the full grid or any sample.
        factors: the index of every factor's value.
        rng: source of every draw: the same generator state gives the same scores.
        fast: a random forest trained on at most 2000 rows ("dci.forest") in place of gradient boosting on all training
            rows ("dci.gbt"): a few seconds instead of up to a minute. Every other score is the same in both modes, and
            has the sizes of Locatello et al. 2019 where the table is large enough.
        bins: equal-width histogram bins a code.
        num_train: random rows for the scores: all rows if there are fewer, and two thirds of them for the scores that
            train a predictor.
        num_test: other random rows, for the scores that train a predictor.
        active: the clean mode: codes to keep (`active_units(...).details["active"]`), for all scores, whose names then
            end in ".clean". By default all codes count, as in the literature, where a dead code that moves by 1e-4 is
            binned like any other. Matrices have a row for every code that is kept; without one, the scores are those
            of a single constant code.
        sampled: the codes are samples of the posteriors (`sample_codes`), not their means; names end in ".sampled".
        bootstrap: resamples for the confidence intervals, of the scores that have them.
        level: confidence level of the intervals.

    Returns:
        Results by name. The interventional scores draw from the whole table, 10 000 training and 5000 test votes.
        Left out with a warning, while all others stay: the beta-VAE score where a single factor varies, explicitness
        and DCI's trees where the rows for them hold one value of every factor. In the clean mode every result's
        parameters say which codes were kept (`active`) and how many were not (`dead`).

    Raises:
        DataError: arrays that do not fit together, no factor that takes two values in the training rows (see
            `as_pair`), fewer than ten rows, fewer than one bin, or a mask of another length; nothing has been measured
            then.
    """
    table, values = as_pair(codes, factors)
    mask = None if active is None else as_mask(active, table.shape[1])
    if mask is not None:
        table = table[:, mask] if mask.any() else np.zeros((len(table), 1))
    results = _measure(table, values, rng, fast, bins, num_train, num_test, bootstrap=bootstrap, level=level)
    suffix = (".clean" if mask is not None else "") + (".sampled" if sampled else "")
    kept = {} if mask is None else {"active": mask.tolist(), "dead": int((~mask).sum())}
    named = [replace(one, name=one.name + suffix, parameters={**one.parameters, **kept}) for one in results]
    return {result.name: result for result in named}


def sample_codes(mean: Codes, variance: Codes, *, rng: np.random.Generator) -> Float[np.ndarray, "samples codes"]:
    """One sample of every posterior, for `evaluate_codes(..., sampled=True)`.

    Raises:
        DataError: no tables of the same shape, or a negative variance.
    """
    means, variances = as_table(mean, "posterior means"), as_table(variance, "posterior variances")
    if means.shape != variances.shape or variances.min() < 0:
        raise DataError(
            f"variances of shape {variances.shape}, the least {variances.min()}",
            f"positive ones of shape {means.shape}",
            "exp(log_variance)",
        )
    return means + np.sqrt(variances) * rng.normal(size=means.shape)


def _measure(
    table: Float[np.ndarray, "samples codes"],
    values: Int[np.ndarray, "samples factors"],
    rng: np.random.Generator,
    fast: bool,
    bins: int,
    num_train: int,
    num_test: int,
    **interval: Any,
) -> list[MetricResult]:
    train, test = split_rows(len(table), num_train, num_test, rng)
    # What trains no predictor needs no rows held out.
    rows = np.concatenate([train, test])[:num_train]
    sample = table[rows], values[rows]
    split = table[train], values[train], table[test], values[test]
    few = train[:2000]
    small_split = table[few], values[few], table[test], values[test]
    information = Information.measure(*sample, bins)
    return [
        mig_from(information, rng=rng, **interval),
        modularity_from(information, rng=rng, **interval),
        factor_vae_score(table, values, rng=rng, **interval),
        *_if_possible(lambda: beta_vae_score(table, values, rng=rng, **interval)),
        *_if_possible(
            lambda: dci(*(small_split if fast else split), predictor="forest" if fast else "gbt", rng=rng),
        ),
        dci(*split, predictor="lasso", rng=rng),
        sap(*split),
        sap_continuous(*sample, rng=rng, **interval),
        *_if_possible(lambda: explicitness(*split)),
        interventional_robustness(*sample, rng=rng),
        *unsupervised_scores(sample[0], bins=bins, rng=rng, **interval).values(),
    ]


def _if_possible(score: Callable[[], MetricResult]) -> list[MetricResult]:
    """The score, or nothing and a warning where the data cannot give it."""
    try:
        return [score()]
    except DataError as error:
        log.warning("A score is left out: %s", error)
        return []
