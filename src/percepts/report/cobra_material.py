"""What the report of a COBRA pipeline is made of: its records, the agents that it left, and reference points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from percepts.agents.cobra.agent import CobraAgent
from percepts.agents.cobra.curiosity import Curiosity
from percepts.agents.cobra.evaluate import Curve
from percepts.agents.cobra.exploration import Explorer, RandomObject, Uniform
from percepts.agents.cobra.planning import SearchAgent
from percepts.agents.cobra.slots import JoinedFactors, OracleFactors, SlotEncoder
from percepts.agents.cobra.transition import SlotTransition
from percepts.agents.cobra.world import World
from percepts.agents.spriteworld_policies import (
    GreedyOracle,
    RandomPolicy,
    Score,
    success_rate,
    wilson_interval,
)
from percepts.core.random import derive_seed, torch_generator
from percepts.core.runs import Run
from percepts.envs.spriteworld.actions import SelectMove
from percepts.envs.spriteworld.configs import TEST, TRAIN, SpriteworldConfig
from percepts.report.plates import Plate
from percepts.report.sections.section import Section

MODES = {TRAIN: "train", TEST: "held out"}
"""The modes of a task, and what the page calls them."""
RANDOM_EPISODES, ORACLE_EPISODES, ORACLE_CANDIDATES = 200, 50, 200


@dataclass(frozen=True)
class Shown:
    """A section and the files that go to the folder `figures`, by name: plates become PNG files."""

    section: Section
    files: Mapping[str, Plate | bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """Success after so many rewarded steps.

    Attributes:
        interval: Wilson's, at 95 %.
    """

    steps: int
    success: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class References:
    """What is known of a task without learning, measured here.

    Attributes:
        random: uniform actions, by mode.
        oracle: the best of many actions by true dynamics and reward, by mode.
    """

    random: dict[str, Score]
    oracle: dict[str, Score]


@dataclass(frozen=True)
class TaskRecord:
    """One task of the pipeline.

    Attributes:
        name: of the task.
        status: of its stage.
        log: of its training.
        curves: success by rewarded steps, by mode.
        scores: of evaluation.json by mode, as JSON data.
        steps: rewarded steps that are planned.
        steps_to: rewarded steps until 90 % success on the train mode; None where it was not reached.
    """

    name: str
    status: str
    log: list[dict[str, Any]]
    curves: dict[str, tuple[Point, ...]]
    scores: dict[str, dict[str, Any]]
    steps: int
    steps_to: int | None

    @property
    def title(self) -> str:
        """In print."""
        return task_title(self.name)


@dataclass(frozen=True)
class PipelineMaterial:
    """A pipeline and what it left behind.

    Attributes:
        agent: the pipeline.
        status: of every stage, in their order.
        info: the content of run.json.
        exploration_log: the lines of the exploration.
        probes: what its evaluation says of the transition model, by name.
        tasks: in the order of the configuration.
        seed: of every choice that the report makes.
    """

    agent: CobraAgent
    status: dict[str, str]
    info: dict[str, Any]
    exploration_log: list[dict[str, Any]]
    probes: dict[str, float | None]
    tasks: tuple[TaskRecord, ...]
    seed: int

    @property
    def config(self) -> CobraAgent.Config:
        """Of the pipeline."""
        return self.agent.config

    @property
    def explored(self) -> bool:
        """Whether there is a transition model and a policy to look at."""
        return self.status["explore"] == "finished"

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.frozen[1].parameters()).device

    @cached_property
    def frozen(self) -> tuple[SlotEncoder, SlotTransition, Explorer]:
        """What the exploration left.

        Raises:
            RunError, CheckpointError: it is not finished, or damaged.
        """
        return self.agent.frozen()

    @cached_property
    def agents(self) -> dict[str, SearchAgent]:
        """The agent of every task that was learned.

        Raises:
            RunError, CheckpointError: a result is damaged, or was built on another exploration.
        """
        return {task.name: self.agent.agent(task.name) for task in self.tasks if task.status == "finished"}

    @cached_property
    def references(self) -> dict[str, References]:
        """Of every task that was begun."""
        found = {}
        for task in self.tasks:
            if task.log or task.scores:
                kinds: tuple[dict[str, Score], dict[str, Score]] = ({}, {})
                for mode in MODES:
                    for scores, score in zip(kinds, self._references(self.environment(task.name, mode))):
                        scores[mode] = score
                found[task.name] = References(*kinds)
        return found

    def environment(self, task: str, mode: str = "train") -> SpriteworldConfig:
        """A task's environment as the pipeline sees it."""
        return self.agent.environment(task, mode)

    def world(self, environment: SpriteworldConfig, *observes: str) -> World:
        """Arenas as the agent sees them, with further keys of the observation."""
        return World(environment.arena.build(), environment.observer, self.frozen[0], observes)

    def policies(self) -> dict[str, Explorer]:
        """Who may explore: at random, the pipeline's own policy, and clicks in sprites by the ground truth."""
        encoder, _, explorer = self.frozen
        sizes = {"latents": encoder.latents, "action": explorer.action}
        own = explorer_name(self.config.exploration)
        found: dict[str, Explorer] = {"random": Uniform.Config().build(**sizes), own: explorer}
        return found | {"objects": RandomObject.Config().build(**sizes)}

    def generator(self, *purpose: str | int) -> torch.Generator:
        """Random numbers for one purpose of this report."""
        return torch_generator(self.seed, "report", *purpose)

    def seeds(self, count: int, *purpose: str | int) -> list[int]:
        """Seeds of so many arenas for one purpose of this report."""
        return [derive_seed(self.seed, "report", *purpose, number) for number in range(count)]

    def _references(self, environment: SpriteworldConfig) -> tuple[Score, Score]:
        """The random policy's success, and that of the oracle, which clicks into sprites where there are clicks."""
        arena = environment.arena.build()
        proposal = "objects" if isinstance(arena.config.actions, SelectMove) else "uniform"
        oracle = GreedyOracle(arena, ORACLE_CANDIDATES, proposal, self.seed)  # type: ignore[arg-type]
        random = RandomPolicy(arena, self.seed)
        return (
            success_rate(arena, random, RANDOM_EPISODES, derive_seed(self.seed, "random")),
            success_rate(arena, oracle, ORACLE_EPISODES, derive_seed(self.seed, "oracle")),
        )


