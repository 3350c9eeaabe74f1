import numpy as np
import pytest

from percepts.core.errors import DataError
from percepts.metrics import interventional_robustness


def test_identity_zero_and_rotated_codes(identity: np.ndarray, rng: np.random.Generator) -> None:
    result = interventional_robustness(identity, identity)
    assert result.value == pytest.approx(1)
    assert result.details["parents"].tolist() == list(range(10))
    zero = interventional_robustness(np.zeros(identity.shape), identity)
    assert zero.value == 0
    assert zero.details["parents"].tolist() == [-1] * 10
    factors = rng.integers(32, size=(10000, 2))
    rotated = (factors - 15.5) @ np.array([[1, -1], [1, 1]]) / np.sqrt(2)
    assert interventional_robustness(rotated, factors).value == pytest.approx(0.49, abs=0.02)


@pytest.mark.parametrize(("quantile", "expected"), [(0.99, 0.33), (1.0, 0.12)])
def test_noise(quantile: float, expected: float, identity: np.ndarray, rng: np.random.Generator) -> None:
    noise = rng.normal(size=identity.shape)
    value = interventional_robustness(noise, identity, quantile=quantile).value
    assert value == pytest.approx(expected, abs=0.03)


def test_codes_count_by_their_largest_deviation(identity: np.ndarray, rng: np.random.Generator) -> None:
    codes = np.concatenate([identity * 100.0, rng.normal(size=(10000, 1)), np.ones((10000, 1))], axis=1)
    result = interventional_robustness(codes, identity)
    assert 0.99 < result.value < 1
    assert result.details["per_code"][-1] == 0


def test_constant_factors_are_no_parents(identity: np.ndarray) -> None:
    factors = np.concatenate([np.zeros((10000, 1), int), identity[:, :2]], axis=1)
    result = interventional_robustness(identity[:, :2], factors)
    assert result.details["parents"].tolist() == [1, 2]
    assert result.details["scores"][:, 0].tolist() == [0, 0]


def test_interval_and_quantile(identity: np.ndarray, rng: np.random.Generator) -> None:
    noisy = identity[:500, :2] + rng.normal(size=(500, 2))
    result = interventional_robustness(noisy, identity[:500, :2], bootstrap=20, rng=rng)
    assert result.interval[0] < result.value < result.interval[1]
    with pytest.raises(DataError, match="quantile = 99"):
        interventional_robustness(identity, identity, quantile=99.0)


def test_plot_data_are_the_groups_own_numbers(rng: np.random.Generator) -> None:
    factors = rng.integers(3, size=(200, 2))
    codes = factors + rng.normal(size=factors.shape)
    details = interventional_robustness(codes, factors, quantile=1.0).details
    assert [data["values"].tolist() for data in details["interventions"]] == [[0, 1, 2]] * 2
    group = codes[factors[:, 1] == 2]
    data = details["interventions"][1]
    np.testing.assert_allclose(data["mean"][:, 2], group.mean(axis=0))
    np.testing.assert_allclose(data["deviation"][:, 2], np.abs(group - group.mean(axis=0)).max(axis=0))
    np.testing.assert_allclose(details["largest_deviation"], np.abs(codes - codes.mean(axis=0)).max(axis=0))
    inside = data["deviation"].mean(axis=1)
    np.testing.assert_allclose(details["scores"][:, 1], 1 - inside / details["largest_deviation"])
