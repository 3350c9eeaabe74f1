import json

import numpy as np
import pytest

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.metrics import evaluate_codes, sample_codes

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


@pytest.mark.parametrize("fast", [True, False])
def test_published_names_have_published_sizes(fast: bool, rng: np.random.Generator) -> None:
    """Sizes of the votes in Locatello et al. 2019, and every row that the table has."""
    codes, factors = sample(rng, 60)
    results = evaluate_codes(codes, factors, rng=rng, fast=fast)
    assert set(results) == NAMES - {"dci.forest"} | {"dci.forest" if fast else "dci.gbt"}
    for name in ("factor_vae.dlib", "beta_vae.dlib"):
        sizes = results[name].parameters
        assert (sizes["num_train"], sizes["num_eval"]) == (10000, 5000)
    for name in ("sap.dlib", "explicitness.dlib", "dci.lasso"):
        sizes = results[name].parameters
        assert (sizes["num_train"], sizes["num_test"]) == (40, 20)


def test_only_the_forest_trains_on_fewer_rows(rng: np.random.Generator) -> None:
    results = evaluate_codes(*sample(rng, 3300), rng=rng)
    rows = {name: result.parameters.get("num_train") for name, result in results.items()}
    assert rows["dci.forest"] == 2000
    assert {rows[name] for name in ("sap.dlib", "explicitness.dlib", "dci.lasso")} == {2200}


def test_a_small_table_loses_single_scores_only(caplog: pytest.LogCaptureFixture) -> None:
    """With one odd row among twelve, the test rows hold a single value and explicitness has nothing to separate."""
    factors = np.zeros((12, 1), int)
    rng = np.random.default_rng(0)
    factors[np.random.default_rng(0).permutation(12)[0]] = 1  # the first training row
    results = evaluate_codes(factors + np.linspace(0, 0.1, 12)[:, None], factors, rng=rng)
    assert set(results) == NAMES - {"explicitness.dlib", "beta_vae.dlib"}
    assert [record.message.partition(":")[0] for record in caplog.records] == ["A score is left out"] * 2


def test_too_few_rows_are_refused_before_anything_is_measured(rng: np.random.Generator) -> None:
    codes, factors = sample(rng, 9)
    with pytest.raises(DataError, match="only 9 samples"):
        evaluate_codes(codes, factors, rng=rng)


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


@pytest.mark.usefixtures("unchecked_shapes")
def test_the_clean_mode_drops_dead_codes_from_every_score(rng: np.random.Generator) -> None:
    codes, factors = sample(rng)
    dead = np.concatenate([codes, 1e-4 * factors[:, :1]], axis=1)  # a copy of the first factor, far below the noise
    mask = np.array([True, True, True, True, False])
    clean = evaluate_codes(dead, factors, rng=np.random.default_rng(1), active=mask)
    without = evaluate_codes(codes, factors, rng=np.random.default_rng(1))
    dirty = evaluate_codes(dead, factors, rng=np.random.default_rng(1))
    assert set(clean) == {f"{name}.clean" for name in NAMES}
    assert {name: clean[f"{name}.clean"].value for name in NAMES} == {name: without[name].value for name in NAMES}
    assert dirty["mig.dlib"].value < clean["mig.dlib.clean"].value - 0.2
    parameters = clean["sap.dlib.clean"].parameters
    assert parameters["active"] == mask.tolist()
    assert parameters["dead"] == 1
    none = evaluate_codes(dead, factors, rng=rng, active=np.zeros(5, bool))
    assert none["mig.dlib.clean"].value == none["dci.forest.clean"].value == 0
    with pytest.raises(DataError, match="5 booleans"):
        evaluate_codes(dead, factors, rng=rng, active=mask[:4])


def test_samples_of_posteriors_have_names_of_their_own(rng: np.random.Generator) -> None:
    means, factors = sample(rng, 120)
    drawn = sample_codes(means, np.full(means.shape, 4.0), rng=rng)
    assert (drawn - means).std() == pytest.approx(2, rel=0.15)
    results = evaluate_codes(drawn, factors, rng=rng, sampled=True)
    assert set(results) == {f"{name}.sampled" for name in NAMES}
    assert all(name == result.name for name, result in results.items())
    assert results["sap.continuous.sampled"].value < 0.5
    with pytest.raises(DataError, match=r"exp\(log_variance\)"):
        sample_codes(means, -np.ones(means.shape), rng=rng)
