"""The reader of protocol buffers, on the examples of the format's own documentation and on bytes that are wrong."""

from __future__ import annotations

import numpy as np
import pytest

from percepts.data.protocol_buffers import BYTES, FIXED32, FIXED64, VARINT, fields, integers, varint, varints


def test_the_documentations_examples() -> None:
    """150 as field 1 is 08 96 01; "testing" as field 2 is 12 07 ...; 3, 270, 86942 packed in field 6 are 32 06 ..."""
    data = bytes.fromhex("089601") + bytes.fromhex("120774657374696e67") + bytes.fromhex("3206038e029ea705")
    found = list(fields(data, 0, len(data)))
    assert [(number, kind) for number, kind, _, _ in found] == [(1, VARINT), (2, BYTES), (6, BYTES)]
    assert data[slice(*found[1][2:])] == b"testing"
    assert integers(data, 0, len(data), 1).tolist() == [150]
    assert integers(data, 0, len(data), 6).tolist() == [3, 270, 86942]
    assert integers(data, 0, len(data), 7).tolist() == []


def test_fixed_fields_have_their_sizes() -> None:
    data = bytes([1 << 3 | FIXED64, *range(8), 2 << 3 | FIXED32, *range(4)])
    assert list(fields(data, 0, len(data))) == [(1, FIXED64, 1, 9), (2, FIXED32, 10, 14)]


def test_a_field_may_come_single_and_packed_in_any_order() -> None:
    minus_two = b"\xfe" + b"\xff" * 8 + b"\x01"
    data = b"\x08\x05" + b"\x0a\x02\x06\x07" + b"\x08" + minus_two + b"\x0a\x00" + b"\x10\x63" + b"\x08\x09"
    assert integers(data, 0, len(data), 1).tolist() == [5, 6, 7, -2, 9]
    assert integers(data, 0, len(data), 1).dtype == np.int64


@pytest.mark.parametrize("value", [0, 1, 127, 128, 16384, 2**32, 2**63 - 1, 2**64 - 1])
def test_numbers_of_all_lengths(value: int) -> None:
    data, rest = bytearray(), value
    while rest >= 128:
        data.append(rest & 127 | 128)
        rest >>= 7
    data.append(rest)
    assert varint(bytes(data), 0, len(data)) == (value, len(data))
    signed = value - (1 << 64) if value >> 63 else value
    assert varints(bytes(data) * 3, 0, 3 * len(data)).tolist() == [signed] * 3


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"\x80", "number at byte 0 that does not end"),
        (b"\x00\x00", "no number 0"),
        (b"\x0b", "no kind 3"),
        (b"\x0d\0\0", "longer than what holds it"),
        (b"\x0a\x05ab", "longer than what holds it"),
        (b"\x08" + b"\xff" * 12, "does not end"),
        (b"\x0a\x02\xff\xff", "does not end between"),
        (b"\x0a\x0b" + b"\xff" * 10 + b"\x01", "does not end between"),
        (b"\x0d\0\0\0\0", "4 bytes at byte 1 where field 1 is an integer"),
    ],
)
def test_what_is_wrong_is_said_in_a_clause(data: bytes, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        integers(data, 0, len(data), 1)
