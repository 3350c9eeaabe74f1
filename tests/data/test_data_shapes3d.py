"""The reader of 3D Shapes, on complete grids of a few values in the same format."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_contract import DatasetContract, assert_one_line
from published_files import save_cars, save_mpi3d, save_norb, save_shapes, write_hdf5

from percepts.core.errors import DataError, MissingPackageError
from percepts.data import Preloaded, Shapes3D, shapes3d

NAMES = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_shapes(tmp_path / "3dshapes.h5")
    return tmp_path / "3dshapes.h5"


def open_file(path: Path, **settings: object) -> Shapes3D:
    return Shapes3D.Config(path=str(path), **settings).build()


class TestContract(DatasetContract):
    @pytest.fixture(params=["held", "cached", "packed"])
    def dataset(self, path: Path, request: pytest.FixtureRequest) -> Shapes3D:
        return open_file(path, unpack=request.param != "packed", max_memory_gigabytes=float(request.param == "held"))


class TestPreloadedContract(DatasetContract):
    @pytest.fixture
    def dataset(self, path: Path) -> Preloaded:
        return Preloaded.Config(dataset=Shapes3D.Config(path=str(path), unpack=False)).build()


@pytest.mark.parametrize("unpack", [True, False])
@pytest.mark.parametrize("chunks", [(9, 2, 2, 1), (1, 6, 6, 3), None])
def test_images_and_factors_are_those_of_the_file(tmp_path: Path, unpack: bool, chunks: tuple[int, ...] | None) -> None:
    arrays = save_shapes(tmp_path / "a.h5", (3, 2, 2, 2, 4, 3), chunks)
    dataset = open_file(tmp_path / "a.h5", unpack=unpack)
    assert dataset.image_shape == (3, 6, 6)
    assert dataset.factor_names == NAMES
    assert dataset.factor_sizes == (3, 2, 2, 2, 4, 3)
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))
    batch = dataset.gather(order)
    assert np.array_equal(batch["image"].mul(255).round().numpy(), arrays["images"][order].transpose(0, 3, 1, 2))
    values = torch.stack([dataset.factor_values(name)[batch["factors"][:, i]] for i, name in enumerate(NAMES)], dim=1)
    assert np.array_equal(values.numpy(), arrays["labels"][order])


def test_unpacking_happens_once_and_in_blocks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes3d, "_BLOCK_BYTES", 20 * 6 * 6 * 3)
    before = open_file(path)
    assert np.array_equal(
        before.gather(torch.arange(64))["image"], open_file(path, unpack=False).gather(torch.arange(64))["image"]
    )
    monkeypatch.setattr(shapes3d, "_unpack", lambda *arguments: pytest.fail("unpacked again"))
    assert torch.equal(open_file(path)[5]["image"], before[5]["image"])


def test_identity_tells_files_apart_and_moves_with_them(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "other.h5"
    copy.write_bytes(path.read_bytes())
    write_hdf5(tmp_path / "b.h5", {**save_shapes(tmp_path / "b.h5"), "images": np.zeros((64, 6, 6, 3), np.uint8)})
    same, other = open_file(copy).identity, open_file(tmp_path / "b.h5").identity
    assert open_file(path).identity == same
    assert "64 images" in same
    assert same != other


def test_factor_values_outside_are_refused(path: Path) -> None:
    dataset = open_file(path)
    for bad, name in (
        ([2, 0, 0, 0, 0, 0], "floor_hue"),
        ([0, 0, 0, 0, -1, 0], "shape"),
        ([0, 0, 0, 0, 0, 9], "orientation"),
    ):
        with pytest.raises(DataError) as error:
            dataset.render(torch.tensor([[0] * 6, bad]))
        assert_one_line(error, name, "0 to 1")
    for wrong in (torch.zeros(2, 5, dtype=torch.int64), torch.zeros(2, 6), torch.zeros(6, dtype=torch.int64)):
        with pytest.raises(DataError) as error:
            dataset.render(wrong)
        assert_one_line(error, "batch x 6", str(tuple(wrong.shape)))
    for outside in (-1, 64):
        with pytest.raises(IndexError):
            dataset.gather(torch.tensor([0, outside]))
        with pytest.raises(IndexError):
            open_file(path, unpack=False).gather(torch.tensor([0, outside]))


def changed(**arrays: np.ndarray | None) -> dict[str, np.ndarray]:
    labels = np.stack(np.unravel_index(np.arange(64), (2,) * 6), axis=1) * 0.1
    whole: dict[str, np.ndarray | None] = {"images": np.zeros((64, 6, 6, 3), np.uint8), "labels": labels, **arrays}
    return {name: array for name, array in whole.items() if array is not None}


LABELS = changed()["labels"]


@pytest.mark.parametrize("unpack", [True, False])
@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (changed(images=None), ["no array 'images'", "labels"]),
        (changed(labels=None), ["no array 'labels'", "images"]),
        (changed(images=np.zeros((64, 6, 6, 3), np.float32)), ["float32", "uint8"]),
        (changed(images=np.zeros((64, 6, 6), np.uint8)), ["(64, 6, 6)", "x 3"]),
        (changed(labels=LABELS[:, :5]), ["(64, 5)", "64 x 6", "orientation"]),
        (changed(labels=LABELS[:60]), ["(60, 6)"]),
        (changed(images=np.zeros((60, 6, 6, 3), np.uint8), labels=LABELS[:60]), ["60 images", "every combination"]),
        (changed(labels=LABELS[:, ::-1]), ["grid order", "orientation changing fastest"]),
        (changed(labels=np.where(np.arange(64)[:, None] == 3, LABELS[4], LABELS)), ["several images"]),
        (changed(labels=np.where(np.arange(64)[:, None] == 3, np.nan, LABELS)), ["not finite"]),
    ],
)
def test_other_contents_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], words: list[str], unpack: bool
) -> None:
    write_hdf5(tmp_path / "a.h5", arrays)
    with pytest.raises(DataError) as error:
        open_file(tmp_path / "a.h5", unpack=unpack)
    assert_one_line(error, "a.h5", *words)


def test_other_data_sets_are_named(tmp_path: Path) -> None:
    save_mpi3d(tmp_path / "mpi3d.npz")
    save_cars(tmp_path / "cars")
    save_norb(tmp_path / "norb")
    np.savez(tmp_path / "dsprites.npz", imgs=np.zeros(3), latents_classes=np.zeros(3))
    (tmp_path / "celeba" / "img_align_celeba").mkdir(parents=True)
    likely = {
        "mpi3d.npz": "MPI3D",
        "cars": "Cars3D",
        "cars/car_001_mesh.mat": "Cars3D",
        "norb": "SmallNORB",
        "norb/smallnorb-5x46x2x3x2x2x6x6-training-dat.mat": "SmallNORB",
        "dsprites.npz": "DSprites",
        "celeba": "CelebA",
    }
    for name, reader in likely.items():
        with pytest.raises(DataError) as error:
            open_file(tmp_path / name)
        assert_one_line(error, name, f"{reader}.Config", "3D Shapes")


@pytest.mark.parametrize("unpack", [True, False])
def test_missing_and_damaged_files(path: Path, tmp_path: Path, unpack: bool) -> None:
    whole = path.read_bytes()
    for name, data in [("half.h5", whole[: len(whole) // 2]), ("empty.h5", b""), ("text.h5", b"hello")]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError) as error:
            open_file(tmp_path / name, unpack=unpack)
        assert_one_line(error, name, "damaged", "3D Shapes", "fetch")
    with pytest.raises(DataError) as error:
        open_file(tmp_path / "none.h5", unpack=unpack)
    assert_one_line(error, "there is no file", "none.h5")


def test_damaged_pixels_are_noticed(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "a.h5"
    save_shapes(path, chunks=(64, 6, 6, 3))
    with h5py.File(path) as file:
        piece = file["images"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    middle = piece.byte_offset + piece.size // 2
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(DataError) as error:
        open_file(path)
    assert_one_line(error, "a.h5", "damaged")
    packed = open_file(path, unpack=False)
    with pytest.raises(DataError) as error:
        packed.gather(torch.arange(3))
    assert_one_line(error, "a.h5", "damaged")


def test_without_h5py_one_line_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingPackageError) as error:
        open_file(path)
    assert_one_line(error, "h5py", "percepts[datasets]")
