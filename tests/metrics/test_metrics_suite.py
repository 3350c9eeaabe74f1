import json

import numpy as np
import pytest

from percepts.core.results import MetricResult
from percepts.metrics import evaluate_codes

NAMES = {
    "mig.dlib",
    "modularity.dlib",
    "factor_vae.dlib",
    "beta_vae.dlib",
    "dci.forest",
    "dci.lasso",
    "sap.dlib",
    "sap.continuous",
    "explicitness.dlib",
    "irs.dlib",
    "gaussian_total_correlation",
    "gaussian_wasserstein_correlation",
    "gaussian_wasserstein_correlation.normalised",
    "mutual_information_score.dlib",
}


def sample(rng: np.random.Generator, samples: int = 600) -> tuple[np.ndarray, np.ndarray]:
    factors = rng.integers((3, 4, 5), size=(samples, 3))
    codes = np.concatenate([factors + 0.05 * rng.normal(size=factors.shape), rng.normal(size=(samples, 1))], axis=1)
    return codes, factors


def test_every_score_once_with_intervals_and_as_json(rng: np.random.Generator) -> None:
    results = evaluate_codes(*sample(rng), rng=rng, bootstrap=5)
    assert set(results) == NAMES
    for name, result in results.items():
        assert result.name == name
        assert np.isfinite(result.value)
        assert type(result.value) is float
        text = json.dumps(result.to_json(), allow_nan=False)
        assert MetricResult.from_json(json.loads(text)).to_json() == result.to_json()
    assert results["mig.dlib"].interval is not None
    assert results["factor_vae.dlib"].interval is not None
    good = {"mig.dlib", "factor_vae.dlib", "beta_vae.dlib", "dci.forest", "dci.lasso", "sap.continuous"}
    assert all(results[name].value > 0.85 for name in good)


def test_one_generator_state_one_set_of_scores(rng: np.random.Generator) -> None:
    codes, factors = sample(rng, 200)

    def run() -> dict:
        return {
            key: value.to_json() for key, value in evaluate_codes(codes, factors, rng=np.random.default_rng(4)).items()
        }

    assert run() == run()


def test_the_slow_suite_boosts_trees(rng: np.random.Generator) -> None:
    codes, factors = sample(rng, 60)
    results = evaluate_codes(codes, factors, rng=rng, fast=False)
    assert set(results) == NAMES - {"dci.forest"} | {"dci.gbt"}
    assert results["factor_vae.dlib"].parameters["num_train"] == 10000


@pytest.mark.parametrize("codes", [np.zeros((60, 2)), np.full((60, 2), 0.1), np.ones((60, 1))])
def test_dead_codes_have_a_score(codes: np.ndarray, rng: np.random.Generator) -> None:
    factors = rng.integers(3, size=(60, 2))
    results = evaluate_codes(codes, factors, rng=rng)
    assert all(np.isfinite(result.value) for result in results.values())
    for name in (
        "mig.dlib",
        "modularity.dlib",
        "factor_vae.dlib",
        "dci.forest",
        "dci.lasso",
        "sap.continuous",
        "irs.dlib",
    ):
        assert results[name].value == 0


def test_one_varying_factor_has_nothing_to_tell_apart(rng: np.random.Generator) -> None:
    factors = np.stack([rng.integers(3, size=90), np.zeros(90, int)], axis=1)
    results = evaluate_codes(factors.astype(float), factors, rng=rng)
    assert set(results) == NAMES - {"beta_vae.dlib"}
    assert results["mig.dlib"].value == pytest.approx(1)
