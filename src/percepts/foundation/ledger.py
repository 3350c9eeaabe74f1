"""What language models cost: tokens and money, kept on disk, with a cap that no question may break."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

from percepts.core.config import Config, Configurable
from percepts.core.errors import ConfigError, PerceptsError, nearest
from percepts.core.runs import now
from percepts.foundation.errors import BudgetError
from percepts.foundation.journal import Journal
from percepts.foundation.model import (
    WORKERS,
    Completion,
    LanguageModel,
    Message,
    Settings,
    WrapperOfMany,
    answers_many,
    estimate_tokens,
    in_threads,
)

MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Price(Config):
    """The price of a model, in any one currency, per million tokens.

    Attributes:
        prompt: of tokens read.
        completion: of tokens written.
    """

    prompt: float
    completion: float

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """The cost of so many tokens."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / MILLION


@dataclass(frozen=True)
class Spent:
    """What was spent so far.

    Attributes:
        answers: how many were made.
        prompt_tokens: that they read.
        completion_tokens: that they wrote.
        cost: of those with a price.
        unpriced: answers of models that the price table does not know.
        estimated: answers whose tokens were estimated, because the server did not count them.
    """

    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0
    estimated: int = 0


class Ledger(WrapperOfMany, Configurable):
    """A language model that keeps the books of `model`.

    Every answer is written to the file at `path`, also by earlier runs and other processes, and all of them count
    against the budget. Before a question is sent, the most that it is expected to cost (its characters as tokens, and
    `max_tokens` written) is set aside; without `max_tokens` the cap can be passed by one answer at a time.

    Args:
        model: what is asked.
        path: of the books, JSON lines; without one they end with the process.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(Config):
        """What counts.

        Attributes:
            prices: by name of the model.
            budget: the most that may be spent, in the currency of the prices.
        """

        prices: dict[str, Price] = field(default_factory=dict)
        budget: float | None = None

        def __post_init__(self) -> None:
            numbers = [number for price in self.prices.values() for number in (price.prompt, price.completion)]
            for number in [*numbers, *([] if self.budget is None else [self.budget])]:
                if not (math.isfinite(number) and number >= 0):
                    raise ConfigError(f"a price or budget of {number}", "a finite number of 0 or more")

    def __init__(self, config: Config, model: LanguageModel, path: Path | str | None = None) -> None:
        self.config, self.model = config, model
        self.journal = None if path is None else Journal(path)
        self._spent = Spent()
        self._set_aside = 0.0
        self._unwritten: list[dict[str, Any]] = []
        self._mutex = threading.RLock()

    def spent(self) -> Spent:
        """What was spent so far, by all who write to these books."""
        with self._mutex:
            for _, entry in self.journal.new() if self.journal is not None else []:
                self._add(entry)
            total = self._spent
            # What the disk refused is spent all the same.
            for entry in self._unwritten:
                total = _sum(total, entry)
            return total

    def complete(self, messages: Sequence[Message], **settings: Unpack[Settings]) -> Completion:
        """The answer of the model, entered in the books.

        Raises:
            BudgetError: it could cost more than is left; nothing was sent.
            PerceptsError: the books cannot be written; said before a question is sent, never after it was paid for.
        """
        with self._reserved([messages], settings):
            completion = self.model.complete(messages, **settings)
            self._enter(completion)
            return completion

    def complete_all(
        self, conversations: Sequence[Sequence[Message]], seeds: Sequence[int | None], **settings: Unpack[Settings]
    ) -> list[Completion]:
        """As `complete` for each, as one batch where the model takes batches; the budget must be enough for all."""
        if not answers_many(self.model):
            return in_threads(self.complete, conversations, seeds, WORKERS, settings)
        with self._reserved(conversations, settings):
            made = self.model.complete_all(conversations, seeds, **settings)
            for completion in made:
                self._enter(completion)
            return made

    @contextmanager
    def _reserved(self, conversations: Sequence[Sequence[Message]], settings: Settings) -> Iterator[None]:
        """Set aside what the questions may cost, as long as they are open."""
        tokens = sum(map(estimate_tokens, conversations))
        aside = self._reserve(tokens, len(conversations) * (settings.get("max_tokens") or 0))
        try:
            yield
        finally:
            with self._mutex:
                self._set_aside -= aside

    def _reserve(self, read: int, written: int) -> float:
        with self._mutex:
            self._write_pending()
            if self.config.budget is None:
                return 0.0
            price = self._price()
            cost, left = price.of(read, written), self.config.budget - self.spent().cost
            if cost + self._set_aside > left or left <= 0:
                raise BudgetError(
                    f"a question of about {cost:.4g} with {max(left - self._set_aside, 0):.4g} left of the budget of "
                    f"{self.config.budget:g}",
                    fix="a larger budget (percepts explore: --resume RUN --spend COST); what is answered is kept",
                )
            self._set_aside += cost
            return cost

    def _price(self) -> Price:
        if self.name not in self.config.prices:
            close = nearest(self.name, self.config.prices)
            raise BudgetError(
                f"a budget, and no price for '{self.name}'" + (f", did you mean '{close}'?" if close else ""),
                "what a million tokens of it cost",
                f"prices={{'{self.name}': Price(prompt=…, completion=…)}}",
            )
        return self.config.prices[self.name]

    def _enter(self, completion: Completion) -> None:
        price = self.config.prices.get(completion.model)
        usage = completion.usage
        entry = {
            "time": now(),
            "model": completion.model,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "counted": usage.counted,
            "cost": None if price is None else price.of(usage.prompt_tokens, usage.completion_tokens),
            "seconds": completion.seconds,
        }
        with self._mutex:
            if self.journal is None:
                self._add(entry)
                return
            self._unwritten.append(entry)
            try:
                self._write_pending()
            except PerceptsError:
                # The answer is paid for and must reach whoever asked; the next question finds the books full.
                return

    def _write_pending(self) -> None:
        while self._unwritten and self.journal is not None:
            self.journal.append(self._unwritten[0])
            self._unwritten.pop(0)

    def _add(self, entry: Mapping[str, Any]) -> None:
        self._spent = _sum(self._spent, entry)


def _sum(spent: Spent, entry: Mapping[str, Any]) -> Spent:
    cost = entry.get("cost")
    return Spent(
        spent.answers + 1,
        spent.prompt_tokens + int(entry.get("prompt_tokens") or 0),
        spent.completion_tokens + int(entry.get("completion_tokens") or 0),
        spent.cost + float(cost or 0.0),
        spent.unpriced + (cost is None),
        spent.estimated + (entry.get("counted") is False),
    )
