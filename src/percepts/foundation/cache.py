"""A recording of answers: what was answered once is never paid for again, and a run can be repeated without a model.

    model = Cached(server, "replies.jsonl")                 # ask the server only what the file does not know
    model = Cached(server, "replies.jsonl", replay=True)    # never ask the server

An answer is on the disk before it is handed on. The key is a hash of the model's identity, the messages and the
settings, seed included; to ask the same question twice and pay twice, change the seed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from percepts.core.errors import DataError, PerceptsError
from percepts.foundation.errors import ReplayError
from percepts.foundation.journal import Damage, Journal
from percepts.foundation.model import (
    WORKERS,
    Completion,
    LanguageModel,
    Message,
    Settings,
    WrapperOfMany,
    answers_many,
    in_threads,
    resolved,
)
from percepts.foundation.records import completion_from_json, completion_to_json, messages_key, request_key


class Cached(WrapperOfMany):
    """A language model that remembers the answers of `model` in the file at `path`.

    Args:
        model: what is asked; in a replay only for its name and identity.
        path: of the recording, JSON lines; made where it is missing.
        replay: never ask, only repeat.

    Attributes:
        hits: answers that were repeated.
        misses: answers that were asked for.
    """

    def __init__(self, model: LanguageModel, path: Path | str, *, replay: bool = False) -> None:
        self.model, self.replay = model, replay
        self.journal = Journal(path)
        self.hits = self.misses = 0
        self._answers: dict[str, Completion] = {}
        self._recorded: dict[str, dict[str, Any]] = {}
        self._unwritten: list[dict[str, Any]] = []
        self._mutex = threading.Lock()
        self._asked: dict[str, threading.Lock] = {}

    @property
    def damaged(self) -> tuple[Damage, ...]:
        """The lines of the recording that could not be read; their answers will be asked for again."""
        self._refresh()
        return tuple(self.journal.damaged)

    def __len__(self) -> int:
        self._refresh()
        return len(self._answers)

    def complete(self, messages: Sequence[Message], **settings: Unpack[Settings]) -> Completion:
        """The recorded answer, or that of the model, which is then recorded.

        Raises:
            ReplayError: in a replay, the question was not recorded.
            PerceptsError: the recording cannot be read or written.
        """
        key = request_key(self.model, messages, **settings)
        with self._one_at_a_time(key):
            known = self._known(key)
            if known is not None:
                return known
            if self.replay:
                raise self._not_recorded(key, messages, settings)
            completion = self.model.complete(messages, **settings)
            self._note(key, completion, messages, settings)
            self._write()
            return completion

    def complete_all(
        self, conversations: Sequence[Sequence[Message]], seeds: Sequence[int | None], **settings: Unpack[Settings]
    ) -> list[Completion]:
        """As `complete` for each; the model gets the questions that are new as one batch."""
        if self.replay or not answers_many(self.model):
            return in_threads(self.complete, conversations, seeds, WORKERS, settings)
        every: list[Settings] = [{**settings, "seed": seed} for seed in seeds]
        keys = [request_key(self.model, messages, **one) for messages, one in zip(conversations, every)]
        new = [place for place, key in enumerate(keys) if keys.index(key) == place and self._known(key) is None]
        asked = [conversations[place] for place in new]
        made = self.model.complete_all(asked, [seeds[place] for place in new], **settings) if new else []
        fresh = dict(zip(new, made))
        for place, completion in fresh.items():
            self._note(keys[place], completion, conversations[place], every[place])
        self._write()
        # The answers that were just made are not replayed ones.
        return [fresh.get(place) or replace(self._answers[key], replayed=True) for place, key in enumerate(keys)]

    def _known(self, key: str) -> Completion | None:
        # What the disk refuses is known all the same.
        with suppress(PerceptsError):
            self._write()
        if key not in self._answers:
            self._refresh()
        found = self._answers.get(key)
        if found is None:
            return None
        with self._mutex:
            self.hits += 1
        return replace(found, replayed=True)

    def _note(self, key: str, completion: Completion, messages: Sequence[Message], settings: Settings) -> None:
        line = {
            "key": key,
            "messages": messages_key(messages),
            "settings": resolved(messages, settings),
            "answer": completion_to_json(completion),
        }
        with self._mutex:
            self.misses += 1
            # Kept even if the disk refuses the line: this process need not pay for it again.
            self._remember(line, completion)
            self._unwritten.append(line)

    def _write(self) -> None:
        """What is not on the disk yet, such as what it refused before.

        Raises:
            PerceptsError: it refuses it again.
        """
        with self._mutex:
            while self._unwritten:
                self.journal.append(self._unwritten[0])
                self._unwritten.pop(0)

    def _refresh(self) -> None:
        """Read what was appended meanwhile, by this process or another one."""
        with self._mutex:
            for number, line in self.journal.new():
                try:
                    completion = completion_from_json(line.get("answer"))
                except DataError:
                    self.journal.spoiled(number, "holds no answer")
                    continue
                self._remember(line, completion)

    def _remember(self, line: dict[str, Any], completion: Completion) -> None:
        """The first answer to a question is the one that a run has seen; a later one never takes its place."""
        key = str(line.get("key"))
        if key not in self._answers:
            self._answers[key] = completion
            self._recorded[key] = {name: line.get(name) for name in ("messages", "settings")}

    @contextmanager
    def _one_at_a_time(self, key: str) -> Iterator[None]:
        """Two threads with one question: the second waits for the answer that the first pays for."""
        with self._mutex:
            lock = self._asked.setdefault(key, threading.Lock())
        with lock:
            yield

    def _not_recorded(self, key: str, messages: Sequence[Message], settings: Settings) -> ReplayError:
        wanted, same = resolved(messages, settings), messages_key(messages)
        others = [other["settings"] for other in self._recorded.values() if other["messages"] == same]
        near = ""
        if others:
            changed = [name for name, value in wanted.items() if (others[0] or {}).get(name) != value]
            near = f" (these messages are recorded with another {' and '.join(changed) or 'model'})"
        broken = f"; {self.journal.report()}" if self.journal.damaged else ""
        return ReplayError(
            f"no answer of '{self.name}' to these {len(messages)} messages in '{self.journal.path}', which holds "
            f"{len(self._answers)}{near}{broken}",
            "a recording of exactly these messages and settings",
            "the same command without replay, which asks the model and records the answer",
        )
