"""The original MPI3D files.

On the transfer of inductive bias from simulation to the real world: a new disentanglement dataset, Gondal et al.,
NeurIPS 2019. RGB images of 64 x 64 pixels of a robot arm that holds an object: the full grid of object colour, object
shape, object size (2), camera height (3), background colour (3), and the horizontal and vertical axis of the arm (40
each), the last one fastest. `mpi3d_toy`, `mpi3d_realistic` and `mpi3d_real` have 6 colours and 6 shapes (1 036 800
images), the complex one 4 and 4 (460 800), as its authors' description of the files says. One array a file, `images`
uint8 [N,64,64,3]; there are no labels.
"""

from __future__ import annotations

import contextlib
import math
import os
import struct
import weakref
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError, DataError
from percepts.core.progress import ProgressLine
from percepts.data.mapped import DeviceRows, RowFile, RowWriter, cached_rows, fingerprint, read_header
from percepts.data.published import StoredGrid, described, files_fingerprint, reading, refuse_others, wanted_path

FACTORS = (
    "object_colour",
    "object_shape",
    "object_size",
    "camera_height",
    "background_colour",
    "horizontal_axis",
    "vertical_axis",
)
SIZES = ((6, 6, 2, 3, 3, 40, 40), (4, 4, 2, 3, 3, 40, 40))
_WHAT = "an original MPI3D .npz"
_CHUNK = 1024
_FORMAT = 1  # raise it when the same file would give another cache
_LOCAL_HEADER = struct.Struct("<4s22xHH")


class MPI3D(StoredGrid):
    """An MPI3D file (toy, realistic, real or complex), or a smaller grid in the same format.

    The number of images tells the factor sizes. An uncompressed file is read where it is. A compressed one is unpacked
    once into a cache (12.7 GB for the large ones) beside the file, or in the user's cache folder where that is not
    writable.

    Raises:
        DataError: the file is missing, damaged, or another one.
        ConfigError: `factor_sizes` that are no seven positive numbers.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Where the file is.

        Attributes:
            path: of the `.npz` file.
            factor_sizes: of another grid with the same seven factors; those of the published files if left out.
            max_memory_gigabytes: images up to this size (in 10^9 bytes) are held in memory, and on the device that asks
                for them; more stay on disk.
            cache: a folder for unpacked images, instead of the usual places.
        """

        path: str
        factor_sizes: tuple[int, ...] | None = None
        max_memory_gigabytes: float = 0.5
        cache: str | None = None

    def __init__(self, config: Config) -> None:
        self.config = config
        path = wanted_path(config.path, "file", _WHAT)
        refuse_others(path, "MPI3D", _WHAT)
        rows = _open(path, Path(config.cache) if config.cache else None)
        self.factor_names = FACTORS
        self.factor_sizes = _sizes(path, len(rows), config.factor_sizes)
        self._store(DeviceRows(rows, config.max_memory_gigabytes), rows.shape[1:], files_fingerprint([path]))


class ArchivedRows(RowFile):
    """The rows of an array that lies uncompressed in an `.npz` file.

    Args:
        path: of the `.npz` file.
        start: where the array begins in it, in bytes.

    Raises:
        DataError: the file is truncated or holds something else there.
    """

    def __init__(self, path: Path, start: int) -> None:
        self.path, self._start = path, start
        with reading(path, _WHAT), open(path, "rb") as file:
            file.seek(start)
            self.shape, self.dtype, self._offset = read_header(file)
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._close = weakref.finalize(self, os.close, self._descriptor)
        self._row_bytes = self.dtype.itemsize * math.prod(self.shape[1:])
        self.size_bytes = self._row_bytes * self.shape[0]
        if path.stat().st_size < self._offset + self.size_bytes:
            raise DataError(f"'{path}' is truncated", f"{self.size_bytes} bytes of images")

    def __reduce__(self) -> tuple[Any, ...]:
        return ArchivedRows, (self.path, self._start)


