import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from percepts.core.errors import DataError, PerceptsError
from percepts.metrics import rank_correlation, selection_regret, top, top_agreement
from percepts.metrics.agreement import spearman


def test_known_correlations() -> None:
    table = {"a": [1, 2, 3, 4], "up": [0.1, 0.2, 5.0, 9.0], "down": [4, 3, 2, 1], "tied": [1, 1, 2, 2]}
    result = rank_correlation(table)
    assert result.of("a", "up") == 1
    assert result.of("a", "down") == -1
    # Ranks 1.5 1.5 3.5 3.5 with 1 2 3 4: covariance 1, variances 1 and 1.25.
    assert result.of("a", "tied") == pytest.approx(1 / np.sqrt(1.25))
    np.testing.assert_allclose(result.matrix, result.matrix.T)
    np.testing.assert_allclose(np.diag(result.matrix), 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_without_ties_it_is_the_classical_formula_and_ignores_monotone_maps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.permutation(12) * 1.0, rng.permutation(12) * 1.0
    expected = 1 - 6 * ((one - other) ** 2).sum() / (12 * 143)
    assert spearman(one, other) == pytest.approx(expected)
    assert spearman(np.exp(one), other**3) == pytest.approx(expected)


def test_gaps_and_constants_have_a_rule() -> None:
    table = {"a": [1, 2, 3, np.nan, 5], "b": [1, 2, 9, 0, np.nan], "c": [7.0] * 5, "d": [np.nan] * 3 + [1, 2]}
    result = rank_correlation(table, permutations=10, bootstrap=10, rng=np.random.default_rng(0))
    assert result.of("a", "b") == 1
    assert result.counts.tolist()[0] == [4, 3, 4, 1]
    assert np.isnan(result.of("a", "c"))
    assert np.isnan(result.of("c", "c"))
    assert np.isnan(result.of("a", "d"))
    assert np.isnan(result.p_values[0, 2])
    text = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert text["matrix"][0][2] is None
    assert text["names"] == ["a", "b", "c", "d"]


def test_p_values_and_intervals(rng: np.random.Generator) -> None:
    quality = rng.normal(size=40)
    table = {"a": quality + 0.3 * rng.normal(size=40), "b": quality, "noise": rng.normal(size=40)}
    result = rank_correlation(table, permutations=500, bootstrap=300, rng=rng)
    assert result.p_values[0, 1] == pytest.approx(1 / 501)
    assert result.p_values[0, 2] > 0.02
    assert result.low[0, 1] < result.of("a", "b") < result.high[0, 1]
    assert result.low[0, 1] > 0.7
    assert result.low[0, 2] < 0 < result.high[0, 2]
    again = [rank_correlation(table, permutations=50, rng=np.random.default_rng(3)).p_values for _ in range(2)]
    np.testing.assert_array_equal(*again)


def test_p_values_of_independent_metrics_are_uniform(rng: np.random.Generator) -> None:
    values = [
        rank_correlation({"a": rng.normal(size=10), "b": rng.normal(size=10)}, permutations=60, rng=rng).p_values[0, 1]
        for _ in range(200)
    ]
    assert np.mean(np.array(values) < 0.2) == pytest.approx(0.2, abs=0.09)


def test_rankings() -> None:
    table = {"a": [0.1, 0.9, np.nan, 0.5], "b": [3.0, 2.0, 9.0, 1.0], "best": [1.0, 0.2, 0.9, 0.4]}
    assert top(table, "a", 2) == [1, 3]
    assert top(table, "a", 9) == [1, 3, 0]
    agreement = top_agreement(table, 2)
    np.testing.assert_allclose(np.diag(agreement), 1)
    assert agreement[0, 1] == 0
    assert agreement[1, 2] == 1
    assert selection_regret(table, "a", "best") == pytest.approx(0.8)  # model 2 has no score of a, model 0 is best
    assert selection_regret(table, "best", "best") == 0


def test_bad_tables() -> None:
    with pytest.raises(DataError, match="one score a model"):
        rank_correlation({"a": [1, 2], "b": [1, 2, 3]})
    with pytest.raises(DataError, match="one score a model"):
        rank_correlation({})
    with pytest.raises(DataError, match="infinite scores of 'a'"):
        rank_correlation({"a": [1, np.inf]})
    with pytest.raises(PerceptsError, match="generator"):
        rank_correlation({"a": [1, 2, 3]}, bootstrap=5)
    with pytest.raises(PerceptsError, match="level"):
        rank_correlation({"a": [1, 2, 3]}, level=95.0)
    with pytest.raises(PerceptsError, match="one of a"):
        top({"a": [1.0]}, "z", 1)
    with pytest.raises(PerceptsError, match="one of a"):
        rank_correlation({"a": [1.0]}).of("a", "z")
    with pytest.raises(PerceptsError, match="no metric 'z'"):
        selection_regret({"a": [1.0]}, "z", "a")
    with pytest.raises(DataError, match="no model has both"):
        selection_regret({"a": [1.0, np.nan], "b": [np.nan, 1.0]}, "a", "b")
