"""The sections that every page of runs ends with: all settings, and how to do it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from percepts.report.sections.section import Section

EMPTY: tuple[Any, ...] = (None, "", {}, [])
VERSIONS = ("percepts", "commit", "python", "torch", "numpy", "host", "platform", "device")
"""Circumstances that matter where several runs do not agree in them."""


def configured(tree: Mapping[str, Any], runs: int = 1) -> Section:
    """The complete resolved configuration as JSON data; for several runs, theirs by name."""
    return Section("configuration", "Configuration", {"tree": tree, "runs": runs})


def repeated(infos: Sequence[Mapping[str, Any]], report: str = "") -> Section:
    """The commands and the circumstances; of several runs those in which they agree, and all versions.

    Args:
        infos: what run.json says, a run each.
        report: the command that wrote the page, where none of theirs did.
    """
    commands = [str(info["command"]) for info in infos if info.get("command")]
    rows = []
    for name in dict.fromkeys(name for info in infos for name in info if name != "command"):
        found = list(dict.fromkeys(_shown(info[name]) for info in infos if info.get(name) not in EMPTY))
        if len(found) == 1 or (found and name in VERSIONS):
            rows.append((name.replace("_", " "), " or ".join(found)))
    content = {"commands": commands + ([report] if report else []), "runs": len(infos), "rows": rows}
    return Section("reproduction", "How to reproduce", content)


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
