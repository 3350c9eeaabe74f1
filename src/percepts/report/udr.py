"""Figures of unsupervised disentanglement ranking (UDR; Duan et al. 2020): do models of other seeds agree?

Similarity matrices of two models, the matrix of all pairs, box plots over hyperparameters, and scatter plots against
scores that needed labels. All take plain arrays: any encoders can be shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from percepts.core.errors import PerceptsError
from percepts.metrics.udr_result import UDRResult
from percepts.report.heatmaps import draw_heat_map
from percepts.report.plates import (
    COLOURS,
    FAINT,
    INK,
    MARKERS,
    SOFT,
    Plate,
    empty_plate,
    finish,
    finite,
    legend,
    name_axes,
    panels,
    spread_out,
)
from percepts.report.svg import MINUS, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACTIVE_KL = 0.01
"""Nats of mean KL above which a latent is informative, as in the paper's code."""


@dataclass(frozen=True)
class ModelPair:
    """Two compared models.

    Attributes:
        names: of the two.
        similarity: absolute similarity of every latent of the first (rows) to every latent of the second (columns).
        kl: the mean KL of their latents in nats; None for encoders without one, whose latents keep their order.
        score: the UDR of the pair, NaN where unknown.
    """

    names: tuple[str, str]
    similarity: Float[np.ndarray, "rows columns"]
    kl: tuple[Sequence[float] | None, Sequence[float] | None] = (None, None)
    score: float = math.nan

    def __post_init__(self) -> None:
        if np.ndim(self.similarity) != 2:
            raise PerceptsError(f"a similarity of shape {np.shape(self.similarity)}", "latents x latents")
        for size, kl in zip(self.similarity.shape, self.kl):
            if kl is not None and len(kl) != size:
                raise PerceptsError(f"{len(kl)} KL values for {size} latents", "one for every latent")


def pair_of(result: UDRResult, one: int, other: int, names: Sequence[str]) -> ModelPair | None:
    """Two of the models of a ranking, `one` in the rows; None where their similarity was not kept.

    Args:
        names: of all models of the ranking.
    """
    turned = (one, other) not in result.similarity
    matrix = result.similarity.get((other, one) if turned else (one, other))
    if matrix is None:
        return None
    matrix = matrix.T if turned else matrix
    score = result.pairwise[(other, one) if turned else (one, other)]
    kl = tuple(_known_kl(result, model, size) for model, size in zip((one, other), matrix.shape))
    return ModelPair((names[one], names[other]), matrix, (kl[0], kl[1]), float(score))


def similarity_plate(pair: ModelPair) -> Plate:
    """The similarity matrix of two models, rows and columns in order of KL (the paper's schematic figure)."""
    return similarity_plates([pair])


def similarity_plates(pairs: Sequence[ModelPair], titles: Sequence[str] = ()) -> Plate:
    """Similarity matrices side by side, such as the best and the worst pair."""
    if not pairs:
        return empty_plate("No pair of models to compare.")
    figure, (row,) = panels(1, len(pairs), width=3.7 * len(pairs) + 0.4, height=3.6)
    for place, (axes, pair) in enumerate(zip(row, pairs)):
        _draw_similarity(figure, axes, pair, titles[place] if place < len(titles) else "", place == len(pairs) - 1)
    caption = "Similarity of latents: one dark cell a row and a column means that two models found the same axes."
    words = "; ".join(f"{pair.names[0]} and {pair.names[1]}, UDR {short(pair.score)}" for pair in pairs)
    return finish(figure, caption, f"Similarity matrices of {words}")


def pairwise_plate(
    pairwise: Float[np.ndarray, "models models"], groups: Sequence[str], names: Sequence[str] | None = None
) -> Plate:
    """The UDR of every pair of models, those of one hyperparameter setting beside each other.

    Args:
        pairwise: NaN where two models were not compared.
        groups: the setting of every model.
        names: of the models; by default none is written.
    """
    pairwise = np.asarray(pairwise, np.float64)
    count = len(groups)
    if pairwise.shape != (count, count):
        raise PerceptsError(f"pairwise scores of shape {pairwise.shape} for {count} models", f"({count}, {count})")
    order = sorted(range(count), key=lambda model: list(groups).index(groups[model]))
    matrix = pairwise[np.ix_(order, order)].copy()
    np.fill_diagonal(matrix, np.nan)
    if not np.isfinite(matrix).any():
        return empty_plate("No pair of models was compared: a ranking needs two or more seeds of one setting.")
    side = min(max(2.4 + 0.17 * count, 3.4), 8.0)
    figure, ((axes,),) = panels(width=side + 1.1, height=side)
    labels = [str(names[model]) if names else "" for model in order]
    draw_heat_map(figure, axes, matrix, labels, [""] * count, unit="UDR of the pair", top=1.0, written=count <= 10)
    axes.set_aspect("equal")
    _mark_groups(axes, [groups[model] for model in order])
    caption = "UDR of every pair: a dark block is a setting whose seeds agree; grey pairs were not compared."
    return finish(figure, caption, f"Pairwise UDR of {count} models in {len(set(groups))} settings")


