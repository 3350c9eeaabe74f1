"""One episode of Feature World after the other in plain numbers: the batched rules for whoever steps a single world.

    light = LightWorld(world)
    light.reset(seed=0)
    light.step(7)
    light.lit, light.live, light.success

The same seed and actions bring the same as in `world.FeatureWorld`, some fifty times as fast as a batch of one.
Hypotheses are the bits of a whole number here.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from percepts.core.errors import DataError
from percepts.core.random import derive_seed
from percepts.data.hashing import ROUNDS, STEP
from percepts.envs.feature_world.world import SCENES, WASTED, FeatureWorld

_WORD = (1 << 64) - 1


class LightWorld:
    """A single world. What holds B numbers in `state.WorldState` and `state.Outcome` is a plain number here, with the
    same names.

    Args:
        world: the rules.
    """

    def __init__(self, world: FeatureWorld) -> None:
        self.world = world
        self._key: int | None = None

    @functools.cached_property
    def _tables(self) -> _BitTables:
        return _BitTables(self.world)

    @property
    def begun(self) -> bool:
        """Whether there was a reset."""
        return self._key is not None

    def reset(self, seed: int) -> None:
        """Begin the first episode of a seed."""
        self._key, self._count = derive_seed(seed, "feature world"), 0
        self.restart()

    def restart(self) -> None:
        """Begin the next episode.

        Raises:
            DataError: before the first reset.
        """
        if self._key is None:
            raise DataError("a world that was never reset", fix="reset(seed=0)")
        tables = self._tables
        self.truth = int(self._uniform() * tables.hypotheses)
        self.object_set = int(self._uniform() * len(tables.objects))
        self.scene = int(self._uniform() * SCENES)
        self.alive, self.live, self.steps = (1 << tables.hypotheses) - 1, tables.hypotheses, 0
        self.outcomes: NDArray[np.int8] = np.zeros(tables.choices, np.int8)
        self.tested = self.answer = WASTED
        self.lit = self.erred = self.finished = False
        self.identified = self.success = self.terminated = self.truncated = False
        self.reward = self.gained = 0.0

    def step(self, action: int) -> None:
        """Act; see `FeatureWorld` for what actions mean. They are not checked.

        Raises:
            DataError: the episode is over.
        """
        if self.finished:
            raise DataError("a step after the end of the episode", fix="restart()")
        tables, before = self._tables, self.live
        self.tested, self.lit = WASTED, False
        unit = [self._uniform() for _ in range(3)] if tables.noise else None
        if 0 <= action < tables.choices:
            logged = really = tables.objects[self.object_set][action]
            if unit is not None and unit[0] < tables.noise:
                really, self.erred = self._mistaken(logged, unit), True
            self.tested, self.lit = action, bool(tables.predicted[really] >> self.truth & 1)
            said = tables.predicted[logged]
            self.alive &= said if self.lit else ~said
            self.live = self.alive.bit_count()
            self.outcomes[action] = 1 if self.lit else -1
        elif action >= tables.choices:
            self.answer = action - tables.choices
        self._judge()
        self.steps += 1
        self.truncated = self.steps >= tables.budget and not self.terminated
        self.finished = self.terminated or self.truncated
        self.reward = float(self.success) - tables.cost
        self.gained = tables.bits[before] - tables.bits[self.live]

    def _judge(self) -> None:
        tables = self._tables
        first = (self.alive & -self.alive).bit_length() - 1
        self.identified = first >= 0 and self.live == tables.class_size[self.object_set][first]
        if tables.answers:
            self.terminated = self.answer >= 0
            classes = tables.classes[self.object_set]
            self.success = self.terminated and classes[self.answer] == classes[self.truth]
        else:
            self.terminated = self.identified or not self.live
            self.success = self.terminated and bool(self.alive >> self.truth & 1)

    def _mistaken(self, logged: int, unit: list[float]) -> int:
        """See `world.mistaken`."""
        tables = self._tables
        dimension = int(unit[1] * len(tables.values))
        stride, most = tables.stride[dimension], tables.values[dimension]
        old = logged // stride % most
        return logged + ((old + 1 + int(unit[2] * (most - 1))) % most - old) * stride

    def _uniform(self) -> float:
        """The next number of the stream; see `streams.Streams`."""
        assert self._key is not None
        self._count += 1
        bits = (self._count * STEP + self._key) & _WORD
        for shift, factor in ROUNDS:
            bits = (bits ^ bits >> shift) * factor & _WORD
        return float((bits ^ bits >> 31) >> 11) * 2.0**-53


class _BitTables:
    """The tables of a world as Python's own numbers."""

    def __init__(self, world: FeatureWorld) -> None:
        know, config = world.knowledge(), world.config
        # Bit h of a row's number is hypothesis h.
        packed = np.packbits(know.predicted.numpy(), axis=1, bitorder="little")
        self.predicted = [int.from_bytes(row.tobytes(), "little") for row in packed]
        self.objects: list[list[int]] = know.objects.tolist()
        self.classes: list[list[int]] = know.classes.tolist()
        self.class_size: list[list[int]] = know.class_size.tolist()
        self.bits: list[float] = know.bits.tolist()
        self.stride: list[int] = world.tables.stride.tolist()
        self.values, self.choices, self.hypotheses = world.values, world.choices, world.hypotheses
        self.noise, self.cost, self.budget = config.noise, config.cost, world.budget
        self.answers = config.mode == "answer"
