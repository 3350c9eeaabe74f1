"""What a language model is shown of its past in text Alchemy: everything, this trial, a log, or a summary of its own.

    settings = ContextMemory(history="trial", summary="replace", every=2)
    context = Context()
    conversation(settings, instructions, context, text)         # the messages to send
    context = context.with_turn(settings, text, reply)

Conditions are those that Ke et al. (2025) name; whether their summaries replace the history or are added to it is not
certain, so both are here. All words are this library's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

from percepts.core.config import Config
from percepts.core.errors import ConfigError
from percepts.envs.alchemy.chemistry import POTION_COLOURS
from percepts.envs.alchemy.text_scenes import Scene, properties_text, signed
from percepts.foundation.model import Message

KEPT = 20_000
"""Characters of a reply that stay in the history: the last ones, as the decision comes at the end."""
SECTIONS = ("POTIONS:", "BEST STONE:")
"""Headings of a structured summary."""


@dataclass(frozen=True, kw_only=True)
class ContextMemory(Config):
    """What is kept.

    Attributes:
        history: "full" is every turn and reply of the game, "trial" those of this trial, "log" a list of what every
            potion did to which stone, in place of turns and replies.
        summary: whether a summary is written, and whether it takes the place of what was before or is added to it.
        every: after how many trials one is written.
        style: "structured" asks for two sections, what potions do and the best stone; "free" for any text.
        longest: characters of a summary that are kept.
    """

    history: Literal["full", "trial", "log"] = "full"
    summary: Literal["none", "replace", "augment"] = "none"
    every: int = 1
    style: Literal["structured", "free"] = "structured"
    longest: int = 4000

    def __post_init__(self) -> None:
        for name in ("every", "longest"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}", "1 or more")


@dataclass(frozen=True)
class Context:
    """What is kept of one game.

    Attributes:
        history: turns and replies that are shown again.
        since: turns and replies since the last summary.
        log: lines about what potions did and what stones paid.
        summary: the last good one; empty before the first.
        unread: whether no turn has shown it yet.
        trials: begun since the last summary.
        sent: the last conversation and its reply, by which what is new in the next one is told.
    """

    history: tuple[Message, ...] = ()
    since: tuple[Message, ...] = ()
    log: tuple[str, ...] = ()
    summary: str = ""
    unread: bool = False
    trials: int = 0
    sent: tuple[Message, ...] = ()

    def with_turn(self, memory: ContextMemory, shown: Message, reply: str) -> Self:
        """After a turn and the reply to it."""
        said = (shown, Message("assistant", reply[-KEPT:]))
        history = self.history if memory.history == "log" else self.history + said
        return replace(self, history=history, since=self.since + said, unread=False)

    def with_scene(self, memory: ContextMemory, scene: Scene, before: Scene | None) -> Self:
        """After a look at a turn: its line in the log; and where a trial begins, what that ends."""
        line = log_line(scene, before)
        found = replace(self, log=(*self.log, line)) if line else self
        if scene.step or not scene.trial:
            return found
        history = () if memory.history == "trial" else found.history
        return replace(found, history=history, trials=found.trials + 1, unread=bool(found.summary))

    def due(self, memory: ContextMemory) -> bool:
        """Whether a summary is to be written now."""
        return memory.summary != "none" and self.trials >= memory.every

    def with_summary(self, memory: ContextMemory, text: str) -> Self:
        """After one was written. A malformed one leaves the last good one in its place."""
        good = checked_summary(memory, text)
        history = () if memory.summary == "replace" and (good or self.summary) else self.history
        log = () if memory.summary == "replace" and (good or self.summary) else self.log
        summary = good or self.summary
        return replace(
            self, summary=summary, unread=bool(summary), trials=0, since=(), history=history, log=log
        )  # fmt: skip


def conversation(memory: ContextMemory, instructions: str, context: Context, text: str) -> list[Message]:
    """The messages to send for a turn; the last one is the turn, with what is put before it."""
    parts = []
    # In a history the summary has been shown already, at the beginning of the trial.
    if context.summary and (context.unread or not context.history):
        parts.append("Your summary of the trials before:\n" + context.summary)
    if memory.history == "log" and context.log:
        parts.append("What happened so far:\n" + "\n".join(context.log))
    return [Message("system", instructions), *context.history, Message("user", "\n\n".join([*parts, text]))]


def summary_question(memory: ContextMemory, context: Context, text: str) -> list[Message]:
    """The messages that ask for a summary.

    Args:
        memory: the settings.
        context: of the game.
        text: the turn that begins the next trial, which tells what the last action did.
    """
    told = "\n\n".join(message.text for message in context.since)
    parts = [f"What happened:\n{told}\n\n{text.partition('NEW TRIAL')[0].strip()}"]
    if context.summary:
        parts.insert(0, "Your summary so far:\n" + context.summary)
    parts.append(_STYLES[memory.style])
    return [Message("system", _SUMMARISER), Message("user", "\n\n".join(parts))]


def checked_summary(memory: ContextMemory, text: str) -> str:
    """A summary as it is kept: cut at a whole line where it is too long; empty where it is malformed."""
    text = text.strip()
    if len(text) > memory.longest:
        whole, newline, _ = text[: memory.longest].rpartition("\n")
        text = whole if newline else text[: memory.longest]
    wanted = SECTIONS if memory.style == "structured" else ()
    return text if all(section in text.upper() for section in wanted) else ""


def new_messages(sent: Sequence[Message], messages: Sequence[Message]) -> tuple[Message, ...]:
    """What of a conversation was not in the one before."""
    same = 0
    for old, new in zip(sent, messages):
        if old != new:
            break
        same += 1
    return tuple(message for message in messages[same:] if message.role != "system")


def log_line(scene: Scene, before: Scene | None) -> str:
    """What the last action did, as a line of a log; empty where there is nothing to tell."""
    echo = scene.echo
    if before is None or echo is None or echo.kind not in ("dip", "bank"):
        return ""
    stone = before.stones[echo.stone]
    if stone is None:
        return ""
    was = f"{properties_text(stone.coordinates)} stone ({signed(stone.reward)})"
    if echo.kind == "bank":
        return f"Trial {before.trial + 1}: {was} into the cauldron: paid {signed(echo.paid)}"
    after = echo.after
    became = "no change"
    if echo.changed and after is not None:
        became = f"became {properties_text(after.coordinates)} ({signed(after.reward)})"
    return f"Trial {before.trial + 1}: {was} into {POTION_COLOURS[echo.colour]} potion: {became}"


_SUMMARISER = (
    "You keep notes for a player of a game with stones and potions. Later trials are played with your notes, so they "
    "have to hold what helps to reach a high score. Notes are short, and say what was seen rather than what is guessed."
)
_STYLES = {
    "structured": (
        "Write the summary anew in two sections, with these headings:\nPOTIONS: for every colour what it does to which "
        "stones, as far as it was seen.\nBEST STONE: the highest reward seen and the colour, size and shape of the "
        "stone that had it.\nCarry forward what the summary so far says, and revise it only where what happened "
        "directly contradicts it. Colours of potions that nothing is known of are called unknown."
    ),
    "free": "Write a summary of all that you know of the game so far, for the trials to come.",
}
