"""Rows of large arrays on disk, and caches of them that are either whole or absent.

Rows are read with positioned reads instead of a memory map: the pages of a map count as memory of the process once
they were touched, so a map of a large data set grows to the size of the set during the first epoch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.errors import DataError
from percepts.core.files import atomic_folder, write_json

_ONE_READ = 1 << 30


class RowFile:
    """The rows (along the first axis) of an `.npy` file, read on demand into fresh memory.

    Args:
        path: an `.npy` file in C order with a plain dtype. It may be shared by threads and forked processes.

    Attributes:
        shape: of the whole array.
        dtype: of its elements.
        size_bytes: of all rows.

    Raises:
        DataError: the file is missing, truncated, or holds something else.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            with open(self.path, "rb") as file:
                self.shape, self.dtype, self._offset = read_header(file)
            self._descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except (OSError, ValueError) as error:
            raise DataError(f"'{self.path}' cannot be read as an .npy array ({error})") from error
        self._close = weakref.finalize(self, os.close, self._descriptor)
        self._row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        self.size_bytes = self._row_bytes * self.shape[0]
        wanted = self._offset + self.size_bytes
        if os.fstat(self._descriptor).st_size < wanted:
            raise DataError(f"'{self.path}' is truncated", f"{wanted} bytes for an array of shape {self.shape}")

    def __len__(self) -> int:
        return self.shape[0]

    def __reduce__(self) -> tuple[type[RowFile], tuple[Path]]:
        return RowFile, (self.path,)

    def take(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """The rows at `indices` [B], as an array [B, ...].

        Raises:
            IndexError: an index is negative or too large.
            DataError: the file was shortened since it was opened.
        """
        rows = np.empty((len(indices), *self.shape[1:]), self.dtype)
        if rows.size == 0:
            return rows
        check_indices(indices, len(self))
        low, high = int(indices.min()), int(indices.max())
        view = rows.data.cast("B")
        size = self._row_bytes
        if high - low == len(indices) - 1 and bool((np.diff(indices) == 1).all()):
            self._read(view, self._offset + low * size)
        else:
            for row, index in enumerate(indices.tolist()):
                self._read(view[row * size : (row + 1) * size], self._offset + index * size)
        return rows

    def _read(self, view: memoryview, offset: int) -> None:
        while view:
            count = os.preadv(self._descriptor, [view[:_ONE_READ]], offset)
            if count == 0:
                raise DataError(f"'{self.path}' became shorter while it was in use", fix="start again")
            view, offset = view[count:], offset + count


class DeviceRows:
    """The rows of a file as tensors: held in memory and on the devices that ask where they are few, else read.

    Args:
        rows: of the file.
        max_gigabytes: the largest array to hold, in 10^9 bytes.
    """

    def __init__(self, rows: RowFile, max_gigabytes: float) -> None:
        self.rows = rows
        self._held: dict[torch.device, Tensor] = {}
        if rows.size_bytes <= max_gigabytes * 1e9:
            self._held[torch.device("cpu")] = torch.from_numpy(rows.take(np.arange(len(rows))))

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: Int64[Tensor, " batch"], device: torch.device | str) -> Shaped[Tensor, "batch ..."]:
        """The rows at `indices` (on the CPU), on `device`.

        Raises:
            IndexError: an index is negative or too large.
        """
        if not self._held:
            return torch.from_numpy(self.rows.take(indices.numpy())).to(device)
        check_indices(indices.numpy(), len(self))
        device = torch.device(device)
        if device not in self._held:
            self._held[device] = self._held[torch.device("cpu")].to(device)
        return self._held[device].index_select(0, indices.to(device))


def check_indices(indices: NDArray[np.int64], count: int) -> None:
    """Refuse indices outside of 0 to `count` - 1: negative ones would silently count from the end.

    Raises:
        IndexError: naming the first offender.
    """
    if len(indices) and (indices.min() < 0 or indices.max() >= count):
        worst = indices.min() if indices.min() < 0 else indices.max()
        raise IndexError(f"index {worst} of {count} items")


