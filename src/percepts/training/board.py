"""How far many jobs are: what runs, how fast, what is left, when it ends; as data, as a live table, as plain lines."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from percepts.core.progress import clock_time
from percepts.core.tables import table
from percepts.training.job import JobOutcome, Task


@dataclass(frozen=True)
class Running:
    """A job that runs. Step 0 and no rate until its first line is logged."""

    name: str
    step: int
    steps: int
    images_per_second: float | None
    seconds_left: float | None


class Board:
    """The state of a call of `run_jobs`; `on_update` receives it.

    Attributes:
        total: the number of runs.
        outcomes: of the runs that ended, by run folder.
        skipped: the number of runs that were finished before.
    """

    def __init__(self, tasks: Sequence[Task], workers: int) -> None:
        self.total, self.workers = len(tasks), workers
        self.outcomes: dict[Path, JobOutcome] = {}
        self.skipped = 0
        self._begun: dict[Path, Task] = {}

    def begin(self, task: Task) -> None:
        """Note that `task` runs."""
        self._begun[task.path] = task

    def end(self, task: Task, outcome: JobOutcome, skipped: bool = False) -> None:
        """Note how `task` ended."""
        self._begun.pop(task.path, None)
        self.outcomes[task.path] = outcome
        self.skipped += skipped

    def drop(self, task: Task) -> None:
        """Note that `task` runs no more and did not end: it waits again."""
        self._begun.pop(task.path, None)

    @property
    def left(self) -> int:
        """Runs that have not ended."""
        return self.total - len(self.outcomes)

    def counts(self) -> Counter[str]:
        """How many ended in which way."""
        return Counter(outcome.status for outcome in self.outcomes.values())

    def running(self) -> list[Running]:
        """The jobs that run, read from the ends of their logs."""
        return [_progress(task) for task in list(self._begun.values())]

    def seconds_left(self, running: Iterable[Running]) -> float | None:
        """Until everything has ended, from the runs that ended and those that run; None while nothing is known."""
        current = [row.seconds_left for row in running if row.seconds_left is not None]
        spent = [one.seconds for one in self.outcomes.values() if one.status == "finished" and one.seconds > 0]
        waiting = self.left - len(self._begun)
        if not current and not spent:
            return None
        each = sum(spent) / len(spent) if spent else max(current)
        return max(max(current, default=0.0), (sum(current) + waiting * each) / max(self.workers, 1))


class LiveTable:
    """Shows a board: a table that rewrites itself on a terminal, a line for every ended run elsewhere.

    Pass `show` as `on_update` and call `close` at the end.
    """

    def __init__(self, stream: TextIO | None = None, every: float = 1.0) -> None:
        self.stream = stream if stream is not None else sys.stderr
        self.live = self.stream.isatty()
        self.every = every
        self._shown = -every
        self._lines = 0
        self._known: set[Path] = set()

    def show(self, board: Board) -> None:
        """Show news; the table at most every `every` seconds."""
        news = [outcome for path, outcome in board.outcomes.items() if path not in self._known]
        first = len(self._known) + 1
        self._known.update(board.outcomes)
        lines = list(_endings(news, first, board.total, quiet=self.live))
        clock = time.monotonic()
        if not self.live:
            self._write(lines)
        elif lines or clock - self._shown >= self.every:
            self._shown = clock
            rows = _table(board)
            erase = f"\x1b[{self._lines}F\x1b[J" if self._lines else ""
            self._write([*lines, *rows], erase)
            self._lines = len(rows)

    def close(self, board: Board) -> None:
        """Show the end."""
        self._shown = -self.every
        self.show(board)

    def _write(self, lines: Sequence[str], before: str = "") -> None:
        if lines:
            self.stream.write(before + "".join(line + "\n" for line in lines))
            self.stream.flush()


def last_entry(path: Path) -> dict[str, Any]:
    """The newest whole line of training in a metrics.jsonl, read from its end; empty where there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 8192, 0))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "images_per_second" in entry:
            return entry
    return {}


def _progress(task: Task) -> Running:
    training = task.experiment.training
    entry = last_entry(task.path / "metrics.jsonl")
    step, seconds = entry.get("step", 0), entry.get("seconds", 0.0)
    left = (training.steps - step) * seconds / step if step else None
    if training.max_minutes is not None:
        limit = max(60 * training.max_minutes - seconds, 0.0)
        left = limit if left is None else min(left, limit)
    return Running(task.name, step, training.steps, entry.get("images_per_second"), left)


def _endings(outcomes: Iterable[JobOutcome], first: int, total: int, quiet: bool) -> Iterator[str]:
    """A line for every run that ended now; `quiet`: for failures only."""
    for number, outcome in enumerate(outcomes, start=first):
        if outcome.status == "failed":
            yield f"failed {outcome.name}: {outcome.error}"
        elif not quiet and outcome.seconds:
            yield f"{number}/{total} {outcome.status} {outcome.name} ({outcome.path}, {outcome.seconds:.0f} s)"


def _table(board: Board) -> list[str]:
    size = shutil.get_terminal_size((120, 24))
    running = board.running()
    rows = [
        [
            row.name,
            f"{row.step}/{row.steps}",
            "-" if row.images_per_second is None else f"{row.images_per_second:,.0f}",
            "-" if row.seconds_left is None else clock_time(row.seconds_left),
        ]
        for row in running[: max(size.lines - 6, 1)]
    ]
    counts, left = board.counts(), board.seconds_left(running)
    ending = [
        f"{counts['finished']} of {board.total} finished"
        + (f" ({board.skipped} before)" if board.skipped else "")
        + (f", {counts['failed']} failed" if counts["failed"] else "")
        + f", {board.left} left"
        + (f", about {clock_time(left)}" if left and board.left else "")
    ]
    lines = table(["run", "step", "images/s", "left"], rows).splitlines() if rows else []
    return [line[: size.columns - 1] for line in [*lines, *ending]]
