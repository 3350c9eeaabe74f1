"""Overlaps of true entities and slots: intersection over union (IoU) of hard masks, per image and then its mean.

Unlike the adjusted Rand index they see what a model does with the background's pixels: a slot that covers an object and
half of the background has a small IoU. An entity without a visible pixel does not count; an image without one has no
score.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from percepts.core.errors import PerceptsError
from percepts.core.results import MetricResult
from percepts.core.slots import PRESENT_SHARE
from percepts.metrics.assignment import best_assignment
from percepts.metrics.per_image import mean_result
from percepts.metrics.segmentation_tables import Contingency, Frames, LabelMaps, score_of


def mean_iou(
    true: LabelMaps,
    predicted: LabelMaps,
    *,
    backgrounds: int = 1,
    foreground: bool = True,
    frames: Frames = "joint",
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> MetricResult:
    """Mean over entities of the IoU with the slot that the best one-to-one assignment gives them; 0 without a slot.

    Args:
        true, predicted: label maps [N,H,W] or [N,T,H,W].
        backgrounds: how many entities, the first, are background.
        foreground: count objects only; otherwise the background's entities compete for slots and count as well.
        frames: of videos: "joint", one slot for an object in all frames, or "each", the mean over frames.
        bootstrap, level, rng: resamples of the images for the interval, its confidence level, their source.

    Returns:
        "miou", or "miou.all" with the background, then ".frames" for "each"; details as `mean_result`.

    Raises:
        DataError: label maps that do not fit together (see `Contingency.measure`).
    """
    table = Contingency.measure(true, predicted, backgrounds)
    name = "miou" if foreground else "miou.all"
    return overlap_from(name, table, matched_iou, foreground, frames, bootstrap=bootstrap, level=level, rng=rng)


def mean_best_overlap(
    true: LabelMaps,
    predicted: LabelMaps,
    *,
    backgrounds: int = 1,
    foreground: bool = True,
    frames: Frames = "joint",
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> MetricResult:
    """Mean over entities of the largest IoU with any slot (mBO); arguments as `mean_iou`.

    The same as the unweighted segmentation covering (MSC) of GENESIS.

    Returns:
        "mbo" or "mbo.all", then ".frames" for "each".
    """
    table = Contingency.measure(true, predicted, backgrounds)
    name = "mbo" if foreground else "mbo.all"
    return overlap_from(name, table, best_iou, foreground, frames, bootstrap=bootstrap, level=level, rng=rng)


def segmentation_covering(
    true: LabelMaps,
    predicted: LabelMaps,
    *,
    backgrounds: int = 1,
    foreground: bool = True,
    scaled: bool = True,
    frames: Frames = "joint",
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> MetricResult:
    """Mean over entities of the largest IoU, weighted by their pixels (`scaled`) or not; arguments as `mean_iou`.

    Source: the segmentation covering of Arbelaez et al. 2011 as Engelcke et al. 2020 (GENESIS) use it.

    Returns:
        "sc_fg" or, not scaled, "msc_fg"; "sc" or "msc" with the background; then ".frames" for "each".
    """
    table = Contingency.measure(true, predicted, backgrounds)
    name = ("sc" if scaled else "msc") + ("_fg" if foreground else "")
    score = covering if scaled else best_iou
    return overlap_from(name, table, score, foreground, frames, bootstrap=bootstrap, level=level, rng=rng)


def object_recovery(
    true: LabelMaps,
    predicted: LabelMaps,
    *,
    backgrounds: int = 1,
    threshold: float = 0.5,
    frames: Frames = "joint",
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> MetricResult:
    """Share of an image's objects that some slot overlaps by an IoU above `threshold`; arguments as `mean_iou`.

    Returns:
        "recovery", then ".frames" for "each"; details: `corloc`, the share of images with such an object. (The
        literature's CorLoc compares bounding boxes; this one compares masks.)
    """
    table = Contingency.measure(true, predicted, backgrounds)
    return object_recovery_from(table, threshold, frames, bootstrap=bootstrap, level=level, rng=rng)


def object_recovery_from(
    table: Contingency,
    threshold: float = 0.5,
    frames: Frames = "joint",
    *,
    bootstrap: int,
    level: float,
    rng: np.random.Generator | None,
) -> MetricResult:
    """`object_recovery` of a table that is already there."""
    if not 0 <= threshold < 1:
        raise PerceptsError(f"threshold = {threshold}", "an IoU of at least 0 and below 1")
    result = overlap_from(
        "recovery",
        table,
        lambda counts, first: recovered(counts, first, threshold),
        True,
        frames,
        bootstrap=bootstrap,
        level=level,
        rng=rng,
    )
    found = score_of(table, lambda counts: localised(counts, table.backgrounds, threshold), frames)
    result.details["corloc"] = mean_result("corloc", found).value
    result.parameters["threshold"] = threshold
    return result


def slot_count(
    true: LabelMaps,
    predicted: LabelMaps,
    *,
    backgrounds: int = 1,
    share: float = PRESENT_SHARE,
    frames: Frames = "joint",
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> MetricResult:
    """Share of images that have as many slots as entities, the background's included.

    Slots and entities count from `share` of the image on: a perfect model would otherwise fail on objects of three
    pixels. Other arguments as `mean_iou`.

    Returns:
        "slot_count_accuracy", then ".frames" for "each"; details: `mean_error`, the mean |slots - entities|, and
        `mean_excess`, the mean of slots - entities.
    """
    table = Contingency.measure(true, predicted, backgrounds)
    return slot_count_from(table, share, frames, bootstrap=bootstrap, level=level, rng=rng)


def slot_count_from(
    table: Contingency,
    share: float = PRESENT_SHARE,
    frames: Frames = "joint",
    *,
    bootstrap: int,
    level: float,
    rng: np.random.Generator | None,
) -> MetricResult:
    """`slot_count` of a table that is already there."""
    if not 0 <= share < 1:
        raise PerceptsError(f"share = {share}", "a share of the image, at least 0 and below 1")
    error = score_of(table, lambda counts: np.abs(excess_slots(counts, share)), frames)
    return mean_result(
        "slot_count_accuracy" + (".frames" if frames == "each" else ""),
        score_of(table, lambda counts: (excess_slots(counts, share) == 0).astype(np.float64), frames),
        bootstrap=bootstrap,
        level=level,
        rng=rng,
        bounds=(0.0, 1.0),
        details={
            "mean_error": float(error.mean()),
            "mean_excess": float(score_of(table, lambda counts: excess_slots(counts, share), frames).mean()),
        },
        parameters={"backgrounds": table.backgrounds, "share": share, "frames": frames},
    )


def overlap_from(
    name: str,
    table: Contingency,
    score: Callable[[Int[np.ndarray, "images entities slots"], int], Float[np.ndarray, " images"]],
    foreground: bool = True,
    frames: Frames = "joint",
    *,
    bootstrap: int,
    level: float,
    rng: np.random.Generator | None,
) -> MetricResult:
    """`score(counts, first entity that counts)` of every image as a result, of a table that is already there."""
    first = table.backgrounds if foreground else 0
    return mean_result(
        name + (".frames" if frames == "each" else ""),
        score_of(table, lambda counts: score(counts, first), frames),
        bootstrap=bootstrap,
        level=level,
        rng=rng,
        bounds=(0.0, 1.0),
        parameters={"backgrounds": table.backgrounds, "frames": frames},
    )


def overlaps(
    counts: Int[np.ndarray, "images entities slots"], first: int = 0
) -> Float[np.ndarray, "images kept slots"]:
    """IoU of every entity from `first` on with every slot; 0 where both are empty."""
    union = counts.sum(axis=2, keepdims=True) + counts.sum(axis=1, keepdims=True) - counts
    return (counts / np.maximum(union, 1))[:, first:]


def matched_iou(counts: Int[np.ndarray, "images entities slots"], first: int) -> Float[np.ndarray, " images"]:
    """Mean IoU of the visible entities under the best one-to-one assignment."""
    iou = overlaps(counts, first)
    slot = best_assignment(iou)
    found = np.take_along_axis(iou, np.maximum(slot, 0)[..., None], axis=2)[..., 0]
    return _mean_of_visible(np.where(slot < 0, 0.0, found), counts, first)


def best_iou(counts: Int[np.ndarray, "images entities slots"], first: int) -> Float[np.ndarray, " images"]:
    """Mean over the visible entities of their largest IoU."""
    return _mean_of_visible(overlaps(counts, first).max(axis=2), counts, first)


def covering(counts: Int[np.ndarray, "images entities slots"], first: int) -> Float[np.ndarray, " images"]:
    """Largest IoU of the entities, weighted by their pixels."""
    size = counts[:, first:].sum(axis=2)
    total = size.sum(axis=1)
    weighted = (size * overlaps(counts, first).max(axis=2)).sum(axis=1)
    return np.where(total > 0, weighted / np.maximum(total, 1), np.nan)


def recovered(
    counts: Int[np.ndarray, "images entities slots"], first: int, threshold: float = 0.5
) -> Float[np.ndarray, " images"]:
    """Share of the visible entities whose largest IoU is above `threshold`."""
    return _mean_of_visible((overlaps(counts, first).max(axis=2) > threshold).astype(np.float64), counts, first)


def localised(
    counts: Int[np.ndarray, "images entities slots"], first: int, threshold: float = 0.5
) -> Float[np.ndarray, " images"]:
    """1 where an entity's largest IoU is above `threshold`, NaN where there is no entity."""
    share = recovered(counts, first, threshold)
    return np.where(np.isnan(share), np.nan, (share > 0).astype(np.float64))


def excess_slots(
    counts: Int[np.ndarray, "images entities slots"], share: float = PRESENT_SHARE
) -> Float[np.ndarray, " images"]:
    """Slots less entities that have `share` of the image's pixels and at least one."""
    least = np.maximum(share * counts.sum(axis=(1, 2)), 1)[:, None]
    slots, entities = counts.sum(axis=1) >= least, counts.sum(axis=2) >= least
    return (slots.sum(axis=1) - entities.sum(axis=1)).astype(np.float64)


def _mean_of_visible(
    scores: Float[np.ndarray, "images kept"], counts: Int[np.ndarray, "images entities slots"], first: int
) -> Float[np.ndarray, " images"]:
    visible = counts[:, first:].any(axis=2)
    number = visible.sum(axis=1)
    return np.where(number > 0, (scores * visible).sum(axis=1) / np.maximum(number, 1), np.nan)
