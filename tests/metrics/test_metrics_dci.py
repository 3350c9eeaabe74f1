import numpy as np
import pytest
import torch

from percepts.core.errors import PerceptsError
from percepts.metrics import completeness_of, dci, disentanglement_of

SPLIT = 1 - np.log(2) / np.log(10)  # 0.699


def halves(identity: np.ndarray, samples: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    return identity[:samples], identity[samples : 2 * samples]


@pytest.mark.parametrize(
    "importance",
    [
        np.diag([5.0, 2.0, 3.0]),
        np.concatenate([np.diag([5.0, 2.0, 3.0]), np.zeros((4, 3))]),
        np.concatenate([np.eye(5), np.eye(5)]),
        np.eye(5)[:, :2],
        np.eye(5)[:2],
    ],
)
def test_codes_of_one_factor_each_are_disentangled(importance: np.ndarray) -> None:
    assert disentanglement_of(importance) == pytest.approx(1.0)


def test_a_code_for_two_factors_and_a_factor_of_two_codes() -> None:
    two_factors = np.concatenate([np.eye(5), np.eye(5)], axis=1)
    assert disentanglement_of(two_factors) == pytest.approx(SPLIT)
    assert completeness_of(two_factors.T) == pytest.approx(SPLIT)
    assert completeness_of(two_factors) == pytest.approx(1.0)


def test_no_importance_is_no_disentanglement() -> None:
    assert disentanglement_of(np.zeros((10, 5))) == 0
    assert completeness_of(np.zeros((10, 5))) == 0


def test_uniform_importance_scores_nothing() -> None:
    assert disentanglement_of(np.ones((4, 3))) == pytest.approx(0, abs=1e-12)
    assert completeness_of(np.ones((4, 3))) == pytest.approx(0, abs=1e-12)


def test_signs_of_coefficients_do_not_matter() -> None:
    assert disentanglement_of(np.array([[-3.0, 0.0], [1.0, -1.0]])) == pytest.approx(3 / 5)


def test_completeness_weights_factors_by_importance_or_equally() -> None:
    importance = np.array([[9.0, 0.5], [0.0, 0.5]])
    assert completeness_of(importance) == pytest.approx(0.9)
    assert completeness_of(importance, weighted=False) == pytest.approx(0.5)


def test_a_single_code_or_factor_cannot_mix() -> None:
    assert disentanglement_of(np.array([[2.0], [0.0]])) == 1
    assert completeness_of(np.array([[2.0, 1.0]])) == 1


@pytest.mark.parametrize("predictor", ["forest", "lasso"])
def test_identity(predictor: str, identity: np.ndarray, rng: np.random.Generator) -> None:
    train, test = halves(identity)
    result = dci(train, train, test, test, predictor=predictor, rng=rng)
    assert result.name == f"dci.{predictor}"
    assert 0.9 <= result.value <= 1
    assert 0.9 <= result.details["completeness"] <= 1
    informativeness = result.details["informativeness"]
    assert informativeness > 0.95 if predictor == "forest" else informativeness == pytest.approx(0.02, abs=0.002)


def test_identity_with_gradient_boosting(identity: np.ndarray, rng: np.random.Generator) -> None:
    train, test = halves(identity[:, :4] // 3, 300)
    result = dci(train, train, test, test, predictor="gbt", rng=rng, trees=20)
    assert result.name == "dci.gbt"
    assert result.value > 0.9
    assert result.details["completeness"] > 0.9
    assert result.details["informativeness"] > 0.95
    np.testing.assert_allclose(result.details["importance"].sum(axis=0), 1)


@pytest.mark.parametrize("predictor", ["forest_regressor", "logreg_l1"])
def test_identity_with_the_other_predictors(predictor: str, identity: np.ndarray, rng: np.random.Generator) -> None:
    train, test = halves(identity[:, :4], 400)
    result = dci(train, train, test, test, predictor=predictor, rng=rng, trees=3)
    assert result.name == f"dci.{predictor}"
    assert 0.9 <= result.value <= 1
    assert 0.9 <= result.details["completeness"] <= 1
    if predictor == "forest_regressor":
        assert result.details["informativeness"] < 0.1
        assert result.parameters["depths"] == tuple(range(2, 13))
    else:
        assert result.details["informativeness"] > 0.3  # ten values on a line are hard for a linear classifier


def test_forests_measure_continuous_factors(rng: np.random.Generator) -> None:
    factors = rng.uniform(size=(600, 2))
    codes = np.exp(5 * factors) + 0.01 * rng.normal(size=factors.shape)
    train, test = slice(400), slice(400, None)
    tables = codes[train], factors[train], codes[test], factors[test]
    curved = dci(*tables, predictor="forest_regressor", rng=rng, trees=5)
    straight = dci(*tables, predictor="lasso", rng=rng)
    assert curved.value > 0.8
    assert curved.details["informativeness"] < 0.7 * straight.details["informativeness"]


@pytest.mark.parametrize("predictor", ["gbt", "forest"])
def test_threads_change_no_number(predictor: str, identity: np.ndarray) -> None:
    train, test = halves(identity[:, :3] // 3, 200)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            generator = np.random.default_rng(5)
            found.append(dci(train, train, test, test, predictor=predictor, rng=generator, trees=5).to_json())
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


def test_duplicated_codes_stay_disentangled_and_lose_completeness(
    identity: np.ndarray, rng: np.random.Generator
) -> None:
    train, test = halves(identity)
    twice = [np.concatenate([table, table], axis=1) for table in (train, test)]
    result = dci(twice[0], train, twice[1], test, predictor="forest", rng=rng)
    assert result.value >= 0.9
    # With 20 codes the entropy has base 20: an even split over two of them leaves 1 - ln 2 / ln 20 = 0.77.
    assert result.details["completeness"] == pytest.approx(SPLIT, abs=0.1)


def test_shuffled_codes_are_neither(identity: np.ndarray, rng: np.random.Generator) -> None:
    train, test = halves(identity)
    mixed = [rng.permuted(table, axis=1) for table in (train, test)]
    result = dci(mixed[0], train, mixed[1], test, predictor="forest", rng=rng)
    assert result.value <= 0.2
    assert result.details["completeness"] <= 0.2


def test_one_seed_one_score_and_constant_factors_left_out(identity: np.ndarray) -> None:
    train, test = (np.concatenate([t[:, :2], np.ones((len(t), 1), int)], axis=1) for t in halves(identity, 200))

    def score() -> dict:
        return dci(train, train, test, test, predictor="forest", rng=np.random.default_rng(2)).to_json()

    assert score() == score()
    importance = np.array(score()["details"]["importance"])
    assert importance.shape == (3, 3)
    assert (importance[:, 2] == 0).all()


def test_constant_codes_score_nothing_with_lasso(identity: np.ndarray, rng: np.random.Generator) -> None:
    train, test = halves(identity)
    zeros = np.zeros(train.shape)
    result = dci(zeros, train, zeros, test, predictor="lasso", rng=rng)
    assert result.value == 0
    assert result.details["informativeness"] == pytest.approx(1, abs=0.01)


def test_classes_absent_from_training_count_as_errors(rng: np.random.Generator) -> None:
    train, test = np.repeat([[0], [1]], 50, axis=0), np.repeat([[0], [1], [2]], 50, axis=0)
    result = dci(train, train, test, test, predictor="forest", rng=rng)
    assert result.details["informativeness"] == pytest.approx(2 / 3)


@pytest.mark.usefixtures("unchecked_shapes")
def test_an_unknown_predictor_is_named(identity: np.ndarray, rng: np.random.Generator) -> None:
    with pytest.raises(PerceptsError, match="one of gbt, forest, lasso, forest_regressor, logreg_l1"):
        dci(identity, identity, identity, identity, predictor="xgboost", rng=rng)
