"""Agents that learn nothing: the floor that every score of Alchemy is to be compared with.

    played = play(RandomHeuristic(table), table, seeds=range(1000))      # about 145 points, and no better at the end

The random heuristic is the paper's (Wang et al. 2021). What bots see is the ordinary observation. Every episode has a
random stream of its own, which is the bot's state, so that what it does does not depend on how many others there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from percepts.agents.agent import Observation
from percepts.core.errors import ConfigError
from percepts.envs.alchemy.reading import TableView, read
from percepts.envs.alchemy.table import Table
from percepts.envs.streams import Streams

SATISFIED = 2
"""The random heuristic leaves stones alone that show this or more."""


class Bot(ABC):
    """What players of the symbolic game share: how actions are numbered, and a stream for every episode.

    Args:
        table: whose actions.
        seed: of the random streams, together with those of the episodes.
    """

    def __init__(self, table: Table, seed: int = 0) -> None:
        self.table, self.seed = table, seed
        self.actions = Actions(table.config.stones, table.config.potions, table.config.end_trial)

    def start(self, seeds: Sequence[int]) -> Any:
        """The state at the beginning of the episodes with these seeds."""
        return Streams.of(seeds, "alchemy bot", self.seed)

    @abstractmethod
    def act(self, observation: Observation, state: Any = None) -> tuple[Tensor, Any]:
        """The actions, and the state after them; see `agents.agent.Agent`."""


class SimpleBot(Bot):
    """Bots that choose by what the ordinary observation shows."""

    def act(self, observation: Observation, state: Any = None) -> tuple[Tensor, Any]:
        """See `Bot`."""
        state = self.start(range(len(observation["symbolic"]))) if state is None else state
        return self.choose(read(observation, self.table.config.stones, self.table.config.potions), state)

    @abstractmethod
    def choose(self, seen: TableView, state: Any) -> tuple[Int64[Tensor, " batch"], Any]:
        """The same on what was read from the observation."""


@dataclass(frozen=True)
class Actions:
    """How a table numbers its actions.

    Attributes:
        stones, potions: slots.
        end_trial: whether action 0 ends the trial; doing nothing is 1 then, else 0.
    """

    stones: int = 3
    potions: int = 12
    end_trial: bool = False

    def __len__(self) -> int:
        return self.first + self.stones * (self.potions + 1)

    @property
    def nothing(self) -> int:
        """Doing nothing."""
        return int(self.end_trial)

    @property
    def enough(self) -> int:
        """Ending the trial, or doing nothing where that cannot be."""
        return 0

    @property
    def first(self) -> int:
        """The first one with a stone."""
        return self.nothing + 1

    def bank(self, stone: Tensor) -> Tensor:
        """Putting a stone into the cauldron."""
        return self.first + stone * (self.potions + 1)

    def dip(self, stone: Tensor, potion: Tensor) -> Tensor:
        """Putting a stone into a potion."""
        return self.bank(stone) + 1 + potion


class NoOp(SimpleBot):
    """Does nothing."""

    def choose(self, seen: TableView, state: Streams) -> tuple[Int64[Tensor, " batch"], Streams]:
        """The actions, and the same state."""
        return torch.full_like(seen.reward[:, 0], self.actions.nothing), state


class UniformRandom(SimpleBot):
    """Any of the actions, all alike."""

    def choose(self, seen: TableView, state: Streams) -> tuple[Int64[Tensor, " batch"], Streams]:
        """The actions, and the streams after them."""
        number, streams = state.uniform()
        return (number * len(self.actions)).long(), streams


class CashOnly(SimpleBot):
    """Banks the stones that show a positive reward, in the order of their slots, and touches no potion."""

    def choose(self, seen: TableView, state: Streams) -> tuple[Int64[Tensor, " batch"], Streams]:
        """The actions, and the same state."""
        return bank_positive(seen, self.actions), state


class RandomHeuristic(SimpleBot):
    """The paper's: a random potion for a random stone, as long as there are potions and stones that are not gold; then
    positive stones are banked."""

    def choose(self, seen: TableView, state: Streams) -> tuple[Int64[Tensor, " batch"], Streams]:
        """The actions, and the streams after them."""
        numbers, streams = state.uniform(2)
        wanting = seen.here & (seen.reward < SATISFIED)
        stone, potion = one_of(wanting, numbers[:, 0]), one_of(seen.potion_here, numbers[:, 1])
        going_on = wanting.any(1) & seen.potion_here.any(1)
        return torch.where(going_on, self.actions.dip(stone, potion), bank_positive(seen, self.actions)), streams


@dataclass(frozen=True)
class Place:
    """How far a replay is.

    Attributes:
        trial: of every episode.
        step: of the trial.
    """

    trial: Int64[Tensor, " batch"]
    step: Int64[Tensor, " batch"]


class Replay(SimpleBot):
    """Does again what matrices of events say, one event after another, and nothing once they are over.

    Args:
        table: whose actions.
        events: of B episodes; see `envs.alchemy.events`.

    Raises:
        ConfigError: matrices of another size than the table, or more events in a trial than it has steps.
    """

    def __init__(self, table: Table, events: Int64[Tensor, "batch trials stones actions"]) -> None:
        super().__init__(table)
        config = table.config
        sizes = (config.trials, config.stones, config.potions + 1)
        if tuple(events.shape[1:]) != sizes:
            raise ConfigError(f"events of size {list(events.shape[1:])}", f"{list(sizes)} as the table has")
        most = int((events >= 0).sum((2, 3)).max())
        if most > config.steps:
            raise ConfigError(f"{most} events in a trial", f"at most its {config.steps} steps")
        self.todo = self._in_order(events)

    def start(self, seeds: Sequence[int]) -> Place:
        """The first step of the first trial."""
        if len(seeds) != len(self.todo):
            raise ConfigError(f"{len(seeds)} episodes where {len(self.todo)} are replayed", "as many")
        zero = torch.zeros(len(seeds), dtype=torch.int64, device=self.todo.device)
        return Place(zero, zero)

    def choose(self, seen: TableView, state: Place) -> tuple[Int64[Tensor, " batch"], Place]:
        """The actions, and the place after them."""
        row = torch.arange(len(self.todo), device=self.todo.device)
        last = self.table.config.trials - 1
        action = self.todo[row, state.trial.clamp(max=last), state.step]
        step = state.step + 1
        over = (step == self.table.config.steps) | (self.actions.end_trial & (action == self.actions.enough))
        return action, replace(state, trial=state.trial + over, step=torch.where(over, 0, step))

    def _in_order(self, events: Tensor) -> Int64[Tensor, "batch trials steps"]:
        """The actions of every trial; when all is done the trial is ended, or nothing is done until it ends."""
        steps, columns = self.table.config.steps, events.shape[-1]
        flat = events.flatten(2)
        order = torch.where(flat >= 0, flat, torch.iinfo(torch.int64).max).argsort(dim=2, stable=True)[..., :steps]
        stone, column = order // columns, order % columns
        banked = column == columns - 1
        action = torch.where(banked, self.actions.bank(stone), self.actions.dip(stone, column))
        action = torch.where(flat.gather(2, order) >= 0, action, self.actions.enough)
        rest = action.new_full((*action.shape[:2], max(0, steps - action.shape[2])), self.actions.enough)
        return torch.cat([action, rest], 2)


def bank_positive(seen: TableView, actions: Actions) -> Int64[Tensor, " batch"]:
    """Banking the first stone that shows a positive reward; where there is none, ending the trial."""
    positive = seen.here & (seen.reward > 0)
    return torch.where(positive.any(1), actions.bank(positive.long().argmax(1)), actions.enough)


def one_of(choices: Bool[Tensor, "batch slots"], unit: Float64[Tensor, " batch"]) -> Int64[Tensor, " batch"]:
    """A uniformly random one of the choices, from uniform numbers in [0, 1); 0 where there is none."""
    rank = (unit * choices.sum(1)).long()
    if not choices.shape[1]:
        return rank
    return (choices & (choices.cumsum(1) - 1 == rank[:, None])).long().argmax(1)
