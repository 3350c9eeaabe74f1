"""Books, retries and limits, alone and put together over a server that fails."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from failing_server import answers, closes, failing_server, hangs, says

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError, PerceptsError
from percepts.core.optional import available
from percepts.foundation import journal as journal_module
from percepts.foundation.errors import BudgetError, ModelError, TransientError
from percepts.foundation.ledger import Ledger, Price
from percepts.foundation.limits import Limited
from percepts.foundation.model import Completion, LanguageModel, Message, Usage, complete_all
from percepts.foundation.openai_server import OpenAIServer
from percepts.foundation.retries import Retrying
from percepts.foundation.scripted import Scripted
from percepts.foundation.service import Service, dependable

HELLO = [Message("user", "x" * 400)]  # About 100 tokens.
PRICES = {"small": Price(prompt=1.0, completion=10.0)}


class Metered:
    """Answers with given numbers of tokens."""

    name = "small"
    identity = {"model": "small"}  # noqa: RUF012

    def __init__(self, usage: Usage) -> None:
        self.usage, self.asked = usage, 0

    def complete(self, messages: Sequence[Message], **settings: Any) -> Completion:
        self.asked += 1
        return Completion("ok", self.name, self.usage)


class Failing(Scripted):
    """Fails with given errors first."""

    def __init__(self, *errors: ModelError) -> None:
        super().__init__(lambda messages: "ok", "failing")
        self.errors, self.asked = list(errors), 0

    def complete(self, messages: Sequence[Message], **settings: Any) -> Completion:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return super().complete(messages, **settings)


class Clock:
    """A time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def ledger(model: LanguageModel, path: Path | None = None, **settings: Any) -> Ledger:
    return Ledger(Ledger.Config(**settings), model, path)


def test_the_books_hold_over_processes(tmp_path: Path) -> None:
    model = Metered(Usage(1000, 200))
    for _ in range(3):
        books = ledger(model, tmp_path / "ledger.jsonl", prices=PRICES)
        books.complete(HELLO)
    spent = books.spent()
    assert (spent.answers, spent.prompt_tokens, spent.completion_tokens, spent.unpriced) == (3, 3000, 600, 0)
    assert spent.cost == pytest.approx(3 * (1000 * 1.0 + 200 * 10.0) / 1e6)
    assert isinstance(books, LanguageModel)


def test_what_has_no_price_or_no_count_is_told() -> None:
    books = ledger(Metered(Usage(5, 5, counted=False)))
    books.complete(HELLO)
    assert (books.spent().unpriced, books.spent().estimated, books.spent().cost) == (1, 1, 0.0)


def test_the_budget_stops_before_a_question_that_could_break_it(tmp_path: Path) -> None:
    # A question is set aside with 100 + 90 · 10 = 1000 millionths and costs 100 + 50 · 10 = 600.
    model = Metered(Usage(100, 50))
    books = ledger(model, tmp_path / "ledger.jsonl", prices=PRICES, budget=2500e-6)
    for _ in range(3):
        books.complete(HELLO, max_tokens=90)  # With 2500, 1900 and 1300 left.
    with pytest.raises(BudgetError, match=r"about 0.001 with 0.0007 left of the budget of 0.0025.*is kept"):
        books.complete(HELLO, max_tokens=90)
    assert model.asked == 3
    books.complete(HELLO, max_tokens=50)
    more = ledger(model, tmp_path / "ledger.jsonl", prices=PRICES, budget=1.0)
    more.complete(HELLO, max_tokens=90)
    assert more.spent().answers == 5


def test_the_budget_holds_while_many_ask_at_once() -> None:
    class Slow(Metered):
        def complete(self, messages: Sequence[Message], **settings: Any) -> Completion:
            gate.wait(10)
            return super().complete(messages, **settings)

    gate = threading.Event()
    model = Slow(Usage(100, 90))
    books = ledger(model, prices=PRICES, budget=3500e-6)

    def ask(_: int) -> bool:
        try:
            books.complete(HELLO, max_tokens=90)
        except BudgetError:
            gate.set()  # Refused while the others were still open.
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(ask, range(4))) == [False, True, True, True]
    assert books.spent().cost == pytest.approx(3000e-6)


def test_a_failed_question_frees_what_was_set_aside() -> None:
    books = ledger(Failing(ModelError("no")), prices={"failing": PRICES["small"]}, budget=1100e-6)
    with pytest.raises(ModelError, match="no"):
        books.complete(HELLO, max_tokens=90)
    assert books.complete(HELLO, max_tokens=90).text == "ok"


