"""Trade-offs over a hyperparameter: rate against distortion, and scores over β or C (one dot a run, medians joined)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from percepts.core.errors import PerceptsError
from percepts.report.plates import (
    COLOURS,
    FAINT,
    MARKERS,
    SOFT,
    Plate,
    empty_plate,
    finish,
    legend,
    name_axes,
    panels,
)
from percepts.report.svg import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis


@dataclass(frozen=True)
class Sweep:
    """The runs of one model over a hyperparameter, all seeds in one list.

    Attributes:
        name: of the model, for the legend.
        parameter: the hyperparameter's value of every run, such as β or C.
        x, y: two numbers of every run, such as KL and reconstruction term; `x` is not read where the hyperparameter
            itself is the axis. Runs with a NaN are left out.
    """

    name: str
    parameter: Sequence[float]
    y: Sequence[float]
    x: Sequence[float] = ()

    def __post_init__(self) -> None:
        if len(self.parameter) != len(self.y) or (len(self.x) and len(self.x) != len(self.y)):
            sizes = f"{len(self.parameter)}, {len(self.x)} and {len(self.y)}"
            raise PerceptsError(f"{sizes} values of parameter, x and y of '{self.name}'", "one a run in each")

    def medians(self) -> Float[np.ndarray, "values 3"]:
        """(parameter, median x, median y) for every value of the hyperparameter that has a finite run."""
        parameter, x, y = self.columns()
        kept = [(parameter == value) for value in np.unique(parameter)]
        rows = [(parameter[own][0], np.median(x[own]), np.median(y[own])) for own in kept]
        return np.array(rows, np.float64).reshape(-1, 3)

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The parameter, x and y of the runs in which all are finite."""
        y = np.asarray(self.y, np.float64)
        x = np.asarray(self.x, np.float64) if len(self.x) else np.zeros_like(y)
        parameter = np.asarray(self.parameter, np.float64)
        good = np.isfinite(parameter) & np.isfinite(x) & np.isfinite(y)
        return parameter[good], x[good], y[good]


def rate_distortion_plate(
    sweeps: Sequence[Sweep],
    *,
    parameter: str = "β",
    x_label: str = "rate: KL (nats an image)",
    y_label: str = "distortion: −ln p(x | z) (nats an image)",
    title: str = "",
) -> Plate:
    """Rate against distortion of several models over a hyperparameter (Watters et al. 2019; Burgess et al. 2018).

    Args:
        sweeps: `x` is the total KL of every run, `y` its reconstruction term, in nats.
        parameter: what is written beside the medians.
    """
    caption = f"Rate and distortion over {parameter}: at equal KL, the lower line reconstructs better."
    return _trade_off(sweeps, parameter, (x_label, y_label), title, caption)


def score_trade_off_plate(
    sweeps: Sequence[Sweep], *, score: str, parameter: str = "β", title: str = "", x_label: str = ""
) -> Plate:
    """A score (`y`) against the reconstruction error (`x`): what disentangling costs."""
    caption = f"{score} against reconstruction error over {parameter}: the upper left corner has both."
    return _trade_off(sweeps, parameter, (x_label or "excess reconstruction (nats an image)", score), title, caption)


