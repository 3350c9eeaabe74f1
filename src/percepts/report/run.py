"""The report of a run folder: its checkpoint, its log and its evaluation become report.html and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from percepts.core.runs import Run
from percepts.report import save_figures, write_report
from percepts.training.experiment import load


def report_run(run: Run, step: int | None = None) -> Path:
    """Write the run's report.html.

    Args:
        step: of the checkpoint; None takes the newest intact one.

    Raises:
        CheckpointError: the run has no such checkpoint, or a damaged one.
    """
    model, dataset, checkpoint = load(run, step)
    return write_report(run, model, dataset, _evaluation(run, checkpoint.step), seed=run.config().seed)


def figures_run(run: Run, step: int | None = None) -> list[Path]:
    """Write the run's figures as PNG files into its folder `figures`; as `report_run` otherwise."""
    model, dataset, checkpoint = load(run, step)
    return save_figures(run, model, dataset, _evaluation(run, checkpoint.step), seed=run.config().seed)


def _evaluation(run: Run, step: int) -> dict[str, Any] | None:
    """The run's scores, if they are of this step: those of other weights are not shown."""
    evaluation = run.evaluation()
    return evaluation if evaluation is not None and evaluation.get("step") == step else None
