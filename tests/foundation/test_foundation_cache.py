"""The recording: nothing is paid for twice, nothing that was paid for is lost, and a replay asks nobody."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from percepts.core.errors import PerceptsError
from percepts.foundation import journal as journal_module
from percepts.foundation.cache import Cached
from percepts.foundation.errors import ModelError, ReplayError
from percepts.foundation.model import Completion, LanguageModel, Message, Usage, complete_all
from percepts.foundation.scripted import Scripted


class Counting(Scripted):
    """Answers with the number of the answer, and counts what it was asked."""

    def __init__(self, fails: Sequence[int] = (), name: str = "counting") -> None:
        super().__init__(self._count, name)
        self.asked = 0
        self.fails = fails
        self.one_at_a_time = threading.Lock()

    def _count(self, messages: Sequence[Message]) -> str:
        with self.one_at_a_time:
            self.asked += 1
            if self.asked in self.fails:
                raise ModelError("the server is gone")
            return f"answer {self.asked}"


class Batched(Counting):
    """Answers many at once."""

    batches = True
    sizes: list[int]

    def complete_all(self, conversations: Any, seeds: Any, **settings: Any) -> list[Completion]:
        self.sizes = [*getattr(self, "sizes", []), len(conversations)]
        return [self.complete(messages, **{**settings, "seed": seed}) for messages, seed in zip(conversations, seeds)]


def asking(text: str) -> list[Message]:
    return [Message("system", "Be brief."), Message("user", text)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replies.jsonl"


def test_a_question_is_paid_for_once_also_by_later_processes(path: Path) -> None:
    model = Counting()
    cached = Cached(model, path)
    assert isinstance(cached, LanguageModel)
    first = cached.complete(asking("a"), seed=1)
    again = cached.complete(asking("a"), seed=1)
    assert (first.replayed, again.replayed) == (False, True)
    assert first == again == Cached(model, path).complete(asking("a"), seed=1)
    assert cached.complete(asking("a"), seed=2) != first
    assert (model.asked, cached.hits, cached.misses, len(Cached(model, path))) == (2, 1, 2, 2)


def test_an_answer_is_on_the_disk_before_it_is_handed_on(path: Path) -> None:
    """What a crash right after the answer would leave behind."""
    seen: list[int] = []

    class Watching(Cached):
        def _write(self) -> None:
            super()._write()
            seen.append(len(Cached(Counting(), path)))

    Watching(Counting(), path).complete(asking("a"))
    assert seen == [0, 1]


def test_a_failure_in_the_middle_loses_nothing(path: Path) -> None:
    model = Counting(fails=[3])
    run = [asking(letter) for letter in "abcd"]
    for messages in run[:2]:
        Cached(model, path).complete(messages)
    with pytest.raises(ModelError, match="gone"):
        Cached(model, path).complete(run[2])
    texts = [Cached(model, path).complete(messages).text for messages in run]
    assert texts == ["answer 1", "answer 2", "answer 4", "answer 5"]
    assert model.asked == 5


def test_a_replay_never_asks_and_says_what_is_missing(path: Path) -> None:
    recorded = Cached(Counting(), path).complete(asking("a"), temperature=0.7)
    silent = Counting()
    replay = Cached(silent, path, replay=True)
    assert replay.complete(asking("a"), temperature=0.7) == recorded
    with pytest.raises(ReplayError, match=r"another temperature and seed\).*without replay"):
        replay.complete(asking("a"), temperature=0.0, seed=4)
    with pytest.raises(ReplayError, match=r"no answer of 'counting' to these 2 messages.*holds 1;"):
        replay.complete(asking("b"), temperature=0.7)
    with pytest.raises(ReplayError, match="another model"):
        Cached(Counting(name="other"), path, replay=True).complete(asking("a"), temperature=0.7)
    assert silent.asked == 0
    with pytest.raises(ReplayError, match="holds 0"):
        Cached(silent, path.with_name("none.jsonl"), replay=True).complete(asking("a"))
    assert not path.with_name("none.jsonl").exists()


@pytest.mark.parametrize("harm", ["torn", "flipped", "garbage", "no answer"])
def test_a_damaged_line_is_told_and_asked_for_again(path: Path, harm: str) -> None:
    model = Counting()
    for letter in "abc":
        Cached(model, path).complete(asking(letter))
    lines = path.read_bytes().splitlines(keepends=True)
    if harm == "torn":
        lines[2] = lines[2][:40]
    elif harm == "flipped":
        lines[2] = lines[2].replace(b"answer 3", b"answer 4")
    else:
        lines[2] = b"\x00\xff nonsense\n"
    path.write_bytes(b"".join(lines))
    if harm == "no answer":
        journal_module.Journal(path).append({"key": "k", "answer": {"text": 3}})
    cached = Cached(model, path)
    assert [damage.line for damage in cached.damaged] == ([3, 4] if harm == "no answer" else [3])
    with pytest.raises(ReplayError, match="line 3"):
        Cached(model, path, replay=True).complete(asking("c"))
    texts = [cached.complete(asking(letter)).text for letter in "abc"]
    assert texts == ["answer 1", "answer 2", "answer 4"]
    assert [Cached(model, path, replay=True).complete(asking(letter)).text for letter in "abc"] == texts


def test_a_full_disk_costs_no_answer_of_a_batch(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Batched()
    cached = Cached(model, path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(journal_module.os, "fsync", full)
        with pytest.raises(PerceptsError, match="No space left"):
            complete_all(cached, [asking(letter) for letter in "abc"])
        assert not path.read_bytes()
    again = complete_all(cached, [asking(letter) for letter in "abc"])
    assert ([one.text for one in again], model.asked) == (["answer 1", "answer 2", "answer 3"], 3)
    # All of them are on the disk by then.
    assert len(Cached(Counting(), path, replay=True)) == 3


def test_a_full_disk_is_told_and_the_answer_kept_in_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Counting()
    cached = Cached(model, path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal_module.os, "fsync", full)
    with pytest.raises(PerceptsError, match="No space left"):
        cached.complete(asking("a"))
    assert cached.complete(asking("a")).text == "answer 1"
    assert model.asked == 1


def test_threads_with_one_question_pay_once(path: Path) -> None:
    model = Counting()
    cached = Cached(model, path)
    with ThreadPoolExecutor(8) as pool:
        texts = {one.text for one in pool.map(lambda _: cached.complete(asking("a")), range(40))}
    assert texts == {"answer 1"}
    assert model.asked == 1


def test_two_recorders_of_one_file_share_answers(path: Path) -> None:
    first, second = Counting(), Counting()
    one, two = Cached(first, path), Cached(second, path)
    assert len(two) == 0
    one.complete(asking("a"))
    assert two.complete(asking("a")).replayed
    assert second.asked == 0


def test_many_questions_reach_a_batching_model_without_those_that_are_known(path: Path) -> None:
    model = Batched()
    cached = Cached(model, path)
    cached.complete(asking("b"))
    every = complete_all(cached, [asking(letter) for letter in "abcab"], temperature=0.0)
    assert [one.text for one in every] == ["answer 2", "answer 3", "answer 4", "answer 2", "answer 3"]
    again = complete_all(cached, [asking(letter) for letter in "abc"], temperature=0.0)
    assert [one.text for one in again] == ["answer 2", "answer 3", "answer 4"]
    assert all(one.replayed for one in again)
    assert model.sizes == [3]
    assert len(Cached(model, path)) == 4


def test_many_questions_with_one_failure_keep_the_other_answers(path: Path) -> None:
    model = Counting(fails=[2])
    with pytest.raises(ModelError, match="gone"):
        complete_all(Cached(model, path), [asking(letter) for letter in "abcd"], workers=1)
    assert len(Cached(model, path)) == 3


def test_a_whole_run_is_replayed_to_the_same_completions(path: Path) -> None:
    def game(model: LanguageModel) -> list[Completion]:
        history = [Message("system", "Play.")]
        made = []
        for turn in range(6):
            history.append(Message("user", f"turn {turn}"))
            made.append(model.complete(history, seed=turn))
            history.append(Message("assistant", made[-1].text))
        return made

    played = game(Cached(Counting(), path))
    before = path.read_bytes()
    assert game(Cached(Counting(fails=range(99)), path, replay=True)) == played
    assert path.read_bytes() == before
    assert played[0].usage == Usage(4, 2, counted=False)
