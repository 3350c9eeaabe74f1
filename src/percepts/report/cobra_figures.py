"""Plates of a COBRA pipeline: data efficiency, exploration, predictions and rewards, and what an exploration costs.

They take plain numbers and pictures, so that they also draw what no pipeline folder holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from percepts.agents.cobra.evaluate import amortised_steps
from percepts.report.arena_figures import click_density, heat_picture, overlay_actions, spread
from percepts.report.cobra_material import MODES, Point
from percepts.report.cobra_samples import Predicted, RewardPairs, SceneClicks
from percepts.report.plates import (
    COLOURS,
    FAINT,
    INK,
    SOFT,
    Plate,
    empty_plate,
    finish,
    legend,
    name_axes,
    panels,
    plate_of,
)
from percepts.report.slot_sheet import Tile, sheet
from percepts.report.svg import MINUS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ARROWS = 40
"""Of every policy that are drawn over a scene."""


@dataclass(frozen=True)
class Pilot:
    """Points of the pilot with which COBRA's sizes were chosen: NumPy, true factors as slots, no noise, one or two
    seeds, 40 episodes a point. They are no numbers of the paper.

    Attributes:
        head: of the reward predictor.
        train: success by rewarded steps; the middle where two seeds differ.
    """

    head: str
    train: dict[int, float]


PILOT = {
    "goal-finding-new-position": Pilot("deep sets", {200: 0.595, 500: 0.97, 1000: 1.0, 2000: 1.0}),
    "goal-finding-more-distractors": Pilot("deep sets", {500: 0.965, 1000: 1.0}),
    "goal-finding-more-targets": Pilot("deep sets", {500: 1.0, 1000: 1.0, 2000: 1.0, 4000: 1.0}),
    "goal-finding-new-shape": Pilot("pairs of objects, shape hidden", {500: 1.0, 1000: 1.0, 2000: 1.0}),
    "sorting": Pilot("sum over objects", {500: 0.1, 1000: 0.435, 2000: 0.885, 4000: 1.0}),
    "clustering": Pilot("pairs, by positions and squared difference of hue", {500: 1.0, 1000: 0.97, 2000: 1.0}),
}
"""By task."""


@dataclass(frozen=True)
class Efficiency:
    """How fast one task was learned.

    Attributes:
        title: of the task.
        curves: success by rewarded steps, by mode.
        random, oracle: success of uniform actions and of the greedy oracle on the train mode; None: not measured.
        pilot: where it can be compared with.
        steps: to which the axis goes.
    """

    title: str
    curves: Mapping[str, Sequence[Point]]
    random: float | None = None
    oracle: float | None = None
    pilot: Pilot | None = None
    steps: int = 0


def efficiency_plate(tasks: Sequence[Efficiency], caption: str) -> Plate:
    """Success by rewarded steps on both modes, a panel a task, with the lines that it is to be compared with."""
    tasks = [task for task in tasks if any(task.curves.values())]
    if not tasks:
        return empty_plate("No success was measured yet.")
    columns = min(3, len(tasks))
    rows = -(-len(tasks) // columns)
    figure, grid = panels(rows, columns, width=max(5.2, 3.5 * columns), height=2.6 * rows + 0.5)
    places = [axes for row in grid for axes in row]
    for axes, task in zip(places, tasks):
        _draw_efficiency(axes, task)
    for axes in places[len(tasks) :]:
        axes.set_axis_off()
    _legend_below(figure, places[: len(tasks)])
    return finish(figure, caption, "Success by rewarded steps: " + ", ".join(task.title for task in tasks))


@dataclass(frozen=True)
class Cost:
    """Environment steps that an agent needs.

    Attributes:
        name: of the agent.
        exploration: steps without rewards, once for all tasks.
        rewarded: steps of a task until it is done.
        solved: false: after so many steps it was not done, and the cost is larger.
    """

    name: str
    exploration: int
    rewarded: int
    solved: bool = True


def amortised_plate(costs: Sequence[Cost], caption: str, most: int = 100) -> Plate:
    """Environment steps for each of 1 to `most` tasks that one exploration serves, on logarithmic axes."""
    if not costs:
        return empty_plate("No agent did a task, so there is nothing that it costs.", caption)
    figure, ((axes,),) = panels(width=5.6, height=3.4)
    tasks = np.unique(np.geomspace(1, most, 60).round().astype(int))
    for number, cost in enumerate(costs):
        steps = [amortised_steps(cost.exploration, int(count), cost.rewarded) for count in tasks]
        style = "-" if cost.solved else ":"
        name = cost.name if cost.solved else f"{cost.name}: more than"
        axes.plot(tasks, steps, color=COLOURS[number % len(COLOURS)], linestyle=style, linewidth=1.6, label=name)
        if cost.exploration:
            axes.axhline(cost.rewarded, color=COLOURS[number % len(COLOURS)], linewidth=0.7, linestyle="--")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(1, most)
    name_axes(axes, "tasks that one exploration serves", "environment steps a task")
    legend(axes)
    return finish(figure, caption, "Environment steps a task by number of tasks: " + ", ".join(c.name for c in costs))


def exploration_plate(scenes: Sequence[SceneClicks], policies: Sequence[str], caption: str) -> Plate:
    """A row a scene: the scene, and for every policy where it clicks and what it does there."""
    densities = [[click_density(scene.actions[name][:, :2]) for name in policies] for scene in scenes]
    limit = max(float(one.max()) for row in densities for one in row)
    rows: list[list[Tile | None]] = []
    for scene, row in zip(scenes, densities):
        tiles: list[Tile | None] = [Tile(scene.image)]
        for name, density in zip(policies, row):
            hit = float(scene.arrows[name].hit.double().mean())
            heat = heat_picture(density, limit, scene.sprites)
            tiles.append(Tile(heat, f"up to {density.max():.1f} × uniform"))
            drawn = overlay_actions(scene.image, scene.arrows[name].rows(slice(0, ARROWS)))
            tiles.append(Tile(drawn, f"{100 * hit:.0f} % hit a sprite"))
        rows.append(tiles)
    heads = ["scene", *(f"{name}: {what}" for name in policies for what in ("clicks", "motions"))]
    return plate_of(sheet(rows, columns=heads), caption, "Clicks and motions of " + " and ".join(policies))


def prediction_plate(found: Predicted, caption: str) -> Plate:
    """Columns are steps; rows are the scene with the action, the true and the predicted outcome, and the difference."""
    count = len(found.before)
    before = [_acted(found.before[place], found, place) for place in range(count)]
    pictures = {
        "before": ([Tile(one) for one in before], "and the action"),
        "after": ([Tile(one) for one in found.after], "what happened"),
    }
    if found.redrawn is not None:
        pictures["after, drawn"] = ([Tile(one) for one in found.redrawn], "from its own slots")
    told = [Tile(one, words) for one, words in zip(found.predicted, found.remarks)]
    pictures["predicted"] = (told, "by the model")
    pictures["difference"] = ([Tile(_difference(found, place)) for place in range(count)], "of prediction and truth")
    return _labelled(pictures, caption)


def rollout_plate(found: Predicted, caption: str, most: int = 7) -> Plate:
    """Columns are moments of one episode; rows are what happened and what was predicted from the first scene alone."""
    chosen = spread(len(found.after), most)
    true = [Tile(_acted(found.after[step], found, step), f"step {step}") for step in chosen]
    pictures = {"true": (true, "with the next action")}
    if found.redrawn is not None:
        pictures["true, drawn"] = ([Tile(found.redrawn[step]) for step in chosen], "from its own slots")
    predicted = [Tile(found.predicted[step], found.remarks[step]) for step in chosen]
    pictures["predicted"] = (predicted, "from step 0 alone")
    pictures["difference"] = ([Tile(_difference(found, step)) for step in chosen], "of the two")
    return _labelled(pictures, caption)


def reward_plate(title: str, pairs: Mapping[str, RewardPairs], caption: str) -> Plate:
    """Predicted against true rewards: of what was seen after a step, and of what was imagined before it.

    Args:
        title: of the task.
        pairs: by mode.
    """
    figure, ((seen, imagined),) = panels(1, 2, width=7.6, height=3.6)
    _draw_rewards(seen, {mode: (one.true, one.seen) for mode, one in pairs.items()}, "from what was seen after")
    _draw_rewards(
        imagined, {mode: (one.true, one.imagined) for mode, one in pairs.items()}, "from the predicted outcome"
    )
    figure.suptitle(title, fontsize=10.5, color=INK, fontweight="bold", x=0.01, ha="left")
    return finish(figure, caption, f"Predicted against true rewards of {title}")


def explained(true: torch.Tensor, predicted: torch.Tensor) -> float:
    """The share of the variance of `true` that `predicted` explains (R²); NaN where there is none."""
    spread_of = float((true - true.mean()).square().sum())
    return 1 - float((true - predicted).square().sum()) / spread_of if spread_of > 0 else math.nan


def _acted(image: np.ndarray, found: Predicted, place: int) -> np.ndarray:
    """The picture with the action of this place, if there is one."""
    return overlay_actions(image, found.arrows.rows(slice(place, place + 1)), side=min(image.shape[:2]))


def _draw_efficiency(axes: Axes, task: Efficiency) -> None:
    for number, (mode, name) in enumerate(MODES.items()):
        points = task.curves.get(mode, ())
        if not points:
            continue
        steps, colour = [point.steps for point in points], COLOURS[number]
        low, high = (np.array([point.interval[end] for point in points]) for end in (0, 1))
        axes.fill_between(steps, low, high, color=colour, alpha=0.13, linewidth=0)
        style = {"marker": "os"[number], "markersize": 4, "linewidth": 1.6, "color": colour}
        axes.plot(steps, [point.success for point in points], label=name, **style)  # type: ignore[arg-type]
    if task.oracle is not None:
        axes.axhline(task.oracle, color=INK, linewidth=0.9, linestyle="--", label="oracle, train")
    if task.random is not None:
        axes.axhline(task.random, color=FAINT, linewidth=0.9, linestyle="-", label="random, train")
    last = max([task.steps, *(point.steps for points in task.curves.values() for point in points)])
    if task.pilot is not None:
        known = {steps: value for steps, value in task.pilot.train.items() if steps <= 1.02 * last}
        axes.plot(
            list(known), list(known.values()), color=COLOURS[2], linestyle=":", marker="^", markersize=4, linewidth=1.2,
            label="pilot, train" if known else None,
        )  # fmt: skip
    axes.set_ylim(-0.04, 1.06)
    axes.set_xlim(0, 1.03 * last)
    name_axes(axes, "rewarded steps", "success", task.title)


def _legend_below(figure: Figure, places: Sequence[Axes]) -> None:
    """One legend for all panels, under them, of whatever any of them shows."""
    named: dict[str, Any] = {}
    for axes in places:
        handles, names = axes.get_legend_handles_labels()
        named |= dict(zip(names, handles))
    look: dict[str, Any] = {
        "frameon": False,
        "fontsize": 8,
        "labelcolor": SOFT,
        "handlelength": 1.8,
        "columnspacing": 1.6,
    }
    figure.legend(list(named.values()), list(named), loc="outside lower center", ncols=len(named), **look)


def _difference(found: Predicted, place: int) -> np.ndarray:
    """The absolute difference of the predicted and the true picture."""
    true, predicted = found.after[place], found.predicted[place]
    if true.shape != predicted.shape:
        # Models may see fewer pixels than are drawn here: the larger picture is sampled at the other's pixels.
        rows = (np.arange(true.shape[0]) * predicted.shape[0]) // true.shape[0]
        columns = (np.arange(true.shape[1]) * predicted.shape[1]) // true.shape[1]
        predicted = predicted[rows][:, columns]
    return np.abs(true.astype(np.int16) - predicted.astype(np.int16)).astype(np.uint8)


def _labelled(pictures: Mapping[str, tuple[Sequence[Tile], str]], caption: str) -> Plate:
    rows: list[list[Tile | None]] = [list(tiles) for tiles, _ in pictures.values()]
    labels = [(name, remark) for name, (_, remark) in pictures.items()]
    return plate_of(sheet(rows, labels=labels), caption, caption)


def _draw_rewards(axes: Axes, pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]], title: str) -> None:
    for number, (mode, (true, predicted)) in enumerate(pairs.items()):
        fit = explained(true, predicted)
        words = f"{MODES.get(mode, mode)}, R² {fit:.2f}".replace("-", MINUS)
        style = {"s": 11, "alpha": 0.5, "linewidths": 0, "marker": "os"[number % 2], "color": COLOURS[number]}
        axes.scatter(true.numpy(), predicted.numpy(), label=words, **style)  # type: ignore[arg-type]
    values = torch.cat([torch.cat(pair) for pair in pairs.values()])
    values = values[values.isfinite()]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    axes.plot([low, high], [low, high], color=SOFT, linewidth=0.8, linestyle="--")
    name_axes(axes, "true reward", "predicted reward", title)
    axes.legend(loc="best", fontsize=8, labelcolor=SOFT, edgecolor="none", framealpha=0.85, handlelength=1.2)