def score_plate(
    sweeps: Sequence[Sweep],
    *,
    score: str,
    parameter: str = "β",
    logarithmic: bool = True,
    normalised: float | None = None,
    chance: float | None = None,
    title: str = "",
) -> Plate:
    """A score over β or C: a dot a run, the median joined, the best median ringed (an inverted U has it inside).

    Args:
        sweeps: `y` is the score.
        score, parameter: names for the axes, with units where they have some.
        logarithmic: the hyperparameter's axis; needs positive values.
        normalised: latents over pixels, M / N: adds an upper axis β_norm = β · M / N (Higgins et al. 2017).
        chance: the score of a guess, drawn dashed.

    Raises:
        PerceptsError: a logarithmic axis for values that are not positive.
    """
    drawn = [sweep for sweep in sweeps if len(sweep.medians())]
    if not drawn:
        return empty_plate(f"No run has a finite {score}.")
    if logarithmic and any((sweep.columns()[0] <= 0).any() for sweep in drawn):
        raise PerceptsError(f"{parameter} of 0 or below", "positive values on a logarithmic axis", "logarithmic=False")
    figure, ((axes,),) = panels(height=3.4 if normalised else 3.1)
    if logarithmic:
        axes.set_xscale("log")
    peaks = [_draw_score(axes, sweep, number) for number, sweep in enumerate(drawn)]
    if chance is not None:
        axes.axhline(chance, color=FAINT, linestyle=(0, (4, 3)), linewidth=1)
        axes.annotate("chance", (0.01, chance), xycoords=("axes fraction", "data"), fontsize=8, color=SOFT, va="bottom")
    values = np.unique(np.concatenate([sweep.columns()[0] for sweep in drawn]))
    _name_values(axes.xaxis, values)
    if len(values) == 1:  # A single value has no range of its own.
        axes.set_xlim(values[0] - abs(values[0]) / 2 - 1e-3, values[0] + abs(values[0]) + 1e-3)
    if normalised:
        _normalised_axis(axes, normalised, values)
    name_axes(axes, parameter, score, title)
    legend(axes)
    best = "; ".join(f"{sweep.name} {parameter} = {short(peak)}" for sweep, peak in zip(drawn, peaks))
    caption = f"Dots are runs, lines medians, rings the best median ({best}): inside the range it is an inverted U."
    return finish(figure, caption, f"{score} over {parameter}; best medians: {best}")


def _trade_off(sweeps: Sequence[Sweep], parameter: str, labels: tuple[str, str], title: str, caption: str) -> Plate:
    drawn = [sweep for sweep in sweeps if len(sweep.x) and len(sweep.medians())]
    if not drawn:
        return empty_plate("No run has both numbers of this plot.")
    figure, ((axes,),) = panels(height=3.4)
    for number, sweep in enumerate(drawn):
        colour, marker = COLOURS[number % 10], MARKERS[number % 10]
        _, x, y = sweep.columns()
        middle = sweep.medians()
        axes.scatter(x, y, s=16, color=colour, marker=marker, alpha=0.35, linewidths=0)
        style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 5.5, "linewidth": 1.6}
        axes.plot(middle[:, 1], middle[:, 2], label=sweep.name, **style)
        for value, at_x, at_y in middle:
            place: dict[str, Any] = {"xytext": (5, 5), "textcoords": "offset points", "fontsize": 7.5, "color": colour}
            axes.annotate(short(value), (at_x, at_y), **place)
    name_axes(axes, *labels, title)
    legend(axes)
    words = f" Small numbers are {parameter}; pale dots are runs."
    return finish(figure, caption + words, f"{labels[1]} against {labels[0]} of {', '.join(one.name for one in drawn)}")


def _draw_score(axes: Axes, sweep: Sweep, number: int) -> float:
    """One sweep; returns the parameter's value with the best median."""
    colour, marker = COLOURS[number % 10], MARKERS[number % 10]
    parameter, _, score = sweep.columns()
    middle = sweep.medians()
    axes.scatter(parameter, score, s=16, color=colour, marker=marker, alpha=0.4, linewidths=0)
    axes.plot(middle[:, 0], middle[:, 2], color=colour, linewidth=1.8, label=sweep.name, marker=marker, markersize=4)
    best = middle[middle[:, 2].argmax()]
    axes.scatter(best[0], best[2], s=110, facecolors="none", edgecolors=colour, linewidths=1.5, zorder=4)
    return float(best[0])


def _name_values(axis: Axis, values: np.ndarray) -> None:
    """Ticks at the values that were tried, where they are few."""
    from matplotlib.ticker import FixedLocator, NullLocator

    if len(values) > 12:
        return
    axis.set_major_locator(FixedLocator(values.tolist()))
    axis.set_major_formatter(lambda value, _: short(value, 2))
    axis.set_minor_locator(NullLocator())


def _normalised_axis(axes: Axes, ratio: float, values: np.ndarray) -> None:
    if not ratio > 0 or not math.isfinite(ratio):
        raise PerceptsError(f"normalised = {ratio}", "latents over pixels, above 0")
    both: Any = (lambda value: value * ratio, lambda value: value / ratio)
    upper = axes.secondary_xaxis("top", functions=both)
    _name_values(upper.xaxis, values * ratio)
    upper.tick_params(labelsize=8, colors=SOFT, length=3, width=0.6)
    upper.spines["top"].set_color(FAINT)
    upper.set_xlabel("normalised: β · latents / pixels", fontsize=9, color=SOFT)
