"""The original dSprites file.

dSprites: Disentanglement testing Sprites dataset, Matthey, Higgins, Hassabis and Lerchner, 2017. 737 280 binary images
of 64 x 64 pixels: the full grid of colour (1), shape (3: square, ellipse, heart), scale (6), orientation (40) and
position in x and y (32 each), the last one fastest.
"""

from __future__ import annotations

import contextlib
import math
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.config import Config as BaseConfig
from percepts.core.errors import DataError
from percepts.core.progress import ProgressLine
from percepts.data.dataset import FactorDataset
from percepts.data.mapped import DeviceRows, RowWriter, cached_rows, fingerprint, read_header
from percepts.data.published import refuse_others, wanted_path

FACTORS = ("colour", "shape", "scale", "orientation", "position_x", "position_y")
_WHAT = "the original dSprites .npz"
_CHUNK = 1024
_FORMAT = 1  # raise it when the same file would give another cache


class DSprites(FactorDataset):
    """The dSprites file, or a smaller complete grid in the same format.

    The constant colour is dropped, which leaves shape, scale, orientation, position_x and position_y. The pickled
    metadata in the file is never loaded. The images are unpacked once into a cache of one bit a pixel (377 MB for the
    original) beside the file, or in the user's cache folder where that is not writable.

    Raises:
        DataError: the file is missing, damaged, or another one.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Where the file is.

        Attributes:
            path: of the `.npz` file.
            max_memory_gigabytes: images up to this size (one bit a pixel, in 10^9 bytes) are held in memory, and
                on the device that asks for them; more stay on disk.
            cache: a folder for the unpacked images, instead of the usual places.
        """

        path: str
        max_memory_gigabytes: float = 0.5
        cache: str | None = None

    def __init__(self, config: Config) -> None:
        self.config = config
        path = wanted_path(config.path, "file", _WHAT)
        refuse_others(path, "DSprites", _WHAT)
        status = path.stat()
        rows, remembered = cached_rows(
            source=path,
            name=f"dsprites-{fingerprint(path.name)}",
            key=fingerprint([_FORMAT, status.st_size, status.st_mtime_ns]),
            fill=lambda target: _unpack(path, target),
            cache=Path(config.cache) if config.cache else None,
        )
        self._rows = DeviceRows(rows, config.max_memory_gigabytes)
        height, width = remembered["size"]
        self.image_shape = (1, height, width)
        self.factor_names = FACTORS[1:]
        self._values = [torch.tensor(values, dtype=torch.float64) for values in remembered["values"]]
        self.factor_sizes = tuple(len(values) for values in self._values)

    def render(self, factors: Tensor) -> Tensor:
        """The images [B,1,H,W] float32, 0 or 1, of int64 `factors` [B,5], on the device of `factors`.

        Raises:
            DataError: a factor value that does not exist.
        """
        _, height, width = self.image_shape
        packed = self._rows.take(self.indices_of(factors.cpu()), factors.device)
        pixels = _bits_of_bytes(factors.device).index_select(0, packed.flatten().int())
        return pixels.view(len(factors), -1)[:, : height * width].reshape(-1, 1, height, width)

    def factor_values(self, name: str) -> Float64[Tensor, " size"]:
        """The file's own values: shape 1, 2, 3; scale 0.5 to 1; orientation in radians; positions from 0 to 1."""
        return self._values[self.factor_names.index(name)]


def _bits_of_bytes(device: torch.device) -> Float[Tensor, "256 8"]:
    """The bits of every byte, the highest first: faster to look up than to shift out for every pixel."""
    places = torch.arange(7, -1, -1, device=device)
    return ((torch.arange(256, device=device)[:, None] >> places) & 1).to(torch.float32)


