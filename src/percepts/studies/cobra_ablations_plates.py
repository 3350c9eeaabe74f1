"""The figures of COBRA's ablations: bars of arms beside each other, and searches by their size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np

from percepts.report.plates import COLOURS, FAINT, INK, MARKERS, SOFT, Plate, empty_plate, finish, name_axes, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
"""A search, the noise, and what it reached."""
TOLD = {"uniform": "uniform", "policy": "exploration policy", "mixed": "half of each"}
"""What the figures call proposals."""


@dataclass(frozen=True)
class Bars:
    """One panel.

    Attributes:
        title: what is compared.
        axis: the name of the numbers.
        values: by arm, then by group: a number a seed; NaN where there is none.
        limit: to which the axis goes; None: as far as the numbers.
    """

    title: str
    axis: str
    values: Mapping[str, Mapping[str, Sequence[float]]]
    limit: float | None = None


def bars_plate(shown: Sequence[Bars], caption: str) -> Plate:
    """Horizontal bars, a panel a question, a row an arm: the mean of the seeds, and a dot for each where there are
    several."""
    shown = [one for one in shown if one.values]
    if not shown:
        return empty_plate("Nothing was measured here.", caption)
    rows = max(sum(len(groups) for groups in one.values.values()) for one in shown)
    figure, (places,) = panels(1, len(shown), width=max(5.2, 3.7 * len(shown)), height=1.3 + 0.2 * rows)
    colours = _colours(shown)
    for axes, one in zip(places, shown):
        _draw_bars(axes, one, colours)
    _legend_below(figure, places)
    return finish(figure, caption, "; ".join(f"{one.title}: {', '.join(one.values)}" for one in shown))


def search_plate(rows: Sequence[Row], caption: str) -> Plate:
    """Success by the number of candidates, a line a proposal, dashed with noise; and of longer searches.

    Args:
        rows: of all seeds, as `cobra_ablations_measures.searched` gives them.
        caption: says what was searched.
    """
    near = [row for row in rows if row["search"] == "OneStepSearch"]
    far = [row for row in rows if row["search"] != "OneStepSearch"]
    if not near:
        return empty_plate("No search was tried.", caption)
    figure, ((lines, bars),) = panels(1, 2, width=8.6, height=3.4)
    for number, proposal in enumerate(dict.fromkeys(row["proposal"] for row in near)):
        for noise in dict.fromkeys(row["noise"] for row in near):
            chosen = [row for row in near if (row["proposal"], row["noise"]) == (proposal, noise)]
            sizes = sorted({row["candidates"] for row in chosen})
            success = [mean(row["success"] for row in chosen if row["candidates"] == size) for size in sizes]
            lines.plot(
                sizes, success, color=COLOURS[number], linestyle="--" if noise else "-", marker=MARKERS[number],
                markersize=4, linewidth=1.5, label=f"{TOLD.get(proposal, proposal)}{_noisy(noise)}",
            )  # fmt: skip
    lines.set_xscale("log")
    lines.set_ylim(-0.04, 1.06)
    name_axes(lines, "candidates", "success", "One step, by proposal")
    values: dict[str, dict[str, list[float]]] = {}
    for row in far:
        steps = "step" if row["horizon"] == 1 else "steps"
        name = {"RandomShooting": "random shooting", "CrossEntropy": "cross-entropy"}[row["search"]]
        groups = values.setdefault(f"{name}, {row['horizon']} {steps}", {})
        groups.setdefault("noise 0.05" if row["noise"] else "no noise", []).append(row["success"])
    further = Bars("Looking further", "success", values, 1.0)
    _draw_bars(bars, further, _colours([further], after=len(TOLD)))
    _legend_below(figure, [lines, bars])
    return finish(figure, caption, "Success by search: " + ", ".join(values))


def _draw_bars(axes: Axes, shown: Bars, colours: Mapping[str, str]) -> None:
    groups = _groups([shown])
    height = 0.8 / max(1, len(groups))
    known = [value for found in shown.values.values() for values in found.values() for value in values]
    limit = shown.limit or 1.15 * max((value for value in known if math.isfinite(value)), default=1.0) or 1.0
    for place, found in enumerate(shown.values.values()):
        for number, group in enumerate(groups):
            at = place + (number - (len(groups) - 1) / 2) * height
            values = [value for value in found.get(group, ()) if math.isfinite(value)]
            if not values:
                axes.text(0.01 * limit, at, "–", va="center", fontsize=7.5, color=SOFT)
                continue
            label = group if place == 0 else None
            middle = mean(values)
            axes.barh(at, middle, 0.9 * height, color=colours[group], alpha=0.75, label=label)
            if len(values) > 1:
                axes.plot(values, np.full(len(values), at), "o", color=INK, markersize=2.5, alpha=0.7)
            axes.text(max(*values, 0.0) + 0.015 * limit, at, f"{middle:.2f}", va="center", fontsize=7, color=SOFT)
    axes.set_yticks(range(len(shown.values)), list(shown.values), fontsize=8)
    axes.set_ylim(len(shown.values) - 0.45, -0.55)
    axes.set_xlim(0, 1.14 * limit)
    axes.grid(visible=False, axis="y")
    name_axes(axes, shown.axis, "", shown.title)


def _groups(shown: Sequence[Bars]) -> list[str]:
    """In the order in which they are first seen."""
    return list(dict.fromkeys(group for one in shown for found in one.values.values() for group in found))


def _colours(shown: Sequence[Bars], after: int = 0) -> dict[str, str]:
    """One for every group that has a name, in all panels alike; grey without one."""
    named = [group for group in _groups(shown) if group]
    return {"": FAINT, **{group: COLOURS[(number + after) % len(COLOURS)] for number, group in enumerate(named)}}


def _legend_below(figure: Figure, places: Sequence[Axes]) -> None:
    """One legend for all panels, where there is more than one name in it."""
    named: dict[str, Any] = {}
    for axes in places:
        handles, names = axes.get_legend_handles_labels()
        named |= dict(zip(names, handles))
    if len(named) > 1:
        look: dict[str, Any] = {"frameon": False, "fontsize": 8, "labelcolor": SOFT, "handlelength": 2.4}
        # As many columns as fit: about 16 letters an inch, and a handle of three letters' width.
        columns = int(16 * figure.get_figwidth() / (max(map(len, named)) + 6))
        ncols = max(1, min(columns, len(named)))
        figure.legend(list(named.values()), list(named), loc="outside lower center", ncols=ncols, **look)


def _noisy(noise: float) -> str:
    return f", noise {noise:g}" if noise else ""
