"""Boosted trees beside scikit-learn's, which are the reference."""

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier

from percepts.core.errors import DataError
from percepts.metrics.boosting import boosted_trees


def noisy_factors(classes: int, samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes that tell a little of three factors, the first factor, and the codes of other samples."""
    rng = np.random.default_rng(seed)
    factors = rng.integers((classes, 3, 5), size=(samples + 100, 3))
    codes = factors @ rng.normal(size=(3, 5)) + rng.normal(size=(samples + 100, 5))
    return codes[:samples], factors[:samples, 0], codes[samples:]


# Many rows and few splits: no two features cut a node in the same way, so nothing is drawn.
@pytest.mark.parametrize(("classes", "trees", "depth"), [(2, 40, 1), (3, 30, 1), (6, 10, 1), (2, 2, 2), (4, 2, 2)])
def test_without_ties_importances_and_scores_are_the_references(classes: int, trees: int, depth: int) -> None:
    codes, labels, others = noisy_factors(classes, 1000)
    ours = boosted_trees(codes, labels, others, rng=np.random.default_rng(0), trees=trees, depth=depth)
    reference = GradientBoostingClassifier(n_estimators=trees, max_depth=depth, random_state=0).fit(codes, labels)
    np.testing.assert_allclose(ours.importance, reference.feature_importances_, atol=1e-9)
    assert np.array_equal(ours.predicted, reference.predict(others))
    assert np.array_equal(ours.fitted, reference.predict(codes))
    if classes == 2:
        np.testing.assert_allclose(ours.test[:, 0], reference.decision_function(others), atol=1e-9)
    else:
        probability = np.exp(ours.test) / np.exp(ours.test).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(probability, reference.predict_proba(others), atol=1e-9)


def test_with_ties_it_is_as_far_from_the_reference_as_two_seeds_of_it() -> None:
    codes, labels, others = noisy_factors(3, 400)
    ours = boosted_trees(codes, labels, others, rng=np.random.default_rng(0), trees=40)
    reference = GradientBoostingClassifier(n_estimators=40, random_state=0).fit(codes, labels)
    np.testing.assert_allclose(ours.importance, reference.feature_importances_, atol=0.01)
    assert (ours.predicted == reference.predict(others)).mean() > 0.95


def test_codes_of_few_values_split_between_values_only() -> None:
    rng = np.random.default_rng(1)
    factors = rng.integers(4, size=(500, 3)).astype(np.float64)
    labels = np.where(rng.random(500) < 0.2, rng.integers(4, size=500), factors[:, 0].astype(int))
    ours = boosted_trees(factors, labels, factors, rng=rng, trees=5, depth=2)
    reference = GradientBoostingClassifier(n_estimators=5, max_depth=2, random_state=0).fit(factors, labels)
    np.testing.assert_allclose(ours.importance, reference.feature_importances_, atol=1e-9)
    np.testing.assert_array_equal(ours.train, ours.test)  # rows on a threshold go the same way in both tables


def test_equal_columns_share_the_importance() -> None:
    codes, labels, others = noisy_factors(2, 300)
    twice, tests = np.repeat(codes[:, :1], 2, axis=1), np.repeat(others[:, :1], 2, axis=1)
    importance = boosted_trees(twice, labels, tests, rng=np.random.default_rng(0), trees=100).importance
    assert importance.sum() == pytest.approx(1)
    assert importance.min() > 0.3  # one that always took the first column would give 0


def test_constant_codes_and_single_classes() -> None:
    labels = np.arange(20) % 2
    constant = boosted_trees(np.ones((20, 2)), labels, np.ones((3, 2)), rng=np.random.default_rng(0))
    assert constant.importance.tolist() == [0, 0]
    assert np.unique(constant.test).size == 1
    with pytest.raises(DataError, match="single class"):
        boosted_trees(np.ones((20, 2)), labels * 0, np.ones((3, 2)), rng=np.random.default_rng(0))
