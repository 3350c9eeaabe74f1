"""Jobs on this machine: processes that stay, so that torch is imported once each, and that may die without harm.

A worker is started afresh (spawned, not forked), computes with its share of the cores, and writes what it has to say
into a log. It does not see the terminal's Ctrl-C; the parent asks it to stop with SIGTERM, and so does its own watch
over the parent: a worker whose parent was killed saves its run and ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from pathlib import Path
from typing import Any

import torch

from percepts.core.errors import RunError
from percepts.training.board import Board
from percepts.training.job import JobOutcome, Task, run_job
from percepts.training.setup import StopSignal

TRIES = 2
"""How many workers may die on a job before it counts as failed."""


def run_locally(tasks: Sequence[Task], board: Board, log: Path, notify: Callable[[], None]) -> int | None:
    """Carry out `tasks` with `board.workers` processes; returns the signal that stopped it, if one did.

    Args:
        tasks: what to do, in this order.
        board: where beginnings and endings are noted.
        log: the file that receives what the workers print.
        notify: called a few times a second.

    Raises:
        RunError: no worker process can be started.
    """
    with StopSignal() as stop, contextlib.closing(Pool(tasks, board, log)) as pool:
        while pool.workers:
            pool.attend()
            if stop.number is not None:
                pool.stop()
            notify()
    return stop.number


class Pool:
    """The workers and the tasks that wait for them."""

    def __init__(self, tasks: Sequence[Task], board: Board, log: Path) -> None:
        self.waiting, self.board, self.log = deque(tasks), board, log
        self.threads = threads_each(board.workers)
        self.deaths: dict[Path, int] = {}
        self.stopping = self.proven = False
        self.number = 0
        self.workers: list[Worker] = []
        self.leaving: list[Worker] = []
        for _ in range(min(board.workers, len(tasks))):
            self._hire()

    def attend(self, patience: float = 0.25) -> None:
        """Wait for news of the workers; give them work or take them off the list."""
        handles = [handle for worker in self.workers for handle in (worker.pipe, worker.process.sentinel)]
        connection.wait(handles, timeout=patience)
        for worker in list(self.workers):
            message = worker.receive()
            if message is DEAD:
                self.workers.remove(worker)
                self._bury(worker)
            elif message is not None:
                self._answer(worker, message)

    def stop(self) -> None:
        """Ask every worker to save and end; nothing new begins."""
        if not self.stopping:
            self.stopping = True
            self.waiting.clear()
            for worker in self.workers:
                worker.process.terminate()

    def close(self) -> None:
        """End what is still there: politely, and after a while by force."""
        self.stop()
        for worker in (*self.workers, *self.leaving):
            worker.process.join(timeout=30)
            worker.process.kill()

    def _hire(self) -> None:
        self.workers.append(Worker(self.number, self.threads, self.log))
        self.number += 1

    def _answer(self, worker: Worker, message: Any) -> None:
        self.proven = True
        if worker.task is not None:
            self.board.end(worker.task, message)
        worker.task = self.waiting.popleft() if self.waiting else None
        worker.send(worker.task)
        if worker.task is None:
            self.workers.remove(worker)
            self.leaving.append(worker)
        else:
            self.board.begin(worker.task)

    def _bury(self, worker: Worker) -> None:
        """Give a dead worker's task to a new one, or up."""
        worker.process.join()
        code = worker.process.exitcode
        if not self.proven and not self.stopping:
            raise RunError(
                f"a worker process ended before it could begin (exit code {code}, see {self.log})",
                fix="in a script of your own, call run_jobs under: if __name__ == '__main__'",
            )
        task = worker.task
        if task is not None:
            self.board.drop(task)
        if self.stopping:
            return
        # A worker that dies before it has work counts against the job that it would have got: no endless hiring.
        blamed = task or (self.waiting[0] if self.waiting else None)
        if blamed is None:
            return
        self.deaths[blamed.path] = self.deaths.get(blamed.path, 0) + 1
        if self.deaths[blamed.path] >= TRIES:
            if task is None:
                self.waiting.popleft()
            reason = f"its worker process died {TRIES} times (the last time with exit code {code}; see {self.log})"
            self.board.end(blamed, JobOutcome(blamed.name, blamed.path, "failed", reason))
        elif task is not None:
            self.waiting.appendleft(task)
        if self.waiting:
            self._hire()


DEAD = object()


class Worker:
    """A process that carries out one task after another."""

    def __init__(self, number: int, threads: int, log: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.task: Task | None = None
        self.process = context.Process(target=serve, args=(theirs, threads, log), name=f"percepts-worker-{number}")
        with _inherited(threads, number):
            self.process.start()
        theirs.close()

    def receive(self) -> Any:
        """True when it is ready, an outcome, None for no news, or `DEAD`."""
        try:
            if self.pipe.poll():
                return self.pipe.recv()
        except (EOFError, OSError):
            return DEAD
        return None if self.process.is_alive() else DEAD

    def send(self, task: Task | None) -> None:
        """Give it a task; None: nothing is left, it ends."""
        # A worker that died meanwhile is found out by `receive`.
        with contextlib.suppress(OSError):
            self.pipe.send(task)


def serve(pipe: connection.Connection, threads: int, log: Path) -> None:
    """The life of a worker."""
    _write_to(log)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_watch_parent, daemon=True).start()
    try:
        pipe.send(True)
        while (task := pipe.recv()) is not None:
            # What one experiment asks of the whole process must not stay for the next.
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(False)
            pipe.send(run_job(task))
    except (KeyboardInterrupt, EOFError, OSError):
        pass


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_each(workers: int) -> int:
    """The share of the cores of each of so many workers; fewer where OMP_NUM_THREADS asks for fewer."""
    share = max(1, cores() // max(workers, 1))
    wish = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(wish)) if wish.isdecimal() and int(wish) else share


def visible_device(number: int, visible: str | None, count: int) -> str | None:
    """Which of `count` GPUs worker `number` sees, as CUDA_VISIBLE_DEVICES names it; None where there is no choice."""
    names = visible.split(",") if visible else [str(index) for index in range(count)]
    return names[number % count] if count > 1 else None


@contextlib.contextmanager
def _inherited(threads: int, number: int) -> Iterator[None]:
    """What a process started in this context finds: its number of threads, its GPU, and no SIGINT."""
    values = {"OMP_NUM_THREADS": str(threads)}
    device = visible_device(number, os.environ.get("CUDA_VISIBLE_DEVICES"), torch.cuda.device_count())
    if device is not None:
        values["CUDA_VISIBLE_DEVICES"] = device
    before = {name: os.environ.get(name) for name in values}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _write_to(log: Path) -> None:
    """Let everything that this process prints go into `log`."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _watch_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
