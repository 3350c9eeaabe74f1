"""TFRecord files of `tf.train.Example`, read one record after another and without TensorFlow.

A file is a sequence of records: the length (8 bytes, little endian), its checksum (4 bytes), the payload, its checksum;
the whole may be compressed with gzip or zlib. The checksum is CRC-32C, rotated right by 15 bits plus a constant
("masked"). A payload is a protocol buffer (see `protocol_buffers`):

    Example {1: Features {1 (repeated): Entry {1: name, 2: Feature}}}
    Feature {1: BytesList {1 (repeated): bytes} | 2: FloatList {1: float} | 3: Int64List {1: int}}

where numbers come one by one or packed into one field. Of a bytes list only the joined bytes matter here: several
published files store every pixel as an element of its own, of one byte.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from percepts.core.errors import DataError
from percepts.data.crc32c import crc32c
from percepts.data.protocol_buffers import BYTES, fields, integers

_READ = 1 << 20
_LONGEST = 1 << 31  # a longer record is a sign of another kind of file
_MASK_DELTA = 0xA282EAD8

Feature = NDArray[np.uint8] | NDArray[np.float32] | NDArray[np.int64]
"""The values of a feature, one axis: the joined bytes of a bytes list, or numbers."""


class DamagedRecord(DataError):
    """A file that ends too early or whose bytes are wrong. What was read before is intact.

    Attributes:
        path: the file.
        record: the number of the first record that cannot be read, from 0; as many are intact.
    """

    def __init__(self, path: Path, record: int, reason: str) -> None:
        before = f"the {record} before it are intact" if record else "there is none before it"
        super().__init__(f"record {record} of '{path}' is damaged ({reason}); {before}", fix="fetch the file again")
        self.path, self.record = path, record


@dataclass(frozen=True)
class Record:
    """A record as stored.

    Attributes:
        number: from 0, in its file.
        payload: its bytes.
        position: how many bytes of the (compressed) file have been read to get it.
    """

    number: int
    payload: bytes
    position: int


def records(path: Path | str, check: bool = True) -> Iterator[Record]:
    """The records of a file in order; memory does not grow with the file.

    Args:
        path: of the file; gzip, zlib and no compression are told apart by its first bytes.
        check: compare the checksums of payloads (those of lengths are always compared).

    Raises:
        DataError: the file is not a TFRecord file.
        DamagedRecord: it is truncated, its compression is damaged or a checksum does not match; the records that were
            yielded before are intact.
    """
    path = Path(path)
    kind = compression(path)
    with open(path, "rb") as file:
        source = _Source(path, file, kind)
        while not source.ended():
            header = source.take(12)
            length, stored = struct.unpack("<QI", header)
            if masked(crc32c(header[:8])) != stored:
                raise source.damage("the checksum of its length does not match")
            if length > _LONGEST:
                raise source.damage(f"{length:,} bytes is longer than any record")
            payload = source.take(length)
            (stored,) = struct.unpack("<I", source.take(4))
            if check and masked(crc32c(payload)) != stored:
                raise source.damage("its checksum does not match")
            yield Record(source.record, payload, source.position)
            source.record += 1


def compression(path: Path) -> Literal["none", "gzip", "zlib"]:
    """How a TFRecord file is compressed, from its first bytes.

    Raises:
        DataError: it is no TFRecord file, or cannot be read.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(12)
    except OSError as error:
        raise DataError(f"'{path}' cannot be read ({error.strerror})", "a TFRecord file") from error
    if len(start) == 12 and masked(crc32c(start[:8])) == struct.unpack("<I", start[8:])[0]:
        return "none"
    if start[:2] == b"\x1f\x8b":
        return "gzip"
    if len(start) >= 2 and start[0] & 0x0F == 8 and int.from_bytes(start[:2], "big") % 31 == 0:
        return "zlib"
    what = "is empty" if not start else f"begins with the bytes {start[:8].hex(' ')}"
    raise DataError(f"'{path}' is no TFRecord file: it {what}", "a TFRecord file, plain or compressed (gzip, zlib)")


def masked(crc: int) -> int:
    """A CRC-32C as TFRecord files store it."""
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


