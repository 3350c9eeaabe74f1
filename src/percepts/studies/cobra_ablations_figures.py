"""What the figures of COBRA's ablations show, a plate a question."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean

from percepts.report.cobra_figures import Cost, amortised_plate
from percepts.report.plates import Plate
from percepts.studies import cobra_ablations_numbers as numbers
from percepts.studies.cobra_ablations_arms import (
    BINS,
    CURIOUS,
    DISTRACTORS,
    FEWER_SPRITES,
    FLAT,
    HUNGARIAN,
    NEAREST,
    OBJECTS,
    PIXELS,
    PIXELS_HUNGARIAN,
    PIXELS_NEAREST,
    POSITION,
    RANDOM,
    TARGETS,
    TUNED,
    VECTOR,
    VECTOR_FEWER,
    VECTOR_OBJECTS,
)
from percepts.studies.cobra_ablations_measures import SWAPS
from percepts.studies.cobra_ablations_plates import Bars, bars_plate, search_plate
from percepts.studies.study import Results

MODES = {"train": "as in training", "test": "held out"}
Arms = Mapping[str, str]
"""Names of arms in print, by arm."""
SEEN = "Bars are means over seeds. "
ERROR = "error (1: as if nothing moved)"


def figures(results: Results) -> dict[str, Plate]:
    """A plate a question; those on pictures where there were any."""
    found = {
        "exploration": exploration(results),
        "objects": objects(results),
        "losses": losses(results),
        "swaps": swaps(results),
        "search": search(results),
        "sprites": sprites(results),
        "cost": cost(results),
    }
    if numbers.seeds_of(results, PIXELS):
        found |= {"losses-pictures": losses_of_pictures(results), "vision": vision(results)}
    return found


def exploration(results: Results) -> Plate:
    """1: where actions come from."""
    arms = {RANDOM: "random", OBJECTS: "random object", CURIOUS: "curious", BINS: "recursive bins"}
    names = {"objects/1 to 6": "clicks into sprites", "random/1 to 6": "random actions that hit"}
    shares = {told: {"": numbers.hits(results, arm)} for arm, told in arms.items()}
    caption = (
        f"{SEEN}Explorations of equal length. Hits are those of the last quarter; the error of the dynamics is tested "
        "in the same scenes for all."
    )
    panels = [Bars("Actions that hit", "share", shares, 1.0), _errors(results, arms, names)]
    return bars_plate([*panels, _success(results, arms, POSITION)], caption)


def objects(results: Results) -> Plate:
    """2: objects against one vector."""
    arms = {CURIOUS: "objects", FLAT: "objects, flat reward", VECTOR: "one vector",
            VECTOR_OBJECTS: "one vector, helped"}  # fmt: skip
    caption = (
        f"{SEEN}The same true factors as objects, as objects with a reward predictor that needs them in a fixed order "
        "and number (empty places filled up), and as one vector; helped: its exploration clicks into sprites by the "
        "ground truth. More targets: one in training, two held out."
    )
    panels = [_success(results, arms, task) for task in (POSITION, TARGETS)]
    return bars_plate([*panels, _errors(results, arms, {"objects/1 to 6": "clicks into sprites"})], caption)


def losses(results: Results) -> Plate:
    """3: how predicted slots are compared, on true factors."""
    arms = {CURIOUS: "slot by slot", HUNGARIAN: HUNGARIAN, NEAREST: NEAREST}
    caption = f"{SEEN}How the transition model was trained; it is tested slot by slot."
    errors = _errors(results, arms, {"objects/1 to 6": "clicks into sprites"})
    return bars_plate([errors, _success(results, arms, POSITION)], caption)


def losses_of_pictures(results: Results) -> Plate:
    """3: the same on pictures."""
    arms = {PIXELS: "in pixels", PIXELS_HUNGARIAN: HUNGARIAN, PIXELS_NEAREST: NEAREST}
    caption = f"{SEEN}How the transition model of a learned vision was trained; it is tested in pixels that change."
    errors = _errors(results, arms, {"objects/seen": "clicks into sprites"})
    return bars_plate([errors, _success(results, arms, POSITION)], caption)


def vision(results: Results) -> Plate:
    """6: vision that stays as it is, or goes on learning while the agent explores."""
    arms = {PIXELS: "frozen", TUNED: "fine-tuned"}
    caption = f"{SEEN}The vision while the agent explores; in the tasks it is frozen."
    errors = _errors(results, arms, {"objects/seen": "clicks into sprites"})
    return bars_plate([errors, _success(results, arms, POSITION)], caption)


def swaps(results: Results) -> Plate:
    """4: the truth in the place of what was learned."""
    panels = []
    for number, axis, limit in (("success", "success", 1.0), ("length", "steps of an episode", None)):
        values: dict[str, dict[str, list[float]]] = {}
        for task in next(iter(results.across["swaps"].values())):
            for name in SWAPS:
                for mode, found in numbers.swap(results, task, name, number).items():
                    group = f"{_short(task).removeprefix('goal finding, ')}, {MODES[mode]}"
                    values.setdefault(name, {})[group] = found
        panels.append(Bars(axis.capitalize(), axis, values, limit))
    caption = (
        f"{SEEN}One trained agent that plans with the truth in the place of what it learned; nothing is retrained."
    )
    return bars_plate(panels, caption)


def search(results: Results) -> Plate:
    """5: candidates, proposals, noise and the horizon."""
    rows = [row for rows in results.across["search"].values() for row in rows]
    budget = max(row["candidates"] for row in rows if row["search"] == "RandomShooting")
    caption = (
        f"Held-out scenes of {_short(POSITION)}, by one trained agent with other searches; dashed: noise of 0.05 on "
        f"its actions. Right: {budget} sequences each, half of the candidates from the exploration."
    )
    return search_plate(rows, caption)


def sprites(results: Results) -> Plate:
    """7: the exploration knew fewer sprites."""
    arms = {
        CURIOUS: "objects, 1 to 6",
        FEWER_SPRITES: "objects, 1 to 3",
        VECTOR_OBJECTS: "one vector, 1 to 6",
        VECTOR_FEWER: "one vector, 1 to 3",
    }
    names = {"objects/1 to 3": "among 1 to 3 sprites", "objects/4 to 6": "among 4 to 6 sprites"}
    caption = (
        f"{SEEN}Explorations with up to six or up to three sprites; curious, but for one vector, whose clicks into "
        "sprites are given. Left: error on clicks into sprites. Right: a task with three sprites in training and four "
        "held out."
    )
    tasked = {arm: told for arm, told in arms.items() if arm in (CURIOUS, FEWER_SPRITES)}
    return bars_plate([_errors(results, arms, names), _success(results, tasked, DISTRACTORS)], caption)


def cost(results: Results) -> Plate:
    """8: what an exploration costs that serves many tasks."""
    costs = []
    for arm, told in {CURIOUS: "curious exploration", RANDOM: "random exploration"}.items():
        done = [numbers.rewarded(results, arm, POSITION)]
        if math.isfinite(done[0]):
            costs.append(Cost(f"COBRA, {told}", results.across["exploration"], round(mean(done))))
    learner = results.across["model-free"]
    if learner["curves"]:
        steps = numbers.learner_steps(results)
        solved = math.isfinite(steps)
        costs.append(Cost("soft actor-critic", 0, round(steps) if solved else learner["steps"], solved))
    caption = (
        f"Environment steps for each task like {_short(POSITION)} until 90 % succeed, by the number of tasks that "
        "share an exploration. Dashed: the rewarded steps alone. Dotted: not done within these steps."
    )
    return amortised_plate(costs, caption)


def _errors(results: Results, arms: Arms, names: Mapping[str, str]) -> Bars:
    """Errors of the dynamics, a group a name of `dynamics_errors`."""
    values = {
        told: {group: numbers.errors(results, arm, name) for name, group in names.items()}
        for arm, told in arms.items()
        if numbers.seeds_of(results, arm)
    }
    return Bars("Dynamics", ERROR, values)


def _success(results: Results, arms: Arms, task: str) -> Bars:
    """Success of a task, a group a mode."""
    values: dict[str, dict[str, Sequence[float]]] = {
        told: {words: numbers.success(results, arm, task, mode) for mode, words in MODES.items()}
        for arm, told in arms.items()
        if numbers.seeds_of(results, arm)
    }
    return Bars(_short(task).capitalize(), "success", values, 1.0)


def _short(task: str) -> str:
    return task.replace("goal-finding-", "goal finding, ").replace("-", " ")
