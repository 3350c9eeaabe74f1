"""Gradient boosted classification trees (Friedman 2001), exact and quick enough for factors of many values.

The algorithm is that of scikit-learn's `GradientBoostingClassifier`, with which Locatello et al. 2019 compute DCI:
multinomial (or binomial) deviance, one regression tree a class and stage on the residuals, every distinct value of
every feature tried as a threshold, leaves set by one Newton step. The features are sorted once for all trees, and the
sorted order is handed down the tree, so that a node costs a few passes over its rows. Features that cut a node in the
same way tie, and the generator draws one of them, as scikit-learn's does; without ties the importances are the same to
ten digits, with them two seeds differ by about 0.002.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int

from percepts.core.errors import DataError

_Leaf: TypeAlias = tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " others"]]
_RESOLUTION = np.float32(1e-7)  # values that are closer count as equal, as in scikit-learn


@dataclass(frozen=True, kw_only=True)
class BoostedTrees:
    """What boosting found.

    Attributes:
        classes: the labels, sorted.
        importance: the reduction of the squared error that each feature brought; sums to 1, or all 0 without a split.
        train: scores of the training rows, one column a class (one column in all where there are two classes).
        test: the same for the test rows.
    """

    classes: np.ndarray
    importance: Float[np.ndarray, " features"]
    train: Float[np.ndarray, "samples scores"]
    test: Float[np.ndarray, "tests scores"]

    @property
    def predicted(self) -> np.ndarray:
        """The most likely label of every test row."""
        return self._labels(self.test)

    @property
    def fitted(self) -> np.ndarray:
        """The most likely label of every training row."""
        return self._labels(self.train)

    def _labels(self, scores: np.ndarray) -> np.ndarray:
        return self.classes[scores.argmax(axis=1) if len(self.classes) > 2 else (scores[:, 0] >= 0).astype(np.int64)]


def boosted_trees(
    features: Float[np.ndarray, "samples features"],
    labels: np.ndarray,
    test: Float[np.ndarray, "tests features"],
    *,
    rng: np.random.Generator,
    trees: int = 100,
    depth: int = 3,
    rate: float = 0.1,
) -> BoostedTrees:
    """Boost `trees` stages of trees of `depth` at learning `rate` on labelled rows, and score the test rows.

    The generator breaks ties.

    Raises:
        DataError: labels of a single class.
    """
    classes, target = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise DataError("the training rows hold a single class", "two classes or more")
    truth = np.eye(len(classes))[:, target] if len(classes) > 2 else (target == 1)[None].astype(np.float64)
    start = _first_scores(truth)[:, None]
    scores, test_scores = np.repeat(start, len(features), axis=1), np.repeat(start, len(test), axis=1)
    grower = _Grower(features, test, depth, rng)
    shrink = (len(classes) - 1) / len(classes) if len(classes) > 2 else 1.0
    for _ in range(trees):
        probability = _probabilities(scores)
        for score, other, residual, p in zip(scores, test_scores, truth - probability, probability):
            curvature = p * (1 - p)
            for rows, others in grower.leaves(residual):
                bend = curvature[rows].mean()
                step = shrink * residual[rows].mean() / bend if bend > 1e-150 else 0.0
                score[rows] += rate * step
                other[others] += rate * step
    total = grower.gains.sum()
    importance = grower.gains / total if total > 0 else grower.gains
    return BoostedTrees(classes=classes, importance=importance, train=scores.T, test=test_scores.T)


def _first_scores(truth: Float[np.ndarray, "scores samples"]) -> Float[np.ndarray, " scores"]:
    share = np.clip(truth.mean(axis=1), 2.3e-16, 1 - 2.3e-16)
    return np.log(share) if len(truth) > 1 else np.log(share / (1 - share))


def _probabilities(scores: Float[np.ndarray, "scores samples"]) -> Float[np.ndarray, "scores samples"]:
    if len(scores) == 1:
        return 1 / (1 + np.exp(-scores))
    exponential = np.exp(scores - scores.max(axis=0))
    return exponential / exponential.sum(axis=0)


class _Grower:
    """Grows one tree after another on the same rows and adds up the gains of their splits."""

    def __init__(
        self,
        features: Float[np.ndarray, "samples features"],
        test: Float[np.ndarray, "tests features"],
        depth: int,
        rng: np.random.Generator,
    ) -> None:
        # Single precision, because that is what the reference compares.
        self.columns = np.ascontiguousarray(features.T, np.float32)
        self.tests = np.ascontiguousarray(test.T, np.float32)
        self.order = np.argsort(self.columns, axis=1, kind="stable")
        self.depth, self.rng = depth, rng
        self.gains = np.zeros(len(self.columns))
        self.goes_left = np.zeros(len(features), bool)

    def leaves(self, residual: Float[np.ndarray, " samples"]) -> list[_Leaf]:
        """The training rows and the test rows in every leaf of the tree that fits `residual` best."""
        found: list[_Leaf] = []
        waiting = [(self.order, np.arange(self.tests.shape[1]), 0)]
        while waiting:
            order, others, level = waiting.pop()
            split = self._best(order, residual) if level < self.depth else None
            if split is None:
                found.append((order[0], others))
                continue
            feature, place, gain = split
            self.gains[feature] += gain
            right = self.tests[feature, others] > self._threshold(feature, order[feature, place : place + 2])
            below = self._hand_down(order, feature, place + 1, last=level + 1 == self.depth)
            waiting += [(below[0], others[~right], level + 1), (below[1], others[right], level + 1)]
        return found

    def _best(
        self, order: Int[np.ndarray, "features rows"], residual: Float[np.ndarray, " samples"]
    ) -> tuple[int, int, float] | None:
        """The feature, the last row of the left side, and the drop of the squared error; None where no split helps."""
        rows = order.shape[1]
        sums = residual.take(order)
        sums -= sums[0].mean()
        if rows < 2 or np.dot(sums[0], sums[0]) <= 2.3e-16 * rows:
            return None
        # Of centred residuals, left sum² · n / (n_left · n_right) is the drop; its root has the same maximum.
        torch.from_numpy(sums).cumsum_(1)  # in place, and several times as fast as NumPy's
        left = np.arange(1, rows)
        root = np.abs(sums[:, :-1])
        root *= np.sqrt(rows / (left * (rows - left)))
        feature, place = self._highest(root)
        first, second = self.columns[feature, order[feature, place : place + 2]]
        if second <= first + _RESOLUTION:
            values = np.take_along_axis(self.columns, order, axis=1)
            root[values[:, 1:] <= values[:, :-1] + _RESOLUTION] = -1.0
            feature, place = self._highest(root)
        best = float(root[feature, place])
        return None if best < 0 else (feature, place, best**2)

    def _highest(self, root: Float[np.ndarray, "features places"]) -> tuple[int, int]:
        places = root.argmax(axis=1)
        best = root[np.arange(len(root)), places]
        # The same cut sums its rows in another order in every feature: equal up to rounding is a tie.
        tied = np.flatnonzero(best >= best.max() - 1e-11 * abs(best.max()))
        feature = int(tied[0] if len(tied) == 1 else self.rng.choice(tied))
        return feature, int(places[feature])

    def _threshold(self, feature: int, pair: Int[np.ndarray, " pair"]) -> np.floating:
        low, high = self.columns[feature, pair].astype(np.float64)
        middle = low / 2 + high / 2
        return low if middle == high else middle

    def _hand_down(
        self, order: Int[np.ndarray, "features rows"], feature: int, count: int, last: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """The rows left and right of a split, sorted by every feature; by one only where they will not be split."""
        left, right = order[feature, :count], order[feature, count:]
        if last:
            return left[None], right[None]
        self.goes_left[left], self.goes_left[right] = True, False
        mask, flat = self.goes_left.take(order).ravel(), order.ravel()
        below = flat.take(np.flatnonzero(mask)), flat.take(np.flatnonzero(~mask))  # quicker than boolean indexing
        return below[0].reshape(len(order), -1), below[1].reshape(len(order), -1)
