"""The two stages that learn by acting, as `stages.carry_out` takes them: exploration, and a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from percepts.agents.cobra.curiosity import Curiosity
from percepts.agents.cobra.evaluate import evaluate
from percepts.agents.cobra.exploration import Explorer
from percepts.agents.cobra.planning import Planner
from percepts.agents.cobra.slots import SlotEncoder
from percepts.agents.cobra.task import TaskPhase
from percepts.agents.cobra.transition import SlotTransition
from percepts.core.config import Config
from percepts.core.random import derive_seed
from percepts.envs.spriteworld.configs import SpriteworldConfig


@dataclass(frozen=True, kw_only=True)
class ExplorationRun(Config):
    """Everything that determines an exploration, but for a vision that was trained before.

    Attributes:
        environment: where, and how it is seen.
        encoder: what makes slots.
        exploration: the loop.
        seed: of the pipeline.
    """

    environment: SpriteworldConfig
    encoder: Config
    exploration: Curiosity.Config
    seed: int

    def build_learning(self, encoder: SlotEncoder, device: torch.device) -> Exploration:
        """The exploration at its beginning."""
        environment = self.environment
        return Exploration(
            self.exploration.build(
                arena=environment.arena.build(),
                observer=environment.observer,
                encoder=encoder,
                seed=self.seed,
                device=device,
            )
        )


@dataclass(frozen=True)
class Exploration:
    """`Curiosity` as a stage."""

    loop: Curiosity

    @property
    def finished(self) -> bool:
        return self.loop.finished

    @property
    def progress(self) -> int:
        """Transitions."""
        return self.loop.transitions

    @property
    def total(self) -> int:
        return self.loop.config.steps * self.loop.config.arenas

    def step(self) -> dict[str, Any] | None:
        return self.loop.step()

    def state_dict(self) -> dict[str, Any]:
        return self.loop.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.loop.load_state_dict(state)

    def result(self) -> dict[str, Any]:
        """The transition model, the exploration policy, how many numbers an action has, and the vision where it was
        fine-tuned."""
        return {
            "action": self.loop.world.action,
            "transition": dict(self.loop.transition.state_dict()),
            "explorer": dict(self.loop.explorer.state_dict()),
            "vision": self.loop.fine_tuned,
        }

    def measure(self) -> dict[str, Any]:
        """What the model is worth on probes; see `Curiosity.probes`."""
        return {"probes": self.loop.probes()}


@dataclass(frozen=True, kw_only=True)
class TaskRun(Config):
    """Everything that determines the learning of a task, but for the exploration before it.

    Attributes:
        environment: the task as it is learned.
        held_out: the task as it is tested.
        encoder: what makes slots.
        phase: the loop.
        curve: rewarded steps after which success is measured in both modes.
        curve_episodes: of each measurement.
        planner: of measurements; None: as in training.
        seed: of the pipeline.
    """

    environment: SpriteworldConfig
    held_out: SpriteworldConfig
    encoder: Config
    phase: TaskPhase.Config
    curve: tuple[int, ...]
    curve_episodes: int
    planner: Planner | None
    seed: int

    def build_learning(
        self, encoder: SlotEncoder, transition: SlotTransition, explorer: Explorer, device: torch.device
    ) -> TaskLearning:
        """The learning at its beginning."""
        environment = self.environment
        phase = self.phase.build(
            arena=environment.arena.build(),
            observer=environment.observer,
            encoder=encoder,
            transition=transition,
            explorer=explorer,
            seed=derive_seed(self.seed, "task", environment.name),
            device=device,
            slots=encoder.slots or max(config.arena.generator.most for config in (environment, self.held_out)),
        )
        return TaskLearning(self, phase)


@dataclass(frozen=True)
class TaskLearning:
    """A `TaskPhase` as a stage: its log has the success by rewarded steps, too, as `train/success`, `test/success`."""

    settings: TaskRun
    phase: TaskPhase

    @property
    def finished(self) -> bool:
        return self.phase.finished

    @property
    def progress(self) -> int:
        """Rewarded steps."""
        return self.phase.rewarded_steps

    @property
    def total(self) -> int:
        return self.phase.config.steps

    def step(self) -> dict[str, Any] | None:
        before = self.progress
        entry = self.phase.step()
        due = any(before < point <= self.progress for point in self.settings.curve)
        if not due and not self.finished:
            return entry
        return {"step": self.progress, **(entry or {}), **self._success()}

    def state_dict(self) -> dict[str, Any]:
        return self.phase.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.phase.load_state_dict(state)

    def result(self) -> dict[str, Any]:
        """The reward predictor."""
        return {"reward": dict(self.phase.reward.state_dict())}

    def measure(self) -> dict[str, Any]:
        """Nothing more than the curve, which is in the log."""
        return {"rewarded_steps": self.progress}

    def _success(self) -> dict[str, float]:
        agent = self.phase.agent(self.settings.planner)
        found: dict[str, float] = {}
        for config in (self.settings.environment, self.settings.held_out):
            seed = derive_seed(self.settings.seed, "curve")
            score = evaluate(agent, config, self.settings.curve_episodes, seed)
            found |= {f"{config.mode}/success": score.success, f"{config.mode}/length": score.length}
        return found
