"""The reader of the dSprites file, on complete grids of a few values in the same format."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dataset_contract import DatasetContract, assert_one_line
from published_files import save_mpi3d, save_norb

from percepts.core.errors import DataError
from percepts.data import DSprites

SIZES = (1, 3, 2, 4, 3, 2)


class Explosive:
    """Unpickling it fails the test: metadata must never be loaded."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return pytest.fail, ("the metadata was unpickled",)


def members() -> dict[str, np.ndarray]:
    """The arrays of a small file; every image is different."""
    count = int(np.prod(SIZES))
    classes = np.stack(np.unravel_index(np.arange(count), SIZES), axis=1).astype(np.int64)
    scales = np.array([1, 1, 0.5, 0.25, 0.2, 0.125])
    imgs = np.random.default_rng(0).integers(0, 2, (count, 7, 6), dtype=np.uint8)
    return {
        "metadata": np.array(Explosive(), dtype=object),
        "imgs": imgs,
        "latents_classes": classes,
        "latents_values": (classes + np.array([1, 1, 1, 0, 0, 0])) * scales,
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    np.savez_compressed(tmp_path / "sprites.npz", **members())
    return tmp_path / "sprites.npz"


class TestContract(DatasetContract):
    @pytest.fixture(params=[0.5, 0.0], ids=["held", "read"])
    def dataset(self, path: Path, request: pytest.FixtureRequest) -> DSprites:
        return DSprites.Config(path=str(path), max_memory_gigabytes=request.param).build()


def test_images_and_factors_are_those_of_the_file(path: Path) -> None:
    dataset = DSprites.Config(path=str(path)).build()
    arrays = members()
    batch = dataset.gather(torch.arange(len(dataset)))
    assert dataset.image_shape == (1, 7, 6)
    assert np.array_equal(batch["image"][:, 0].numpy(), arrays["imgs"])
    assert np.array_equal(batch["factors"].numpy(), arrays["latents_classes"][:, 1:])
    assert dataset.factor_names == ("shape", "scale", "orientation", "position_x", "position_y")
    assert dataset.factor_sizes == SIZES[1:]
    assert dataset.factor_values("shape").tolist() == [1, 2, 3]
    assert dataset.factor_values("scale").tolist() == [0.5, 1.0]
    assert dataset.factor_values("orientation").tolist() == [0, 0.25, 0.5, 0.75]


def test_the_cache_is_used_and_renewed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = DSprites.Config(path=str(path)).build()
    with monkeypatch.context() as patch:
        patch.setattr("percepts.data.dsprites._unpack", lambda *arguments: pytest.fail("unpacked again"))
        assert torch.equal(DSprites.Config(path=str(path)).build()[5]["image"], before[5]["image"])
    arrays = members()
    arrays["imgs"] = 1 - arrays["imgs"]
    np.savez(path, **arrays)
    assert torch.equal(DSprites.Config(path=str(path)).build()[5]["image"], 1 - before[5]["image"])


def test_factor_values_outside_are_refused(path: Path) -> None:
    dataset = DSprites.Config(path=str(path)).build()
    for name, bad in (("shape", [3, 0, 0, 0, 0]), ("scale", [0, -1, 0, 0, 0]), ("position_y", [0, 0, 0, 0, 2])):
        with pytest.raises(DataError, match=f"'{name}'"):
            dataset.render(torch.tensor([bad]))


def changed(name: str, array: np.ndarray | None) -> dict[str, np.ndarray]:
    arrays = members()
    if array is None:
        del arrays[name]
    else:
        arrays[name] = array
    return arrays


def two_values_for_a_class() -> np.ndarray:
    values = members()["latents_values"].copy()
    values[-1, 2] += 0.1
    return values


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (changed("imgs", None), ["no array 'imgs'", "latents_classes"]),
        (changed("latents_values", None), ["no array 'latents_values'"]),
        ({"images": np.zeros((3, 8, 8), np.uint8), "labels": np.zeros((3, 6))}, ["latents_classes", "images, labels"]),
        (changed("imgs", members()["imgs"] * 255), ["pixel of 255", "0 and 1"]),
        (changed("imgs", members()["imgs"].astype(np.float32)), ["float32"]),
        (changed("imgs", members()["imgs"][..., None]), ["(144, 7, 6, 1)"]),
        (changed("imgs", members()["imgs"][:100]), ["100 images", "144 factor vectors"]),
        (changed("latents_classes", members()["latents_classes"][:, :5]), ["(144, 5)", "N x 6"]),
        (changed("latents_classes", members()["latents_classes"][::-1]), ["grid order", "position_y"]),
        (changed("latents_classes", members()["latents_classes"] * 1.0), ["float64", "integers"]),
        (changed("latents_classes", members()["latents_classes"][:, ::-1]), ["2 colours"]),
        (changed("latents_values", members()["latents_values"][:50]), ["(50, 6)", "(144, 6)"]),
        (changed("latents_values", two_values_for_a_class()), ["scale", "several values"]),
        (
            {name: array[:100] for name, array in members().items() if array.ndim},
            ["100 images", "one image for every point"],
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], words: list[str]) -> None:
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError) as error:
        DSprites.Config(path=str(tmp_path / "a.npz")).build()
    assert_one_line(error, "a.npz", *words)
    left = [path.name for path in (tmp_path / ".percepts-cache").iterdir()]
    assert left == [".lock"], "something half-written was left"


def test_other_datasets_are_named(tmp_path: Path) -> None:
    save_mpi3d(tmp_path / "other.npz")
    save_norb(tmp_path / "toys")
    for name, reader in (("other.npz", "MPI3D.Config"), ("toys", "SmallNORB.Config")):
        with pytest.raises(DataError) as error:
            DSprites.Config(path=str(tmp_path / name)).build()
        assert_one_line(error, name, reader, "dSprites")


def test_missing_truncated_and_overwritten_files(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    assert len(whole) > 2500
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("imgs.npy").header_offset
    inside = whole[: start + 300] + bytes(20) + whole[start + 320 :]
    for name, data in [("half.npz", whole[: len(whole) // 2]), ("bytes.npz", inside), ("text.npz", b"hello")]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError) as error:
            DSprites.Config(path=str(tmp_path / name)).build()
        assert_one_line(error, name, "damaged", "dSprites")
    with pytest.raises(DataError) as error:
        DSprites.Config(path=str(tmp_path / "none.npz")).build()
    assert_one_line(error, "there is no file")
