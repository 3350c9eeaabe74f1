"""Linear support vector machines that see a single number, the classifiers of SAP, for all classes at once.

The objective is liblinear's, of one class against the rest: ½(w² + b²) + Σ costᵢ · max(0, 1 - yᵢ(w xᵢ + b))², with the
squared hinge and the bias penalised like a weight. The rows inside the margin are an interval of the sorted numbers, so
sums over them are differences of running sums, and a Newton step costs a binary search instead of a pass over the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

_STEPS = 60  # Newton settles in fewer than 15; the limit is for numbers that float64 cannot tell apart


@dataclass(frozen=True, kw_only=True)
class ScalarSVM:
    """Weight and bias of every class against the rest; of the second class against the first where there are two."""

    classes: np.ndarray
    weights: Float[np.ndarray, " scores"]
    biases: Float[np.ndarray, " scores"]

    def predict(self, code: Float[np.ndarray, " rows"]) -> np.ndarray:
        """The label of highest score for every number."""
        scores = code[:, None] * self.weights + self.biases
        return self.classes[scores.argmax(axis=1) if len(self.classes) > 2 else (scores[:, 0] > 0).astype(np.int64)]


def fit_scalar_svm(
    code: Float[np.ndarray, " samples"], target: Int[np.ndarray, " samples"], classes: np.ndarray, cost: float
) -> ScalarSVM:
    """Fit on one number and one class number (an index into `classes`, each of which occurs) a sample.

    Errors of class c weigh cost · samples / (classes · samples of c), those of the rest weigh `cost`; with two classes
    both are weighted by their numbers (scikit-learn's LinearSVC with balanced class weights).
    """
    balanced = cost * len(code) / (len(classes) * np.bincount(target, minlength=len(classes)))
    if len(classes) == 2:
        scores, costs = np.array([1]), (balanced[1:], balanced[:1])
    else:
        scores, costs = np.arange(len(classes)), (balanced, np.full(len(classes), cost))
    sums = _Sums.of(code, target, scores)
    weights, biases = _newton(sums, *costs)
    return ScalarSVM(classes=classes, weights=weights, biases=biases)


@dataclass(frozen=True, kw_only=True)
class _Sums:
    """Running sums of 1, x and x² over the sorted numbers.

    Attributes:
        numbers: sorted.
        every: the sums over the first rows.
        keys: class · (samples + 1) + place among the sorted numbers, sorted: the rows class by class.
        own: the sums over the first rows in the order of `keys`.
        scores: the classes that are told from the rest.
    """

    numbers: Float[np.ndarray, " samples"]
    every: Float[np.ndarray, "powers places"]
    keys: Int[np.ndarray, " samples"]
    own: Float[np.ndarray, "powers places"]
    scores: Int[np.ndarray, " scores"]

    @classmethod
    def of(
        cls,
        code: Float[np.ndarray, " samples"],
        target: Int[np.ndarray, " samples"],
        scores: Int[np.ndarray, " scores"],
    ) -> _Sums:
        order = np.argsort(code, kind="stable")
        numbers, sorted_target = code[order], target[order]
        by_class = np.argsort(sorted_target, kind="stable")
        powers = np.stack([np.ones_like(numbers), numbers, numbers**2])
        return cls(
            numbers=numbers,
            every=_running(powers),
            keys=sorted_target[by_class] * (len(code) + 1) + by_class,
            own=_running(powers[:, by_class]),
            scores=scores,
        )

    def inside(
        self, weight: Float[np.ndarray, " scores"], bias: Float[np.ndarray, " scores"]
    ) -> tuple[Float[np.ndarray, "powers scores"], Float[np.ndarray, "powers scores"]]:
        """The sums over the rows inside the margin: each class's own, and the rest."""
        steep = np.where(weight == 0, 1e-300, weight)
        with np.errstate(over="ignore"):
            below_one = self.numbers.searchsorted((1 - bias) / steep)
            below_minus_one = self.numbers.searchsorted((-1 - bias) / steep)
        own, all_own = self._own(below_one), self._own(len(self.numbers))
        before = self.every[:, below_minus_one] - self._own(below_minus_one)
        rest = self.every[:, -1:] - all_own - before
        rising = steep > 0
        return np.where(rising, own, all_own - own), np.where(rising, rest, before)

    def _own(self, places: Int[np.ndarray, " scores"] | int) -> Float[np.ndarray, "powers scores"]:
        """The sums over each class's rows among the first `places` sorted numbers."""
        first = self.scores * (len(self.numbers) + 1)
        return self.own[:, self.keys.searchsorted(first + places)] - self.own[:, self.keys.searchsorted(first)]


def _running(powers: Float[np.ndarray, "powers samples"]) -> Float[np.ndarray, "powers places"]:
    return np.concatenate([np.zeros((len(powers), 1)), powers.cumsum(axis=1)], axis=1)


def _newton(
    sums: _Sums, own_cost: Float[np.ndarray, " scores"], rest_cost: Float[np.ndarray, " scores"]
) -> tuple[Float[np.ndarray, " scores"], Float[np.ndarray, " scores"]]:
    """Minimise by Newton steps with halving; the objective is quadratic as long as the same rows are inside."""

    def moments(point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        own, rest = (cost * part for cost, part in zip((own_cost, rest_cost), sums.inside(*point)))
        return own + rest, own - rest

    def objective(point: np.ndarray) -> np.ndarray:
        (count, first, second), (signed, signed_first, _) = moments(point)
        weight, bias = point
        fit = weight**2 * second + 2 * weight * bias * first + bias**2 * count
        return 0.5 * (weight**2 + bias**2) + count - 2 * (weight * signed_first + bias * signed) + fit

    point = np.zeros((2, len(own_cost)))
    value = objective(point)
    for _ in range(_STEPS):
        (count, first, second), (signed, signed_first, _) = moments(point)
        a, b, c = 1 + 2 * second, 2 * first, 1 + 2 * count
        determinant = a * c - b * b
        aim = 2 * np.stack([c * signed_first - b * signed, a * signed - b * signed_first]) / determinant
        size = np.ones(len(own_cost))
        for _ in range(30):
            moved = point + size * (aim - point)
            after = objective(moved)
            worse = after > value + 1e-12 * np.abs(value)
            if not worse.any():
                break
            size[worse] /= 2
        settled = np.abs(moved - point).max() <= 1e-10 * max(1e-3, np.abs(moved).max())
        point, value = moved, after
        if settled:
            break
    return point[0], point[1]
