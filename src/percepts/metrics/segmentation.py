"""Every score of a segmentation, by name."""

from __future__ import annotations

from typing import Any

import numpy as np

from percepts.core.results import MetricResult
from percepts.core.slots import PRESENT_SHARE
from percepts.metrics.per_image import mean_result
from percepts.metrics.segmentation_ari import Degenerate, adjusted_rand_from
from percepts.metrics.segmentation_overlap import (
    best_iou,
    covering,
    excess_slots,
    localised,
    matched_iou,
    object_recovery_from,
    overlap_from,
    slot_count_from,
)
from percepts.metrics.segmentation_tables import Contingency, LabelMaps, score_of
from percepts.metrics.segmentation_video import slot_swaps_from


def segmentation_scores(
    true: LabelMaps,
    predicted: LabelMaps,
    *,
    backgrounds: int = 1,
    degenerate: Degenerate = "ours",
    share: float = PRESENT_SHARE,
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> dict[str, MetricResult]:
    """All segmentation scores of label maps [N,H,W] or [N,T,H,W], from one pass over the pixels.

    Args:
        true: the entity that each pixel shows.
        predicted: the slot of each pixel, such as `core.slots.labels` of soft masks.
        backgrounds: how many entities, the first, are background.
        degenerate: the policy of the adjusted Rand index; see `adjusted_rand_index`.
        share: of the image from which on slots and entities are counted.
        bootstrap: resamples of the images for the intervals.
        level: confidence level of the intervals.
        rng: source of the resamples.

    Returns:
        By name: `ari` and `ari_fg` (adjusted Rand index of all and of the objects' pixels; names of another policy end
        in it), `ari_fg.several` (of images with two or more objects), `miou` and `mbo` (of objects; `miou.all` and
        `mbo.all` count the background as well), `msc_fg` (another name of `mbo`), `sc_fg` and `sc` (covering weighted
        by pixels, of objects and of everything), `recovery`, `corloc`, `slot_count_accuracy`, `slot_count_error`.
        Videos are scored over all frames together; beside it they have `ari_fg.frames`, `miou.frames`, `mbo.frames`,
        the means over frames, and `slot_swaps`. A score that no image has (no object in sight) is NaN.

    Raises:
        DataError: label maps that do not fit together (see `Contingency.measure`).
        PerceptsError: an unknown policy, a share outside of [0, 1), or a bootstrap without a generator.
    """
    table = Contingency.measure(true, predicted, backgrounds)
    sure: dict[str, Any] = {"bootstrap": bootstrap, "level": level, "rng": rng}
    foreground = adjusted_rand_from(table, True, degenerate, **sure)
    results = [
        adjusted_rand_from(table, False, degenerate, **sure),
        foreground,
        _several(foreground, sure),
        overlap_from("miou", table, matched_iou, True, **sure),
        overlap_from("miou.all", table, matched_iou, False, **sure),
        overlap_from("mbo", table, best_iou, True, **sure),
        overlap_from("mbo.all", table, best_iou, False, **sure),
        overlap_from("msc_fg", table, best_iou, True, **sure),
        overlap_from("sc_fg", table, covering, True, **sure),
        overlap_from("sc", table, covering, False, **sure),
        object_recovery_from(table, **sure),
        overlap_from("corloc", table, localised, True, **sure),
        slot_count_from(table, share, **sure),
        _count_error(table, share, sure),
    ]
    if table.counts.shape[1] > 1:
        results += _of_video(table, degenerate, sure)
    return {result.name: result for result in results}


def _several(foreground: MetricResult, sure: dict[str, Any]) -> MetricResult:
    """ARI-FG of the images with two or more objects."""
    scores = np.where(foreground.details["objects"] > 1, foreground.details["per_image"], np.nan)
    name = foreground.name.replace("ari_fg", "ari_fg.several")
    return mean_result(name, scores, bounds=(-1.0, 1.0), parameters=foreground.parameters, **sure)


def _count_error(table: Contingency, share: float, sure: dict[str, Any]) -> MetricResult:
    """Mean distance of the number of slots from that of entities."""
    return mean_result(
        "slot_count_error",
        score_of(table, lambda counts: np.abs(excess_slots(counts, share))),
        bounds=(0.0, np.inf),
        parameters={"backgrounds": table.backgrounds, "share": share},
        **sure,
    )


def _of_video(table: Contingency, degenerate: Degenerate, sure: dict[str, Any]) -> list[MetricResult]:
    """What a video has beside the scores over all frames."""
    return [
        adjusted_rand_from(table, True, degenerate, "each", **sure),
        overlap_from("miou", table, matched_iou, True, "each", **sure),
        overlap_from("mbo", table, best_iou, True, "each", **sure),
        slot_swaps_from(table, **sure),
    ]
