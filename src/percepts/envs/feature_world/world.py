"""Feature World: which features make an object light up? Many episodes at once, in tensors (Ke et al. 2024).

    world = conjunction(dimensions=("colour", "shape", "texture"), values=5).build()
    state = world.reset(seeds=range(256))
    state, outcome = world.step(state, action)                           # action [256]: which object to test
    state = world.restart(state, outcome.terminated | outcome.truncated)

Objects stay as they are, the hidden rule too: all that a test changes is what is known, and `state.alive` is exactly
that. States are values; an episode is a function of its seed and the actions, whatever the other episodes are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from percepts.core.config import Config, Configurable
from percepts.core.errors import ConfigError, DataError
from percepts.envs.feature_world.features import FeatureTables, feature_tables
from percepts.envs.feature_world.knowledge import Knowledge
from percepts.envs.feature_world.object_sets import ObjectSets, all_objects, random_sets
from percepts.envs.feature_world.state import Outcome, WorldState
from percepts.envs.streams import Streams

WASTED = -1
"""The action that tests nothing and costs a step: what an invalid reply comes to."""
SCENES = 1 << 31
"""Scene numbers are below this."""


class FeatureWorld(Configurable):
    """The rules for many episodes. Action a < `choices` tests object a of those on offer; in mode "answer", action
    `choices` + h says that the truth is hypothesis h; `WASTED` is neither.

    With `noise`, the object that is really tested is at times another than the one that is logged: one of its values,
    in a random dimension, is a random other one. The posterior takes the log for what happened.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(Config):
        """Settings.

        Attributes:
            dimensions: of the objects that can be rewarded, by name; see `features.DIMENSIONS`.
            values: of every dimension, or of each; decoys have as many as the first.
            k, n: a hypothesis names `n` features, and rewards objects that have `k` of them.
            decoys: further dimensions of the objects, which never matter, as everybody knows.
            objects: how many are on offer in an episode; all that there are by default.
            object_sets: how many such choices there are, one of which an episode draws.
            distinguishing: whether every choice has to tell apart what all objects do.
            mode: "identify" ends an episode as soon as its tests decide the matter; "answer" when an answer is given.
            budget: tests after which an episode is truncated; twice what the information-greedy reference takes on
                average, rounded up, by default. An answer is a step as well.
            noise: probability in a test that another object is tested than is logged.
            cost: of every step, in rewards.
            set_seed: of the choices of objects.
        """

        dimensions: tuple[str, ...] = ("colour", "shape", "texture")
        values: int | tuple[int, ...] = 5
        k: int = 1
        n: int = 1
        decoys: tuple[str, ...] = ()
        objects: int | None = None
        object_sets: int = 1
        distinguishing: bool = True
        mode: Literal["identify", "answer"] = "identify"
        budget: int | None = None
        noise: float = 0.0
        cost: float = 0.0
        set_seed: int = 0

        def __post_init__(self) -> None:
            if self.budget is not None and self.budget < 1:
                raise ConfigError(f"budget = {self.budget}", "1 or more, or None")
            if not 0 <= self.noise <= 1:
                raise ConfigError(f"noise = {self.noise}", "a probability")
            if not (math.isfinite(self.cost) and self.cost >= 0):
                raise ConfigError(f"cost = {self.cost}", "a finite number from 0")
            if self.objects is None and self.object_sets != 1:
                raise ConfigError(
                    f"object_sets = {self.object_sets} of all objects",
                    "1",
                    "objects=12 (percepts explore: --objects 12)",
                )

    config: Config

    def __init__(self, config: Config) -> None:
        self.config = config
        self._on: dict[torch.device, Knowledge] = {}

    @functools.cached_property
    def tables(self) -> FeatureTables:
        """All objects and hypotheses.

        Raises:
            ConfigError: settings that do not fit together.
        """
        config = self.config
        return feature_tables(self.dimensions, self.values, len(config.dimensions), config.k, config.n)

    @functools.cached_property
    def sets(self) -> ObjectSets:
        """The objects on offer.

        Raises:
            ConfigError: too few to tell the hypotheses apart.
        """
        config = self.config
        if config.objects is None:
            return all_objects(self.tables.rewarded)
        return random_sets(
            self.tables.rewarded, config.objects, config.object_sets, config.set_seed, config.distinguishing
        )

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Of the objects, decoys last."""
        return (*self.config.dimensions, *self.config.decoys)

    @property
    def values(self) -> tuple[int, ...]:
        """How many every dimension has."""
        config = self.config
        counts = (config.values,) * len(config.dimensions) if isinstance(config.values, int) else config.values
        return (*counts, *counts[:1] * len(config.decoys))

    @property
    def choices(self) -> int:
        """How many objects are on offer."""
        return self.sets.objects.shape[1]

    @property
    def hypotheses(self) -> int:
        """How many there are."""
        return len(self.tables.targets)

    @property
    def actions(self) -> int:
        """How many there are: tests, then answers where there are such."""
        return self.choices + self.hypotheses * (self.config.mode == "answer")

    @functools.cached_property
    def budget(self) -> int:
        """Steps after which an episode is truncated."""
        if self.config.budget is not None:
            return self.config.budget
        return math.ceil(2 * self.knowledge().greedy_tests())

    def knowledge(self, device: torch.device | str = "cpu") -> Knowledge:
        """What can be known, on a device."""
        device = torch.device(device)
        if device not in self._on:
            self._on[device] = Knowledge.of(self.tables, self.sets).to(device)
        return self._on[device]

    def reset(self, seeds: Iterable[int], device: torch.device | str = "cpu") -> WorldState:
        """The first episode for each seed.

        Raises:
            DataError: no seeds.
        """
        streams = Streams.of(seeds, "feature world", device=device)
        if not len(streams):
            raise DataError("no seeds", "one for each episode")
        return self._begin(streams)

    def restart(self, state: WorldState, rows: Bool[Tensor, " batch"]) -> WorldState:
        """The next episode in some rows, from their own streams.

        Raises:
            DataError: `rows` that are not one bool for each episode.
        """
        if rows.dtype != torch.bool or rows.shape != state.finished.shape:
            raise DataError(f"rows of {rows.dtype} {list(rows.shape)}", f"bool [{len(state)}]")
        index = rows.nonzero()[:, 0]
        return state.put(index, self._begin(state.streams.rows(index))) if len(index) else state

    def step(self, state: WorldState, action: Int64[Tensor, " batch"]) -> tuple[WorldState, Outcome]:
        """Act once in every episode. One that is over stands still: its reward is 0, and the rest of the outcome says
        that it has ended as such.

        Raises:
            DataError: actions that there are not.
        """
        self._check(state, action)
        know, config = self.knowledge(action.device), self.config
        going = ~state.finished
        testing = going & (action >= 0) & (action < self.choices)
        tested = torch.where(testing, action, -1)
        really, erred, streams = self._really_tested(state, know.objects[state.object_set, tested.clamp(min=0)])
        erred = erred & testing
        lit = know.predicted.view(-1)[really * self.hypotheses + state.truth] & testing
        alive = know.update(state.alive, state.object_set, tested, lit)
        live = alive.sum(1)
        identified = live == 1 if know.distinguishing else know.identified(alive, state.object_set)
        answer = torch.where(going & (action >= self.choices), action - self.choices, state.answer)
        success, terminated = self._judged(state, know, alive, identified | (live == 0), answer)
        steps = state.steps + going.long()
        truncated = (steps >= self.budget) & ~terminated
        place = tested.clamp(min=0)[:, None]
        sign = torch.where(testing, 2 * lit.to(torch.int8) - 1, state.outcomes.gather(1, place)[:, 0])
        after = WorldState(
            streams=streams,
            truth=state.truth,
            object_set=state.object_set,
            scene=state.scene,
            alive=alive,
            live=live,
            steps=steps,
            outcomes=state.outcomes.scatter(1, place, sign[:, None]),
            tested=torch.where(going, tested, state.tested),
            lit=torch.where(going, lit, state.lit),
            answer=answer,
            erred=state.erred | erred,
            finished=state.finished | terminated | truncated,
        )
        reward = torch.where(going, success.double() - config.cost, 0.0)
        gained = know.bits[state.live] - know.bits[live]
        return after, Outcome(reward, terminated, truncated, success, identified, gained, erred)

    def offered(self, state: WorldState) -> Int64[Tensor, "batch choices dimensions"]:
        """The values of the objects on offer."""
        device = state.truth.device
        return self.tables.features.to(device)[self.knowledge(device).objects[state.object_set]]

    def _really_tested(
        self, state: WorldState, logged: Int64[Tensor, " batch"]
    ) -> tuple[Int64[Tensor, " batch"], Bool[Tensor, " batch"], Streams]:
        """The objects that are tested where `logged` is what everybody takes them for, and which are others."""
        if not self.config.noise:
            return logged, torch.zeros_like(state.finished), state.streams
        unit, streams = state.streams.uniform(3)
        streams = replace(streams, count=torch.where(state.finished, state.streams.count, streams.count))
        erred = unit[:, 0] < self.config.noise
        return torch.where(erred, mistaken(self.tables, self.values, logged, unit[:, 1:]), logged), erred, streams

    def _judged(
        self,
        state: WorldState,
        know: Knowledge,
        alive: Bool[Tensor, "batch hypotheses"],
        decided: Bool[Tensor, " batch"],
        answer: Int64[Tensor, " batch"],
    ) -> tuple[Bool[Tensor, " batch"], Bool[Tensor, " batch"]]:
        """Which episodes are a success, and which are over."""
        if self.config.mode == "identify":
            return decided & alive.gather(1, state.truth[:, None])[:, 0], decided
        classes, answered = know.classes, answer >= 0
        right = classes[state.object_set, answer.clamp(min=0)] == classes[state.object_set, state.truth]
        return answered & right, answered

    def _check(self, state: WorldState, action: Tensor) -> None:
        if action.dtype != torch.int64 or action.shape != state.truth.shape:
            raise DataError(f"actions of {action.dtype} {list(action.shape)}", f"int64 [{len(state)}]")
        low, high = (int(end) for end in action.aminmax())
        if low < WASTED or high >= self.actions:
            wrong = low if low < WASTED else high
            raise DataError(f"the action {wrong}", f"0 to {self.actions - 1}, or {WASTED} for a wasted step")

    def _begin(self, streams: Streams) -> WorldState:
        know = self.knowledge(streams.key.device)
        unit, streams = streams.uniform(3)
        batch, device = len(streams), unit.device
        nothing = torch.zeros(batch, dtype=torch.int64, device=device)
        false = torch.zeros(batch, dtype=torch.bool, device=device)
        truth, object_set, scene = (
            (unit[:, place] * count).long() for place, count in enumerate((self.hypotheses, len(know.objects), SCENES))
        )
        return WorldState(
            streams=streams,
            truth=truth,
            object_set=object_set,
            scene=scene,
            alive=know.prior(batch),
            live=nothing + self.hypotheses,
            steps=nothing,
            outcomes=torch.zeros(batch, self.choices, dtype=torch.int8, device=device),
            tested=nothing - 1,
            lit=false,
            answer=nothing - 1,
            erred=false,
            finished=false,
        )


def mistaken(
    tables: FeatureTables,
    values: tuple[int, ...],
    objects: Int64[Tensor, " batch"],
    unit: Float64[Tensor, "batch 2"],
) -> Int64[Tensor, " batch"]:
    """Objects that differ from the given ones in one random value of one random dimension.

    Args:
        tables: of the world.
        values: how many values its dimensions have.
        objects: their numbers.
        unit: uniform random numbers in [0, 1), which choose the dimension and the value.
    """
    device = objects.device
    count, stride = torch.tensor(values, device=device), tables.stride.to(device)
    dimension = (unit[:, 0] * len(values)).long()
    old, most = tables.features.to(device)[objects, dimension], count[dimension]
    new = (old + 1 + (unit[:, 1] * (most - 1)).long()) % most
    return objects + (new - old) * stride[dimension]