def test_a_budget_needs_prices_that_make_sense() -> None:
    with pytest.raises(BudgetError, match="no price for 'small', did you mean 'smal'"):
        ledger(Metered(Usage(1, 1)), prices={"smal": Price(prompt=1, completion=1)}, budget=1.0).complete(HELLO)
    with pytest.raises(BudgetError, match="left of the budget of 0"):
        ledger(Metered(Usage(1, 1)), prices=PRICES, budget=0.0).complete([Message("user", "")])
    for wrong in ({"budget": -1.0}, {"budget": float("nan")}, {"prices": {"x": Price(prompt=-1, completion=0)}}):
        with pytest.raises(ConfigError, match="price or budget"):
            Ledger.Config(**wrong)  # type: ignore[arg-type]


def test_books_that_cannot_be_written_never_cost_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Metered(Usage(100, 50))
    books = ledger(model, tmp_path / "ledger.jsonl", prices=PRICES)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal_module.os, "fsync", full)
    assert books.complete(HELLO).text == "ok"
    assert books.spent().answers == 1
    with pytest.raises(PerceptsError, match="No space left"):
        books.complete(HELLO)
    assert model.asked == 1
    monkeypatch.undo()
    books.complete(HELLO)
    assert ledger(model, tmp_path / "ledger.jsonl").spent().answers == 2


def retrying(model: LanguageModel, clock: Clock, **settings: Any) -> Retrying:
    return Retrying(Retrying.Config(**settings), model, np.random.default_rng(0), clock.sleep)


def test_waits_double_with_jitter_up_to_the_longest() -> None:
    clock = Clock()
    model = Failing(*[TransientError("busy") for _ in range(7)])
    assert retrying(model, clock, tries=8, longest_wait=10.0).complete(HELLO).text == "ok"
    assert len(clock.slept) == 7
    for wait, doubled in zip(clock.slept, [1, 2, 4, 8, 10, 10, 10]):
        assert doubled / 2 <= wait <= doubled
    assert len({round(wait / doubled, 6) for wait, doubled in zip(clock.slept, [1, 2, 4, 8, 10, 10, 10])}) == 7
    again = Clock()
    retrying(Failing(*[TransientError("busy") for _ in range(7)]), again, tries=8, longest_wait=10.0).complete(HELLO)
    assert again.slept == clock.slept


def test_the_servers_pause_is_kept_or_given_up_on() -> None:
    clock = Clock()
    retrying(Failing(TransientError("full", retry_after=42.0)), clock).complete(HELLO)
    assert clock.slept == [42.0]
    model = Failing(TransientError("full", retry_after=3600.0))
    with pytest.raises(ModelError, match=r"full; the server asks for a pause of 3600 s.*at most 300 s") as caught:
        retrying(model, clock).complete(HELLO)
    assert not isinstance(caught.value, TransientError)
    assert (model.asked, clock.slept) == (1, [42.0])


def test_the_last_failure_is_told_and_final_ones_at_once() -> None:
    clock = Clock()
    model = Failing(*[TransientError(f"busy {number}", fix="wait") for number in range(9)])
    with pytest.raises(ModelError, match=r"busy 2 \(asked 3 times\).*what is answered already is kept") as caught:
        retrying(model, clock, tries=3).complete(HELLO)
    assert not isinstance(caught.value, TransientError)
    assert (model.asked, len(clock.slept)) == (3, 2)
    refused = Failing(ModelError("wrong key"))
    with pytest.raises(ModelError, match="wrong key"):
        retrying(refused, clock).complete(HELLO)
    assert (refused.asked, len(clock.slept)) == (1, 2)
    for wrong in ({"tries": 0}, {"first_wait": -1.0}, {"longest_wait": float("inf")}):
        with pytest.raises(ConfigError):
            Retrying.Config(**wrong)  # type: ignore[arg-type]


def limited(model: LanguageModel, clock: Clock, **settings: Any) -> Limited:
    return Limited(Limited.Config(**settings), model, lambda: clock.now, clock.sleep)


def test_no_minute_has_more_requests_than_allowed() -> None:
    clock = Clock()
    times = []
    model = limited(Scripted(lambda messages: times.append(clock.now) or "ok"), clock, requests_per_minute=3)
    for number in range(10):
        clock.now += 1.0 if number else 0.0
        model.complete(HELLO)
    for time in times:
        assert sum(time <= other < time + 60 for other in times) <= 3
    assert times[:4] == [0.0, 1.0, 2.0, 60.0]  # And no slower than that.
    assert times[9] == 180.0


