"""What `percepts explore` shows: how far a run is, on a line that is drawn again and again, and what it came to."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from percepts.agents.explorers.runs import Progress

MEASURES = {"improves": "p(improvement > 0)"}
"""What the table calls a measure whose name says too little."""
REFRESH = 0.2
"""Seconds between two pictures of the live table."""


def summary_table(summary: dict[str, Any]) -> str:
    """What episodes say together, for the terminal."""
    from percepts.core.tables import number, table

    rows = []
    for name, value in summary.items():
        if isinstance(value, list) and len(value) == 3 and not isinstance(value[0], list):
            mean, error, count = value
            rows.append([name.replace("_", " "), number(mean), number(error), str(count)])
        elif not isinstance(value, list) and value is not None:
            rows.append([MEASURES.get(name, name.replace("_", " ")), number(value), "", ""])
    return table(["measure", "mean", "standard error", "episodes"], rows)


class LiveTable:
    """One line of numbers under its heads, drawn again and again on a terminal; nothing elsewhere.

    Args:
        name: of who plays.
        stream: the terminal.
    """

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self.name, self.stream = name, sys.stderr if stream is None else stream
        self.visible = self.stream.isatty()
        self._lines, self._shown = 0, 0.0
        # Questions are asked by several threads, each of which may have to wait.
        self._drawing = threading.Lock()

    def show(self, progress: Progress) -> None:
        """Draw the newest numbers; at most five times a second, when a question waits, and when all is done."""
        clock = time.monotonic()
        going = progress.done < progress.episodes and progress.waiting is None
        if not self.visible or (clock - self._shown < REFRESH and going):
            return
        with self._drawing:
            self._shown = clock
            text = progress_table(self.name, progress)
            if progress.waiting is not None:
                # A line that the terminal breaks would not be drawn over.
                text += "\n" + progress.waiting[: shutil.get_terminal_size().columns - 1]
            up = f"\x1b[{self._lines}F\x1b[J" if self._lines else ""
            self._lines = text.count("\n") + 1
            self.stream.write(f"{up}{text}\n")
            self.stream.flush()

    def close(self) -> None:
        """Leave the table where it is."""
        self._lines = 0


def progress_table(name: str, progress: Progress) -> str:
    """How far a run is, as heads and a line: episodes, mean score, turns, tokens, cost, rate, time left."""
    from percepts.core.progress import clock_time
    from percepts.core.tables import table

    rate = progress.fresh / progress.seconds if progress.fresh and progress.seconds else None
    left = (progress.episodes - progress.done) / rate if rate else None
    spent = progress.spent
    cells = [
        name,
        f"{progress.done}/{progress.episodes}",
        "-" if progress.score is None else f"{progress.score:.3f}",
        f"{progress.turns:,}",
        "-" if spent is None else f"{spent.prompt_tokens + spent.completion_tokens:,}",
        "-" if spent is None else f"{spent.cost:.4g}" + ("?" if spent.unpriced else ""),
        "-" if rate is None else f"{rate * 60:.1f} a minute",
        "0:00" if progress.done == progress.episodes else "?" if left is None else clock_time(left),
    ]
    return table(["agent", "episodes", "mean", "turns", "tokens", "cost", "rate", "left"], [cells])
