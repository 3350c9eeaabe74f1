"""Sections on what a COBRA pipeline does without rewards: exploring, and learning what actions do."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from percepts.report.cobra_figures import ARROWS, exploration_plate, prediction_plate, rollout_plate
from percepts.report.cobra_material import PipelineMaterial, Shown, explorer_name, has_true_slots
from percepts.report.cobra_samples import CLICKS, predicted_rollout, predicted_steps, scene_clicks
from percepts.report.curves import Line, line_chart, smoothed
from percepts.report.material import as_number, series
from percepts.report.plates import Plate
from percepts.report.sections.cobra import attempt
from percepts.report.sections.section import Chart, Section
from percepts.report.svg import short

CELLS = 64
"""Of the histogram whose entropy is logged."""
PROBES = {"random": "uniform clicks", "objects": "clicks into sprites", "explorer": "the explorer's own"}
MEASURES = {
    "hit_fraction": "hit fraction",
    "relative_error": "error on hits",
    "relative_error_moved": "of moved slots",
    "changed_pixels": "of changed pixels",
    "stray": "stray motion",
}
HORIZONS = (1, 3, 5, 10)
FEW = 12
"""Logged steps below which each is a dot."""


def exploration(material: PipelineMaterial) -> Shown:
    """Hits and the spread of clicks over time, and where policies click."""
    missing = _unexplored(material)
    files: dict[str, Plate | bytes] = {}
    plate = None
    own = explorer_name(material.config.exploration)
    if material.explored:
        plate = attempt(missing, lambda: _clicks(material, own))
        if plate is not None:
            files["exploration"] = plate
    content = {
        "missing": missing,
        "charts": _charts(material, own) if material.exploration_log else [],
        "plate": plate,
        "own": own,
        "transitions": f"{_last_step(material):,}",
        "uniform": f"{100 * material.config.exploration.uniform:.0f} %",
    }
    return Shown(Section("cobra_exploration", "Exploration", content), files)


def dynamics(material: PipelineMaterial) -> Shown | None:
    """The transition model: errors on probes, over several steps, and predictions beside the truth."""
    if not material.explored:
        return None
    missing: list[str] = [] if material.probes else ["The transition model was not measured on probes."]
    files: dict[str, Plate | bytes] = {}
    for name, make in (("predictions", _predictions), ("rollout", _rollout)):
        plate = attempt(missing, lambda make=make: make(material))  # type: ignore[misc]
        if plate is not None:
            files[name] = plate
    measures = {
        key: name for key, name in MEASURES.items() if any(f"{probe}/{key}" in material.probes for probe in PROBES)
    }
    rows = [
        {"name": name, "hue": f"s{number}", "cells": [short(_probe(material, probe, key)) for key in measures]}
        for number, (probe, name) in enumerate(PROBES.items())
        if any(key.startswith(f"{probe}/") for key in material.probes)
    ]
    chart = _rollout_chart(material)
    content = {
        "missing": missing,
        "measures": list(measures.values()),
        "rows": rows,
        "charts": [] if chart is None else [chart],
        "plates": list(files.values()),
        "pixels": material.config.exploration.loss.needs_image,
    }
    return Shown(Section("cobra_dynamics", "What actions do", content), files)


def _unexplored(material: PipelineMaterial) -> list[str]:
    status = material.status["explore"]
    if status == "finished":
        return []
    vision = material.status.get("vision", "finished")
    if vision != "finished":
        return [f"The vision that the exploration needs is {vision}."]
    if status == "missing":
        return ["The exploration was not begun."]
    return [f"The exploration is {status}: its policy and its model are not there yet."]


def _charts(material: PipelineMaterial, own: str) -> list[Chart]:
    log = material.exploration_log
    end = float(max(line["step"] for line in log))
    steps, hits = series(log, "hit_fraction")
    lines = _named(smoothed(own, steps, hits))
    random = _probe(material, "random", "hit_fraction")
    if math.isfinite(random):
        lines.append(Line("random", [0.0, end], [random, random], "off", labelled=True))
    words = "transitions"
    hit_chart = line_chart(
        lines, label="Share of actions that hit a sprite over the exploration", x_label=words, y_label="hit fraction",
        include=(0.0,), points=len(steps) < FEW, key="hit-fraction",
    )  # fmt: skip
    caption = f"How many actions find a sprite. Grey: uniform actions, measured at the end. {_uniform(material)}"
    charts = [Chart("Actions that hit a sprite", hit_chart, caption)]
    steps, entropy = series(log, "click_entropy")
    most = math.log(CELLS)
    lines = [*_named(smoothed(own, steps, entropy)), Line("evenly spread", [0.0, end], [most, most], "dashed")]
    svg = line_chart(
        lines,
        label="Entropy of the clicks over the exploration",
        x_label=words,
        y_label="nats",
        points=len(steps) < FEW,
        key="entropy",
    )
    caption = (
        f"Entropy of clicks in {CELLS} equal squares; dashed, ln {CELLS}. A fall to 0 is one click again and again."
    )
    charts.append(Chart("Spread of the clicks", svg, caption))
    for key, title, caption in (
        ("transition_loss", "Loss of the transition model", "On replayed transitions, which change with the explorer."),
        ("surprise", "Surprise", "Mean log(1 + e / e₀) of replayed transitions: what the explorer seeks."),
        ("critic_explained", "What the explorer foresees", "Share of the variance of the surprise; 1 is all of it."),
    ):
        steps, values = series(log, key)
        if any(math.isfinite(value) for value in values):
            svg = line_chart(
                smoothed(title.lower(), steps, values), label=f"{title} over the exploration", x_label=words,
                settled=0.05, points=len(steps) < FEW, key=key.replace("_", "-"),
            )  # fmt: skip
            charts.append(Chart(title, svg, caption))
    return charts


def _named(lines: list[Line]) -> list[Line]:
    """The same with the name at the end of the last one."""
    return [*lines[:-1], replace(lines[-1], labelled=True)]


def _uniform(material: PipelineMaterial) -> str:
    share = material.config.exploration.uniform
    return f"{100 * share:.0f} % of all actions are uniform whatever the policy says." if share else ""


def _clicks(material: PipelineMaterial, own: str) -> Plate:
    shown = [name for name in material.policies() if name in ("random", own)]
    noiseless = ", before the noise that is added" if material.config.noise else ""
    return exploration_plate(
        scene_clicks(material, shown),
        shown,
        f"Where each policy clicks in three scenes ({CLICKS:,} single actions each; brightness is density on one "
        f"scale) and {ARROWS} of these actions: orange hit a sprite, grey miss{noiseless}.",
    )


def _predictions(material: PipelineMaterial) -> Plate:
    how = (
        "Predicted pictures are drawn by the renderer with the sprites where their slots are predicted to be; below, "
        "how far off the farthest sprite is, in arena units."
        if has_true_slots(material)
        else "Predicted pictures are decoded from predicted slots; no prediction can look better than what the vision "
        "draws of the true outcome. Below, the mean squared error a pixel."
    )
    noise = " Actions are noisy, and only what was meant is shown." if material.config.noise else ""
    return prediction_plate(predicted_steps(material), f"Clicks into sprites, one step ahead. {how}{noise}")


def _rollout(material: PipelineMaterial) -> Plate:
    found = predicted_rollout(material)
    words = f"{len(found.arrows)} clicks into sprites, all predicted from the first scene: errors add up."
    return rollout_plate(found, words)


def _rollout_chart(material: PipelineMaterial) -> Chart | None:
    lines = []
    for number, (probe, name) in enumerate(PROBES.items()):
        values = [_probe(material, probe, f"rollout_{horizon}") for horizon in HORIZONS]
        if any(math.isfinite(value) for value in values):
            lines.append(Line(name, [float(one) for one in HORIZONS], values, f"s{number}"))
    if not lines:
        return None
    lines.append(Line("nothing moves", [float(HORIZONS[0]), float(HORIZONS[-1])], [1.0, 1.0], "dashed"))
    ticks = {float(one): str(one) for one in HORIZONS}
    svg = line_chart(
        lines, label="Error of predictions over several steps", x_label="steps ahead", y_label="relative error",
        include=(0.0,), points=True, x_ticks=ticks, key="rollout",
    )  # fmt: skip
    return Chart(
        "Several steps ahead",
        svg,
        "Error relative to the prediction that nothing ever moves (dashed, 1). Colours are those of the table.",
    )


def _probe(material: PipelineMaterial, probe: str, key: str) -> float:
    return as_number(material.probes.get(f"{probe}/{key}"))


def _last_step(material: PipelineMaterial) -> Any:
    return max((line["step"] for line in material.exploration_log), default=0)
