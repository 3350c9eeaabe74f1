import numpy as np
import pytest
from metric_contract import MetricContract

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.metrics import dcimig, jemmig, mig, rmig


class TestDcimig(MetricContract):
    def score(self, codes, factors, rng) -> MetricResult:
        return dcimig(codes, factors)


class TestJemmig(MetricContract):
    def score(self, codes, factors, rng) -> MetricResult:
        return jemmig(codes, factors)


class TestRmig(MetricContract):
    def score(self, codes, factors, rng) -> MetricResult:
        return rmig(codes, np.full(codes.shape, 0.01), factors)


def test_identity_duplicates_and_constants(identity: np.ndarray) -> None:
    twice = np.concatenate([identity, identity], axis=1)
    assert dcimig(identity, identity).value == pytest.approx(1, abs=0.01)
    assert dcimig(twice, identity).value == pytest.approx(1, abs=0.01)  # redundant codes are still devoted
    assert dcimig(np.zeros(identity.shape), identity).value == 0
    assert jemmig(identity, identity, bins=10).value == pytest.approx(1, abs=0.02)
    # With a copy the runner-up knows as much: H(v) of the largest value, log 10 + H(v), is lost.
    assert jemmig(twice, identity, bins=10).value == pytest.approx(0.5, abs=0.01)


def test_dcimig_asks_for_devoted_codes(identity: np.ndarray) -> None:
    mixed = identity[:, :1] * 10 + identity[:, 1:2]
    assert dcimig(mixed, identity[:, :2], bins=100).value < 0.1
    # A factor without a code of its own adds nothing: half of the entropy is captured.
    assert dcimig(identity[:, :1], identity[:, :2]).value == pytest.approx(0.5, abs=0.01)


def test_jemmig_punishes_a_code_that_says_more_and_mig_does_not(rng: np.random.Generator) -> None:
    factor = rng.integers(4, size=(20000, 1))
    more = factor + rng.uniform(-0.4, 0.4, size=factor.shape)
    assert mig(more, factor).value == pytest.approx(1, abs=0.01)
    assert jemmig(more, factor).value < 0.75 < jemmig(factor, factor).value


def test_rmig_of_sharp_and_of_dead_posteriors(identity: np.ndarray, rng: np.random.Generator) -> None:
    factors = identity[:3000, :3]
    sharp = rmig(factors, np.full(factors.shape, 1e-4), factors)
    assert sharp.value == pytest.approx(0.99, abs=0.02)
    # Means that move by 1e-3 under a variance of 1: bins of the means know everything, bins of posteriors nothing.
    dead = factors * 1e-3
    assert mig(dead, factors).value > 0.98
    assert rmig(dead, np.ones(factors.shape), factors).value < 1e-3


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_posteriors(identity: np.ndarray) -> None:
    factors = identity[:50, :2]
    with pytest.raises(DataError, match=r"exp\(log_variance\)"):
        rmig(factors, np.zeros(factors.shape), factors)
    with pytest.raises(DataError, match="1 bins"):
        rmig(factors, np.ones(factors.shape), factors, bins=1)
