"""Support vector machines of one number beside scikit-learn's run to convergence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import LinearSVC

from percepts.metrics.scalar_svm import fit_scalar_svm


@pytest.mark.parametrize("classes", [2, 3, 12])
@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1.0), (5.0, 1.0), (0.0, 1e-4), (-3.0, 20.0)])
def test_it_is_scikit_learns(classes: int, offset: float, scale: float) -> None:
    rng = np.random.default_rng(0)
    target = rng.integers(classes, size=600)
    code = offset + scale * (target % 5 + rng.normal(size=600))
    ours = fit_scalar_svm(code, target, np.arange(classes) * 10, 0.01)
    reference = LinearSVC(C=0.01, class_weight="balanced", dual=False, tol=1e-10, max_iter=100000)
    reference.fit(code[:, None], target * 10)
    np.testing.assert_allclose(ours.weights, reference.coef_[:, 0], atol=1e-5 * np.abs(reference.coef_).max())
    np.testing.assert_allclose(ours.biases, reference.intercept_, atol=1e-5)
    assert (ours.predict(code) == reference.predict(code[:, None])).mean() > 0.995


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.sampled_from([0.01, 1.0, 100.0]))
def test_no_point_nearby_has_a_lower_objective(seed: int, classes: int, cost: float) -> None:
    rng = np.random.default_rng(seed)
    target = np.concatenate([np.arange(classes), rng.integers(classes, size=40)])
    code = np.round(rng.normal(size=len(target)) + rng.normal() * target, 1)  # with ties
    model = fit_scalar_svm(code, target, np.arange(classes), cost)
    weights = cost * len(target) / (classes * np.bincount(target))
    for score, (weight, bias) in enumerate(zip(model.weights, model.biases)):
        positive = target == (score if classes > 2 else 1)
        costs = np.where(positive, weights[score if classes > 2 else 1], cost if classes > 2 else weights[0])

        def objective(w: float, b: float, positive: np.ndarray = positive, costs: np.ndarray = costs) -> float:
            hinge = np.maximum(0, 1 - np.where(positive, 1, -1) * (w * code + b))
            return (w**2 + b**2) / 2 + (costs * hinge**2).sum()

        best = objective(weight, bias)
        for dw, db in rng.normal(size=(20, 2)) * 1e-3:
            assert objective(weight + dw, bias + db) >= best - 1e-12 * best


def test_constant_numbers_give_the_bias_alone() -> None:
    target = np.array([0, 0, 0, 1, 2])
    model = fit_scalar_svm(np.zeros(5), target, np.arange(3), 0.01)
    assert model.weights.tolist() == [0, 0, 0]
    assert np.unique(model.predict(np.zeros(4))).size == 1
