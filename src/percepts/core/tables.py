"""Runs and scores as plain-text tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from percepts.core.config import flatten
from percepts.core.errors import RunError
from percepts.core.runs import Run

NOT_SCORES = ("step", "rewarded_steps", "provenance")
"""Parts of an evaluation that say when and where it was made."""


def run_list(runs: Iterable[Run]) -> str:
    """One line a run: path, status, step, loss, images/s, minutes, when it began. What no run has is left out; empty
    for no runs."""
    rows = [_row(run) for run in runs]
    heads = ["run", "status", "step", "loss", "images/s", "minutes", "started"]
    kept = [place for place in range(len(heads)) if any(row[place] not in ("-", "n/a") for row in rows)]
    return table([heads[place] for place in kept], [[row[place] for place in kept] for row in rows]) if rows else ""


def run_details(run: Run) -> str:
    """Everything about one run that fits a screen."""
    parts = [str(run.path), *(f"  {key:18} {value}" for key, value in run.info().items())]
    saved = sorted(path.name for path in run.checkpoints.glob("step-*"))
    parts += [f"  {'checkpoints':18} {', '.join(saved) or 'none'}", "", "settings"]
    parts += [f"  {name:42} {value}" for name, value in flatten(run.settings()) if not name.endswith("type")]
    last = _last_numbers(run)
    if last:
        parts += ["", "last numbers", *(f"  {name:18} {number(value)}" for name, value in last.items())]
    scores = run.evaluation() or {}
    if shown := evaluation(scores) or _other_scores(scores):
        parts += ["", f"scores at step {scores['step']}" if "step" in scores else "scores", shown]
    return "\n".join(parts)


def run_difference(a: Run, b: Run) -> str:
    """Where two runs differ: settings, then their last logged numbers."""
    before, after = dict(flatten(a.settings())), dict(flatten(b.settings()))
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    rows = [[name, str(before.get(name, "-")), str(after.get(name, "-"))] for name in names]
    parts = [table(["setting", a.path.name, b.path.name], rows) if rows else "same settings"]
    ends = [_last_numbers(run) for run in (a, b)]
    shared = [name for name in ends[0] if name in ends[1] and isinstance(ends[0][name], int | float)]
    rows = [[name, number(ends[0][name]), number(ends[1][name])] for name in shared]
    if rows:
        parts.append(table(["last number", a.path.name, b.path.name], rows))
    return "\n\n".join(parts)


def evaluation(result: dict[str, Any]) -> str:
    """The scores of an evaluation with their intervals, then reconstruction and latents."""
    rows = []
    for name, metric in result.get("metrics", {}).items():
        interval = metric.get("interval")
        span = f"{number(interval[0])} … {number(interval[1])}" if interval else ""
        rows.append([name, number(metric["value"]), span])
    parts = [table(["metric", "value", "95 % interval"], rows)] if rows else []
    # In line with the values of the table.
    wide = max([24, *(len(name) + 1 for name, *_ in rows)])
    if "skipped" in result:
        parts.append(f"not measured: {result['skipped']}")
    for name, value in result.get("reconstruction", {}).items():
        parts.append(f"{name:{wide}} {number(value)}")
    if "slots" in result:
        slots = result["slots"]
        parts.append(f"{'present slots':{wide}} {number(slots['active'])} of {len(slots['kl'])} on average")
        parts.append(f"{'mask entropy (nats)':{wide}} {number(slots['mask_entropy'])}")
        parts.append(f"{'KL per slot (nats)':{wide}} {' '.join(number(value) for value in slots['kl'])}")
    if "latents" in result:
        kl = result["latents"]["kl"]
        parts.append(f"{'active latents':{wide}} {sum(result['latents']['active'])} of {len(kl)}")
        parts.append(f"{'KL per latent (nats)':{wide}} {' '.join(number(value) for value in sorted(kl, reverse=True))}")
    return "\n".join(parts)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two spaces apart."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [header, *rows]]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def number(value: Any) -> str:
    """A number in four significant digits; 'n/a' for none; other things as they are."""
    if value is None:
        return "n/a"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return "[" + " ".join(number(item) for item in value) + "]"
    return str(value)


def _row(run: Run) -> list[str]:
    try:
        info = run.info()
    except RunError:
        return [str(run.path), "unreadable", *["-"] * 5]
    last = _last_numbers(run)
    return [
        str(run.path),
        info.get("status", "?"),
        str(info.get("step", last.get("step", "-"))),
        number(last.get("loss")),
        number(info.get("images_per_second", last.get("images_per_second"))),
        f"{info['seconds'] / 60:.1f}" if "seconds" in info else "-",
        str(info.get("started", "-")),
    ]


def _other_scores(result: dict[str, Any]) -> str:
    """The numbers of an evaluation of something else than a model of images, by dotted names."""
    found = [
        (name.removeprefix("scores."), value)
        for name, value in flatten({name: value for name, value in result.items() if name not in NOT_SCORES})
        if isinstance(value, int | float | list)
    ]
    width = max((len(name) for name, _ in found), default=0)
    return "\n".join(f"  {name:{width}} {number(value)}" for name, value in found)


def _last_numbers(run: Run) -> dict[str, Any]:
    """The newest logged line of training: the last one with a loss, where any has one; empty before the first."""
    lines = run.metrics()
    return next((line for line in reversed(lines) if "loss" in line), lines[-1] if lines else {})
