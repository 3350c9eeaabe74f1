"""TFRecord files without TensorFlow: checksums, compression, every way of writing a feature, damage."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from dataset_contract import assert_one_line
from scene_files import example, feature, message, record, varint, write_records

from percepts.core.errors import DataError
from percepts.data import crc32c as crc_module
from percepts.data import tfrecord
from percepts.data.crc32c import crc32c
from percepts.data.tfrecord import DamagedRecord, compression, masked, parse_example, records

PAYLOADS = [b"one", b"", b"three" * 1000]


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"123456789", 0xE3069283),
        (b"\0" * 32, 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"", 0),
    ],
)
def test_crc32c_has_the_values_of_rfc_3720(data: bytes, value: int) -> None:
    assert crc32c(data) == value


@pytest.mark.parametrize("size", [511, 512, 513, 1023, 4096, 5001, 65_537, 300_007])
def test_crc32c_in_lanes_is_crc32c_byte_by_byte(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == crc_module._serial(data, 0xFFFFFFFF) ^ 0xFFFFFFFF


def test_the_mask_is_that_of_tfrecord() -> None:
    # The length 8 and its masked checksum, as TensorFlow writes them.
    assert record(b"\0" * 8)[:8] == struct.pack("<Q", 8)
    assert masked(0) == 0xA282EAD8
    assert masked(0xFFFFFFFF) == (0xFFFFFFFF + 0xA282EAD8) & 0xFFFFFFFF
    assert masked(1 << 15) == 0xA282EAD9


@pytest.mark.parametrize("kind", ["gzip", "zlib", "none"])
def test_records_come_back_in_order(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tfrecords"
    write_records(path, PAYLOADS, kind)
    assert compression(path) == kind
    found = list(records(path))
    assert [one.payload for one in found] == PAYLOADS
    assert [one.number for one in found] == [0, 1, 2]
    assert found[-1].position == path.stat().st_size


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecords"
    path.write_bytes(b"".join(gzip.compress(record(payload)) for payload in PAYLOADS))
    assert [one.payload for one in records(path)] == PAYLOADS


def test_large_records_that_compress_well_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfrecord, "_READ", 1 << 12)
    payloads = [bytes(90_000), b"x" * 50_001]
    write_records(tmp_path / "a.tfrecords", payloads)
    assert [one.payload for one in records(tmp_path / "a.tfrecords")] == payloads


@pytest.mark.parametrize("kind", ["gzip", "zlib", "none"])
@pytest.mark.parametrize("lost", [1, 5, 4000])
def test_a_truncated_file_gives_what_is_before(tmp_path: Path, kind: str, lost: int) -> None:
    path = tmp_path / "a.tfrecords"
    write_records(path, [np.random.default_rng(n).bytes(5000) for n in range(3)], kind)
    path.write_bytes(path.read_bytes()[:-lost])
    found: list[int] = []
    with pytest.raises(DamagedRecord) as error:
        found.extend(one.number for one in records(path))
    assert_one_line(error, "a.tfrecords", f"record {error.value.record} ", "truncated", "intact")
    assert found == list(range(error.value.record))
    assert error.value.record >= 2


@pytest.mark.parametrize("kind", ["gzip", "zlib", "none"])
@pytest.mark.parametrize("read", [1, 7, 1 << 20])
def test_a_file_cut_anywhere_is_never_taken_for_whole(
    tmp_path: Path, kind: str, read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfrecord, "_READ", read)
    path = tmp_path / "a.tfrecords"
    payloads = [b"one", b"", np.random.default_rng(0).bytes(60)]
    write_records(path, payloads, kind)
    data = path.read_bytes()
    ends = np.cumsum([len(record(payload)) for payload in payloads]).tolist()
    assert [one.payload for one in records(path)] == payloads
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        found: list[bytes] = []
        if kind == "none" and cut in ends:  # nothing says that more should follow
            assert len(list(records(path))) == 1 + ends.index(cut)
            continue
        with pytest.raises(DataError) as error:
            found.extend(one.payload for one in records(path))
        assert found == payloads[: len(found)]
        assert not isinstance(error.value, DamagedRecord) or error.value.record == len(found)
        if kind == "none":
            assert len(found) == sum(end <= cut for end in ends)


@pytest.mark.parametrize("read", [1, 7, 10, 64])
def test_several_gzip_members_are_one_file_wherever_reads_end(
    tmp_path: Path, read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfrecord, "_READ", read)
    path = tmp_path / "a.tfrecords"
    path.write_bytes(b"".join(gzip.compress(record(payload)) for payload in PAYLOADS))
    assert [one.payload for one in records(path)] == PAYLOADS


@pytest.mark.parametrize("kind", ["gzip", "none"])
def test_a_huge_length_is_an_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tfrecords"
    for length, word in ((1 << 31, "truncated"), (1 << 40, "1,099,511,627,776 bytes is longer than any record")):
        head = struct.pack("<Q", length)
        data = record(b"one") + head + struct.pack("<I", masked(crc32c(head))) + b"and so on"
        path.write_bytes(gzip.compress(data) if kind == "gzip" else data)
        with pytest.raises(DamagedRecord) as error:
            list(records(path))
        assert_one_line(error, "record 1 ", word, "the 1 before it are intact")


def test_a_wrong_checksum_is_found_unless_not_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecords"
    write_records(path, PAYLOADS, wrong_crc=1)
    with pytest.raises(DamagedRecord) as error:
        list(records(path))
    assert_one_line(error, "record 1 ", "checksum", "the 1 before it are intact")
    assert [one.payload for one in records(path, check=False)] == PAYLOADS


def test_damage_within_the_compression_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecords"
    write_records(path, [np.random.default_rng(n).bytes(5000) for n in range(9)])
    data = bytearray(path.read_bytes())
    data[25_000:25_400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(DamagedRecord) as error:
        list(records(path))
    assert_one_line(error, "a.tfrecords", "record")
    assert 3 <= error.value.record <= 5


@pytest.mark.parametrize(("data", "word"), [(b"", "is empty"), (b"PK\x03\x04 and more than that", "50 4b 03 04")])
def test_other_files_are_refused(tmp_path: Path, data: bytes, word: str) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(DataError) as error:
        list(records(tmp_path / "a"))
    assert_one_line(error, "no TFRecord file", word)


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    for path, word in ((tmp_path, "directory"), (tmp_path / "none", "No such file")):
        with pytest.raises(DataError) as error:
            list(records(path))
        assert_one_line(error, str(path), "cannot be read", word)


def test_gzip_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"a text that is longer than a header"))
    with pytest.raises(DamagedRecord) as error:
        list(records(tmp_path / "a.gz"))
    assert_one_line(error, "record 0", "length")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("whole", [(), ("image",)])
def test_features_of_all_kinds(packed: bool, whole: tuple[str, ...]) -> None:
    values = {
        "image": np.arange(256, dtype=np.uint8),
        "x": np.array([0.5, -1.25, 3e30], np.float32),
        "count": np.array([0, 1, 127, 128, -1, -(1 << 63), (1 << 63) - 1], np.int64),
    }
    found = parse_example(example(values, packed, whole))
    assert found.keys() == values.keys()
    for name, value in values.items():
        assert found[name].dtype == value.dtype
        assert np.array_equal(found[name], value)


def test_only_the_features_wanted_are_unpacked() -> None:
    values = {"a": np.zeros(3, np.float32), "b": np.ones(2, np.uint8)}
    assert parse_example(example(values), frozenset({"b", "c"})).keys() == {"b"}


def test_elements_of_several_lengths_are_joined() -> None:
    # Six bytes that look like two elements of one byte at first sight, and are one of four.
    content = message(1, b"\x01\x0a\x01\x07") + message(1, b"") + message(1, b"\x09")
    payload = message(1, message(1, message(1, b"image") + message(2, message(1, content))))
    assert parse_example(payload)["image"].tolist() == [1, 10, 1, 7, 9]


def test_an_empty_feature_and_unknown_fields_do_no_harm() -> None:
    entry = message(1, b"a") + message(2, b"")
    strange = varint(9 << 3) + varint(300) + varint(10 << 3 | 5) + b"1234" + varint(11 << 3 | 1) + b"12345678"
    assert parse_example(strange + message(1, message(1, entry) + strange))["a"].size == 0


@pytest.mark.parametrize("payload", [b"\x0a\xff", b"\xff" * 12, b"\x0b", message(1, b"\x0a\x05abc"), b"\x02\x00"])
def test_bytes_that_are_no_example_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"field|number"):
        parse_example(payload)


def test_features_of_one_byte_elements_are_what_the_writer_says() -> None:
    assert feature(np.array([7, 8], np.uint8)) == message(1, b"\x0a\x01\x07\x0a\x01\x08")
