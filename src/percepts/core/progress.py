"""One line that says how far long work is, at what rate, and when it ends. Silent where nobody watches a terminal."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO


class ProgressLine:
    """A self-overwriting progress line on a terminal; nothing at all elsewhere.

    Args:
        total: the amount of work.
        unit: what is counted, for the rate ("images", "files").
        label: what is being done.
        per_item: units a counted item stands for (a step of 64 images: 64).
        start: items already done before.
    """

    def __init__(
        self,
        total: int,
        unit: str,
        label: str,
        per_item: float = 1,
        start: int = 0,
        stream: TextIO | None = None,
    ) -> None:
        self.total, self.unit, self.label, self.per_item = total, unit, label, per_item
        self.stream = stream if stream is not None else sys.stderr
        self.visible = self.stream.isatty()
        self.started = time.monotonic()
        self.first = start
        self.shown = 0.0
        self.note = ""

    def update(self, done: int, note: str = "", force: bool = False) -> None:
        """Show that `done` items are done, with the newest note; at most five times a second unless forced."""
        self.note = note or self.note
        clock = time.monotonic()
        if not self.visible or (clock - self.shown < 0.2 and not force):
            return
        self.shown = clock
        rate = (done - self.first) / max(clock - self.started, 1e-9)
        left = clock_time((self.total - done) / rate) if rate > 0 else "?"
        text = f"{self.label} {done}/{self.total}  {rate * self.per_item:,.0f} {self.unit}/s  {left} left  {self.note}"
        width = shutil.get_terminal_size((120, 24)).columns - 1
        self.stream.write("\r" + text[:width].ljust(width))
        self.stream.flush()

    def close(self) -> None:
        """End the line, so that other output starts on a new one."""
        if self.visible and self.shown:
            self.stream.write("\n")
            self.stream.flush()


def clock_time(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, seconds_left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{seconds_left:02d}" if hours else f"{minutes}:{seconds_left:02d}"
