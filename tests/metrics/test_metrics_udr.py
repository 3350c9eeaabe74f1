"""UDR: published and analytic values, invariances, and what goes wrong with bad input."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from percepts.core.errors import DataError, PerceptsError
from percepts.metrics.udr import draw_pairs, median_scores, udr_scores
from percepts.metrics.udr_result import UDRResult
from percepts.metrics.udr_similarity import average_ranks, lasso_block, lasso_block_sklearn, relative_strength


def independent(rng: np.random.Generator, samples: int = 1000, latents: int = 5) -> np.ndarray:
    """Exactly uncorrelated columns of mean 0 and deviation 1."""
    table = rng.normal(size=(samples, latents))
    return np.linalg.qr(table - table.mean(axis=0))[0] * np.sqrt(samples)


def rotation(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def alike(rng: np.random.Generator, count: int = 5, noise: float = 0.3) -> list[tuple[np.ndarray, np.ndarray]]:
    """Models that see the same three factors, each in its own order and with its own noise."""
    factors = rng.normal(size=(400, 3))
    return [(factors[:, rng.permutation(3)] + noise * rng.normal(size=(400, 3)), np.ones(3)) for _ in range(count)]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (np.eye(3), 1.0),
        (np.eye(4)[[2, 0, 3, 1]] * 0.5, 0.5),
        (np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]]), 2 / 3),
        (np.ones((3, 3)), 1 / 3),
        (np.zeros((3, 3)), 0.0),
    ],
)
@pytest.mark.parametrize("normalisation", ["code", "pooled"])
def test_relative_strength_of_known_matrices(matrix: np.ndarray, expected: float, normalisation: Any) -> None:
    assert relative_strength(matrix, normalisation=normalisation) == pytest.approx(expected, abs=1e-12)


def test_relative_strength_of_models_with_different_numbers_of_latents_by_hand() -> None:
    matrix = np.array([[0.8, 0.0, 0.2], [0.0, 0.6, 0.6]])
    rows, columns = [0.64 / 1.0, 0.36 / 1.2], [0.8, 0.6, 0.36 / 0.8]
    assert relative_strength(matrix) == pytest.approx((np.mean(rows) + np.mean(columns)) / 2)
    assert relative_strength(matrix, normalisation="pooled") == pytest.approx(np.mean(rows + columns))


def test_relative_strength_leaves_masked_latents_out() -> None:
    matrix = np.ones((3, 4))
    rows, columns = np.array([True, False, False]), np.array([False, True, False, False])
    assert relative_strength(matrix, rows, columns) == 1.0
    assert relative_strength(matrix, np.zeros(3, bool), columns) == 0.0


def test_models_equal_up_to_order_and_sign_score_one_minus_alpha(rng: np.random.Generator) -> None:
    codes = independent(rng)
    other = codes[:, [3, 1, 0, 4, 2]] * np.array([1, -1, -1, 1, 1]) * 7 + 3
    for alpha in (0.1, 0.3):
        result = udr_scores([(codes, np.ones(5)), (other, np.ones(5))], alpha=alpha)
        assert result.scores == pytest.approx([1 - alpha] * 2, abs=1e-6)
    assert udr_scores([(codes, np.ones(5)), (other, np.ones(5))], alpha=0.1).scores == pytest.approx(0.9, abs=1e-6)


def test_a_rotation_by_45_degrees_scores_low(rng: np.random.Generator) -> None:
    codes = independent(rng, latents=2)
    models = [(codes, np.ones(2)), (codes @ rotation(45), np.ones(2))]
    lasso = udr_scores(models, keep_similarity=True)
    assert lasso.similarity[0, 1] == pytest.approx(np.full((2, 2), np.sqrt(0.5) - 0.1), abs=1e-6)
    assert lasso.scores == pytest.approx([0.3036] * 2, abs=1e-3)
    assert udr_scores(models, kind="spearman").scores == pytest.approx([0.35] * 2, abs=0.03)


@pytest.mark.parametrize(("samples", "latents"), [(1000, 2), (1000, 5), (1000, 10), (10000, 10)])
def test_spearman_of_identical_models_has_the_bias_of_chance_correlations(samples: int, latents: int) -> None:
    """Independent Gaussian latents: E|ρ| = √(2 / πN) in each of the D - 1 other entries of a row."""
    scores = []
    for seed in range(4):
        codes = np.random.default_rng(seed).normal(size=(samples, latents))
        scores.append(udr_scores([(codes, np.ones(latents))] * 2, kind="spearman").scores[0])
    expected = 1 / (1 + (latents - 1) * np.sqrt(2 / (np.pi * samples)))
    assert np.mean(scores) == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize("kind", ["lasso", "spearman"])
def test_the_kl_filter_is_essential(kind: Any, rng: np.random.Generator) -> None:
    factor = rng.normal(size=1000)
    kl = np.array([2.0, *[0.001] * 9])
    models = [(np.column_stack([factor, rng.normal(size=(1000, 9))]), kl) for _ in range(3)]
    filtered = udr_scores(models, kind=kind)
    assert (filtered.scores >= 0.8).all()
    assert (filtered.scores <= 1).all()
    assert filtered.active_counts.tolist() == [1, 1, 1]
    assert (udr_scores(models, kind=kind, kl_threshold=None).scores <= 0.2).all()


@pytest.mark.parametrize("kind", ["lasso", "spearman"])
def test_all_dead_latents_score_zero(kind: Any, rng: np.random.Generator) -> None:
    models = [*alike(rng, 3), (rng.normal(size=(400, 3)), np.zeros(3))]
    result = udr_scores(models, kind=kind)
    assert result.scores[3] == 0.0
    assert (result.pairwise[3, :3] == 0).all()
    assert (result.scores[:3] > 0.3).all()
    assert any("model 3" in line and "informative" in line for line in result.warnings)
    assert (udr_scores([(np.zeros((50, 3)), np.zeros(3))] * 2, kind=kind).scores == 0).all()


def test_shuffled_rows_give_nothing(rng: np.random.Generator) -> None:
    factors = rng.normal(size=(1000, 5))
    assert udr_scores([(factors, np.ones(5))] * 5).scores == pytest.approx(0.9, abs=0.03)
    shuffled = [(rng.permutation(factors), np.ones(5)) for _ in range(5)]
    assert (udr_scores(shuffled).scores <= 0.05).all()


@pytest.mark.parametrize("kind", ["lasso", "spearman"])
def test_order_sign_scale_and_monotone_maps_do_not_matter(kind: Any, rng: np.random.Generator) -> None:
    models = alike(rng)
    order, scale = rng.permutation(3), np.array([-3.0, 0.01, 200.0])
    moved = [(codes[:, order] * scale + 5, kl[order]) for codes, kl in models]
    before, after = udr_scores(models, kind=kind), udr_scores(moved, kind=kind)
    assert after.scores == pytest.approx(before.scores, abs=1e-6)
    if kind == "spearman":
        cubed = [(codes**3, kl) for codes, kl in models]
        assert udr_scores(cubed, kind=kind).scores == pytest.approx(before.scores, abs=1e-12)


def test_a_near_dead_latent_is_masked_after_scaling(rng: np.random.Generator) -> None:
    """Its tiny variance becomes unit variance; only the mask keeps it out, and no other latent feels it."""
    models = alike(rng)
    widened = [
        (np.column_stack([codes, 1e-6 * rng.normal(size=len(codes))]), np.append(kl, 0.005)) for codes, kl in models
    ]
    assert udr_scores(widened).scores == pytest.approx(udr_scores(models).scores, abs=1e-9)


def test_the_lasso_agrees_with_scikit_learn(rng: np.random.Generator) -> None:
    mixed = rng.normal(size=(3, 300, 6)) @ rng.normal(size=(6, 6))
    tables = (mixed - mixed.mean(1, keepdims=True)) / mixed.std(1, keepdims=True)
    tables[1, :, 2] = 0.0
    own, peer = lasso_block(tables, tables, 0.1), lasso_block_sklearn(tables, tables, 0.1)
    assert np.abs(own - peer).max() < 1e-4
    assert own.shape == (3, 3, 6, 6)
    assert (own[1, :, 2] == 0).all()
    assert (own[:, 1, :, 2] == 0).all()
    models = [(table, np.ones(6)) for table in tables]
    scores = udr_scores(models).scores
    assert scores == pytest.approx(udr_scores(models, backend="sklearn").scores, abs=1e-3)


def test_the_lasso_is_at_its_optimum_where_latents_nearly_coincide(rng: np.random.Generator) -> None:
    """Optimality: |slope| ≤ alpha everywhere, = alpha·sign where the coefficient is not zero."""
    base = rng.normal(size=(1, 500, 2))
    source = np.concatenate([base, base + 0.05 * rng.normal(size=base.shape)], axis=2)
    source = (source - source.mean(1, keepdims=True)) / source.std(1, keepdims=True)
    target = source[:, :, :1]
    weights = lasso_block(source, target, 0.1)[0, 0]
    # The first latent is the target itself, so every coefficient is positive or zero.
    slope = source[0].T @ (target[0] - source[0] @ weights) / 500
    assert (np.abs(slope) <= 0.1 + 1e-6).all()
    assert slope[weights > 0] == pytest.approx(0.1, abs=1e-6)


def test_ranks_share_ties() -> None:
    table = np.array([[3.0, 1.0], [1.0, 1.0], [3.0, 1.0], [2.0, 0.0]])
    assert average_ranks(table).tolist() == [[3.5, 3.0], [1.0, 3.0], [3.5, 3.0], [2.0, 1.0]]


def test_spearman_matches_scipy(rng: np.random.Generator) -> None:
    stats = pytest.importorskip("scipy.stats")
    tables = [np.round(rng.normal(size=(200, 3)), 1) for _ in range(2)]
    result = udr_scores([(table, np.ones(3)) for table in tables], kind="spearman", keep_similarity=True)
    expected = [[abs(stats.spearmanr(a, b).statistic) for b in tables[1].T] for a in tables[0].T]
    assert result.similarity[0, 1] == pytest.approx(np.array(expected), abs=1e-12)


def test_orientation(rng: np.random.Generator) -> None:
    """One model mixes what the other keeps apart, so that the Lasso's two directions differ."""
    codes = independent(rng, latents=3)
    models = [(codes, np.ones(3)), (codes @ np.array([[1, 1, 0], [0, 1, 0.5], [0, 0, 1.0]]), np.ones(3))]
    ours, other = (udr_scores(models, orientation=way) for way in ("from_others", "to_others"))
    assert np.array_equal(ours.pairwise, other.pairwise, equal_nan=True)
    assert ours.pairwise[0, 1] != pytest.approx(ours.pairwise[1, 0], abs=1e-3)
    assert ours.scores.tolist() == [ours.pairwise[1, 0], ours.pairwise[0, 1]] == other.scores[::-1].tolist()