def test_no_minute_has_more_tokens_than_allowed() -> None:
    clock = Clock()
    model = limited(Metered(Usage(100, 50)), clock, tokens_per_minute=400)
    starts = []
    for _ in range(4):
        model.complete(HELLO, max_tokens=100)  # 200 expected, 150 taken: 150 + 200 fit, 300 + 200 do not.
        starts.append(clock.now)
    assert starts == [0.0, 0.0, 60.0, 60.0]
    # One that is larger than the limit waits until nothing else is in the window.
    model.complete(HELLO, max_tokens=1000)
    assert clock.now == 120.0


def test_without_limits_nobody_waits_and_limits_of_nothing_are_refused() -> None:
    clock = Clock()
    model = limited(Metered(Usage(1, 1)), clock)
    for _ in range(50):
        model.complete(HELLO)
    assert clock.slept == []
    with pytest.raises(ConfigError, match="requests_per_minute = 0"):
        Limited.Config(requests_per_minute=0)


@pytest.mark.skipif(not available("openai"), reason="the package openai is not installed (extra llm)")
def test_failures_in_the_middle_of_an_episode_lose_nothing(tmp_path: Path) -> None:
    """429, 500, nonsense, silence and lost connections between turns; then the server dies, and the run is taken up."""
    service = Service(retries=Retrying.Config(tries=3, first_wait=0.01), ledger=Ledger.Config(prices=PRICES))

    def play(url: str, turns: int, replay: bool = False) -> list[str]:
        config = OpenAIServer.Config(model="small", base_url=url, timeout=0.4)
        model = dependable(OpenAIServer(config, "key"), tmp_path, service, replay=replay).model
        history, texts = [Message("system", "Play.")], []
        for turn in range(turns):
            history.append(Message("user", f"turn {turn}"))
            texts.append(model.complete(history, max_tokens=5).text)
            history.append(Message("assistant", texts[-1]))
        return texts

    with failing_server() as server:
        busy = answers({"error": {"message": "slow down"}}, 429, Retry_After="0.02")
        server.will(
            says("one"), busy, answers({}, 500), says("two"), answers(b"<html>"), says("three"), hangs(0.8), closes,
            says("four"), answers({}, 503),
        )  # fmt: skip
        with pytest.raises(ModelError, match=r"HTTP 503.*asked 3 times"):
            play(server.url, 6)
        assert len(server.requests) == 12
    with failing_server() as server:
        server.will(says("five"), says("six"))
        assert play(server.url, 6) == ["one", "two", "three", "four", "five", "six"]
        assert len(server.requests) == 2
    assert play("http://127.0.0.1:9/v1", 6, replay=True) == ["one", "two", "three", "four", "five", "six"]
    books = dependable(Scripted([]), tmp_path, service).ledger.spent()
    assert (books.answers, books.prompt_tokens, books.completion_tokens) == (6, 42, 18)
    assert "key" not in (tmp_path / "ledger.jsonl").read_text()


def test_a_model_that_takes_batches_gets_them_through_the_books_and_the_recording(tmp_path: Path) -> None:
    class Batching(Metered):
        batches = True

        def complete_all(self, conversations: Any, seeds: Any, **settings: Any) -> list[Completion]:
            self.asked += 1
            return [Completion(f"{messages[0].text}{seed}", "small", self.usage) for messages, seed in
                    zip(conversations, seeds)]  # fmt: skip

    model = Batching(Usage(100, 50))
    service = Service(ledger=Ledger.Config(prices=PRICES, budget=2500e-6))
    made = dependable(model, tmp_path, service)
    asked = [[Message("user", letter)] for letter in "ab"]
    assert [one.text for one in complete_all(made.model, asked, seeds=[1, 2], max_tokens=90)] == ["a1", "b2"]
    assert model.asked == 1
    assert (made.ledger.spent().answers, len(made.model)) == (2, 2)
    with pytest.raises(BudgetError):
        complete_all(made.model, [*asked, HELLO], seeds=[3, 4, 5], max_tokens=90)
    assert [one.text for one in complete_all(made.model, asked, seeds=[1, 2], max_tokens=90)] == ["a1", "b2"]
    assert model.asked == 1


def test_a_service_is_a_configuration() -> None:
    service = Service(
        limits=Limited.Config(requests_per_minute=60), ledger=Ledger.Config(prices=PRICES, budget=2.0), seed=3
    )
    assert from_json(to_json(service)) == service
