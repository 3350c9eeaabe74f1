"""Jobs on a Ray cluster (extra `ray`): every job a task, its run folder on a file system that all nodes share.

Where a node dies, Ray gives its tasks to another, and those resume the runs from their checkpoints. None is done twice:
a task first waits until nobody holds the run's lock, and one that finds its run finished returns at once.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from percepts.core.errors import RunError
from percepts.core.optional import require_package
from percepts.training.board import Board
from percepts.training.job import ATTEMPTS, JobOutcome, Task, attempts, run_job
from percepts.training.setup import StopSignal

TRIES = 10
"""How many processes or nodes may die on a job before it counts as failed."""
GPU_SHARE = 0.25
"""Of a GPU for each run, where the cluster has any: small models leave most of it idle."""
ANSWER, GOODBYE = 5.0, 60.0
"""Seconds for the address to answer, and for runs to save when we are asked to stop."""
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How an HTTP/2 client begins (RFC 9113, section 3.4); a server such as Ray's answers with a frame of type 4."""


def run_on_ray(tasks: Sequence[Task], board: Board, address: str, notify: Callable[[], None]) -> int | None:
    """Carry out `tasks` on the cluster at `address`, one core each; returns the signal that stopped it, if one did.

    Args:
        tasks: what to do.
        board: where beginnings and endings are noted.
        address: "host:port" of the head node, "auto" for the cluster of this machine, or any other that Ray takes.
        notify: called a few times a second.

    Raises:
        MissingPackageError: Ray is not installed.
        RunError: the cluster does not answer.
    """
    ray = require_package("ray", extra="ray")
    with connected(ray, address):
        resources = ray.cluster_resources()
        board.workers = max(int(resources.get("CPU", 1)), 1)
        on_gpu = resources.get("GPU", 0) > 0
        started = [(task, _lines(task), _submit(ray, task, on_gpu)) for task in tasks]
        with StopSignal() as stop:
            _follow(ray, started, board, notify, stop)
        return stop.number


@contextlib.contextmanager
def connected(ray: Any, address: str) -> Iterator[None]:
    """Within this context this process is a driver of the cluster; a connection that exists already is used and stays.

    Raises:
        RunError: the cluster does not answer.
    """
    if ray.is_initialized():
        yield
        return
    _check_port(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise _silent(address, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    try:
        yield
    finally:
        ray.shutdown()


def carry_out(task: Task, tried: int, threads: int) -> JobOutcome:
    """What a node does for a task; `tried` is the number of attempts at its run before the sweep was submitted."""
    if not task.path.parent.is_dir():
        reason = f"node {socket.gethostname()} does not see '{task.path.parent}': a sweep on Ray needs a shared folder"
        return JobOutcome(task.name, task.path, "failed", reason)
    died = sum("status" not in attempt for attempt in attempts(task.path)[tried:])
    if died >= TRIES:
        return JobOutcome(task.name, task.path, "failed", f"its process or node died {died} times")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    return run_job(task)


def _submit(ray: Any, task: Task, on_gpu: bool) -> Any:
    wants_gpu = on_gpu and task.experiment.training.device != "cpu"
    remote = ray.remote(num_cpus=1, num_gpus=GPU_SHARE if wants_gpu else 0, max_retries=TRIES)(carry_out)
    return remote.remote(task, len(attempts(task.path)), 1)


def _follow(
    ray: Any, started: Sequence[tuple[Task, int, Any]], board: Board, notify: Callable[[], None], stop: StopSignal
) -> None:
    """Note beginnings and endings until all have ended or saved after a signal."""
    pending = {reference: (task, lines) for task, lines, reference in started}
    begun: set[Any] = set()
    patience = GOODBYE
    while pending and patience > 0:
        ended, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0.5)
        for reference in ended:
            task, _ = pending.pop(reference)
            outcome = _result(ray, reference, task)
            if outcome is not None:
                board.end(task, outcome)
        for reference, (task, lines) in pending.items():
            if reference not in begun and _lines(task) > lines:
                begun.add(reference)
                board.begin(task)
        if stop.number is not None:
            if patience == GOODBYE:
                for reference in pending:
                    ray.cancel(reference)
            patience -= 0.5
        notify()


def _result(ray: Any, reference: Any, task: Task) -> JobOutcome | None:
    """How a task ended; None where it was cancelled."""
    try:
        return ray.get(reference)
    except ray.exceptions.TaskCancelledError:
        return None
    except ray.exceptions.RayError as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return JobOutcome(task.name, task.path, "failed", f"{type(error).__name__}: {reason}")


def _lines(task: Task) -> int:
    """The size of the record of attempts: it grows when one begins."""
    try:
        return (task.path / ATTEMPTS).stat().st_size
    except OSError:
        return 0


def _check_port(address: str) -> None:
    """Ask a "host:port" whether a server of Ray's kind listens: Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        if address not in ("auto", "local"):
            raise RunError(f"--ray {address}", "HOST:PORT, or auto for the cluster of this machine", "ray status")
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER) as connection:
            connection.sendall(HELLO)
            if os.environ.get("RAY_USE_TLS", "0") == "0" and connection.recv(9)[3:4] != b"\x04":
                raise _silent(address, "something else listens there")
    except (OSError, ValueError, OverflowError) as error:
        raise _silent(address, str(error)) from error


def _silent(address: str, reason: str) -> RunError:
    return RunError(
        f"no Ray cluster answers at '{address}' ({reason.rstrip('.')})",
        "the address of a head node",
        "ray start --head --port 6379 on that machine, then --ray HOST:6379",
    )
