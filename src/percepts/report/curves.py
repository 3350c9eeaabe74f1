"""Line charts as SVG: training curves, rate against distortion, tuning curves."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from percepts.report.svg import Axis, Frame, Svg, limits, path, picture_of, tag, text

WIDTH, HEIGHT = 520, 300
LEFT, TOP, BOTTOM = 56, 30, 46
MOST_POINTS = 240
"""A line of more points is thinned by means over equal stretches: a screen shows no more, and the page stays small."""


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: for the legend.
        x, y: equally many numbers; NaN makes a gap.
        classes: "s0" … "s9" (colours), "off" (grey), "dashed".
        band: half the height of a band around the line at every point.
        labelled: write the name at the line's end.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    classes: str = "s0"
    band: Sequence[float] = field(default=())
    labelled: bool = False


def line_chart(
    lines: Sequence[Line],
    *,
    label: str,
    x_label: str = "step",
    y_label: str = "",
    include: Sequence[float] = (),
    settled: float = 0.0,
    points: bool = False,
    x_ticks: dict[float, str] | None = None,
    key: str = "",
) -> Svg:
    """A chart of lines over one horizontal axis, with the numbers for the page's hover read-out.

    Args:
        lines: at least one finite point between them, or the chart says that there is nothing to show.
        label: what it shows, for those who cannot see it.
        include: values that the vertical axis must reach.
        settled: the vertical axis need not show this first share of every line (wild beginnings).
        points: also draw a dot at every point.
        x_ticks: the horizontal ticks and their labels; by default round numbers.
        key: a name for this chart that is unique in the page.
    """
    lines = [_thinned(line) for line in lines]
    shown = [y for line in lines for y in _tail(line, settled)]
    if not any(math.isfinite(y) for y in shown):
        return picture_of([text(WIDTH / 2, HEIGHT / 2, "no data yet", "label middle")], WIDTH, HEIGHT, label)
    right = WIDTH - (40 if any(line.labelled for line in lines) else 14)
    frame = Frame(
        WIDTH,
        HEIGHT,
        Axis(*_across(lines, x_label, points), LEFT, right, x_label),
        Axis(*limits(shown, include), HEIGHT - BOTTOM, TOP, y_label),
    )
    clip = f"clip-{key}"
    window = tag("rect", x=LEFT, y=TOP - 2, width=right - LEFT + 2, height=HEIGHT - BOTTOM - TOP + 3)
    body: list[str] = [tag("clipPath", window, id=clip) if key else "", frame.axes(x_ticks)]
    body += [_band(line, frame, clip if key else "") for line in lines if len(line.band)]
    for line in lines:
        body.append(path(list(zip(line.x, line.y)), f"line {line.classes}", frame, clip if key else ""))
        if points:
            body += [_dot(frame, x, y, line.classes) for x, y in zip(line.x, line.y) if math.isfinite(y)]
    body += _end_labels(lines, frame)
    return picture_of(body, WIDTH, HEIGHT, label, _hover(lines, frame, "x"))


def smoothed(name: str, x: Sequence[float], y: Sequence[float]) -> list[Line]:
    """A noisy line as two: as it is, faintly, and its mean over the nearest thirtieth of it, from 60 points on."""
    if len(y) < 60:
        return [Line(name, x, y)]
    reach = max(1, len(y) // 60)
    means = [_mean(y[max(0, place - reach) : place + reach + 1]) for place in range(len(y))]
    return [Line(f"{name} (raw)", x, y, "s0 raw"), Line(name, x, means)]


def trajectory(
    x: Sequence[float], y: Sequence[float], steps: Sequence[int], *, label: str, x_label: str, y_label: str
) -> Svg:
    """A path in a plane, fainter at its beginning; the first twentieth may leave the frame."""
    line = _thinned(Line("step", x, y))
    marks = _thinned(Line("step", [float(step) for step in steps], y)).x
    first = len(line.x) // 20
    frame = Frame(
        WIDTH,
        HEIGHT,
        Axis(*limits(line.x[first:]), LEFT, WIDTH - 14, x_label),
        Axis(*limits(line.y[first:]), HEIGHT - BOTTOM, TOP, y_label),
    )
    inside = [
        (a, b) for a, b in zip(line.x, line.y) if frame.x.low <= a <= frame.x.high and frame.y.low <= b <= frame.y.high
    ]
    body: list[str] = [frame.axes(), path(inside, "line faint s0", frame)]
    for number, (a, b) in enumerate(inside):
        share = (number + 1) / len(inside)
        body.append(_dot(frame, a, b, "s0", radius=1.6 + 1.4 * share, opacity=0.15 + 0.75 * share))
    if inside:
        end_x, end_y = inside[-1]
        body.append(_dot(frame, end_x, end_y, "s1", radius=5))
    named = [Line("step", line.x, line.y, "s0")]
    return picture_of(body, WIDTH, HEIGHT, label, _hover(named, frame, "xy", [round(mark) for mark in marks]))


def _across(lines: Sequence[Line], label: str, points: bool) -> tuple[float, float]:
    """The range of the horizontal axis; steps are counted from 0."""
    values = [x for line in lines for x in line.x]
    if label in ("step", "environment steps"):
        return 0.0, max([*values, 1.0])
    return limits(values, margin=0.02 if points else 0.0)


def _thinned(line: Line) -> Line:
    """The line with at most `MOST_POINTS` points, means of equal stretches; the last point stays itself."""
    stretch = -(-len(line.x) // MOST_POINTS)
    if stretch <= 1:
        return line

    def means(values: Sequence[float]) -> list[float]:
        parts = [values[start : start + stretch] for start in range(0, len(values) - 1, stretch)]
        return [_mean(part) for part in parts] + [values[-1]]

    return Line(line.name, means(line.x), means(line.y), line.classes, (), line.labelled)


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _tail(line: Line, settled: float) -> list[float]:
    """The values that must be in view."""
    first = min(int(len(line.y) * settled), max(len(line.y) - 2, 0))
    bands = [y + sign * half for sign in (1, -1) for y, half in zip(line.y, line.band)]
    return [*line.y[first:], *bands]


def _band(line: Line, frame: Frame, clip: str) -> Svg:
    upper = [(x, y + half) for x, y, half in zip(line.x, line.y, line.band)]
    lower = [(x, y - half) for x, y, half in zip(line.x, line.y, line.band)]
    return path(upper + lower[::-1], f"band {line.classes}", frame, clip)


def _dot(frame: Frame, x: float, y: float, classes: str, radius: float = 2.6, opacity: float = 1.0) -> Svg:
    place = {"cx": frame.x.at(x), "cy": frame.y.at(y), "r": radius}
    return tag("circle", class_=f"dot {classes}", opacity=f"{opacity:.2f}", **place)


def _end_labels(lines: Sequence[Line], frame: Frame) -> list[Svg]:
    """Names at the ends of the lines, moved apart where they would overlap."""
    ends = _sorted_ends(lines, frame)
    heights = [height for height, _ in ends]
    for _ in range(20):
        for one, two in itertools.pairwise(range(len(heights))):
            overlap = 13 - (heights[two] - heights[one])
            if overlap > 0:
                heights[one] -= overlap / 2
                heights[two] += overlap / 2
    low, high = frame.y.stop, frame.y.start
    return [
        text(frame.x.stop + 6, min(max(height, low), high) + 4, line.name, f"end-label {line.classes}")
        for height, (_, line) in zip(heights, ends)
    ]


def _sorted_ends(lines: Sequence[Line], frame: Frame) -> list[tuple[float, Line]]:
    ends = [
        (frame.y.at(line.y[-1]), line) for line in lines if line.labelled and len(line.y) and math.isfinite(line.y[-1])
    ]
    return sorted(ends, key=lambda end: end[0])


def _hover(lines: Sequence[Line], frame: Frame, mode: Literal["x", "xy"], marks: Sequence[int] = ()) -> dict[str, str]:
    """What the page's script needs to read numbers off the chart."""

    def rounded(values: Sequence[float]) -> list[float | None]:
        return [float(f"{value:.5g}") if math.isfinite(value) else None for value in values]

    data = {
        "mode": mode,
        "x": [frame.x.low, frame.x.high, frame.x.start, frame.x.stop],
        "y": [frame.y.low, frame.y.high, frame.y.start, frame.y.stop],
        "labels": [frame.x.label, frame.y.label],
        "lines": [
            {"name": line.name, "classes": line.classes, "x": rounded(line.x), "y": rounded(line.y)} for line in lines
        ],
        "marks": list(marks),
    }
    return {"class": "chart", "tabindex": "0", "data-plot": json.dumps(data, separators=(",", ":"))}
