"""Small hand-made SVG: numbers on axes, and a frame to draw in. Colours are classes that the page's themes fill in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

MINUS = "−"


class Svg(str):
    """Markup that is safe to put into a page as it is: every text in it was escaped when it was made."""

    __slots__ = ()

    def __html__(self) -> str:
        """Template engines ask for this and then do not escape again."""
        return self


@dataclass(frozen=True)
class Axis:
    """One axis: data from `low` to `high` lies from `start` to `stop` in the picture.

    Attributes:
        label: what it measures, with its unit.
    """

    low: float
    high: float
    start: float
    stop: float
    label: str = ""

    def at(self, value: float) -> float:
        """Where `value` lies."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """Round numbers on the axis."""
        return round_numbers(self.low, self.high, most)


@dataclass(frozen=True)
class Frame:
    """A plotting area with its two axes, in a picture of `width` by `height` units."""

    width: float
    height: float
    x: Axis
    y: Axis

    def axes(self, x_ticks: dict[float, str] | None = None, y_most: int = 5) -> Svg:
        """Grid lines, tick labels and axis labels."""
        left, right, top, bottom = self.x.start, self.x.stop, self.y.stop, self.y.start
        parts = []
        for value in self.y.ticks(y_most):
            y = self.y.at(value)
            parts.append(tag("line", class_="rule", x1=left, x2=right, y1=y, y2=y))
            parts.append(text(left - 7, y + 4, short(value), "tick end"))
        labels = x_ticks if x_ticks is not None else {value: short(value) for value in self.x.ticks()}
        for value, label in labels.items():
            x = self.x.at(value)
            parts.append(tag("line", class_="rule", x1=x, x2=x, y1=bottom, y2=bottom + 4))
            parts.append(text(x, bottom + 17, label, "tick middle"))
        parts.append(tag("line", class_="axis", x1=left, x2=right, y1=bottom, y2=bottom))
        if self.x.label:
            parts.append(text((left + right) / 2, bottom + 34, self.x.label, "label middle"))
        if self.y.label:
            parts.append(text(left, top - 12, self.y.label, "label"))
        return Svg("".join(parts))


def picture_of(
    body: Iterable[str], width: float, height: float, label: str, attributes: Mapping[str, str] | None = None
) -> Svg:
    """A whole SVG element that says what it shows to those who cannot see it."""
    values = {"viewBox": f"0 0 {width:g} {height:g}", "role": "img", "aria-label": label, **(attributes or {})}
    return tag("svg", "".join(body), xmlns="http://www.w3.org/2000/svg", **values)


def tag(name: str, body: str = "", /, **attributes: object) -> Svg:
    """One element around `body`, which is markup already; the attributes are escaped.

    A trailing underscore keeps Python's own words apart (`class_`), an underscore inside stands for a hyphen.
    """
    written = ""
    for key, value in attributes.items():
        plain = coordinate(value) if isinstance(value, float) else escape(str(value))
        written += f' {key.rstrip("_").replace("_", "-")}="{plain}"'
    return Svg(f"<{name}{written}>{body}</{name}>" if body else f"<{name}{written}/>")


def text(x: float, y: float, words: object, classes: str = "") -> Svg:
    """A line of text; `words` are escaped."""
    return tag("text", escape(str(words)), x=float(x), y=float(y), class_=classes)


def path(points: Sequence[tuple[float, float]], classes: str, frame: Frame, clip: str = "") -> Svg:
    """A line through data `points`; it breaks where a number is not finite."""
    commands, pen_down = [], False
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)):
            pen_down = False
            continue
        commands.append(f"{'L' if pen_down else 'M'}{coordinate(frame.x.at(x))} {coordinate(frame.y.at(y))}")
        pen_down = True
    clipped = {"clip_path": f"url(#{clip})"} if clip else {}
    return tag("path", class_=classes, d="".join(commands), **clipped)


def coordinate(value: float) -> str:
    """A tenth of a unit is fine enough."""
    return f"{value:.1f}".removesuffix(".0")


def round_numbers(low: float, high: float, most: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between `low` and `high`: about `most`, at least one if any fits."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return []
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def limits(values: Iterable[float], include: Sequence[float] = (), margin: float = 0.04) -> tuple[float, float]:
    """The range of the finite `values` and of `include`, a little wider; (0, 1) where there is nothing."""
    finite = [value for value in (*values, *include) if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    if high - low < 1e-12 * max(1.0, abs(high)):
        spread = max(abs(high) * 0.1, 1e-6)
        return low - spread, high + spread
    room = margin * (high - low)
    return (low if low in include else low - room), high + room


def short(value: float | None, digits: int = 3) -> str:
    """A number for people: 3 digits, k and M, a true minus sign; "n/a" where there is none."""
    if value is None or not math.isfinite(value):
        return "n/a" if value is None or math.isnan(value) else ("∞" if value > 0 else MINUS + "∞")
    size = abs(value)
    for unit, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= unit:
            unit = 1e3 if suffix == "k" else unit
            return f"{value / unit:.{digits}g}{suffix}".replace("-", MINUS)
    if size >= 1000:
        return f"{value:.0f}".replace("-", MINUS)
    if 0 < size < 1e-4:
        mantissa, power = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(power)}".replace("-", MINUS)
    return f"{value:.{digits}g}".replace("-", MINUS)


def nats(value: float) -> str:
    """An amount of information: two decimals, so that a column of them lines up."""
    return f"{value:.2f}" if value >= 0.005 or value == 0 else "<0.01"


def share(value: float) -> str:
    """A number of about 1 or below, such as a variance: two decimals, more only for small ones."""
    return f"{value:.2f}" if math.isfinite(value) and value >= 0.1 else short(value, 2)