def extreme_pairs(pairwise: Float[np.ndarray, "models models"]) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """The compared pair of models with the highest UDR and the one with the lowest; None where none was compared."""
    matrix = np.array(pairwise, np.float64)
    np.fill_diagonal(matrix, np.nan)
    if not np.isfinite(matrix).any():
        return None
    best, worst = (np.unravel_index(int(find(matrix)), matrix.shape) for find in (np.nanargmax, np.nanargmin))
    return (int(best[0]), int(best[1])), (int(worst[0]), int(worst[1]))


def box_plate(settings: Sequence[str], scores: Mapping[str, Sequence[float]], *, setting: str = "setting") -> Plate:
    """Box plots of every score over the models of each setting, one panel a score, one box a setting.

    Args:
        settings: of every model, in the order to show at their first mention.
        scores: one value a model by the score's name; NaN is left out.
        setting: what is varied, for the axis.
    """
    kinds = list(dict.fromkeys(settings))
    for name, values in scores.items():
        if len(values) != len(settings):
            raise PerceptsError(f"{len(values)} values of {name} for {len(settings)} models", "one for every model")
    drawn = {name: values for name, values in scores.items() if len(finite(values))}
    if not drawn:
        return empty_plate("No finite score to show.")
    columns = min(len(drawn), 3)
    rows = -(-len(drawn) // columns)
    steep = max(map(len, kinds)) * len(kinds) > 34
    wide = max(2.6, 0.42 * len(kinds) + 0.8)
    figure, grid = panels(rows, columns, width=min(wide * columns, 11), height=(2.9 if steep else 2.4) * rows)
    cells = [axes for row in grid for axes in row]
    for axes, (name, values) in zip(cells, drawn.items()):
        groups = [finite([value for value, kind in zip(values, settings) if kind == each]) for each in kinds]
        _boxes(axes, groups)
        names = [kind if len(group) else f"{kind}\n(none)" for kind, group in zip(kinds, groups)]
        axes.set_xticks(range(len(kinds)), names, rotation=30 if steep else 0, ha="right" if steep else "center")
        name_axes(axes, setting, "", name)
    for axes in cells[len(drawn) :]:
        axes.set_axis_off()
    caption = (
        "Every dot is a run, every box its setting's quartiles: UDR is of use where its boxes peak with the others."
    )
    return finish(figure, caption, f"Box plots of {', '.join(drawn)} by {setting}")


def correlation_plate(
    unsupervised: tuple[str, Sequence[float]],
    supervised: Mapping[str, Sequence[float]],
    correlations: Mapping[str, float],
    groups: Sequence[str] = (),
) -> Plate:
    """Scatter plots of a score that needs no labels against scores that do, one panel each.

    Args:
        unsupervised: its name, and its value for every model.
        supervised: the others, by name.
        correlations: the rank correlation to print, by name.
        groups: the setting of every model, told apart by colour and marker.
    """
    name, x = unsupervised[0], np.asarray(unsupervised[1], np.float64)
    drawn = {key: np.asarray(y, np.float64) for key, y in supervised.items()}
    if any(len(y) != len(x) for y in drawn.values()) or (groups and len(groups) != len(x)):
        raise PerceptsError(f"scores of other models than the {len(x)} of {name}", "one value a model in each")
    drawn = {key: y for key, y in drawn.items() if (np.isfinite(x) & np.isfinite(y)).sum() >= 2}
    if not drawn:
        return empty_plate("Fewer than two models have both a UDR and a score that needed labels.")
    columns = min(len(drawn), 3)
    rows = -(-len(drawn) // columns)
    figure, grid = panels(rows, columns, width=2.7 * columns + 1.2, height=2.5 * rows)
    cells = [axes for row in grid for axes in row]
    kinds = list(dict.fromkeys(groups)) or [""]
    for axes, (key, y) in zip(cells, drawn.items()):
        for number, kind in enumerate(kinds):
            own = np.array([group == kind for group in groups]) if groups else np.ones(len(x), bool)
            style: dict[str, Any] = {"color": COLOURS[number % 10], "marker": MARKERS[number % 10]}
            axes.scatter(x[own], y[own], s=22, alpha=0.85, linewidths=0, label=kind or None, **style)
        rho = correlations.get(key, math.nan)
        name_axes(axes, name, key, f"rank correlation {f'{rho:.2f}'.replace('-', MINUS) if rho == rho else 'n/a'}")
    for axes in cells[len(drawn) :]:
        axes.set_axis_off()
    if len(kinds) <= 10:
        legend(cells[columns - 1], fontsize=7.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    caption = f"A rising cloud means that {name} finds, without labels, the models that the labelled score prefers."
    return finish(figure, caption, f"{name} against {', '.join(drawn)}")


def _known_kl(result: UDRResult, model: int, size: int) -> list[float] | None:
    """The KL of a model's latents; None for an encoder that has none."""
    kl = result.kl[model, :size]
    if np.isfinite(kl).all():
        return [float(one) for one in kl]
    return None


def _draw_similarity(figure: Figure, axes: Axes, pair: ModelPair, title: str, bar: bool) -> None:
    """Informative latents only, sorted by KL, with the KL in nats beside their names."""
    orders, labels = [], []
    for size, kl in zip(pair.similarity.shape, pair.kl):
        order = list(range(size)) if kl is None else sorted(range(size), key=lambda latent: -kl[latent])
        order = order if kl is None else [latent for latent in order if kl[latent] > ACTIVE_KL]
        orders.append(order)
        labels.append([f"z{latent}" + ("" if kl is None else f" · {kl[latent]:.1f}") for latent in order])
    score = "" if math.isnan(pair.score) else f"UDR {pair.score:.2f}"
    heading = " · ".join(part for part in (title, score) if part)
    if not orders[0] or not orders[1]:
        axes.set_axis_off()
        dead = pair.names[0] if not orders[0] else pair.names[1]
        axes.text(0.5, 0.5, f"{dead}\nhas no informative latent", ha="center", va="center", fontsize=9, color=SOFT)
        name_axes(axes, title=heading)
        return
    matrix = np.asarray(pair.similarity, np.float64)[np.ix_(*orders)]
    draw_heat_map(figure, axes, matrix, labels[0], labels[1], unit="absolute similarity", top=1.0, bar=bar)
    axes.set_aspect("equal")
    axes.set_xticks(range(len(labels[1])), labels[1], rotation=40, ha="right")
    name_axes(axes, f"{pair.names[1]}  (KL in nats)", pair.names[0], heading)


def _mark_groups(axes: Axes, groups: Sequence[str]) -> None:
    """Lines between the settings, and their names under them."""
    starts = [place for place in range(len(groups)) if place == 0 or groups[place] != groups[place - 1]]
    ends = [*starts[1:], len(groups)]
    for start in starts[1:]:
        axes.axhline(start - 0.5, color=INK, linewidth=0.8)
        axes.axvline(start - 0.5, color=INK, linewidth=0.8)
    middles = [(start + end - 1) / 2 for start, end in zip(starts, ends)]
    axes.set_xticks(middles, [groups[start] for start in starts], rotation=30, ha="right")


def _boxes(axes: Axes, groups: Sequence[np.ndarray]) -> None:
    """Quartile boxes with every value as a dot; a group without values keeps its place."""
    for place, values in enumerate(groups):
        if len(values) == 0:
            continue
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        if len(values) > 2:
            axes.bar(place, high - low, 0.56, bottom=low, color=COLOURS[0], alpha=0.16, linewidth=0)
        axes.plot([place - 0.28, place + 0.28], [middle, middle], color=COLOURS[0], linewidth=2)
        sideways = place + spread_out(values, 0.16)
        axes.scatter(sideways, values, s=13, color=COLOURS[0], alpha=0.8, linewidths=0, zorder=3)
    axes.axhline(0, color=FAINT, linewidth=0.6)
    axes.set_xlim(-0.6, len(groups) - 0.4)