def _unpack(path: Path, target: Path) -> dict[str, Any]:
    """Check everything, then write the images to `target` with one bit a pixel."""
    with contextlib.ExitStack() as stack:
        with _reading(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
            classes, values = (_latents(archive, path, name) for name in ("latents_classes", "latents_values"))
            stream = stack.enter_context(_member(archive, path, "imgs"))
            shape, dtype, _ = read_header(stream)
        if len(shape) != 3 or dtype != np.uint8 or 0 in shape:
            raise DataError(f"'imgs' in '{path}' has shape {shape} and type {dtype}", "uint8 of shape N x H x W")
        _check_grid(path, classes, shape[0])
        table = _values_of_classes(path, classes, values)
        progress = ProgressLine(shape[0], "images", f"unpacking '{path.name}'")
        size = shape[1] * shape[2]
        with RowWriter(target, (math.ceil(size / 8),)) as writer:
            for chunk in _pixels(path, stream, shape[0], size):
                writer.write(np.packbits(chunk, axis=1))
                progress.update(writer.count, force=writer.count == shape[0])
        progress.close()
    return {"size": list(shape[1:]), "values": table[1:]}


def _pixels(path: Path, stream: BinaryIO, count: int, size: int) -> Iterator[NDArray[np.uint8]]:
    """The images [B, H*W] in order, checked to be 0 or 1."""
    for start in range(0, count, _CHUNK):
        rows = min(_CHUNK, count - start)
        with _reading(path):
            data = stream.read(rows * size)
            if len(data) < rows * size:
                raise EOFError(f"it ends at image {start + len(data) // size} of {count}")
        chunk = np.frombuffer(data, np.uint8).reshape(rows, size)
        if chunk.max() > 1:
            raise DataError(f"'imgs' in '{path}' has a pixel of {chunk.max()}", "0 and 1 only")
        yield chunk
    with _reading(path):
        # The archive compares its checksum when it meets the end.
        if stream.read(1):
            raise ValueError("it has more pixels than it announces")


def _check_grid(path: Path, classes: NDArray[Any], images: int) -> None:
    """Refuse `classes` that are not the full grid of their values with the last factor fastest."""
    sizes = tuple(int(size) for size in classes.max(axis=0) + 1)
    if len(classes) != images or math.prod(sizes) != images:
        raise DataError(
            f"'{path}' has {images} images, and {len(classes)} factor vectors on a grid of sizes {sizes}",
            "one image for every point of the grid",
        )
    if sizes[0] != 1:
        raise DataError(f"'{path}' has {sizes[0]} colours", "one colour, as dSprites has", "ArrayFile for other files")
    if not np.array_equal(classes, np.stack(np.unravel_index(np.arange(images), sizes), axis=1)):
        raise DataError(
            f"the images of '{path}' are not in grid order", f"the last of {', '.join(FACTORS)} changing fastest"
        )


def _values_of_classes(path: Path, classes: NDArray[Any], values: NDArray[Any]) -> list[list[float]]:
    """What every class of every factor stands for."""
    if values.shape != classes.shape:
        raise DataError(
            f"'latents_values' in '{path}' has shape {values.shape}", f"that of the classes, {classes.shape}"
        )
    table = []
    for column in range(len(FACTORS)):
        _, first = np.unique(classes[:, column], return_index=True)
        known = values[first, column]
        if not np.array_equal(known[classes[:, column]], values[:, column]):
            raise DataError(f"in '{path}' one class of {FACTORS[column]} has several values", "one value a class")
        table.append(known.tolist())
    return table


def _latents(archive: zipfile.ZipFile, path: Path, name: str) -> NDArray[Any]:
    with _member(archive, path, name) as stream:
        array = npy.read_array(stream, allow_pickle=False)
    kind = "iu" if name == "latents_classes" else "f"
    if array.ndim != 2 or array.shape[1] != len(FACTORS) or array.dtype.kind not in kind or len(array) == 0:
        raise DataError(
            f"'{name}' in '{path}' has shape {array.shape} and type {array.dtype}",
            f"{'integers' if kind == 'iu' else 'floating point'} of shape N x 6 ({', '.join(FACTORS)})",
        )
    return array


def _member(archive: zipfile.ZipFile, path: Path, name: str) -> Any:
    names = [member.removesuffix(".npy") for member in archive.namelist()]
    if name not in names:
        raise DataError(f"'{path}' has no array '{name}', it has {', '.join(names) or 'none'}", _WHAT)
    return archive.open(f"{name}.npy")


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever a damaged archive raises, as one error; errors of writing must not pass through here."""
    try:
        yield
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise DataError(f"'{path}' is damaged or not an .npz file ({error})", _WHAT, "fetch the file again") from error
