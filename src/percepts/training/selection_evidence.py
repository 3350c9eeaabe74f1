"""Does the label-free score agree with scores that need labels? Correlations, their stability, downstream tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from percepts.core.errors import DataError
from percepts.metrics.agreement import spearman
from percepts.metrics.arrays import standardised
from percepts.metrics.probe import linear_probe
from percepts.metrics.udr import draw_pairs, median_scores
from percepts.metrics.udr_result import UDRResult
from percepts.metrics.udr_similarity import average_ranks
from percepts.training.selection_tables import Candidate, Correlation, Stability

Task: TypeAlias = Callable[[Float[np.ndarray, "images latents"], Int[np.ndarray, "images factors"] | None], float]
"""A downstream task: from a model's codes of common images, and their true factors where the data has them, to a number
that is higher for better codes. An agent's return or data efficiency fits here too."""

LABEL_FREE = ("gaussian_", "mutual_information_score")
PAIRS = (1, 2, 3, 4, 5, 10, 15, 20, 25, 30, 35, 40, 45)
DRAWS = 30


def correlations(
    candidates: Sequence[Candidate], *, bootstrap: int, rng: np.random.Generator
) -> tuple[Correlation, ...]:
    """Spearman's correlation of UDR, ELBO and excess reconstruction with every supervised and downstream number."""
    label_free = {
        **{f"udr.{kind}": [candidate.udr[kind] for candidate in candidates] for kind in candidates[0].udr},
        "elbo": [candidate.elbo for candidate in candidates],
        "excess": [candidate.excess for candidate in candidates],
    }
    return tuple(
        _correlation(first, np.array(one), second, other, bootstrap, rng)
        for second, other in labelled(candidates).items()
        for first, one in label_free.items()
        if np.isfinite(one).any()
    )


def labelled(candidates: Sequence[Candidate]) -> dict[str, Float[np.ndarray, " models"]]:
    """Every supervised and downstream number by name, over the candidates; NaN where one lacks it. Scores of an
    evaluation that need no labels are left out: agreeing with them says nothing about truth."""
    rows = [{**candidate.supervised, **candidate.downstream} for candidate in candidates]
    names = list(dict.fromkeys(name for row in rows for name in row if not name.startswith(LABEL_FREE)))
    return {name: np.array([row.get(name, np.nan) for row in rows], float) for name in names}


def stability(
    result: UDRResult,
    scores: Mapping[str, Float[np.ndarray, " models"]],
    *,
    rng: np.random.Generator,
    pairs: Sequence[int] = PAIRS,
    draws: int = DRAWS,
) -> tuple[Stability, ...]:
    """How the rank correlation of UDR with every score varies when each model is compared with P random others.

    Duan et al. 2020 show this against P. Draws without replacement from the models at hand are alike where P is close
    to all of them, so the last deviations are too small; at P = all it is 0 by construction and left out.

    Args:
        result: the pairwise agreements.
        scores: supervised scores of the same models, by name.
        rng: source of the draws.
        pairs: the values of P; those that the smallest group cannot give are left out.
        draws: how often to draw.
    """
    members = [group.models for group in result.groups if len(group.models) > 1]
    most = min(map(len, members)) - 1
    towards = result.pairwise if result.parameters["orientation"] == "from_others" else result.pairwise.T
    rows = []
    for count in [count for count in pairs if count < most]:
        drawn = [median_scores(towards, draw_pairs(members, len(towards), count, rng)) for _ in range(draws)]
        for name, score in scores.items():
            values = np.array([rank_correlation(udr, score)[0] for udr in drawn])
            if np.isfinite(values).all():
                rows.append(
                    Stability(
                        kind=result.kind,
                        score=name,
                        pairs=count,
                        mean=float(values.mean()),
                        deviation=float(values.std(ddof=1)),
                        draws=draws,
                    )
                )
    return tuple(rows)


def label_efficiency(sizes: Sequence[int] = (10, 100, 1000)) -> dict[str, Task]:
    """Downstream tasks "probe_accuracy.K": test accuracy of a logistic regression from K labelled images, averaged over
    the factors. The test rows are the last third, the same for every K.

    Args:
        sizes: the numbers of labels.
    """

    def task(labels: int) -> Task:
        return lambda codes, factors: _probe(codes, factors, labels)

    return {f"probe_accuracy.{labels}": task(labels) for labels in sizes}


def rank_correlation(
    first: Float[np.ndarray, " models"], second: Float[np.ndarray, " models"]
) -> tuple[float, Bool[np.ndarray, " models"]]:
    """Spearman's correlation over the models that have both numbers, and which those are; NaN for fewer than three of
    them, or where one column is constant."""
    both = np.isfinite(first) & np.isfinite(second)
    return spearman(first[both], second[both]), both


def _correlation(
    first: str, one: np.ndarray, second: str, other: np.ndarray, resamples: int, rng: np.random.Generator
) -> Correlation:
    value, both = rank_correlation(one, other)
    interval = None
    if resamples and np.isfinite(value):
        rows = rng.integers(both.sum(), size=(both.sum(), resamples))
        values = _columnwise(one[both][rows], other[both][rows])
        # A resample that repeats one model only has no correlation.
        low, high = np.nanquantile(values, [0.025, 0.975])
        interval = float(low), float(high)
    return Correlation(first=first, second=second, value=value, interval=interval, models=int(both.sum()))


def _columnwise(
    first: Float[np.ndarray, "models columns"], second: Float[np.ndarray, "models columns"]
) -> Float[np.ndarray, " columns"]:
    """Spearman's correlation of every column with its partner; NaN where one is constant."""
    (one,), (other,) = (standardised(average_ranks(table)) for table in (first, second))
    product = (one * other).mean(axis=0)
    constant = ~one.any(axis=0) | ~other.any(axis=0)
    return np.where(constant, np.nan, np.clip(product, -1, 1))


def _probe(codes: np.ndarray, factors: np.ndarray | None, labels: int) -> float:
    test = len(codes) // 3
    if factors is None:
        raise DataError("a probe of images without labels", "data with factors", "leave this downstream task out")
    if labels > len(codes) - test:
        raise DataError(
            f"{labels} labels of {len(codes)} images, a third of which are for testing",
            f"at most {len(codes) - test} labels",
            f"task_images={3 * labels // 2 + 2}",
        )
    scores = [
        linear_probe(codes[:labels], column[:labels], codes[-test:], column[-test:]).value
        for column in factors.T
        if np.unique(column[:labels]).size > 1
    ]
    return float(np.mean(scores)) if scores else float("nan")