def test_groups_are_compared_within_themselves(rng: np.random.Generator) -> None:
    one, two = alike(rng, 4), alike(rng, 3, noise=1.0)
    result = udr_scores([*one, *two], groups=["a"] * 4 + ["b"] * 3)
    assert result.scores[:4] == pytest.approx(udr_scores(one).scores)
    assert result.scores[4:] == pytest.approx(udr_scores(two).scores)
    assert [group.models for group in result.groups] == [(0, 1, 2, 3), (4, 5, 6)]
    assert result.groups[0].score == pytest.approx(np.median(result.scores[:4]))
    assert result.groups[0].score > result.groups[1].score
    assert np.isnan(result.pairwise[0, 5])
    assert not result.compared[:4, 4:].any()
    assert np.array_equal(result.compared, result.compared.T)
    assert not result.compared.diagonal().any()


def test_a_group_of_one_has_no_score(rng: np.random.Generator) -> None:
    result = udr_scores(alike(rng, 3), groups=["a", "b", "a"], names=["x", "y", "z"])
    assert np.isnan(result.scores[1])
    assert np.isfinite(result.scores[[0, 2]]).all()
    assert np.isnan(result.groups[1].score)
    assert any("y" in line and "alone" in line for line in result.warnings)


def test_identical_models_are_named(rng: np.random.Generator) -> None:
    models = alike(rng, 3)
    assert udr_scores(models).warnings == ()
    result = udr_scores([*models, models[1]])
    assert len(result.warnings) == 1
    assert "model 1 and model 3" in result.warnings[0]
    assert np.isfinite(result.scores).all()


