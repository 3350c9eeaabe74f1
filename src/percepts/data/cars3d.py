"""The original Cars3D files.

Deep visual analogy-making, Reed, Zhang, Zhang and Lee, NeurIPS 2015. RGB images of 128 x 128 pixels of 183 car models
at 4 elevations and 24 azimuths: one file `…_mesh.mat` a model, in MATLAB's format of version 5, with `im` uint8
[128,128,3,24,4].
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from percepts.core.config import Config as BaseConfig
from percepts.core.errors import DataError
from percepts.core.progress import ProgressLine
from percepts.data.mapped import DeviceRows, RowWriter, cached_rows, fingerprint
from percepts.data.matlab import read_array
from percepts.data.published import StoredGrid, files_fingerprint, likeness, reading, shrink, wanted_path

FACTORS = ("elevation", "azimuth", "object")
_WHAT = "the folder 'cars' of the original Cars3D data, with files …_mesh.mat"
_FORMAT = 1  # raise it when the same files would give another cache


class Cars3D(StoredGrid):
    """Cars3D, resized to 64 x 64 as disentanglement_lib does: elevation (4), azimuth (24) and object (183).

    The objects are numbered by the names of their files. The images are resized once into a cache (216 MB) in the
    folder, or in the user's cache folder where that is not writable.

    Raises:
        DataError: a file is missing, damaged or another one, or the files differ in shape.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Where the files are.

        Attributes:
            path: the folder of the `…_mesh.mat` files, or the one around its `cars`.
            size: of the images, in pixels.
            max_memory_gigabytes: resized images up to this size (in 10^9 bytes) are held in memory, and on the device
                that asks for them; more stay on disk.
            cache: a folder for the resized images, instead of the usual places.
        """

        path: str
        size: int = 64
        max_memory_gigabytes: float = 0.5
        cache: str | None = None

    def __init__(self, config: Config) -> None:
        self.config = config
        folder = wanted_path(config.path, "folder", _WHAT)
        paths = sorted(folder.glob("*_mesh.mat")) or sorted(folder.glob("cars/*_mesh.mat"))
        if not paths:
            raise DataError(f"the folder '{folder}' has no files …_mesh.mat{likeness(folder)}", _WHAT)
        stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
        rows, remembered = cached_rows(
            source=folder,
            name=f"cars3d-{config.size}",
            key=fingerprint([_FORMAT, stamps]),
            fill=lambda target: _resize(paths, config.size, target),
            cache=Path(config.cache) if config.cache else None,
        )
        elevations, azimuths = remembered["views"]
        self.factor_names = FACTORS
        self.factor_sizes = (elevations, azimuths, len(paths))
        # The cache holds one car after the other, the grid changes the car fastest.
        order = np.arange(len(rows)).reshape(len(paths), -1).T.reshape(-1)
        self._store(DeviceRows(rows, config.max_memory_gigabytes), rows.shape[1:], files_fingerprint(paths), order)


def _resize(paths: list[Path], size: int, target: Path) -> dict[str, Any]:
    """Write the views of one car after the other to `target`; returns how many elevations and azimuths there are."""
    progress = ProgressLine(len(paths), "cars", "resizing Cars3D")
    views: tuple[int, ...] | None = None
    with RowWriter(target, (size, size, 3)) as writer:
        for done, path in enumerate(paths, start=1):
            images = _images(path)
            if views is not None and images.shape[:2] != views:
                raise DataError(
                    f"'{path}' has {images.shape[0]} elevations and {images.shape[1]} azimuths",
                    f"{views[0]} and {views[1]}, as '{paths[0].name}' has",
                )
            views = images.shape[:2]
            writer.write(shrink(images.reshape(-1, *images.shape[2:]), size))
            progress.update(done, force=done == len(paths))
    progress.close()
    assert views is not None
    return {"views": list(views)}


def _images(path: Path) -> NDArray[np.uint8]:
    """The views of one car, [elevation, azimuth, H, W, 3]."""
    with reading(path, _WHAT):
        data = path.read_bytes()
    if data.startswith(b"MATLAB 7.3"):
        raise DataError(
            f"'{path}' is a MATLAB file of version 7.3, which is HDF5", _WHAT, "save it in MATLAB with '-v7'"
        )
    with reading(path, _WHAT):
        images = read_array(data, "im")
    if images.ndim != 5 or images.shape[2] != 3 or images.dtype != np.uint8 or 0 in images.shape:
        raise DataError(
            f"'im' in '{path}' has shape {images.shape} and type {images.dtype}",
            "uint8 of height x width x 3 x azimuths x elevations",
        )
    return np.ascontiguousarray(images.transpose(4, 3, 0, 1, 2))
