"""Held-out combinations of factors: what a model makes of images from a hole in its training data.

Figures for the tests of zero-shot inference (Higgins et al. 2016) and of held-out regions (Watters et al. 2019): images
seen and unseen with their reconstructions, errors of several models with one dot a seed, and the error over the lattice
of two factors with the hole outlined. All take arrays that a study measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw
from torch import Tensor

from percepts.core.errors import PerceptsError
from percepts.report.grids import MARGIN, font, labelled_rows
from percepts.report.images import SEQUENTIAL, to_pixels
from percepts.report.plates import (
    COLOURS,
    INK,
    SOFT,
    Plate,
    colour_map,
    empty_plate,
    finish,
    finite,
    legend,
    name_axes,
    panels,
    plate_of,
    spread_out,
)
from percepts.report.sections.code import gap_of, strip_of
from percepts.report.svg import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TILE = 72
"""Tiles are enlarged by whole numbers to at least so many pixels a side."""


@dataclass(frozen=True)
class HeldOutErrors:
    """An error of one model on seen and on held-out combinations.

    Attributes:
        name: of the model.
        seen, hole: the mean error of every replica (seed).
    """

    name: str
    seen: Sequence[float]
    hole: Sequence[float]

    @property
    def ratio(self) -> float:
        """The median error in the hole over the median error on what was seen; NaN where either is unknown."""
        seen, hole = finite(self.seen), finite(self.hole)
        if not len(seen) or not len(hole) or np.median(seen) == 0:
            return float("nan")
        return float(np.median(hole) / np.median(seen))


def error_plate(
    models: Sequence[HeldOutErrors], *, error: str = "normalised squared error", title: str = "", higher: bool = False
) -> Plate:
    """Bars of the median error on seen and held-out combinations, a dot a seed, and their ratio above.

    Args:
        error: what is measured, with its unit.
        higher: the number is an accuracy or score, of which more is better.
    """
    drawn = [model for model in models if len(finite(model.seen)) or len(finite(model.hole))]
    if not drawn:
        return empty_plate("No model has a finite error on held-out combinations.")
    figure, ((axes,),) = panels(width=min(max(1.6 + 1.1 * len(drawn), 3.6), 10), height=3.0)
    for place, model in enumerate(drawn):
        top = max(
            _bar(axes, place - 0.19, model.seen, COLOURS[0], "seen in training" if place == 0 else None),
            _bar(axes, place + 0.19, model.hole, COLOURS[1], "held out" if place == 0 else None),
        )
        words = f"×{short(model.ratio, 2)}" if np.isfinite(model.ratio) else "n/a"
        axes.annotate(
            words, (place, top), xytext=(0, 5), textcoords="offset points", ha="center", fontsize=9, color=INK
        )
    axes.set_xticks(range(len(drawn)), [model.name for model in drawn])
    axes.set_xlim(-0.6, len(drawn) - 0.4)
    axes.margins(y=0.14)
    axes.set_ylim(bottom=0)
    name_axes(axes, "", error, title)
    legend(axes, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    goal = "as high as the blue ones" if higher else "as low as the blue ones"
    caption = f"A model that composes has orange bars {goal}: a ratio near 1. Bars are medians, dots seeds."
    words = "; ".join(f"{model.name} ×{short(model.ratio, 2)}" for model in drawn)
    return finish(figure, caption, f"{error} on held-out over seen combinations: {words}")


def reconstruction_plate(
    seen: Float[Tensor, "batch channels height width"],
    hole: Float[Tensor, "held_out channels height width"],
    models: Mapping[
        str, tuple[Float[Tensor, "batch channels height width"], Float[Tensor, "held_out channels height width"]]
    ],
) -> Plate:
    """Images of seen combinations at the left and of held-out ones at the right, over every model's reconstructions.

    Args:
        seen, hole: images in [0, 1].
        models: the reconstructions of both by the model's name.

    Raises:
        PerceptsError: reconstructions that do not belong to the images.
    """
    if len(seen) == 0 or len(hole) == 0:
        return empty_plate(f"{len(seen)} seen and {len(hole)} held-out images: at least one of each is needed.")
    for name, (one, other) in models.items():
        if one.shape != seen.shape or other.shape != hole.shape:
            raise PerceptsError(f"reconstructions by '{name}' of shapes {tuple(one.shape)} and {tuple(other.shape)}",
                                f"those of the images, {tuple(seen.shape)} and {tuple(hole.shape)}")  # fmt: skip
    rows = [_two_strips(seen, hole), *(_two_strips(*both) for both in models.values())]
    side = rows[0].shape[0]
    scale = max(1, -(-TILE // side))
    labels = [("image", ""), *((name, "") for name in models)]
    picture = labelled_rows(rows, labels, scale)
    strip = (rows[0].shape[1]) * scale
    left = picture.width - MARGIN - strip
    pixel = to_pixels(seen[:1]).shape[2]
    right = left + scale * (len(seen) * (pixel + gap_of(pixel)) - gap_of(pixel) + pixel // 2)
    caption = "A model that composes draws the images of combinations it never saw as well as the others."
    named = _headed(picture, [(left, "seen in training"), (right, "held out")])
    return plate_of(named, caption, f"Seen and held-out images and their reconstructions by {', '.join(models)}")


def error_map_plate(
    errors: Mapping[str, Float[np.ndarray, "x y"]],
    seen: Bool[np.ndarray, "x y"],
    factors: tuple[str, str],
    values: tuple[Sequence[float], Sequence[float]] | None = None,
    *,
    error: str = "normalised squared error",
) -> Plate:
    """The error at every point of the lattice of two factors, one map a model on one scale, the hole outlined.

    Args:
        errors: by the model's name; NaN is grey.
        seen: which points the models were trained on.
        factors: the names of the two factors.
        values: what their indices mean, for the ticks.
        error: what is measured, with its unit.
    """
    maps = {name: np.asarray(one, np.float64) for name, one in errors.items()}
    if any(one.shape != seen.shape for one in maps.values()):
        raise PerceptsError(f"error maps of other shapes than the mask's {seen.shape}", "one error a lattice point")
    known = finite(np.concatenate([one.ravel() for one in maps.values()])) if maps else np.zeros(0)
    if not len(known):
        return empty_plate("No lattice point has a finite error.")
    # A handful of broken points must not make the rest of the map black.
    top = max(float(np.quantile(known, 0.99)), 1e-9)
    columns = min(len(maps), 4)
    rows = -(-len(maps) // columns)
    figure, grid = panels(rows, columns, width=2.5 * columns + 0.9, height=2.6 * rows)
    cells = [axes for row in grid for axes in row]
    for axes, (name, one) in zip(cells, maps.items()):
        shown = axes.imshow(np.ma.masked_invalid(one.T), cmap=colour_map(SEQUENTIAL), vmin=0, vmax=top, origin="upper")
        _outline(axes, ~seen.T)
        axes.grid(False)
        inside = f", ×{short(_ratio(one, seen), 2)} in the hole" if seen.any() and not seen.all() else ""
        name_axes(axes, *factors)
        axes.set_title(name + inside, fontsize=8.5, color=INK, loc="left")
        if values is not None:
            for axis, one_factor in zip((axes.xaxis, axes.yaxis), values):
                ends = [0, len(one_factor) - 1]
                axis.set_ticks(ends, [short(float(one_factor[end])) for end in ends])
    for axes in cells[len(maps) :]:
        axes.set_axis_off()
    bar = figure.colorbar(shown, ax=cells[: len(maps)], fraction=0.05, pad=0.02, aspect=26, extend="max")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5, colors=SOFT, length=2)
    bar.set_label(error, fontsize=8.5, color=SOFT)
    caption = "The outline is the hole in the training data: a model that composes has no bright spot in it."
    return finish(figure, caption, f"{error} over {factors[0]} and {factors[1]} by {', '.join(maps)}")


def _bar(axes: Axes, place: float, values: Sequence[float], colour: str, name: str | None) -> float:
    known = finite(values)
    if not len(known):
        return 0.0
    axes.bar(place, float(np.median(known)), 0.34, color=colour, alpha=0.3, linewidth=0, label=name)
    axes.scatter(place + spread_out(known, 0.09), known, s=14, color=colour, linewidths=0, zorder=3)
    return float(known.max())


def _two_strips(seen: Tensor, hole: Tensor) -> np.ndarray:
    """Both strips in one row, half a tile apart."""
    one, other = strip_of(to_pixels(seen)), strip_of(to_pixels(hole))
    between = np.zeros((one.shape[0], max(1, seen.shape[-1] // 2 if seen.shape[-1] <= 96 else 48), 4), np.uint8)
    return np.concatenate([one, between, other], axis=1)


def _headed(picture: Image.Image, names: Sequence[tuple[int, str]]) -> Image.Image:
    """The picture with a line of headings above, each at its place."""
    canvas = Image.new("RGB", (picture.width, picture.height + 22), "white")
    canvas.paste(picture, (0, 22))
    draw = ImageDraw.Draw(canvas)
    for left, words in names:
        draw.text((left, 8), words, fill=INK, font=font(12))
    return canvas


def _outline(axes: Axes, inside: np.ndarray) -> None:
    """A line around the cells that are `inside` ([rows, columns])."""
    from matplotlib.collections import LineCollection

    padded = np.pad(inside, 1)
    edges = []
    for row, column in np.argwhere(padded):
        y, x = row - 1.5, column - 1.5
        edges += [[(x, y), (x + 1, y)]] * (not padded[row - 1, column])
        edges += [[(x, y + 1), (x + 1, y + 1)]] * (not padded[row + 1, column])
        edges += [[(x, y), (x, y + 1)]] * (not padded[row, column - 1])
        edges += [[(x + 1, y), (x + 1, y + 1)]] * (not padded[row, column + 1])
    for colour, width in (("white", 3.0), (COLOURS[5], 1.6)):
        axes.add_collection(LineCollection(edges, colors=colour, linewidths=width, capstyle="projecting"))


def _ratio(errors: np.ndarray, seen: np.ndarray) -> float:
    return HeldOutErrors("", finite(errors[seen]).tolist(), finite(errors[~seen]).tolist()).ratio
