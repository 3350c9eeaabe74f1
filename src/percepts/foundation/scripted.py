"""Language models that need no language model: given replies, or a function. For tests, baselines and rehearsals."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from percepts.foundation.errors import ModelError
from percepts.foundation.model import (
    Completion,
    Message,
    Settings,
    Usage,
    cut,
    estimate_text,
    estimate_tokens,
    resolved,
)


class Scripted:
    """Answers what it was told to.

    Args:
        replies: texts, given in order one a question, or a function from messages to a text.
        name: what it is called.

    `stop` and `max_tokens` hold for its answers as for any model's, with estimated tokens.
    """

    def __init__(self, replies: Sequence[str] | Callable[[Sequence[Message]], str], name: str = "scripted") -> None:
        self._replies, self._name = replies, name
        self._given = 0
        self._mutex = threading.Lock()

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    @property
    def identity(self) -> Mapping[str, Any]:
        """Its name: two scripts that share a recording need different ones."""
        return {"model": self._name}

    def complete(self, messages: Sequence[Message], **settings: Unpack[Settings]) -> Completion:
        """The next reply, or that of the function.

        Raises:
            ModelError: no reply is left.
        """
        asked = resolved(messages, settings)
        text, stopped = cut(self._reply(messages), asked["stop"])
        finish = "stop"
        if not stopped and asked["max_tokens"] is not None and estimate_text(text) > asked["max_tokens"]:
            text, finish = text[: asked["max_tokens"] * 4], "length"
        return Completion(
            text, self._name, Usage(estimate_tokens(messages), estimate_text(text), counted=False), finish
        )

    def _reply(self, messages: Sequence[Message]) -> str:
        if callable(self._replies):
            return self._replies(messages)
        with self._mutex:
            if self._given >= len(self._replies):
                raise ModelError(f"'{self._name}' has given all of its {len(self._replies)} replies", "a longer script")
            self._given += 1
            return self._replies[self._given - 1]
