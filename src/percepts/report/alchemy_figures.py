"""Plates of Alchemy: scores by trial, their spread, what could be known, and a chemistry with what was done in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from percepts.agents.alchemy.playing import Played
from percepts.core.errors import ConfigError
from percepts.envs.alchemy.chemistry import EDGES, POTION_COLOURS, VERTICES, chemistry_tables
from percepts.envs.alchemy.levels import Level
from percepts.envs.alchemy.posterior import Posterior, PosteriorFilter
from percepts.envs.alchemy.recording import Recording
from percepts.envs.alchemy.trackers import posterior_after
from percepts.report.alchemy_paper import ENTROPY_TRIALS, PUBLISHED
from percepts.report.plates import (
    COLOURS,
    FAINT,
    INK,
    MARKERS,
    PAPER,
    RULE,
    SOFT,
    Plate,
    empty_plate,
    finish,
    legend,
    name_axes,
    panels,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PLACES = np.array([[0.0, 0.0], [1.0, 0.0], [0.42, 0.36], [1.42, 0.36]])
CUBE = np.concatenate([_PLACES, _PLACES + np.array([0.0, 1.0])])
"""Where the vertices of a cube are drawn: axis 0 to the right, axis 1 to the back, axis 2 up."""
VALUE_COLOURS = {-3: "#5f6a78", -1: "#9aa3ad", 1: "#7fa8d9", 3: "#e0a93b"}
"""Of vertices, by the reward that they show."""
_ON_PAPER: dict[str, Any] = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
"""Behind words that cross lines."""


def trials_plate(played: Mapping[str, Played], references: Sequence[str] = (), caption: str = "") -> Plate:
    """Mean score of every trial with its standard error, an agent a line; published agents grey."""
    if not played:
        return empty_plate("Nobody has played yet.")
    figure, ((axes,),) = panels(width=7.2, height=3.8)
    for number, (name, one) in enumerate(played.items()):
        scores = one.scores.double()
        mean, error = scores.mean(0).numpy(), (scores.std(0, correction=0) / len(one) ** 0.5).numpy()
        trials = np.arange(1, len(mean) + 1)
        style = _style(number)
        axes.fill_between(trials, mean - error, mean + error, color=style["color"], alpha=0.15, linewidth=0)
        axes.plot(trials, mean, label=name, **style)
    for number, name in enumerate(references):
        known = PUBLISHED[name].trials
        if known is not None:
            look: dict[str, Any] = {"color": SOFT, "linewidth": 1, "linestyle": ("--", ":", "-.")[number % 3]}
            axes.plot(np.arange(1, len(known) + 1), known, label=f"{name}, published", **look)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    name_axes(axes, "trial", "score of the trial")
    legend(axes, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return finish(figure, caption, "Mean score by trial: " + ", ".join(played))


def histogram_plate(played: Mapping[str, Played], caption: str = "") -> Plate:
    """How episode scores are spread, an agent a row."""
    if not played:
        return empty_plate("Nobody has played yet.")
    figure, grid = panels(len(played), 1, width=7.2, height=0.9 * len(played) + 0.9, sharex=True)
    totals = {name: one.totals.numpy() for name, one in played.items()}
    low, high = min(float(one.min()) for one in totals.values()), max(float(one.max()) for one in totals.values())
    bins = np.linspace(low, max(high, low + 1), 60)
    for number, (name, values) in enumerate(totals.items()):
        axes = grid[number][0]
        axes.hist(values, bins=bins.tolist(), color=COLOURS[number % len(COLOURS)], linewidth=0)
        axes.axvline(values.mean(), color=INK, linewidth=1)
        axes.set_yticks([])
        axes.grid(False)
        axes.spines["left"].set_visible(False)
        right = values.mean() < (low + high) / 2
        place: dict[str, Any] = {"transform": axes.transAxes, "ha": "right" if right else "left"}
        words = f"{name}, mean {values.mean():.1f}"
        axes.text(0.99 if right else 0.01, 0.82, words, fontsize=8, color=INK, **place)
    name_axes(grid[-1][0], "score of an episode")
    return finish(figure, caption, "Histograms of episode scores: " + ", ".join(played))


def adaptation_plate(played: Mapping[str, Played], caption: str = "") -> Plate:
    """Late minus early trials, an agent a dot, with twice the standard error."""
    if not played:
        return empty_plate("Nobody has played yet.")
    figure, ((axes,),) = panels(width=7.2, height=0.32 * len(played) + 1.1)
    for number, one in enumerate(played.values()):
        gain = one.scores[:, -3:].double().mean(1) - one.scores[:, :3].double().mean(1)
        error = 2 * float(gain.std(correction=0)) / len(one) ** 0.5
        style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
        axes.errorbar(float(gain.mean()), -number, xerr=error, markersize=5, linewidth=1.2, **style)  # type: ignore[arg-type]
    axes.axvline(0, color=FAINT, linewidth=0.8)
    axes.set_yticks([-number for number in range(len(played))], list(played))
    axes.grid(False)
    name_axes(axes, "points a trial, last three trials minus first three")
    gains = ", ".join(f"{name} {one.adaptation:.1f}" for name, one in played.items())
    return finish(figure, caption, f"Adaptation: {gains}")


def entropy_plate(played: Mapping[str, Played], references: Sequence[str] = (), caption: str = "") -> Plate:
    """How much was uncertain after every trial for somebody who saw everything; published ones dotted."""
    known = {name: (number, one.beliefs) for number, (name, one) in enumerate(played.items()) if one.beliefs}
    if not known:
        return empty_plate("The posterior was not followed: play(…, beliefs=True) does.")
    figure, ((axes,),) = panels(width=7.2, height=3.8)
    for name, (number, one) in known.items():
        mean = torch.nanmean(one.entropy, 0).numpy()
        axes.plot(np.arange(1, len(mean) + 1), mean, label=name, **_style(number))
    for number, name in enumerate(references):
        bits = PUBLISHED[name].entropy
        if bits is not None:
            look = {"marker": MARKERS[number % len(MARKERS)], "color": SOFT, "linewidth": 0.8, "linestyle": ":"}
            axes.plot(ENTROPY_TRIALS, bits, markersize=4, label=f"{name}, published", **look)  # type: ignore[arg-type]
    axes.set_ylim(bottom=0)
    name_axes(axes, "after trial", "entropy of the exact posterior (bits)")
    legend(axes, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return finish(figure, caption, "Posterior entropy by trial: " + ", ".join(known))


@dataclass(frozen=True)
class Move:
    """What a potion did to a stone.

    Attributes:
        order: of the event in the trial.
        stone: its slot.
        before, after: latent vertices.
        colour: name of the potion.
    """

    order: int
    stone: int
    before: int
    after: int
    colour: str


def moves_of(recording: Recording, episode: int, trial: int) -> list[Move]:
    """What potions did in a trial of one episode.

    Raises:
        ConfigError: there is no such episode or trial.
    """
    _check(recording, episode, trial)
    potion_map = recording.chemistry.potion_map[episode * recording.stones.shape[1] + trial]
    colours = chemistry_tables().perceived_potion[potion_map]
    order, found = recording.order()[episode], []
    steps = recording.played & (recording.trial == trial) & (recording.potion >= 0)
    for step in steps[episode].nonzero()[:, 0].tolist():
        latent = recording.potions[episode, trial, recording.potion[episode, step]]
        stone, before, after = (
            int(part[episode, step]) for part in (recording.stone, recording.before, recording.after)
        )
        found.append(Move(int(order[step]), stone, before, after, POTION_COLOURS[int(colours[latent])]))
    return found


def episode_plate(recording: Recording, episode: int, trial: int, level: str | Level, caption: str = "") -> Plate:
    """The true graph with what a trial's potions did, and what could be known of the graph after it.

    Vertices stand where they are in latent space: axis 0 to the right, axis 1 to the back, axis 2 up. At the right an
    edge is the darker the more probable it is, given the true rotation, in per cent where it is not certain; a dotted
    one is certain not to be.

    Raises:
        ConfigError: there is no such episode or trial.
    """
    moves = moves_of(recording, episode, trial)
    one = recording.rows([episode])
    filter, posterior = posterior_after(one, level, trial)
    place = trial
    graph, stone_map = int(one.chemistry.graph[place]), int(one.chemistry.stone_map[place])
    probable = edge_probabilities(filter, posterior, int(one.chemistry.rotation[place]), stone_map)
    figure, ((left, right),) = panels(1, 2, width=8.2, height=4.2)
    present = chemistry_tables().edges[graph].double()
    _draw_cube(left, present, "what was so, and what was done")
    _draw_moves(left, moves)
    bits = float(filter.entropy(posterior)[0])
    _draw_cube(right, probable, f"what could be known: {bits:.1f} bits left")
    words = f"The graph of episode {episode} with {len(moves)} potions used in trial {trial + 1}, and its probabilities"
    return finish(figure, caption, words)


def edge_probabilities(
    filter: PosteriorFilter, posterior: Posterior, rotation: int, stone_map: int
) -> Float64[Tensor, "12"]:
    """How probable the edges between the stones of one episode are, in the order of `EDGES` of their true vertices.

    Args:
        filter: of the posterior.
        posterior: of one episode.
        rotation: the true one, which is taken for granted.
        stone_map: the true one, by which stones are put where they are; it is not taken for granted.
    """
    tables = chemistry_tables()
    alive = filter.alive(posterior)[0, rotation].double()
    weights = alive.sum(0) * filter.level.prior()
    number = {frozenset(edge): place for place, edge in enumerate(EDGES)}
    found = torch.zeros(len(EDGES), dtype=torch.float64)
    for other in range(VERTICES):
        # A stone at the true vertex v would be at this one if the stone map were another.
        moved = tables.aligned[other][tables.aligned[stone_map]].tolist()
        places = [number[frozenset((moved[i], moved[j]))] for i, j in EDGES]
        found += weights[other] @ tables.edges[:, places].double()
    return (found / weights.sum()).clamp(max=1.0)  # Rounding goes a little beyond.


def _draw_cube(axes: Axes, strength: Tensor, title: str) -> None:
    axes.set_axis_off()
    axes.set_aspect("equal")
    for (i, j), value in zip(EDGES, strength.tolist()):
        if value < 1e-9:
            axes.plot(*CUBE[[i, j]].T, color=RULE, linewidth=1, linestyle=":", zorder=1)
        else:
            axes.plot(*CUBE[[i, j]].T, color=INK, alpha=0.12 + 0.88 * value, linewidth=1 + 1.4 * value, zorder=1)
        if 0.005 < value < 0.995:
            x, y = CUBE[[i, j]].mean(0)
            axes.text(x, y, f"{100 * value:.0f} %", fontsize=6.5, color=INK, ha="center", va="center", bbox=_ON_PAPER)
    shown = chemistry_tables().shown.tolist()
    for vertex, (x, y) in enumerate(CUBE):
        axes.plot(x, y, "o", markersize=19, color=VALUE_COLOURS[shown[vertex]], markeredgecolor=PAPER, zorder=3)
        words = "+15" if shown[vertex] == 3 else f"{shown[vertex]:+d}".replace("-", "−")
        axes.text(x, y, words, ha="center", va="center", fontsize=7.5, color=PAPER, fontweight="bold", zorder=4)
    axes.set_xlim(-0.25, 1.68)
    axes.set_ylim(-0.25, 1.62)
    axes.set_title(title, fontsize=9.5, color=INK, loc="left", fontweight="bold")


def _draw_moves(axes: Axes, moves: Sequence[Move]) -> None:
    """Arrows along edges, and a number at stones that a potion left alone."""
    still: dict[int, int] = {}
    for move in moves:
        colour = COLOURS[move.stone % len(COLOURS)]
        start, end = CUBE[move.before], CUBE[move.after]
        if move.before == move.after:
            row = still[move.before] = still.get(move.before, 0) + 1
            x, y = start + np.array([0.13, 0.13 - 0.085 * row])
            axes.text(x, y, f"{move.order + 1} {move.colour}: nothing", fontsize=5.5, color=colour, zorder=6)
            continue
        side = np.array([start[1] - end[1], end[0] - start[0]]) * (0.03 + 0.03 * move.stone)
        arrow: dict[str, Any] = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.4, "shrinkA": 9, "shrinkB": 9}
        axes.annotate("", xy=(end + side).tolist(), xytext=(start + side).tolist(), arrowprops=arrow, zorder=5)
        # Along the edge where no earlier number is likely to be, beside it on the arrow's side.
        along = 0.25 + 0.5 * ((move.order * 0.618) % 1.0)
        x, y = start + along * (end - start) + 1.3 * side
        align = "left" if side[0] >= 0 else "right"
        axes.text(x, y, f"{move.order + 1} {move.colour}", fontsize=6, color=colour, ha=align, zorder=6, bbox=_ON_PAPER)


def _style(number: int) -> dict[str, Any]:
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 4,
        "linewidth": 1.5,
    }


def _check(recording: Recording, episode: int, trial: int) -> None:
    episodes, trials = recording.stones.shape[:2]
    if not (0 <= episode < episodes and 0 <= trial < trials):
        raise ConfigError(f"trial {trial} of episode {episode}", f"below {trials} and {episodes}")
