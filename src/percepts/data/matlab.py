"""Arrays of numbers in MATLAB files of version 5 (which MATLAB writes with `-v6` and `-v7`).

Source: MathWorks, "MAT-File Format", level 5. A file is a header of 128 bytes and a sequence of elements, each a tag
(type and length) and data; a variable is an element of type 14 that holds further elements, or one of type 15, which is
such an element compressed. Everything is checked against the length of what is there: `scipy.io.loadmat`, version
1.17, ends the process on some damaged files.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Elements by the number in their tag, arrays by the number of their class.
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
MATRIX, COMPRESSED = 14, 15
_HEADER = 128
_LARGEST = 1 << 30


def read_array(data: bytes, name: str) -> NDArray[Any]:
    """The variable `name` of the MATLAB file `data`, with MATLAB's order of axes.

    Raises:
        ValueError: the data are damaged, of another version, or have no such array of real numbers.
        zlib.error: a compressed variable is damaged.
    """
    if len(data) < _HEADER:
        raise ValueError("it is shorter than the header of a MATLAB file")
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise ValueError("it does not begin as a MATLAB file of version 5")
    (version,) = struct.unpack(order + "H", data[124:126])
    if version != 0x0100:
        raise ValueError(f"it is a MATLAB file of version {version >> 8}, not 5")
    names = []
    for kind, content in _elements(memoryview(data)[_HEADER:], order):
        if kind == COMPRESSED:
            kind, content = next(_elements(memoryview(_unpacked(content)), order), (0, memoryview(b"")))
        if kind != MATRIX:
            raise ValueError(f"it has an element of type {kind} where a variable should be")
        parts = _elements(content, order)
        flags, shape, found = (_numbers(*part, order) for part in _first(parts, 3))
        names.append(found.tobytes().decode("ascii", "replace"))
        if names[-1] == name:
            return _array(name, flags, shape, parts, order)
    raise ValueError(f"it has no variable '{name}', it has {', '.join(names) or 'none'}")


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and data of one element after the other."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("it ends inside of a tag")
        kind, length = struct.unpack(order + "II", data[at : at + 8])
        if kind >> 16:  # up to four bytes lie inside of the tag
            kind, length, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            if length > 4:
                raise ValueError("it has a short element that is too long")
        else:
            start = at + 8
            end = start + (length if kind == COMPRESSED else -(-length // 8) * 8)
        if start + length > len(data):
            raise ValueError("it ends too early")
        yield kind, data[start : start + length]
        at = end


def _first(parts: Iterator[tuple[int, memoryview]], count: int) -> list[tuple[int, memoryview]]:
    found = [part for _, part in zip(range(count), parts)]
    if len(found) < count:
        raise ValueError("it has a variable with parts missing")
    return found


def _unpacked(content: memoryview) -> bytes:
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(content, _LARGEST)
    if not unpacker.eof:
        raise ValueError(f"it has a compressed variable that is cut off or larger than {_LARGEST} bytes")
    return data


def _numbers(kind: int, content: memoryview, order: str) -> NDArray[Any]:
    if kind not in TYPES:
        raise ValueError(f"it has numbers of the unknown type {kind}")
    return np.frombuffer(content, np.dtype(order + TYPES[kind]))


def _array(
    name: str, flags: NDArray[Any], shape: NDArray[Any], parts: Iterator[tuple[int, memoryview]], order: str
) -> NDArray[Any]:
    """The numbers in the next of `parts` as an array of the class that `flags` announce."""
    if flags.dtype.kind != "u" or shape.dtype.kind != "i" or len(flags) != 2 or len(shape) < 2 or shape.min() < 0:
        raise ValueError(f"the description of '{name}' makes no sense")
    kind, is_complex = int(flags[0]) & 0xFF, int(flags[0]) & 0x800
    if kind not in CLASSES or is_complex:
        raise ValueError(f"'{name}' is no array of real numbers")
    values = _numbers(*_first(parts, 1)[0], order)
    axes = tuple(shape.tolist())
    if math.prod(axes) != len(values):
        raise ValueError(f"'{name}' has {len(values)} numbers for a shape of {axes}")
    return values.astype(CLASSES[kind]).reshape(axes, order="F")
