"""Policies for Feature World that know its rules: information-greedy, random, and exactly optimal.

    agent = InformationGain(world, seed=0)
    action, memory = agent.act(observe(world, state, agent.keys), memory)

All keep the exact posterior, and where an answer is asked for they give it as soon as they know. They differ in what
they test before. Every episode has a random stream of its own, which is part of the memory.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from percepts.agents.agent import Observation
from percepts.agents.explorers.exact_plans import ExactPlan
from percepts.core.errors import CapabilityError
from percepts.core.random import derive_seed
from percepts.envs.feature_world.knowledge import Knowledge
from percepts.envs.feature_world.observations import Key
from percepts.envs.feature_world.perception import TrayReader, misperceived
from percepts.envs.feature_world.world import FeatureWorld
from percepts.envs.streams import Streams


@dataclass(frozen=True)
class Memory:
    """What a policy remembers of B episodes.

    Attributes:
        alive: hypotheses that explain what it saw.
        used: which objects on offer it has tested.
        seen: the numbers of the objects that it took the tested ones for, the latest last; -1 for none.
        streams: of random numbers.
    """

    alive: Bool[Tensor, "batch hypotheses"]
    used: Bool[Tensor, "batch choices"]
    seen: Int64[Tensor, "batch steps"]
    streams: Streams

    def rows(self, index: Any) -> Self:
        """Some of the episodes."""
        return type(self)(**{part.name: _rows(getattr(self, part.name), index) for part in dataclasses.fields(self)})


class Tester(ABC):
    """What the policies share.

    Args:
        world: its rules.
        seed: of the random streams.
    """

    keys: tuple[Key, ...] = ("tested", "lit", "object_set", "left")
    """What it has to see."""

    def __init__(self, world: FeatureWorld, seed: int = 0) -> None:
        self.world, self.seed = world, seed

    @abstractmethod
    def wanted(
        self, know: Knowledge, memory: Memory, object_set: Int64[Tensor, " batch"]
    ) -> Bool[Tensor, "batch choices"]:
        """The objects that are as good to test as any, one at least in every row; it tests a random one of them."""

    def act(self, observation: Observation, state: Memory | None = None) -> tuple[Tensor, Memory]:
        """The actions, and the memory after them; see `agents.agent.Agent`.

        Raises:
            CapabilityError: an observation without the `keys`.
        """
        for key in self.keys:
            if key not in observation:
                raise CapabilityError(f"an observation without '{key}'", "the keys " + ", ".join(self.keys))
        object_set = observation["object_set"]
        know = self.world.knowledge(object_set.device)
        memory = self._begun(know, object_set) if state is None else state
        memory = self._recalled(know, memory, observation)
        unit, streams = memory.streams.uniform(2)
        place = pick(self.wanted(know, memory, object_set), unit[:, 0])
        action = place
        if self.world.config.mode == "answer":
            # Who has refuted everything has erred, and guesses.
            possible = memory.alive | ~memory.alive.any(1, keepdim=True)
            decided = know.identified(memory.alive, object_set) | ~memory.alive.any(1)
            action = torch.where(decided, self.world.choices + pick(possible, unit[:, 1]), place)
        used = memory.used.scatter(1, place[:, None], True)
        return action, dataclasses.replace(memory, used=used, streams=streams)

    def perceived(
        self, know: Knowledge, observation: Observation, streams: Streams
    ) -> tuple[Int64[Tensor, " batch"], Bool[Tensor, " batch"], Streams]:
        """The numbers of the objects tested last, -1 for none, whether they lit up, and the streams after looking."""
        tested = observation["tested"]
        number = know.objects[observation["object_set"], tested.clamp(min=0)]
        return torch.where(tested < 0, -1, number), observation["lit"].bool(), streams

    def _begun(self, know: Knowledge, object_set: Tensor) -> Memory:
        batch, device = len(object_set), object_set.device
        return Memory(
            alive=know.prior(batch),
            used=torch.zeros(batch, self.world.choices, dtype=torch.bool, device=device),
            seen=torch.full((batch, 0), -1, dtype=torch.int64, device=device),
            streams=Streams.of((derive_seed(self.seed, "policy", row) for row in range(batch)), device=device),
        )

    def _recalled(self, know: Knowledge, memory: Memory, observation: Observation) -> Memory:
        """The memory with what has just been seen; empty where an episode has begun."""
        number, lit, streams = self.perceived(know, observation, memory.streams)
        new = (observation["left"][:, 0] == 1)[:, None]
        number = torch.where(new[:, 0], -1, number)
        seen = torch.cat([torch.where(new, -1, memory.seen), number[:, None]], 1)
        return Memory(
            alive=know.explaining(memory.alive | new, number, lit),
            used=memory.used & ~new,
            seen=seen[:, -self.world.budget :],
            streams=streams,
        )


class InformationGain(Tester):
    """Tests an object of most expected information, the paper's rule-based optimum."""

    def wanted(self, know: Knowledge, memory: Memory, object_set: Tensor) -> Tensor:
        """See `Tester`."""
        parts = know.smaller_part(memory.alive, object_set)
        return parts == parts.amax(1, keepdim=True)


