"""A folder of pictures as a dataset: decoded once, read row by row ever after.

The pictures are decoded into one array on disk (`.percepts-cache` in the folder, or the user's cache folder where that
is not writable). It is used as long as the list of files, their sizes and times and the settings stay the same. A small
array is held in memory; a large one is read row by row, and memory does not grow with the number of pictures.
"""

from __future__ import annotations

import logging
import math
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
from percepts.data.dataset import ImageDataset
from percepts.data.images import pixels, read_image, unit_range
from percepts.data.mapped import DeviceRows, RowWriter, cached_rows, fingerprint

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_CHUNK = 64
_FORMAT = 1  # raise it when the same files would give other pixels

log = logging.getLogger(__name__)


class ImageFolder(ImageDataset):
    """The pictures in a folder and its subfolders, sorted by path.

    Hidden files and folders are left out. Of animations the first frame is taken. The EXIF orientation is applied.
    16-bit grey keeps its full range, so 12-bit data in 16-bit files looks dark. JPEGs far larger than `size` are
    decoded at a reduced scale, still at least twice `size`.

    Attributes:
        files: the path of every item, relative to the folder.
        unreadable: (path, reason) of the files that were skipped.
        factor_names: ("folder",) with `labels="folder"`, else empty.
        factor_sizes: how many labels there are, likewise.
        label_names: the folder name behind every label, sorted.

    Raises:
        DataError: there is no such folder, it holds no pictures, or too many of them cannot be read.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Where the pictures are and what to make of them.

        Attributes:
            path: the folder.
            size: of the images, in pixels: a number or (height, width).
            channels: 1 (grey) or 3 (RGB); "auto" is 1 if every file has a grey pixel format, else 3.
            crop: cut the largest centred part of the wanted aspect before resizing; otherwise pictures are squeezed.
            background: what transparent pixels are laid over.
            labels: "folder" makes the name of each file's folder its label, in `factors` int64 [B,1].
            max_unreadable: the largest share of files that may be damaged; they are skipped and named in a warning.
            max_memory_gigabytes: decoded pictures up to this size (one byte a value, in 10^9 bytes) are held in memory,
                and on the device that asks for them; more stay on disk.
            cache: a folder for the decoded pictures, instead of the usual places.
            threads: that decode; 0 takes one a processor core.
        """

        path: str
        size: int | tuple[int, int] = 64
        channels: Literal["auto", 1, 3] = "auto"
        crop: bool = True
        background: Literal["black", "white"] = "black"
        labels: Literal["none", "folder"] = "none"
        max_unreadable: float = 0.05
        max_memory_gigabytes: float = 0.5
        cache: str | None = None
        threads: int = 0

    def __init__(self, config: Config) -> None:
        self.config = config
        root = Path(config.path).expanduser()
        found = _scan(root)
        settings = _settings(config)
        key = fingerprint([_FORMAT, settings, found])
        names = [name for name, _, _ in found]
        rows, remembered = cached_rows(
            source=root,
            name=f"images-{fingerprint(settings)}",
            key=key,
            fill=lambda path: _decode(root, names, config, path),
            cache=Path(config.cache) if config.cache else None,
        )
        self.unreadable: list[tuple[str, str]] = [(name, reason) for name, reason in remembered["unreadable"]]
        self._report_unreadable(root, len(names))
        skipped = {name for name, _ in self.unreadable}
        self.files = tuple(name for name in names if name not in skipped)
        self._rows = DeviceRows(rows, config.max_memory_gigabytes)
        channels, height, width = rows.shape[1:]
        self.image_shape = (channels, height, width)
        self._label(root)
        self._files_fingerprint = fingerprint([(name, size) for name, size, _ in found])

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def identity(self) -> str:
        """As `ImageDataset.identity`, with a fingerprint of the files' names and sizes (not of their times: a copied
        folder is the same data)."""
        return f"{super().identity}, files {self._files_fingerprint}"

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """`image` float32 [B,C,H,W] in [0,1], and `factors` int64 [B,1] where folders are labels.

        Raises:
            IndexError: an index is negative or too large.
        """
        indices = indices.cpu()
        batch = {"image": unit_range(self._rows.take(indices, device))}
        if self._labels is not None:
            batch["factors"] = self._labels[indices].to(device)
        return batch

    def _report_unreadable(self, root: Path, total: int) -> None:
        count = len(self.unreadable)
        if count == 0:
            return
        first = ", ".join(f"{name} ({reason})" for name, reason in self.unreadable[:3])
        more = f" and {count - 3} more" if count > 3 else ""
        message = f"{count} of {total} pictures in '{root}' cannot be read: {first}{more}"
        share = self.config.max_unreadable
        if count == total:
            raise DataError(message, "at least one picture that can be read", "repair these files")
        if count > share * total:
            allowed = f"at most {int(share * total)}" if share * total >= 1 else "none"
            enough = math.ceil(100 * count / total) / 100
            raise DataError(
                message,
                f"{allowed}, as a share of {share:.3g} of {total} allows",
                f"repair or remove these files, or --data.max-unreadable {enough:.2g} (max_unreadable in Python)",
            )
        log.warning("%s; they are skipped", message)

    def _label(self, root: Path) -> None:
        self._labels: Tensor | None = None
        self.label_names: tuple[str, ...] = ()
        self.factor_names: tuple[str, ...] = ()
        self.factor_sizes: tuple[int, ...] = ()
        if self.config.labels == "folder":
            parents = [(root.resolve() / name).parent.name for name in self.files]
            self.label_names = tuple(sorted(set(parents)))
            self.factor_names, self.factor_sizes = ("folder",), (len(self.label_names),)
            number = {name: label for label, name in enumerate(self.label_names)}
            self._labels = torch.tensor([[number[parent]] for parent in parents])


