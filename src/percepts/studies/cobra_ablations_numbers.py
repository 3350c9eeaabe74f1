"""Numbers of COBRA's ablations, read from what was measured: `Results.across`, as `cobra_ablations.ablate` gives it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean
from typing import Any

from percepts.agents.cobra.evaluate import SOLVED, Curve, amortised_steps
from percepts.envs.spriteworld.configs import MODES
from percepts.studies.study import Results


def seeds_of(results: Results, arm: str) -> list[dict[str, Any]]:
    """What was measured of every seed of an arm."""
    return list(results.across["pipelines"].get(arm, {}).values())


def hits(results: Results, arm: str) -> list[float]:
    """The share of actions that hit a sprite, in the last quarter of the exploration."""
    found = []
    for run in seeds_of(results, arm):
        shares = [entry["hit_fraction"] for entry in run["exploration"]]
        found.append(mean(shares[-max(1, len(shares) // 4) :]))
    return found


def errors(results: Results, arm: str, name: str = "objects/1 to 6") -> list[float]:
    """How wrong the dynamics are; see `cobra_ablations_measures.dynamics_errors`."""
    return [run["tested"][name] for run in seeds_of(results, arm)]


def success(results: Results, arm: str, task: str, mode: str) -> list[float]:
    """Of the finished agents."""
    return [run["scores"][task][mode]["success"] for run in seeds_of(results, arm)]


def worse(results: Results, arm: str, task: str) -> float:
    """Mean success in the worse of the modes."""
    return min(mean(success(results, arm, task, mode)) for mode in MODES)


def swap(results: Results, task: str, name: str, number: str = "success") -> dict[str, list[float]]:
    """An agent with the truth in the place of a part, by mode."""
    found = [seed[task][name] for seed in results.across["swaps"].values()]
    return {mode: [one[mode][number] for one in found] for mode in MODES}


def worse_swap(results: Results, task: str, name: str) -> float:
    """Mean success of such an agent in the worse of the modes."""
    return min(map(mean, swap(results, task, name).values()))


def search(results: Results, **wanted: Any) -> float:
    """Mean success over the searches and seeds that have these values."""
    rows = [row for rows in results.across["search"].values() for row in rows]
    return mean(row["success"] for row in rows if all(row[name] == value for name, value in wanted.items()))


def enough(results: Results, proposal: str, noise: float) -> float:
    """The fewest candidates of a search over one step with which the task is done; NaN where no number suffices."""
    near = {"search": "OneStepSearch", "proposal": proposal, "noise": noise}
    rows = next(iter(results.across["search"].values()))
    sizes = sorted({row["candidates"] for row in rows if row["search"] == "OneStepSearch"})
    return next((size for size in sizes if search(results, candidates=size, **near) >= SOLVED), math.nan)


def rewarded(results: Results, arm: str, task: str) -> float:
    """Rewarded steps of a task until its success is 90 %, mean over seeds; NaN where a seed's never is."""
    return _steps_to([run["curves"][task]["train"] for run in seeds_of(results, arm)])


def solved_tasks(results: Results, arm: str) -> list[float]:
    """Of the tasks that an arm did, the rewarded steps."""
    tasks = seeds_of(results, arm)[0]["curves"]
    steps = [rewarded(results, arm, task) for task in tasks]
    return [one for one in steps if math.isfinite(one)]


def per_task(results: Results, arm: str) -> float:
    """Environment steps for each of the tasks that were done, the exploration shared by them."""
    done = solved_tasks(results, arm)
    if not done:
        return math.nan
    return amortised_steps(results.across["exploration"], len(done), round(mean(done)))


def learner_success(results: Results) -> float:
    """Of soft actor-critic at its end; NaN without it."""
    curves = results.across["model-free"]["curves"].values()
    return mean(curve["train"][-1][1] for curve in curves) if curves else math.nan


def learner_steps(results: Results) -> float:
    """Rewarded steps of soft actor-critic until its success is 90 %; NaN where a seed's never is, or without it."""
    return _steps_to([curve["train"] for curve in results.across["model-free"]["curves"].values()])


def worthwhile(results: Results, arm: str) -> float:
    """How many tasks an exploration has to serve until it costs less than what soft actor-critic spent on one task
    without doing it; NaN where it never does, or where that one did its task or was not tried."""
    done, learner = solved_tasks(results, arm), results.across["model-free"]
    saved = learner["steps"] - mean(done) if done else 0
    if saved <= 0 or not learner["curves"] or learner_success(results) >= SOLVED:
        return math.nan
    return math.floor(results.across["exploration"] / saved) + 1


def over(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """Ratios of paired seeds."""
    return [a / b for a, b in zip(one, other, strict=True)]


def _steps_to(curves: Sequence[Sequence[Sequence[float]]]) -> float:
    """The mean number of steps to 90 % over curves of steps and success; NaN where one never has it, or without any."""
    found = [Curve(tuple((int(steps), value) for steps, value in points)).steps_to(SOLVED) for points in curves]
    return mean(math.nan if steps is None else steps for steps in found) if found else math.nan
