"""How sure a score is, given the sample it was computed from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from percepts.core.errors import PerceptsError


def bootstrap_interval(
    statistic: Callable[[Int[np.ndarray, " samples"]], float],
    samples: int,
    value: float,
    *,
    resamples: int,
    rng: np.random.Generator | None,
    level: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[float, float] | None:
    """The centred bootstrap interval of `value`, or None for 0 resamples.

    Quantiles of the statistic over rows drawn with replacement, moved so that their mean is `value`: repeated rows
    raise every plug-in mutual information, so the plain quantiles may leave out the value itself.

    Args:
        statistic: the score of the sample made of these row numbers.
        samples: how many rows there are.
        value: the score of the whole sample.
        resamples: how many samples to draw.
        rng: where they come from.
        level: the confidence level.
        bounds: the least and largest value that the score can have.

    Raises:
        PerceptsError: no generator, a negative number of resamples or a level outside of (0, 1).
    """
    if resamples == 0:
        return None
    if rng is None:
        raise PerceptsError("a bootstrap interval without a random generator", fix="rng=np.random.default_rng(0)")
    if resamples < 0 or not 0 < level < 1:
        raise PerceptsError(f"{resamples} resamples at level {level}", "a positive number and a level in (0, 1)")
    scores = np.array([statistic(rng.integers(samples, size=samples)) for _ in range(resamples)])
    tail = (1 - level) / 2
    low, high = np.quantile(scores, [tail, 1 - tail]) + (value - scores.mean())
    return float(np.clip(low, *bounds)), float(np.clip(high, *bounds))
