"""Every score of one table of codes, by name."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.metrics.arrays import Codes, Factors, Mask, as_pair, split_rows
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
    bootstrap: int = 0,
    level: float = 0.95,
) -> dict[str, MetricResult]:
    """All scores of a table of codes and their factors.

    Args:
        codes: one row a sample, one column a code (posterior means); the full grid or any sample.
        factors: the index of every factor's value.
        rng: source of every draw: the same generator state gives the same scores.
        fast: seconds instead of minutes: a random forest trained on at most 2000 rows ("dci.forest") in place of
            gradient boosting on all training rows ("dci.gbt"). Every other score is the same in both modes, and has
            the sizes of Locatello et al. 2019 where the table is large enough.
        bins: equal-width histogram bins a code.
        num_train: random rows for the scores (two thirds of all rows if there are too few).
        num_test: other random rows, for the scores that train a predictor.
        active: codes that MIG looks at; by default all.
        bootstrap: resamples for the confidence intervals, of the scores that have them.
        level: confidence level of the intervals.

    Returns:
        Results by name. The interventional scores draw from the whole table, 10 000 training and 5000 test votes.
        Left out with a warning, while all others stay: the beta-VAE score where a single factor varies, explicitness
        and DCI's trees where the rows for them hold one value of every factor.

    Raises:
        DataError: arrays that do not fit together, no factor that takes two values in the training rows (see
            `as_pair`), fewer than ten rows, or fewer than one bin; nothing has been measured then.
    """
    table, values = as_pair(codes, factors)
    train, test = split_rows(len(table), num_train, num_test, rng)
    sample = table[train], values[train]
    split = *sample, table[test], values[test]
    few = train[:2000]
    small_split = table[few], values[few], table[test], values[test]
    information = Information.measure(*sample, bins)
    results = [
        mig_from(information, active=active, rng=rng, bootstrap=bootstrap, level=level),
        modularity_from(information, rng=rng, bootstrap=bootstrap, level=level),
        factor_vae_score(table, values, rng=rng, bootstrap=bootstrap, level=level),
        *_if_possible(lambda: beta_vae_score(table, values, rng=rng, bootstrap=bootstrap, level=level)),
        *_if_possible(
            lambda: dci(*(small_split if fast else split), predictor="forest" if fast else "gbt", rng=rng),
        ),
        dci(*split, predictor="lasso", rng=rng),
        sap(*split),
        sap_continuous(*sample, rng=rng, bootstrap=bootstrap, level=level),
        *_if_possible(lambda: explicitness(*split)),
        interventional_robustness(*sample, rng=rng),
        *unsupervised_scores(sample[0], bins=bins, rng=rng, bootstrap=bootstrap, level=level).values(),
    ]
    return {result.name: result for result in results}


def _if_possible(score: Callable[[], MetricResult]) -> list[MetricResult]:
    """The score, or nothing and a warning where the data cannot give it."""
    try:
        return [score()]
    except DataError as error:
        log.warning("A score is left out: %s", error)
        return []
