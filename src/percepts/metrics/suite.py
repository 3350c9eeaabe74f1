"""Every score of one table of codes, by name."""

from __future__ import annotations

import numpy as np

from percepts.core.results import MetricResult
from percepts.metrics.arrays import Codes, Factors, Mask, as_pair, split_rows, varying
from percepts.metrics.dci import dci
from percepts.metrics.information import Information
from percepts.metrics.interventional import beta_vae_score, factor_vae_score
from percepts.metrics.mig import mig_from
from percepts.metrics.modularity import explicitness, modularity_from
from percepts.metrics.robustness import interventional_robustness
from percepts.metrics.sap import sap, sap_continuous
from percepts.metrics.unsupervised import unsupervised_scores


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
        fast: seconds instead of minutes: DCI by a random forest on 2000 rows in place of gradient boosting, SAP and
            explicitness trained on 2000 rows, 2000 and 1000 votes for the interventional scores.
        bins: equal-width histogram bins a code.
        num_train: random rows for the scores (two thirds of all rows if there are too few).
        num_test: other random rows, for the scores that train a predictor.
        active: codes that MIG looks at; by default all.
        bootstrap: resamples for the confidence intervals, of the scores that have them.
        level: confidence level of the intervals.

    Returns:
        Results by name. The interventional scores draw from the whole table.

    Raises:
        DataError: arrays that do not fit together (see `as_pair`), or fewer than ten rows.
    """
    table, values = as_pair(codes, factors)
    train, test = split_rows(len(table), num_train, num_test, rng)
    sample = table[train], values[train]
    fit = train[:2000] if fast else train
    split = table[fit], values[fit], table[test], values[test]
    votes = {"num_train": 2000, "num_eval": 1000} if fast else {}
    information = Information.measure(*sample, bins)
    results = [
        mig_from(information, active=active, rng=rng, bootstrap=bootstrap, level=level),
        modularity_from(information, rng=rng, bootstrap=bootstrap, level=level),
        factor_vae_score(table, values, rng=rng, **votes, bootstrap=bootstrap, level=level),
        dci(*split, predictor="forest" if fast else "gbt", rng=rng),
        dci(*split, predictor="lasso", rng=rng),
        sap(*split),
        sap_continuous(*sample, rng=rng, bootstrap=bootstrap, level=level),
        explicitness(*split),
        interventional_robustness(*sample, rng=rng),
        *unsupervised_scores(sample[0], bins=bins, rng=rng, bootstrap=bootstrap, level=level).values(),
    ]
    if varying(values).sum() > 1:
        results.append(beta_vae_score(table, values, rng=rng, **votes, bootstrap=bootstrap, level=level))
    return {result.name: result for result in results}