def test_models_may_differ_in_width_and_lack_kl(rng: np.random.Generator) -> None:
    codes = independent(rng, latents=4)
    wide = np.column_stack([codes, np.zeros(1000)])
    result = udr_scores([(codes, None), (torch.as_tensor(wide), None)], keep_similarity=True)
    assert result.scores == pytest.approx([0.9, 0.9], abs=1e-6)
    assert result.active_counts.tolist() == [4, 4]
    assert np.isnan(result.kl).all()
    assert result.similarity[0, 1].shape == (4, 5)
    narrow = udr_scores([(codes * [1, 1, 1, 0.001], None)] * 2, deviation_threshold=0.05)
    assert narrow.active_counts.tolist() == [3, 3]


def test_the_median_is_over_the_drawn_pairs(rng: np.random.Generator) -> None:
    models = alike(rng, 6)
    result = udr_scores(models, pairs=2, rng=np.random.default_rng(1))
    assert (result.compared.sum(axis=0) == 2).all()
    for model in range(6):
        assert result.scores[model] == np.median(result.pairwise[result.compared[:, model], model])
    again = udr_scores(models, pairs=2, rng=np.random.default_rng(1))
    assert np.array_equal(result.compared, again.compared)
    assert np.array_equal(udr_scores(models, pairs=99, rng=rng).scores, udr_scores(models).scores)
    assert (udr_scores(models, pairs=1, rng=rng).scores > 0).all()


