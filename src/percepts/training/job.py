"""One job of many: an experiment that is trained and measured once, however often it is asked for.

A job's run folder is named by the digest of its resolved experiment, so equal experiments share a run. Carrying a job
out means: start the run or resume it, train, measure. Every attempt leaves two lines in the run's attempts.jsonl, one
when it begins and one when it ends (a killed one never ends); they show that no step was trained twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from percepts.core.config import digest, to_json
from percepts.core.errors import PerceptsError, RunError
from percepts.core.files import write_error
from percepts.core.runs import Run, now
from percepts.training.checkpoint import checkpoints, latest_intact
from percepts.training.experiment import Experiment, measure, start, train

ATTEMPTS = "attempts.jsonl"
PATIENCE = 60.0
"""Seconds to wait for another process that still writes to the run: one whose sweep was killed is saving."""


@dataclass(frozen=True)
class Job:
    """An experiment under a name that people read.

    Attributes:
        name: what tables and messages call it.
        experiment: what to train and measure.
        info: more entries for the run's run.json, such as its preset.
    """

    name: str
    experiment: Experiment
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended.

    Attributes:
        name: the job's.
        path: its run folder; None where the experiment could not even be resolved.
        status: "finished" (trained and measured), "failed" or "interrupted" (to be resumed by the same call).
        error: one line that says why it failed.
        seconds: that this call spent on it; 0 where it was finished before.
    """

    name: str
    path: Path | None
    status: Literal["finished", "failed", "interrupted"]
    error: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Task:
    """A job with everything settled: what a worker needs to know."""

    name: str
    path: Path
    experiment: Experiment
    info: Mapping[str, Any]

    @classmethod
    def of(cls, job: Job, folder: Path) -> Task:
        """The task of `job` with its run in `folder`; opens the data to resolve the experiment."""
        experiment, _ = job.experiment.resolved()
        return cls(job.name, folder / digest(experiment), experiment, job.info)


def run_job(task: Task) -> JobOutcome:
    """Carry out a task: start or resume, train, measure. Whatever goes wrong becomes an outcome."""
    began = time.monotonic()
    status: Literal["finished", "failed", "interrupted"] = "failed"
    error = None
    try:
        status = _carry_out(task)
    except KeyboardInterrupt:
        status = "interrupted"
    except PerceptsError as problem:
        error = str(problem)
    except Exception as problem:
        traceback.print_exc()
        error = f"{type(problem).__name__}: {problem}".splitlines()[0]
    return JobOutcome(task.name, task.path, status, error, round(time.monotonic() - began, 3))


def is_done(path: Path, experiment: Experiment | None = None) -> bool:
    """Whether the run at `path` is finished and its last step measured, as `experiment` says where it is given."""
    run = Run(path)
    try:
        info = run.info()
    except RunError:
        return False
    return info.get("status") == "finished" and _measured(run, info, experiment)


def attempts(path: Path) -> list[dict[str, Any]]:
    """The attempts at the run in `path`, oldest first: host, process and step each began with, and how it ended."""
    begun: dict[str, dict[str, Any]] = {}
    with contextlib.suppress(OSError):
        for line in (path / ATTEMPTS).read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a line cut short by a crash
                entry = json.loads(line)
                begun.setdefault(entry["attempt"], {}).update(entry)
    return list(begun.values())


def _carry_out(task: Task) -> Literal["finished", "interrupted"]:
    run = _open(task)
    _wait_for(run)
    _check_end(run)
    if run.info()["status"] != "finished" and _train(run, task.experiment) == "interrupted":
        return "interrupted"
    if not _measured(run, run.info(), task.experiment):
        measure(run, task.experiment.evaluation)
    return "finished"


def _check_end(run: Run) -> None:
    """Go on with a finished run whose last checkpoint is damaged: an older one is not what it ended with."""
    info = run.info()
    if info["status"] == "finished" and checkpoints(run.checkpoints):
        newest, _ = latest_intact(run.checkpoints)
        if newest is None or newest.step < info["step"]:
            run.update(status="interrupted")


def _open(task: Task) -> Run:
    run = Run(task.path)
    if not run.info_file.exists():
        try:
            return start(task.experiment, task.path, **task.info)[0]
        except RunError:
            # Another process may have made it meanwhile.
            if not run.info_file.exists():
                raise
    return run


def _train(run: Run, experiment: Experiment) -> str:
    name = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"
    saved = checkpoints(run.checkpoints)
    first = max((checkpoint.step for checkpoint in saved), default=0)
    _note(run, attempt=name, began=now(), host=socket.gethostname(), pid=os.getpid(), from_step=first)
    ending = "failed"
    try:
        ending = train(run, experiment).status
    except KeyboardInterrupt:
        ending = "interrupted"
        raise
    finally:
        _note(run, attempt=name, ended=now(), status=ending, step=run.info().get("step"))
    return ending


def _note(run: Run, **entry: Any) -> None:
    """Append a line to the attempts. One short write to a file opened for appending is never mixed with another's."""
    path = run.path / ATTEMPTS
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write("\n" * _cut_short(path) + json.dumps(entry) + "\n")
    except OSError as error:
        raise write_error(path, error) from error


def _cut_short(path: Path) -> bool:
    """Whether the last line lacks its end."""
    text = path.read_bytes()
    return bool(text) and not text.endswith(b"\n")


def _wait_for(run: Run) -> None:
    """Wait until nobody writes to the run.

    Raises:
        RunError: somebody still does after `PATIENCE` seconds.
    """
    until = time.monotonic() + PATIENCE
    while True:
        try:
            with run.lock():
                return
        except RunError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def _measured(run: Run, info: Mapping[str, Any], experiment: Experiment | None) -> bool:
    scores = run.evaluation()
    if scores is None or scores.get("step") != info.get("step"):
        return False
    return experiment is None or scores.get("settings") == to_json(experiment.evaluation)
