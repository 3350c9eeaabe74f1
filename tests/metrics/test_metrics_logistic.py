"""Logistic regressions beside scikit-learn's run to convergence."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from percepts.core.errors import DataError
from percepts.metrics.logistic import fit_logistic, fit_sparse_logistic


def noisy_classes(classes: int, samples: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=samples)
    mix = rng.normal(size=(2, 4)) * [1, 5, 0.3, 2]
    return np.stack([labels, labels**2 / 4], axis=1) @ mix + rng.normal(size=(samples, 4)), labels


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("cost", [0.01, 1.0])
def test_it_is_scikit_learns(classes: int, cost: float) -> None:
    codes, labels = noisy_classes(classes)
    ours = fit_logistic(codes, labels, cost=cost, tolerance=1e-9)
    reference = LogisticRegression(C=cost, tol=1e-10, max_iter=20000).fit(codes, labels)
    np.testing.assert_allclose(ours.probabilities(codes), reference.predict_proba(codes), atol=1e-5)
    np.testing.assert_array_equal(ours.predict(codes), reference.predict(codes))
    np.testing.assert_allclose(ours.coefficients.sum(axis=1), 0, atol=1e-8)


def test_scales_cost_few_passes() -> None:
    """Without the bound as a preconditioner, scales that differ by 1e6 take hundreds."""
    codes, labels = noisy_classes(4)
    assert fit_logistic(codes * [1e-3, 1, 1e3, 1], labels, cost=1e6).iterations < 60


def test_the_sparse_one_is_scikit_learns() -> None:
    codes, labels = noisy_classes(5, 200)  # with an even number, coefficients may shift freely between two medians
    codes = (codes - codes.mean(axis=0)) / codes.std(axis=0)
    ours = fit_sparse_logistic(codes, labels, alpha=0.05, tolerance=1e-9, max_iterations=20000)
    reference = LogisticRegression(l1_ratio=1, C=1 / (0.05 * 200), solver="saga", tol=1e-8, max_iter=20000)
    reference.fit(codes, labels)
    np.testing.assert_allclose(ours.coefficients, reference.coef_.T, atol=1e-4)
    assert (ours.coefficients == 0).any()
    assert not fit_sparse_logistic(codes, labels, alpha=10.0).coefficients.any()


def test_text_labels_constant_codes_and_single_classes() -> None:
    labels = np.array(["a", "b", "b", "b"])
    model = fit_logistic(np.zeros((4, 2)), labels)
    assert model.predict(np.zeros((2, 2))).tolist() == ["b", "b"]
    np.testing.assert_allclose(model.probabilities(np.zeros((1, 2))), [[0.25, 0.75]], atol=1e-3)
    for fit in (fit_logistic, lambda codes, labels: fit_sparse_logistic(codes, labels, alpha=0.1)):
        with pytest.raises(DataError, match="single class"):
            fit(np.zeros((4, 2)), np.zeros(4))
