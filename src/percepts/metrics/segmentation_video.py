"""Does a slot stay with its object from frame to frame?

The adjusted Rand index over all frames of a video punishes identity swaps and every other error alike; this counts the
swaps alone.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.metrics.assignment import best_assignment
from percepts.metrics.per_image import mean_result
from percepts.metrics.segmentation_overlap import overlaps
from percepts.metrics.segmentation_tables import Contingency, LabelMaps


def slot_swaps(
    true: LabelMaps,
    predicted: LabelMaps,
    *,
    backgrounds: int = 1,
    threshold: float = 0.0,
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> MetricResult:
    """How often an object changes its slot, as a share of the times it could have.

    In every frame slots are assigned to objects one to one by IoU. An object that is seen again, in the next frame or
    after an absence, has kept its slot or swapped it (the identity switches of multi-object tracking).

    Args:
        true, predicted: label maps of videos [N,T,H,W].
        backgrounds: how many entities, the first, are background; they are not followed.
        threshold: an object is seen in a frame where its slot overlaps it by an IoU above this.
        bootstrap, level, rng: resamples of the videos for the interval, its confidence level, their source.

    Returns:
        "slot_swaps", from 0 (tracked) to 1; a video in which no object is seen twice has no score. Details:
        `swaps` and `chances` of each video, `seen`, the share of visible objects that are seen.

    Raises:
        DataError: label maps that do not fit together (see `Contingency.measure`), or of images.
    """
    table = Contingency.measure(true, predicted, backgrounds)
    if np.ndim(true) != 4:
        raise DataError(f"label maps of shape {tuple(true.shape)}", "videos [N,T,H,W]")
    return slot_swaps_from(table, threshold, bootstrap=bootstrap, level=level, rng=rng)


def slot_swaps_from(
    table: Contingency,
    threshold: float = 0.0,
    *,
    bootstrap: int,
    level: float,
    rng: np.random.Generator | None,
) -> MetricResult:
    """`slot_swaps` of a table that is already there."""
    slots = tracks(table, threshold)
    swaps, chances = count_swaps(slots)
    visible = table.counts[:, :, table.backgrounds :].any(axis=3)
    return mean_result(
        "slot_swaps",
        np.where(chances > 0, swaps / np.maximum(chances, 1), np.nan),
        bootstrap=bootstrap,
        level=level,
        rng=rng,
        bounds=(0.0, 1.0),
        details={
            "swaps": swaps,
            "chances": chances,
            "seen": float((slots >= 0).sum() / visible.sum()) if visible.any() else float("nan"),
        },
        parameters={"backgrounds": table.backgrounds, "threshold": threshold},
    )


def tracks(table: Contingency, threshold: float = 0.0) -> Int[np.ndarray, "videos frames objects"]:
    """The slot that each object has in each frame; -1 where it is not seen."""
    videos, frames, entities, slots = table.counts.shape
    iou: Float[np.ndarray, "all objects slots"]
    iou = overlaps(table.counts.reshape(-1, entities, slots), table.backgrounds)
    found = best_assignment(iou)
    overlap = np.take_along_axis(iou, np.maximum(found, 0)[..., None], axis=2)[..., 0]
    seen = (found >= 0) & (overlap > threshold)
    return np.where(seen, found, -1).reshape(videos, frames, -1)


def count_swaps(
    slots: Int[np.ndarray, "videos frames objects"],
) -> tuple[Int[np.ndarray, " videos"], Int[np.ndarray, " videos"]]:
    """How often objects changed their slot, and how often they were seen again."""
    last = slots[:, 0].copy()
    swaps, chances = np.zeros((2, len(slots)), np.int64)
    for frame in np.moveaxis(slots[:, 1:], 1, 0):
        again = (frame >= 0) & (last >= 0)
        chances += again.sum(axis=1)
        swaps += (again & (frame != last)).sum(axis=1)
        last = np.where(frame >= 0, frame, last)
    return swaps, chances