def _open(path: Path, cache: Path | None) -> RowFile:
    """The images of the file, in place or from a cache."""
    with contextlib.ExitStack() as stack:
        with reading(path, _WHAT):
            archive = stack.enter_context(zipfile.ZipFile(path))
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if "images" not in names:
            raise DataError(f"'{path}' holds the arrays {', '.join(names) or 'none'}", f"{_WHAT}, with 'images'")
        member = archive.getinfo("images.npy")
        with reading(path, _WHAT), archive.open(member) as stream:
            shape, dtype, _ = read_header(cast(BinaryIO, stream))
        if len(shape) != 4 or shape[-1] != 3 or dtype != np.uint8 or 0 in shape:
            raise DataError(f"'images' in '{path}' has shape {shape} and type {dtype}", "uint8 of shape N x H x W x 3")
    if member.compress_type == zipfile.ZIP_STORED:
        return ArchivedRows(path, _start_of(path, member))
    status = path.stat()
    rows, _ = cached_rows(
        source=path,
        name=f"mpi3d-{fingerprint(path.name)}",
        key=fingerprint([_FORMAT, status.st_size, status.st_mtime_ns]),
        fill=lambda target: _unpack(path, target),
        cache=cache,
    )
    return rows


def _start_of(path: Path, member: zipfile.ZipInfo) -> int:
    """Where the contents of an uncompressed member begin: behind a header that ends with two texts."""
    with reading(path, _WHAT), open(path, "rb") as file:
        file.seek(member.header_offset)
        data = file.read(_LOCAL_HEADER.size)
        if len(data) < _LOCAL_HEADER.size or not data.startswith(b"PK"):
            raise ValueError("no array where its table of contents has one")
        _, name, extra = _LOCAL_HEADER.unpack(data)
        return member.header_offset + _LOCAL_HEADER.size + int(name) + int(extra)


def _sizes(path: Path, images: int, given: tuple[int, ...] | None) -> tuple[int, ...]:
    """The factor sizes that make `images`."""
    if given is not None and (len(given) != len(FACTORS) or min(given) < 1):
        raise ConfigError(f"factor_sizes = {given}", f"how many values each of {', '.join(FACTORS)} has, at least 1")
    for sizes in SIZES if given is None else (given,):
        if math.prod(sizes) == images:
            return sizes
    if given is not None:
        raise DataError(f"'{path}' has {images} images", f"{math.prod(given)}: {described(FACTORS, given)}")
    known = " or ".join(str(math.prod(sizes)) for sizes in SIZES)
    raise DataError(
        f"'{path}' has {images} images",
        f"{known}, as the published files have",
        "factor_sizes=… with how many values each of the seven factors has",
    )


def _unpack(path: Path, target: Path) -> dict[str, Any]:
    """Write the images to `target`; the archive compares its checksum at their end."""
    with contextlib.ExitStack() as stack:
        with reading(path, _WHAT):
            stream = stack.enter_context(stack.enter_context(zipfile.ZipFile(path)).open("images.npy"))
            shape, _, _ = read_header(cast(BinaryIO, stream))
        progress = ProgressLine(shape[0], "images", f"unpacking '{path.name}'")
        size = math.prod(shape[1:])
        with RowWriter(target, shape[1:]) as writer:
            while writer.count < shape[0]:
                count = min(_CHUNK, shape[0] - writer.count)
                with reading(path, _WHAT):
                    data = stream.read(count * size)
                    if len(data) < count * size:
                        raise EOFError(f"it ends at image {writer.count + len(data) // size} of {shape[0]}")
                writer.write(np.frombuffer(data, np.uint8).reshape(count, *shape[1:]))
                progress.update(writer.count, force=writer.count == shape[0])
            with reading(path, _WHAT):
                if stream.read(1):
                    raise ValueError("it has more pixels than it announces")
        progress.close()
    return {}
