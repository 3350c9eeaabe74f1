"""In which settings the runs on a page of explorers differ, in the words of `percepts explore`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from percepts.agents.explorers.runs import MODEL
from percepts.agents.explorers.text_agents import RECALLING
from percepts.core.config import flatten
from percepts.report.sections.section import Section

NONE = "–"
WORDS = {
    "episodes": "--episodes",
    "seed": "--seed",
    "asking.temperature": "--temperature",
    "asking.max_tokens": "--max-tokens",
    "asking.stop": "--stop",
    "model.model": "--model",
    "model.base_url": "--base-url",
    "model.limit_field": "--limit-field",
    "model.extra": "--extra",
    "world.values": "--values",
    "world.dimensions": "--dimensions",
    "world.mode": "--mode",
    "world.objects": "--objects",
    "world.object_sets": "--object-sets",
    "world.noise": "--noise",
    "world.budget": "--budget",
    "prompt.reasoning": "--condition",
    "prompt.self_correction": "--self-correction",
    "prompt.memory": "--memory",
    "prompt.retries": "--retries",
    "game.table.trials": "--trials",
    "game.table.steps": "--steps",
    "game.table.switch_trials": "--switch",
    "game.table.level": "--level",
    "game.announced": "--announced",
    "game.told": "--told",
    "game.reasoning": "--condition",
    "memory": "--recall",
    "player.self_correction": "--self-correction",
    "player.retries": "--retries",
    "player.memory.history": "--history",
    "player.memory.summary": "--summary",
    "player.memory.every": "--every",
    "player.memory.style": "--style",
    "player.demonstrations.trials": "--demonstrations",
    "player.demonstrations.by": "--demonstrator",
    "player.demonstrations.rules": "--demonstrated-rules",
    "player.demonstrations.form": "--demonstrated-as",
    "summaries": "--summaries",
}
"""Options by the names of the settings that they write."""
UNTOLD = ("agent", "at_once", "service", "asking.seed", "asking.workers", "player.asking", "model.called")
"""Settings, or groups of them, that change nothing of what is played, or that the names of the runs tell."""
OF_MODELS = ("model", "asking", "prompt", "player", "game.told", "game.reasoning", "summaries")
"""What means nothing to a program."""


def differences(runs: Mapping[str, Any]) -> Section | None:
    """One row a run, one column a setting in which they are not equal; None for a single run.

    What means nothing to some of the runs, as to a program how a language model is asked, is compared between the
    others; these show a dash.

    Args:
        runs: settings by the name of the run.
    """
    if len(runs) < 2:
        return None
    settings = {name: _settings(config) for name, config in runs.items()}
    names = [name for name in _together(list(settings.values())) if _differs(name, list(settings.values()))]
    rows = [
        {"title": title, "cells": [_cell(found[name]) if name in found else NONE for name in names]}
        for title, found in settings.items()
    ]
    return Section("differences", "What differs", {"heads": [_word(name) for name in names], "rows": rows})


def _settings(config: Any) -> dict[str, Any]:
    """Those that mean something to who plays, by dotted names."""
    untold = UNTOLD if config.agent == MODEL else (*UNTOLD, *OF_MODELS)
    untold = untold if config.agent in RECALLING else (*untold, "memory")
    found = {
        name: value
        for name, value in flatten(config)
        if name.split(".")[-1] != "type" and not any(name == one or name.startswith(f"{one}.") for one in untold)
    }
    if "player.demonstrations" in found:
        found["player.demonstrations.trials"] = found.pop("player.demonstrations") or 0
    return found


def _together(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for one in settings for name in one))


def _differs(name: str, settings: Sequence[Mapping[str, Any]]) -> bool:
    found = [one[name] for one in settings if name in one]
    return any(value != found[0] for value in found)


def _word(name: str) -> str:
    if name.startswith("model.extra."):
        return f"--extra {name.removeprefix('model.extra.')}"
    return WORDS.get(name, name)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not set" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
