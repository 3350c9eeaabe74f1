"""The geometry of a code: a lattice of two factors and where it comes to lie in the plane of two latents.

The diagnostic of Watters et al. 2019 (spatial broadcast decoder): an upright, even lattice is a disentangled code, a
rotated one is entangled but faithful, a curled, folded or torn one is bad. The numbers beside the picture (affine R²,
axis angle, fold count) are those of `metrics.affine_geometry`; they are this library's, not the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool
from torch import nn

from percepts.core.errors import PerceptsError
from percepts.data.dataset import FactorDataset
from percepts.data.held_out import grid_support
from percepts.metrics.geometry import affine_geometry
from percepts.report.diagrams import corner_mix
from percepts.report.plates import COLOURS, FAINT, INK, RULE, SOFT, Plate, empty_plate, finish, name_axes, panels
from percepts.report.svg import short
from percepts.report.tuning import Lattice, lattice, spaced

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HELD_OUT = "#dcdde1"


@dataclass(frozen=True)
class Geometry:
    """A lattice of two factors in the plane of two latents, in numbers.

    Attributes:
        lattice: the lattice and its codes, both [X, Y, 2].
        factors: the names of the two factors.
        seen: which lattice points the model was trained on; None where it was on all.
        affine_r2: R² of the best affine map from codes to factors; NaN for a code that does not move.
        axis_angle: the rotation between latents and factors, degrees in [0, 45].
        fold_count, cells: lattice cells that are turned over, of how many.
        active: active latents; None where unknown.
    """

    lattice: Lattice
    factors: tuple[str, str]
    seen: Bool[np.ndarray, "x y"] | None
    affine_r2: float
    axis_angle: float
    fold_count: int
    cells: int
    active: int | None

    def __str__(self) -> str:
        latents = f"{self.active} active latents, " if self.active is not None else ""
        if math.isnan(self.affine_r2):
            return f"{latents}the two latents do not span a plane"
        return (
            f"{latents}affine R² {self.affine_r2:.3f}, axes turned by {self.axis_angle:.0f}°, "
            f"{self.fold_count} of {self.cells} cells folded"
        )


def measure_geometry(
    model: nn.Module,
    dataset: FactorDataset,
    columns: tuple[int, int],
    *,
    seen: Bool[np.ndarray, "x y"] | None = None,
    active: int | None = None,
    resolution: int = 31,
) -> Geometry | None:
    """The geometry of the two factors in `columns`, the other factors at their middle; None for a code of one latent.

    Args:
        seen: for every point of the thinned lattice whether the model was trained on it.
        active: how many latents are active, for the caption.
        resolution: lattice points a side at most (31 is third-party practice).

    Raises:
        CapabilityError: the model does not encode.
    """
    with torch.no_grad():
        found = lattice(model, dataset, columns, resolution)
    names = (dataset.factor_names[columns[0]], dataset.factor_names[columns[1]])
    return None if found is None else geometry_of(found, names, seen=seen, active=active)


def geometry_of(
    found: Lattice,
    factors: tuple[str, str],
    *,
    seen: Bool[np.ndarray, "x y"] | None = None,
    active: int | None = None,
) -> Geometry:
    """The numbers of a lattice.

    Raises:
        PerceptsError: `seen` of another shape, or codes that are not finite.
    """
    shape = found.codes.shape[:2]
    if seen is not None and seen.shape != shape:
        raise PerceptsError(f"a mask of shape {seen.shape} for a lattice of {shape}", "one value a lattice point")
    if not np.isfinite(found.codes).all():
        raise PerceptsError("codes that are not finite", "numbers", "a checkpoint from before the loss broke")
    cells = (shape[0] - 1) * (shape[1] - 1)
    if min(shape) < 2 or np.ptp(found.codes, axis=(0, 1)).min() < 1e-6:
        return Geometry(found, factors, seen, math.nan, math.nan, cells, cells, active)
    fit = affine_geometry(found.codes.reshape(-1, 2), found.factors.reshape(-1, 2), (shape[0], shape[1]))
    angle, folds = float(fit.details["axis_angle"]), int(fit.details["fold_count"])
    return Geometry(found, factors, seen, fit.value, angle, folds, cells, active)


def lattice_support(dataset: FactorDataset, columns: tuple[int, int], resolution: int = 31) -> Bool[np.ndarray, "x y"]:
    """Which points of the lattice that `measure_geometry` draws the dataset holds; the others are its hole."""
    middle = torch.tensor([size // 2 for size in dataset.factor_sizes])
    x, y = (spaced(dataset.factor_sizes[column], resolution) for column in columns)
    factors = middle.repeat(len(x) * len(y), 1)
    factors[:, columns[0]] = x.repeat_interleave(len(y))
    factors[:, columns[1]] = y.repeat(len(x))
    # A dataset with a hole numbers its own items: the place in the full grid is the base class's.
    held = grid_support(dataset)[FactorDataset.indices_of(dataset, factors)]
    return held.view(len(x), len(y)).numpy()


def geometry_plate(geometry: Geometry, title: str = "") -> Plate:
    """The lattice of the factors at the left, in the same colours its image in the latents at the right."""
    figure, (row,) = panels(1, 2, width=6.4, height=3.3)
    _draw_factors(row[0], geometry)
    _draw_codes(row[1], geometry)
    row[0].set_title(title, fontsize=9.5, color=INK, loc="left", fontweight="bold")
    hole = " Grey cells were held out of training." if geometry.seen is not None and not geometry.seen.all() else ""
    caption = f"An upright, even lattice at the right is a clean code ({geometry}).{hole}"
    return finish(figure, caption, f"Geometry of {' and '.join(geometry.factors)}: {geometry}")


def replica_plate(models: Sequence[tuple[str, Sequence[Geometry | None]]], title: str = "") -> Plate:
    """For every model a row: the lattice, then its worst and its best replica over seeds, by affine R².

    Args:
        models: a name, and one geometry a seed; None and degenerate ones count as worst.
    """
    rows = [(name, ranked_replicas(geometries)) for name, geometries in models]
    rows = [(name, ranked) for name, ranked in rows if ranked]
    if not rows:
        return empty_plate("No replica has two latents to draw.")
    figure, grid = panels(len(rows), 3, width=7.8, height=2.75 * len(rows) + 0.2)
    for (name, ranked), (left, middle, right) in zip(rows, grid):
        _draw_factors(left, ranked[0][1])
        left.set_title(name, fontsize=9.5, color=INK, loc="left", fontweight="bold")
        for axes, words, (seed, geometry) in ((middle, "worst", ranked[0]), (right, "best", ranked[-1])):
            _draw_codes(axes, geometry)
            score = "no plane" if math.isnan(geometry.affine_r2) else f"R² {geometry.affine_r2:.3f}"
            axes.set_title(f"{words} of {len(ranked)}: replica {seed}, {score}", fontsize=8.5, color=SOFT, loc="left")
    if title:
        figure.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left", fontweight="bold")
    caption = (
        "Worst and best replica over seeds by affine R²: compare the worst of one model with the best of the other."
    )
    words = "; ".join(f"{name} {short(r[0][1].affine_r2)} to {short(r[-1][1].affine_r2)}" for name, r in rows)
    return finish(figure, caption, f"Affine R² of replicas: {words}")


def ranked_replicas(geometries: Sequence[Geometry | None]) -> list[tuple[int, Geometry]]:
    """The replicas as (number, geometry), worst affine R² first; those without a plane before all."""
    found = [(seed, geometry) for seed, geometry in enumerate(geometries) if geometry is not None]
    return sorted(found, key=lambda one: -1.0 if math.isnan(one[1].affine_r2) else one[1].affine_r2)


def variance_plate(models: Sequence[tuple[str, Sequence[float]]], title: str = "") -> Plate:
    """The mean posterior variance of every latent as bars, smallest first, one panel a model.

    Args:
        models: a name, and the variance of every latent.
    """
    drawn = [(name, sorted(float(one) for one in values if math.isfinite(one))) for name, values in models]
    drawn = [(name, values) for name, values in drawn if values]
    if not drawn:
        return empty_plate("No latent has a finite posterior variance.")
    columns = min(len(drawn), 4)
    rows = -(-len(drawn) // columns)
    figure, grid = panels(rows, columns, width=max(2.4 * columns, 4.0), height=2.3 * rows)
    cells = [axes for row in grid for axes in row]
    for axes, (name, values) in zip(cells, drawn):
        axes.bar(range(len(values)), values, 0.7, color=[COLOURS[0] if one < 0.5 else "#b9bcc2" for one in values])
        axes.axhline(1, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_ylim(0, max(1.15, max(values) * 1.05))
        axes.set_xticks([])
        name_axes(axes, "latents, sorted", "mean posterior variance σ²", name)
    for axes in cells[len(drawn) :]:
        axes.set_axis_off()
    if title:
        figure.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left", fontweight="bold")
    caption = "Blue bars near 0 are latents that are read precisely; grey ones at the prior's 1 (dashed) say nothing."
    words = "; ".join(
        f"{name}: {sum(one < 0.5 for one in values)} of {len(values)} below 0.5" for name, values in drawn
    )
    return finish(figure, caption, f"Posterior variances. {words}")


def _draw_factors(axes: Axes, geometry: Geometry) -> None:
    nodes = geometry.lattice.factors
    # The two factors may have any units: each is shown over its own range.
    low, high = nodes.min(axis=(0, 1)), nodes.max(axis=(0, 1))
    unit = (nodes - low) / np.where(high > low, high - low, 1.0)
    _draw_lattice(axes, unit, geometry.seen)
    axes.set_xlim(-0.06, 1.06)
    axes.set_ylim(1.06, -0.06)  # Images count y from the top.
    axes.set_xticks([0, 1], [short(float(low[0])), short(float(high[0]))])
    axes.set_yticks([0, 1], [short(float(low[1])), short(float(high[1]))])
    name_axes(axes, *geometry.factors)


def _draw_codes(axes: Axes, geometry: Geometry) -> None:
    nodes = geometry.lattice.codes
    _draw_lattice(axes, nodes, geometry.seen)
    # One scale for both axes: an undistorted lattice must look undistorted.
    middle = (nodes.min(axis=(0, 1)) + nodes.max(axis=(0, 1))) / 2
    reach = max(float(np.ptp(nodes, axis=(0, 1)).max()) / 2 * 1.08, 1e-3)
    axes.set_xlim(middle[0] - reach, middle[0] + reach)
    axes.set_ylim(middle[1] - reach, middle[1] + reach)
    name_axes(axes, *(f"z{latent}" for latent in geometry.lattice.latents))


def _draw_lattice(axes: Axes, nodes: np.ndarray, seen: np.ndarray | None) -> None:
    """Lines between neighbours, coloured by their place in the lattice; cells that touch a held-out point are grey."""
    from matplotlib.collections import LineCollection, PolyCollection

    columns, rows, _ = nodes.shape
    lines, colours = [], []
    for i in range(columns):
        for j in range(rows):
            steps = [(i + 1, j)] * (i + 1 < columns) + [(i, j + 1)] * (j + 1 < rows)
            lines += [(nodes[i, j], nodes[step]) for step in steps]
            colours += [corner_mix(i / max(columns - 1, 1), j / max(rows - 1, 1))] * len(steps)
    if seen is not None and not seen.all():
        touched = ~(seen[1:, 1:] & seen[:-1, 1:] & seen[1:, :-1] & seen[:-1, :-1])
        corners = np.stack([nodes[:-1, :-1], nodes[1:, :-1], nodes[1:, 1:], nodes[:-1, 1:]], axis=2)[touched]
        axes.add_collection(PolyCollection(list(corners), facecolors=HELD_OUT, edgecolors=HELD_OUT, linewidths=0.5))
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=1.2))
    axes.grid(False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(RULE)
    axes.set_box_aspect(1)
