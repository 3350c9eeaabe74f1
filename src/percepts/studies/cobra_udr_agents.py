"""Agents on trained encoders: COBRA's exploration and a task, with the run of a study's arm as their vision.

The runs are VAEs, one vector an image: the agent sees the whole picture as a single slot. All agents are the same but
for their encoder; agents of one seed also meet the same scenes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from percepts.agents.cobra.agent import CobraAgent, TrainedVision
from percepts.agents.cobra.curiosity import Curiosity
from percepts.agents.cobra.evaluate import SOLVED, Curve
from percepts.agents.cobra.planning import OneStepSearch
from percepts.agents.cobra.rewards import RewardModel, SumHead
from percepts.agents.cobra.task import TaskPhase
from percepts.agents.spriteworld_policies import RandomPolicy, success_rate
from percepts.core.config import digest
from percepts.core.runs import Run
from percepts.envs.spriteworld.configs import MODES, task_config
from percepts.envs.spriteworld.observations import Observer
from percepts.studies.pipelines import link_stage, train_pipelines
from percepts.studies.study import Results

EXPLORATION, TASK = "exploration-one-sprite", "goal-finding-one-sprite"
CURVE = (10, 25, 50, 75, 100, 150, 200, 300)


def agent(
    size: int = 32, transitions: int = 38_400, curve: tuple[int, ...] = CURVE, **changes: Any
) -> CobraAgent.Config:
    """The pipeline of every agent, with the true factors in the place of an encoder (sizes proposed).

    Args:
        size: of the pictures, in pixels a side.
        transitions: of the exploration.
        curve: rewarded steps after which success is measured; the last one is the budget.
        changes: of other settings.
    """
    phase = TaskPhase.Config(
        steps=curve[-1],
        planner=OneStepSearch(candidates=200),
        reward=RewardModel.Config(heads=(SumHead.Config(hidden=(64, 64)),)),
    )
    whole = CobraAgent.Config(
        observer=Observer(renderer="fast", height=size, width=size),
        exploration=Curiosity.Config(transitions=transitions, probe_arenas=32),
        exploration_task=EXPLORATION,
        tasks={TASK: phase},
        curve=curve,
        curve_episodes=50,
        episodes=50,
    )
    return dataclasses.replace(whole, **changes)


def act(
    results: Results, folder: Path, workers: int | None, whole: CobraAgent.Config, seeds: tuple[int, ...]
) -> dict[str, Any]:
    """Train and measure agents on every run of the study, and agents that see the true factors.

    Args:
        results: with the runs.
        folder: of the pipelines.
        workers: processes; see `train_pipelines`.
        whole: the pipeline, with true factors in the place of an encoder.
        seeds: of the agents of every encoder.

    Returns:
        "encoders": what was `measured` on each, in the order of the runs; "true factors": the same without a run;
        "random": success of random actions by mode; "minutes" of training, without that of the runs.
    """
    runs = [(f"{arm}, seed {run.seed}", run.run) for arm, run in results]
    wanted = {f"true factors, agent {seed}": dataclasses.replace(whole, seed=seed) for seed in seeds}
    for name, run in runs:
        for seed in seeds:
            config = dataclasses.replace(seeing(whole, run), seed=seed)
            place(config, folder, run)
            wanted[f"{name}, agent {seed}"] = config
    agents = train_pipelines(wanted, folder, workers)

    def of(name: str) -> dict[str, Any]:
        return measured([agents[f"{name}, agent {seed}"] for seed in seeds])

    found = {name: of(name) for name, _ in runs}
    oracle = of("true factors")
    return {
        "encoders": [{"encoder": name, **one} for name, one in found.items()],
        "true factors": oracle,
        "random": random_success(),
        "minutes": round(sum(one["minutes"] for one in (oracle, *found.values())), 2),
    }


def seeing(whole: CobraAgent.Config, run: Run) -> CobraAgent.Config:
    """The pipeline with a trained run as its vision. The run's seed is kept beside the pipeline's own."""
    return dataclasses.replace(whole, encoder=TrainedVision(kind="single"), vision=run.config())


def place(config: CobraAgent.Config, folder: Path, run: Run) -> None:
    """Begin the pipeline in `folder`, where `train_pipelines` looks for it, with the finished `run` as its stage
    "vision"; nothing where it was begun before.
    """
    path = folder / digest(config)
    started = CobraAgent(config, path) if (path / "run.json").exists() else CobraAgent.start(config, path)
    link_stage(run.path, started.vision_path)


def measured(agents: list[CobraAgent]) -> dict[str, Any]:
    """How fast agents of one encoder learned.

    Returns:
        "curves": success by rewarded steps by mode, of every agent; "area" by mode: the mean success over the rewarded
        steps, mean over agents; "steps": rewarded steps until the agents' mean success reaches 90 %, twice the budget
        where it does not; "dynamics": error on sprites that were clicked, relative to that nothing moves;
        "minutes" of training.
    """
    curves = {mode: [agent.curve(TASK, mode) for agent in agents] for mode in MODES}
    explored = [Run.open(agent.explore_path) for agent in agents]
    seconds = sum(
        run.info()["seconds"] for run in (*explored, *(Run.open(one.path / "tasks" / TASK) for one in agents))
    )
    return {
        "curves": {mode: [[list(point) for point in one.points] for one in found] for mode, found in curves.items()},
        "area": {mode: mean(one.area for one in found) for mode, found in curves.items()},
        "steps": steps_to_solved(curves["train"]),
        "dynamics": mean((run.evaluation() or {})["probes"]["objects/relative_error"] for run in explored),
        "minutes": round(seconds / 60, 2),
    }


def steps_to_solved(curves: Sequence[Curve], level: float = SOLVED) -> int:
    """The first number of rewarded steps with this mean success; twice the last one where none has it."""
    middle = mean_curve(curves)
    found = middle.steps_to(level)
    return 2 * middle.points[-1][0] if found is None else found


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean success of several agents that were measured after the same numbers of steps."""
    rows = zip(*(curve.points for curve in curves), strict=True)
    return Curve(tuple((row[0][0], mean(success for _, success in row)) for row in rows))


def curve_of(points: Sequence[Sequence[float]]) -> Curve:
    """A curve from JSON data."""
    return Curve(tuple((int(steps), success) for steps, success in points))


def random_success(episodes: int = 300) -> dict[str, float]:
    """Success of random actions by mode."""
    arenas = {mode: task_config(TASK, mode).arena.build() for mode in MODES}
    return {mode: success_rate(arena, RandomPolicy(arena), episodes, seed=0).success for mode, arena in arenas.items()}