class RowWriter:
    """Writes an `.npy` file row by row, without knowing beforehand how many there will be.

    Args:
        path: the file; it is replaced.
        row_shape: shape of one row.
        dtype: of the elements.
    """

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: type[np.generic] = np.uint8) -> None:
        self.path, self.row_shape, self.dtype, self.count = path, row_shape, np.dtype(dtype), 0

    def __enter__(self) -> RowWriter:
        self._file = open(self.path, "wb")
        self._write_header()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                # The header has room for any count, so its length stays the same.
                self._file.seek(0)
                self._write_header()
        finally:
            self._file.close()

    def write(self, rows: NDArray[Any]) -> None:
        """Append `rows` [B, ...]."""
        assert rows.shape[1:] == self.row_shape
        assert rows.dtype == self.dtype
        self._file.write(np.ascontiguousarray(rows).data)
        self.count += len(rows)

    def _write_header(self) -> None:
        shape = (self.count, *self.row_shape)
        npy.write_array_header_1_0(
            self._file, {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape}
        )


def read_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, dtype and data offset of an `.npy` file that is open at its start.

    Raises:
        ValueError: not an `.npy` file, no rows, pickled objects, or columns first.
    """
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(file)
    if version not in readers:
        raise ValueError(f"unknown .npy version {version}")
    shape, fortran, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are never loaded")
    if fortran and len(shape) > 1:
        raise ValueError("it is stored columns first; save numpy.ascontiguousarray(array)")
    if not shape:
        raise ValueError("it holds a single number")
    return shape, dtype, file.tell()


def cached_rows(
    source: Path, name: str, key: str, fill: Callable[[Path], dict[str, Any]], cache: Path | None = None
) -> tuple[RowFile, dict[str, Any]]:
    """Rows derived from `source`, from a cache where an up-to-date one exists.

    Args:
        source: the folder (or file) that the rows come from; the cache lies beside or in it, in `.percepts-cache`, or
            in the user's cache folder where that is not writable.
        name: of the cache; one entry a name is kept.
        key: a fingerprint of everything that the rows depend on.
        fill: writes the rows to the path it is given and returns what to remember with them (JSON data).
        cache: a folder to use instead.

    Returns:
        the rows, and what `fill` returned.

    Raises:
        DataError: no folder can be written.
        PerceptsError: the disk is full.
    """
    roots = cache_roots(source, cache)
    for root in roots:
        if found := _read(root / name, key):
            return found
    refused = []
    for root in roots:
        with contextlib.ExitStack() as stack:
            try:
                root.mkdir(parents=True, exist_ok=True)
                alone = stack.enter_context(alone_in(root))
            except OSError as error:
                refused.append(error)
                continue
            if found := _read(root / name, key):
                return found
            if alone:
                _clear_abandoned(root)
            with atomic_folder(root / name) as folder:
                remembered = fill(folder / "rows.npy")
                write_json(folder / "index.json", {"key": key, "remembered": remembered})
            return RowFile(root / name / "rows.npy"), remembered
    reasons = ", ".join(f"'{root}' ({error.strerror})" for root, error in zip(roots, refused))
    raise DataError(
        f"no cache folder can be written: {reasons}",
        fix="a folder of yours as cache=FOLDER (on the command line, for pictures: --data.cache FOLDER)",
    )


def fingerprint(value: Any) -> str:
    """Sixteen hexadecimal digits that name JSON data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def cache_roots(source: Path, cache: Path | None) -> list[Path]:
    """Where a cache may lie, best first; in a shared folder every source has a folder of its own."""
    source = source.resolve()
    own = f"{source.name}-{fingerprint(str(source))}"
    if cache is not None:
        return [cache.expanduser() / own]
    beside = (source if source.is_dir() else source.parent) / ".percepts-cache"
    users = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "percepts"
    return [beside, users / own]


def _read(folder: Path, key: str) -> tuple[RowFile, dict[str, Any]] | None:
    try:
        index = json.loads((folder / "index.json").read_text())
        return (RowFile(folder / "rows.npy"), index["remembered"]) if index["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return None


@contextlib.contextmanager
def alone_in(root: Path) -> Iterator[bool]:
    """Wait until no other process writes in `root`, so that one decodes and the others find its result.

    False where the system cannot lock: then several may do the same work, and the renames keep their results whole.
    """
    with open(root / ".lock", "ab") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
            alone = True
        except (ImportError, OSError):
            alone = False
        yield alone


def _clear_abandoned(root: Path) -> None:
    """Remove what a killed process left half-written; whoever holds the lock is the only writer."""
    for folder in [*root.glob(".*.tmp"), *root.glob(".*.old")]:
        shutil.rmtree(folder, ignore_errors=True)
