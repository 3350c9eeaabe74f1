import numpy as np
import pytest
import torch

from percepts.core.errors import DataError
from percepts.metrics import (
    active_units,
    gaussian_total_correlation,
    gaussian_wasserstein_correlation,
    unsupervised_scores,
)

CORRELATED = np.array([[1.0, 0.9], [0.9, 1.0]])


def test_closed_forms_of_two_correlated_gaussians() -> None:
    assert gaussian_total_correlation(CORRELATED) == pytest.approx(0.8304, abs=5e-5)
    assert gaussian_total_correlation(CORRELATED) == pytest.approx(-0.5 * np.log(1 - 0.81), abs=1e-12)
    assert gaussian_wasserstein_correlation(CORRELATED) == pytest.approx(0.6107, abs=1e-4)
    expected = 4 - 2 * (np.sqrt(1.9) + np.sqrt(0.1))
    assert gaussian_wasserstein_correlation(CORRELATED) == pytest.approx(expected, abs=1e-12)


def test_samples_of_it(rng: np.random.Generator) -> None:
    codes = rng.multivariate_normal([5, -3], CORRELATED, size=20000)
    scores = unsupervised_scores(codes)
    assert scores["gaussian_total_correlation"].value == pytest.approx(0.8304, abs=0.02)
    assert scores["gaussian_wasserstein_correlation"].value == pytest.approx(0.6107, abs=0.02)
    assert scores["gaussian_wasserstein_correlation.normalised"].value == pytest.approx(0.6107 / 2, abs=0.01)
    # Binning loses information: a little below the total correlation, far above the bias.
    assert 0.6 < scores["mutual_information_score.dlib"].value < 0.8304


def test_scale_matters_for_the_distance_only() -> None:
    scale = np.diag([3.0, 0.1])
    scaled = scale @ CORRELATED @ scale
    assert gaussian_total_correlation(scaled) == pytest.approx(gaussian_total_correlation(CORRELATED))
    assert gaussian_wasserstein_correlation(4 * CORRELATED) == pytest.approx(4 * 0.61073, abs=1e-3)


def test_independent_constant_and_dependent_codes(rng: np.random.Generator) -> None:
    assert gaussian_total_correlation(np.diag([1.0, 4.0])) == 0
    assert gaussian_wasserstein_correlation(np.diag([1.0, 4.0])) == pytest.approx(0, abs=1e-12)
    one = rng.normal(size=(500, 1))
    constant = unsupervised_scores(np.concatenate([one, np.zeros((500, 2))], axis=1))
    assert all(result.value == pytest.approx(0, abs=1e-12) for result in constant.values())
    single = unsupervised_scores(one)
    assert all(result.value == pytest.approx(0, abs=1e-12) for result in single.values())
    for dead in (0.0, 0.1, -1e5 / 3):
        scores = unsupervised_scores(np.full((50, 3), dead))
        assert all(result.value == 0 for result in scores.values())
    twice = unsupervised_scores(np.concatenate([one, 2 * one], axis=1))
    assert twice["gaussian_total_correlation"].value == np.inf
    assert twice["gaussian_total_correlation"].to_json()["value"] is None


def test_intervals_hold_the_values(rng: np.random.Generator) -> None:
    codes = rng.multivariate_normal([0, 0], CORRELATED, size=300)
    for result in unsupervised_scores(codes, bootstrap=40, rng=rng).values():
        assert result.interval[0] < result.value < result.interval[1]


def test_active_units_by_both_criteria() -> None:
    rng = np.random.default_rng(0)
    mean = torch.from_numpy(np.stack([rng.normal(size=4000), np.zeros(4000), 0.06 * rng.normal(size=4000)], axis=1))
    variance = torch.tensor([[0.1, 1.0, 1.0]]).repeat(4000, 1)
    result = active_units(mean, variance)
    assert result.name == "active_units.kl"
    assert result.value == 1
    assert result.details["active"].tolist() == [True, False, False]
    assert result.details["active_by_deviation"].tolist() == [True, False, True]
    assert result.details["count_by_deviation"] == 2
    expected = 0.5 * (np.mean(mean.numpy()[:, 0] ** 2) + 0.1 - np.log(0.1) - 1)
    np.testing.assert_allclose(result.details["kl"], [expected, 0, 0.5 * 0.06**2], atol=2e-4)


@pytest.mark.usefixtures("unchecked_shapes")
def test_variances_are_checked() -> None:
    with pytest.raises(DataError, match=r"exp\(log_variance\)"):
        active_units(np.zeros((5, 2)), np.full((5, 2), -1.0))
    with pytest.raises(DataError, match="equal shapes"):
        active_units(np.zeros((5, 2)), np.ones((5, 3)))
