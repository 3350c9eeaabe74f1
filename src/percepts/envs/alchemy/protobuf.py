"""The published files of dm_alchemy, read with no protobuf package.

    episodes = read_episodes("chemistries")     # what was hidden and laid out in each of the 1000 evaluation episodes
    events = read_events("ideal_observer")      # [1000, 10, 3, 13]: what an agent did in them

Both are protocol buffers (see `data.protocol_buffers`):

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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Int64

from percepts.core.errors import DataError
from percepts.data.protocol_buffers import BYTES, FIXED32, KINDS, fields, integers

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
    with _refused():
        episodes = [_episode(data, start, end) for start, end in _messages(data, 0, len(data), 1)]
    if not episodes:
        raise DataError("no episodes", "a published file of chemistries")
    return episodes


def parse_events(data: bytes) -> Int64[np.ndarray, "episodes trials stones actions"]:
    """The matrices of events in the bytes of such a file.

    Raises:
        DataError: they are malformed, or not all of one size.
    """
    with _refused():
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


@contextmanager
def _refused() -> Iterator[None]:
    """What is wrong with the bytes, as the library's own error."""
    try:
        yield
    except ValueError as error:
        raise DataError(str(error), "a protocol buffer of dm_alchemy") from error


def _episode(data: bytes, start: int, end: int) -> PublishedEpisode:
    chemistry, items = _one(data, start, end, 1), _one(data, start, end, 2)
    trials = list(_messages(data, *items, 1))
    return PublishedEpisode(
        potion_map=_number(data, *chemistry, 1),
        stone_map=_number(data, *chemistry, 2),
        edges=tuple(_integers(data, *_one(data, *chemistry, 3), 1).tolist()),
        angles=_floats(data, *chemistry, 4),
        stones=tuple(tuple(_integers(data, *trial, 1).tolist()) for trial in trials),
        potions=tuple(tuple(_integers(data, *trial, 2).tolist()) for trial in trials),
    )


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
    for number, kind, first, last in fields(data, start, end):
        if number == field:
            if kind != BYTES:
                raise ValueError(f"{KINDS[kind]} at byte {first} where field {field} is a message")
            yield first, last


def _number(data: bytes, start: int, end: int, field: int) -> int:
    """The last number of this field; 0, which is not stored, if there is none."""
    found = _integers(data, start, end, field)
    return int(found[-1]) if len(found) else 0


def _integers(data: bytes, start: int, end: int, field: int) -> Int64[np.ndarray, " count"]:
    """All numbers of this field, which have 32 bits."""
    values = integers(data, start, end, field)
    if (values != values.astype(np.int32)).any():
        raise ValueError(f"a number of more than 32 bits between bytes {start} and {end}")
    return values


def _floats(data: bytes, start: int, end: int, field: int) -> tuple[float, ...]:
    """All floats of this field, single or packed."""
    found: list[float] = []
    for number, kind, first, last in fields(data, start, end):
        if number == field:
            if kind not in (FIXED32, BYTES) or (last - first) % 4:
                raise ValueError(f"{last - first} bytes at byte {first} where field {field} is of floats")
            found += struct.unpack(f"<{(last - first) // 4}f", data[first:last])
    return tuple(found)


def _listed(values: set[int] | set[tuple[int, ...]]) -> str:
    return " and ".join(sorted(str(value).strip("()") for value in values)) or "no"
