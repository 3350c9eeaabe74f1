"""Every metric of a table of codes refuses bad tables in one line that says what to do."""

from collections.abc import Callable

import numpy as np
import pytest

from percepts.core.errors import DataError, PerceptsError
from percepts.metrics import (
    beta_vae_score,
    dci,
    evaluate_codes,
    explicitness,
    factor_vae_score,
    interventional_robustness,
    jemmig,
    mig,
    modularity,
    mutual_information,
    regression_probe,
    sap,
    sap_continuous,
    udr_scores,
    unsupervised_scores,
)
from percepts.metrics.arrays import split_rows

pytestmark = pytest.mark.usefixtures("unchecked_shapes")

METRICS: dict[str, Callable] = {
    "mig": mig,
    "modularity": modularity,
    "mutual_information": mutual_information,
    "irs": interventional_robustness,
    "sap_continuous": sap_continuous,
    "factor_vae": lambda z, f: factor_vae_score(z, f, rng=np.random.default_rng(0)),
    "beta_vae": lambda z, f: beta_vae_score(z, f, rng=np.random.default_rng(0)),
    "dci": lambda z, f: dci(z, f, z, f, trees=2, rng=np.random.default_rng(0)),
    "dci_lasso": lambda z, f: dci(z, f, z, f, predictor="lasso", rng=np.random.default_rng(0)),
    "sap": lambda z, f: sap(z, f, z, f),
    "explicitness": lambda z, f: explicitness(z, f, z, f),
    "suite": lambda z, f: evaluate_codes(z, f, rng=np.random.default_rng(0)),
}
CONTINUOUS = {"sap_continuous", "dci_lasso"}


@pytest.fixture(params=METRICS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def table() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 3)), rng.integers(3, size=(40, 2))


def test_transposed_tables_are_recognised(name: str) -> None:
    codes, factors = table()
    with pytest.raises(DataError, match=r"Try: codes\.T"):
        METRICS[name](codes.T, factors)
    with pytest.raises(DataError, match=r"Try: factors\.T"):
        METRICS[name](codes, factors.T)
    with pytest.raises(DataError, match="codes have 40 rows and factors 39"):
        METRICS[name](codes, factors[:39])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_codes_that_are_no_numbers(name: str, bad: float) -> None:
    codes, factors = table()
    codes[7, 2] = bad
    with pytest.raises(DataError, match="NaN or infinite, the first in row 7, column 2"):
        METRICS[name](codes, factors)


def test_wrong_shapes(name: str) -> None:
    codes, factors = table()
    with pytest.raises(DataError, match=r"codes\[:, None\]"):
        METRICS[name](codes[:, 0], factors)
    with pytest.raises(DataError, match=r"codes\.reshape"):
        METRICS[name](codes[:, :, None], factors)
    with pytest.raises(DataError, match="two dimensions"):
        METRICS[name](codes, factors[:, 0])
    with pytest.raises(DataError, match="at least two samples and one column"):
        METRICS[name](codes[:1], factors[:1])
    with pytest.raises(DataError, match="at least two samples and one column"):
        METRICS[name](codes[:, :0], factors)
    with pytest.raises(DataError, match="at least two samples and one column"):
        METRICS[name](codes, factors[:, :0])


def test_factors_without_variation(name: str) -> None:
    codes, factors = table()
    with pytest.raises(DataError, match="no factor takes two"):
        METRICS[name](codes, np.ones_like(factors))


def test_fractions_where_indices_are_needed(name: str) -> None:
    codes, factors = table()
    if name in CONTINUOUS:
        METRICS[name](codes, factors + 0.5)
    else:
        with pytest.raises(DataError, match="no whole numbers"):
            METRICS[name](codes, factors + 0.5)
        METRICS[name](codes, factors.astype(np.float32))


SPLIT_METRICS: dict[str, Callable] = {
    "dci": lambda *tables: dci(*tables, predictor="forest", trees=2, rng=np.random.default_rng(0)),
    "dci_lasso": lambda *tables: dci(*tables, predictor="lasso", rng=np.random.default_rng(0)),
    "sap": sap,
    "explicitness": explicitness,
    "regression_probe": regression_probe,
}


@pytest.mark.parametrize("split_metric", SPLIT_METRICS.values(), ids=SPLIT_METRICS)
def test_test_rows_have_the_columns_and_rows_of_the_training_ones(split_metric: Callable) -> None:
    codes, factors = table()
    narrow, wide = codes[:, :2], np.repeat(factors, 2, axis=1)
    with pytest.raises(DataError, match="training codes have 3 columns and test codes 2"):
        split_metric(codes, factors, narrow, factors)
    with pytest.raises(DataError, match="training factors have 2 columns and test factors 4"):
        split_metric(codes, factors, codes, wide)
    with pytest.raises(DataError, match="test codes have 40 rows and test factors 39"):
        split_metric(codes, factors, codes, factors[:39])
    with pytest.raises(DataError, match="test codes holds 1 values that are NaN"):
        split_metric(codes, factors, np.where(np.arange(120).reshape(40, 3) == 5, np.nan, codes), factors)


@pytest.mark.parametrize("split_metric", [SPLIT_METRICS["dci"], SPLIT_METRICS["dci_lasso"], sap])
def test_test_rows_of_one_factor_value_still_have_a_score(split_metric: Callable) -> None:
    codes, factors = table()
    assert np.isfinite(split_metric(codes, factors, codes, np.ones_like(factors)).value)


def test_tables_without_factors() -> None:
    with pytest.raises(DataError, match="NaN or infinite"):
        unsupervised_scores(np.full((10, 2), np.nan))
    with pytest.raises(DataError, match="0 bins"):
        unsupervised_scores(np.ones((10, 2)), bins=0)


def test_splits_are_disjoint_and_need_ten_rows() -> None:
    train, test = split_rows(30, 10000, 5000, np.random.default_rng(0))
    assert sorted([*train, *test]) == list(range(30))
    assert (len(train), len(test)) == (20, 10)
    assert [len(rows) for rows in split_rows(100, 20, 10, np.random.default_rng(0))] == [20, 10]
    with pytest.raises(DataError, match="only 9 samples"):
        split_rows(9, 20, 10, np.random.default_rng(0))


def test_settings_and_types_that_no_score_can_mean() -> None:
    codes, factors = np.random.default_rng(0).normal(size=(60, 3)), np.arange(120).reshape(60, 2) % 4
    split = codes[:40], factors[:40], codes[40:], factors[40:]
    rng = np.random.default_rng(0)
    for bad in (codes.astype(complex), codes.astype(str)):
        with pytest.raises(DataError, match="real numbers"):
            mig(bad, factors)
    for settings in ({"trees": 0}, {"trees": -3}, {"predictor": "lasso", "alpha": -1.0}):
        with pytest.raises(PerceptsError, match="at least one tree and a positive alpha"):
            dci(*split, rng=rng, **settings)
    models = [(codes, None), (codes[::-1].copy(), None)]
    for settings, message in (
        ({"names": ["one"]}, "1 names for 2 models"),
        ({"level": 2.0, "bootstrap": 3}, "a level between 0 and 1"),
        ({"bootstrap": -5}, "not negative"),
        ({"pairs": 1.5}, "whole numbers"),
        ({"kl_threshold": float("nan")}, "every latent that varies"),
    ):
        with pytest.raises(PerceptsError, match=message):
            udr_scores(models, rng=rng, **settings)


def test_jemmig_of_a_dead_code_is_zero() -> None:
    factors = np.arange(120).reshape(60, 2) % 4
    assert jemmig(np.zeros((60, 3)), factors).value == 0.0
