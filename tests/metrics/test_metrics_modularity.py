import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from percepts.metrics import explicitness, modularity, modularity_of
from percepts.metrics.modularity import mean_area

DSPRITES = (3, 6, 40, 32, 32)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (np.diag([5.0, 2.0]), 1.0),
        (np.array([[5.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), 2 / 3),
        (np.zeros((10, 5)), 0.0),
        (np.concatenate([np.eye(5), np.eye(5)], axis=1), 1 - 1 / 9),
        (np.array([[0.4], [0.0]]), 0.5),
    ],
)
def test_known_matrices(matrix: np.ndarray, expected: float) -> None:
    assert modularity_of(matrix) == pytest.approx(expected)


def test_identity_duplicates_zero_and_shuffled_codes(rng: np.random.Generator) -> None:
    identity = rng.integers(1, 11, size=(20000, 10))
    assert modularity(identity, identity).value > 0.99
    assert modularity(np.concatenate([identity, identity], axis=1), identity).value >= 0.9
    assert modularity(np.zeros(identity.shape), identity).value == 0
    assert modularity(rng.permuted(identity, axis=1), identity).value <= 0.2


def test_noise_looks_modular(rng: np.random.Generator) -> None:
    factors = rng.integers(DSPRITES, size=(10000, 5))
    noise = rng.uniform(size=(10000, 5))
    assert modularity(noise, factors).value == pytest.approx(0.68, abs=0.03)
    both = np.concatenate([factors, noise], axis=1)
    assert modularity(both, factors).value == pytest.approx(0.84, abs=0.02)


def test_the_interval_holds_the_value(rng: np.random.Generator) -> None:
    factors = rng.integers(4, size=(1000, 3))
    mixed = factors @ np.array([[1.0, 0.3, 0], [0, 1, 0.3], [0, 0, 1]]) + rng.normal(size=factors.shape)
    result = modularity(mixed, factors, bootstrap=40, rng=rng)
    assert result.interval[0] < result.value < result.interval[1]


def test_the_area_is_scikit_learns(rng: np.random.Generator) -> None:
    labels = rng.integers(4, size=200)
    scores = np.round(rng.uniform(size=(200, 4)), 1)  # with ties
    expected = np.mean([roc_auc_score(labels == value, scores[:, value]) for value in range(4)])
    assert mean_area(scores, labels, np.arange(4)) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(mean_area(scores, np.zeros(200), np.arange(4)))


def test_explicit_codes_and_noise(rng: np.random.Generator) -> None:
    factors = rng.integers((3, 4), size=(1500, 2))
    onehot = np.concatenate([np.eye(3)[factors[:, 0]], np.eye(4)[factors[:, 1]]], axis=1)
    train, test = slice(1000), slice(1000, None)
    result = explicitness(onehot[train], factors[train], onehot[test], factors[test])
    assert result.name == "explicitness.dlib"
    assert result.value > 0.99
    noise = rng.normal(size=(1500, 5))
    chance = explicitness(noise[train], factors[train], noise[test], factors[test])
    assert chance.value == pytest.approx(0.5, abs=0.05)
    assert chance.details["train"] > chance.value


def test_constant_codes_are_at_chance(rng: np.random.Generator) -> None:
    factors = rng.integers(3, size=(300, 1))
    codes = np.full((300, 2), 0.1)
    assert explicitness(codes, factors, codes, factors).value == pytest.approx(0.5)


def test_a_class_that_the_test_lacks_is_skipped(rng: np.random.Generator) -> None:
    factors = rng.integers(4, size=(400, 2))
    codes = np.concatenate([np.eye(4)[factors[:, 0]], np.eye(4)[factors[:, 1]]], axis=1)
    kept = factors[:, 0] < 3
    result = explicitness(codes, factors, codes[kept], factors[kept])
    assert result.value > 0.99
    alone = factors[:, 0] == 1
    result = explicitness(codes, factors, codes[alone], factors[alone])
    assert np.isnan(result.details["per_factor"][0])
    assert result.value > 0.99
