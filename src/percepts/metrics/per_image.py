"""Scores that every image has for itself: their mean, how sure it is, and how many images have none."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from percepts.core.results import MetricResult
from percepts.metrics.bootstrap import bootstrap_interval


def mean_result(
    name: str,
    scores: Float[np.ndarray, " images"],
    *,
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    details: dict[str, Any] | None = None,
    parameters: dict[str, Any] | None = None,
) -> MetricResult:
    """The mean over the images that have a score; NaN is none.

    Args:
        name: of the result.
        scores: one an image.
        bootstrap: resamples of the images for the interval.
        level: confidence level of the interval.
        rng: source of the resamples.
        bounds: the least and largest score that is possible.
        details, parameters: what to add to them.

    Returns:
        The mean, NaN where no image has a score; details: `per_image`, `images` that have a score, `undefined` ones.
    """
    known = scores[~np.isnan(scores)]
    value = float(known.mean()) if len(known) else float("nan")
    interval = bootstrap_interval(
        lambda rows: float(known[rows].mean()),
        len(known),
        value,
        resamples=bootstrap if len(known) else 0,
        rng=rng,
        level=level,
        bounds=bounds,
    )
    counts = {"per_image": scores, "images": len(known), "undefined": len(scores) - len(known)}
    return MetricResult(
        name=name,
        value=value,
        interval=interval,
        level=level,
        details={**counts, **(details or {})},
        parameters=parameters or {},
    )


def mean_over_frames(scores: Float[np.ndarray, "images frames"]) -> Float[np.ndarray, " images"]:
    """The mean over the frames that have a score, NaN where none has."""
    known = ~np.isnan(scores)
    number = known.sum(axis=1)
    total = np.where(known, scores, 0.0).sum(axis=1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)
