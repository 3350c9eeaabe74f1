"""Small files in the formats of published data sets, made for the tests of their readers."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

MAGIC = {"u1": 0x1E3D4C55, "i4": 0x1E3D4C54}


def grid(sizes: tuple[int, ...]) -> np.ndarray:
    """Every point of a grid, [N,F], the last factor fastest."""
    return np.stack(np.unravel_index(np.arange(int(np.prod(sizes))), sizes), axis=1)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Random uint8 values: every image is another one."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save_mpi3d(
    path: Path, sizes: tuple[int, ...] = (2, 2, 1, 2, 1, 3, 2), compressed: bool = False, pixels: int = 5
) -> np.ndarray:
    """An MPI3D file; returns its images."""
    images = noise(int(np.prod(sizes)), pixels, pixels, 3)
    (np.savez_compressed if compressed else np.savez)(path, images=images)
    return images


def save_cars(
    folder: Path, cars: int = 3, elevations: int = 2, azimuths: int = 4, compressed: bool = False
) -> np.ndarray:
    """The files of Cars3D; returns their arrays `im`, one a car."""
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    arrays = noise(cars, 8, 8, 3, azimuths, elevations)
    for number, array in enumerate(arrays, start=1):
        savemat(folder / f"car_{number:03}_mesh.mat", {"im": array, "mask": array[:, :, 0]}, do_compression=compressed)
    return arrays


def write_matrix(path: Path, values: np.ndarray, kind: str) -> None:
    """One binary matrix of small NORB: magic number, number of axes, shape of three numbers or more, elements."""
    shape = (*values.shape, 1, 1)[: max(values.ndim, 3)]
    header = struct.pack("<Ii", MAGIC[kind], values.ndim) + np.array(shape, "<i4").tobytes()
    data = header + values.astype("<" + kind).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def save_norb(folder: Path, ending: str = ".mat", pixels: int = 6) -> dict[str, dict[str, np.ndarray]]:
    """Both parts of small NORB with 2 categories, 4 instances, 2 elevations, 3 azimuths and 2 lightings.

    Returns:
        for "training" and "testing" the images [N,2,H,W] and the labels [N,5]: instance, category, elevation, azimuth
        and lighting, in the shuffled order of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = {}
    for part, instances in (("training", (4, 6)), ("testing", (0, 1))):
        labels = grid((2, 2, 2, 3, 2))
        labels[:, 0] = np.array(instances)[labels[:, 0]]
        labels[:, 3] *= 2
        rng = np.random.default_rng(len(part))
        labels = labels[rng.permutation(len(labels))]
        images = rng.integers(0, 256, (len(labels), 2, pixels, pixels), dtype=np.uint8)
        name = f"smallnorb-5x{''.join(map(str, instances))}x2x3x2x2x{pixels}x{pixels}-{part}"
        write_matrix(folder / f"{name}-dat{ending}", images, "u1")
        write_matrix(folder / f"{name}-cat{ending}", labels[:, 1], "i4")
        write_matrix(folder / f"{name}-info{ending}", labels[:, [0, 2, 3, 4]], "i4")
        parts[part] = {"images": images, "labels": labels}
    return parts


def save_shapes(
    path: Path, sizes: tuple[int, ...] = (2, 2, 2, 2, 2, 2), chunks: tuple[int, ...] | None = (9, 2, 2, 1)
) -> dict[str, np.ndarray]:
    """A 3D Shapes file, compressed in pieces that run through several images; returns its arrays."""
    scales = np.array([0.1, 0.1, 0.1, 0.5, 1, 60])
    labels = grid(sizes) * scales + np.array([0, 0, 0, 0.75, 0, -30])
    arrays = {"images": noise(len(labels), 6, 6, 3), "labels": labels}
    write_hdf5(path, arrays, chunks)
    return arrays


def write_hdf5(path: Path, arrays: dict[str, np.ndarray], chunks: tuple[int, ...] | None = None) -> None:
    """An HDF5 file of `arrays`, `images` compressed."""
    import h5py

    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            options = {"compression": "gzip", "chunks": chunks} if name == "images" and chunks else {}
            file.create_dataset(name, data=array, **options)
