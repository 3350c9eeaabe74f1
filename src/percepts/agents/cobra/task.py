"""COBRA's task phase (Watters et al. 2019): a reward predictor learns from scratch, everything else is frozen.

    phase = TaskPhase.Config(steps=1000).build(
        arena=arena, observer=observer, encoder=encoder, transition=curiosity.transition, explorer=curiosity.explorer,
        seed=0,
    )
    phase.run(log=print)
    success_rate(arena, phase.agent(), 100, seed=1)

In every step the agent searches for the action whose predicted outcome is worth most, or explores; what it then sees
and the reward go to the replay, and the predictor learns from that. A rewarded step is a step of one arena: with
several at once as many are counted, and as many more updates made. Everything is a function of (seed, step), so a phase
that is stopped, saved (`state_dict`) and resumed ends with the same bits as an unbroken one.

How the paper explores, what it replays and how often it updates are not known to us; the defaults are proposals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.agents.cobra.exploration import Explorer
from percepts.agents.cobra.learner import Learner
from percepts.agents.cobra.planning import OneStepSearch, Planner, Proposal, SearchAgent, proposals_of
from percepts.agents.cobra.replay import Replay
from percepts.agents.cobra.rewards import RewardModel
from percepts.agents.cobra.simulation import LearnedSimulation
from percepts.agents.cobra.slots import SlotEncoder, SlotState
from percepts.agents.cobra.transition import SlotTransition
from percepts.agents.cobra.windows import TaskWindow
from percepts.agents.cobra.world import Episodes, Seen, World
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable, digest
from percepts.core.errors import CheckpointError, ConfigError
from percepts.core.random import derive_seed, torch_generator
from percepts.envs.spriteworld.arena import Arena, Outcome
from percepts.envs.spriteworld.observations import Observer
from percepts.training.optimizers import Optimizer


class TaskPhase(Configurable):
    """The loop of learning a task.

    Args:
        arena: with the task to learn.
        observer: draws pictures, where the encoder needs them.
        encoder: frozen vision.
        transition: the dynamics; they are not changed.
        explorer: the policy of the exploration; it is not changed.
        seed: of everything.
        device: of the networks; arenas stay where they are.
        slots: K, which only a flat reward head needs to know; None: as the encoder says, or the arena's sprites.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Sizes of the loop (all proposed).

        Attributes:
            steps: rewarded steps, of all arenas together.
            arenas: that act at once.
            explore: how often an action is an exploratory one.
            warm_up: so many first steps are all exploratory.
            exploratory: where exploratory actions come from.
            updates: of the reward predictor for each rewarded step.
            batch_size: outcomes of an update.
            imagined: weight of a second loss, on what the transition model predicted instead of what was seen: the
                predictor then makes up for errors of the model.
            reward: the predictor.
            planner: the search.
            optimism: so many deviations of an ensemble are added to its mean in the search.
            optimizer: of the predictor.
            log_every: rewarded steps between two entries of the log.
        """

        steps: int = 1000
        arenas: int = 1
        explore: float = 0.1
        warm_up: int = 50
        exploratory: Proposal = "mixed"
        updates: int = 8
        batch_size: int = 64
        imagined: float = 0.0
        reward: RewardModel.Config = field(default_factory=RewardModel.Config)
        planner: Planner = field(default_factory=OneStepSearch)
        optimism: float = 0.0
        optimizer: Optimizer = field(default_factory=lambda: Optimizer(lr=1e-3))
        log_every: int = 50

        def __post_init__(self) -> None:
            for name in ("steps", "arenas", "updates", "batch_size", "log_every"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} = {getattr(self, name)}", "1 or more")
            if not 0 <= self.explore <= 1:
                raise ConfigError(f"explore = {self.explore}", "a share in [0, 1]")
            if self.warm_up < 0 or self.imagined < 0:
                raise ConfigError(f"warm_up = {self.warm_up}, imagined = {self.imagined}", "nothing negative")

    config: Config

    def __init__(
        self,
        config: Config,
        arena: Arena,
        observer: Observer,
        encoder: SlotEncoder,
        transition: SlotTransition,
        explorer: Explorer,
        seed: int,
        device: torch.device | str = "cpu",
        slots: int | None = None,
    ) -> None:
        self.config, self.seed, self.device, self.encoder = config, seed, torch.device(device), encoder
        self.transition, self.explorer = transition.to(self.device), explorer.to(self.device)
        slots = slots or encoder.slots or arena.config.generator.most
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "reward predictor"))
            self.reward: RewardModel = config.reward.build(latents=encoder.latents, slots=slots).to(self.device)
        self._exploratory = proposals_of(config.exploratory, self.explorer)
        self._searcher = self.agent()
        self.world = World(arena, observer, encoder, (*self._searcher.observes, *self._exploratory.observes))
        rounds = math.ceil(config.steps / config.arenas)
        self._learner = Learner(
            self.reward, config.optimizer, rounds * config.arenas * config.updates, "reward predictor"
        )
        self.replay = Replay(rounds * config.arenas, self.device)
        self.step_count = 0
        self._window = TaskWindow()
        self._episodes = Episodes(self.world, (derive_seed(seed, "task arena", row) for row in range(config.arenas)))

    @property
    def rewarded_steps(self) -> int:
        """Made so far."""
        return self.step_count * self.config.arenas

    @property
    def finished(self) -> bool:
        """Whether all steps were made."""
        return self.rewarded_steps >= self.config.steps

    def agent(self, planner: Planner | None = None, seed: int | None = None) -> SearchAgent:
        """The agent as it is now: it acts by search and does not explore.

        Args:
            planner: another search than the one of training.
            seed: of its choices; None: one of their own that belongs to the phase's.
        """
        planner = planner or self.config.planner
        seed = derive_seed(self.seed, "agent") if seed is None else seed
        simulation = LearnedSimulation(self.transition, self.reward, self.config.optimism)
        return SearchAgent(self.encoder, simulation, proposals_of(planner.proposal, self.explorer), planner, seed)

    def run(self, log: Callable[[dict[str, float]], None] | None = None, until: int | None = None) -> None:
        """Learn until the end, or until so many rewarded steps were made.

        Args:
            log: called with an entry every `log_every` rewarded steps.
            until: rewarded steps.
        """
        while not self.finished and (until is None or self.rewarded_steps < until):
            entry = self.step()
            if entry is not None and log is not None:
                log(entry)

    def step(self) -> dict[str, float] | None:
        """All arenas act once, and the predictor learns; the entry of the log where one is due.

        Raises:
            NonFiniteError: a loss became NaN or infinite.
        """
        seen = self._episodes.seen()
        action = self._choose(seen)
        following, outcome, ended = self._episodes.act(action)
        self.replay.add(self._outcome(seen, action, following, outcome))
        self._window.acted(outcome, ended)
        for update in range(self.config.updates * self.config.arenas):
            self._learn(torch_generator(self.seed, "task batch", self.step_count, update))
        before = self.rewarded_steps // self.config.log_every
        self.step_count += 1
        if self.rewarded_steps // self.config.log_every == before and not self.finished:
            return None
        entry = {"step": self.rewarded_steps, **self._window.entry()}
        self._window = TaskWindow(self._window.running)
        return entry

    @torch.no_grad()
    def _choose(self, seen: Seen) -> Float[Tensor, "batch action"]:
        """What all arenas do: search, or explore."""
        generator = torch_generator(self.seed, "task action", self.step_count)
        state = seen.slots.to(self.device)
        explores = torch.rand(len(state), generator=generator) < self.config.explore
        if self.rewarded_steps < self.config.warm_up:
            explores[:] = True
        action = torch.zeros(len(state), self.world.action, device=self.device)
        for rows, search in ((explores, False), (~explores, True)):
            index = rows.nonzero()[:, 0]
            if not len(index):
                continue
            observation = {key: value[index] for key, value in seen.observation.items()}
            if search:
                action[index] = self._searcher.search(state.rows(index), observation, generator).action
            else:
                action[index] = self._explored(state.rows(index), observation, generator)
        return action

    def _explored(
        self, state: SlotState, observation: Mapping[str, Tensor], generator: torch.Generator
    ) -> Float[Tensor, "batch action"]:
        """An exploratory action; a mixture of two sources gives one of each, and a coin decides."""
        drawn = self._exploratory.propose(state, 2, generator, observation).clamp(0, 1)
        coin = torch.randint(2, (len(state),), generator=generator).to(drawn.device)
        return drawn[torch.arange(len(state), device=drawn.device), coin]

    def _outcome(self, seen: Seen, action: Tensor, following: Seen, outcome: Outcome) -> dict[str, Tensor]:
        rows = {
            "latents": following.slots.latents,
            "weight": following.slots.weight,
            "reward": outcome.reward.float(),
        }
        if self.config.imagined:
            rows |= {"before": seen.slots.latents, "weight_before": seen.slots.weight, "action": action}
        return rows

    def _learn(self, generator: torch.Generator) -> None:
        rows = self.replay.sample(self.config.batch_size, generator)
        loss = self.reward.loss(rows["latents"], rows["weight"], rows["reward"], generator)
        terms = {"loss": loss}
        if self.config.imagined:
            with torch.no_grad():
                predicted = self.transition.after(SlotState(rows["before"], rows["weight_before"]), rows["action"])
            imagined = self.reward.loss(predicted.latents, predicted.weight, rows["reward"], generator)
            terms["imagined_loss"] = imagined
            loss = loss + self.config.imagined * imagined
        self._learner.step(loss)
        self._window.add(terms)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the loop goes on from: tensors and plain values, for `snapshots.write_snapshot`."""
        return {
            "config": digest(self.config),
            "seed": self.seed,
            "step": self.step_count,
            "reward": self._learner.state_dict(),
            "replay": self.replay.state_dict(),
            "window": self._window.state_dict(),
            **self._episodes.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become the loop that `state_dict` described.

        Raises:
            CheckpointError: it was another one.
        """
        if (state["config"], state["seed"]) != (digest(self.config), self.seed):
            raise CheckpointError(
                "the state of a task phase with other settings or another seed", "the same configuration and seed"
            )
        self._learner.load_state_dict(state["reward"])
        self.replay.load_state_dict(state["replay"])
        self._window = TaskWindow.of_state(state["window"])
        self._episodes.load_state_dict(state)
        self.step_count = int(state["step"])
