"""Do metrics agree? Rank correlations between scores of a set of models, and what rankings share.

Locatello et al. 2019 compare metrics by Spearman's rank correlation over thousands of trained models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Num

from percepts.core.errors import DataError, PerceptsError
from percepts.core.results import plain
from percepts.metrics.udr_similarity import average_ranks

Scores: TypeAlias = Mapping[str, Sequence[float | int] | Num[np.ndarray, "_"]]


@dataclass(frozen=True, kw_only=True)
class RankCorrelation:
    """Spearman's rank correlation of every two metrics.

    Attributes:
        names: the metrics, rows and columns of the matrices.
        matrix: the correlations; NaN where fewer than three models have both scores or one score is constant.
        counts: how many models have both scores.
        p_values: the share of permutations of the models (the data as it is included) whose correlation is as far from
            0; None where none was asked for.
        low: lower ends of the bootstrap intervals; None if none was asked for.
        high: upper ends.
        level: the confidence level of the intervals.
    """

    names: tuple[str, ...]
    matrix: Float[np.ndarray, "metrics metrics"]
    counts: np.ndarray
    p_values: Float[np.ndarray, "metrics metrics"] | None = None
    low: Float[np.ndarray, "metrics metrics"] | None = None
    high: Float[np.ndarray, "metrics metrics"] | None = None
    level: float = 0.95

    def of(self, one: str, other: str) -> float:
        """The correlation of two metrics.

        Raises:
            PerceptsError: a name that is not in the table.
        """
        for name in (one, other):
            if name not in self.names:
                raise PerceptsError(f"no metric '{name}' in the table", "one of " + ", ".join(self.names))
        return float(self.matrix[self.names.index(one), self.names.index(other)])

    def to_json(self) -> dict[str, Any]:
        """JSON data; NaN becomes null."""
        return {name: plain(getattr(self, name)) for name in self.__dataclass_fields__}


def rank_correlation(
    table: Scores,
    *,
    permutations: int = 0,
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> RankCorrelation:
    """Spearman's rank correlation between the metrics of a table, pair by pair over the models that have both scores.

    Args:
        table: for every metric the scores of the same models in the same order; NaN where a model has none.
        permutations: shuffles for the two-sided p-values.
        bootstrap: resamples of the models for the intervals (plain quantiles; resamples without a value are left out).
        level: confidence level of the intervals.
        rng: source of shuffles and resamples.

    Raises:
        DataError: columns of different lengths, no column, or infinite scores.
        PerceptsError: permutations or resamples without a generator, or a level outside of (0, 1).
    """
    names, scores = _as_matrix(table)
    if (permutations or bootstrap) and rng is None:
        raise PerceptsError("random draws without a random generator", fix="rng=np.random.default_rng(0)")
    if not 0 < level < 1 or min(permutations, bootstrap) < 0:
        raise PerceptsError(f"level = {level}, {permutations} permutations, {bootstrap} resamples", "a level in (0, 1)")
    width = len(names)
    shape = (width, width)
    matrix, p_values, low, high = (np.full(shape, np.nan) for _ in range(4))
    counts = np.zeros(shape, np.int64)
    for a in range(width):
        for b in range(a, width):
            both = np.isfinite(scores[:, a]) & np.isfinite(scores[:, b])
            pair = scores[both][:, [a, b]]
            value = spearman(pair[:, 0], pair[:, 1])
            found = [value, np.nan, np.nan, np.nan]
            if rng is not None and np.isfinite(value):
                found[1] = _p_value(pair, value, permutations, rng)
                found[2:] = _interval(pair, bootstrap, level, rng)
            for target, number in zip((matrix, p_values, low, high), found):
                target[a, b] = target[b, a] = number
            counts[a, b] = counts[b, a] = both.sum()
    return RankCorrelation(
        names=names,
        matrix=matrix,
        counts=counts,
        p_values=p_values if permutations else None,
        low=low if bootstrap else None,
        high=high if bootstrap else None,
        level=level,
    )


def spearman(one: Float[np.ndarray, " models"], other: Float[np.ndarray, " models"]) -> float:
    """The correlation of mid-ranks; NaN with fewer than three models or where one column is constant."""
    if len(one) < 3:
        return float("nan")
    return float(_of_ranks(average_ranks(one[:, None])[:, 0], average_ranks(other[:, None])[:, 0]))


def top(table: Scores, metric: str, count: int) -> list[int]:
    """The numbers of the `count` models that score highest, the best first; models without a score never appear.

    Equal scores keep the order of the table.

    Raises:
        PerceptsError: a metric that is not in the table, or a count below 1.
    """
    names, scores = _as_matrix(table)
    if metric not in names or count < 1:
        raise PerceptsError(f"the {count} best by '{metric}'", "a positive number and one of " + ", ".join(names))
    column = scores[:, names.index(metric)]
    order = np.argsort(np.where(np.isfinite(column), -column, np.inf), kind="stable")
    return [int(model) for model in order if np.isfinite(column[model])][:count]


def top_agreement(table: Scores, count: int) -> Float[np.ndarray, "metrics metrics"]:
    """For every two metrics the share of their `count` best models that they have in common (`count` / models by luck).

    Raises:
        PerceptsError: a count below 1.
    """
    best = [set(top(table, name, count)) for name in table]
    return np.array([[len(one & other) / max(1, min(len(one), len(other))) for other in best] for one in best])


def selection_regret(table: Scores, selector: str, target: str) -> float:
    """How much of the best `target` score is lost by taking the model that `selector` ranks first; 0 is no loss.

    Only models that have both scores count.

    Raises:
        PerceptsError: a metric that is not in the table.
        DataError: no model has both scores.
    """
    names, scores = _as_matrix(table)
    missing = [name for name in (selector, target) if name not in names]
    if missing:
        raise PerceptsError(f"no metric '{missing[0]}' in the table", "one of " + ", ".join(names))
    pair = scores[:, [names.index(selector), names.index(target)]]
    pair = pair[np.isfinite(pair).all(axis=1)]
    if not len(pair):
        raise DataError(f"no model has both '{selector}' and '{target}'", "at least one")
    return float(pair[:, 1].max() - pair[pair[:, 0].argmax(), 1])


def _as_matrix(table: Scores) -> tuple[tuple[str, ...], Float[np.ndarray, "models metrics"]]:
    columns = {name: np.asarray(scores, np.float64) for name, scores in table.items()}
    lengths = {name: column.shape for name, column in columns.items()}
    if not columns or len(set(lengths.values())) > 1 or any(len(shape) != 1 for shape in lengths.values()):
        raise DataError(f"columns of shapes {lengths}", "one score a model in every column, NaN where there is none")
    infinite = [name for name, column in columns.items() if np.isinf(column).any()]
    if infinite:
        raise DataError(f"infinite scores of '{infinite[0]}'", "finite ones, NaN where there is none")
    return tuple(columns), np.stack(list(columns.values()), axis=1)


def _of_ranks(
    one: Float[np.ndarray, "*draws models"], other: Float[np.ndarray, "*draws models"]
) -> Float[np.ndarray, "*draws"]:
    """The correlation along the last axis; NaN where one side is constant."""
    one = one - one.mean(axis=-1, keepdims=True)
    other = other - other.mean(axis=-1, keepdims=True)
    scale: np.ndarray = np.sqrt((one**2).sum(axis=-1) * (other**2).sum(axis=-1))
    usable: Bool[np.ndarray, "*draws"] = scale > 0
    return np.where(usable, np.clip((one * other).sum(axis=-1) / np.where(usable, scale, 1.0), -1, 1), np.nan)


def _p_value(pair: np.ndarray, value: float, permutations: int, rng: np.random.Generator) -> float:
    if permutations == 0:
        return float("nan")
    ranks = average_ranks(pair)
    shuffled = rng.permuted(np.repeat(ranks[None, :, 1], permutations, axis=0), axis=1)
    as_far = np.abs(_of_ranks(np.broadcast_to(ranks[:, 0], shuffled.shape), shuffled)) >= abs(value) - 1e-12
    return float((as_far.sum() + 1) / (permutations + 1))


def _interval(pair: np.ndarray, resamples: int, level: float, rng: np.random.Generator) -> tuple[float, float]:
    if resamples == 0:
        return float("nan"), float("nan")
    rows = rng.integers(len(pair), size=(resamples, len(pair)))
    drawn = pair[rows]  # [resamples, models, 2]
    ranks = [average_ranks(drawn[:, :, side].T).T for side in (0, 1)]
    values = _of_ranks(*ranks)
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
