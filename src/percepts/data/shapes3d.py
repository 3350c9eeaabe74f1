"""The original 3D Shapes file.

3D Shapes Dataset, Burgess and Kim, 2018. 480 000 RGB images of 64 x 64 pixels, the full grid of floor hue, wall hue and
object hue (10 values each), scale (8), shape (4) and orientation (15, -30 to 30 degrees), the last one fastest. HDF5
with two arrays: `images` uint8 [480000,64,64,3] and `labels` float64 [480000,6].
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.config import Config as BaseConfig
from percepts.core.errors import DataError
from percepts.core.optional import require_package
from percepts.core.progress import ProgressLine
from percepts.data.mapped import DeviceRows, RowWriter, cached_rows, check_indices, fingerprint
from percepts.data.published import StoredGrid, files_fingerprint, grid_order, reading, refuse_others, wanted_path

FACTORS = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
_WHAT = "the original 3D Shapes .h5"
_BLOCK_BYTES = 1 << 28
_FORMAT = 1  # raise it when the same file would give another cache


class Shapes3D(StoredGrid):
    """The 3D Shapes file, or a smaller complete grid in the same format.

    The file is compressed in pieces that run through thousands of images, so that one image costs the unpacking of
    hundreds of pieces. It is therefore unpacked once into a cache (5.9 GB for the original) beside the file, or in the
    user's cache folder where that is not writable. `unpack=False` reads the file itself.

    Raises:
        DataError: the file is missing, damaged, or another one.
        MissingPackageError: h5py is not installed (`percepts[datasets]`).
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Where the file is and how it is read.

        Attributes:
            path: of the `.h5` file.
            unpack: once, into a cache; otherwise every batch is read from the file, slowly, and nothing is written.
            max_memory_gigabytes: unpacked images up to this size (in 10^9 bytes) are held in memory, and on the device
                that asks for them; more stay on disk.
            cache: a folder for the unpacked images, instead of the usual places.
        """

        path: str
        unpack: bool = True
        max_memory_gigabytes: float = 0.5
        cache: str | None = None

    def __init__(self, config: Config) -> None:
        self.config = config
        path = wanted_path(config.path, "file", _WHAT)
        refuse_others(path, "Shapes3D", _WHAT)
        files = files_fingerprint([path])
        self.factor_names = FACTORS
        if config.unpack:
            status = path.stat()
            unpacked, remembered = cached_rows(
                source=path,
                name=f"shapes3d-{fingerprint(path.name)}",
                key=fingerprint([_FORMAT, status.st_size, status.st_mtime_ns]),
                fill=lambda target: _unpack(path, target),
                cache=Path(config.cache) if config.cache else None,
            )
            values = remembered["values"]
            self._store(DeviceRows(unpacked, config.max_memory_gigabytes), unpacked.shape[1:], files)
        else:
            packed = PackedRows(path)
            values = _check(packed)
            self._store(packed, packed.shape[1:], files)
        self._values = [torch.tensor(column, dtype=torch.float64) for column in values]
        self.factor_sizes = tuple(len(column) for column in values)

    def factor_values(self, name: str) -> Float64[Tensor, " size"]:
        """The file's own values: hues and scale without a unit, shape 0 to 3, orientation in degrees."""
        return self._values[self.factor_names.index(name)]


class PackedRows:
    """The images of a 3D Shapes file, read from the file itself.

    Args:
        path: of the file; every process opens it for itself.

    Attributes:
        shape: (N, H, W, C) of all images.

    Raises:
        DataError: the file is damaged, or has no array `images` of the right shape and type.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: tuple[int, Any] | None = None
        images = self.array("images")
        self.shape: tuple[int, ...] = images.shape
        if len(self.shape) != 4 or self.shape[-1] != 3 or images.dtype != np.uint8 or 0 in self.shape:
            raise DataError(
                f"'images' in '{path}' has shape {self.shape} and type {images.dtype}", "uint8 of shape N x H x W x 3"
            )

    def __len__(self) -> int:
        return self.shape[0]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}

    def array(self, name: str) -> Any:
        """The array `name` of the file, open but not read."""
        # An HDF5 file that was opened before a fork cannot be used after it.
        if self._open is None or self._open[0] != os.getpid():
            h5py = require_package("h5py", "datasets")
            with reading(self.path, _WHAT):
                self._open = os.getpid(), h5py.File(self.path, "r")
        file = self._open[1]
        with reading(self.path, _WHAT):
            if not hasattr(file.get(name), "dtype"):
                raise DataError(f"'{self.path}' has no array '{name}', it has {', '.join(file) or 'none'}", _WHAT)
            return file[name]

    def take(self, indices: Tensor, device: torch.device | str) -> UInt8[Tensor, "batch height width channels"]:
        """The images at `indices` (on the CPU), on `device`.

        Raises:
            IndexError: an index is negative or too large.
            DataError: the file is damaged there.
        """
        check_indices(indices.numpy(), len(self))
        # HDF5 reads increasing rows only, each once.
        rows, back = np.unique(indices.numpy(), return_inverse=True)
        if len(rows) == 0:
            return torch.empty((0, *self.shape[1:]), dtype=torch.uint8, device=device)
        images = self.array("images")
        with reading(self.path, _WHAT):
            return torch.from_numpy(images[rows][back]).to(device)

    def blocks(self) -> Iterator[NDArray[np.uint8]]:
        """All images in order, in blocks that meet every compressed piece once."""
        images = self.array("images")
        pieces = images.chunks[0] if images.chunks else 1024
        most = max(_BLOCK_BYTES // int(np.prod(self.shape[1:])), 1)
        rows = min(max(1024 // pieces, 1) * pieces, most)
        for start in range(0, len(self), rows):
            with reading(self.path, _WHAT):
                block = images[start : start + rows]
            yield block


def _check(packed: PackedRows) -> list[list[float]]:
    """Refuse labels that are not the full grid in order; returns the values of every factor."""
    array = packed.array("labels")
    if array.shape != (len(packed), len(FACTORS)) or array.dtype.kind not in "fiu":
        raise DataError(
            f"'labels' in '{packed.path}' has shape {array.shape} and type {array.dtype}",
            f"numbers of shape {len(packed)} x 6 ({', '.join(FACTORS)})",
        )
    with reading(packed.path, _WHAT):
        labels = array[:]
    _, values, order = grid_order(packed.path, labels, FACTORS)
    if not np.array_equal(order, np.arange(len(packed))):
        raise DataError(
            f"the images of '{packed.path}' are not in grid order", f"the last of {', '.join(FACTORS)} changing fastest"
        )
    return values


def _unpack(path: Path, target: Path) -> dict[str, Any]:
    """Check everything, then write the images to `target`."""
    packed = PackedRows(path)
    values = _check(packed)
    progress = ProgressLine(len(packed), "images", f"unpacking '{path.name}'")
    with RowWriter(target, packed.shape[1:]) as writer:
        for block in packed.blocks():
            writer.write(block)
            progress.update(writer.count, force=writer.count == len(packed))
    progress.close()
    return {"values": values}
