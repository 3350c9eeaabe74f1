"""The published files of dm_alchemy, read byte by byte: no protobuf package, nothing compiled.

    episodes = read_episodes("chemistries")     # what was hidden and laid out in each of the 1000 evaluation episodes
    events = read_events("ideal_observer")      # [1000, 10, 3, 13]: what an agent did in them

Both are protocol buffers, sequences of (number of the field, kind, value):

    ChemistriesAndItems {1 (repeated): {1: Chemistry, 2: EpisodeItems}}
    Chemistry    {1: potion map, 2: stone map, 3: Graph {1 (repeated): int}, 4 (repeated): float}
    EpisodeItems {1 (repeated): TrialItems {1 (repeated): stone, 2 (repeated): potion}}
    EvaluationSetEvents {1 (repeated): EpisodeEvents {1 (repeated): IntArray {1 (repeated): int, 2 (repeated): size}}}

Of a graph there are twelve numbers, in the order of `EDGES`: 0 for no edge, else 1 + the latent potion along it. A
matrix of events has a row for every stone and a column for every potion and, last, the cauldron; its numbers put the
events of a trial in order, and are -1 where a stone and a potion never met.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Int64

from percepts.core.errors import DataError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_KINDS = {_VARINT: "a number", _FIXED64: "8 bytes", _BYTES: "a length and bytes", _FIXED32: "4 bytes"}
_LONGEST = 10
"""Bytes of a number: seven bits in each."""
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class PublishedEpisode:
    """One episode as stored.

    Attributes:
        potion_map, stone_map: numbers as in `Chemistry`.
        edges: 12 numbers of the graph, see above.
        angles: of the rotation, degrees about x, y and z.
        stones, potions: latent ones of every trial.
    """

    potion_map: int
    stone_map: int
    edges: tuple[int, ...]
    angles: tuple[float, ...]
    stones: tuple[tuple[int, ...], ...]
    potions: tuple[tuple[int, ...], ...]


def read_episodes(path: Path | str) -> list[PublishedEpisode]:
    """The episodes of a file of chemistries and items.

    Raises:
        DataError: it cannot be read, or is no such file.
    """
    return _read(path, parse_episodes)


def read_events(path: Path | str) -> Int64[np.ndarray, "episodes trials stones actions"]:
    """What an agent did in every trial of the episodes of a file of events.

    Raises:
        DataError: it cannot be read, or is no such file.
    """
    return _read(path, parse_events)


def parse_episodes(data: bytes) -> list[PublishedEpisode]:
    """The episodes in the bytes of such a file.

    Raises:
        DataError: they are malformed.
    """
    episodes = []
    for start, end in _messages(data, 0, len(data), 1):
        chemistry, items = _one(data, start, end, 1), _one(data, start, end, 2)
        trials = list(_messages(data, *items, 1))
        episodes.append(
            PublishedEpisode(
                potion_map=_number(data, *chemistry, 1),
                stone_map=_number(data, *chemistry, 2),
                edges=tuple(_integers(data, *_one(data, *chemistry, 3), 1).tolist()),
                angles=_floats(data, *chemistry, 4),
                stones=tuple(tuple(_integers(data, *trial, 1).tolist()) for trial in trials),
                potions=tuple(tuple(_integers(data, *trial, 2).tolist()) for trial in trials),
            )
        )
    if not episodes:
        raise DataError("no episodes", "a published file of chemistries")
    return episodes


def parse_events(data: bytes) -> Int64[np.ndarray, "episodes trials stones actions"]:
    """The matrices of events in the bytes of such a file.

    Raises:
        DataError: they are malformed, or not all of one size.
    """
    episodes = [
        [_matrix(data, *trial) for trial in _messages(data, *episode, 1)]
        for episode in _messages(data, 0, len(data), 1)
    ]
    shapes = {matrix.shape for trials in episodes for matrix in trials}
    lengths = {len(trials) for trials in episodes}
    if len(shapes) != 1 or len(lengths) != 1:
        raise DataError(
            f"{len(episodes)} episodes with {_listed(lengths)} trials of sizes {_listed(shapes)}",
            "a published file of events: as many trials in every episode, all matrices of one size",
        )
    return np.array(episodes, np.int64)


def _read(path: Path | str, parse: Callable[[bytes], _Found]) -> _Found:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"'{path}' cannot be read ({error.strerror})", "a published file of dm_alchemy") from error
    try:
        return parse(data)
    except DataError as error:
        raise DataError(f"'{path}' holds {error.got}", error.expected, "fetch the file again") from error


def _matrix(data: bytes, start: int, end: int) -> Int64[np.ndarray, "stones actions"]:
    values, shape = _integers(data, start, end, 1), _integers(data, start, end, 2)
    if len(shape) != 2 or (shape < 1).any() or int(shape.prod()) != len(values):
        raise DataError(f"a matrix of {len(values)} numbers and size {shape.tolist()}", "rows x columns numbers")
    if (values < -1).any():
        raise DataError(f"an event numbered {int(values.min())}", "numbers from -1 on")
    return values.reshape(tuple(shape))


def _one(data: bytes, start: int, end: int, field: int) -> tuple[int, int]:
    """Where the message of this field lies; the last one, if there are more. An empty place if there is none."""
    found = list(_messages(data, start, end, field))
    return found[-1] if found else (end, end)


def _messages(data: bytes, start: int, end: int, field: int) -> Iterator[tuple[int, int]]:
    """Where the messages of this field lie."""
    for number, kind, first, last in _fields(data, start, end):
        if number == field:
            if kind != _BYTES:
                raise DataError(f"{_KINDS[kind]} at byte {first} where field {field} is a message")
            yield first, last


def _number(data: bytes, start: int, end: int, field: int) -> int:
    """The last number of this field; 0, which is not stored, if there is none."""
    found = _integers(data, start, end, field)
    return int(found[-1]) if len(found) else 0


def _integers(data: bytes, start: int, end: int, field: int) -> Int64[np.ndarray, " count"]:
    """All numbers of this field, single or packed."""
    pieces = [np.empty(0, np.int64)]
    for number, kind, first, last in _fields(data, start, end):
        if number == field:
            if kind not in (_VARINT, _BYTES):
                raise DataError(f"{_KINDS[kind]} at byte {first} where field {field} is an integer")
            pieces.append(_varints(data, first, last))
    return np.concatenate(pieces)


def _floats(data: bytes, start: int, end: int, field: int) -> tuple[float, ...]:
    """All floats of this field, single or packed."""
    found: list[float] = []
    for number, kind, first, last in _fields(data, start, end):
        if number == field:
            if kind not in (_FIXED32, _BYTES) or (last - first) % 4:
                raise DataError(f"{last - first} bytes at byte {first} where field {field} is of floats")
            found += struct.unpack(f"<{(last - first) // 4}f", data[first:last])
    return tuple(found)


def _varints(data: bytes, start: int, end: int) -> Int64[np.ndarray, " count"]:
    """Packed numbers of 32 bits, all at once: a byte below 128 ends one; negative numbers have ten bytes."""
    packed = np.frombuffer(data, np.uint8, end - start, start)
    ends = np.flatnonzero(packed < 128)
    if not len(packed):
        return np.empty(0, np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    if not len(ends) or ends[-1] != len(packed) - 1 or int((ends - starts).max()) >= _LONGEST:
        raise DataError(f"a number that does not end between bytes {start} and {end}")
    owner = np.repeat(np.arange(len(ends)), ends - starts + 1)
    place = np.arange(len(packed)) - starts[owner]
    values = np.zeros(len(ends), np.uint64)
    np.add.at(values, owner, (packed & np.uint8(127)).astype(np.uint64) << (7 * place).astype(np.uint64))
    signed = values.view(np.int64)
    if (signed != signed.astype(np.int32)).any():
        raise DataError(f"a number of more than 32 bits between bytes {start} and {end}")
    return signed


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(number, kind, first byte, byte behind the last) of every field of a message."""
    while start < end:
        place = start
        tag, start = _varint(data, start, end)
        number, kind = tag >> 3, tag & 7
        if number == 0 or kind not in _KINDS:
            raise DataError(f"no field at byte {place} (number {number}, kind {kind})", "a protocol buffer")
        if kind == _BYTES:
            size, start = _varint(data, start, end)
        elif kind == _VARINT:
            size = _varint(data, start, end)[1] - start
        else:
            size = 4 if kind == _FIXED32 else 8
        if start + size > end:
            raise DataError(f"a field at byte {place} that is longer than what holds it: truncated?")
        yield number, kind, start, start + size
        start += size


def _varint(data: bytes, start: int, end: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and the place behind it."""
    value = 0
    for place in range(start, min(end, start + _LONGEST)):
        value |= (data[place] & 0x7F) << 7 * (place - start)
        if data[place] < 0x80:
            return value, place + 1
    raise DataError(f"a number at byte {start} that does not end")


def _listed(values: set[int] | set[tuple[int, ...]]) -> str:
    return " and ".join(sorted(str(value).strip("()") for value in values)) or "no"
