"""UDR: how much models that were trained alike agree on their latents. A score of representations without labels.

Duan et al. 2020, "Unsupervised Model Selection for Variational Disentangled Representation Learning" (ICLR), in the
form of the authors' own code: for models i and j trained with other seeds, R_ab says how similar latent a of j is to
latent b of i, uninformative latents (mean KL ≤ 0.01 nats) dropped. With r_a, r_b the largest entries of rows and
columns,

    UDR_ij = ½ [ mean_b r_b² / Σ_a R_ab + mean_a r_a² / Σ_b R_ab ],    UDR_i = median over j of UDR_ij .

A permutation matrix gives 1. What the score cannot see is coverage: a model with a single informative latent scores
about 0.9, so read `active_counts` beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from hashlib import sha256
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Num
from torch import Tensor

from percepts.core.errors import DataError, PerceptsError
from percepts.metrics.arrays import as_array, as_table, standardised
from percepts.metrics.udr_result import UDRGroup, UDRResult
from percepts.metrics.udr_similarity import (
    Normalisation,
    average_ranks,
    correlation_block,
    lasso_block,
    lasso_block_sklearn,
    relative_strength,
)

Kind: TypeAlias = Literal["lasso", "spearman"]
Orientation: TypeAlias = Literal["from_others", "to_others"]
ModelCodes: TypeAlias = Num[np.ndarray, "_ _"] | Num[Tensor, "_ _"]
ModelKL: TypeAlias = Num[np.ndarray, "_"] | Num[Tensor, "_"]
Model: TypeAlias = tuple[ModelCodes, ModelKL | None]
BLOCK = 4_000_000
"""Similarities that are held at once (32 MB)."""


def udr_scores(
    models: Sequence[Model],
    *,
    kind: Kind = "lasso",
    alpha: float = 0.1,
    kl_threshold: float | None = 0.01,
    deviation_threshold: float = 0.0,
    normalisation: Normalisation = "code",
    groups: Sequence[Hashable] | None = None,
    pairs: int | None = None,
    orientation: Orientation = "from_others",
    backend: Literal["own", "sklearn"] = "own",
    keep_similarity: bool = False,
    names: Sequence[str] | None = None,
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> UDRResult:
    """UDR of models that encoded the same images, row for row.

    Args:
        models: for every model its posterior means [N, D] and the mean KL of every latent in nats [D] (None for
            encoders without a posterior, where every latent counts that varies). D may differ from model to model.
        kind: "lasso" (R = |coefficients| of a joint Lasso) or "spearman" (R = |rank correlation|; biased downwards by
            chance correlations of about 0.8/√N, so compare it at one N and D only).
        alpha: the Lasso's penalty on standardised codes; correlations below it vanish. Two equal models with
            independent latents score 1 - alpha.
        kl_threshold: a latent is informative where its KL exceeds this; None counts every latent that varies.
        deviation_threshold: for models without KL: a latent counts where its standard deviation exceeds this.
        normalisation: see `relative_strength`.
        groups: the hyperparameters of every model; a model is compared with those of its own group. None compares all
            with all (the A2A variant).
        pairs: how many other models enter each score, drawn without replacement; None, or more than there are: all.
        orientation: "from_others" fits the Lasso from the other model to the scored one, as the authors' code does
            (the paper's own orientation is not known for certain); "to_others" the other way. No matter for Spearman.
        backend: "sklearn" fits pair by pair, for checks.
        keep_similarity: keep R of every compared pair.
        names: of the models, for warnings.
        bootstrap: resamples for the intervals: of a model's score over the models it was compared with, of a group's
            over its models.
        level: confidence level of the intervals.
        rng: source of pairs and resamples.

    Raises:
        DataError: fewer than two models, no two in one group, tables that do not fit together or are not finite.
        PerceptsError: a setting out of range, or draws without a generator.
    """
    _check_numbers(len(models), names, pairs, bootstrap, level, kl_threshold)
    codes, kl, active, widths = _prepare(models, kl_threshold, deviation_threshold)
    names = [f"model {number}" for number in range(len(models))] if names is None else names
    members = _members(groups, len(models))
    if (pairs is not None and pairs < 1) or not alpha > 0:
        raise PerceptsError(f"pairs = {pairs} and alpha = {alpha}", "at least one pair and a positive alpha")
    if orientation not in ("from_others", "to_others"):
        raise PerceptsError(f"orientation = {orientation!r}", "'from_others' or 'to_others'")
    if rng is None and (pairs is not None or bootstrap):
        raise PerceptsError("random pairs or resamples without a generator", fix="rng=np.random.default_rng(0)")
    block = _block(kind, backend, alpha)
    units = _in_units(codes, active, kind)
    pairwise = np.full((len(models), len(models)), np.nan)
    similarity: dict[tuple[int, int], np.ndarray] = {}
    for group in members.values():
        _compare(units, active, group, block, normalisation, pairwise, similarity if keep_similarity else None)
    similarity = {(j, i): matrix[: widths[j], : widths[i]] for (j, i), matrix in similarity.items()}
    towards = pairwise if orientation == "from_others" else pairwise.T
    compared = draw_pairs(list(members.values()), len(models), pairs, rng)
    scores = median_scores(towards, compared)
    intervals = _intervals(towards, compared, bootstrap, level, rng) if bootstrap else None
    return UDRResult(
        kind=kind,
        scores=scores,
        intervals=intervals,
        pairwise=pairwise,
        compared=compared if orientation == "from_others" else compared.T,
        active=active,
        kl=kl,
        groups=tuple(_summary(str(name), group, scores, bootstrap, level, rng) for name, group in members.items()),
        similarity=similarity,
        warnings=tuple(_warnings(models, members, active, names)),
        parameters={
            "alpha": alpha,
            "kl_threshold": kl_threshold,
            "deviation_threshold": deviation_threshold,
            "normalisation": normalisation,
            "pairs": pairs,
            "orientation": orientation,
            "level": level,
            "samples": codes.shape[1],
        },
    )


def _check_numbers(
    models: int,
    names: Sequence[str] | None,
    pairs: int | None,
    bootstrap: int,
    level: float,
    kl_threshold: float | None,
) -> None:
    if names is not None and len(names) != models:
        raise PerceptsError(f"{len(names)} names for {models} models", "one for every model")
    if not isinstance(pairs, int | None) or bootstrap < 0 or not 0 < level < 1:
        got = f"pairs = {pairs}, bootstrap = {bootstrap} and level = {level}"
        raise PerceptsError(got, "whole numbers that are not negative, and a level between 0 and 1")
    if kl_threshold is not None and not np.isfinite(kl_threshold):
        raise PerceptsError(f"kl_threshold = {kl_threshold}", "nats, or None to count every latent that varies")


def median_scores(
    towards: Float[np.ndarray, "models models"], compared: Bool[np.ndarray, "models models"]
) -> Float[np.ndarray, " models"]:
    """The median of every column of `towards` over the rows that are `compared`; NaN for a column without any."""
    columns = [towards[rows, model] for model, rows in enumerate(compared.T)]
    return np.array([np.median(column) if column.size else np.nan for column in columns])


def draw_pairs(
    members: Sequence[Sequence[int]], models: int, pairs: int | None, rng: np.random.Generator | None
) -> Bool[np.ndarray, "models models"]:
    """For every model (column) which others of its group (rows) it is compared with: `pairs` random ones, or all."""
    compared = np.zeros((models, models), bool)
    for group in members:
        for model in group:
            others = np.array([other for other in group if other != model], int)
            if pairs is not None and rng is not None and pairs < len(others):
                others = rng.choice(others, pairs, replace=False)
            compared[others, model] = True
    return compared


def _prepare(
    models: Sequence[Model], kl_threshold: float | None, deviation_threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
    """Codes [M, N, D], KL [M, D] and the informative latents [M, D], padded to the widest model, and the widths."""
    if len(models) < 2:
        raise DataError(
            f"UDR of {len(models)} model(s): it is the agreement of models that were trained with different seeds",
            "at least two, better five",
            "train the same settings with more seeds",
        )
    tables = [as_table(codes, f"codes of model {number}") for number, (codes, _) in enumerate(models)]
    rows = {len(table) for table in tables}
    if len(rows) > 1:
        raise DataError(f"codes with {sorted(rows)} rows", "the same images, in the same order, for every model")
    widths = [table.shape[1] for table in tables]
    codes = np.zeros((len(models), rows.pop(), max(widths)))
    kl, active = np.full((len(models), max(widths)), np.nan), np.zeros((len(models), max(widths)), bool)
    for number, (table, (_, divergence)) in enumerate(zip(tables, models, strict=True)):
        width = widths[number]
        codes[number, :, :width] = table
        if divergence is not None:
            kl[number, :width] = _as_kl(divergence, width, number)
        if divergence is None or kl_threshold is None:
            varies = table.min(axis=0) < table.max(axis=0)
            active[number, :width] = varies & (table.std(axis=0) > (deviation_threshold if divergence is None else 0))
        else:
            active[number, :width] = kl[number, :width] > kl_threshold
    return codes, kl, active, widths


def _as_kl(divergence: Any, width: int, number: int) -> np.ndarray:
    kl = np.asarray(as_array(divergence), np.float64)
    if kl.shape != (width,) or not np.isfinite(kl).all() or (kl < -1e-6).any():
        raise DataError(
            f"the KL of model {number} is {kl.tolist()}, of shape {kl.shape}",
            f"one finite, non-negative number for each of its {width} latents: the mean over images",
        )
    return kl


def _members(groups: Sequence[Hashable] | None, models: int) -> dict[Hashable, list[int]]:
    """The models of every group, in order of first appearance."""
    if groups is None:
        return {"all": list(range(models))}
    if len(groups) != models:
        raise DataError(f"{len(groups)} group labels for {models} models", "one for every model")
    members: dict[Hashable, list[int]] = {}
    for model, label in enumerate(groups):
        members.setdefault(label, []).append(model)
    if max(map(len, members.values())) < 2:
        raise DataError(
            f"{models} models in {models} groups of one: no two were trained with the same settings",
            "groups of at least two seeds, better five",
            "more seeds, or compare all with all (groups=None)",
        )
    return members


def _in_units(codes: np.ndarray, active: np.ndarray, kind: Kind) -> np.ndarray:
    """Standardised codes or ranks [M, N, D]; latents that are not informative become zero after the scaling."""
    count, samples, width = codes.shape
    columns = codes.transpose(1, 0, 2).reshape(samples, -1)
    (scaled,) = standardised(average_ranks(columns) if kind == "spearman" else columns)
    scaled = scaled * active.reshape(-1)
    return np.ascontiguousarray(scaled.reshape(samples, count, width).transpose(1, 0, 2))


def _block(kind: Kind, backend: str, alpha: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    if kind == "spearman":
        return correlation_block
    if kind != "lasso" or backend not in ("own", "sklearn"):
        raise PerceptsError(f"kind = {kind!r} with backend = {backend!r}", "'lasso' or 'spearman', 'own' or 'sklearn'")
    fit = lasso_block if backend == "own" else lasso_block_sklearn
    return lambda sources, targets: fit(sources, targets, alpha)


def _compare(
    units: np.ndarray,
    active: np.ndarray,
    group: list[int],
    block: Callable[[np.ndarray, np.ndarray], np.ndarray],
    normalisation: Normalisation,
    pairwise: np.ndarray,
    similarity: dict[tuple[int, int], np.ndarray] | None,
) -> None:
    """Fill `pairwise` (and `similarity`) for all pairs of one group, a few sources at a time."""
    chunk = max(1, BLOCK // (len(group) * units.shape[2] ** 2))
    for start in range(0, len(group), chunk):
        sources = group[start : start + chunk]
        matrix = block(units[sources], units[group])
        score = relative_strength(matrix, active[sources][:, None], active[group][None], normalisation=normalisation)
        pairwise[np.ix_(sources, group)] = score
        if similarity is not None:
            found = {(j, i): matrix[a, b] for a, j in enumerate(sources) for b, i in enumerate(group) if i != j}
            similarity.update(found)
    pairwise[group, group] = np.nan


def _intervals(
    towards: np.ndarray, compared: np.ndarray, resamples: int, level: float, rng: np.random.Generator | None
) -> np.ndarray:
    columns = [towards[rows, model] for model, rows in enumerate(compared.T)]
    return np.array([_median_interval(column, resamples, level, rng) or (np.nan, np.nan) for column in columns])


def _median_interval(
    values: np.ndarray, resamples: int, level: float, rng: np.random.Generator | None
) -> tuple[float, float] | None:
    """The percentile interval of the median; None without resamples or values."""
    if rng is None or resamples < 1 or values.size == 0:
        return None
    medians = np.median(values[rng.integers(len(values), size=(resamples, len(values)))], axis=1)
    low, high = np.quantile(medians, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _summary(
    name: str, group: list[int], scores: np.ndarray, resamples: int, level: float, rng: np.random.Generator | None
) -> UDRGroup:
    values = scores[group][~np.isnan(scores[group])]
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]) if values.size else [np.nan] * 3
    return UDRGroup(
        name=name,
        models=tuple(group),
        score=float(middle),
        quartiles=(float(low), float(high)),
        interval=_median_interval(values, resamples, level, rng),
    )


def _warnings(
    models: Sequence[Model], members: dict[Hashable, list[int]], active: np.ndarray, names: Sequence[str]
) -> Iterator[str]:
    for label, group in members.items():
        if len(group) == 1:
            yield f"{names[group[0]]} is alone in its group ({label}) and has no score: train more seeds"
    dead = [names[model] for model, latents in enumerate(active) if not latents.any()]
    if dead:
        yield f"no informative latent, so a score of 0: {', '.join(dead)}"
    seen: dict[bytes, int] = {}
    for model, (codes, _) in enumerate(models):
        table = np.ascontiguousarray(as_array(codes), np.float64)
        first = seen.setdefault(repr(table.shape).encode() + sha256(table.tobytes()).digest(), model)
        if first != model and active[model].any():
            yield f"{names[first]} and {names[model]} have the same codes: their agreement says nothing"
