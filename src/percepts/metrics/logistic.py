"""Multinomial logistic regression, the linear classifier of explicitness, of the beta-VAE score and of the probes.

The objective is scikit-learn's: sum of cross-entropies · C + half the sum of squared coefficients, intercepts free.
Its curvature never exceeds that of a bound that is the same for every class (Böhning 1992), one small matrix of the
codes' second moments; with its inverse as the first guess of the curvature, L-BFGS needs a few dozen passes over the
rows whatever the codes' scales and correlations are.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from percepts.core.errors import DataError

_MEMORY = 10  # steps that L-BFGS remembers
# Multiplications in one matrix product: small enough for the cache, and for linear algebra libraries not to wake other
# threads, which costs far more than it saves here.
_BLOCK = 200_000


@dataclass(frozen=True, kw_only=True)
class Logistic:
    """A fitted classifier.

    Attributes:
        classes: the labels, sorted.
        coefficients: one column a class; rows sum to 0 without an L1 penalty.
        intercepts: one a class.
        iterations: passes until it converged or stopped.
    """

    classes: np.ndarray
    coefficients: Float[np.ndarray, "codes classes"]
    intercepts: Float[np.ndarray, " classes"]
    iterations: int

    def scores(self, codes: Float[np.ndarray, "rows codes"]) -> Float[np.ndarray, "rows classes"]:
        """The logarithm of every class's probability, up to a constant a row."""
        return codes @ self.coefficients + self.intercepts

    def probabilities(self, codes: Float[np.ndarray, "rows codes"]) -> Float[np.ndarray, "rows classes"]:
        """The probability of every class."""
        scores = self.scores(codes)
        exponential = np.exp(scores - scores.max(axis=1, keepdims=True))
        return exponential / exponential.sum(axis=1, keepdims=True)

    def predict(self, codes: Float[np.ndarray, "rows codes"]) -> np.ndarray:
        """The most likely label of every row."""
        return self.classes[self.scores(codes).argmax(axis=1)]


def fit_logistic(
    codes: Float[np.ndarray, "samples codes"],
    labels: np.ndarray,
    *,
    cost: float = 1.0,
    tolerance: float = 1e-4,
    max_iterations: int = 1000,
) -> Logistic:
    """Fit by L-BFGS until no entry of the mean gradient exceeds `tolerance`; `cost` is the C of the objective.

    Raises:
        DataError: labels of a single class.
    """
    problem = _Problem(codes, labels)
    # Two classes are scikit-learn's one column of coefficients, which stands for twice each column here.
    weight = (2.0 if len(problem.classes) == 2 else 1.0) / (cost * len(codes))
    penalty = np.full((codes.shape[1] + 1, 1), weight)
    penalty[-1] = 0.0
    bound = 0.5 * problem.moments + np.diag(penalty[:, 0])
    inverse = np.linalg.pinv(bound, hermitian=True)

    point = np.zeros((codes.shape[1] + 1, len(problem.classes)))
    value, gradient = problem.value(point, penalty)
    pairs: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=_MEMORY)
    iterations = 0
    while np.abs(gradient).max() > tolerance and iterations < max_iterations:
        step = -_two_loops(gradient, pairs, inverse)
        found = _line_search(problem, penalty, point, step, value, float((step * gradient).sum()))
        if found is None:  # the loss cannot fall any further in double precision
            break
        moved, value, after = found
        if ((moved - point) * (after - gradient)).sum() > 0:
            pairs.append((moved - point, after - gradient))
        point, gradient = moved, after
        iterations += 1
    return problem.result(point, iterations)


