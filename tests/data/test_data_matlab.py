"""Reading MATLAB files of version 5: against scipy's writer, and against damage."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from scipy.io import savemat

from percepts.data.matlab import read_array

NUMBERS = np.random.default_rng(0).integers(0, 100, (3, 4, 2))


def saved(compressed: bool = False, **variables: object) -> bytes:
    file = io.BytesIO()
    savemat(file, variables, do_compression=compressed)
    return file.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_arrays_are_those_that_were_saved(kind: str, compressed: bool) -> None:
    data = saved(compressed, other={"a": [1.0, "b"]}, x=NUMBERS.astype(kind), text="hello", a=NUMBERS[:1, :1, 0])
    found = read_array(data, "x")
    assert found.dtype == np.dtype(kind)
    assert np.array_equal(found, NUMBERS)
    assert read_array(data, "a") == NUMBERS[0, 0, 0], "a number in its tag, under a name in its tag"


def test_empty_arrays_and_big_endian_files() -> None:
    assert read_array(saved(x=np.zeros((0, 3))), "x").shape == (0, 3)
    element = b"".join(
        struct.pack(">II", kind, len(content)) + content.ljust(-(-len(content) // 8) * 8, b"\0")
        for kind, content in [
            (6, struct.pack(">II", 11, 0)),
            (5, struct.pack(">2i", 2, 1)),
            (1, b"x"),
            (4, struct.pack(">2H", 258, 7)),
        ]
    )
    data = b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + struct.pack(">II", 14, len(element)) + element
    assert read_array(data, "x").tolist() == [[258], [7]]


def test_small_numbers_stored_for_large_ones_are_widened() -> None:
    data = bytearray(saved(x=np.arange(16.0)))
    at = data.index(struct.pack("<II", 9, 128))
    data[at:] = struct.pack("<II", 2, 16) + bytes(range(16))
    data[132:136] = struct.pack("<I", len(data) - 136)
    found = read_array(bytes(data), "x")
    assert found.dtype == np.float64
    assert found.tolist() == [list(range(16))]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (saved(y=NUMBERS), "no variable 'x', it has y"),
        (saved(), "it has none"),
        (saved(x=NUMBERS * 1j), "no array of real numbers"),
        (saved(x={"a": 1}), "no array of real numbers"),
        (saved(x="text"), "no array of real numbers"),
        (b"short", "shorter"),
        (b"hello" * 100, "does not begin"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM", "version 2"),
        (saved(x=NUMBERS)[:-3], "too early"),
        (saved(y=NUMBERS) + b"abc", "inside of a tag"),
        (saved(True, x=NUMBERS)[:-3], "too early"),
    ],
)
def test_what_cannot_be_read_is_an_error(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_array(data, "x")


def test_a_compressed_variable_that_grows_without_bounds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("percepts.data.matlab._LARGEST", 1000)
    content = zlib.compress(bytes(100_000))
    data = saved()[:128] + struct.pack("<II", 15, len(content)) + content
    with pytest.raises(ValueError, match="larger than 1000"):
        read_array(data, "x")


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_is_an_error_or_other_numbers_and_nothing_worse(compressed: bool) -> None:
    whole = saved(compressed, mask=NUMBERS, x=NUMBERS.astype(np.uint8))
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(2000):
        data = bytearray(whole)
        at = int(rng.integers(120, len(data)))
        width = int(rng.choice([1, 4, 20]))
        data[at : at + width] = rng.bytes(len(data[at : at + width]))
        try:
            assert read_array(bytes(data), "x").size < 1000
        except (ValueError, zlib.error):
            refused += 1
    assert refused > 500
