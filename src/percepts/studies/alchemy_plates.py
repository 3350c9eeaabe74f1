"""The figures of the study of Alchemy, from its results alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from percepts.report.plates import COLOURS, MARKERS, Plate, finish, legend, name_axes, panels

Players = Mapping[str, Mapping[str, Any]]
"""What was measured of every player."""


def trials_plate(players: Players, shown: tuple[str, ...]) -> Plate:
    """Mean score by trial, a line a player."""
    caption = (
        "Mean score of each trial of an episode. Who neither knows the chemistry nor learns it is flat and low, "
        "who knows it flat and high; who infers it rises from one to the other."
    )
    return _lines(
        {name: players[name]["per_trial"] for name in shown if name in players}, "score of the trial", caption
    )


def entropy_plate(players: Players) -> Plate:
    """Bits that are unknown after every trial, a line a player whose beliefs were followed."""
    caption = (
        "Entropy of the exact posterior over chemistries after each trial, for somebody who saw everything. The random "
        "heuristic collects as much information as anybody, and does not use it."
    )
    lines = {name: one["entropy"] for name, one in players.items() if "entropy" in one}
    return _lines(lines, "bits unknown of the chemistry", caption)


def _lines(lines: Mapping[str, list[float]], what: str, caption: str) -> Plate:
    figure, ((axes,),) = panels(width=6.8, height=3.6)
    for number, (name, values) in enumerate(lines.items()):
        style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
        axes.plot(range(1, len(values) + 1), values, label=name, linewidth=1.4, markersize=4, **style)
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="x", integer=True)
    name_axes(axes, "trial", what)
    legend(axes, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return finish(figure, caption, f"{what} by trial: " + ", ".join(lines))
