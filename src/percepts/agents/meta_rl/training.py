"""Learning to play Alchemy: rollouts of B tables in tensors, a learner, and an evaluation, in one folder.

    trained = train(alchemy_cpu(), "runs/alchemy")             # or go on with what is there
    agent = open_agent("runs/alchemy")
    play(agent, Table(config.table), seeds=range(1000)).mean

A training is a stage (`agents.stages`): whatever stops it, the same call goes on where its newest whole checkpoint is,
to the same bits (on the CPU).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from percepts.agents import stages
from percepts.agents.agent import Agent
from percepts.agents.alchemy.playing import Played, play
from percepts.agents.meta_rl.a2c import AdvantageActorCritic
from percepts.agents.meta_rl.acting import NetworkAgent
from percepts.agents.meta_rl.arenas import Arenas
from percepts.agents.meta_rl.network import ActorCritic
from percepts.agents.meta_rl.ppo import ProximalPolicy
from percepts.agents.meta_rl.predictions import Predictions
from percepts.agents.meta_rl.senses import Senses
from percepts.agents.meta_rl.shaping import Shaping
from percepts.agents.meta_rl.v_mpo import VMPO
from percepts.agents.meta_rl.v_trace import VTrace
from percepts.agents.stages import Stage, StageOutcome
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable, from_json
from percepts.core.errors import CheckpointError, ConfigError
from percepts.core.random import derive_seed, torch_generator
from percepts.core.runs import Run
from percepts.envs.alchemy.table import Table
from percepts.training.checkpoint import load_weights, on_cpu
from percepts.training.setup import computing, device_of

AT_ONCE = 256
"""Episodes of an evaluation side by side; memories of whole episodes are large."""


class AlchemyTraining(Configurable):
    """A training from its first step, as `stages.carry_out` takes it."""

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Everything that determines a training.

        Attributes:
            table: the rules.
            senses: what is seen.
            network: what acts.
            learner: what changes it.
            predictions: what is predicted beside.
            shaping: of rewards in training; None for none.
            reward_scale: rewards are multiplied by this to be learned from.
            arenas: tables side by side.
            rollout: steps of each of them between two changes of the network.
            steps: of all tables together; rounded up to whole rollouts.
            log_every: rollouts between two entries of the log.
            episodes: of the evaluation, without any shaping.
            greedy: whether the evaluation takes the most probable actions.
            seed: of everything.
            device: where all of it computes.
            threads: of torch; None: torch's choice.
        """

        table: Table.Config = field(default_factory=lambda: Table.Config(level="random-bottleneck"))
        senses: Senses.Config = field(default_factory=Senses.Config)
        network: ActorCritic.Config = field(default_factory=ActorCritic.Config)
        learner: ProximalPolicy.Config | VMPO.Config | VTrace.Config | AdvantageActorCritic.Config = field(
            default_factory=ProximalPolicy.Config
        )
        predictions: Predictions = field(default_factory=Predictions)
        shaping: Shaping | None = None
        reward_scale: float = 1 / 15
        arenas: int = 1024
        rollout: int = 20
        steps: int = 10_000_000
        log_every: int = 10
        episodes: int = 1000
        greedy: bool = True
        seed: int = 0
        device: Literal["auto", "cpu", "cuda"] = "cpu"
        threads: int | None = None

        def __post_init__(self) -> None:
            for name in ("arenas", "rollout", "steps", "log_every", "episodes"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} = {getattr(self, name)}", "1 or more")
            if self.reward_scale <= 0:
                raise ConfigError(f"reward_scale = {self.reward_scale}", "a positive number")

        @property
        def rollouts(self) -> int:
            """How many there are."""
            return -(-self.steps // (self.arenas * self.rollout))

    config: Config

    def __init__(self, config: Config) -> None:
        self.config = config
        device = device_of(config.device)
        self.table = Table(config.table)
        self.senses, self.network = parts_of(config, device)
        self.learner = config.learner.build(
            network=self.network, predictions=config.predictions, rollouts=config.rollouts
        )
        self.arenas = Arenas(self.table, self.senses, self.network, config.arenas, config.seed)
        self.generator = torch_generator(config.seed, "choices", device=device)
        self.rollouts, self.seconds = 0, 0.0

    @property
    def finished(self) -> bool:
        """Whether all rollouts were learned from."""
        return self.rollouts >= self.config.rollouts

    @property
    def progress(self) -> int:
        """Environment steps, of all tables together."""
        return self.rollouts * self.config.arenas * self.config.rollout

    @property
    def total(self) -> int:
        """All of them."""
        return self.config.rollouts * self.config.arenas * self.config.rollout

    def step(self) -> dict[str, Any] | None:
        """A rollout, and what is learned of it; the entry of the log where one is due."""
        config, started = self.config, time.monotonic()
        rollout = self.arenas.collect(
            self.learner.acting, config.rollout, self.generator, config.predictions, config.shaping, config.reward_scale
        )
        terms = self.learner.learn(rollout, self.generator)
        self.rollouts += 1
        self.seconds += time.monotonic() - started
        if self.rollouts % config.log_every and not self.finished:
            return None
        rate = config.log_every * config.arenas * config.rollout / max(self.seconds, 1e-9)
        self.seconds = 0.0
        return {"step": self.progress, **terms, **self.arenas.tally.entry(), "steps_per_second": rate}

    def state_dict(self) -> dict[str, Any]:
        """What a killed training goes on from."""
        return {
            "network": self.network.state_dict(),
            "learner": self.learner.state_dict(),
            "arenas": self.arenas.state_dict(),
            "generator": self.generator.get_state(),
            "rollouts": self.rollouts,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        load_weights(self.network, state["network"], "the checkpoint")
        self.learner.load_state_dict(state["learner"])
        self.arenas.load_state_dict(state["arenas"])
        self.generator.set_state(state["generator"])
        self.rollouts = int(state["rollouts"])

    def result(self) -> dict[str, Any]:
        """The network."""
        return {"network": self.network.state_dict()}

    def measure(self) -> dict[str, Any]:
        """How it plays episodes that it was not trained on."""
        agent = agent_of(self.config, self.network.state_dict(), self.config.greedy)
        return scores_of(evaluate(agent, self.config))


def parts_of(config: AlchemyTraining.Config, device: torch.device) -> tuple[Senses, ActorCritic]:
    """Fresh senses and a fresh network, a function of the configuration alone."""
    senses = config.senses.build(table=config.table, device=device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(config.seed, "network"))
        network = config.network.build(sizes=senses.sizes, actions=senses.actions, predicts=config.predictions.sizes)
    return senses, network.to(device)


def train(config: AlchemyTraining.Config, path: Path | str) -> StageOutcome:
    """Train in this folder, or go on with the training that is there.

    Raises:
        PerceptsError: as of `stages.carry_out`.
    """
    with computing(config.threads):
        return stages.carry_out(stage_of(config, path), lambda: config.build())


def stage_of(config: AlchemyTraining.Config, path: Path | str) -> Stage:
    """The stage that a training is."""
    return Stage("alchemy", Path(path), config)


def settings_of(path: Path | str) -> AlchemyTraining.Config:
    """Those of the training in a folder.

    Raises:
        CheckpointError: it holds none.
        RunError: it is no run folder.
    """
    config = from_json(Run(Path(path)).settings())
    if not isinstance(config, AlchemyTraining.Config):
        raise CheckpointError(f"'{path}' holds a {type(config).__name__}", "a training of Alchemy")
    return config


def open_agent(path: Path | str, greedy: bool | None = None, seed: int = 0) -> NetworkAgent:
    """The trained agent of a folder, on the CPU.

    Args:
        path: the folder.
        greedy: whether it takes the most probable actions instead of drawing them; None: as its training was measured.
        seed: of the draws.

    Raises:
        RunError: the training is not finished.
        CheckpointError: its result is damaged, or that of something else.
    """
    path = Path(path)
    config = settings_of(path)
    fix = f"percepts train alchemy --resume {path}"
    found = stages.read_result(path, "alchemy", "playing", fix)
    return agent_of(config, found["network"], config.greedy if greedy is None else greedy, seed)


def agent_of(
    config: AlchemyTraining.Config, weights: Mapping[str, Any], greedy: bool = True, seed: int = 0
) -> NetworkAgent:
    """An agent with these weights, on the CPU."""
    senses, network = parts_of(config, torch.device("cpu"))
    load_weights(network, on_cpu(dict(weights)), "the training")
    return NetworkAgent(senses, network.eval(), greedy, seed)


def evaluate(agent: Agent, config: AlchemyTraining.Config, record: bool = False) -> Played:
    """How an agent plays the evaluation's episodes, whose seeds are none of a training's."""
    return play(agent, Table(config.table), evaluation_seeds(config), record=record, at_once=AT_ONCE)


def evaluation_seeds(config: AlchemyTraining.Config) -> list[int]:
    """Seeds of the evaluation's episodes: the same for all trainings."""
    return [derive_seed(0, "alchemy evaluation", n) % 2**32 for n in range(config.episodes)]


def scores_of(played: Played) -> dict[str, Any]:
    """What evaluation.json says."""
    return {
        "score": played.mean,
        "standard_error": played.standard_error,
        "per_trial": played.per_trial,
        "adaptation": played.adaptation,
    }
