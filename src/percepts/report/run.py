"""The report of a run folder: its checkpoint, its log and its evaluation become report.html."""

from __future__ import annotations

import json
from pathlib import Path

from percepts.core.runs import Run
from percepts.report import write_report
from percepts.training.experiment import load


def report_run(run: Run, step: int | None = None) -> Path:
    """Write the run's report.html.

    Args:
        step: of the checkpoint; None takes the newest intact one.

    Raises:
        CheckpointError: the run has no such checkpoint, or a damaged one.
    """
    model, dataset, _ = load(run, step)
    file = run.path / "evaluation.json"
    evaluation = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    return write_report(run, model, dataset, evaluation, seed=run.config().seed)