def _line_search(
    problem: _Problem, penalty: np.ndarray, point: np.ndarray, step: np.ndarray, value: float, slope: float
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """The first point on halving steps where the loss falls enough, its loss and gradient; None if there is none."""
    size = 1.0
    while size > 1e-6:
        after, gradient = problem.value(point + size * step, penalty)
        # The allowance for rounding lets steps on where the loss is flat and the gradient is not yet 0.
        if after <= value + 1e-4 * size * slope + 1e-15 * abs(value):
            return point + size * step, after, gradient
        size /= 2
    return None


def fit_sparse_logistic(
    codes: Float[np.ndarray, "samples codes"],
    labels: np.ndarray,
    *,
    alpha: float,
    tolerance: float = 1e-5,
    max_iterations: int = 3000,
) -> Logistic:
    """Fit with an L1 penalty by accelerated proximal gradient steps (Beck & Teboulle 2009).

    The objective is the mean cross-entropy + alpha · the sum of the coefficients' absolute values.

    Raises:
        DataError: labels of a single class.
    """
    problem = _Problem(codes, labels)
    none = np.zeros((codes.shape[1] + 1, 1))
    size = 1.0 / (0.5 * np.linalg.eigvalsh(problem.moments)[-1])
    shrink = np.full_like(none, alpha * size)
    shrink[-1] = 0.0
    point = ahead = np.zeros((codes.shape[1] + 1, len(problem.classes)))
    momentum = 1.0
    iterations, converged = 0, False
    while not converged and iterations < max_iterations:
        moved = ahead - size * problem.value(ahead, none)[1]
        following = np.sign(moved) * np.maximum(np.abs(moved) - shrink, 0.0)
        change = following - point
        if ((ahead - following) * change).sum() > 0:  # overshot: start the momentum anew
            momentum = 1.0
        next_momentum = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        converged = np.abs(ahead - following).max() <= tolerance * max(1.0, float(np.abs(following).max()))
        ahead = following + (momentum - 1) / next_momentum * change
        point, momentum, iterations = following, next_momentum, iterations + 1
    return problem.result(point, iterations)


class _Problem:
    """Rows with a constant column, one-hot labels, and the mean cross-entropy of them.

    Samples lie along the last axis, so that sums over classes run over whole rows of memory.
    """

    def __init__(self, codes: np.ndarray, labels: np.ndarray) -> None:
        self.classes, self.target = np.unique(labels, return_inverse=True)
        if len(self.classes) < 2:
            raise DataError("the training rows hold a single class", "two classes or more")
        self.columns = np.ascontiguousarray(np.concatenate([codes, np.ones((len(codes), 1))], axis=1).T)
        self.samples = len(codes)
        self.moments = self.columns @ self.columns.T / self.samples
        # What the labels contribute to the gradient: the sum of the rows of each class.
        self.sums = self.columns @ (self.target[:, None] == np.arange(len(self.classes))) / self.samples
        size = max(64, _BLOCK // (len(self.columns) * len(self.classes)))
        self.blocks = [self.columns[:, start : start + size] for start in range(0, self.samples, size)]

    def value(
        self, point: Float[np.ndarray, "columns classes"], penalty: Float[np.ndarray, "columns 1"]
    ) -> tuple[float, Float[np.ndarray, "columns classes"]]:
        loss = 0.0
        gradient = np.zeros_like(point)
        for block in self.blocks:
            scores = point.T @ block
            highest = scores.max(axis=0)
            scores -= highest
            np.exp(scores, out=scores)
            total = scores.sum(axis=0)
            loss += float(np.log(total).sum() + highest.sum())
            scores /= total
            gradient += block @ scores.T
        loss = loss / self.samples - float((point * self.sums).sum()) + 0.5 * float((penalty * point**2).sum())
        return loss, gradient / self.samples - self.sums + penalty * point

    def result(self, point: Float[np.ndarray, "columns classes"], iterations: int) -> Logistic:
        return Logistic(classes=self.classes, coefficients=point[:-1], intercepts=point[-1], iterations=iterations)


def _two_loops(
    gradient: np.ndarray, pairs: deque[tuple[np.ndarray, np.ndarray]], inverse: Float[np.ndarray, "columns columns"]
) -> np.ndarray:
    """The quasi-Newton direction from remembered steps and gradients (Nocedal & Wright 2006, algorithm 7.4)."""
    direction = gradient.copy()
    shares = []
    for step, change in reversed(pairs):
        share = (step * direction).sum() / (step * change).sum()
        direction -= share * change
        shares.append(share)
    direction = inverse @ direction
    if pairs:
        step, change = pairs[-1]
        direction *= (step * change).sum() / (change * (inverse @ change)).sum()
    for (step, change), share in zip(pairs, reversed(shares)):
        direction += step * (share - (change * direction).sum() / (step * change).sum())
    return direction
