"""The reader of published files, on bytes that a small encoder writes here."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pytest

from percepts.core.errors import DataError
from percepts.envs.alchemy.protobuf import parse_episodes, parse_events, read_episodes, read_events

EDGES = (2, 4, 6, 4, 6, 2, 6, 6, 2, 4, 4, 2)


def varint(value: int) -> bytes:
    value %= 1 << 64  # negative numbers are written as those of 64 bits
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def message(field: int, body: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(body)) + body


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def packed(field: int, values: list[int] | tuple[int, ...]) -> bytes:
    return message(field, b"".join(varint(int(value)) for value in values))


def episode(
    potion_map: int = 20,
    stone_map: int = 4,
    edges: tuple[int, ...] = EDGES,
    angles: tuple[float, ...] = (0.0, 0.0, 0.0),
    trials: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (((0, 7), (5, 3, 1)),),
) -> bytes:
    floats = message(4, struct.pack(f"<{len(angles)}f", *angles))
    chemistry = number(1, potion_map) + number(2, stone_map) + message(3, packed(1, edges)) + floats
    items = b"".join(message(1, packed(1, stones) + packed(2, potions)) for stones, potions in trials)
    return message(1, message(1, chemistry) + message(2, items))


def matrix(values: np.ndarray) -> bytes:
    return message(1, packed(1, values.ravel().tolist()) + packed(2, values.shape))


def test_an_episode_is_read_as_it_was_written() -> None:
    trials = (((0, 7), (5, 3, 1)), ((2, 1), (0, 0, 4)))
    (found,) = parse_episodes(episode(angles=(0.0, -45.0, 0.0), trials=trials))
    assert (found.potion_map, found.stone_map, found.edges) == (20, 4, EDGES)
    assert found.angles == (0.0, -45.0, 0.0)
    assert found.stones == ((0, 7), (2, 1))
    assert found.potions == ((5, 3, 1), (0, 0, 4))


def test_numbers_may_be_packed_or_not_and_zeros_left_out() -> None:
    """Protocol buffers of version 3 leave out what is 0; old writers give every number a field of its own."""
    chemistry = number(1, 3) + message(3, b"".join(number(1, value) for value in EDGES))
    chemistry += b"".join(varint(4 << 3 | 5) + struct.pack("<f", angle) for angle in (0, 0, -45))
    items = message(1, number(1, 7) + number(2, 1) + number(2, 300))
    (found,) = parse_episodes(message(1, message(1, chemistry) + message(2, items)))
    assert (found.potion_map, found.stone_map, found.edges) == (3, 0, EDGES)
    assert found.angles == (0.0, 0.0, -45.0)
    assert (found.stones, found.potions) == (((7,),), ((1, 300),))


def test_unknown_fields_are_passed_over() -> None:
    data = number(9, 5) + episode() + varint(8 << 3 | 1) + bytes(8) + message(7, b"later")
    assert parse_episodes(data) == parse_episodes(episode())


def test_events_are_read_as_they_were_written() -> None:
    events = np.full((2, 3, 2, 5), -1)
    events[0, 0, 1, 4], events[0, 0, 0, 2], events[1, 2, 1, 0] = 0, 1, 449
    data = b"".join(message(1, b"".join(matrix(one) for one in trials)) for trials in events)
    found = parse_events(data)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, events)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 16384, 2**31 - 1, -1])
def test_integers_of_all_lengths(value: int) -> None:
    one = np.array([[value]])
    assert parse_events(message(1, matrix(one)))[0, 0, 0, 0] == value


def test_a_truncated_file_is_refused_wherever_it_ends() -> None:
    whole = episode()
    for length in range(1, len(whole)):
        with pytest.raises(DataError):
            parse_episodes(whole[:length])


@pytest.mark.parametrize("parse", [parse_episodes, parse_events])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\x00\x00",  # field 0
        varint(1 << 3 | 3),  # a kind that is not used any more
        varint(1 << 3 | 5) + b"\0\0",  # 4 bytes of which there are 2
        number(1, 5),  # a number where a message should be
        message(1, b"\xff" * 20),
        b"GIF89a and so on",
    ],
)  # fmt: skip
def test_malformed_bytes_are_refused(parse: object, data: bytes) -> None:
    with pytest.raises(DataError):
        parse(data)  # type: ignore[operator]


def test_ten_megabytes_of_garbage_are_refused_at_once() -> None:
    for data in (random.Random(0).randbytes(10_000_000), b"\n" * 10_000_000, b"\x80" * 10_000_000):
        for parse in (parse_episodes, parse_events):
            with pytest.raises(DataError):
                parse(data)


def test_wrong_kinds_within_a_message_are_refused() -> None:
    floats_as_integer = message(1, message(1, number(4, 3)))
    with pytest.raises(DataError, match="floats"):
        parse_episodes(floats_as_integer)
    fixed = message(1, message(1, varint(1 << 3 | 5) + bytes(4)))
    with pytest.raises(DataError, match="integer"):
        parse_episodes(fixed)
    with pytest.raises(DataError, match="32 bits"):
        parse_episodes(message(1, message(1, number(1, 2**40))))
    with pytest.raises(DataError, match="does not end"):
        parse_episodes(message(1, message(1, message(1, b"\x80\x80"))))


def test_matrices_that_do_not_fit_are_refused() -> None:
    small, large = matrix(np.zeros((2, 3))), matrix(np.zeros((2, 4)))
    with pytest.raises(DataError, match="sizes"):
        parse_events(message(1, small + large))
    with pytest.raises(DataError, match="trials"):
        parse_events(message(1, small) + message(1, small + small))
    with pytest.raises(DataError, match="matrix of 6 numbers"):
        parse_events(message(1, message(1, packed(1, [0] * 6) + packed(2, [2, 4]))))
    with pytest.raises(DataError, match="-2"):
        parse_events(message(1, matrix(np.array([[-2]]))))


def test_files_are_named_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "chemistries"
    path.write_bytes(episode())
    assert len(read_episodes(path)) == 1
    with pytest.raises(DataError, match="chemistries"):
        read_events(path)
    with pytest.raises(DataError, match=r"missing.*cannot be read"):
        read_episodes(tmp_path / "missing")
