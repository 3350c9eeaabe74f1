"""What was said in a folder of episodes: one self-contained page to search and to unfold, turn by turn."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from percepts.core.errors import DataError
from percepts.core.files import write_text
from percepts.core.progress import clock_time
from percepts.foundation.model import Completion, Message, Picture, clean
from percepts.foundation.transcripts import Transcript, Turn, find_transcripts, read_transcript
from percepts.report.page import render_sections
from percepts.report.sections.section import Section

MOST_EPISODES = 500
MOST_CHARACTERS = 20_000
"""Characters of one text that the page shows; the file has all of them."""
SUMMARY = 110
SHOWABLE = {"image/png", "image/jpeg", "image/gif", "image/webp"}


@dataclass(frozen=True)
class Said:
    """A message or an answer on the page.

    Attributes:
        role: who speaks.
        text: what is shown of it.
        left_out: characters that are not shown.
        pictures: sources of images.
        note: tokens, seconds and why an answer ended.
    """

    role: str
    text: str
    left_out: int = 0
    pictures: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class ShownTurn:
    """A turn on the page: its number, a line that tells it apart, what was said, and the environment's facts."""

    number: int
    line: str
    said: tuple[Said, ...]
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ShownEpisode:
    """An episode on the page."""

    name: str
    file: str
    complete: bool
    system: Said | None
    facts: tuple[tuple[str, str], ...]
    end: tuple[tuple[str, str], ...]
    turns: tuple[ShownTurn, ...]


def write_transcripts(folder: Path | str, out: Path | str | None = None, title: str | None = None) -> Path:
    """Write the page of all transcripts in `folder` and below; returns its path, by default `transcripts.html` there.

    A file that cannot be read, a damaged line and an episode that is not finished are told on the page.

    Raises:
        DataError: there are no transcripts.
        PerceptsError: the page cannot be written; an older one is untouched.
    """
    folder = Path(folder)
    path = folder / "transcripts.html" if out is None else Path(out)
    write_text(path, render_transcripts(folder, title))
    return path


def render_transcripts(folder: Path, title: str | None = None) -> str:
    """The page as HTML, by default with the folder's name as its title.

    Raises:
        DataError: there are no transcripts in `folder`.
    """
    files = find_transcripts(folder)
    if not files:
        raise DataError(f"no transcripts in '{folder}'", "JSON lines that percepts wrote", "the folder of a run")
    found: list[tuple[str, Transcript]] = []
    troubles: list[tuple[str, str]] = []
    for file in files[:MOST_EPISODES]:
        name = str(file.relative_to(folder))
        try:
            transcript = read_transcript(file)
        except DataError as error:
            troubles.append(("left out", str(error)))
            continue
        found.append((name, transcript))
        if transcript.damaged:
            troubles.append(("damaged", f"{name}: " + ", ".join(map(str, transcript.damaged))))
    if len(files) > MOST_EPISODES:
        troubles.append(("left out", f"{len(files) - MOST_EPISODES} of {len(files)} files"))
    episodes = [_episode(name, transcript) for name, transcript in found]
    transcripts = [transcript for _, transcript in found]
    finished = sum(transcript.complete for transcript in transcripts)
    return render_sections(
        [Section("transcripts", "Episodes", {"episodes": episodes})],
        title=clean(title or folder.resolve().name),
        summary=f"What was said in {_episodes(len(episodes))}, {finished} of them finished",
        status="finished" if episodes and finished == len(episodes) else "unfinished",
        facts=_facts_of(transcripts),
        numbers=_numbers(transcripts),
        warnings=[(title, clean(text)) for title, text in troubles],
        seed="none",
    )


def _facts_of(transcripts: Sequence[Transcript]) -> list[tuple[str, str]]:
    made = _completions(transcripts)
    empty = ("empty answers", str(sum(not one.text.strip() for one in made)))
    by_models = [one for one in made if not _of_program(one)]
    if made and not by_models:
        return [("played by", "a program"), empty]
    cut = sum(one.finish_reason == "length" for one in by_models)
    models = ", ".join(sorted({clean(one.model) for one in by_models})) or "none"
    return [("models", models), ("cut at the token limit", f"{cut} of {len(by_models)}"), empty]


