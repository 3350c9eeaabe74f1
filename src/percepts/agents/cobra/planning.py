"""Search for the best action among many, by what a model says of their outcomes.

    planner = OneStepSearch(candidates=1000)
    plan = planner.plan(simulation, proposals, state, observation, generator)

The agent of Watters et al. (2019) searches one step ahead (from summaries of the paper); with the true dynamics and
reward that solves every task. Random shooting and the cross-entropy method look further and are extensions. Nothing is
decoded in a search: outcomes are slots (`simulation`).

Shapes: B observations, M candidates, T steps, A numbers of an action in [0, 1], K slots, D latents.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from percepts.agents.agent import Observation
from percepts.agents.cobra.exploration import Explorer, RandomObject, Uniform
from percepts.agents.cobra.slots import SlotEncoder, SlotState
from percepts.core.config import Config
from percepts.core.errors import ConfigError
from percepts.core.random import torch_generator

Proposal = Literal["uniform", "policy", "mixed", "objects"]
Gather = Literal["sum", "last"]
"""Whether a sequence of actions is worth all its rewards or the last one."""


class Simulation(Protocol):
    """Says what sequences of actions are worth (`agents.cobra.simulation`)."""

    @property
    def observes(self) -> tuple[str, ...]:
        """What it needs of an observation beside the slots."""

    def returns(
        self,
        state: SlotState,
        observation: Observation,
        actions: Float[Tensor, "batch count steps action"],
        how: Gather,
    ) -> Float[Tensor, "batch count"]:
        """The value of M sequences of T actions in each of B observations."""


class Proposals(Protocol):
    """Where candidates come from: any `exploration.Explorer`, or `Mixed`."""

    @property
    def observes(self) -> tuple[str, ...]:
        """What it needs of an observation beside the slots."""

    def propose(
        self, state: SlotState, count: int, generator: torch.Generator, observation: Observation | None = None
    ) -> Float[Tensor, "batch count action"]:
        """M actions for every observation."""


@dataclass(frozen=True)
class Mixed:
    """Candidates from two sources.

    Attributes:
        first, second: the sources.
        share: of the first, rounded up.
    """

    first: Proposals
    second: Proposals
    share: float = 0.5

    @property
    def observes(self) -> tuple[str, ...]:
        """What both need of an observation beside the slots."""
        return (*self.first.observes, *self.second.observes)

    def propose(
        self, state: SlotState, count: int, generator: torch.Generator, observation: Observation | None = None
    ) -> Float[Tensor, "batch count action"]:
        """M actions: those of the first source, then those of the second."""
        ours = min(count, -int(-count * self.share // 1))
        parts = [
            source.propose(state, number, generator, observation)
            for source, number in ((self.first, ours), (self.second, count - ours))
            if number
        ]
        return torch.cat(parts, 1)


@dataclass(frozen=True)
class Plan:
    """What a search found: the first action of the best sequence, and what that sequence is worth."""

    action: Float[Tensor, "batch action"]
    value: Float[Tensor, " batch"]


@dataclass(frozen=True, kw_only=True)
class Planner(Config):
    """The base of all searches.

    Attributes:
        candidates: M, in each round of a search.
        proposal: where they come from: anywhere; the exploration policy; half and half; clicks in sprites by the ground
            truth.
    """

    candidates: int = 200
    proposal: Proposal = "mixed"

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise ConfigError(f"candidates = {self.candidates}", "at least 1")

    @abstractmethod
    def plan(
        self,
        simulation: Simulation,
        proposals: Proposals,
        state: SlotState,
        observation: Observation,
        generator: torch.Generator,
    ) -> Plan:
        """The best action that was found for every observation; of equally good ones, one at random.

        Args:
            simulation: what values the outcomes.
            proposals: where candidates come from.
            state: the slots of the observations.
            observation: for proposals and simulations that know more than the slots.
            generator: on the CPU, where all random numbers come from.
        """


@dataclass(frozen=True, kw_only=True)
class OneStepSearch(Planner):
    """Tries every candidate once and takes the best."""

    def plan(
        self,
        simulation: Simulation,
        proposals: Proposals,
        state: SlotState,
        observation: Observation,
        generator: torch.Generator,
    ) -> Plan:
        actions = sequences(proposals, state, observation, self.candidates, 1, generator)
        values = simulation.returns(state, observation, actions, "last")
        return chosen(actions[:, :, 0], values, generator)


@dataclass(frozen=True, kw_only=True)
class RandomShooting(Planner):
    """Tries sequences of proposed actions and takes the first action of the best.

    Attributes:
        horizon: T. All actions of a sequence are proposed for the present observation.
        gather: what a sequence is worth.
    """

    horizon: int = 3
    gather: Gather = "sum"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.horizon < 1:
            raise ConfigError(f"horizon = {self.horizon}", "at least 1")

    def plan(
        self,
        simulation: Simulation,
        proposals: Proposals,
        state: SlotState,
        observation: Observation,
        generator: torch.Generator,
    ) -> Plan:
        actions = sequences(proposals, state, observation, self.candidates, self.horizon, generator)
        values = simulation.returns(state, observation, actions, self.gather)
        return chosen(actions[:, :, 0], values, generator)


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Planner):
    """The cross-entropy method (Rubinstein 1999): proposals, then rounds of samples around the best ones so far.

    The samples of a round are normal around the mean of the elite, cut off at the borders of the action space, with its
    deviation; the best sequence of all rounds counts.

    Attributes:
        horizon: T.
        gather: what a sequence is worth.
        rounds: how often candidates are drawn, the proposals included.
        elite: share of the candidates that the next round is drawn around.
        least_spread: no deviation falls below this.
        smoothing: share of the old mean and deviation that is kept from round to round.
    """

    horizon: int = 1
    gather: Gather = "sum"
    rounds: int = 4
    elite: float = 0.1
    least_spread: float = 0.01
    smoothing: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        checks = {
            "horizon": (self.horizon >= 1, "at least 1"),
            "rounds": (self.rounds >= 1, "at least 1"),
            "elite": (0 < self.elite <= 1, "a share in (0, 1]"),
            "least_spread": (self.least_spread > 0, "a positive number"),
            "smoothing": (0 <= self.smoothing < 1, "a share in [0, 1)"),
        }
        for name, (right, expected) in checks.items():
            if not right:
                raise ConfigError(f"{name} = {getattr(self, name)}", expected)

    def plan(
        self,
        simulation: Simulation,
        proposals: Proposals,
        state: SlotState,
        observation: Observation,
        generator: torch.Generator,
    ) -> Plan:
        actions = sequences(proposals, state, observation, self.candidates, self.horizon, generator)
        found: list[Plan] = []
        mean = spread = None
        for number in range(self.rounds):
            values = simulation.returns(state, observation, actions, self.gather)
            found.append(chosen(actions[:, :, 0], values, generator))
            if number + 1 == self.rounds:
                break
            best = values.topk(max(1, round(self.elite * self.candidates)), 1).indices
            elite = actions.gather(1, best[:, :, None, None].expand(-1, -1, *actions.shape[2:]))
            middle, width = elite.mean(1, keepdim=True), elite.std(1, keepdim=True, correction=0)
            if mean is not None and spread is not None:
                middle = torch.lerp(middle, mean, self.smoothing)
                width = torch.lerp(width, spread, self.smoothing)
            mean, spread = middle, width.clamp(min=self.least_spread)
            noise = torch.randn(actions.shape, generator=generator).to(actions.device)
            actions = (mean + spread * noise).clamp(0, 1)
        values = torch.stack([plan.value for plan in found], 1)
        return chosen(torch.stack([plan.action for plan in found], 1), values, generator)


class SearchAgent:
    """Acts by search. An `agents.agent.Agent`; its state is the number of steps it has made.

    Args:
        encoder: makes slots of observations.
        simulation: values actions.
        proposals: where they come from.
        planner: the search.
        seed: of the proposals and of the choice among equals: a function of (seed, step).
    """

    def __init__(
        self, encoder: SlotEncoder, simulation: Simulation, proposals: Proposals, planner: Planner, seed: int = 0
    ) -> None:
        self.encoder, self.simulation, self.proposals, self.planner = encoder, simulation, proposals, planner
        self.seed = seed

    @property
    def observes(self) -> tuple[str, ...]:
        """The keys of the observation that it needs."""
        keys = (*self.encoder.observes, *self.simulation.observes, *self.proposals.observes)
        return tuple(dict.fromkeys(keys))

    def act(self, observation: Observation, state: int | None = None) -> tuple[Float64[Tensor, "batch action"], int]:
        """The best actions, and the number of the next step."""
        step = 0 if state is None else state
        plan = self.search(self.encoder.encode(observation), observation, torch_generator(self.seed, "search", step))
        return plan.action.double(), step + 1

    def search(self, state: SlotState, observation: Observation, generator: torch.Generator) -> Plan:
        """What to do about slots that are already there."""
        return self.planner.plan(self.simulation, self.proposals, state, observation, generator)


def proposals_of(kind: Proposal, explorer: Explorer) -> Proposals:
    """The source of candidates that a planner asks for.

    Args:
        kind: see `Planner.proposal`.
        explorer: the policy of the exploration.
    """
    sizes = {"latents": explorer.latents, "action": explorer.action}
    if kind == "policy":
        return explorer
    if kind == "objects":
        return RandomObject.Config().build(**sizes)
    uniform: Proposals = Uniform.Config().build(**sizes)
    return uniform if kind == "uniform" else Mixed(uniform, explorer)


def sequences(
    proposals: Proposals,
    state: SlotState,
    observation: Observation,
    count: int,
    steps: int,
    generator: torch.Generator,
) -> Float[Tensor, "batch count steps action"]:
    """Sequences of proposed actions, drawn independently of each other; a click outside of the arena, on a sprite that
    sticks out, lands on its border."""
    drawn = [proposals.propose(state, count, generator, observation) for _ in range(steps)]
    return torch.stack(drawn, 2).clamp(0, 1)


def chosen(
    actions: Float[Tensor, "batch count action"], values: Float[Tensor, "batch count"], generator: torch.Generator
) -> Plan:
    """The candidates of the greatest value."""
    best = random_best(values, generator)[:, None]
    action = actions.gather(1, best[..., None].expand(-1, -1, actions.shape[2]))[:, 0]
    return Plan(action, values.gather(1, best)[:, 0])


def random_best(values: Float[Tensor, "batch count"], generator: torch.Generator) -> Int64[Tensor, " batch"]:
    """The number of the greatest value of every row, one at random of equal ones; a NaN is never the greatest."""
    known = torch.where(values.isnan(), -torch.inf, values)
    order = torch.rand(values.shape, generator=generator).to(values.device)
    return torch.where(known == known.amax(1, keepdim=True), order, -1.0).argmax(1)
