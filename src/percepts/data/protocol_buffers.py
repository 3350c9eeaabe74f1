"""Protocol buffers read byte by byte: no protobuf package, nothing compiled.

    for number, kind, start, end in fields(data, 0, len(data)):
        ...                                   # where the value of each field lies
    integers(data, start, end, field=1)       # all numbers of a field of the message there

A message is a sequence of (tag, value). A tag is 8 * the number of the field + the kind of its value: a number of seven
bits a byte, the lowest first, of which every byte but the last is 128 or more; 8 bytes; a length and as many bytes; or
4 bytes. Negative integers are written as those of 64 bits. A field may stand there many times; numbers of one may also
be packed into the bytes of a single one. (Protocol Buffers' documentation, "Encoding".)

What is wrong with the bytes is raised as a ValueError whose message is a clause, for readers of a format to name their
file.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
KINDS = {VARINT: "a number", FIXED64: "8 bytes", BYTES: "a length and bytes", FIXED32: "4 bytes"}
"""How values are stored, in words; the kinds 3 and 4 are not used any more."""
LONGEST = 10
"""Bytes of a number."""


def fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(number, kind, first byte, byte behind the last) of every field of the message between two bytes.

    Raises:
        ValueError: no message, or one that is cut off; what comes before was given.
    """
    while start < end:
        place = start
        tag, start = varint(data, start, end)
        number, kind = tag >> 3, tag & 7
        if kind == BYTES:
            size, start = varint(data, start, end)
        elif kind == VARINT:
            size = varint(data, start, end)[1] - start
        elif kind in KINDS:
            size = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"no field at byte {place}: there is no kind {kind}")
        if number == 0:
            raise ValueError(f"no field at byte {place}: there is no number 0")
        if start + size > end:
            raise ValueError(f"a field at byte {place} that is longer than what holds it: truncated?")
        yield number, kind, start, start + size
        start += size


def varint(data: bytes, start: int, end: int) -> tuple[int, int]:
    """The number at `start`, not negative, and the place behind it.

    Raises:
        ValueError: it does not end.
    """
    value = 0
    for place in range(start, min(end, start + LONGEST)):
        value |= (data[place] & 0x7F) << 7 * (place - start)
        if data[place] < 0x80:
            return value, place + 1
    raise ValueError(f"a number at byte {start} that does not end")


def integers(data: bytes, start: int, end: int, field: int) -> Int64[np.ndarray, " count"]:
    """All integers of a field of the message between two bytes, single or packed.

    Raises:
        ValueError: the message is malformed, or the field is not of integers.
    """
    pieces: list[Int64[np.ndarray, " some"]] = []
    single: list[int] = []
    for number, kind, first, last in fields(data, start, end):
        if number != field:
            continue
        if kind == VARINT:
            single.append(varint(data, first, last)[0])
        elif kind == BYTES:
            pieces += [_signed(single), varints(data, first, last)]
            single = []
        else:
            raise ValueError(f"{KINDS[kind]} at byte {first} where field {field} is an integer")
    return np.concatenate([*pieces, _signed(single)])


def varints(data: bytes, start: int, end: int) -> Int64[np.ndarray, " count"]:
    """The packed integers between two bytes, all at once.

    Raises:
        ValueError: one of them does not end.
    """
    packed = np.frombuffer(data, np.uint8, end - start, start)
    if not len(packed):
        return np.empty(0, np.int64)
    ends = np.flatnonzero(packed < 128)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    if not len(ends) or ends[-1] != len(packed) - 1 or int((ends - starts).max()) >= LONGEST:
        raise ValueError(f"a number that does not end between bytes {start} and {end}")
    owner = np.repeat(np.arange(len(ends)), ends - starts + 1)
    place = np.arange(len(packed)) - starts[owner]
    values = np.zeros(len(ends), np.uint64)
    np.add.at(values, owner, (packed & np.uint8(127)).astype(np.uint64) << (7 * place).astype(np.uint64))
    return values.view(np.int64)


def _signed(values: list[int]) -> Int64[np.ndarray, " count"]:
    """Numbers of 64 bits, whose upper half stands for the negative ones."""
    return np.array([value % (1 << 64) for value in values], np.uint64).view(np.int64)
