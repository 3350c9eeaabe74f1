"""Transcripts: written turn by turn, taken up after a crash, read whatever happened to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from percepts.core.errors import DataError
from percepts.foundation.model import Completion, Message, Picture, Token, Usage
from percepts.foundation.transcripts import begin_transcript, find_transcripts, read_transcript

FACTS = {"world": "feature-world", "seed": 3, "sizes": (3, 5)}


def said(text: str) -> Completion:
    return Completion(text, "small", Usage(7, 3), seconds=0.5, tokens=(Token("a", -0.5),))


def play(path: Path, turns: int, end: bool = True, **more: Any) -> None:
    """An episode that goes on from what is there."""
    writer = begin_transcript(path, "episode 3", "You play.", {**FACTS, **more})
    for number in range(len(writer.transcript.turns), turns):
        writer.turn([Message("user", f"turn {number}")], said(f"answer {number}"), {"reward": number / 2})
    if end:
        writer.end({"score": 1.5})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "3.jsonl"
    play(path, 2, end=False)
    writer = begin_transcript(path, "episode 3", "You play.", FACTS)
    writer.turn([Message("user", ("look", Picture(b"png")))], None)
    assert not read_transcript(path).complete
    writer.end({"score": 2})
    found = read_transcript(path)
    assert found.complete
    assert (found.name, found.system, found.end) == ("episode 3", "You play.", {"score": 2})
    assert found.facts == {"world": "feature-world", "seed": 3, "sizes": [3, 5]}
    assert [turn.number for turn in found.turns] == [0, 1, 2]
    assert found.turns[1].completion == said("answer 1")
    assert found.turns[1].facts == {"reward": 0.5}
    assert found.turns[2].messages == (Message("user", ("look", Picture(b"png"))),)
    assert found.turns[2].completion is None
    for late in (writer.end, lambda: writer.turn([], None)):
        with pytest.raises(DataError, match="has ended"):
            late()
    with pytest.raises(DataError, match="has ended"):
        begin_transcript(path, "episode 3", "You play.", FACTS).end()


def test_an_episode_that_was_cut_is_taken_up_to_the_same_bytes(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    play(whole, 5)
    play(cut, 3, end=False)
    play(cut, 5)
    assert whole.read_bytes() == cut.read_bytes()


@pytest.mark.parametrize("harm", ["torn", "flipped", "not a turn"])
def test_an_episode_goes_on_before_what_is_lost(tmp_path: Path, harm: str) -> None:
    whole, path = tmp_path / "whole.jsonl", tmp_path / "3.jsonl"
    play(whole, 5)
    play(path, 4, end=False)
    lines = path.read_bytes().splitlines(keepends=True)
    if harm == "torn":
        lines[4] = lines[4][:-9]
    elif harm == "flipped":
        lines[2] = lines[2].replace(b"answer 1", b"answer 7")
    path.write_bytes(b"".join(lines))
    if harm == "not a turn":
        begin_transcript(path, "episode 3", "You play.", FACTS).journal.append({"kind": "turn", "turn": 4})
    kept, line = {"torn": (3, 5), "flipped": (1, 3), "not a turn": (4, 6)}[harm]
    found = read_transcript(path)
    assert len(found.turns) == kept
    assert not found.complete
    assert [damage.line for damage in found.damaged] == [line]
    play(path, 5)
    mended, model = read_transcript(path), read_transcript(whole)
    assert mended.complete
    assert (mended.turns, mended.end) == (model.turns, model.end)


def test_an_end_without_all_of_its_turns_is_no_end(tmp_path: Path) -> None:
    path = tmp_path / "3.jsonl"
    play(path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"lost\n", *lines[3:]]))
    found = read_transcript(path)
    assert (len(found.turns), found.complete) == (1, False)


def test_a_file_belongs_to_one_episode(tmp_path: Path) -> None:
    path = tmp_path / "3.jsonl"
    play(path, 2, end=False)
    with pytest.raises(DataError, match="another facts"):
        play(path, 2, noise=0.1)
    with pytest.raises(DataError, match="another name and system"):
        begin_transcript(path, "episode 4", "Play!", FACTS)
    (tmp_path / "other.jsonl").write_text('{"loss": 1}\n')
    for wrong, words in (("none", "no transcript at"), ("other", "does not begin with an episode")):
        with pytest.raises(DataError, match=words):
            read_transcript(tmp_path / f"{wrong}.jsonl")
    assert find_transcripts(tmp_path) == [path]
