"""The figures of the study of COBRA, over several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from percepts.agents.cobra.evaluate import Curve, band
from percepts.envs.spriteworld.configs import MODES
from percepts.report.cobra_figures import Efficiency, efficiency_plate
from percepts.report.cobra_material import Point
from percepts.report.plates import COLOURS, MARKERS, Plate, finish, legend, name_axes, panels

Runs = Mapping[str, Mapping[str, Any]]
"""What was measured of every seed."""


def learning_plate(runs: Runs, policies: Mapping[str, Mapping[str, float]]) -> Plate:
    """Success by rewarded steps of every task, with intervals over seeds."""
    tasks = []
    for task, known in policies.items():
        curves = {}
        for mode in MODES:
            seeds = [Curve(tuple(map(tuple, run["curves"][task][mode]))) for run in runs.values()]
            curves[mode] = tuple(Point(one.steps, one.mean, (one.low, one.high)) for one in band(seeds))
        tasks.append(
            Efficiency(
                title=task.replace("goal-finding-", "goal: ").replace("-", " "),
                curves=curves,
                random=known["random.train"],
                oracle=known["oracle.train"],
            )
        )
    caption = (
        f"Mean success over {len(runs)} seeds by rewarded steps; bands are 95 % intervals of the mean over seeds. "
        "Random: uniform actions. Oracle: the best of 1000 actions by true dynamics and reward."
    )
    return efficiency_plate(tasks, caption)


def exploration_plate(variants: Mapping[str, Runs]) -> Plate:
    """What share of the actions hits a sprite while explorations go on, a thin line a seed."""
    figure, ((axes,),) = panels(width=5.2, height=3.0)
    for number, (name, runs) in enumerate(variants.items()):
        for place, run in enumerate(runs.values()):
            steps = [entry["step"] for entry in run["exploration"]]
            share = [entry["hit_fraction"] for entry in run["exploration"]]
            axes.plot(
                steps, share, color=COLOURS[number], linewidth=1.0, alpha=0.8, label=None if place else name,
                marker=MARKERS[number], markersize=3, markevery=max(1, len(steps) // 8),
            )  # fmt: skip
    axes.set_ylim(bottom=0)
    name_axes(axes, "transitions", "share of actions that hit")
    legend(axes)
    words = "Share of the actions that hit a sprite while the agent explores, a line a seed."
    return finish(figure, words, words)
