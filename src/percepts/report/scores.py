"""The metric table: every score with its interval, and what it means in one plain sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from percepts.core.results import MetricResult
from percepts.report.svg import short


@dataclass(frozen=True)
class Meaning:
    """What a metric says.

    Attributes:
        title: its name in print.
        sentence: one plain sentence.
        order: place in the table.
        top: the best possible value, where scores lie in [0, top]; None for open scales.
    """

    title: str
    sentence: str
    order: float
    top: float | None = 1.0


SEGMENTATION = {
    "ari_fg": Meaning("ARI, objects", "Whether pixels of one object, and of no other, share a slot; 0 is chance.", 0),
    "ari_fg.several": Meaning("ARI, two objects or more", "The same, of images with something to tell apart.", 0.1),
    "ari_fg.frames": Meaning("ARI, objects, frame by frame", "The same, every frame of a video by itself.", 0.2),
    "ari": Meaning("ARI, all pixels", "The same with the background, which is most of it.", 1),
    "miou": Meaning("Mean IoU, objects", "Overlap of every object with its slot, one slot an object.", 2),
    "miou.all": Meaning("Mean IoU with background", "The same with the background.", 2.1),
    "miou.frames": Meaning("Mean IoU, frame by frame", "The same, every frame of a video by itself.", 2.2),
    "mbo": Meaning("Mean best overlap", "Overlap of every object with the slot that fits it best.", 3),
    "mbo.all": Meaning("Mean best overlap with background", "The same with the background.", 3.1),
    "mbo.frames": Meaning("Mean best overlap, frame by frame", "The same, every frame of a video by itself.", 3.2),
    "msc_fg": Meaning("Mean segmentation covering", "Mean best overlap under its other name.", 3.3),
    "sc_fg": Meaning("Segmentation covering, objects", "Best overlap, larger objects counting more.", 3.4),
    "sc": Meaning("Segmentation covering", "The same with the background.", 3.5),
    "recovery": Meaning("Objects recovered", "Share of objects that a slot overlaps by more than half.", 4),
    "corloc": Meaning("Images with an object found", "Share of images where some object is recovered.", 4.1),
    "slot_count_accuracy": Meaning("Slot count right", "How often as many slots as entities are present.", 5),
    "slot_count_error": Meaning("Slot count error", "Slots too many or too few, on average; 0 is best.", 5.1, None),
    "slot_probe": Meaning(
        "Read from a slot", "How well a linear probe of an object's slot tells the property (accuracy or R²).", 6
    ),
    "slot_dci": Meaning("DCI of slots", "Whether each latent of a slot matters for a single property.", 7),
    "slot_swaps": Meaning("Slots changing hands", "How often an object changes its slot within a video.", 5.2, None),
}
"""Of segmentations and slots."""
MEANINGS = {
    "factor_vae": Meaning("FactorVAE score", "How often the steadiest latent tells which factor was held fixed.", 0),
    "mig": Meaning("Mutual information gap", "How far the best latent for a factor is ahead of the second best.", 1),
    "mig.sup": Meaning("MIG-sup", "How far the best factor for a latent is ahead of the second best.", 2),
    "dci": Meaning("DCI disentanglement", "Whether each latent matters for a single factor.", 3),
    "dci.completeness": Meaning("DCI completeness", "Whether each factor depends on a single latent.", 4),
    "dci.informativeness": Meaning("DCI informativeness", "How well the factors can be predicted from the code.", 4.5),
    "dci.lasso.informativeness": Meaning(
        "DCI error (lasso)",
        "Error of predicting the factors from the code, in standard deviations; 0 is best.",
        4.6,
        None,
    ),
    "sap": Meaning("SAP", "How much better one latent predicts a factor than the runner-up does.", 5),
    "beta_vae": Meaning("β-VAE score", "How often a linear classifier names the factor that two images share.", 6),
    "modularity": Meaning("Modularity", "Whether each latent tells about at most one factor.", 7),
    "explicitness": Meaning("Explicitness", "How well a linear classifier reads the factors off the code.", 8),
    "irs": Meaning("Interventional robustness", "Whether latents stay put when factors that are not theirs change.", 9),
    "affine_geometry": Meaning("Affine geometry", "Share of the positions' variance that an affine map explains.", 10),
    "probe.logistic": Meaning("Linear probe", "Accuracy of a linear classifier of the label on posterior means.", 11),
    "probe.ridge": Meaning("Linear regression", "Variance of the factors that is linear in the code (R²).", 12),
    "active_units": Meaning("Active latents", "Latents with a mean KL above 0.01 nats.", 20, None),
    "gaussian_total_correlation": Meaning(
        "Total correlation", "Dependence between latents, were they Gaussian; 0 is none (nats).", 21, None
    ),
    "gaussian_wasserstein_correlation": Meaning(
        "Wasserstein correlation", "Distance of the code from one with independent latents; 0 is none.", 22, None
    ),
    "gaussian_wasserstein_correlation.normalised": Meaning(
        "Wasserstein correlation, normalised", "The same over the total variance of the code.", 23, None
    ),
    "mutual_information_score": Meaning(
        "Mutual information between latents", "Mean over pairs; 0 is independent (nats).", 24, None
    ),
    **SEGMENTATION,
}
"""By full name, or by the part before the first dot. Only sentences live here; definitions are in `metrics`."""


@dataclass(frozen=True)
class Score:
    """One row of the table.

    Attributes:
        name: the metric's own name.
        title, sentence: in print.
        value: as text, "n/a" for none.
        interval: as text, empty for none.
        level: of the interval, in percent.
        share: of the bar that is filled, in percent; None for open scales.
        whisker: the interval on the bar, in percent (left, width).
        settings: the variant's parameters in words.
    """

    name: str
    title: str
    sentence: str
    value: str
    interval: str
    level: str
    share: float | None
    whisker: tuple[float, float] | None
    settings: str


def score_table(metrics: Mapping[str, Any]) -> list[Score]:
    """The rows for `evaluation["metrics"]`, the scores that compare with true factors first."""
    results = [part for data in metrics.values() for part in _parts(MetricResult.from_json(data))]
    rows = [(meaning_of(result.name), result) for result in results]
    rows.sort(key=lambda row: (row[0].order, row[1].name))
    return [_row(meaning, result) for meaning, result in rows]


def _parts(result: MetricResult) -> list[MetricResult]:
    """The result, and for DCI its two other halves, which are among its details."""
    kinds = ("completeness", "informativeness") if result.name.startswith("dci.") else ()
    numbers = [(kind, result.details.get(kind)) for kind in kinds]
    others = [
        MetricResult(name=f"{result.name}.{kind}", value=float(value), parameters=result.parameters)
        for kind, value in numbers
        if isinstance(value, int | float)
    ]
    return [result, *others]


def meaning_of(name: str) -> Meaning:
    """What the metric called `name` says; an unknown one keeps its own name, without a sentence."""
    first, last = name.split(".")[0], name.split(".")[-1]
    found = MEANINGS.get(name) or MEANINGS.get(f"{first}.{last}") or MEANINGS.get(first)
    return found or Meaning(name, "", 30, None)


def headline_scores(metrics: Mapping[str, Any], most: int = 4) -> list[tuple[str, str, str]]:
    """The few scores to print large, as (title, value, note)."""
    rows = [row for row in score_table(metrics) if row.share is not None]
    titles: dict[str, Score] = {}
    for row in rows:
        titles.setdefault(row.title, row)
    return [(row.title, row.value, row.interval or row.name) for row in list(titles.values())[:most]]


def _row(meaning: Meaning, result: MetricResult) -> Score:
    share, whisker = None, None
    if meaning.top is not None and math.isfinite(result.value):
        share = 100 * min(max(result.value / meaning.top, 0.0), 1.0)
        if result.interval is not None and None not in result.interval:
            low, high = (100 * min(max(end / meaning.top, 0.0), 1.0) for end in result.interval)
            whisker = (low, high - low)
    interval = ""
    if result.interval is not None:
        interval = " – ".join(_decimal(end, meaning) for end in result.interval)
    settings = ", ".join(
        f"{key.replace('_', ' ')} {short(value) if isinstance(value, float) else value}"
        for key, value in result.parameters.items()
        if isinstance(value, int | float | str) and not isinstance(value, bool)
    )
    return Score(
        result.name,
        meaning.title,
        meaning.sentence,
        _decimal(result.value, meaning),
        interval,
        f"{100 * result.level:g} %",
        share,
        whisker,
        settings,
    )


def _decimal(value: float | None, meaning: Meaning) -> str:
    """Scores in [0, 1] get three decimals, so that they stand under each other."""
    if value is None or not math.isfinite(value) or meaning.top is None:
        return short(value)
    return f"{value:.3f}".replace("-", "−")
