"""Rate limits: so many requests and tokens a minute, shared by all threads that ask."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Unpack

from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError
from percepts.foundation.model import Completion, LanguageModel, Message, Settings, Wrapper, estimate_tokens

MINUTE = 60.0


@dataclass
class _Entry:
    time: float
    tokens: int


class Limited(Wrapper, Configurable):
    """A language model that asks `model` no faster than allowed, in any window of 60 seconds.

    A question counts with its estimated tokens and `max_tokens` until the answer says what it took. One that alone is
    larger than the limit waits for an empty window.

    Args:
        model: what is asked.
        clock: seconds that never go back.
        sleep: how to wait, seconds.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """How much a minute; None is no limit.

        Attributes:
            requests_per_minute: questions.
            tokens_per_minute: read and written.
        """

        requests_per_minute: int | None = None
        tokens_per_minute: int | None = None

        def __post_init__(self) -> None:
            for name in ("requests_per_minute", "tokens_per_minute"):
                value = getattr(self, name)
                if value is not None and value < 1:
                    raise ConfigError(f"{name} = {value}", "None, or at least 1")

    def __init__(
        self,
        config: Config,
        model: LanguageModel,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.config, self.model, self.clock, self.sleep = config, model, clock, sleep
        self._window: deque[_Entry] = deque()
        self._mutex = threading.Lock()

    def complete(self, messages: Sequence[Message], **settings: Unpack[Settings]) -> Completion:
        """The answer of the model, after as long a wait as the limits ask for."""
        entry = self._enter(estimate_tokens(messages) + (settings.get("max_tokens") or 0))
        completion = self.model.complete(messages, **settings)
        with self._mutex:
            entry.tokens = completion.usage.prompt_tokens + completion.usage.completion_tokens
        return completion

    def _enter(self, tokens: int) -> _Entry:
        while True:
            with self._mutex:
                now = self.clock()
                while self._window and self._window[0].time <= now - MINUTE:
                    self._window.popleft()
                wait = self._wait(now, tokens)
                if wait <= 0:
                    entry = _Entry(now, tokens)
                    self._window.append(entry)
                    return entry
            self.sleep(wait)

    def _wait(self, now: float, tokens: int) -> float:
        """Seconds until enough of the window has passed; 0 where the question fits now."""
        requests = self.config.requests_per_minute or float("inf")
        allowed = self.config.tokens_per_minute or float("inf")
        count, total = len(self._window), sum(entry.tokens for entry in self._window)
        for entry in self._window:
            if count < requests and total + tokens <= allowed:
                break
            count, total = count - 1, total - entry.tokens
            wait = entry.time + MINUTE - now
        else:
            # It fits at once into an empty window, or when the last entry has gone.
            return 0.0 if not self._window else max(wait, 1e-3)
        return 0.0 if count == len(self._window) else max(wait, 1e-3)
