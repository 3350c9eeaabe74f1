"""The reader of Cars3D, on small files in the same format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_contract import DatasetContract, assert_one_line
from PIL import Image
from published_files import noise, save_cars, save_norb

from percepts.core.errors import DataError
from percepts.data import Cars3D


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    save_cars(tmp_path / "data" / "cars", compressed=request.param)
    return tmp_path / "data" / "cars"


def open_folder(folder: Path, size: int = 8, **settings: object) -> Cars3D:
    return Cars3D.Config(path=str(folder), size=size, **settings).build()


class TestContract(DatasetContract):
    @pytest.fixture(params=[0.5, 0.0], ids=["held", "read"])
    def dataset(self, folder: Path, request: pytest.FixtureRequest) -> Cars3D:
        return open_folder(folder, max_memory_gigabytes=request.param)


def test_every_view_of_every_car_is_found(folder: Path) -> None:
    arrays = save_cars(folder)
    dataset = open_folder(folder)
    assert dataset.image_shape == (3, 8, 8)
    assert dataset.factor_names == ("elevation", "azimuth", "object")
    assert dataset.factor_sizes == (2, 4, 3)
    batch = dataset.gather(torch.arange(len(dataset)))
    for image, (elevation, azimuth, car) in zip(batch["image"], batch["factors"].tolist()):
        wanted = arrays[car][:, :, :, azimuth, elevation].transpose(2, 0, 1)
        assert np.array_equal(image.mul(255).round().numpy(), wanted)


def test_images_are_resized_with_the_lanczos_filter(folder: Path) -> None:
    arrays = save_cars(folder)
    dataset = open_folder(folder, size=5)
    view = Image.fromarray(np.ascontiguousarray(arrays[2][..., 3, 1])).resize((5, 5), Image.Resampling.LANCZOS)
    shown = dataset.render(torch.tensor([[1, 3, 2]]))[0].mul(255).round().numpy()
    assert np.array_equal(shown, np.asarray(view).transpose(2, 0, 1))


def test_the_folder_around_cars_will_do_and_the_cache_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_folder(folder.parent)
    assert open_folder(folder).identity == first.identity
    monkeypatch.setattr("percepts.data.cars3d._resize", lambda *arguments: pytest.fail("resized again"))
    assert torch.equal(open_folder(folder)[7]["image"], first[7]["image"])


def test_factor_values_outside_are_refused(folder: Path) -> None:
    with pytest.raises(DataError) as error:
        open_folder(folder).render(torch.tensor([[0, 0, 3]]))
    assert_one_line(error, "the value 3", "object", "0 to 2")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"mask": noise(8, 8, 4, 2)}, ["no variable 'im'", "mask"]),
        ({"im": noise(8, 8, 4, 2)}, ["(8, 8, 4, 2)", "azimuths"]),
        ({"im": noise(8, 8, 3, 4, 2) / 255}, ["float64", "uint8"]),
        ({"im": noise(8, 8, 3, 5, 2)}, ["2 elevations and 5 azimuths", "2 and 4", "car_001_mesh.mat"]),
    ],
)
def test_other_contents_are_refused(folder: Path, arrays: dict[str, np.ndarray], words: list[str]) -> None:
    from scipy.io import savemat

    savemat(folder / "car_002_mesh.mat", arrays)
    with pytest.raises(DataError) as error:
        open_folder(folder)
    assert_one_line(error, "car_002_mesh.mat", *words)


def test_missing_damaged_and_other_files(folder: Path, tmp_path: Path) -> None:
    save_norb(tmp_path / "norb")
    for path, words in (
        (tmp_path / "none", ["there is no folder"]),
        (tmp_path / "norb", ["no files", "SmallNORB.Config"]),
        (folder / "car_001_mesh.mat", ["is a file", "folder"]),
    ):
        with pytest.raises(DataError) as error:
            open_folder(path)
        assert_one_line(error, path.name, *words)
    path = folder / "car_003_mesh.mat"
    whole = path.read_bytes()
    for data in (whole[:100], whole[: len(whole) // 2], b"hello", b""):
        path.write_bytes(data)
        with pytest.raises(DataError) as error:
            open_folder(folder)
        assert_one_line(error, path.name, "damaged", "fetch")
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(DataError) as error:
        open_folder(folder)
    assert_one_line(error, path.name, "7.3", "HDF5", "-v7")
