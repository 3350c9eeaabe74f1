"""What was said in an episode, turn by turn, on disk before the next turn is asked: JSON lines.

    with the first line the episode (its name, system text and facts), then one line a turn (the messages that were new,
    the answer, the environment's facts), and at last one line with the end's facts.

A transcript holds no times but how long answers took when they were made, so that a replayed run writes the same bytes.
A turn is written again where an episode is taken up after a loss: the later line counts, and ends all after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from percepts.core.errors import DataError
from percepts.foundation.journal import Damage, Journal
from percepts.foundation.model import Completion, Message
from percepts.foundation.records import completion_from_json, completion_to_json, message_from_json, message_to_json

FORMAT = 1


@dataclass(frozen=True)
class Turn:
    """One question and its answer.

    Attributes:
        number: from 0.
        messages: what was said since the turn before.
        completion: the answer; None where a turn needed none.
        facts: what the environment made of it: action, reward, whether the answer could be parsed.
    """

    number: int
    messages: tuple[Message, ...]
    completion: Completion | None
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Transcript:
    """An episode as far as it went.

    Attributes:
        name: of the episode.
        system: the instructions that the model got.
        facts: of the episode: environment, condition, seed, model, settings.
        turns: in order and without a gap.
        end: the facts of the end, such as the score; None for an episode that is not finished.
        damaged: lines that could not be read.
    """

    name: str
    system: str
    facts: Mapping[str, Any]
    turns: tuple[Turn, ...] = ()
    end: Mapping[str, Any] | None = None
    damaged: tuple[Damage, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the episode was played to its end and no turn is missing."""
        return self.end is not None


class TranscriptWriter:
    """Appends to the transcript at `path`; made by `begin_transcript`.

    Attributes:
        transcript: what the file held when it was opened; the episode goes on after its last turn.
    """

    def __init__(self, journal: Journal, transcript: Transcript) -> None:
        self.journal, self.transcript = journal, transcript
        self._next = len(transcript.turns)
        self._ended = transcript.complete

    def turn(
        self, messages: Sequence[Message], completion: Completion | None, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Write the next turn.

        Raises:
            DataError: the episode has ended.
            PerceptsError: the file cannot be written.
        """
        self._check_open()
        self.journal.append(
            {
                "kind": "turn",
                "turn": self._next,
                "messages": [message_to_json(message) for message in messages],
                "answer": None if completion is None else completion_to_json(completion),
                "facts": dict(facts or {}),
            }
        )
        self._next += 1

    def end(self, facts: Mapping[str, Any] | None = None) -> None:
        """Write that the episode has ended, and how.

        Raises:
            DataError: it had ended before.
            PerceptsError: the file cannot be written.
        """
        self._check_open()
        self.journal.append({"kind": "end", "turns": self._next, "facts": dict(facts or {})})
        self._ended = True

    def _check_open(self) -> None:
        if self._ended:
            raise DataError(f"the episode in '{self.journal.path}' has ended", "one that goes on", "another file")


def begin_transcript(path: Path | str, name: str, system: str, facts: Mapping[str, Any]) -> TranscriptWriter:
    """Begin the transcript of an episode, or go on with the one at `path` after its last whole turn.

    Raises:
        DataError: the file is that of another episode, or cannot be read.
        PerceptsError: it cannot be written.
    """
    journal = Journal(path)
    found = _read(journal)
    if found is None:
        journal.append({"kind": "episode", "format": FORMAT, "name": name, "system": system, "facts": dict(facts)})
        return TranscriptWriter(journal, Transcript(name, system, dict(facts), damaged=tuple(journal.damaged)))
    asked = {"name": name, "system": system, "facts": dict(facts)}
    other = [key for key, value in asked.items() if getattr(found, key) != _as_read(value)]
    if other:
        raise DataError(
            f"'{path}' is the transcript of an episode with another {' and '.join(other)}",
            "a new file, or the same episode",
            "another folder",
        )
    return TranscriptWriter(journal, found)


def read_transcript(path: Path | str) -> Transcript:
    """The transcript at `path`; damaged lines are left out and told.

    Raises:
        DataError: there is none, or its first line is lost.
    """
    if not Path(path).is_file():
        raise DataError(f"no transcript at '{path}'")
    found = begun_transcript(path)
    if found is None:
        raise DataError(f"'{path}' does not begin with an episode", "a transcript that percepts wrote")
    return found


def begun_transcript(path: Path | str) -> Transcript | None:
    """The transcript at `path`, or None where no episode was begun: no file, or one whose first line never reached the
    disk or is lost. `begin_transcript` begins there.

    Raises:
        DataError: the file cannot be read, or has another format.
    """
    return _read(Journal(path))


def find_transcripts(folder: Path | str) -> list[Path]:
    """The JSON lines files in `folder` and below that begin as transcripts do, by path."""
    return [path for path in sorted(Path(folder).rglob("*.jsonl")) if _begins(path)]


@dataclass
class _Reading:
    turns: dict[int, Turn] = field(default_factory=dict)
    end: tuple[int, Mapping[str, Any]] | None = None


def _read(journal: Journal) -> Transcript | None:
    """What the journal holds; None where no episode was begun."""
    entries = journal.new()
    head = next((entry for _, entry in entries if entry.get("kind") == "episode"), None)
    if head is None:
        return None
    if head.get("format") != FORMAT:
        raise DataError(f"'{journal.path}' has the format {head.get('format')}", str(FORMAT))
    reading = _Reading()
    for number, entry in entries:
        try:
            _take(reading, entry)
        except (DataError, KeyError, TypeError, ValueError):
            journal.spoiled(number, "is no whole turn")
    whole = next(number for number in range(len(reading.turns) + 1) if number not in reading.turns)
    turns = tuple(reading.turns[number] for number in range(whole))
    end = reading.end[1] if reading.end is not None and reading.end[0] == whole else None
    return Transcript(str(head["name"]), str(head["system"]), head["facts"], turns, end, tuple(journal.damaged))


def _take(reading: _Reading, entry: Mapping[str, Any]) -> None:
    if entry["kind"] == "turn":
        number, answer = int(entry["turn"]), entry["answer"]
        turn = Turn(
            number,
            tuple(message_from_json(message) for message in entry["messages"]),
            None if answer is None else completion_from_json(answer),
            entry["facts"],
        )
        reading.turns = {kept: value for kept, value in reading.turns.items() if kept < number} | {number: turn}
        reading.end = None
    elif entry["kind"] == "end":
        reading.end = int(entry["turns"]), entry["facts"]


def _begins(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(64).startswith(b'{"kind":"episode"')
    except OSError:
        return False


def _as_read(value: Any) -> Any:
    """A value as JSON gives it back: tuples become lists, numbers as keys become texts."""
    if isinstance(value, Mapping):
        return {str(key): _as_read(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_read(item) for item in value]
    return value
