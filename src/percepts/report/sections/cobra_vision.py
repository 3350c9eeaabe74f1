"""The section on what a COBRA pipeline sees, where slots come from a trained model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from percepts.agents.cobra.slot_models import ModelSlots
from percepts.agents.cobra.slots import as_images
from percepts.core.runs import Run
from percepts.core.slots import Decomposes
from percepts.report.cobra_material import PipelineMaterial, Shown, task_title
from percepts.report.plates import Plate
from percepts.report.scores import score_table
from percepts.report.sections.cobra import attempt
from percepts.report.sections.section import Section
from percepts.report.slot_usage import measure_slots
from percepts.report.slots import decomposition_plate, percent, to_cpu
from percepts.report.svg import short

EXPLORED, OF_TASKS = 6, 2
"""Scenes that are shown: of the exploration, and of the last task."""


def vision(material: PipelineMaterial) -> Shown | None:
    """Scenes taken apart by the model that the agent sees with, and its scores; None where it reads true factors."""
    if material.config.vision is None:
        return None
    status, run = material.status["vision"], Run(material.agent.vision_path)
    missing: list[str] = []
    content: dict[str, Any] = {"missing": missing, "plate": None, "scores": [], "facts": [], "step": 0, "report": False}
    if status != "finished":
        missing.append("The vision was not begun." if status == "missing" else f"The vision is {status}.")
        return Shown(Section("cobra_vision", "What the agent sees", content))
    found = run.evaluation() or {}
    content |= {
        "scores": score_table(found.get("metrics") or {}),
        "step": run.info().get("step") or 0,
        "report": (run.path / "report.html").is_file(),
    }
    files: dict[str, Plate | bytes] = {}
    taken = attempt(missing, lambda: _taken_apart(material))
    if taken is not None:
        content["plate"] = files["decomposition"] = taken[0]
        content["facts"] = taken[1]
    return Shown(Section("cobra_vision", "What the agent sees", content), files)


def _taken_apart(material: PipelineMaterial) -> tuple[Plate, list[tuple[str, str]]] | None:
    """The scenes with their slots, and how slots are used in them; None where the model has none."""
    encoder = material.agent.encoder()
    if not isinstance(encoder, ModelSlots) or not isinstance(encoder.model, Decomposes):
        return None
    images, truth, shown = scenes(material)
    taken = to_cpu(encoder.model.decompose(images.to(encoder.device)))
    usage = measure_slots(taken)
    largest = percent(float(usage.share.max()))
    facts = [
        ("slots", str(taken.mask.shape[1])),
        ("present in a scene", f"{short(usage.active, 2)} on average"),
        ("sprites in a scene", f"{float((truth.flatten(1).amax(1)).double().mean()):.1f} on average"),
        ("the largest slot has", f"{largest} of the image"),
    ]
    plate = decomposition_plate(images, taken, truth)
    return replace(plate, caption=f"{shown} {plate.caption}"), facts


def scenes(material: PipelineMaterial) -> tuple[Tensor, Tensor, str]:
    """Pictures of the exploration and of the last task, what is where in them, and which is which."""
    parts, names = [(material.config.exploration_task, EXPLORED)], "Scenes of the exploration"
    if material.tasks:
        last = material.tasks[-1].name
        parts.append((last, OF_TASKS))
        names += f", and {OF_TASKS} of the task “{task_title(last).lower()}”"
    images, truths = [], []
    for task, count in parts:
        environment = material.environment(task)
        state = environment.arena.build().reset(material.seeds(count, "vision", task))
        drawn = replace(environment.observer, keys=("image", "segmentation")).observe(state.sprites)
        images.append(as_images(drawn["image"]))
        truths.append(drawn["segmentation"])
    return torch.cat(images), torch.cat(truths), names + "."
