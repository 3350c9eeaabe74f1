"""The progress line: rate, time left, the newest note; nothing where nobody watches."""

from __future__ import annotations

import io

import pytest

from percepts.core import progress
from percepts.core.progress import ProgressLine, clock_time


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_rate_time_left_and_note(clock: list[float]):
    terminal = Terminal()
    line = ProgressLine(100, "images", "step", per_item=64, start=20, stream=terminal)
    clock[0] += 10
    line.update(40, "loss 3.2")
    assert "step 40/100  128 images/s  0:30 left  loss 3.2" in terminal.getvalue()
    clock[0] += 10
    line.update(60)
    assert terminal.getvalue().rstrip().endswith("loss 3.2")
    line.close()
    assert terminal.getvalue().endswith("\n")


def test_at_most_five_times_a_second(clock: list[float]):
    terminal = Terminal()
    line = ProgressLine(100, "files", "decoding", stream=terminal)
    clock[0] += 1
    for done in range(1, 50):
        clock[0] += 0.01
        line.update(done)
    assert 1 <= terminal.getvalue().count("\r") <= 4


def test_nothing_where_nobody_watches():
    stream = io.StringIO()
    line = ProgressLine(10, "files", "decoding", stream=stream)
    line.update(5, force=True)
    line.close()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3661, "1:01:01")])
def test_clock_time(seconds, text):
    assert clock_time(seconds) == text
