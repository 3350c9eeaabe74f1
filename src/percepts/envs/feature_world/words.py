"""Objects, hypotheses and logs of Feature World in words, and back again.

    words = Words(world)
    words.object(7)                    # "small striped red cube"
    words.hypothesis(3)                # "colour = red and shape = cube"
    words.find_object("the red, striped CUBE (small)")         # 7

Names of values belong to one dimension only, so an object is understood in any order of its words, with other words in
between.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from percepts.core.errors import ConfigError, DataError
from percepts.envs.feature_world.features import DIMENSIONS
from percepts.envs.feature_world.world import FeatureWorld

Memory = Literal["transcript", "log", "table"]
"""What the agent is shown of its past: its own replies and what came of them, a list of tests, or a table of them."""

_ORDER = ("size", "texture", "colour", "shape")
"""Of the words of an object."""
_WORD = re.compile(r"[a-z]+")
_LOG_LINE = re.compile(r"^(\d+)\. (.*?): (lit up|stayed dark)$", re.MULTILINE)
_ROW = re.compile(r"^\| (\d+) \|(.*)\| (yes|no) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Test:
    """One test as it is remembered.

    Attributes:
        number: of the object among all; -1 for a step that was wasted.
        lit: whether it lit up.
        reply: what the agent said, if anything.
    """

    __test__ = False  # It is none of pytest's.

    number: int
    lit: bool
    reply: str = ""


class Words:
    """The vocabulary of a world.

    Args:
        world: whose objects and hypotheses.
    """

    def __init__(self, world: FeatureWorld) -> None:
        self.world = world

    @cached_property
    def values(self) -> tuple[tuple[str, ...], ...]:
        """The names of the values of every dimension."""
        return tuple(DIMENSIONS[name][:count] for name, count in zip(self.world.dimensions, self.world.values))

    @cached_property
    def objects(self) -> tuple[str, ...]:
        """The names of all objects."""
        return tuple(self._name(row) for row in self.world.tables.features.tolist())

    @cached_property
    def hypotheses(self) -> tuple[str, ...]:
        """The names of all hypotheses."""
        return tuple(self._rule(targets) for targets in self.world.tables.targets.tolist())

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        """Dimension and value of every word, plurals too; also of names that this world does not use, as -1."""
        known: dict[str, tuple[int, int]] = {}
        for name, words in DIMENSIONS.items():
            place = self.world.dimensions.index(name) if name in self.world.dimensions else -1
            for value, word in enumerate(words):
                used = place >= 0 and value < self.world.values[place]
                known[word] = known[word + "s"] = (place, value if used else -1)
        return known

    @cached_property
    def _stride(self) -> list[int]:
        found: list[int] = self.world.tables.stride.tolist()
        return found

    @cached_property
    def _features(self) -> list[list[int]]:
        found: list[list[int]] = self.world.tables.features.tolist()
        return found

    @cached_property
    def _numbers(self) -> dict[frozenset[tuple[int, int]], int]:
        targets = self.world.tables.targets.tolist()
        return {frozenset((a, b) for a, b in pairs): number for number, pairs in enumerate(targets)}

    def object(self, number: int) -> str:
        """The name of an object by its number among all.

        Raises:
            DataError: there is no such object.
        """
        if not 0 <= number < len(self.objects):
            raise DataError(f"object {number}", f"0 to {len(self.objects) - 1}")
        return self.objects[number]

    def hypothesis(self, number: int) -> str:
        """What a hypothesis says.

        Raises:
            DataError: there is no such hypothesis.
        """
        if not 0 <= number < len(self.hypotheses):
            raise DataError(f"hypothesis {number}", f"0 to {len(self.hypotheses) - 1}")
        return self.hypotheses[number]

    def features_in(self, text: str) -> Mapping[int, set[int]]:
        """The values that a text names, by dimension; -1 stands for words of other worlds."""
        found: dict[int, set[int]] = {}
        for word in _WORD.findall(text.lower()):
            if word in self._places:
                place, value = self._places[word]
                found.setdefault(place, set()).add(value)
        return found

    def find_objects(self, text: str, among: Collection[int]) -> list[int]:
        """Those objects among some that have every value that a text names; none if it names values that contradict
        each other or are unknown, or no value."""
        whole = self.find_object(text)
        if whole is not None:
            return [whole] if whole in among else []
        named = self.features_in(text)
        if not named or any(len(values) > 1 or -1 in values for values in named.values()) or -1 in named:
            return []
        return [
            number for number in among if all(self._features[number][place] in value for place, value in named.items())
        ]

    def find_object(self, text: str) -> int | None:
        """The number of the object that a text describes by a value of every dimension; None if it does not."""
        named = self.features_in(text)
        if set(named) != set(range(len(self.values))) or not all(len(some) == 1 for some in named.values()):
            return None
        value = [min(named[place]) for place in range(len(self.values))]
        return None if -1 in value else sum(stride * number for stride, number in zip(self._stride, value))

    def find_hypothesis(self, text: str) -> int | None:
        """The number of the hypothesis that names exactly the features of a text; None if there is none."""
        named = self.features_in(text)
        pairs = [(place, value) for place, values in named.items() for value in values]
        return self._numbers.get(frozenset(pairs))

    def log(self, tests: Iterable[Test], memory: Memory = "log") -> str:
        """Past tests as a numbered list or as a table, wasted steps left out.

        Raises:
            ConfigError: the transcript, which is a history of messages and no text.
        """
        if memory == "transcript":
            raise ConfigError("a transcript as one text", "'log' or 'table'")
        some = [test for test in tests if test.number >= 0]
        if memory == "log":
            results = {True: "lit up", False: "stayed dark"}
            return "\n".join(f"{n}. {self.object(test.number)}: {results[test.lit]}" for n, test in enumerate(some, 1))
        lines = [
            "| test | " + " | ".join(self.world.dimensions) + " | lit up |",
            "|---" * (len(self.world.dimensions) + 2) + "|",
        ]
        for n, test in enumerate(some, 1):
            row = [self.values[place][value] for place, value in enumerate(self._features[test.number])]
            lines.append(f"| {n} | " + " | ".join(row) + f" | {'yes' if test.lit else 'no'} |")
        return "\n".join(lines)

    def read_log(self, text: str) -> list[Test]:
        """The tests in a text that holds what `log` gave, of either kind.

        Raises:
            DataError: a line names no object of this world.
        """
        rows = [(m[2], m[3] == "lit up") for m in _LOG_LINE.finditer(text)]
        rows = rows or [(m[2], m[3] == "yes") for m in _ROW.finditer(text)]
        tests = []
        for name, lit in rows:
            number = self.find_object(name)
            if number is None:
                raise DataError(f"a log that names '{name[:80].strip()}'", "an object of this world")
            tests.append(Test(number, lit))
        return tests

    def _name(self, row: list[int]) -> str:
        named = {name: self.values[place][row[place]] for place, name in enumerate(self.world.dimensions)}
        noun = [] if "shape" in named else ["object"]
        return " ".join([*(named[name] for name in _ORDER if name in named), *noun])

    def _rule(self, targets: list[list[int]]) -> str:
        parts = [f"{self.world.dimensions[place]} = {self.values[place][value]}" for place, value in targets]
        k, n = self.world.config.k, self.world.config.n
        if k == n:
            return " and ".join(parts)
        return f"at least {k} of " + ", ".join(parts)
