"""Asking again: exponential waits with jitter, and as long as the server says where it says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np

from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError
from percepts.foundation.errors import ModelError, TransientError
from percepts.foundation.model import Completion, LanguageModel, Message, Settings, Wrapper

Waiting = Callable[[str, float], None]
"""Is told why a try failed, and the seconds until the next one."""


class Retrying(Wrapper, Configurable):
    """A language model that asks `model` again when it fails for a while.

    Args:
        model: what is asked.
        generator: of the jitter.
        sleep: how to wait, seconds.
        waiting: is told why the last try failed and for how many seconds it waits; from the thread that asks.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """How patient to be.

        Attributes:
            tries: how often to ask at most, the first time included.
            first_wait: seconds before the second try; doubled before each later one.
            longest_wait: seconds; no wait of ours is longer.
            longest_retry_after: seconds; a server that wants a longer pause is given up on.
        """

        tries: int = 6
        first_wait: float = 1.0
        longest_wait: float = 60.0
        longest_retry_after: float = 300.0

        def __post_init__(self) -> None:
            if self.tries < 1:
                raise ConfigError(f"tries = {self.tries}", "at least 1")
            for name in ("first_wait", "longest_wait", "longest_retry_after"):
                if not 0 <= getattr(self, name) < float("inf"):
                    raise ConfigError(f"{name} = {getattr(self, name)}", "a number of seconds of 0 or more")

    def __init__(
        self,
        config: Config,
        model: LanguageModel,
        generator: np.random.Generator,
        sleep: Callable[[float], None] = time.sleep,
        waiting: Waiting | None = None,
    ) -> None:
        self.config, self.model, self.generator, self.sleep, self.waiting = config, model, generator, sleep, waiting

    def complete(self, messages: Sequence[Message], **settings: Unpack[Settings]) -> Completion:
        """The first answer that comes.

        Raises:
            ModelError: none came; the last reason, and how often it was tried.
        """
        for number in range(1, self.config.tries + 1):
            try:
                return self.model.complete(messages, **settings)
            except TransientError as error:
                last = error
            if (last.retry_after or 0.0) > self.config.longest_retry_after:
                raise ModelError(
                    f"{last.got}; the server asks for a pause of {last.retry_after:.0f} s",
                    f"at most {self.config.longest_retry_after:.0f} s",
                    "going on later; what is answered already is kept",
                )
            if number < self.config.tries:
                seconds = self.wait(number, last.retry_after)
                if self.waiting is not None:
                    self.waiting(last.got, seconds)
                self.sleep(seconds)
        times = "once" if self.config.tries == 1 else f"{self.config.tries} times"
        fix = f"{last.fix}, then go on; what is answered already is kept" if last.fix else None
        raise ModelError(f"{last.got} (asked {times})", last.expected, fix)

    def wait(self, number: int, retry_after: float | None) -> float:
        """Seconds to wait after try `number`: from half to all of the doubled time, and not less than was asked for."""
        doubled = min(self.config.first_wait * 2.0 ** min(number - 1, 60), self.config.longest_wait)
        own = doubled * (0.5 + 0.5 * float(self.generator.random()))
        return max(own, retry_after or 0.0)
