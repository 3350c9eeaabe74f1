"""Scenes from the TFRecord files of a published set.

The files can only be read from their beginning, at tens to a thousand records a second. They are therefore converted
once, into shards in a cache beside the file (or in the user's cache folder where that is not writable), with one entity
number a pixel instead of one mask an entity; a conversion that is stopped goes on where it was. No split is the
authors' own; `split` has those that papers use.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError, DataError
from percepts.core.progress import ProgressLine
from percepts.data.dataset import check_places
from percepts.data.mapped import fingerprint
from percepts.data.published import files_fingerprint, likeness, wanted_path
from percepts.data.scene_formats import SceneFormat, read_scene
from percepts.data.scene_splits import RecordSplit, passing, split_rows
from percepts.data.scenes import SceneDataset
from percepts.data.shard_writing import Block, cached_shards
from percepts.data.shards import Shards
from percepts.data.tfrecord import DamagedRecord, records

_BLOCK = 64
_FORMAT = 1  # raise it when the same file would give other shards
_DTYPES = {"image": "float32", "video": "float32", "segmentation": "int64"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RecordsConfig(BaseConfig):
    """Where the records are, and which of them are used.

    Attributes:
        path: of the file, or of a folder with the files of a set that is stored in several.
        max_records: convert no more than the first so many; a later, larger number goes on from there.
        split: see `scene_splits.RecordSplit`.
        objects: use only scenes with so many objects, the least and the most; background does not count.
        damaged: what to do about a truncated or damaged file: "keep" the records before the damage, with a warning
            that names the record, or "refuse" it.
        check: compare the checksums of all records, which takes half of the time of a conversion.
        lenient_masks: accept masks that do not part the image: a pixel then goes to the entity of the largest value.
        max_memory_gigabytes: converted records up to this size (in 10^9 bytes) are held in memory, and on the device
            that asks for them; more stay on disk.
        cache: a folder for the converted records, instead of the usual places.
    """

    path: str
    max_records: int | None = None
    split: RecordSplit = "all"
    objects: tuple[int, int] | None = None
    damaged: Literal["keep", "refuse"] = "keep"
    check: bool = True
    lenient_masks: bool = False
    max_memory_gigabytes: float = 0.5
    cache: str | None = None


class SceneRecords(SceneDataset):
    """A published set of scenes; the base of the readers of the five sets.

    Attributes:
        format: how records are stored.
        records: the number of every item's record, in the order of the files.

    Raises:
        DataError: the file is missing, another set's, damaged from its first record, or without records that fit.
        ConfigError: settings that do not fit together.
        PerceptsError: the disk is full; what was converted before is kept.
    """

    config: Any
    format: SceneFormat

    def __init__(self, config: RecordsConfig) -> None:
        self.config = config
        self.format = self._format()
        if config.max_records is not None and config.max_records < 1:
            raise ConfigError(f"max_records = {config.max_records}", "at least 1, or None for all")
        files = record_files(config.path, f"the TFRecord file of {self.format.title}, or the folder of its files")
        self._announce()
        conversion = _Conversion(self, files)
        source = Path(config.path).expanduser()
        folder, plan = cached_shards(
            source=source,
            # Files of one folder share a cache beside them: each has a name of its own in it.
            name=f"{type(self).__name__}-{fingerprint([source.resolve().name, *conversion.settings])}",
            key=fingerprint([_FORMAT, conversion.settings, conversion.stats]),
            wanted=config.max_records,
            blocks=conversion.blocks,
            dtypes=_DTYPES,
            remember=conversion.remember,
            cache=Path(config.cache) if config.cache else None,
        )
        if plan.remembered.get("damage") and config.damaged == "refuse":
            raise DataError(plan.remembered["damage"][0], fix="fetch the file again, or damaged='keep'")
        if not conversion.damage:  # of an earlier conversion, which has said so
            for damage in plan.remembered.get("damage", ()):
                log.warning("%s; these are used", damage)
        # Shards are as long as they are: there may be more rows than asked for by now.
        self._shards = Shards(folder, None, config.max_memory_gigabytes)
        if config.max_records is not None and len(self._shards) > config.max_records:
            self._shards = Shards(folder, config.max_records, config.max_memory_gigabytes)
        self.records = self._choose()
        self._files = files_fingerprint(files)

    @abstractmethod
    def _format(self) -> SceneFormat:
        """How the records are stored."""

    def _settings(self) -> list[Any]:
        """What changes the converted records, apart from the files."""
        return [self.format.title, self.config.lenient_masks]

    def _prepare(self, block: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Records as read, as they are to be stored."""
        return block

    def _passes(self) -> Tensor:
        """Which of the converted records pass the filter, bool [N]."""
        return passing(self.object_counts(), self.config.objects)

    def _iodine_train(self) -> int:
        return 60_000

    def _announce(self) -> None:
        """Set what a `SceneDataset` has."""
        height, width, channels = self.format.image
        self.image_shape = (channels, height, width)
        self.entities, self.backgrounds = self.format.entities, self.format.backgrounds
        self.frames = self.format.frames
        self.properties = {name: one.property for name, one in self.format.properties.items()}

    def _choose(self) -> Tensor:
        return split_rows(self.config.split, self._passes(), self._iodine_train())

    def object_counts(self) -> Tensor:
        """How many objects every converted record has, int64 [N]: those that the file says are there, seen or not;
        where it does not say, those that can be seen."""
        return self._shards.column("exists")[:, self.backgrounds :].sum(1)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def identity(self) -> str:
        """As `ImageDataset.identity`, with a fingerprint of the files."""
        return f"{super().identity}, files {self._files}"

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The scenes at `indices` [B]; see `SceneDataset`.

        Raises:
            IndexError: an index is negative or too large.
        """
        names = ("image",) if self.frames is None else ("video", "camera", "position")
        known = (f"entity.{name}" for name in self.properties)
        return self._shards.take(self._rows(indices), (*names, "segmentation", "visible", *known), device)

    def details(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """`exists` bool [B,E]: which entities a scene has, seen or not, as far as the file says. There is nothing else:
        the published files have neither depth nor what is hidden.

        Raises:
            IndexError: an index is negative or too large.
        """
        return self._shards.take(self._rows(indices), ("exists",), device)

    def _rows(self, indices: Tensor) -> Tensor:
        indices = indices.cpu()
        check_places(indices, len(self))
        return self.records[indices]


class _Conversion:
    """The way from TFRecord files to shards."""

    def __init__(self, dataset: SceneRecords, files: list[Path]) -> None:
        self.dataset, self.files = dataset, files
        self.settings = dataset._settings()
        status = [path.stat() for path in files]
        self.stats = [[path.name, one.st_size, one.st_mtime_ns] for path, one in zip(files, status)]
        self.damage: list[str] = []

    def remember(self) -> dict[str, Any]:
        """What was wrong with the files."""
        return {"damage": self.damage}

    def blocks(self, start: int) -> Iterator[Block]:
        """The rows from `start` on."""
        waiting: list[dict[str, NDArray[Any]]] = []
        for row in self._scenes(start):
            waiting.append(row)
            if len(waiting) == _BLOCK:
                yield self._block(waiting)
                waiting = []
        if waiting:
            yield self._block(waiting)

    def _scenes(self, start: int) -> Iterator[dict[str, NDArray[Any]]]:
        config, total = self.dataset.config, sum(path.stat().st_size for path in self.files)
        progress = ProgressLine(total // 1_000_000, "MB", f"converting '{Path(config.path).name}'")
        number, before, most = 0, 0, config.max_records
        for path in self.files:
            try:
                for record in records(path, config.check):
                    if number >= start and (most is None or number < most):
                        yield self._scene(path, record.number, record.payload)
                    elif number >= start:
                        return
                    number += 1
                    progress.update((before + record.position) // 1_000_000, f"{number:,} records")
            except DamagedRecord as error:
                if config.damaged == "refuse" or (number == 0 and len(self.files) == 1):
                    raise
                self.damage.append(error.got)
                log.warning("%s; these are used", error.got)
            before += path.stat().st_size
        progress.close()

    def _scene(self, path: Path, number: int, payload: bytes) -> dict[str, NDArray[Any]]:
        config = self.dataset.config
        try:
            return read_scene(payload, self.dataset.format, config.lenient_masks)
        except ValueError as error:
            raise DataError(
                f"record {number} of '{path}' cannot be used: {error}", self.dataset.format.title
            ) from error

    def _block(self, rows: list[dict[str, NDArray[Any]]]) -> Block:
        block = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        block = self.dataset._prepare(block)
        entities, backgrounds = self.dataset.entities, self.dataset.backgrounds
        shown = np.zeros((len(rows), entities), bool)
        flat = block["segmentation"].reshape(len(rows), -1).astype(np.int64)
        shown[np.arange(len(rows))[:, None], flat] = True
        block["visible"] = shown
        block.setdefault("exists", shown)
        for name in self.dataset.properties:
            value = block[f"entity.{name}"]
            value[:, :backgrounds] = 0
            value[~block["exists"]] = 0
        return block


def record_files(path: str, what: str = "a TFRecord file, or a folder of them") -> list[Path]:
    """The file `path`, or the TFRecord files of a folder, sorted by name.

    Raises:
        DataError: there is none; the message says `what` was expected.
    """
    found = Path(path).expanduser()
    if not found.is_dir():
        return [wanted_path(path, "file", what)]
    files = sorted(entry for entry in found.iterdir() if entry.is_file() and ".tfrecord" in entry.name)
    if not files:
        raise DataError(f"the folder '{found}' has no files with '.tfrecord' in their names{likeness(found)}", what)
    return files