def _numbers(transcripts: Sequence[Transcript]) -> list[tuple[str, str, str]]:
    made = [one for one in _completions(transcripts) if not _of_program(one)]
    read, written = (sum(getattr(one.usage, f"{kind}_tokens") for one in made) for kind in ("prompt", "completion"))
    estimated = sum(not one.usage.counted for one in made)
    note = f"tokens of {estimated} answers are estimated" if estimated else "as the models counted"
    turns = (
        "Turns",
        f"{sum(len(transcript.turns) for transcript in transcripts):,}",
        f"in {_episodes(len(transcripts))}",
    )
    if not made:
        return [turns]
    return [
        turns,
        ("Tokens read", f"{read:,}", note),
        ("Tokens written", f"{written:,}", note),
        ("Time to answer", clock_time(sum(one.seconds for one in made)), "when the answers were made"),
    ]


def _episodes(count: int) -> str:
    return f"{count} episode{'' if count == 1 else 's'}"


def _of_program(answer: Completion) -> bool:
    """Whether a program gave it, which reads no tokens; a model reads the question."""
    return answer.usage.counted and not answer.usage.prompt_tokens and not answer.usage.completion_tokens


def _completions(transcripts: Sequence[Transcript]) -> list[Completion]:
    turns = [turn for transcript in transcripts for turn in transcript.turns]
    return [turn.completion for turn in turns if turn.completion is not None]


def _episode(file: str, transcript: Transcript) -> ShownEpisode:
    return ShownEpisode(
        clean(transcript.name),
        clean(file),
        transcript.complete,
        _said("system", transcript.system) if transcript.system else None,
        _shown(transcript.facts),
        _shown(transcript.end or {}),
        tuple(map(_turn, transcript.turns)),
    )


def _turn(turn: Turn) -> ShownTurn:
    said = [_message(message) for message in turn.messages]
    answer = turn.completion
    if answer is not None:
        if answer.reasoning:
            said.append(_said("reasoning", answer.reasoning))
        said.append(_said("answer", answer.text, note=_note(answer)))
    words = answer.text if answer is not None else (turn.messages[-1].text if turn.messages else "")
    # The last line: models are asked to name their action there.
    line = " ".join(clean(words.rstrip()[-MOST_CHARACTERS:].rpartition("\n")[2]).split())
    line = line if len(line) <= SUMMARY else line[: SUMMARY - 1] + "…"
    return ShownTurn(turn.number, line or "(empty)", tuple(said), _shown(turn.facts))


def _message(message: Message) -> Said:
    pictures = [part for part in message.parts if isinstance(part, Picture)]
    sources = tuple(
        f"data:{one.media};base64,{base64.b64encode(one.data).decode()}" for one in pictures if one.media in SHOWABLE
    )
    hidden = len(pictures) - len(sources)
    return _said(message.role, message.text, sources, f"{hidden} that cannot be shown" if hidden else "")


def _said(role: str, text: str, pictures: tuple[str, ...] = (), note: str = "") -> Said:
    return Said(role, clean(text[:MOST_CHARACTERS]), max(0, len(text) - MOST_CHARACTERS), pictures, note)


def _note(answer: Completion) -> str:
    if _of_program(answer):
        return ""
    usage, about = answer.usage, "" if answer.usage.counted else "about "
    parts = [
        f"{about}{usage.prompt_tokens:,} tokens read, {usage.completion_tokens:,} written",
        f"{answer.seconds:.1f} s",
    ]
    return " · ".join(parts + ([] if answer.finish_reason == "stop" else [f"ended by {clean(answer.finish_reason)}"]))


def _shown(facts: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Facts as names and texts: texts as they are, anything else as JSON."""
    pairs = [
        (str(name), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in facts.items()
    ]
    return tuple((clean(name), clean(text[:MOST_CHARACTERS])) for name, text in pairs)
