"""The report: one self-contained HTML file that shows what a run learned and how well.

No request leaves the page: pictures are data URIs, charts are inline SVG, style and script are part of the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import torch
from torch import nn

from percepts import __version__
from percepts.core.files import write_text
from percepts.core.progress import clock_time
from percepts.core.runs import Run, now
from percepts.data.dataset import ImageDataset
from percepts.report.material import Material, as_number, find_setting, gather_material
from percepts.report.scores import headline_scores
from percepts.report.sections import SECTIONS, Section
from percepts.report.svg import Svg, nats, short

TEMPLATES = Path(__file__).parent / "templates"


def write_report(
    run: Run, model: nn.Module, dataset: ImageDataset, evaluation: Mapping[str, Any] | None, *, seed: int = 0
) -> Path:
    """Write `report.html` into the run folder and return its path.

    Sections follow the capabilities of `model`; one that only has `losses` gets curves, data and configuration.

    Args:
        run: finished or still in progress.
        model: trained; its mode is restored afterwards.
        dataset: what it was trained on.
        evaluation: the content of evaluation.json; any part may be missing.
        seed: of the images and samples that the report shows.

    Raises:
        RunError: the run's files cannot be read.
        PerceptsError: the report cannot be written; an older one is untouched.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            page = render_page(gather_material(run, model, dataset, evaluation, seed))
    finally:
        model.train(was_training)
    path = run.path / "report.html"
    write_text(path, page)
    return path


def render_page(material: Material) -> str:
    """The page as HTML."""
    return render_sections(
        [section for make in SECTIONS if (section := make(material)) is not None],
        title=material.run.path.resolve().name,
        summary=summary(material),
        status=status(material),
        facts=facts(material),
        numbers=key_numbers(material),
        warnings=warnings(material),
        seed=material.seed,
    )


def render_sections(sections: Sequence[Section], **header: Any) -> str:
    """A page of these sections as HTML.

    Args:
        header: `title`, `summary`, `status`, `facts` [(name, value)], `numbers` [(title, value, note)], `warnings`
            [(name, text)], and the `seed` of every choice that the page made.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        sections=sections,
        version=__version__,
        written=now(),
        **header,
        style=Svg((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        script=Svg((TEMPLATES / "report.js").read_text(encoding="utf-8")),
    )


def status(material: Material) -> str:
    """How the run stands; one that met its time limit is not finished."""
    known = str(material.info.get("status", "unknown"))
    stopped = material.info.get("stopped_by")
    return str(stopped) if known == "finished" and stopped else known


def summary(material: Material) -> str:
    """One sentence under the title."""
    model = find_setting(material.config, "model", "type") or type(material.model).__name__
    step = last_step(material)
    trained = f"after {step:,} steps" if step else "before its first logged step"
    return f"{model} on {data_name(material)}, {trained}"


def warnings(material: Material) -> list[tuple[str, str]]:
    """What training warned of, as (name, text)."""
    found = material.info.get("warnings")
    if not isinstance(found, Mapping):
        return []
    return [(str(name).replace("_", " "), str(text)) for name, text in found.items()]


def facts(material: Material) -> list[tuple[str, str]]:
    """The small print under the title, as (name, value)."""
    planned = find_setting(material.config, "training", "steps")
    step, seconds = last_step(material), material.info.get("seconds") or _last(material, "seconds")
    rate = material.info.get("images_per_second") or _last(material, "images_per_second")
    parameters = sum(parameter.numel() for parameter in material.model.parameters())
    seed = find_setting(material.config, "seed")
    of = f" of {planned:,}" if isinstance(planned, int) and planned != step else ""
    shape = " × ".join(map(str, material.dataset.image_shape))
    found = [
        ("data", f"{len(material.dataset):,} images, {shape}"),
        ("parameters", f"{parameters:,}"),
        ("steps", f"{step:,}{of}"),
        ("training time", clock_time(float(seconds)) if seconds else "n/a"),
        ("speed", f"{as_number(rate):,.0f} images/s" if rate else "n/a"),
        ("seed", "n/a" if seed is None else str(seed)),
        ("commit", str(material.info.get("commit") or "n/a")),
        ("device", str(material.info.get("device") or "n/a")),
        ("started", str(material.info.get("started") or "n/a")[:10]),
    ]
    return [(name, value) for name, value in found if value != "n/a"]


def key_numbers(material: Material) -> list[tuple[str, str, str]]:
    """The numbers to print large, as (title, value, note)."""
    numbers = headline_scores(material.metrics, 3)
    if material.latents is not None:
        used = len(material.latents.used)
        total = nats(sum(material.latents.kl))
        numbers.append(("Active latents", str(used), f"of {len(material.latents)}, {total} nats in all"))
    if material.slots is not None:
        active = as_number((material.evaluation.get("slots") or {}).get("active", material.slots.active))
        numbers.append(("Slots present", short(active, 2), f"of {len(material.slots.share)}, in an image"))
    reconstruction = material.evaluation.get("reconstruction") or {}
    if reconstruction.get("nmse") is not None:
        numbers.append(("Reconstruction error", short(reconstruction["nmse"]), "normalised squared error"))
    for name, title in (("elbo", "ELBO"), ("loss", "Loss")):
        if len(numbers) < 3 and (value := _last(material, name)) is not None:
            numbers.append((title, short(value, 4), "last logged step"))
    return numbers


def data_name(material: Material) -> str:
    """What the data are called: the configured type, or the class."""
    for place in (("data", "dataset", "type"), ("data", "type"), ("dataset", "type")):
        name = find_setting(material.config, *place)
        if name is not None:
            return str(name)
    return type(material.dataset).__name__


def last_step(material: Material) -> int:
    """The last step that is known of."""
    logged = [line["step"] for line in material.log if isinstance(line["step"], int)]
    return max([*logged, int(material.info.get("step") or 0)])


def _last(material: Material, name: str) -> float | None:
    values = [as_number(line[name]) for line in material.log if name in line]
    return values[-1] if values else None
