"""Matrices as heat maps: codes × factors (mutual information, importance, robustness), and the form that others use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from percepts.core.errors import PerceptsError
from percepts.report.plates import (
    BLUES,
    COLOURS,
    FAINT,
    INK,
    SOFT,
    Plate,
    colour_map,
    empty_plate,
    finish,
    name_axes,
    panels,
)
from percepts.report.svg import MINUS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_WRITTEN = 300
"""Cells of a matrix up to which the numbers are written into them."""


def factor_heat_map(
    matrix: Float[np.ndarray, "codes factors"],
    factors: Sequence[str],
    *,
    title: str,
    unit: str,
    codes: Sequence[str] | None = None,
    order: Sequence[int] | None = None,
    active: Sequence[bool] | None = None,
    top: float | None = None,
) -> Plate:
    """How much each code has to do with each factor; the best code of every factor is framed.

    Args:
        matrix: mutual information, importance, robustness, … ; NaN is shown as unknown.
        factors: a name for every column.
        title: what the numbers are.
        unit: of the numbers, for the colour bar.
        codes: a name for every row; by default z0, z1, …
        order: rows in the order to show, such as those with the largest KL first.
        active: dead codes are never framed and their names are grey.
        top: the value of the darkest colour; by default the largest.

    Raises:
        PerceptsError: names or order do not fit the matrix.
    """
    matrix = np.asarray(matrix, np.float64)
    names = [f"z{code}" for code in range(len(matrix))] if codes is None else list(codes)
    shown = list(range(len(matrix))) if order is None else list(order)
    if matrix.ndim != 2 or (len(names), len(factors)) != matrix.shape or not set(shown) <= set(range(len(matrix))):
        raise PerceptsError(
            f"a matrix of shape {matrix.shape} with {len(names)} row and {len(factors)} column names",
            "a row a code, a column a factor",
        )
    if matrix.size == 0 or not np.isfinite(matrix).any():
        return empty_plate(f"{title}: no finite number in a matrix of shape {matrix.shape}.")
    alive = [True] * len(matrix) if active is None else [bool(one) for one in active]
    width, height = _size(len(shown), len(factors))
    figure, ((axes,),) = panels(width=width, height=height)
    draw_heat_map(figure, axes, matrix[shown], [names[row] for row in shown], factors, unit=unit, top=top)
    _frame_best(axes, matrix[shown], [alive[row] for row in shown])
    for label, row in zip(axes.get_yticklabels(), shown):
        label.set_color(INK if alive[row] else FAINT)
    name_axes(axes, title=title)
    caption = f"{title}: one framed cell a row and a column, with pale others, is a code that keeps factors apart."
    return finish(figure, caption, f"{title} of {len(shown)} codes and the factors {', '.join(factors)}")


def draw_heat_map(
    figure: Figure,
    axes: Axes,
    matrix: Float[np.ndarray, "rows columns"],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    unit: str = "",
    bottom: float = 0.0,
    top: float | None = None,
    written: bool | None = None,
    bar: bool = True,
) -> None:
    """Fill `axes` with the matrix, rows downwards; unknown (NaN) cells are grey.

    Args:
        bottom, top: values of the colour map's ends; by default from 0 to the largest.
        written: write the numbers into the cells; by default where there are few enough.
        bar: draw the colour bar.
    """
    known = np.isfinite(matrix)
    largest = float(matrix[known].max()) if known.any() else 1.0
    high = max(top if top is not None else largest, bottom + 1e-9)
    shown = axes.imshow(np.ma.masked_invalid(matrix), cmap=colour_map(BLUES), vmin=bottom, vmax=high, aspect="auto")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    steep = max([len(name) for name in columns] + [0]) * len(columns) > 60
    axes.set_xticks(range(len(columns)), columns, rotation=40 if steep else 0, ha="right" if steep else "center")
    axes.set_yticks(range(len(rows)), rows)
    if written if written is not None else matrix.size <= MOST_WRITTEN:
        size = 7.5 if matrix.size <= 60 else 6
        for (row, column), value in np.ndenumerate(matrix):
            dark = np.isfinite(value) and (value - bottom) / (high - bottom) > 0.55
            words = f"{value:.2f}".replace("-", MINUS) if np.isfinite(value) else ""
            axes.text(column, row, words, ha="center", va="center", fontsize=size, color="white" if dark else SOFT)
    if bar:
        scale = figure.colorbar(shown, ax=axes, fraction=0.05, pad=0.02, aspect=28)
        scale.outline.set_visible(False)
        scale.ax.tick_params(labelsize=7.5, colors=SOFT, length=2)
        scale.set_label(unit, fontsize=8.5, color=SOFT)


def _frame_best(axes: Axes, matrix: np.ndarray, alive: Sequence[bool]) -> None:
    from matplotlib.patches import Rectangle

    choices = np.where(np.asarray(alive)[:, None] & np.isfinite(matrix), matrix, -np.inf)
    for column in range(matrix.shape[1]):
        row = int(choices[:, column].argmax())
        if choices[row, column] > 0:
            frame = Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, edgecolor=COLOURS[1], linewidth=2)
            axes.add_patch(frame)


def _size(rows: int, columns: int) -> tuple[float, float]:
    return min(max(1.8 + 0.62 * columns, 3.4), 10.0), min(max(1.0 + 0.27 * rows, 1.8), 10.0)
