"""The reader of MPI3D, on small grids in the same format."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_contract import DatasetContract, assert_one_line
from published_files import grid, noise, save_mpi3d, save_shapes

from percepts.core.errors import ConfigError, DataError
from percepts.data import MPI3D, mpi3d

SIZES = (2, 2, 1, 2, 1, 3, 2)


@pytest.fixture(params=["stored", "compressed"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    save_mpi3d(tmp_path / "mpi3d_toy.npz", SIZES, compressed=request.param == "compressed")
    return tmp_path / "mpi3d_toy.npz"


def open_file(path: Path, factor_sizes: tuple[int, ...] | None = SIZES, **settings: object) -> MPI3D:
    return MPI3D.Config(path=str(path), factor_sizes=factor_sizes, **settings).build()


class TestContract(DatasetContract):
    @pytest.fixture(params=[0.5, 0.0], ids=["held", "read"])
    def dataset(self, path: Path, request: pytest.FixtureRequest) -> MPI3D:
        return open_file(path, max_memory_gigabytes=request.param)


def test_images_and_factors_are_those_of_the_file(path: Path) -> None:
    with np.load(path) as archive:
        images = archive["images"]
    dataset = open_file(path, max_memory_gigabytes=0)
    batch = dataset.gather(torch.arange(len(dataset)))
    assert dataset.image_shape == (3, 5, 5)
    assert dataset.factor_sizes == SIZES
    assert dataset.factor_names[0] == "object_colour"
    assert dataset.factor_names[-1] == "vertical_axis"
    assert np.array_equal(batch["image"].mul(255).round().numpy(), images.transpose(0, 3, 1, 2))
    assert np.array_equal(batch["factors"].numpy(), grid(SIZES))


def test_stored_images_are_read_in_place_and_compressed_ones_unpacked_once(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(path) as archive:
        compressed = archive.getinfo("images.npy").compress_type == zipfile.ZIP_DEFLATED
    open_file(path)
    assert (tmp_path / ".percepts-cache").exists() == compressed
    monkeypatch.setattr(mpi3d, "_unpack", lambda *arguments: pytest.fail("unpacked again"))
    open_file(path)


def test_the_number_of_images_tells_the_published_grids(tmp_path: Path) -> None:
    for sizes in ((6, 6, 2, 3, 3, 40, 40), (4, 4, 2, 3, 3, 40, 40)):
        np.savez_compressed(tmp_path / "a.npz", images=np.zeros((int(np.prod(sizes)), 1, 1, 3), np.uint8))
        assert open_file(tmp_path / "a.npz", None, max_memory_gigabytes=0).factor_sizes == sizes


def test_other_grids_are_refused(path: Path) -> None:
    for sizes, words in (
        (None, ["48 images", "1036800 or 460800"]),
        ((2, 2, 1, 2, 1, 3, 3), ["48 images", "72:", "vertical_axis 3"]),
    ):
        with pytest.raises(DataError) as error:
            open_file(path, sizes)
        assert_one_line(error, "mpi3d_toy.npz", *words)
    for sizes in ((48,), (2, 2, 0, 2, 1, 3, 2)):
        with pytest.raises(ConfigError) as bad:
            open_file(path, sizes)
        assert_one_line(bad, "factor_sizes", "background_colour")


def test_factor_values_outside_are_refused(path: Path) -> None:
    with pytest.raises(DataError) as error:
        open_file(path).render(torch.tensor([[1, 1, 0, 1, 0, 3, 0]]))
    assert_one_line(error, "the value 3", "horizontal_axis", "0 to 2")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"pictures": np.zeros(3)}, ["pictures", "'images'"]),
        ({"images": np.zeros((48, 5, 5, 3), np.float32)}, ["float32", "uint8"]),
        ({"images": np.zeros((48, 5, 5), np.uint8)}, ["(48, 5, 5)"]),
        ({"images": np.array([{"a": 1}], dtype=object)}, ["pickled"]),
        ({"images": np.asfortranarray(noise(48, 5, 5, 3))}, ["columns first"]),
        ({"imgs": np.zeros(3), "latents_classes": np.zeros(3)}, ["DSprites.Config"]),
    ],
)
def test_other_contents_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], words: list[str], save: object
) -> None:
    save(tmp_path / "a.npz", **arrays)  # type: ignore[operator]
    with pytest.raises(DataError) as error:
        open_file(tmp_path / "a.npz")
    assert_one_line(error, "a.npz", *words)


def test_missing_damaged_and_other_files(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    for name, data in [("half.npz", whole[: len(whole) // 2]), ("empty.npz", b""), ("text.npz", b"hello")]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError) as error:
            open_file(tmp_path / name)
        assert_one_line(error, name, "damaged", "MPI3D")
    save_shapes(tmp_path / "a.h5")
    with pytest.raises(DataError) as error:
        open_file(tmp_path / "a.h5")
    assert_one_line(error, "a.h5", "Shapes3D.Config")
    with pytest.raises(DataError) as error:
        open_file(tmp_path / "none.npz")
    assert_one_line(error, "there is no file")


def test_damaged_pixels_of_a_compressed_file_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save_mpi3d(path, SIZES, compressed=True, pixels=30)
    data = bytearray(path.read_bytes())
    data[-2000:-1980] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(DataError) as error:
        open_file(path)
    assert_one_line(error, "a.npz", "damaged")
    assert [entry.name for entry in (tmp_path / ".percepts-cache").iterdir()] == [".lock"]
