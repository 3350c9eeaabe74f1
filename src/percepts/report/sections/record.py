"""What was done and measured: scores, training curves, configuration, and how to do it again."""

from __future__ import annotations

from typing import Any

from percepts.core.capabilities import Encodes
from percepts.report.curves import Line, line_chart, smoothed, trajectory
from percepts.report.material import Material, numeric_names, series
from percepts.report.scores import score_table
from percepts.report.sections.repeating import configured, repeated
from percepts.report.sections.section import Chart, Section
from percepts.report.svg import short

SETTLED = 0.05
"""The share at a run's beginning that its curves may show outside of the frame."""
TERMS = {
    "loss": ("Objective", "what is minimised"),
    "reconstruction": ("Reconstruction", "−ln p(x | z), nats an image"),
    "elbo": ("Evidence lower bound", "ELBO, nats an image"),
}
DRAWN_ELSEWHERE = {
    "step", "seconds", "images_per_second", "kl", "capacity", "kl_minus_capacity", "active_units", "lr", "mask_entropy",
    "largest_slot", "active_slots",
}  # fmt: skip
MOST_OTHERS = 6
MOST_LABELS = 12


def scores(material: Material) -> Section | None:
    """The metric table."""
    reconstruction = material.evaluation.get("reconstruction") or {}
    fits = [
        (title, short(reconstruction[name]))
        for name, title in (
            ("nll", "−ln p(x | z), nats an image"),
            ("excess", "of it above the data's entropy, nats"),
            ("mse", "mean squared error a pixel"),
            ("nmse", "normalised squared error"),
        )
        if reconstruction.get(name) is not None
    ]
    rows = score_table(material.metrics)
    content = {
        "rows": rows,
        "fits": fits,
        "images": material.evaluation.get("images"),
        "step": material.evaluation.get("step"),
        "seed": material.evaluation.get("seed"),
        "level": next((row.level for row in rows if row.interval), "95 %"),
        "path": material.run.path.resolve().name,
        "measurable": isinstance(material.model, Encodes),
    }
    return Section("scores", "Scores", content)


def training(material: Material) -> Section | None:
    """The loss terms, the KL of every latent, rate against distortion, and everything else that was logged."""
    if not material.log:
        return Section("training", "Training", {"charts": []})
    charts = [_kl_per_latent(material), _total_kl(material), *_terms(material), _rate_distortion(material)]
    charts += _others(material)
    return Section("training", "Training", {"charts": [chart for chart in charts if chart is not None]})


def configuration(material: Material) -> Section:
    """The complete resolved configuration."""
    return configured(material.config)


def reproduction(material: Material) -> Section:
    """The command and the circumstances."""
    return repeated([material.info])


def _kl_per_latent(material: Material) -> Chart | None:
    found = [(line["step"], line["kl_per_latent"]) for line in material.log if _is_list(line.get("kl_per_latent"))]
    if not found:
        return None
    steps = [step for step, _ in found]
    size = len(found[-1][1])
    found = [(step, values) for step, values in found if len(values) == size]
    order = material.latents.order if material.latents and len(material.latents) == size else list(range(size))
    classes = material.classes or {latent: f"s{latent % 10}" for latent in range(size)}
    lines = [
        Line(
            f"z{latent}",
            steps,
            [float("nan") if values[latent] is None else float(values[latent]) for _, values in found],
            classes[latent],
            labelled=classes[latent] != "off" and latent in order[:MOST_LABELS],
        )
        for latent in reversed(order)
    ]
    chart = line_chart(
        lines, label="KL of every latent over training", y_label="KL (nats)", include=(0.0,), key="kl-latents"
    )
    return Chart("KL of every latent", chart, "When each latent begins to carry information, and how much.")


def _total_kl(material: Material) -> Chart | None:
    steps, kl = series(material.log, "kl")
    if not steps:
        return None
    lines = smoothed("KL", steps, kl)
    caption = "The rate: mean KL to the prior, summed over latents."
    capacity_steps, capacity = series(material.log, "capacity")
    if capacity_steps:
        lines.insert(0, Line("capacity C", capacity_steps, capacity, "dashed off"))
        caption += " Dashed, the capacity C that it is held to."
    label = "Total KL over training" + (" with the capacity" if capacity_steps else "")
    chart = line_chart(lines, label=label, y_label="KL (nats)", include=(0.0,), settled=SETTLED, key="kl")
    return Chart("Total KL", chart, caption)


def _terms(material: Material) -> list[Chart]:
    charts = []
    for name, (title, unit) in TERMS.items():
        steps, values = series(material.log, name)
        if steps:
            lines = smoothed(title.lower(), steps, values)
            svg = line_chart(lines, label=f"{title} over training", y_label=unit, settled=SETTLED, key=name)
            charts.append(Chart(title, svg))
    return charts


def _rate_distortion(material: Material) -> Chart | None:
    both = [line for line in material.log if "kl" in line and "reconstruction" in line]
    steps, rate = series(both, "kl")
    _, distortion = series(both, "reconstruction")
    if len(steps) < 3:
        return None
    svg = trajectory(
        rate,
        distortion,
        steps,
        label="Reconstruction term against KL over training",
        x_label="rate: KL (nats)",
        y_label="distortion: −ln p(x | z) (nats)",
    )
    return Chart("Rate and distortion", svg, "Each dot is a logged step, later ones darker; the large one is the last.")


def _others(material: Material) -> list[Chart]:
    """Every other logged number that moves, such as scores measured during training."""
    names = [name for name in numeric_names(material.log) if name not in TERMS and name not in DRAWN_ELSEWHERE]
    charts = [chart for name in names if (chart := logged_chart(material.log, name)) is not None]
    return sorted(charts, key=lambda chart: not chart.caption)[:MOST_OTHERS]


def logged_chart(
    log: list[dict[str, Any]], name: str, title: str = "", unit: str = "", x_label: str = "step"
) -> Chart | None:
    """The curve of one logged number; None where it does not move."""
    steps, values = series(log, name)
    if len({value for value in values if value == value}) < 2:
        return None
    evaluated = name.startswith("evaluation/")
    title = title or name.removeprefix("evaluation/").replace("_", " ")
    key = "other-" + "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)
    lines = [Line(title, steps, values, "s1")] if evaluated else smoothed(title, steps, values)
    svg = line_chart(
        lines,
        label=f"{title} over training",
        x_label=x_label,
        y_label=unit,
        settled=0.0 if evaluated else SETTLED,
        points=evaluated and len(steps) < 40,
        key=key,
    )
    return Chart(title, svg, "Measured during training." if evaluated else "")


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0
