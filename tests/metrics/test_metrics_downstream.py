import math

import numpy as np
import pytest
from metric_contract import MetricContract
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_score

from percepts.core.errors import DataError, PerceptsError
from percepts.core.results import MetricResult
from percepts.metrics import beta_vae_paper_score, beta_vae_score, downstream
from percepts.metrics.beta_vae_protocol import adagrad_softmax, better_half
from percepts.metrics.downstream import chosen_cost
from percepts.metrics.logistic import fit_logistic


class TestDownstreamGbt(MetricContract):
    def score(self, codes, factors, rng) -> MetricResult:
        half = len(codes) // 2
        tables = codes[:half], factors[:half], codes[half:], factors[half:]
        return downstream(*tables, rng=rng, classifier="gbt", sizes=(10,), efficiency=(10, 10))


def noisy(rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
    factors = rng.integers((2, 3), size=(samples, 2))
    return factors + 0.25 * rng.normal(size=factors.shape), factors


def test_more_labels_are_better_and_the_efficiency_is_their_ratio(rng: np.random.Generator) -> None:
    result = downstream(*noisy(rng, 400), *noisy(rng, 500), rng=rng, sizes=(6, 50, 400), efficiency=(50, 400))
    assert result.name == "downstream.logistic_cv"
    assert result.details["sizes"] == [6, 50, 400]
    accuracy = result.details["accuracy"]
    assert accuracy[0] < accuracy[1] <= accuracy[2] + 0.01
    assert result.value == accuracy[2] > 0.93
    assert result.details["statistical_efficiency"] == accuracy[1] / accuracy[2]
    np.testing.assert_allclose(result.details["per_factor"].mean(axis=1), accuracy)


def test_sizes_beyond_the_rows_are_left_out_and_single_classes_are_predicted(rng: np.random.Generator) -> None:
    train, test = noisy(rng, 30), noisy(rng, 60)
    result = downstream(*train, *test, rng=rng, sizes=(1, 30, 100))
    assert result.details["sizes"] == [1, 30]
    assert math.isnan(result.details["statistical_efficiency"])
    assert result.details["train_accuracy"][0] == 1
    shares = [np.bincount(column) / 60 for column in test[1].T]
    assert result.details["per_factor"][0, 1] in shares[1]  # one label: its class for every row
    with pytest.raises(DataError, match="30 training rows"):
        downstream(*train, *test, rng=rng, sizes=(100,))


@pytest.mark.usefixtures("unchecked_shapes")
def test_an_unknown_classifier_is_named(rng: np.random.Generator) -> None:
    with pytest.raises(PerceptsError, match="one of logistic_cv, gbt"):
        downstream(*noisy(rng, 30), *noisy(rng, 30), rng=rng, classifier="svm")


def test_the_chosen_cost_is_as_good_as_scikit_learns(rng: np.random.Generator) -> None:
    """Beyond some cost the accuracies of the folds are equal up to a row, so the choice itself may differ."""
    codes, factors = noisy(rng, 120)
    labels = np.where(rng.random(120) < 0.2, 0, factors[:, 1])
    costs = np.logspace(-4, 4, 10)
    accuracy = [
        cross_val_score(LogisticRegression(C=cost, max_iter=1000), codes, labels, cv=KFold(5)).mean() for cost in costs
    ]
    chosen = int(np.flatnonzero(np.isclose(costs, chosen_cost(codes, labels)))[0])
    assert accuracy[chosen] >= max(accuracy) - 0.01
    assert max(accuracy) - accuracy[0] > 0.1  # the choice matters


def test_the_better_half_of_thirty_scores(rng: np.random.Generator) -> None:
    assert better_half(np.array([0.1, 0.9, 0.5])).tolist() == [0.9, 0.5]
    factors = rng.integers(4, size=(800, 2))
    good = factors + 0.1 * rng.normal(size=factors.shape)
    bad = rng.normal(size=factors.shape)
    sizes = {"num_train": 400, "num_eval": 300}
    result = beta_vae_paper_score([good, bad], factors, rng=rng, classifiers=3, **sizes)
    assert result.name == "beta_vae.paper"
    assert result.details["scores"].shape == (2, 3)
    assert result.value > 0.97  # the three of the bad replica are dropped
    assert result.details["mean_of_all"] == pytest.approx(0.75, abs=0.05)
    assert result.details["rescaled"] == pytest.approx(2 * result.value - 1)
    with pytest.raises(DataError, match="0 replicas"):
        beta_vae_paper_score([], factors, rng=rng)


def test_adagrad_reaches_the_logistic_regression(rng: np.random.Generator) -> None:
    labels = rng.integers(3, size=500)
    points = np.eye(3)[labels] + 0.5 * rng.normal(size=(500, 3))
    weights = adagrad_softmax(points, labels, rng=rng, steps=4000)
    ours = (np.concatenate([points, np.ones((500, 1))], axis=1) @ weights).argmax(axis=1)
    assert (ours == fit_logistic(points, labels).predict(points)).mean() > 0.95


def test_rescaled_is_zero_at_chance_and_one_at_best(rng: np.random.Generator) -> None:
    factors = rng.integers(5, size=(2000, 4))
    sizes = {"num_train": 800, "num_eval": 800}
    assert beta_vae_score(factors, factors, rng=rng, **sizes).details["rescaled"] > 0.97
    noise = beta_vae_score(rng.normal(size=(2000, 4)), factors, rng=rng, **sizes)
    assert noise.details["rescaled"] == pytest.approx(0, abs=0.06)
    assert noise.value == pytest.approx(0.25, abs=0.05)
