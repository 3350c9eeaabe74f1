"""The original small NORB files.

Learning methods for generic object recognition with invariance to pose and lighting, LeCun, Huang and Bottou, CVPR
2004. Stereo pairs of grey images of 96 x 96 pixels: 50 toys of 5 categories, 10 instances each, at 9 elevations, 18
azimuths and under 6 lightings. Training and test files hold 24 300 pairs each, of five instances a category. Three
files a split: `…-dat.mat` (uint8 [N,2,96,96]), `…-cat.mat` (int32 [N], the category) and `…-info.mat` (int32 [N,4]:
instance, elevation, azimuth and lighting), all in one plain binary format (its authors' description is on the page of
the data set), as they are or gzipped.
"""

from __future__ import annotations

import contextlib
import gzip
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.config import Config as BaseConfig
from percepts.core.errors import DataError
from percepts.core.progress import ProgressLine
from percepts.data.dataset import check_places
from percepts.data.mapped import DeviceRows, RowWriter, cached_rows, fingerprint
from percepts.data.published import (
    StoredGrid,
    files_fingerprint,
    grid_order,
    likeness,
    reading,
    shrink,
    wanted_path,
)

FACTORS = ("category", "elevation", "azimuth", "lighting")
TYPES = {0x1E3D4C51: "<f4", 0x1E3D4C53: "<f8", 0x1E3D4C54: "<i4", 0x1E3D4C55: "|u1", 0x1E3D4C56: "<i2"}
"""What the first four bytes of a binary matrix say about its elements."""
_PARTS = {"train": ("training",), "test": ("testing",), "all": ("training", "testing")}
_WHAT = "the folder of the original small NORB files (…-training-dat.mat and so on)"
_CHUNK = 256
_PIECE = 1 << 24
_FORMAT = 1  # raise it when the same files would give another cache


