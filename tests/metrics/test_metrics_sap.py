import numpy as np
import pytest

from percepts.core.errors import DataError
from percepts.metrics import sap, sap_continuous


def test_identity_duplicates_and_zeros(identity: np.ndarray) -> None:
    result = sap_continuous(identity, identity)
    assert result.name == "sap.continuous"
    assert 0.9 <= result.value <= 1
    np.testing.assert_allclose(np.diag(result.details["scores"]), 1)
    assert sap_continuous(np.concatenate([identity, identity], axis=1), identity).value == 0
    assert sap_continuous(np.zeros(identity.shape), identity).value == 0


def test_squared_correlation_is_numpys(rng: np.random.Generator) -> None:
    codes, factors = rng.normal(size=(300, 2)), rng.normal(size=(300, 3))
    codes[:, 0] += factors[:, 1]
    expected = np.corrcoef(codes.T, factors.T)[:2, 2:] ** 2
    np.testing.assert_allclose(sap_continuous(codes, factors).details["scores"], expected, atol=1e-12)


def test_support_vector_machines_on_binary_factors(rng: np.random.Generator) -> None:
    factors = rng.integers(2, size=(600, 3))
    train, test = slice(400), slice(400, None)
    result = sap(factors[train], factors[train], factors[test], factors[test])
    assert result.name == "sap.dlib"
    np.testing.assert_allclose(np.diag(result.details["scores"]), 1)
    assert result.value == pytest.approx(0.45, abs=0.08)  # 1 less the luck of the better of two wrong codes
    twice = np.concatenate([factors, factors], axis=1)
    assert sap(twice[train], factors[train], twice[test], factors[test]).value == 0
    zeros = np.zeros(factors.shape)
    assert sap(zeros[train], factors[train], zeros[test], factors[test]).value == 0


def test_duplicates_of_ten_values_score_little(identity: np.ndarray) -> None:
    train, test = identity[:1000], identity[1000:1500]
    twice = [np.concatenate([table, table], axis=1) for table in (train, test)]
    assert sap(twice[0], train[:, :3], twice[1], test[:, :3]).value <= 0.2


def test_one_code_and_constant_factors(rng: np.random.Generator) -> None:
    factors = np.stack([rng.integers(2, size=300), np.full(300, 3)], axis=1)
    result = sap(factors[:, :1], factors, factors[:, :1], factors)
    assert result.value == 1
    assert result.details["gaps"].tolist() == [1, 0]
    assert result.details["scores"].shape == (1, 2)
    assert sap_continuous(factors[:, :1], factors).value == pytest.approx(1)


def test_the_interval_holds_the_value(rng: np.random.Generator) -> None:
    factors = rng.normal(size=(300, 2))
    result = sap_continuous(factors + rng.normal(size=factors.shape), factors, bootstrap=50, rng=rng)
    assert result.interval[0] < result.value < result.interval[1]


def test_nothing_that_varies_is_an_error() -> None:
    with pytest.raises(DataError, match="no factor takes two"):
        sap_continuous(np.arange(10.0)[:, None], np.ones((10, 1)))
