"""Every score keeps the contract of metrics."""

from __future__ import annotations

import numpy as np
from metric_contract import MetricContract

from percepts.core.results import MetricResult
from percepts.metrics import (
    beta_vae_score,
    dci,
    explicitness,
    factor_vae_score,
    interventional_robustness,
    mig,
    modularity,
    sap,
    sap_continuous,
)


def halves(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return table[: len(table) // 2], table[len(table) // 2 :]


class TestMig(MetricContract):
    def score(self, codes, factors, rng) -> MetricResult:
        return mig(codes, factors, bootstrap=20, rng=rng)


class TestMigSup(MetricContract):
    def score(self, codes, factors, rng) -> MetricResult:
        return mig(codes, factors, variant="sup")


class TestModularity(MetricContract):
    def score(self, codes, factors, rng) -> MetricResult:
        return modularity(codes, factors, bootstrap=20, rng=rng)


class TestFactorVAEScore(MetricContract):
    def score(self, codes, factors, rng) -> MetricResult:
        return factor_vae_score(codes, factors, rng=rng, num_train=200, num_eval=100, bootstrap=20)


class TestBetaVAEScore(MetricContract):
    def score(self, codes, factors, rng) -> MetricResult:
        return beta_vae_score(codes, factors, rng=rng, num_train=200, num_eval=100, bootstrap=20)


class TestSapContinuous(MetricContract):
    def score(self, codes, factors, rng) -> MetricResult:
        return sap_continuous(codes, factors, bootstrap=20, rng=rng)


class TestRobustness(MetricContract):
    def score(self, codes, factors, rng) -> MetricResult:
        return interventional_robustness(codes, factors, rng=rng)


class TestSap(MetricContract):
    def score(self, codes, factors, rng) -> MetricResult:
        train, test = halves(codes)
        return sap(train, halves(factors)[0], test, halves(factors)[1])


class TestExplicitness(MetricContract):
    def score(self, codes, factors, rng) -> MetricResult:
        train, test = halves(codes)
        return explicitness(train, halves(factors)[0], test, halves(factors)[1])


class TestDciForest(MetricContract):
    def score(self, codes, factors, rng) -> MetricResult:
        train, test = halves(codes)
        return dci(train, halves(factors)[0], test, halves(factors)[1], predictor="forest", rng=rng, trees=5)


class TestDciLasso(MetricContract):
    def score(self, codes, factors, rng) -> MetricResult:
        train, test = halves(codes)
        return dci(train, halves(factors)[0], test, halves(factors)[1], predictor="lasso", rng=rng)


class TestDciGbt(MetricContract):
    def score(self, codes, factors, rng) -> MetricResult:
        train, test = halves(codes)
        return dci(train, halves(factors)[0], test, halves(factors)[1], predictor="gbt", rng=rng, trees=3)
