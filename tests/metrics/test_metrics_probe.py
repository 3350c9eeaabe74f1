import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler

from percepts.core.errors import DataError
from percepts.metrics import linear_probe, regression_probe


def clusters(rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.integers(3, size=samples)
    centres = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    return 1e-4 * (centres[labels] + rng.normal(size=(samples, 2))), labels


def test_separable_clusters_of_any_scale(rng: np.random.Generator) -> None:
    train, test = clusters(rng, 600), clusters(rng, 400)
    result = linear_probe(torch.from_numpy(train[0]).float(), torch.from_numpy(train[1]), *test, bootstrap=50, rng=rng)
    assert result.name == "probe.logistic"
    assert 0.9 < result.value < 1
    assert result.interval[0] < result.value < result.interval[1]
    confusion = result.details["confusion"]
    assert np.trace(confusion) / confusion.sum() == pytest.approx(result.value)
    np.testing.assert_array_equal(confusion.sum(axis=1), np.bincount(test[1]))


def test_shuffled_labels_are_at_chance(rng: np.random.Generator) -> None:
    codes, labels = clusters(rng, 1500)
    labels = rng.permutation(labels)
    assert linear_probe(codes[:1000], labels[:1000], codes[1000:], labels[1000:]).value == pytest.approx(
        1 / 3, abs=0.06
    )


def test_unknown_classes_are_errors_and_names_work(rng: np.random.Generator) -> None:
    codes, labels = clusters(rng, 900)
    names = np.array(["heart", "square", "ellipse"])[labels]
    known = labels < 2
    result = linear_probe(codes[known], names[known], codes, names)
    assert result.value == pytest.approx(2 / 3, abs=0.05)
    assert result.details["classes"].tolist() == ["heart", "square"]


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_probe_input(rng: np.random.Generator) -> None:
    codes, labels = clusters(rng, 100)
    with pytest.raises(DataError, match="single class"):
        linear_probe(codes, np.zeros(100), codes, labels)
    with pytest.raises(DataError, match=r"training labels has shape \(99,\)"):
        linear_probe(codes, labels[:99], codes, labels)
    with pytest.raises(DataError, match="the same columns"):
        linear_probe(codes, labels, codes[:, :1], labels)
    with pytest.raises(DataError, match="the same columns"):
        regression_probe(codes, codes, codes, codes[:, :1])
    with pytest.raises(DataError, match="the same columns"):
        regression_probe(codes, codes, codes[:, :1], codes)


@pytest.mark.parametrize("penalty", [0.0, 1.0, 30.0])
def test_regression_is_scikit_learns(penalty: float, rng: np.random.Generator) -> None:
    codes = rng.normal(size=(300, 3)) * [1, 10, 0.01] + 7
    targets = codes @ rng.normal(size=(3, 2)) + rng.normal(size=(300, 2))
    train, test = slice(200), slice(200, None)
    scaler = StandardScaler().fit(codes[train])
    model = Ridge(alpha=penalty).fit(scaler.transform(codes[train]), targets[train])
    expected = r2_score(targets[test], model.predict(scaler.transform(codes[test])), multioutput="raw_values")
    result = regression_probe(
        codes[train], targets[train], codes[test], targets[test], penalty=penalty, bootstrap=30, rng=rng
    )
    np.testing.assert_allclose(result.details["per_target"], expected, atol=1e-9)
    np.testing.assert_allclose(result.details["coefficients"], model.coef_.T, atol=1e-9)
    assert result.interval[0] < result.value < result.interval[1]


def test_constant_codes_and_targets(rng: np.random.Generator) -> None:
    targets = np.stack([rng.normal(size=50), np.full(50, 3.0)], axis=1)
    result = regression_probe(np.full((50, 2), 0.1), targets, np.full((50, 2), 0.1), targets)
    np.testing.assert_allclose(result.details["per_target"], [0, 1], atol=1e-12)
