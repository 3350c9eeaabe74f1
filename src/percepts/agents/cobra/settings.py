"""What determines a pipeline of COBRA: one configuration for all of its stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from percepts.agents.cobra.curiosity import Curiosity
from percepts.agents.cobra.planning import Planner
from percepts.agents.cobra.slot_models import ColourSegments
from percepts.agents.cobra.slots import FULL_SHARE, OracleFactors
from percepts.agents.cobra.task import TaskPhase
from percepts.core.config import Config
from percepts.core.errors import ConfigError
from percepts.envs.spriteworld.observations import Observer
from percepts.training.experiment import Experiment


@dataclass(frozen=True, kw_only=True)
class PipelineSettings(Config):
    """Everything that determines a pipeline.

    Attributes:
        encoder: what makes slots of observations.
        vision: how the encoder is trained, where it is `TrainedVision`.
        observer: how arenas are drawn, for encoders that look at pictures; as the vision's data were.
        exploration: the first stage without rewards.
        exploration_task: where it takes place, a name of `envs.spriteworld.configs.TASKS`.
        tasks: how each task is learned, by its name.
        noise: its deviation on actions, in all stages; 0.05 is taken to be the paper's setting (unverified).
        curve: rewarded steps after which the success so far is measured.
        curve_episodes: of each of these measurements, in each mode.
        episodes: of an evaluation.
        planner: of measurements; None: as in training.
        seed: of all stages.
        device: where networks compute; small ones are faster on a CPU.
        threads: of torch; networks this small lose time with more than one. None: torch's choice.
    """

    encoder: OracleFactors.Config | ColourSegments.Config | TrainedVision = field(default_factory=OracleFactors.Config)
    vision: Experiment | None = None
    observer: Observer = field(default_factory=Observer)
    exploration: Curiosity.Config = field(default_factory=Curiosity.Config)
    exploration_task: str = "exploration"
    tasks: dict[str, TaskPhase.Config] = field(default_factory=dict)
    noise: float | None = None
    curve: tuple[int, ...] = (100, 200, 500, 1000, 2000, 4000)
    curve_episodes: int = 40
    episodes: int = 100
    planner: Planner | None = None
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    threads: int | None = 1

    def __post_init__(self) -> None:
        trained = isinstance(self.encoder, TrainedVision)
        if trained != (self.vision is not None):
            raise ConfigError(
                f"an encoder {type(self.encoder).__name__} {'without' if trained else 'and'} a vision to train",
                "vision for TrainedVision, and for nothing else",
            )
        if self.exploration.fine_tune and not trained:
            raise ConfigError(
                f"exploration.fine_tune = {self.exploration.fine_tune} with an encoder {type(self.encoder).__name__}, "
                "in which nothing is learned",
                "TrainedVision with a vision to train, or fine_tune = 0",
            )
        for name, least in (("curve_episodes", 1), ("episodes", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} = {getattr(self, name)}", f"{least} or more")
        if list(self.curve) != sorted(set(self.curve)) or min(self.curve, default=1) < 1:
            raise ConfigError(f"curve = {self.curve}", "rising numbers of steps")
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"threads = {self.threads}", "1 or more, or none for torch's choice")


@dataclass(frozen=True, kw_only=True)
class TrainedVision(Config):
    """The encoder is the model that the stage "vision" trains.

    Attributes:
        kind: whether it gives slots, or one vector of the whole image.
        full_share: of the image that a slot needs to count in full.
    """

    kind: Literal["slots", "single"] = "slots"
    full_share: float = FULL_SHARE


def advice(pipeline: Path, calls: Mapping[str, str]) -> str:
    """What to do next, on the command line or in Python.

    Args:
        pipeline: its folder.
        calls: what Python calls the stages, by what follows --stage on the command line; in their order.
    """
    words = f"percepts train cobra --resume {pipeline} --stage {', then --stage '.join(calls)}"
    return f"{words} (in Python: {', then '.join(calls.values())})"
