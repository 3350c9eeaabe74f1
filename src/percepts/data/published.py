"""What the readers of published files share: a grid of stored images, checks, and telling one data set from another."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.errors import ConfigError, DataError
from percepts.data.dataset import FactorDataset, check_places
from percepts.data.images import unit_range

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ENDS = 4096
_DAMAGED: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


class Rows(Protocol):
    """Images by row: an array in memory, an open file, a cache."""

    def __len__(self) -> int: ...

    def take(
        self, indices: Int64[Tensor, " batch"], device: torch.device | str
    ) -> UInt8[Tensor, "batch height width channels"]:
        """The rows at `indices` (on the CPU), on `device`.

        Raises:
            IndexError: an index is negative or too large.
        """


class StoredGrid(FactorDataset):
    """A grid of factors whose images are stored: the base of the readers of published files.

    Subclasses set `factor_names`, `factor_sizes`, and call `_store`.
    """

    def _store(
        self, rows: Rows, height_width_channels: Sequence[int], files: str, order: NDArray[np.int64] | None = None
    ) -> None:
        """Where the images are: `rows`, in the order of the grid or else at `order`; `files` is their fingerprint."""
        height, width, channels = height_width_channels
        self.image_shape = (channels, height, width)
        self._rows = rows
        self._files = files
        self._order = None if order is None else torch.from_numpy(order)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def identity(self) -> str:
        """As `ImageDataset.identity`, with a fingerprint of the files (of their sizes, first and last bytes)."""
        return f"{super().identity}, files {self._files}"

    def render(self, factors: Int64[Tensor, "batch factors"]) -> Float[Tensor, "batch channels height width"]:
        """The images in [0,1] of `factors`, on the device of `factors`.

        Raises:
            DataError: `factors` of another shape or type, or a value that does not exist.
        """
        return self._images(self.indices_of(factors.cpu()), factors.device)

    def gather(self, indices: Int64[Tensor, " batch"], device: torch.device | str = "cpu") -> Batch:
        """`image` float32 [B,C,H,W] in [0,1] and `factors` int64 [B,F].

        Raises:
            IndexError: an index is negative or too large.
        """
        return {"image": self._images(indices, device), "factors": self.factors_of(indices.to(device))}

    def _images(self, indices: Tensor, device: torch.device | str) -> Tensor:
        places = indices.cpu()
        if self._order is not None:
            check_places(places, len(self))
            places = self._order[places]
        return unit_range(self._rows.take(places, device).permute(0, 3, 1, 2).contiguous())


def grid_order(
    path: Path, values: NDArray[np.int64] | NDArray[np.float64], names: Sequence[str]
) -> tuple[tuple[int, ...], list[list[float]], NDArray[np.int64]]:
    """The grid behind factor values, one row an image.

    Args:
        path: to name in errors.
        values: of the factors, [N,F], in any order and of any spacing.
        names: of the factors.

    Returns:
        how many values every factor takes; these values, sorted; and the row of every point of the grid, the last
        factor fastest.

    Raises:
        DataError: a point of the grid has no image, or several.
    """
    if not np.isfinite(values).all():
        raise DataError(f"'{path}' has factor values that are not finite", "a number for every factor of every image")
    columns = [np.unique(column, return_inverse=True) for column in values.T]
    sizes = tuple(len(known) for known, _ in columns)
    if int(np.prod([float(size) for size in sizes])) != len(values):
        raise DataError(
            f"'{path}' has {len(values)} images for {described(names, sizes)}", "one image for every combination"
        )
    places = np.ravel_multi_index([number for _, number in columns], sizes)
    order = np.argsort(places, kind="stable")
    if not np.array_equal(places[order], np.arange(len(values))):
        raise DataError(
            f"in '{path}' some combinations of {', '.join(names)} have several images", "one image for every one"
        )
    return sizes, [known.astype(np.float64).tolist() for known, _ in columns], order


def described(names: Sequence[str], sizes: Sequence[int]) -> str:
    """Factors and how many values they have, in words: "shape 4 x scale 8"."""
    return " x ".join(f"{name} {size}" for name, size in zip(names, sizes))


def shrink(
    images: UInt8[np.ndarray, "batch height width *channels"], size: int
) -> UInt8[np.ndarray, "batch size size *channels"]:
    """`images` at `size` pixels with the Lanczos filter, as disentanglement_lib has it; the same size stays as it is.

    Raises:
        ConfigError: `size` is not positive.
    """
    if size < 1:
        raise ConfigError(f"size = {size}", "at least one pixel", "size=64")
    if images.shape[1:3] == (size, size):
        return images
    resized = [Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS) for image in images]
    return np.stack([np.asarray(image) for image in resized])


def files_fingerprint(files: Sequence[Path]) -> str:
    """Sixteen hexadecimal digits that name the contents of `files`: of their sizes and first and last 4 KiB."""
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        with open(path, "rb") as file:
            digest.update(str(size).encode() + file.read(_ENDS))
            file.seek(max(size - _ENDS, 0))
            digest.update(file.read(_ENDS))
    return digest.hexdigest()[:16]


def wanted_path(path: str, kind: str, what: str) -> Path:
    """`path` as an existing "file" or "folder".

    Args:
        path: may begin with "~".
        kind: "file" or "folder".
        what: should be there, for the error.

    Raises:
        DataError: nothing is there, or a folder instead of a file, or a file instead of a folder.
    """
    found = Path(path).expanduser()
    if not found.exists():
        raise DataError(f"there is no {kind} '{found}'", what)
    if found.is_dir() != (kind == "folder"):
        raise DataError(f"'{found}' is {'a folder' if found.is_dir() else 'a file'}{likeness(found)}", what)
    return found


def refuse_others(path: Path, reader: str, what: str) -> None:
    """Refuse data that look like those of another reader than `reader`.

    Raises:
        DataError: they do; the message names it, and says `what` was expected.
    """
    if looks_like(path) not in (reader, None):
        raise DataError(f"'{path}' is another file{likeness(path)}", what)


def likeness(path: Path) -> str:
    """A clause for an error message on what `path` looks like; empty where it looks like nothing known."""
    reader = looks_like(path)
    return f", it looks like data for {reader}.Config" if reader else ""


def looks_like(path: Path) -> str | None:
    """The name of the reader for the data at `path`, from the beginning of the file or the names in the folder."""
    try:
        if path.is_dir():
            return _looks_like_folder({entry.name for entry in path.iterdir()})
        with open(path, "rb") as file:
            start = file.read(32)
        if start.startswith(b"\x1f\x8b"):
            with gzip.open(path) as file:
                start = file.read(32)
        if start.startswith(_HDF5):
            return "Shapes3D"
        if start.startswith(b"MATLAB"):
            return "Cars3D"
        if len(start) >= 8 and start[1:4] == b"\x4c\x3d\x1e":
            return "SmallNORB"
        return _looks_like_archive(path) if start.startswith(b"PK") else None
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile):
        return None


def _looks_like_folder(names: set[str]) -> str | None:
    if "list_attr_celeba.txt" in names or "img_align_celeba" in names:
        return "CelebA"
    if any(name.endswith(("-dat.mat", "-dat.mat.gz")) for name in names):
        return "SmallNORB"
    return "Cars3D" if any(name.endswith("_mesh.mat") for name in names) else None


def _looks_like_archive(path: Path) -> str | None:
    with zipfile.ZipFile(path) as archive:
        names = {name.removesuffix(".npy") for name in archive.namelist()}
    if {"imgs", "latents_classes"} <= names:
        return "DSprites"
    return "MPI3D" if names == {"images"} else None


@contextlib.contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Whatever a damaged file raises, as one error of one line; errors of writing must not pass through here.

    Args:
        path: of the file.
        what: it should be.

    Raises:
        DataError: naming `path`, what was wrong with it, and `what` it should be.
    """
    try:
        yield
    except _DAMAGED as e:
        lines = str(e).splitlines() or [type(e).__name__]
        raise DataError(f"'{path}' is damaged or incomplete ({lines[0][:160]})", what, "fetch the file again") from e
