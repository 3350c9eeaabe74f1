"""Writing batches on disk in shards (`shards.py`): each is whole or absent, so that work that was stopped goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from percepts.core.errors import DataError
from percepts.core.files import atomic_folder, write_error
from percepts.data.mapped import alone_in, cache_roots
from percepts.data.shards import Field, Plan, delivered, file_of, narrow, read_plan, shard_lengths

Block = Mapping[str, NDArray[Any]]
"""Some consecutive rows: arrays [B, ...] by name."""

_SHARD_BYTES = 1 << 27


def cached_shards(source: Path, name: str, key: str, cache: Path | None, **rows: Any) -> tuple[Path, Plan]:
    """Shards derived from the file or folder `source`, in a cache, brought to as many rows as wanted.

    Args:
        source: the cache lies beside or in it, in `.percepts-cache`, or in the user's cache folder where that is not
            writable.
        name: of the folder of shards.
        key: as for `grow`.
        cache: a folder to use instead.
        rows: `wanted`, `blocks`, `dtypes` and `remember` as for `grow`.

    Returns:
        the folder of shards, and its plan.

    Raises:
        DataError: no folder can be written.
        PerceptsError: as `grow`.
    """
    folders = [root / name for root in cache_roots(source, cache)]
    for folder in folders:
        if plan := _enough(folder, key, rows["wanted"]):
            return folder, plan
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder, grow(folder, key, **rows)
    tried = ", ".join(f"'{folder.parent}'" for folder in folders)
    raise DataError(f"no cache folder can be written: {tried}", fix="a folder of yours as cache=FOLDER")


def grow(
    folder: Path,
    key: str,
    wanted: int | None,
    blocks: Callable[[int], Iterator[Block]],
    dtypes: Mapping[str, str] | None = None,
    remember: Callable[[], dict[str, Any]] = dict,
    rows_per_shard: int | None = None,
) -> Plan:
    """Make `folder` hold the first `wanted` rows, or all; rows of finished shards are not asked for again.

    One process works on a folder at a time; others wait for it, and find its result.

    Args:
        folder: of the shards; rows of another `key` in it are thrown away.
        key: names everything that the rows depend on.
        wanted: how many rows; None for all that there are.
        blocks: given a row number, yields the rows from there on in blocks of any sizes.
        dtypes: as which fields are delivered, where that is not as the blocks have them.
        remember: asked for JSON data about the source when it has no more rows.
        rows_per_shard: of a new folder; by default as many as take about 128 MB.

    Raises:
        PerceptsError: the disk is full or not writable; finished shards stay, and the next call goes on after them.
    """
    # Looked at before anything is written, so that finished shards can be used where nothing may be written.
    if enough := _enough(folder, key, wanted):
        return enough
    with _locked(folder):
        plan = read_plan(folder)
        if plan is None or plan.key != key:
            _clear(folder)
            plan = None
        lengths = [] if plan is None else shard_lengths(folder, plan)
        if enough := _enough(folder, key, wanted):
            return enough
        _clear_abandoned(folder)
        whole = sum(length == plan.rows_per_shard for length in lengths) if plan is not None else 0
        start = whole * plan.rows_per_shard if plan is not None else 0
        return _write(folder, key, plan, whole, wanted, blocks(start), dtypes or {}, remember, rows_per_shard)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make a folder, and wait until no other process writes in it."""
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(alone_in(folder))
        except OSError as error:
            raise write_error(folder, error) from error
        yield


def _enough(folder: Path, key: str, wanted: int | None) -> Plan | None:
    """The plan of a folder that has all rows wanted of it."""
    plan = read_plan(folder)
    if plan is None or plan.key != key:
        return None
    there = plan.complete or (wanted is not None and sum(shard_lengths(folder, plan)) >= wanted)
    return plan if there else None


def _write(
    folder: Path,
    key: str,
    plan: Plan | None,
    shard: int,
    wanted: int | None,
    blocks: Iterator[Block],
    dtypes: Mapping[str, str],
    remember: Callable[[], dict[str, Any]],
    rows_per_shard: int | None,
) -> Plan:
    """Write the rows of `blocks` from the beginning of `shard` on."""
    waiting: list[dict[str, NDArray[Any]]] = []
    count = 0
    for block in blocks:
        fields = {name: Field(one.shape[1:], dtypes.get(name, str(one.dtype))) for name, one in block.items()}
        rows = {name: narrow(one) if fields[name].large else one for name, one in block.items()}
        if plan is None:
            bytes_ = sum(one.nbytes for one in rows.values()) // len(next(iter(rows.values())))
            size = rows_per_shard or max(_SHARD_BYTES // max(bytes_, 1), 1)
            plan = Plan(key, size, fields, False, {})
            plan.write(folder)
        waiting.append(rows)
        count += len(next(iter(rows.values())))
        while count >= plan.rows_per_shard:
            joined = _cat(waiting, plan)
            _write_shard(folder, shard, plan, {name: one[: plan.rows_per_shard] for name, one in joined.items()})
            # Copies, so that the written rows do not stay in memory.
            waiting = [{name: one[plan.rows_per_shard :].copy() for name, one in joined.items()}]
            shard, count = shard + 1, count - plan.rows_per_shard
        if wanted is not None and shard * plan.rows_per_shard + count >= wanted:
            break
    else:
        wanted = None
    if plan is None:
        raise DataError(f"there is nothing to write into '{folder}'", "at least one item")
    if count:
        _write_shard(folder, shard, plan, _cat(waiting, plan))
    if wanted is None:
        plan = Plan(plan.key, plan.rows_per_shard, plan.fields, True, remember())
        plan.write(folder)
    return plan


def _write_shard(folder: Path, number: int, plan: Plan, rows: Block) -> None:
    count = len(next(iter(rows.values())))
    rest = np.empty(count, plan.rest)
    with atomic_folder(folder / f"{number:05d}") as target:
        for name, field in plan.fields.items():
            if field.large:
                np.save(target / file_of(name, field), np.ascontiguousarray(rows[name]))
            else:
                rest[name] = delivered(torch.from_numpy(rows[name]), field.dtype).numpy()
        if plan.rest.itemsize:
            np.save(target / "rest.npy", rest.view(np.uint8).reshape(count, plan.rest.itemsize))


def _cat(blocks: list[dict[str, NDArray[Any]]], plan: Plan) -> dict[str, NDArray[Any]]:
    """Blocks behind one another; images of which some are bytes and some are not become what is delivered."""
    result = {}
    for name, field in plan.fields.items():
        arrays = [block[name] for block in blocks]
        if len({array.dtype for array in arrays}) > 1:
            arrays = [delivered(torch.from_numpy(array), field.dtype).numpy() for array in arrays]
            result[name] = narrow(np.concatenate(arrays))
        else:
            result[name] = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    return result


def _clear(folder: Path) -> None:
    """Remove rows of another key."""
    (folder / "shards.json").unlink(missing_ok=True)
    for entry in folder.glob("[0-9][0-9][0-9][0-9][0-9]"):
        shutil.rmtree(entry, ignore_errors=True)
    _clear_abandoned(folder)


def _clear_abandoned(folder: Path) -> None:
    """Remove what a killed process left half-written, or half-replaced."""
    for entry in [*folder.glob(".*.tmp"), *folder.glob(".*.old")]:
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