def gather_pipeline(agent: CobraAgent, seed: int) -> PipelineMaterial:
    """Read the folder of a pipeline; stages may be missing.

    Raises:
        RunError: a file of it cannot be read.
    """
    explore = Run(agent.explore_path)
    begun = explore.info_file.is_file()
    status, scores = agent.status(), agent.scores()
    probes = (explore.evaluation() or {}).get("probes") if begun else None
    return PipelineMaterial(
        agent=agent,
        status=status,
        info=Run.open(agent.path).info(),
        exploration_log=_log(explore) if begun else [],
        probes=dict(probes) if isinstance(probes, Mapping) else {},
        tasks=tuple(_task(agent, name, status[f"tasks/{name}"], scores.get(name, {})) for name in agent.config.tasks),
        seed=seed,
    )


def explorer_name(config: Curiosity.Config) -> str:
    """What the page calls the pipeline's own policy: one that learns is curious."""
    kinds: dict[type, str] = {Uniform.Config: "uniform", RandomObject.Config: "random-object"}
    return kinds.get(type(config.explorer), "curious")


def task_title(name: str) -> str:
    """A task's name in print."""
    return name.replace("goal-finding-", "goal finding, ").replace("-", " ").capitalize()


def has_true_slots(material: PipelineMaterial) -> bool:
    """Whether the agent reads the true factors of every sprite instead of pictures."""
    encoder = material.config.encoder
    return isinstance(encoder, OracleFactors.Config) and not isinstance(encoder, JoinedFactors.Config)


def _task(agent: CobraAgent, name: str, status: str, scores: Any) -> TaskRecord:
    run = Run(agent.path / "tasks" / name)
    log = _log(run) if run.info_file.is_file() else []
    curves = {mode: agent.curve(name, mode) if log else Curve(()) for mode in MODES}
    episodes = agent.config.curve_episodes
    return TaskRecord(
        name=name,
        status=status,
        log=log,
        curves={mode: _points(curve, episodes) for mode, curve in curves.items()},
        scores={mode: dict(found) for mode, found in scores.items()} if isinstance(scores, Mapping) else {},
        steps=agent.config.tasks[name].steps,
        steps_to=curves["train"].steps_to(),
    )


def _points(curve: Curve, episodes: int) -> tuple[Point, ...]:
    return tuple(
        Point(steps, success, wilson_interval(round(success * episodes), episodes)) for steps, success in curve.points
    )


def _log(run: Run) -> list[dict[str, Any]]:
    return [line for line in run.metrics() if isinstance(line.get("step"), int)]