def _settings(config: ImageFolder.Config) -> dict[str, Any]:
    """The settings that change pixels, checked."""
    height, width = (config.size, config.size) if isinstance(config.size, int) else config.size
    if height < 1 or width < 1:
        raise ConfigError(f"size = {config.size}", "at least one pixel", "--data.size 64 (size=64 in Python)")
    return {
        "size": [height, width],
        "channels": config.channels,
        "crop": config.crop,
        "background": config.background,
    }


def _scan(root: Path) -> list[tuple[str, int, int]]:
    """(relative path, bytes, modification time) of every picture below `root`, sorted by path."""
    if not root.exists():
        raise DataError(
            f"there is no folder '{root}'", "a folder of pictures", "--data.folder FOLDER (path=FOLDER in Python)"
        )
    if not root.is_dir():
        raise DataError(
            f"'{root}' is a file", "a folder of pictures", f"the folder around it, --data.folder '{root.parent}'"
        )
    files = sorted(_walk(root, "", frozenset()))
    pictures = [file for file in files if file[0].lower().endswith(EXTENSIONS)]
    if not pictures:
        what = f"holds {len(files)} files but no pictures" if files else "is empty"
        kinds = ", ".join(extension[1:] for extension in EXTENSIONS)
        raise DataError(f"the folder '{root}' {what}", f"files ending in {kinds}")
    return pictures


def _walk(folder: Path, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, int, int]]:
    """All visible files; links are followed, except back to a folder that one is already in."""
    status = folder.stat()
    above |= {(status.st_dev, status.st_ino)}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                status = entry.stat()
                if not entry.is_dir():
                    yield prefix + entry.name, status.st_size, status.st_mtime_ns
                elif (status.st_dev, status.st_ino) not in above:
                    yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", above)
            except OSError as error:
                log.warning("'%s' is left out: %s", entry.path, error.strerror)


@dataclass
class _Chunk:
    """Some decoded files: uint8 [B,C,H,W] of the readable ones, (path, reason) of the others."""

    images: NDArray[np.uint8]
    unreadable: list[tuple[str, str]]
    colour: bool


def _decode(root: Path, names: list[str], config: ImageFolder.Config, path: Path) -> dict[str, Any]:
    """Decode all files into the rows at `path`; with "auto" as grey until the first colour file turns up."""
    if config.channels == "auto":
        unreadable = _decode_as(1, root, names, config, path)
        if unreadable is None:
            unreadable = _decode_as(3, root, names, config, path)
    else:
        unreadable = _decode_as(config.channels, root, names, config, path)
    return {"unreadable": unreadable}


def _decode_as(
    channels: Literal[1, 3], root: Path, names: list[str], config: ImageFolder.Config, path: Path
) -> list[tuple[str, str]] | None:
    """Returns the unreadable files; None if colour was found where only grey would do."""
    height, width = _settings(config)["size"]
    progress = ProgressLine(len(names), "files", f"decoding '{root}'")
    unreadable: list[tuple[str, str]] = []
    done = 0
    with RowWriter(path, (channels, height, width)) as writer:
        for chunk in _chunks(channels, root, names, config):
            if chunk.colour and channels == 1 and config.channels == "auto":
                return None
            writer.write(chunk.images)
            unreadable += chunk.unreadable
            done += len(chunk.images) + len(chunk.unreadable)
            progress.update(done, force=done == len(names))
    progress.close()
    return unreadable


def _chunks(channels: Literal[1, 3], root: Path, names: list[str], config: ImageFolder.Config) -> Iterator[_Chunk]:
    """Decoded chunks in the order of the files; a few are decoded ahead, so that memory stays small."""
    threads = config.threads or os.cpu_count() or 1
    waiting: deque[Future[_Chunk]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for start in range(0, len(names), _CHUNK):
                waiting.append(pool.submit(_decode_chunk, channels, root, names[start : start + _CHUNK], config))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _decode_chunk(channels: Literal[1, 3], root: Path, names: list[str], config: ImageFolder.Config) -> _Chunk:
    height, width = _settings(config)["size"]
    images, unreadable, colour = [], [], False
    for name in names:
        try:
            image = read_image(root / name, (height, width), config.crop, config.background)
        except MemoryError:
            raise
        except Exception as error:  # decoders raise a dozen kinds on damaged files, SyntaxError among them
            unreadable.append((name, _reason(error)))
            continue
        colour |= image.mode != "L"
        images.append(pixels(image, channels))
    empty = np.empty((0, channels, height, width), np.uint8)
    return _Chunk(np.stack(images) if images else empty, unreadable, colour)


def _reason(error: Exception) -> str:
    """The decoder's complaint in a few words; Pillow's for an unknown format repeats the whole path."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return "not a picture" if text.startswith("cannot identify image file") else text
