"""The sections on how a learner of Alchemy was trained: its curves, its configuration, and how to repeat it."""

from __future__ import annotations

from percepts.core.runs import Run
from percepts.report.material import numeric_names, read_config
from percepts.report.sections.record import logged_chart
from percepts.report.sections.repeating import configured, repeated
from percepts.report.sections.section import Section

FIRST = {
    "score": ("Score", "points an episode"),
    "adaptation": ("Adaptation", "last trials − first, points a trial"),
}
"""What the learner is after, with its title and unit; the losses and all else follow."""
NOT_DRAWN = {"step", "seconds", "steps_per_second"}


def learning_curves(run: Run) -> Section:
    """What was logged in training, by environment steps of all tables together."""
    log = [line for line in run.metrics() if "step" in line]
    names = [name for name in numeric_names(log) if name not in NOT_DRAWN]
    charts = [
        logged_chart(log, name, *FIRST.get(name, ("", "")), x_label="environment steps")
        for name in sorted(names, key=lambda name: name not in FIRST)
    ]
    return Section("training", "Training", {"charts": [chart for chart in charts if chart is not None]})


def settings(run: Run) -> Section:
    """The complete resolved configuration."""
    return configured(read_config(run))


def command(run: Run) -> Section:
    """The command and the circumstances."""
    return repeated([run.info()])
