"""Transcripts that are gone on with: a model that first repeats what they hold, and a writer of what is new."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from percepts.agents.explorers.dialogue import Exchange
from percepts.core.errors import RunError
from percepts.foundation.model import Completion, LanguageModel, Message, Settings, WrapperOfMany, complete_all
from percepts.foundation.transcripts import TranscriptWriter, Turn


class TurnLog:
    """Writes a transcript; turns that it holds already are not written again.

    Args:
        writer: of the transcript.
        written: is called for every turn that is new.
    """

    def __init__(self, writer: TranscriptWriter, written: Callable[[], None]) -> None:
        self.writer, self.written = writer, written
        self.number = 0

    @property
    def recorded(self) -> tuple[Turn, ...]:
        """The turns that the transcript held when it was opened."""
        return self.writer.transcript.turns

    def add(self, exchange: Exchange, facts: Mapping[str, Any] | None = None) -> None:
        """Write an exchange, with more facts."""
        if self.number >= len(self.recorded):
            self.writer.turn(exchange.messages, exchange.completion, {**exchange.facts, **(facts or {})})
            self.written()
        self.number += 1

    def end(self, row: Mapping[str, Any]) -> None:
        """Write what became of the episode."""
        self.writer.end({"result": dict(row)})


class Replayed(WrapperOfMany):
    """A language model that first repeats what transcripts hold, episode by episode, and then asks `model`.

    Questions are told apart by their seeds, of which every episode has its own. In this way a turn that is in a
    transcript is not paid for again even if the recording of answers is lost.

    Args:
        model: what is asked.
        answers: turns by seed, in their order.
    """

    def __init__(self, model: LanguageModel, answers: Mapping[int, Sequence[Turn]]) -> None:
        self.model = model
        self._left = {seed: deque(turns) for seed, turns in answers.items()}
        self._mutex = threading.Lock()

    def complete(self, messages: Sequence[Message], **settings: Unpack[Settings]) -> Completion:
        """The answer of the transcript, or that of the model.

        Raises:
            RunError: the transcript holds another question.
        """
        known = self._known(messages, settings.get("seed"))
        return self.model.complete(messages, **settings) if known is None else known

    def complete_all(
        self, conversations: Sequence[Sequence[Message]], seeds: Sequence[int | None], **settings: Unpack[Settings]
    ) -> list[Completion]:
        """As `complete` for each; the model gets what is new as one batch."""
        known = [self._known(messages, seed) for messages, seed in zip(conversations, seeds)]
        new = [place for place, completion in enumerate(known) if completion is None]
        asked, theirs = [conversations[place] for place in new], [seeds[place] for place in new]
        made = iter(complete_all(self.model, asked, seeds=theirs, **settings) if new else [])
        return [next(made) if completion is None else completion for completion in known]

    def _known(self, messages: Sequence[Message], seed: int | None) -> Completion | None:
        with self._mutex:
            left = self._left.get(seed) if seed is not None else None
            if not left:
                return None
            turn = left.popleft()
        told = [message for message in messages if message.role != "system"]
        same = told[len(told) - len(turn.messages) :] == [one for one in turn.messages if one.role != "system"]
        if not same or turn.completion is None:
            raise RunError(
                f"turn {turn.number} of a transcript asks something else than this run would",
                "a run that goes on as it began, by the same version",
                "a new run in another folder",
            )
        return turn.completion