class _Source:
    """The decompressed bytes of a file, and what is wrong with them."""

    def __init__(self, path: Path, file: BinaryIO, kind: Literal["none", "gzip", "zlib"]) -> None:
        self.path, self.file, self.record, self.position = path, file, 0, 0
        self._bits = 31 if kind == "gzip" else 15
        self._unpacker = None if kind == "none" else zlib.decompressobj(self._bits)
        self._broken: str | None = None
        self._ready = bytearray()
        self._at = 0

    def ended(self) -> bool:
        """Whether the file ends here, as it should: not within what is compressed."""
        # Some bytes of a file, headers for instance, unpack to nothing.
        while len(self._ready) == self._at:
            if not self._fill():
                if self._unpacker is not None and not self._unpacker.eof:
                    raise self.damage("the file ends before its compressed data do, it is truncated")
                return True
        return False

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        while len(self._ready) - self._at < count:
            if not self._fill():
                raise self.damage("the file ends in the middle of it, it is truncated")
        found = bytes(memoryview(self._ready)[self._at : self._at + count])
        self._at += count
        return found

    def damage(self, reason: str) -> DamagedRecord:
        """The error for the record at hand."""
        return DamagedRecord(self.path, self.record, reason)

    def _fill(self) -> bool:
        """Get more bytes ready, or none yet; False at the end of the file."""
        if self._broken is not None:
            raise self.damage(f"the compression is damaged, {self._broken}")
        del self._ready[: self._at]
        self._at = 0
        if self._unpacker is None:
            data = self.file.read(_READ)
            self.position += len(data)
            self._ready += data
            return bool(data)
        data = self._unpacker.unused_data or self._unpacker.unconsumed_tail
        if not data:
            data = self.file.read(_READ)
            self.position += len(data)
        if not data:
            self._ready += (left := self._unpacker.flush())
            return bool(left)
        if self._unpacker.eof:  # gzip files may be several, one behind the other
            self._unpacker = zlib.decompressobj(self._bits)
        before = self._unpacker.copy()
        try:
            self._ready += self._unpacker.decompress(data, 4 * _READ)
        except zlib.error as error:
            self._broken = str(error)
            self._ready += _until_damage(before, data)
        return True


def _until_damage(unpacker: zlib._Decompress, data: bytes) -> bytes:
    """What `data` unpack to up to the damage in them, which a single call would throw away."""
    found = bytearray()
    try:
        for start in range(0, len(data), 64):
            found += unpacker.decompress(data[start : start + 64])
    except zlib.error:
        pass
    return bytes(found)


def parse_example(payload: bytes, names: frozenset[str] | None = None) -> dict[str, Feature]:
    """The features of a `tf.train.Example` by name.

    Args:
        payload: of a record.
        names: the features wanted; others are not unpacked. All by default.

    Raises:
        ValueError: not the bytes of an Example.
    """
    features: dict[str, Feature] = {}
    for field, kind, start, end in fields(payload, 0, len(payload)):
        if field != 1 or kind != BYTES:
            continue
        for entry, entry_kind, first, last in fields(payload, start, end):
            if entry == 1 and entry_kind == BYTES:
                name, span = _entry(payload, first, last)
                if names is None or name in names:
                    features[name] = _feature(payload, *span)
    return features


def _entry(data: bytes, start: int, end: int) -> tuple[str, tuple[int, int]]:
    """The name of a feature, and where it lies."""
    name, span = "", (0, 0)
    for field, kind, first, last in fields(data, start, end):
        if kind == BYTES and field == 1:
            name = data[first:last].decode("utf-8")
        elif kind == BYTES and field == 2:
            span = (first, last)
    return name, span


def _feature(data: bytes, start: int, end: int) -> Feature:
    for field, kind, first, last in fields(data, start, end):
        if kind == BYTES and field == 1:
            return np.frombuffer(_joined(data, first, last), np.uint8)
        if kind == BYTES and field == 2:
            pieces = [data[a:b] for number, _, a, b in fields(data, first, last) if number == 1]
            return np.frombuffer(b"".join(pieces), "<f4").astype(np.float32)
        if kind == BYTES and field == 3:
            return integers(data, first, last, 1)
    return np.empty(0, np.uint8)


def _joined(data: bytes, start: int, end: int) -> bytes:
    """The joined elements of a bytes list. Elements of one byte are `0A 01 xx`, and millions of them are common: they
    are told by their first bytes and cut out at once."""
    triples, rest = divmod(end - start, 3)
    if rest == 0 and triples:
        view = np.frombuffer(data, np.uint8, end - start, start).reshape(triples, 3)
        if (view[:, 0] == 0x0A).all() and (view[:, 1] == 1).all():
            return view[:, 2].tobytes()
    return b"".join(data[a:b] for number, _, a, b in fields(data, start, end) if number == 1)
