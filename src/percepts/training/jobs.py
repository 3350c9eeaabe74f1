"""Many experiments, each trained and measured once: on this machine's cores or on a Ray cluster.

    outcomes = run_jobs([Job("small", small()), Job("large", large())], "runs/sizes", workers=2)

The same call goes on where a killed one stopped: finished and measured runs are skipped, half-trained ones continue
from their checkpoints. Studies and sweeps are built on this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch

from percepts.core.errors import ConfigError, PerceptsError
from percepts.core.files import write_error
from percepts.core.runs import Run
from percepts.training.board import Board
from percepts.training.job import Job, JobOutcome, Task, is_done, run_job
from percepts.training.workers import cores, run_locally

LOG = "workers.log"
GPU_WORKERS = 4
"""Processes on one GPU by default: small models leave most of it idle."""


def run_jobs(
    jobs: Sequence[Job],
    folder: Path | str,
    *,
    workers: int | None = None,
    backend: Literal["local", "ray"] = "local",
    address: str = "auto",
    on_update: Callable[[Board], None] | None = None,
) -> list[JobOutcome]:
    """Train and measure every job, each in `folder`/<digest of its resolved experiment>.

    One that fails does not stop the others. SIGINT or SIGTERM lets every running job save; the outcomes of all that did
    not end are "interrupted".

    Args:
        jobs: what to do; equal experiments are done once.
        folder: of the runs; made if needed. Ray: on a file system that all nodes share.
        workers: local processes; 0: one job after the other in this process; None: as many as cores, a few on a GPU.
        backend: where the jobs run.
        address: of the Ray cluster ("host:port", or "auto" for the one on this machine).
        on_update: called a few times a second with the state (see `percepts.training.board`).

    Returns:
        One outcome for every job, in their order.

    Raises:
        ConfigError: a negative number of workers.
        RunError: another process runs jobs in this folder, no worker can be started, or the cluster does not answer.
        PerceptsError: the folder cannot be written.
    """
    if workers is not None and workers < 0:
        raise ConfigError(f"{workers} workers", "0 (in this process) or more")
    folder = made_folder(Path(folder).absolute())
    with Run(folder).lock():
        settled = [_settle(job, folder) for job in jobs]
        tasks = list({task.path: task for task in settled if isinstance(task, Task)}.values())
        board = Board(tasks, _number(workers, tasks))
        notify = (lambda: on_update(board)) if on_update is not None else (lambda: None)
        for task in tasks:
            if is_done(task.path, task.experiment):
                board.end(task, JobOutcome(task.name, task.path, "finished"), skipped=True)
        notify()
        todo = [task for task in tasks if task.path not in board.outcomes]
        if backend == "ray" and todo:
            from percepts.training.ray_cluster import run_on_ray

            run_on_ray(todo, board, address, notify)
        elif workers == 0:
            _run_here(todo, board, notify)
        elif todo:
            run_locally(todo, board, folder / LOG, notify)
        notify()
    return [one if isinstance(one, JobOutcome) else _outcome(one, board) for one in settled]


def made_folder(folder: Path) -> Path:
    """Make a folder for runs, if need be, and prove that it can be written.

    Raises:
        PerceptsError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()
    except OSError as error:
        raise write_error(folder, error) from error
    return folder


def _run_here(tasks: Sequence[Task], board: Board, notify: Callable[[], None]) -> None:
    for task in tasks:
        board.begin(task)
        outcome = run_job(task)
        board.end(task, outcome)
        notify()
        if outcome.status == "interrupted":
            return


def _settle(job: Job, folder: Path) -> Task | JobOutcome:
    try:
        return Task.of(job, folder)
    except PerceptsError as error:
        return JobOutcome(job.name, None, "failed", str(error))


def _outcome(task: Task, board: Board) -> JobOutcome:
    ended = board.outcomes.get(task.path)
    if ended is None:
        return JobOutcome(task.name, task.path, "interrupted")
    return JobOutcome(task.name, task.path, ended.status, ended.error, ended.seconds)


def _number(workers: int | None, tasks: Sequence[Task]) -> int:
    if workers is not None:
        return max(workers, 1)
    on_gpu = torch.cuda.is_available() and any(task.experiment.training.device != "cpu" for task in tasks)
    return min(cores(), GPU_WORKERS * torch.cuda.device_count() if on_gpu else cores(), max(len(tasks), 1))