class SmallNORB(StoredGrid):
    """Small NORB: the first image of every stereo pair, resized to 64 x 64 as disentanglement_lib does.

    The factors are category, elevation, azimuth and lighting. The toy within its category, the *instance*, is hidden:
    the items of the dataset are all images of all instances (the whole grid of the first instance, then of the second,
    and so on), and `factors` does not tell them apart. `render` is a function of the factors and shows the first
    instance; `render_random` draws one, as disentanglement_lib does whenever it renders.

    The images are resized once into a cache (199 MB for both parts) in the folder, or in the user's cache folder where
    that is not writable.

    Attributes:
        instances: how many toys a category has.

    Raises:
        DataError: a file is missing, damaged or another one, or the images are not the full grid.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Where the files are, and which of them.

        Attributes:
            path: the folder of the `.mat` or `.mat.gz` files.
            split: "train" and "test" have five instances each, "all" has all ten.
            size: of the images, in pixels.
            max_memory_gigabytes: resized images up to this size (in 10^9 bytes) are held in memory, and on the device
                that asks for them; more stay on disk.
            cache: a folder for the resized images, instead of the usual places.
        """

        path: str
        split: Literal["all", "train", "test"] = "all"
        size: int = 64
        max_memory_gigabytes: float = 0.5
        cache: str | None = None

    def __init__(self, config: Config) -> None:
        self.config = config
        folder = wanted_path(config.path, "folder", _WHAT)
        parts = [{kind: _find(folder, part, kind) for kind in ("dat", "cat", "info")} for part in _PARTS[config.split]]
        labels = np.concatenate([_labels(part) for part in parts])
        sizes, values, order = grid_order(folder, labels, ("instance", *FACTORS))
        images = [part["dat"] for part in parts]
        stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in images]
        rows, _ = cached_rows(
            source=folder,
            name=f"smallnorb-{config.split}-{config.size}",
            key=fingerprint([_FORMAT, stamps]),
            fill=lambda target: _resize(images, len(labels), config.size, target),
            cache=Path(config.cache) if config.cache else None,
        )
        self.factor_names = FACTORS
        self.instances, *declared = sizes
        self.factor_sizes = tuple(declared)
        self._values = dict(zip(FACTORS, values[1:]))
        files = [path for part in parts for path in part.values()]
        self._store(DeviceRows(rows, config.max_memory_gigabytes), rows.shape[1:], files_fingerprint(files), order)

    def factors_of(self, indices: Int64[Tensor, " batch"]) -> Int64[Tensor, "batch factors"]:
        """The factor values of the items at `indices`; the instance is not among them.

        Raises:
            IndexError: an index is negative or too large.
        """
        check_places(indices, len(self))
        return super().factors_of(indices % math.prod(self.factor_sizes))

    def render_random(
        self, factors: Int64[Tensor, "batch factors"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch channels height width"]:
        """The images in [0,1] of `factors`, each of an instance that is drawn uniformly.

        Args:
            factors: category, elevation, azimuth and lighting of every image.
            generator: on the CPU; torch's global state if None.

        Raises:
            DataError: `factors` of another shape or type, or a value that does not exist.
        """
        places = self.indices_of(factors.cpu())
        instance = torch.randint(self.instances, (len(factors),), generator=generator)
        return self._images(places + instance * math.prod(self.factor_sizes), factors.device)

    def factor_values(self, name: str) -> Float64[Tensor, " size"]:
        """Elevation (30 to 70, from the horizontal) and azimuth (0 to 340) in degrees; the others as numbered."""
        values = torch.tensor(self._values[name], dtype=torch.float64)
        return {"elevation": 30 + 5 * values, "azimuth": 10 * values}.get(name, values)


def _find(folder: Path, part: str, kind: str) -> Path:
    """The one file of a part and kind, preferring the one that is unpacked."""
    for ending in (".mat", ".mat.gz"):
        found = sorted(folder.glob(f"*{part}-{kind}{ending}"))
        if len(found) > 1:
            raise DataError(f"'{folder}' holds {found[0].name} and {found[1].name}", f"one …-{part}-{kind}{ending}")
        if found:
            return found[0]
    raise DataError(f"the folder '{folder}' has no file …{part}-{kind}.mat or .mat.gz{likeness(folder)}", _WHAT)


@contextlib.contextmanager
def _matrix(path: Path) -> Iterator[tuple[tuple[int, ...], np.dtype[Any], BinaryIO]]:
    """Shape and type of a binary matrix, and the stream at its first element."""
    with contextlib.ExitStack() as stack:
        with reading(path, _WHAT):
            opened = gzip.open if path.suffix == ".gz" else open
            stream = cast(BinaryIO, stack.enter_context(opened(path, "rb")))
            magic, axes = np.frombuffer(_read(stream, 8), "<i4").tolist()
            if magic not in TYPES or not 1 <= axes <= 8:
                raise ValueError(f"it begins with {magic & 0xFFFFFFFF:#010x}, which is no binary matrix")
            # Short shapes are padded to three numbers.
            shape = np.frombuffer(_read(stream, 4 * max(axes, 3)), "<i4")[:axes].tolist()
            if min(shape) < 1:
                raise ValueError(f"it announces a shape of {shape}")
        yield tuple(shape), np.dtype(TYPES[magic]), stream


def _read(stream: BinaryIO, count: int) -> bytes:
    # In pieces, so that a wrong header does not reserve memory for what is not there.
    pieces = []
    while count > 0:
        pieces.append(stream.read(min(count, _PIECE)))
        if not pieces[-1]:
            raise EOFError("it ends too early")
        count -= len(pieces[-1])
    return b"".join(pieces)


def _labels(part: dict[str, Path]) -> NDArray[np.int64]:
    """Instance, category, elevation, azimuth and lighting of every pair, [N,5]."""
    category, info = (_integers(part[kind]) for kind in ("cat", "info"))
    if category.ndim != 1 or info.shape != (len(category), 4):
        names = f"'{part['cat']}' and '{part['info'].name}'"
        raise DataError(f"{names} have shapes {category.shape} and {info.shape}", "(N,) and (N, 4)")
    return np.column_stack([info[:, 0], category, info[:, 1:]])


def _integers(path: Path) -> NDArray[np.int64]:
    with _matrix(path) as (shape, dtype, stream):
        if dtype.kind != "i":
            raise DataError(f"'{path}' holds {dtype} of shape {shape}", "integers")
        with reading(path, _WHAT):
            values = np.frombuffer(_read(stream, math.prod(shape) * dtype.itemsize), dtype)
        return values.reshape(shape).astype(np.int64)


def _resize(paths: list[Path], count: int, size: int, target: Path) -> dict[str, Any]:
    """Write the first image of every pair to `target` [N,size,size,1]."""
    progress = ProgressLine(count, "images", "resizing small NORB")
    with RowWriter(target, (size, size, 1)) as writer:
        for path in paths:
            for pairs in _pairs(path):
                writer.write(shrink(pairs[:, 0], size)[..., None])
                progress.update(writer.count)
    if writer.count != count:
        raise DataError(f"'{paths[0].parent}' has {writer.count} image pairs and {count} labels", "a label a pair")
    progress.close()
    return {}


def _pairs(path: Path) -> Iterator[NDArray[np.uint8]]:
    """The image pairs [B,2,H,W] of a file in order."""
    with _matrix(path) as (shape, dtype, stream):
        if len(shape) != 4 or shape[1] != 2 or dtype != np.uint8:
            raise DataError(f"'{path}' holds {dtype} of shape {shape}", "uint8 of shape N x 2 x H x W")
        for start in range(0, shape[0], _CHUNK):
            rows = min(_CHUNK, shape[0] - start)
            with reading(path, _WHAT):
                data = _read(stream, rows * math.prod(shape[1:]))
            yield np.frombuffer(data, np.uint8).reshape(rows, *shape[1:])
        with reading(path, _WHAT):
            if stream.read(1):
                raise ValueError("it has more pixels than it announces")
