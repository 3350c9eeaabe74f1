"""Images that are arrays already, in memory or in a file."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.config import Config as BaseConfig
from percepts.core.errors import DataError, nearest
from percepts.data.dataset import ImageDataset
from percepts.data.images import unit_range
from percepts.data.mapped import RowFile, check_indices

Layout = Literal["auto", "NHW", "NHWC", "NCHW"]


class ArrayDataset(ImageDataset):
    """Images in one array, in memory or in a `RowFile`.

    Args:
        images: NumPy array, tensor or `RowFile` of shape N x H x W, N x H x W x C or N x C x H x W; uint8, bool, or
            floating point in [0, 1]. It is not copied.
        factors: integers from 0, [N] or [N, F].
        factor_names: one for every factor; "factor_0", "factor_1", … if left out.
        segmentation: integers [N, H, W], 0 = background.
        layout: the order of the axes. "auto" knows channels by their number, 1 or 3, and refuses to guess where
            either end could be the channels.

    Attributes:
        factor_names: as above, empty without factors.
        factor_sizes: how many values every factor takes (its largest value plus one).

    Raises:
        DataError: shapes, types or values that do not fit; the message says how to convert.
    """

    def __init__(
        self,
        images: NDArray[Any] | Tensor | RowFile,
        factors: NDArray[Any] | Tensor | None = None,
        factor_names: tuple[str, ...] | None = None,
        segmentation: NDArray[Any] | Tensor | None = None,
        layout: Layout = "auto",
    ) -> None:
        rows = images.detach().cpu().numpy() if isinstance(images, Tensor) else images
        _check_type(rows.dtype)
        self._layout = _layout(tuple(rows.shape), layout)
        if not isinstance(rows, RowFile):
            _check_range(rows)
        self._rows = rows
        shape = dict(zip(self._layout, rows.shape))
        self.image_shape = (shape.get("C", 1), shape["H"], shape["W"])
        self._factors, self.factor_names, self.factor_sizes = _read_factors(factors, factor_names, len(self))
        self._segmentation = None if segmentation is None else class_indices("segmentation", segmentation)
        wanted = (len(self), *self.image_shape[1:])
        if self._segmentation is not None and tuple(self._segmentation.shape) != wanted:
            raise DataError(
                f"a segmentation of shape {tuple(self._segmentation.shape)}", f"{wanted} as the images have"
            )

    def __len__(self) -> int:
        return len(self._rows)

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """`image` float32 [B,C,H,W] in [0,1], `factors` int64 [B,F] and `segmentation` int64 [B,H,W] where given.

        Raises:
            IndexError: an index is negative or too large.
            DataError: floating-point values of an array file outside of [0, 1].
        """
        indices = indices.cpu()
        batch = {"image": self._images(indices.numpy(), device)}
        if self._factors is not None:
            batch["factors"] = self._factors[indices].to(device)
        if self._segmentation is not None:
            batch["segmentation"] = self._segmentation[indices].to(device)
        return batch

    def _images(self, indices: NDArray[np.int64], device: torch.device | str) -> Tensor:
        if isinstance(self._rows, RowFile):
            values = self._rows.take(indices)
            _check_range(values)
        else:
            check_indices(indices, len(self))
            values = self._rows[indices]
        if self._layout == "NHW":
            values = values[:, None]
        elif self._layout == "NHWC":
            values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        if values.dtype == np.uint8:
            return unit_range(torch.from_numpy(values).to(device))
        return torch.from_numpy(values.astype(np.float32)).to(device)


class ArrayFile(ArrayDataset):
    """Images in an `.npy` or `.npz` file; pickled objects in it are never loaded.

    An `.npy` file stays on disk and is read row by row; the arrays of an `.npz` file are held in memory.

    Raises:
        DataError: the file or a key in it is missing or damaged, or holds no images.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Which arrays of which file.

        Attributes:
            path: the `.npy` or `.npz` file.
            image_key: of the images in an `.npz`; may be left out where it is "images" or there is one array only.
            factor_key: of the factors in an `.npz`, integers [N] or [N, F].
            segmentation_key: of the segmentation in an `.npz`, integers [N, H, W].
            factor_names: a name for every factor.
            layout: the order of the image axes.
        """

        path: str
        image_key: str | None = None
        factor_key: str | None = None
        segmentation_key: str | None = None
        factor_names: tuple[str, ...] | None = None
        layout: Layout = "auto"

    def __init__(self, config: Config) -> None:
        self.config = config
        path = Path(config.path).expanduser()
        if not path.is_file():
            raise DataError(f"there is no file '{path}'", "an .npy or .npz file of images")
        images: NDArray[Any] | RowFile
        if zipfile.is_zipfile(path):
            arrays = _read_npz(path, config)
            images, factors, segmentation = arrays["image"], arrays.get("factors"), arrays.get("segmentation")
        else:
            if config.image_key or config.factor_key or config.segmentation_key:
                raise DataError(f"'{path}' holds a single array, keys were given", "an .npz file", "leave the keys out")
            images, factors, segmentation = RowFile(path), None, None
        super().__init__(images, factors, config.factor_names, segmentation, config.layout)


def _layout(shape: tuple[int, ...], layout: Layout) -> Literal["NHW", "NHWC", "NCHW"]:
    """The layout of an image array, guessed only where one guess is possible."""
    if layout != "auto":
        if len(shape) != len(layout) or 0 in shape[1:]:
            raise DataError(f"images of shape {shape}", f"the {len(layout)} axes of layout '{layout}'")
        return layout
    if 0 in shape[1:]:
        raise DataError(f"images of shape {shape}", "at least one pixel")
    if len(shape) == 3:
        return "NHW"
    first, last = (shape[1] in (1, 3), shape[-1] in (1, 3)) if len(shape) == 4 else (False, False)
    if first and last:
        raise DataError(f"images of shape {shape}, whose channels could be axis 1 or 3", fix="layout='NCHW' or 'NHWC'")
    if first or last:
        return "NCHW" if first else "NHWC"
    raise DataError(
        f"images of shape {shape}",
        "N x H x W, or four axes with 1 or 3 channels on axis 1 or 3",
        "layout='NCHW' or 'NHWC' if the number of channels is meant",
    )


def _check_type(dtype: np.dtype[Any]) -> None:
    if dtype not in (np.uint8, np.bool_) and dtype.kind != "f":
        raise DataError(
            f"images of type {dtype}", "uint8 (0..255), or floating point in [0, 1]", "images.astype(numpy.uint8)"
        )


def _check_range(values: NDArray[Any]) -> None:
    if values.dtype.kind != "f" or values.size == 0:
        return
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):
        fix = "images.astype(numpy.uint8)" if 1 < high <= 255 and low >= 0 else "images scaled to [0, 1]"
        raise DataError(f"image values from {low:g} to {high:g}", "floating-point values in [0, 1]", fix)


def class_indices(what: str, values: Any) -> Int64[Tensor, "..."]:
    """`values`, an array, a tensor or lists of numbers, as int64.

    Raises:
        DataError: they are ragged or not integers from 0 on; the message calls them `what`.
    """
    try:
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{what} that make no array ({error})", "integers, as many in every row") from error
    if array.dtype.kind not in "iub":
        raise DataError(f"{what} of type {array.dtype}", "integers, 0 for the first value")
    if array.size and int(array.min()) < 0:
        raise DataError(f"{what} with a value of {int(array.min())}", "integers from 0 on")
    return torch.from_numpy(array.astype(np.int64))


def _read_factors(
    factors: NDArray[Any] | Tensor | None, names: tuple[str, ...] | None, count: int
) -> tuple[Tensor | None, tuple[str, ...], tuple[int, ...]]:
    """Factors as int64 [N,F], their names and sizes."""
    if factors is None:
        return None, (), ()
    values = class_indices("factors", factors)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) != count:
        raise DataError(f"factors of shape {tuple(values.shape)} for {count} images", f"({count}, number of factors)")
    known = names or tuple(f"factor_{i}" for i in range(values.shape[1]))
    if len(known) != values.shape[1]:
        raise DataError(f"{len(known)} factor names for {values.shape[1]} factors", "one name a factor")
    sizes = tuple(int(size) for size in values.amax(dim=0) + 1) if count else (0,) * values.shape[1]
    return values, known, sizes


def _read_npz(path: Path, config: ArrayFile.Config) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            if not names:
                raise DataError(f"'{path}' holds no arrays", "an .npz file with an array of images")
            image = config.image_key or (names[0] if len(names) == 1 else "images")
            wanted = {"image": image, "factors": config.factor_key, "segmentation": config.segmentation_key}
            for option, name in wanted.items():
                if name is not None and name not in names:
                    prefix = {"factors": "factor"}.get(option, option)
                    raise DataError(
                        f"'{path}' has no array '{name}', it has {', '.join(names)}",
                        fix=f"{prefix}_key={nearest(name, names) or names[0]}",
                    )
            return {option: archive[name] for option, name in wanted.items() if name is not None}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"'{path}' cannot be read ({error})", "an .npz file of plain arrays") from error
