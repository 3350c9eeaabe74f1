"""The report of a selection among runs: one self-contained page that ranks the runs of a sweep without labels.

    selection = select(find_runs(sweep), out=sweep)
    write_sweep_report(sweep, selection)

It shows the ranking with the chosen run, how the seeds of every setting agree, how that goes with scores that needed
labels where there are any, and the traversals of the models that agree most and least (Duan et al. 2020).
"""

from __future__ import annotations

import math
from pathlib import Path

import torch

from percepts.core.errors import PerceptsError
from percepts.core.files import write_text
from percepts.core.random import torch_generator
from percepts.core.runs import Run
from percepts.data.dataset import ImageDataset
from percepts.report.comparison import Compared, side_by_side_traversals
from percepts.report.page import render_sections
from percepts.report.plates import Plate, empty_plate
from percepts.report.sections.section import Section
from percepts.report.sections.sweep import agreement, candidate_name, evidence, ranking, ranking_kind, record
from percepts.report.svg import short
from percepts.training.experiment import load
from percepts.training.selection_tables import Candidate, Selection

IMAGES = 256
COLLAPSED, AGREEING = 1, 0.5
"""A model with at most so many informative latents and at least this UDR only agrees on next to nothing."""


def write_sweep_report(folder: Path | str, selection: Selection) -> Path:
    """Write `report.html` into the sweep's folder and return its path.

    Args:
        folder: the sweep's.
        selection: of its runs. Runs whose folders are gone are ranked all the same; only their traversals are missing.

    Raises:
        PerceptsError: the report cannot be written; an older one is untouched.
    """
    path = Path(folder) / "report.html"
    write_text(path, render_sweep(selection, Path(folder).resolve().name))
    return path


def render_sweep(selection: Selection, title: str) -> str:
    """The page as HTML."""
    sections = [ranking(selection), agreement(selection), extremes(selection), evidence(selection), record(selection)]
    best = selection.best
    count, settings = len(selection.candidates), len(selection.groups)
    chosen = f"chosen: {candidate_name(selection, best)}" if best else "none chosen"
    return render_sections(
        [section for section in sections if section is not None],
        title=title,
        summary=f"{count} models in {settings} settings ranked by {selection.criterion}; {chosen}",
        status="finished" if best else "nothing chosen",
        facts=[
            ("common images", f"{selection.images:,}"),
            ("coverage", selection.coverage),
            ("left out", f"{len(selection.left_out)} runs"),
            ("commit", str(selection.provenance.get("commit") or "n/a")),
        ],
        numbers=_numbers(selection),
        warnings=warnings(selection),
        seed=_seed(selection),
    )


def warnings(selection: Selection) -> list[tuple[str, str]]:
    """What to look at before trusting the choice: the selection's own warnings, collapsed models, runs left out."""
    found = [("", text[:1].upper() + text[1:]) for text in selection.warnings]
    collapsed = collapsed_models(selection)
    if collapsed:
        names = ", ".join(candidate_name(selection, one) for one in collapsed[:5])
        found.append(
            (
                "collapsed models",
                f"{len(collapsed)} of {len(selection.candidates)} agree with others only because they hold next to "
                f"nothing: at most {COLLAPSED} informative latent and a UDR of {AGREEING} or more ({names}"
                f"{', …' if len(collapsed) > 5 else ''}). Ask for more with --min-active, or lower the pressure.",
            )
        )
    if selection.left_out:
        rows = "; ".join(f"{row.name}: {row.reason}" for row in selection.left_out[:3])
        more = f"; and {len(selection.left_out) - 3} more" if len(selection.left_out) > 3 else ""
        found.append(("left out", rows + more))
    return found


def collapsed_models(selection: Selection) -> list[Candidate]:
    """Models with a high UDR and hardly an informative latent, which UDR alone would praise."""
    kind = ranking_kind(selection)
    return [one for one in selection.candidates if one.active <= COLLAPSED and one.udr.get(kind, 0.0) >= AGREEING]


def extremes(selection: Selection) -> Section | None:
    """The traversals of the models with the highest and the lowest UDR that have an informative latent, same image."""
    kind = ranking_kind(selection)
    known = [one for one in selection.candidates if math.isfinite(one.udr.get(kind, math.nan))]
    known.sort(key=lambda one: -one.udr[kind])
    # A dead model has the lowest UDR of all and nothing to show: the lowest of those with a latent says more.
    known = [one for one in known if one.active > 0] if sum(one.active > 0 for one in known) > 1 else known
    if len(known) < 2 or any(one.path is None for one in (known[0], known[-1])):
        return None
    return Section("extremes", "Highest and lowest UDR", {"plate": _traversals(selection, known[0], known[-1], kind)})


def _traversals(selection: Selection, highest: Candidate, lowest: Candidate, kind: str) -> Plate:
    """Both models beside each other, or the reason why they cannot be shown."""
    models: list[Compared] = []
    dataset: ImageDataset | None = None
    try:
        for words, one in (("Highest", highest), ("Lowest", lowest)):
            model, dataset, _ = load(Run.open(str(one.path)))
            model.eval()
            note = f"UDR {short(one.udr[kind])}, {one.active} of {one.latents} latents informative"
            models.append(Compared(f"{words}: {candidate_name(selection, one)}", model, note))
        assert dataset is not None
        generator = torch_generator(_seed(selection), "report", "images")
        drawn = torch.randint(len(dataset), (IMAGES,), generator=generator)
        images = dataset.gather(drawn)["image"]
        return side_by_side_traversals(models, images, start=_contrast(images))
    except PerceptsError as error:  # A run that is gone, or a model that cannot decode, costs the page one picture.
        return empty_plate(f"No traversals: {error}")


def _contrast(images: torch.Tensor) -> int:
    """The image whose contrast is the median one: neither empty nor crowded."""
    contrast = images.flatten(1).std(dim=1, correction=0)
    return int(contrast.argsort()[len(contrast) // 2])


def _numbers(selection: Selection) -> list[tuple[str, str, str]]:
    """The numbers to print large, as (title, value, note)."""
    best = selection.best
    if best is None:
        return [("Models", str(len(selection.candidates)), f"in {len(selection.groups)} settings")]
    kind = ranking_kind(selection)
    interval = best.udr_interval.get(kind)
    span = f"{interval[0]:.2f} – {interval[1]:.2f}" if interval else "median over its peers"
    numbers = [
        ("UDR of the chosen run", f"{best.udr.get(kind, math.nan):.2f}", span),
        ("Informative latents", str(best.active), f"of {best.latents}"),
    ]
    labelled = [one for one in selection.correlations if one.first == f"udr.{kind}" and math.isfinite(one.value)]
    if labelled:
        top = max(labelled, key=lambda one: one.value)
        numbers.append(("Best rank correlation", f"{top.value:.2f}".replace("-", "−"), f"of UDR with {top.second}"))
    return numbers


def _seed(selection: Selection) -> int:
    return int(selection.parameters.get("seed", 0) or 0)
