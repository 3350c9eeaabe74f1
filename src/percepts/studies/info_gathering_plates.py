"""The figures of the study of information gathering, from its results alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from percepts.report.plates import COLOURS, FAINT, MARKERS, Plate, finish, legend, name_axes, panels

_POLICIES = ("information gain", "random", "random, with repeats")
_TICKS = (3, 10, 30, 100)


def tests_plate(worlds: Mapping[str, Mapping[str, Any]]) -> Plate:
    """Tests until the rule is known, a row a world, a mark a policy."""
    figure, ((axes,),) = panels(width=6.8, height=0.3 * len(worlds) + 1.2)
    for number, policy in enumerate(_POLICIES):
        means = [row[policy][0] for row in worlds.values()]
        errors = [2 * row[policy][1] if row[policy][1] == row[policy][1] else 0.0 for row in worlds.values()]
        style: dict[str, Any] = {"color": COLOURS[number], "marker": MARKERS[number]}
        places = [-place for place in range(len(worlds))]
        axes.errorbar(means, places, xerr=errors, linestyle="", markersize=4, linewidth=1, label=policy, **style)
    axes.set_xscale("log")
    axes.set_xticks(_TICKS, [str(tick) for tick in _TICKS])
    axes.minorticks_off()
    axes.set_yticks([-place for place in range(len(worlds))], list(worlds), fontsize=8)
    axes.grid(True, axis="x")
    name_axes(axes, "tests until the rule is known")
    legend(axes, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3)
    words = (
        "Mean tests until the hidden rule is known, with twice the standard error, by world and policy. Conjunctions "
        "of two dimensions check one hypothesis at a time: there nothing is gained by thinking."
    )
    return finish(figure, words, "Tests by world and policy.")


def text_plate(players: Mapping[str, Mapping[str, Any]], switch: int) -> Plate:
    """Score over the oracle's by trial, a line a player; the chemistry changes at the rule."""
    figure, ((axes,),) = panels(width=6.8, height=3.6)
    for number, (name, one) in enumerate(players.items()):
        curve = [point[0] for point in one["curve"]]
        style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
        axes.plot(range(1, len(curve) + 1), curve, label=name, linewidth=1.4, markersize=3, **style)
    axes.axvline(switch + 0.5, color=FAINT, linewidth=0.8)
    axes.set_ylim(0, 1.05)
    axes.locator_params(axis="x", integer=True)
    name_axes(axes, "trial", "score ÷ the oracle's")
    legend(axes, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    words = f"Text Alchemy by trial, played through words; the chemistry is silently replaced after trial {switch}."
    return finish(figure, words, "Score over the oracle's by trial: " + ", ".join(players))
