"""The adjusted Rand index of segmentations (Hubert & Arabie 1985): do pixels of one entity share a slot?

With n_ij pixels of true entity i in slot j, row sums a_i, column sums b_j and n pixels in all,

    RI = Σ n_ij (n_ij - 1)    A = Σ a_i (a_i - 1)    B = Σ b_j (b_j - 1)    E = A·B / (n (n - 1))
    ARI = (RI - E) / ((A + B) / 2 - E)

The literature's ARI-FG leaves out the pixels whose true entity is background and says nothing about what a model does
with the background: read it beside an overlap (`mean_iou`). Scores are means of images, not of pooled pixels.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Float, Int

from percepts.core.errors import PerceptsError
from percepts.core.results import MetricResult
from percepts.metrics.per_image import mean_result
from percepts.metrics.segmentation_tables import Contingency, Frames, LabelMaps, score_of

Degenerate: TypeAlias = Literal["ours", "official", "sklearn"]


def adjusted_rand_index(
    true: LabelMaps,
    predicted: LabelMaps,
    *,
    backgrounds: int = 1,
    foreground: bool = True,
    degenerate: Degenerate = "ours",
    frames: Frames = "joint",
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> MetricResult:
    """The mean adjusted Rand index of label maps [N,H,W] or [N,T,H,W]: 1 for the same grouping, about 0 for chance.

    Args:
        true: the entity that each pixel shows.
        predicted: the slot of each pixel.
        backgrounds: how many entities, the first, are background (4 in Objects Room, else 1). Another number is
            another score.
        foreground: leave out the pixels of the background.
        degenerate: what counts where the formula is 0 / 0. "ours" and "sklearn": 1 where the two groupings are the same
            trivial one; an image with fewer than two such pixels has no score ("ours") or 1 ("sklearn"). "official",
            as in the code published with the multi-object datasets: 1 only where one entity and one slot fill the whole
            image, background pixels counting as the first object's; else no score.
        frames: of videos: "joint", one table over all frames, so that an object that changes its slot is an error;
            "each", the mean over frames, which does not see that.
        bootstrap: resamples of the images for the interval.
        level: confidence level of the interval.
        rng: source of the resamples.

    Returns:
        "ari_fg" or "ari", then ".frames" for "each" and the policy where it is not "ours"; details beside those of
        `mean_result`: `objects` an image, `below_two` images with fewer than two objects (ARI-FG is 0 or 1 there) and
        `several`, the score without them.

    Raises:
        DataError: label maps that do not fit together (see `Contingency.measure`).
        PerceptsError: an unknown policy or way with frames.
    """
    table = Contingency.measure(true, predicted, backgrounds)
    return adjusted_rand_from(table, foreground, degenerate, frames, bootstrap=bootstrap, level=level, rng=rng)


def adjusted_rand_from(
    table: Contingency,
    foreground: bool = True,
    degenerate: Degenerate = "ours",
    frames: Frames = "joint",
    *,
    bootstrap: int,
    level: float,
    rng: np.random.Generator | None,
) -> MetricResult:
    """`adjusted_rand_index` of a table that is already there."""
    first = table.backgrounds if foreground else 0
    scores = score_of(table, lambda counts: adjusted_rand(counts, first, degenerate), frames)
    several = scores[(table.objects > 1) & ~np.isnan(scores)]
    name = ("ari_fg" if foreground else "ari") + (".frames" if frames == "each" else "")
    return mean_result(
        name if degenerate == "ours" else f"{name}.{degenerate}",
        scores,
        bootstrap=bootstrap,
        level=level,
        rng=rng,
        bounds=(-1.0, 1.0),
        details={
            "objects": table.objects,
            "below_two": int((table.objects < 2).sum()),
            "several": float(several.mean()) if len(several) else float("nan"),
        },
        parameters={"backgrounds": table.backgrounds, "degenerate": degenerate, "frames": frames},
    )


def adjusted_rand(
    counts: Int[np.ndarray, "images entities slots"], first: int = 0, degenerate: Degenerate = "ours"
) -> Float[np.ndarray, " images"]:
    """The index of contingency tables without their `first` rows, in float64; NaN where the policy gives no score.

    Raises:
        PerceptsError: an unknown policy.
    """
    if degenerate not in get_args(Degenerate):
        raise PerceptsError(f"degenerate policy '{degenerate}'", "one of " + ", ".join(get_args(Degenerate)))
    kept = counts[:, first:]
    rows, columns = kept.sum(axis=2), kept.sum(axis=1)
    pixels = rows.sum(axis=1)
    # Whole numbers as far as they are exact: the trivial groupings are recognised by equality.
    index, true, found = pairs_of(kept.reshape(len(kept), -1)), pairs_of(rows), pairs_of(columns)
    pairs = pixels * (pixels - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = true.astype(np.float64) * found / pairs
        scores = (index - expected) / ((true + found) / 2 - expected)
    trivial = (true == found) & ((true == 0) | (true == pairs))
    if degenerate == "official":
        ids = counts[:, first:].sum(axis=2)
        ids[:, :1] += counts[:, :first].sum(axis=(1, 2))[:, None]
        one_group = ((ids > 0).sum(axis=1) <= 1) & ((counts.sum(axis=1) > 0).sum(axis=1) == 1)
        return np.where(one_group, 1.0, np.where(trivial, np.nan, scores))
    scores = np.where(trivial, 1.0, scores)
    return np.where(pixels < 2, np.nan, scores) if degenerate == "ours" else scores


def pairs_of(sizes: Int[np.ndarray, "images groups"]) -> Int[np.ndarray, " images"]:
    """How many ordered pairs of pixels are in one group."""
    return (sizes * (sizes - 1)).sum(axis=1)
