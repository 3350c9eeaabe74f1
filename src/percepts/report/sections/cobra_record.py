"""The sections on how a COBRA pipeline went: its stages, its configuration, and how to repeat it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from percepts.core.config import to_json
from percepts.core.progress import clock_time
from percepts.core.runs import Run
from percepts.report.cobra_material import PipelineMaterial, Shown, task_title
from percepts.report.sections.repeating import configured, repeated
from percepts.report.sections.section import Section

UNITS = {"vision": "updates", "explore": "transitions"}


def stages(material: PipelineMaterial) -> Shown:
    """What became of every stage, and how to go on where something is missing."""
    rows = [_row(material, name, status) for name, status in material.status.items()]
    unfinished = [row["title"].lower() for row in rows if row["status"] != "finished"]
    content = {"rows": rows, "unfinished": unfinished, "path": str(material.agent.path)}
    return Shown(Section("cobra_stages", "Stages", content))


def configuration(material: PipelineMaterial) -> Shown:
    """The complete resolved configuration."""
    return Shown(configured(to_json(material.config)))


def reproduction(material: PipelineMaterial) -> Shown:
    """The command and the circumstances."""
    return Shown(repeated([material.info]))


def stage_seconds(path: Path) -> float | None:
    """How long a stage took so far."""
    run = Run(path)
    found = run.info().get("seconds") if run.info_file.is_file() else None
    return float(found) if isinstance(found, int | float) else None


def _row(material: PipelineMaterial, name: str, status: str) -> dict[str, Any]:
    path = material.agent.path / name
    run = Run(path)
    info = run.info() if run.info_file.is_file() else {}
    seconds, step = stage_seconds(path), info.get("step")
    titles = {"vision": "Vision", "explore": "Exploration"}
    return {
        "name": name,
        "title": titles.get(name) or task_title(name.removeprefix("tasks/")),
        "status": status,
        "done": f"{step:,} {UNITS.get(name, 'rewarded steps')}" if isinstance(step, int) else "",
        "time": "" if seconds is None else clock_time(seconds),
        "error": str(info.get("error") or ""),
    }
