"""The file that only grows: whole lines survive whatever happens to the others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from percepts.core.errors import DataError, PerceptsError
from percepts.foundation import journal as module
from percepts.foundation.journal import Journal

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def entries(path: Path) -> list[Mapping[str, Any]]:
    return [entry for _, entry in Journal(path).new()]


@pytest.fixture
def three(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "journal.jsonl"
    for number in range(3):
        Journal(path).append({"number": number, "text": "café\n"})
    return path


@settings(max_examples=30)
@given(written=st.lists(st.dictionaries(st.text(), values, min_size=1, max_size=3), max_size=4))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, written: list[dict[str, Any]]) -> None:
    path = tmp_path_factory.mktemp("journal") / "one.jsonl"
    for entry in written:
        Journal(path).append(entry)
    assert entries(path) == written


def test_only_what_is_new_is_read_again(three: Path) -> None:
    reader = Journal(three)
    assert [number for number, _ in reader.new()] == [1, 2, 3]
    assert reader.new() == []
    Journal(three).append({"number": 3})
    assert reader.new() == [(4, {"number": 3})]


@settings(max_examples=25)
@given(cut=st.integers(1, 45))
def test_a_torn_last_line_costs_that_line_alone(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "one.jsonl"
    for number in range(3):
        Journal(path).append({"number": number})
    data = path.read_bytes()
    last = len(data) - data.rstrip(b"\n").rfind(b"\n") - 1
    path.write_bytes(data[: len(data) - min(cut, last)])
    journal = Journal(path)
    # Without its newline alone, the line is still whole.
    kept = 3 if cut == 1 else 2
    assert [entry["number"] for _, entry in journal.new()] == list(range(kept))
    journal.append({"number": 9})
    assert [entry["number"] for entry in entries(path)] == [*range(kept), 9]
    assert [damage.line for damage in journal.damaged] == ([] if kept == 3 or cut >= last else [3])
    assert journal.new()[0][0] == (3 if cut >= last else 4)


def test_a_flipped_bit_anywhere_is_found(three: Path) -> None:
    data = three.read_bytes()
    start, end = data.index(b"\n") + 1, data.index(b"\n", data.index(b"\n") + 1)
    for place in range(start, end):
        three.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        journal = Journal(three)
        assert [entry["number"] for _, entry in journal.new()] == [0, 2]
        assert journal.damaged
        assert "line 2" in journal.report()


@pytest.mark.parametrize(
    "line", [b"nonsense", b'{"a": 1}', b"\xff\x00\xfe", b"[1]", b"[" * 100_000, b'{"sum":"00000000"}']
)
def test_lines_of_others_are_left_out_and_told(three: Path, line: bytes) -> None:
    three.write_bytes(line + b"\n\n" + three.read_bytes())
    journal = Journal(three)
    assert [number for number, _ in journal.new()] == [3, 4, 5]
    assert [damage.line for damage in journal.damaged] == [1]


def test_many_threads_with_files_of_their_own_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: Journal(path).append({"number": number, "text": "x" * 5000}), range(60)))
    assert sorted(entry["number"] for entry in entries(path)) == list(range(60))


def test_a_full_disk_leaves_no_half_line(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = three.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(PerceptsError, match=r"No space left.*untouched"):
        Journal(three).append({"number": 3})
    assert three.read_bytes() == before
    monkeypatch.undo()
    Journal(three).append({"number": 3})
    assert len(entries(three)) == 4


def test_a_folder_is_no_journal(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        Journal(tmp_path).new()
    with pytest.raises(PerceptsError, match="could not write"):
        Journal(tmp_path).append({"a": 1})
    assert os.listdir(tmp_path) == []