def test_pairs_are_drawn_uniformly(rng: np.random.Generator) -> None:
    counts = sum(draw_pairs([range(4)], 4, 1, rng).astype(int) for _ in range(900))
    assert (counts.diagonal() == 0).all()
    assert (np.abs(counts[~np.eye(4, dtype=bool)] - 300) < 75).all()


def test_median_of_an_even_number_is_the_middle() -> None:
    towards = np.array([[np.nan, 0.2], [0.4, np.nan], [0.6, 0.3]])[:, [0, 1, 1]]
    compared = np.array([[False, True, False], [True, False, False], [True, True, False]])
    assert median_scores(towards, compared).tolist()[:2] == pytest.approx([0.5, 0.25])
    assert np.isnan(median_scores(towards, compared)[2])


def test_intervals_contain_the_scores_and_shrink_with_more_models(rng: np.random.Generator) -> None:
    def spread(count: int) -> float:
        result = udr_scores(alike(np.random.default_rng(3), count, 0.6), bootstrap=200, rng=np.random.default_rng(0))
        assert result.intervals is not None
        assert result.groups[0].interval is not None
        assert (result.intervals[:, 0] <= result.scores).all()
        assert (result.scores <= result.intervals[:, 1]).all()
        return float((result.intervals[:, 1] - result.intervals[:, 0]).mean())

    assert 0 < spread(20) < spread(5)


def test_results_survive_json(rng: np.random.Generator) -> None:
    result = udr_scores(
        alike(rng, 4), groups=["a", "a", "b", "a"], keep_similarity=True, bootstrap=20, rng=np.random.default_rng(0)
    )
    again = UDRResult.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False)))
    for name in ("scores", "pairwise", "compared", "active", "kl", "intervals"):
        assert np.array_equal(getattr(again, name), getattr(result, name), equal_nan=name not in ("compared", "active"))
    assert again.similarity.keys() == result.similarity.keys()
    assert len(again.similarity) == 6
    assert np.array_equal(again.similarity[0, 3], result.similarity[0, 3])
    assert again.groups[0] == result.groups[0]
    assert np.isnan(again.groups[1].score)
    assert (again.warnings, again.parameters) == (result.warnings, result.parameters)


def broken(rng: np.random.Generator, change: str) -> dict[str, Any]:
    models: list[Any] = alike(rng, 3)
    codes, kl = models[1]
    if change == "one":
        return {"models": models[:1]}
    if change == "lonely":
        return {"models": models, "groups": [0, 1, 2]}
    if change == "labels":
        return {"models": models, "groups": [0, 1]}
    if change == "nan":
        models[1] = (np.where(np.arange(len(codes))[:, None] == 7, np.nan, codes), kl)
    elif change == "rows":
        models[1] = (codes[:-1], kl)
    elif change == "kl length":
        models[1] = (codes, kl[:2])
    elif change == "kl nan":
        models[1] = (codes, kl * np.nan)
    elif change == "kl negative":
        models[1] = (codes, -kl)
    return {"models": models}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("one", "at least two"),
        ("lonely", "more seeds"),
        ("labels", "2 group labels for 3 models"),
        ("nan", "codes of model 1 holds 3 values that are NaN"),
        ("rows", "the same images"),
        ("kl length", "KL of model 1"),
        ("kl nan", "KL of model 1"),
        ("kl negative", "KL of model 1"),
    ],
)
def test_bad_input_is_refused_in_one_line(change: str, message: str, rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match=message) as caught:
        udr_scores(**broken(rng, change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"pairs": 0}, {"alpha": 0.0}, {"pairs": 2}, {"bootstrap": 10}])
def test_impossible_settings_are_refused(settings: dict[str, Any], rng: np.random.Generator) -> None:
    with pytest.raises(PerceptsError):
        udr_scores(alike(rng, 3), **settings)


def test_unknown_kinds_are_refused(rng: np.random.Generator, unchecked_shapes: None) -> None:
    for settings in ({"kind": "pearson"}, {"backend": "mine"}, {"normalisation": "other"}, {"orientation": "up"}):
        with pytest.raises(PerceptsError):
            udr_scores(alike(rng, 3), **settings)  # type: ignore[arg-type]
