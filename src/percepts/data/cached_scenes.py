"""A dataset that is costly to draw, drawn once: its first items in shards on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from percepts import __version__
from percepts.core.capabilities import Batch
from percepts.core.config import Config as BaseConfig
from percepts.core.config import digest, type_name
from percepts.core.errors import ConfigError
from percepts.core.progress import ProgressLine
from percepts.data.dataset import ImageDataset, check_places
from percepts.data.mapped import fingerprint
from percepts.data.scenes import SceneDataset
from percepts.data.shard_writing import Block, grow
from percepts.data.shards import Shards


class CachedImages(ImageDataset):
    """The first items of any dataset from shards on disk: the same batches, bit by bit (unless `images_as_bytes`).

    The items are made when this is built, with a line of progress; work that was stopped goes on where it was, and a
    larger `images` goes on after a smaller one. Another version of this library draws them anew. A dataset of scenes
    becomes one again (`CachedScenes`); its `details` are those of the dataset, made anew. A dataset with factors does
    not: `Preloaded` holds such in memory.

    Args:
        config: what to hold, and where.
        dataset: the dataset itself, instead of the one that `config.dataset` describes.

    Attributes:
        dataset: whose items these are.
        folder: of the shards; its name has the digest of the dataset's configuration.

    Raises:
        ConfigError: more items than the dataset has, or none.
        PerceptsError: the disk is full or not writable; finished shards stay.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """What to hold on disk.

        Attributes:
            dataset: the config of any dataset.
            images: how many items, from the first; all by default.
            folder: in which the folder of shards lies; by default `percepts/shards` in the user's cache folder.
            images_as_bytes: "exact" stores images as bytes where they are multiples of 1/255, else as they are, which
                takes 4 times the space; "round" rounds them.
            batch_size: of the batches in which they are made.
            max_memory_gigabytes: items up to this size (in 10^9 bytes, as stored) are held in memory, and on the device
                that asks for them; more stay on disk.
        """

        dataset: BaseConfig
        images: int | None = None
        folder: str | None = None
        images_as_bytes: Literal["exact", "round"] = "exact"
        batch_size: int = 64
        max_memory_gigabytes: float = 0.5

        def build(self, **context: Any) -> CachedImages:
            """Build the dataset with `context`, and its shards where they are not there yet."""
            dataset = self.dataset.build(**context)
            return (CachedScenes if isinstance(dataset, SceneDataset) else CachedImages)(self, dataset)

    def __init__(self, config: Config, dataset: ImageDataset) -> None:
        self.config = config
        self.dataset = dataset
        self.image_shape = dataset.image_shape
        self._count = len(dataset) if config.images is None else config.images
        if not 1 <= self._count <= len(dataset):
            raise ConfigError(f"images = {config.images}", f"1 to {len(dataset)}, which the dataset has")
        if config.batch_size < 1:
            raise ConfigError(f"batch_size = {config.batch_size}", "at least 1")
        name = f"{type_name(type(config.dataset))}-{digest(config.dataset)}"
        self.folder = _root(config.folder) / (name if config.images_as_bytes == "exact" else f"{name}-rounded")
        key = fingerprint([__version__, dataset.identity, config.images_as_bytes])
        plan = grow(self.folder, key, self._count, self._blocks)
        self._names = tuple(plan.fields)
        self._shards = Shards(self.folder, self._count, config.max_memory_gigabytes)

    @property
    def identity(self) -> str:
        """That of the dataset, and how many of its items these are."""
        return f"{self._count} of {self.dataset.identity}"

    def __len__(self) -> int:
        return self._count

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The items at `indices`, with all keys that the dataset gives.

        Raises:
            IndexError: an index is negative or too large.
        """
        return self._shards.take(indices.cpu(), self._names, device)

    def _blocks(self, start: int) -> Iterator[Block]:
        progress = ProgressLine(self._count, "images", f"drawing into '{self.folder.name}'", start=start)
        while start < self._count:
            stop = min(start + self.config.batch_size, self._count)
            batch = self.dataset.gather(torch.arange(start, stop))
            if self.config.images_as_bytes == "round":
                for name in {"image", "video"} & batch.keys():
                    batch[name] = batch[name].mul(255).round().div_(255)
            yield {name: value.numpy() for name, value in batch.items()}
            progress.update(stop, force=stop == self._count)
            start = stop
        progress.close()


class CachedScenes(CachedImages, SceneDataset):
    """A `SceneDataset` from shards on disk; made by `CachedImages.Config`."""

    dataset: SceneDataset

    def __init__(self, config: CachedImages.Config, dataset: SceneDataset) -> None:
        self.entities, self.backgrounds = dataset.entities, dataset.backgrounds
        self.properties, self.frames = dataset.properties, dataset.frames
        super().__init__(config, dataset)

    def details(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The details of the dataset's items, made anew.

        Raises:
            IndexError: an index is negative or too large.
        """
        check_places(indices, len(self))
        return self.dataset.details(indices, device)


def _root(folder: str | None) -> Path:
    if folder is not None:
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "percepts" / "shards"
