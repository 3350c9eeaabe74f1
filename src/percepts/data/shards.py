"""Batches on disk in shards: written one after another, each whole or absent, so that stopped work goes on.

A folder of shards holds `shards.json` (what its rows are) and the folders `00000`, `00001`, … of equally many rows,
the last one perhaps of fewer. In each, large fields (images, segmentations) have an `.npy` file of their own, in the
smallest type that loses nothing: images become bytes where they are multiples of 1/255, entity numbers the smallest
integers that hold them. All other fields lie side by side in the rows of `rest.npy`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.errors import DataError
from percepts.core.files import write_json
from percepts.data.mapped import RowFile, check_indices

_LARGE = 256  # elements in a row from which on a field has its own file
_OPEN_FILES = 128
_FORMAT = 1


@dataclass(frozen=True)
class Field:
    """What a field of a row is.

    Attributes:
        shape: in one row.
        dtype: as it is delivered; "float32" images may be stored as bytes, "int64" numbers in smaller integers.
    """

    shape: tuple[int, ...]
    dtype: str

    @property
    def large(self) -> bool:
        """Whether it has a file of its own."""
        return int(np.prod(self.shape)) >= _LARGE


@dataclass(frozen=True)
class Plan:
    """What `shards.json` says.

    Attributes:
        key: names everything that the rows depend on.
        rows_per_shard: of every shard but the last.
        fields: by name, in the order of the rows of `rest.npy`.
        complete: whether the source of the rows has no more.
        remembered: JSON data about the source, once complete.
    """

    key: str
    rows_per_shard: int
    fields: dict[str, Field]
    complete: bool
    remembered: dict[str, Any]

    @property
    def rest(self) -> np.dtype[Any]:
        """A row of `rest.npy`."""
        return np.dtype([(name, one.dtype, one.shape) for name, one in self.fields.items() if not one.large])

    def write(self, folder: Path) -> None:
        """Replace the plan of `folder`."""
        write_json(folder / "shards.json", {"format": _FORMAT, **asdict(self)})


def read_plan(folder: Path) -> Plan | None:
    """The plan of a folder of shards; None where there is none that can be read."""
    try:
        data = json.loads((folder / "shards.json").read_text())
        fields = {name: Field(tuple(one["shape"]), one["dtype"]) for name, one in data["fields"].items()}
        if data["format"] != _FORMAT:
            return None
        return Plan(data["key"], data["rows_per_shard"], fields, data["complete"], data["remembered"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def shard_lengths(folder: Path, plan: Plan) -> list[int]:
    """How many rows the shards of `folder` have, up to the first that is missing.

    Raises:
        DataError: a file is damaged.
    """
    lengths: list[int] = []
    while (shard := folder / f"{len(lengths):05d}").is_dir():
        lengths.append(len(RowFile(shard / files_of(plan)[0])))
    return lengths


class Shards:
    """The rows of a folder of shards, as batches. May be shared by threads and forked processes, and pickled.

    Args:
        folder: of the shards.
        rows: how many of them to use, from the first; all by default.
        max_gigabytes: up to this size (in 10^9 bytes) rows are held in memory, and on the devices that ask.

    Raises:
        DataError: the folder has no shards, fewer rows than wanted, or is damaged.
    """

    def __init__(self, folder: Path, rows: int | None = None, max_gigabytes: float = 0.0) -> None:
        plan = read_plan(folder)
        if plan is None:
            raise DataError(f"'{folder}' holds no shards", fix="make them anew: remove the folder and repeat")
        self.folder, self.plan = folder, plan
        lengths = shard_lengths(folder, plan)
        there = sum(lengths)
        self.rows = there if rows is None else rows
        if self.rows > there:
            raise DataError(f"'{folder}' holds {there} rows", f"{self.rows}", "repeat the command that made them")
        self._open: dict[Path, RowFile] = {}
        self._held: dict[torch.device, Batch] = {}
        if self.rows * self._bytes_per_row(len(lengths), there) <= max_gigabytes * 1e9:
            self._held[torch.device("cpu")] = self._stored(np.arange(self.rows), tuple(plan.fields))

    def __len__(self) -> int:
        return self.rows

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def take(
        self, indices: Int64[Tensor, " batch"], names: tuple[str, ...], device: torch.device | str = "cpu"
    ) -> Batch:
        """The fields `names` of the rows at `indices` (on the CPU), on `device`.

        Raises:
            IndexError: an index is negative or too large.
        """
        check_indices(indices.numpy(), self.rows)
        device = torch.device(device)
        if self._held:
            cpu = self._held[torch.device("cpu")]
            if device not in self._held:
                self._held[device] = {name: value.to(device) for name, value in cpu.items()}
            places = indices.to(device)
            stored = {name: self._held[device][name].index_select(0, places) for name in names}
        else:
            stored = {name: value.to(device) for name, value in self._stored(indices.numpy(), names).items()}
        return {name: delivered(value, self.plan.fields[name].dtype) for name, value in stored.items()}

    def _bytes_per_row(self, shards: int, rows: int) -> float:
        names = files_of(self.plan)
        files = [self.folder / f"{shard:05d}" / name for shard in range(shards) for name in names]
        try:
            return sum(file.stat().st_size for file in files) / max(rows, 1)
        except OSError as error:
            raise DataError(f"'{error.filename}' is missing", fix="remove the folder around it and repeat") from error

    def column(self, name: str) -> Tensor:
        """A small field of all rows."""
        return self.take(torch.arange(self.rows), (name,))[name]

    def _stored(self, indices: NDArray[np.int64], names: tuple[str, ...]) -> Batch:
        """Fields as they are stored; in a type that suits all shards where these differ."""
        shards, inner = np.divmod(indices, self.plan.rows_per_shard)
        parts = [(np.flatnonzero(shards == shard), int(shard)) for shard in np.unique(shards)]
        batch: Batch = {}
        for file in files_of(self.plan):
            wanted = [name for name in names if file_of(name, self.plan.fields[name]) == file]
            if not wanted:
                continue
            read = [self._file(shard, file).take(inner[places]) for places, shard in parts]
            if file == "rest.npy":
                rows = _joined(read, parts, len(indices), (self.plan.rest.itemsize,), "uint8")
                table = rows.view(self.plan.rest)[:, 0] if len(rows) else np.empty(0, self.plan.rest)
                batch |= {name: torch.from_numpy(table[name].copy()) for name in wanted}
            else:
                field = self.plan.fields[wanted[0]]
                batch[wanted[0]] = torch.from_numpy(_joined(read, parts, len(indices), field.shape, field.dtype))
        return batch

    def _file(self, shard: int, name: str) -> RowFile:
        path = self.folder / f"{shard:05d}" / name
        if path not in self._open:
            if len(self._open) >= _OPEN_FILES:
                del self._open[next(iter(self._open))]
            self._open[path] = RowFile(path)
        return self._open[path]


def delivered(stored: Tensor, dtype: str) -> Tensor:
    """A stored field as it is delivered: bytes of an image as numbers in [0, 1], others in their type."""
    if dtype == "float32" and stored.dtype == torch.uint8:
        return stored.to(torch.float32).div_(255)
    return stored.to(getattr(torch, dtype))


def narrow(array: NDArray[Any]) -> NDArray[Any]:
    """A large field in the smallest type that loses nothing."""
    if array.dtype == np.int64:
        limit = max(-int(array.min(initial=0)) - 1, int(array.max(initial=0)))
        small = np.uint8 if array.min(initial=0) >= 0 and limit <= 255 else np.int16 if limit < 1 << 15 else np.int64
        return array.astype(small)
    if array.dtype == np.float32:
        scaled = array * np.float32(255)
        if np.isfinite(array).all() and scaled.min(initial=0) >= 0 and scaled.max(initial=0) <= 255:
            as_bytes = np.round(scaled).astype(np.uint8)
            # The very division that delivers them, so that equal means the same bits.
            if np.array_equal(delivered(torch.from_numpy(as_bytes), "float32").numpy(), array):
                return as_bytes
    return array


def _joined(
    read: list[NDArray[Any]], parts: list[tuple[NDArray[np.int64], int]], count: int, shape: tuple[int, ...], dtype: str
) -> NDArray[Any]:
    """What was read of each shard, at its places in the batch."""
    if len(read) == 1 and len(read[0]) == count:
        return read[0]
    if len({one.dtype for one in read}) > 1:
        read = [delivered(torch.from_numpy(one), dtype).numpy() for one in read]
    whole = np.empty((count, *shape), read[0].dtype if read else dtype)
    for one, (places, _) in zip(read, parts):
        whole[places] = one
    return whole


def files_of(plan: Plan) -> list[str]:
    """The names of the files of a shard."""
    names = {file_of(name, field): None for name, field in plan.fields.items()}
    return sorted(names, key=lambda name: name != "rest.npy")


def file_of(name: str, field: Field) -> str:
    """The file that holds a field."""
    return f"{name}.npy" if field.large else "rest.npy"
