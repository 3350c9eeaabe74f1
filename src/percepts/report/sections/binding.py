"""Do the slots bind: every symptom with its verdict, its picture or curve, and what to try."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from percepts.core.errors import PerceptsError
from percepts.core.slots import labels
from percepts.metrics.segmentation_colour import colour_labels
from percepts.report.binding import BindingNumbers, binding_numbers
from percepts.report.binding_findings import Finding, binding_findings
from percepts.report.curves import Line, line_chart, smoothed
from percepts.report.images import Picture, picture, sequential, to_pixels
from percepts.report.material import Material, as_number, series
from percepts.report.sections.section import Chart, Section
from percepts.report.slot_palette import blend_masks, colour_masks, slot_colour
from percepts.report.slot_sheet import shrink_labels
from percepts.report.slots import alike, percent
from percepts.report.svg import short

EXAMPLES = 5
VERDICTS = {True: ("found", "found"), False: ("not found", "clear"), None: ("cannot be told", "")}
"""In words, and as a class of the page."""
Row = tuple[str, list[Picture]]


def binding(material: Material) -> Section | None:
    """The symptoms of slots that do not bind."""
    if material.decomposition is None:
        return None
    numbers = measured(material)
    findings = binding_findings(numbers)
    count = sum(one.found is True for one in findings)
    return Section(
        "binding",
        "Do the slots bind?",
        {
            "findings": [_shown(one, material, numbers) for one in findings],
            "count": count,
            "images": numbers.images,
            "evaluated": (material.evaluation.get("images") or 0) if material.evaluation.get("slots") else 0,
        },
    )


def measured(material: Material) -> BindingNumbers:
    """The binding numbers of a run."""
    assert material.decomposition is not None
    backgrounds = getattr(material.dataset, "backgrounds", 1)
    evaluated = material.evaluation.get("slots")
    return binding_numbers(
        material.model, material.images, material.decomposition, material.truth, backgrounds, evaluated
    )


def _shown(finding: Finding, material: Material, numbers: BindingNumbers) -> dict[str, Any]:
    verdict, classes = {True: ("found", "found"), False: ("not found", "clear"), None: ("cannot be told", "")}[
        finding.found
    ]
    return {
        "name": finding.name,
        "title": finding.title,
        "verdict": verdict,
        "classes": classes,
        "evidence": finding.evidence,
        "tries": finding.tries,
        "open": finding.found is True,
        "charts": [chart for chart in CHARTS.get(finding.name, _nothing)(material) if chart is not None],
        "rows": PICTURES.get(finding.name, _nothing)(material),
        "bars": _bars(numbers) if finding.name == "gradient" else [],
    }


def _bars(numbers: BindingNumbers) -> list[tuple[int, str, str, float]]:
    """The gradient's share of every slot: number, colour, text, percent."""
    shares = numbers.gradient or []
    return [(slot, slot_colour(slot), percent(part), 100 * part) for slot, part in enumerate(shares)]


def _curve(
    material: Material, name: str, title: str, unit: str, caption: str, *, top: float | None = None
) -> Chart | None:
    steps, values = series(material.log, name)
    if not steps:
        return None
    lines = smoothed(title.lower(), steps, values)
    if top is not None:
        lines.insert(0, Line("largest possible", [steps[0], steps[-1]], [top, top], "dashed off"))
    svg = line_chart(lines, label=f"{title} over training", y_label=unit, include=(0.0,), key=f"binding-{name}")
    return Chart(title, svg, caption)


def _entropy(material: Material) -> list[Chart | None]:
    assert material.decomposition is not None
    slots = material.decomposition.mask.shape[1]
    caption = f"Dashed, ln {slots}: all slots share every pixel. A decoder that carves lets it fall, often suddenly."
    return [
        _curve(material, "mask_entropy", "Entropy of the masks", "nats a pixel", caption, top=math.log(max(slots, 2)))
    ]


def _largest(material: Material) -> list[Chart | None]:
    return [
        _curve(material, "largest_slot", "Share of the largest slot", "of the image", "1 means that one slot has all."),
        _curve(material, "active_slots", "Slots present", "an image", "Present: half of some pixel, and 0.5 % of all."),
    ]


