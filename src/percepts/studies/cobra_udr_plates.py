"""The curves of the study of UDR and COBRA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from percepts.agents.cobra.evaluate import band
from percepts.envs.spriteworld.configs import MODES
from percepts.report.cobra_figures import Efficiency, efficiency_plate
from percepts.report.cobra_material import Point
from percepts.report.plates import Plate
from percepts.studies.cobra_udr_agents import curve_of, mean_curve

Acted = Mapping[str, Any]
"""What was measured of the agents of an encoder."""


def curves_plate(arms: Sequence[str], found: Mapping[str, Any]) -> Plate:
    """Success by rewarded steps, a panel a setting of the encoders, and one of agents that see the true factors.

    Args:
        arms: the setting of every encoder.
        found: what `cobra_udr_agents.act` found.
    """
    panels = {arm: [one for other, one in zip(arms, found["encoders"]) if other == arm] for arm in dict.fromkeys(arms)}
    panels["true factors"] = [found["true factors"]]
    drawn = [
        Efficiency(
            title=title,
            curves={mode: _band(acted, mode) for mode in MODES},
            random=found["random"]["train"],
        )
        for title, acted in panels.items()
    ]
    caption = (
        "Mean success by rewarded steps over the encoders of a β (of the true factors: over agents); bands are 95 % "
        "intervals of the mean. Random: uniform actions."
    )
    return efficiency_plate(drawn, caption)


def _band(acted: Sequence[Acted], mode: str) -> tuple[Point, ...]:
    """Over encoders, or over the agents of the only one."""
    curves = [[curve_of(points) for points in one["curves"][mode]] for one in acted]
    independent = curves[0] if len(curves) == 1 else [mean_curve(own) for own in curves]
    return tuple(Point(row.steps, row.mean, (row.low, row.high)) for row in band(independent))
