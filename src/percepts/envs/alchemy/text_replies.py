"""Actions of Alchemy in words, and what the reply of a language model means.

    action_text(table, 17)                                              # "ACTION: stone 1 into potion 2"
    read_action(table, "The action is clear.\\n**Action:** <1> into #2")    # Reply(action=17)

The last line that begins with "ACTION" counts, as models like to talk about actions before; capitals, stars and
brackets around numbers do not matter. What cannot be understood is the action that does nothing and costs a step, says
why, and is never an exception.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from percepts.envs.alchemy.table import Table
from percepts.envs.alchemy.text_scenes import Failure

TAIL = 100_000
"""Characters of a reply that are read: the last ones, as the action stands at the end."""

_LINE = re.compile(r"^[\s>*_#`\"'\[(<-]{0,20}action\b(.*)$", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,9}")
_STONE = re.compile(r"stone[\s<#*_`\[(:=]{0,9}([0-9]{1,9})")
_POTION = re.compile(r"potion[\s<#*_`\[(:=]{0,9}([0-9]{1,9})")
_END = re.compile(r"\bend\b")
_NOTHING = re.compile(r"\b(nothing|no-op|noop|none|wait|pass|skip)\b")


@dataclass(frozen=True)
class Reply:
    """What was understood.

    Attributes:
        action: of the table.
        failure: why nothing was understood; the action does nothing then.
    """

    action: int
    failure: Failure | None = None


def action_text(table: Table.Config, action: int) -> str:
    """An action as it is to be written."""
    if table.end_trial and action == 0:
        return "ACTION: end the trial"
    number = action - 1 - table.end_trial
    if number < 0:
        return "ACTION: nothing"
    stone, place = divmod(number, table.potions + 1)
    return f"ACTION: stone {stone} into " + ("the cauldron" if place == 0 else f"potion {place - 1}")


def read_action(table: Table.Config, text: Any) -> Reply:
    """What a reply means.

    Args:
        table: whose actions.
        text: whatever the model gave; what is no string is empty.
    """
    nothing = int(table.end_trial)
    if not isinstance(text, str) or not text.strip():
        return Reply(nothing, "empty")
    said = _last_action(text[-TAIL:])
    if said is None:
        return Reply(nothing, "no action")
    found = _understood(table, said.lower())
    return found if isinstance(found, Reply) else Reply(nothing, found)


def _last_action(text: str) -> str | None:
    """What follows the word on the last line that begins with it; the next line where nothing follows it."""
    lines = text.splitlines()
    for number in range(len(lines) - 1, -1, -1):
        found = _LINE.match(lines[number])
        if found is not None:
            rest = found[1]
            if any(letter.isalnum() for letter in rest):
                return rest
            return next((line for line in lines[number + 1 :] if any(letter.isalnum() for letter in line)), "")
    return None


def _understood(table: Table.Config, said: str) -> Reply | Failure:
    numbers = {found.start(): int(found[0]) for found in _NUMBER.finditer(said)}
    banked = "cauldron" in said
    items = banked or "stone" in said or "potion" in said
    # Models also name the trial that they end by its number.
    if _END.search(said) and not banked and (not numbers or ("trial" in said and not items)):
        return Reply(0) if table.end_trial else "no ending"
    if not numbers and not banked and _NOTHING.search(said):
        return Reply(int(table.end_trial))
    stone, potion = _STONE.search(said), _POTION.search(said)
    labelled = {found.start(1) for found in (stone, potion) if found is not None}
    # Labelled numbers count where they are labelled, others in their order: stone, then potion.
    rest = [number for place, number in numbers.items() if place not in labelled]
    clear = stone is not None and (banked or potion is not None)
    if (not clear and len(numbers) != 2 - banked) or (banked and potion is not None):
        return "not understood"
    first = int(stone[1]) if stone is not None else rest.pop(0)
    if first >= table.stones:
        return "no such stone"
    base = 1 + table.end_trial + first * (table.potions + 1)
    if banked:
        return Reply(base)
    second = int(potion[1]) if potion is not None else rest.pop(0)
    return Reply(base + 1 + second) if second < table.potions else "no such potion"