def _slot_kl(material: Material) -> list[Chart | None]:
    found = [line for line in material.log if isinstance(line.get("kl_per_slot"), list) and line["kl_per_slot"]]
    if not found:
        return []
    size = len(found[-1]["kl_per_slot"])
    found = [line for line in found if len(line["kl_per_slot"]) == size]
    steps = [line["step"] for line in found]
    lines = [
        Line(
            f"slot {slot}",
            steps,
            [as_number(line["kl_per_slot"][slot]) for line in found],
            f"s{slot % 10}",
            (),
            size < 12,
        )
        for slot in range(size)
    ]
    svg = line_chart(lines, label="KL of every slot over training", y_label="nats", include=(0.0,), key="binding-kl")
    return [Chart("KL of every slot", svg, "What each slot carries, mean over images.")]


def _soft(material: Material) -> list[Row]:
    taken, truth = material.decomposition, material.truth
    assert taken is not None
    rows = [("image", _plain(material)), ("masks", _pictures(blend_masks(taken.mask[:EXAMPLES]), "masks"))]
    return rows if truth is None else [*rows, ("truth", _coloured(_true(material), "truth"))]


def _colours(material: Material) -> list[Row]:
    taken, truth = material.decomposition, material.truth
    assert taken is not None
    found = labels(taken.mask[:EXAMPLES])
    try:
        colours = _grouped(colour_labels(material.images[:EXAMPLES].float().cpu().clamp(0, 1)), found)
    except PerceptsError:
        return []
    rows = [
        ("image", _plain(material)),
        ("slots", _coloured(found, "slots")),
        ("colours", _coloured(colours, "colours")),
    ]
    return rows if truth is None else [*rows, ("truth", _coloured(_true(material), "truth"))]


def _errors(material: Material) -> list[Row]:
    taken = material.decomposition
    assert taken is not None
    drawn = taken.reconstruction[:EXAMPLES]
    error = (drawn - material.images[:EXAMPLES].float().cpu()).square().mean(1, keepdim=True).sqrt().nan_to_num(1.0)
    limit = max(float(error.max()), 1e-3)
    shades = sequential(to_pixels(error / limit)[..., 0] / 255, 1.0)
    words = f"error, brightest {short(limit, 2)}"
    return [
        ("image", _plain(material)),
        ("model", _pictures(to_pixels(drawn), "model")),
        ("error", _pictures(shades, words)),
    ]


def _both_masks(material: Material) -> list[Row]:
    taken = material.decomposition
    assert taken is not None
    inferred, decoded = taken.mask[:EXAMPLES].float(), taken.decoded_mask[:EXAMPLES].float()
    if torch.allclose(inferred, decoded, atol=1e-4):
        return []
    apart = (inferred - decoded).abs().sum(1, keepdim=True) / 2
    shades = sequential(to_pixels(apart)[..., 0] / 255, 1.0)
    return [
        ("inferred", _pictures(blend_masks(inferred), "inferred masks")),
        ("decoded", _pictures(blend_masks(decoded), "decoded masks")),
        ("difference", _pictures(shades, "where they differ")),
    ]


def _nothing(material: Material) -> list[Any]:
    return []


CHARTS: dict[str, Callable[[Material], list[Any]]] = {
    "empty": _slot_kl,
    "one-slot": _largest,
    "undecided": _entropy,
}
PICTURES: dict[str, Callable[[Material], list[Row]]] = {
    "undecided": _soft,
    "pieces": _soft,
    "colour": _colours,
    "scale": _errors,
    "masks": _both_masks,
}


def _true(material: Material) -> torch.Tensor:
    assert material.truth is not None
    assert material.decomposition is not None
    return alike(material.truth[:EXAMPLES], labels(material.decomposition.mask[:EXAMPLES]))


def _grouped(colours: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    """Colour groups in the colours of the slots that agree with them most, small groups included."""
    return alike(colours.cpu(), found)


def _plain(material: Material) -> list[Picture]:
    return _pictures(to_pixels(material.images[:EXAMPLES]), "image")


def _coloured(numbers: torch.Tensor, words: str) -> list[Picture]:
    return _pictures(colour_masks(shrink_labels(numbers)), words)


def _pictures(pixels: np.ndarray, words: str) -> list[Picture]:
    if max(pixels.shape[1:3]) > 96 and pixels.shape[3] == 3:
        pixels = to_pixels(torch.from_numpy(pixels / 255.0).permute(0, 3, 1, 2))
    return [picture(one, f"{words}, example {number + 1}") for number, one in enumerate(pixels)]