class RandomTests(Tester):
    """Tests random objects.

    Args:
        world: its rules.
        seed: of the random streams.
        replacement: whether it tests objects again; if not, it does so only after all of them.
    """

    def __init__(self, world: FeatureWorld, seed: int = 0, replacement: bool = False) -> None:
        super().__init__(world, seed)
        self.replacement = replacement

    def wanted(self, know: Knowledge, memory: Memory, object_set: Tensor) -> Tensor:
        """See `Tester`."""
        if self.replacement:
            return torch.ones_like(memory.used)
        return ~memory.used | memory.used.all(1, keepdim=True)


class ExactPlanner(Tester):
    """Tests so that the expected number of tests is the least that there is: dynamic programming over all sets of live
    hypotheses.

    Args:
        world: of 16 hypotheses at most, or as many kinds that can be told apart.
        seed: of the random streams.

    Raises:
        ConfigError: (in `act`) more hypotheses.
    """

    def __init__(self, world: FeatureWorld, seed: int = 0) -> None:
        super().__init__(world, seed)
        self._plans: dict[int, ExactPlan] = {}

    def plan(self, object_set: int = 0) -> ExactPlan:
        """The plan for a set of objects, made when it is first asked for.

        Raises:
            ConfigError: too many hypotheses.
        """
        if object_set not in self._plans:
            self._plans[object_set] = ExactPlan.of(self.world, object_set)
        return self._plans[object_set]

    def wanted(self, know: Knowledge, memory: Memory, object_set: Tensor) -> Tensor:
        """See `Tester`."""
        best = torch.zeros_like(memory.used)
        for number in object_set.unique().tolist():
            rows = object_set == number
            best[rows] = self.plan(number).best(memory.alive[rows])
        return best


class PerceiveThenReason(InformationGain):
    """The two stages of the paper's embodied form: first it names what is on the tray and whether that is lit, from the
    picture; then it chooses the next object by what it has seen so far, as `InformationGain` does. What it concludes
    from that is measured in mode "answer" only: in mode "identify" the world ends the episode by its own knowledge.

    Args:
        world: its rules.
        reader: sees.
        noise: probability with which it mistakes one value of the object for another.
        seed: of the random streams.
    """

    keys = ("image", "object_set", "left")

    def __init__(self, world: FeatureWorld, reader: TrayReader, noise: float = 0.0, seed: int = 0) -> None:
        super().__init__(world, seed)
        self.reader, self.noise = reader, noise

    def perceived(self, know: Knowledge, observation: Observation, streams: Streams) -> tuple[Tensor, Tensor, Streams]:
        """See `Tester`."""
        number, lit = self.reader.read(observation["image"])
        unit, streams = streams.uniform(3)
        return misperceived(self.world, number, unit, self.noise), lit, streams


def pick(allowed: Bool[Tensor, "batch choices"], unit: Float64[Tensor, " batch"]) -> Int64[Tensor, " batch"]:
    """A uniformly random allowed place of every row, by a uniform number in [0, 1)."""
    order = allowed.cumsum(1)
    rank = (unit * order[:, -1]).long() + 1
    return ((order == rank[:, None]) & allowed).to(torch.uint8).argmax(1)


def _rows(value: Any, index: Any) -> Any:
    return value[index] if isinstance(value, Tensor) else value.rows(index)
