"""The report of a COBRA pipeline: one self-contained page, and its figures.

    report_pipeline("runs/cobra")             # runs/cobra/report.html and runs/cobra/figures/

It shows what is there and says what is missing, so a pipeline that only explored has a page, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch

import percepts.agents.cobra.presets  # noqa: F401 - registers the tasks that its pipelines name
from percepts.agents.cobra.agent import CobraAgent
from percepts.core.config import type_name
from percepts.core.files import write_bytes, write_text
from percepts.core.progress import clock_time
from percepts.report.cobra_material import MODES, PipelineMaterial, Shown, TaskRecord, explorer_name, gather_pipeline
from percepts.report.material import as_number
from percepts.report.page import render_sections
from percepts.report.plates import Plate
from percepts.report.sections.cobra import episodes, rewards, tasks
from percepts.report.sections.cobra_exploration import dynamics, exploration
from percepts.report.sections.cobra_record import configuration, reproduction, stage_seconds, stages
from percepts.report.sections.cobra_vision import vision
from percepts.report.svg import short
from percepts.training.catalogue import load_rooms
from percepts.training.setup import computing

SECTIONS: tuple[Callable[[PipelineMaterial], Shown | None], ...] = (
    tasks,
    episodes,
    exploration,
    dynamics,
    vision,
    rewards,
    stages,
    configuration,
    reproduction,
)
"""In the order of the page."""


def report_pipeline(folder: Path | str, *, seed: int = 0) -> Path:
    """Write `report.html` and the folder `figures` (PNG and GIF files) into a pipeline's folder.

    Scenes and episodes on the page come from streams of its own; nothing of the pipeline is changed.

    Args:
        folder: of the pipeline, whatever of it is there.
        seed: of every choice that the report makes.

    Returns:
        The path of the page.

    Raises:
        RunError: there is no pipeline.
        PerceptsError: the page cannot be written; an older one is untouched.
    """
    load_rooms()
    agent = CobraAgent.open(folder)
    with computing(agent.config.threads), torch.no_grad():
        material = gather_pipeline(agent, seed)
        shown = [one for make in SECTIONS if (one := make(material)) is not None]
        page = render_pipeline(material, shown)
    for one in shown:
        for name, figure in one.files.items():
            _write_figure(agent.path / "figures" / name, figure)
    path = agent.path / "report.html"
    write_text(path, page)
    return path


def render_pipeline(material: PipelineMaterial, shown: list[Shown]) -> str:
    """The page as HTML."""
    return render_sections(
        [one.section for one in shown],
        title=material.agent.path.resolve().name,
        summary=_summary(material),
        status=str(material.info.get("status", "unknown")),
        facts=_facts(material),
        numbers=key_numbers(material),
        warnings=_warnings(material),
        seed=material.seed,
    )


def key_numbers(material: PipelineMaterial) -> list[tuple[str, str, str]]:
    """The numbers to print large, as (title, value, note): success of every task, and how often the explorer hits."""
    numbers = [_task_number(task) for task in material.tasks if task.scores]
    hits, by_chance = (as_number(material.probes.get(f"{probe}/hit_fraction")) for probe in ("explorer", "random"))
    own = explorer_name(material.config.exploration)
    if math.isfinite(hits):
        note = f"in fresh scenes; uniform ones: {100 * by_chance:.1f} %" if math.isfinite(by_chance) else ""
        numbers.append((f"{own.capitalize()} actions that hit a sprite", f"{100 * hits:.0f} %", note))
    elif material.exploration_log:
        last = as_number(material.exploration_log[-1].get("hit_fraction"))
        numbers.append(("Actions that hit a sprite", f"{100 * last:.0f} %", "the last logged ones of the exploration"))
    error = as_number(material.probes.get("objects/relative_error"))
    if math.isfinite(error):
        numbers.append(("Error of the transition model", short(error), "on hits; 1: as if nothing moved"))
    return numbers


def _task_number(task: TaskRecord) -> tuple[str, str, str]:
    known = [mode for mode in MODES if mode in task.scores]
    values = " / ".join(f"{100 * task.scores[mode]['success']:.0f}" for mode in known)
    parts = []
    for mode in known:
        low, high = (100 * end for end in task.scores[mode]["success_interval"])
        parts.append(f"{MODES[mode]} {low:.0f} to {high:.0f}")
    reached = f"90 % after {task.steps_to:,} rewarded steps" if task.steps_to else "90 % not reached in training"
    modes = " / ".join(MODES[mode] for mode in known)
    return f"{task.title}: {modes}", f"{values} %", f"95 %: {', '.join(parts)}; {reached}"


def _summary(material: PipelineMaterial) -> str:
    config = material.config
    eyes = type_name(type(config.vision.model)) if config.vision is not None else type_name(type(config.encoder))
    count = len(material.tasks)
    learned = sum(task.status == "finished" for task in material.tasks)
    done = f"{learned} of {count} task{'s' if count != 1 else ''} learned" if count else "no tasks"
    names = {"OracleFactors": "true factors", "ColourSegments": "areas of one colour"}
    last = max((line["step"] for line in material.exploration_log), default=0)
    explored = f"{last:,} transitions explored" if last else "nothing explored yet"
    return f"COBRA on slots from {names.get(eyes, eyes)}: {explored}, {done}"


def _facts(material: PipelineMaterial) -> list[tuple[str, str]]:
    config = material.config
    times = [stage_seconds(material.agent.path / name) for name in material.status]
    seconds = sum(time for time in times if time is not None)
    steps = sum(task.log[-1]["step"] for task in material.tasks if task.log)
    found = [
        ("rewarded steps", f"{steps:,} in all" if steps else "n/a"),
        ("episodes of an evaluation", f"{config.episodes:,}"),
        ("noise on actions", f"{config.noise:g}" if config.noise else "none"),
        ("explorer", type_name(type(config.exploration.explorer))),
        ("training time", clock_time(seconds) if seconds else "n/a"),
        ("seed", str(config.seed)),
        ("commit", str(material.info.get("commit") or "n/a")),
        ("started", str(material.info.get("started") or "n/a")[:10]),
    ]
    return [(name, value) for name, value in found if value != "n/a"]


def _warnings(material: PipelineMaterial) -> list[tuple[str, str]]:
    found = []
    if material.info.get("error"):
        found.append(("failed", str(material.info["error"])))
    missing = [name for name, status in material.status.items() if status != "finished"]
    if missing:
        found.append(("not finished", ", ".join(f"{name} ({material.status[name]})" for name in missing)))
    return found


def _write_figure(path: Path, figure: Plate | bytes) -> None:
    if isinstance(figure, Plate):
        figure.save(path.with_suffix(".png"))
    else:
        write_bytes(path, figure)
