"""The beta-VAE score as Higgins et al. 2017 report it: several replicas and classifiers, the better half of the scores.

Ten trained replicas are each scored three times with new classifiers, the worse half of the thirty scores is dropped
and the rest averaged. The protocol and the classifier (linear softmax, Adagrad at 0.01 until it converges) are known
to us from second hand: unverified. Numbers that drop the worse half flatter; report `beta_vae_score` beside them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.metrics.arrays import Codes, Factors
from percepts.metrics.interventional import shared_factor_points
from percepts.metrics.sources import Sampler


def beta_vae_paper_score(
    replicas: Sequence[Codes | Sampler],
    factors: Factors | tuple[int, ...],
    *,
    rng: np.random.Generator,
    classifiers: int = 3,
    batch_size: int = 64,
    num_train: int = 10000,
    num_eval: int = 5000,
    steps: int = 3000,
) -> MetricResult:
    """The mean of the better half of the scores of all replicas and classifiers.

    Args:
        replicas: for every trained replica its codes (or sampler), as for `beta_vae_score`; ten in the paper.
        factors: the index of every factor's value, the same for all replicas; with samplers, how many values each has.
            The paper leaves out dSprites' shape: pass the other columns only.
        rng: source of all draws.
        classifiers: classifiers trained for each replica.
        batch_size: pairs a point.
        num_train: points that a classifier is trained on.
        num_eval: fresh points that it is scored on.
        steps: at most, of Adagrad.

    Returns:
        "beta_vae.paper" (protocol unverified); details: `scores` [replicas, classifiers], `kept` (the better half,
        sorted), `deviation` of the kept ones, `mean_of_all`, `rescaled` (0 at chance, 1 at best).

    Raises:
        DataError: no replica, fewer than one classifier, or what `beta_vae_score` refuses.
    """
    if not len(replicas) or classifiers < 1:
        raise DataError(f"{len(replicas)} replicas and {classifiers} classifiers", "at least one of each")
    scores = np.empty((len(replicas), classifiers))
    for row, codes in enumerate(replicas):
        labels, points = shared_factor_points(codes, factors, rng=rng, batch_size=batch_size, count=num_train)
        truth, fresh = shared_factor_points(codes, factors, rng=rng, batch_size=batch_size, count=num_eval)
        for column in range(classifiers):
            weights = adagrad_softmax(points, labels, rng=rng, steps=steps)
            predicted = (_with_constant(fresh) @ weights).argmax(axis=1)
            scores[row, column] = (predicted == truth).mean()
    kept = better_half(scores.ravel())
    chance = 1 / len(np.unique(truth))
    return MetricResult(
        name="beta_vae.paper",
        value=float(kept.mean()),
        details={
            "scores": scores,
            "kept": kept,
            "deviation": float(kept.std()),
            "mean_of_all": float(scores.mean()),
            "rescaled": float((kept.mean() - chance) / (1 - chance)) if chance < 1 else 0.0,
        },
        parameters={
            "batch_size": batch_size,
            "num_train": num_train,
            "num_eval": num_eval,
            "classifier": "linear softmax, Adagrad 0.01",
            "protocol": "unverified",
        },
    )


def better_half(scores: Float[np.ndarray, " scores"]) -> Float[np.ndarray, " kept"]:
    """The upper half of the scores, sorted from the best; of an odd number the middle one stays."""
    return np.sort(scores)[::-1][: (len(scores) + 1) // 2]


def adagrad_softmax(
    points: Float[np.ndarray, "points codes"],
    labels: Int[np.ndarray, " points"],
    *,
    rng: np.random.Generator,
    steps: int = 3000,
    rate: float = 0.01,
    tolerance: float = 1e-5,
) -> Float[np.ndarray, "columns labels"]:
    """Weights of a linear softmax classifier (the last row is the bias) by Adagrad on all points at once.

    Starts at small random weights, stops after `steps` or when the loss falls by less than `tolerance` in 100 steps.
    """
    rows = _with_constant(points)
    truth = np.eye(int(labels.max()) + 1)[labels]
    weights = 0.01 * rng.normal(size=(rows.shape[1], truth.shape[1]))
    squares = np.full_like(weights, 0.1)
    before = np.inf
    for step in range(steps):
        scores = rows @ weights
        exponential = np.exp(scores - scores.max(axis=1, keepdims=True))
        probability = exponential / exponential.sum(axis=1, keepdims=True)
        gradient = rows.T @ (probability - truth) / len(rows)
        squares += gradient**2
        weights -= rate * gradient / np.sqrt(squares)
        if step % 100 == 99:
            loss = -float(np.log(np.maximum((probability * truth).sum(axis=1), 1e-300)).mean())
            if before - loss < tolerance:
                break
            before = loss
    return weights


def _with_constant(points: Float[np.ndarray, "points codes"]) -> Float[np.ndarray, "points columns"]:
    return np.concatenate([points, np.ones((len(points), 1))], axis=1)
