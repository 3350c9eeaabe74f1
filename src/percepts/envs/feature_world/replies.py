"""What a reply of a language model means in Feature World.

    reply = read_reply("Red is ruled out. **TEST: the <small green ball>**", words, offered=[3, 7, 12])
    reply.kind, reply.place            # "test", 1

The last line that begins with "TEST" or "ANSWER" counts, as models like to talk about both before, and the next one
where nothing follows the word; brackets, stars, capitals, plurals and the order of words do not matter. If there is no
such line, a last line that names one object is taken for a test of it. What cannot be understood says why, and is never
an exception: the caller charges the step.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from percepts.envs.feature_world.words import Words

Failure = Literal["empty", "too long", "invalid", "unknown object", "ambiguous object", "unknown answer", "no answers"]
LONGEST = 200_000
"""Characters of a reply that is still read."""

_COMMAND = re.compile(r"^[\s>*_#`\"'\[(<-]*(test|answer)\b[\s*_`]*(?:[:=]|-+>?)(.*)$", re.IGNORECASE)
_LOOSE = re.compile(r"^[\s>*_#`\"'\[(<-]*(test|answer)\b(.*)$", re.IGNORECASE)
"""A command with the colon forgotten, which counts only if no line has one."""


@dataclass(frozen=True)
class Reply:
    """What was understood.

    Attributes:
        kind: a test, an answer, or nothing.
        place: of the object to test, among those on offer; -1 for none.
        hypothesis: the number of the one that the answer names; -1 for none.
        failure: why nothing was understood.
    """

    kind: Literal["test", "answer", "nothing"]
    place: int = -1
    hypothesis: int = -1
    failure: Failure | None = None

    def action(self, choices: int) -> int:
        """The action of a world with `choices` objects on offer; -1, a wasted step, if nothing was understood."""
        return choices + self.hypothesis if self.kind == "answer" else self.place


def read_reply(text: Any, words: Words, offered: Sequence[int]) -> Reply:
    """What a reply means.

    Args:
        text: whatever the model gave; what is no string is invalid.
        words: of the world.
        offered: the numbers of the objects on offer, in the order of their places.
    """
    if not isinstance(text, str):
        return Reply("nothing", failure="empty" if text is None else "invalid")
    if len(text) > LONGEST:
        return Reply("nothing", failure="too long")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return Reply("nothing", failure="empty")
    for pattern in (_COMMAND, _LOOSE):
        for number in range(len(lines) - 1, -1, -1):
            found = pattern.match(lines[number])
            if found is not None:
                read = _test if found[1].lower() == "test" else _answer
                rest = (line for line in (found[2], *lines[number + 1 :]) if any(map(str.isalnum, line)))
                return read(next(rest, ""), words, offered)
    bare = _test(lines[-1], words, offered)
    return bare if bare.kind == "test" else Reply("nothing", failure="invalid")


def _test(text: str, words: Words, offered: Sequence[int]) -> Reply:
    found = words.find_objects(text, offered)
    if len(found) == 1:
        return Reply("test", place=list(offered).index(found[0]))
    return Reply("nothing", failure="ambiguous object" if found else "unknown object")


def _answer(text: str, words: Words, offered: Sequence[int]) -> Reply:
    if words.world.config.mode != "answer":
        return Reply("nothing", failure="no answers")
    number = words.find_hypothesis(text)
    return Reply("nothing", failure="unknown answer") if number is None else Reply("answer", hypothesis=number)
