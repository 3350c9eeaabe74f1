"""Small TFRecord files in the formats of the published sets of scenes, made for the tests of their readers."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from percepts.data.crc32c import crc32c
from percepts.data.scene_formats import SceneFormat
from percepts.data.tfrecord import masked

Values = Mapping[str, np.ndarray]


def varint(value: int) -> bytes:
    """A number of 7 bits a byte; negative ones as 64 bits."""
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def message(field: int, content: bytes) -> bytes:
    """A field of bytes."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def feature(values: np.ndarray, packed: bool = True, whole: bool = False) -> bytes:
    """uint8 as a bytes list (one byte an element, or all of them as one: `whole`), float32 and int64 as numbers."""
    flat = values.ravel()
    if flat.dtype == np.uint8:
        one_by_one = np.stack([np.full_like(flat, 0x0A), np.ones_like(flat), flat], axis=1)
        return message(1, message(1, flat.tobytes()) if whole else one_by_one.tobytes())
    if flat.dtype == np.float32:
        content = message(1, flat.tobytes()) if packed else b"".join(b"\x0d" + one.tobytes() for one in flat)
        return message(2, content)
    numbers = [varint(int(one)) for one in flat]
    return message(3, message(1, b"".join(numbers)) if packed else b"".join(b"\x08" + one for one in numbers))


def example(values: Values, packed: bool = True, whole: tuple[str, ...] = ()) -> bytes:
    """A `tf.train.Example`; the bytes of the features `whole` are one element."""
    entries = [
        message(1, message(1, name.encode()) + message(2, feature(value, packed, name in whole)))
        for name, value in values.items()
    ]
    return message(1, b"".join(entries))


def record(payload: bytes, wrong_crc: bool = False) -> bytes:
    """A payload with its length and checksums."""
    length = struct.pack("<Q", len(payload))
    check = masked(crc32c(payload)) ^ wrong_crc
    return length + struct.pack("<I", masked(crc32c(length))) + payload + struct.pack("<I", check)


def write_records(path: Path, payloads: Iterable[bytes], kind: str = "gzip", wrong_crc: int | None = None) -> None:
    """A TFRecord file; the checksum of record `wrong_crc` is wrong."""
    data = b"".join(record(payload, number == wrong_crc) for number, payload in enumerate(payloads))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data, 1) if kind == "gzip" else zlib.compress(data, 1) if kind == "zlib" else data)


def labels_of(wanted: SceneFormat, count: int, seed: int = 0) -> np.ndarray:
    """Entity numbers [N,H,W] or [N,T,H,W]: all background but a rectangle of every object, which may be hidden."""
    rng = np.random.default_rng(seed)
    height, width, _ = wanted.image
    time = wanted.frames or 1
    labels = np.zeros((count, time, height, width), np.uint8)
    columns = np.arange(width) * wanted.backgrounds // width
    labels[:] = columns
    for scene in labels:
        for entity in range(wanted.backgrounds, wanted.entities - int(rng.integers(0, 2))):
            top, left = rng.integers(0, height - 12), rng.integers(0, width - 12)
            scene[:, top : top + 9, left : left + 12] = entity
    return labels if wanted.frames else labels[:, 0]


def scenes_of(wanted: SceneFormat, count: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """The features of `count` records, as they are stored."""
    rng = np.random.default_rng(seed)
    found = []
    for labels in labels_of(wanted, count, seed):
        values: dict[str, np.ndarray] = {}
        for name, (kind, size) in wanted.sizes.items():
            bytes_ = np.repeat(rng.integers(0, 256, -(-size // 16), np.uint8), 16)[:size]  # quickly compressed
            values[name] = bytes_ if kind == "uint8" else rng.random(size, np.float32)
        axis = {"entity first": 0, "entity last": -1, "frame first": 1}[wanted.mask_axes]
        one_hot = labels[..., None] == np.arange(wanted.entities)
        values["mask"] = np.moveaxis(one_hot, -1, axis).astype(np.uint8) * 255
        present = np.isin(np.arange(wanted.entities), labels).astype(np.float32)
        present[: wanted.backgrounds] = 1
        if wanted.has_visibility:
            values["visibility"] = present
        for one in wanted.properties.values():
            if one.meaning == "code":
                codes = rng.integers(1, one.size + 1, wanted.entities) * present.astype(np.int64)
                codes[: wanted.backgrounds] = 0
                values[one.features[0]] = codes.astype(np.uint8 if one.as_bytes else np.float32)
            elif one.meaning == "degrees":
                values[one.features[0]] = (rng.random(wanted.entities) * 720 - 360).astype(np.float32)
        found.append(values)
    return found


def save_scenes(path: Path, wanted: SceneFormat, count: int = 4, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """A file of `count` records, compressed as the published one; returns the features of every record."""
    scenes = scenes_of(wanted, count, seed)
    video = wanted.frames is not None
    whole = ("image", "mask") if video else ()
    write_records(path, [example(scene, whole=whole) for scene in scenes], "zlib" if video else "gzip")
    return scenes
