"""The reader of small NORB, on small files in the same format."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_contract import DatasetContract, assert_equal, assert_one_line
from PIL import Image
from published_files import save_cars, save_norb, write_matrix

from percepts.core.config import Config
from percepts.core.errors import ConfigError, DataError
from percepts.data import Discrete, FactorDataset, HeldOut, Nuisance, Preloaded, SmallNORB, Subsampled, split

SIZES = (2, 2, 3, 2)
GRID = 24


@pytest.fixture(params=[".mat", ".mat.gz"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    save_norb(tmp_path / "norb", request.param)
    return tmp_path / "norb"


def open_folder(folder: Path, size: int = 6, **settings: object) -> SmallNORB:
    return SmallNORB.Config(path=str(folder), size=size, **settings).build()


class TestContract(DatasetContract):
    @pytest.fixture(params=[0.5, 0.0], ids=["held", "read"])
    def dataset(self, folder: Path, request: pytest.FixtureRequest) -> SmallNORB:
        return open_folder(folder, max_memory_gigabytes=request.param)

    @pytest.fixture
    def some(self, dataset: SmallNORB) -> torch.Tensor:
        """Items of the first instance: what the factors alone say."""
        return torch.tensor([11, GRID - 1, 0, 7, 1, 11, GRID - 2])


class TestParts(DatasetContract):
    """Parts of a dataset whose items share grid points keep the contract, and every item of their points."""

    @pytest.fixture(params=["seen", "coarse", "coloured", "nested"])
    def dataset(self, folder: Path, request: pytest.FixtureRequest) -> FactorDataset:
        return parts_of(SmallNORB.Config(path=str(folder), size=6))[request.param].build()

    @pytest.fixture
    def some(self, dataset: FactorDataset) -> torch.Tensor:
        """Items of the first instance."""
        last = len(dataset) // 4 - 1
        return torch.tensor([last // 2, last, 0, last // 3, 1, last // 2, last - 1])


def parts_of(norb: SmallNORB.Config) -> dict[str, Config]:
    seen = HeldOut.Config(dataset=norb, hole=Discrete("azimuth", (20.0,)))
    return {
        "seen": seen,
        "coarse": Subsampled.Config(dataset=norb, steps={"azimuth": 2}),
        "coloured": Nuisance.Config(dataset=norb),
        "nested": Preloaded.Config(dataset=HeldOut.Config(dataset=seen, hole=Discrete("lighting", (1.0,)))),
    }


def test_what_is_held_out_holds_every_instance(folder: Path) -> None:
    norb = SmallNORB.Config(path=str(folder), size=6)
    whole = norb.build()
    everything = whole.gather(torch.arange(len(whole)))
    inside = everything["factors"][:, 2] == 1
    seen, held = (config.build() for config in split(norb, Discrete("azimuth", (20.0,))))
    assert (len(whole), len(seen), len(held)) == (4 * GRID, 4 * 16, 4 * 8)
    for part, mask in ((seen, ~inside), (held, inside)):
        assert_equal(part.gather(torch.arange(len(part))), {key: value[mask] for key, value in everything.items()})
    coarse = parts_of(norb)["coarse"].build()
    kept = everything["factors"][:, 2] != 1
    batch = coarse.gather(torch.arange(len(coarse)))
    assert torch.equal(batch["image"], everything["image"][kept])
    assert torch.equal(batch["factors"] * torch.tensor([1, 1, 2, 1]), everything["factors"][kept])
    coloured = parts_of(norb)["coloured"].build().gather(torch.arange(4 * GRID))["image"]
    assert (coloured <= everything["image"]).all()
    assert len(coloured.flatten(1).unique(dim=0)) == 4 * GRID


def test_points_left_out_of_a_preloaded_part_can_be_drawn(folder: Path) -> None:
    norb = SmallNORB.Config(path=str(folder), size=6)
    seen = parts_of(norb)["seen"]
    held = Preloaded.Config(dataset=seen).build()
    left_out = torch.tensor([[1, 0, 1, 1]])
    assert len(held) > GRID
    assert torch.equal(held.render(left_out), norb.build().render(left_out))


def test_unknown_splits(folder: Path) -> None:
    with pytest.raises(ConfigError) as error:
        open_folder(folder, split="foo")
    assert_one_line(error, "split = 'foo'", "'train'")


@pytest.mark.parametrize(
    ("split", "parts"), [("train", ["training"]), ("test", ["testing"]), ("all", ["training", "testing"])]
)
def test_every_image_is_found_by_its_labels(tmp_path: Path, split: str, parts: list[str]) -> None:
    saved = save_norb(tmp_path)
    dataset = open_folder(tmp_path, split=split)
    labels = np.concatenate([saved[part]["labels"] for part in parts])
    images = np.concatenate([saved[part]["images"] for part in parts])
    known = sorted(set(labels[:, 0]))
    assert dataset.instances == len(known)
    assert dataset.factor_names == ("category", "elevation", "azimuth", "lighting")
    assert dataset.factor_sizes == SIZES
    assert len(dataset) == len(labels) == GRID * len(known)
    factors = torch.from_numpy(labels[:, 1:] // np.array([1, 1, 2, 1]))
    items = dataset.indices_of(factors) + GRID * torch.tensor([known.index(instance) for instance in labels[:, 0]])
    batch = dataset.gather(items)
    assert torch.equal(batch["factors"], factors)
    assert np.array_equal(batch["image"][:, 0].mul(255).round().numpy(), images[:, 0]), "the first image of the pair"


def test_values_are_in_degrees(folder: Path) -> None:
    dataset = open_folder(folder)
    assert dataset.factor_values("elevation").tolist() == [30, 35]
    assert dataset.factor_values("azimuth").tolist() == [0, 20, 40]
    assert dataset.factor_values("lighting").tolist() == [0, 1]


def test_render_shows_the_first_instance_and_render_random_draws_one(folder: Path) -> None:
    dataset = open_folder(folder)
    factors = torch.tensor([[1, 0, 2, 1]])
    index = int(dataset.indices_of(factors))
    shown = dataset.gather(index + GRID * torch.arange(4))["image"]
    assert torch.equal(dataset.render(factors)[0], shown[0])
    drawn = dataset.render_random(factors.expand(4000, 4), torch.Generator().manual_seed(0))
    counts = torch.stack([(drawn == image).flatten(1).all(dim=1).sum() for image in shown])
    assert counts.sum() == 4000
    assert (counts - 1000).abs().max() < 150, "5 standard deviations are 137"
    again = dataset.render_random(factors.expand(4000, 4), torch.Generator().manual_seed(0))
    assert torch.equal(drawn, again)
    for render in (dataset.render, dataset.render_random):
        with pytest.raises(DataError) as error:
            render(torch.tensor([[0, 2, 0, 0]]))
        assert_one_line(error, "the value 2", "elevation", "0 to 1")


def test_images_are_resized_with_the_lanczos_filter(tmp_path: Path) -> None:
    saved = save_norb(tmp_path, pixels=9)
    dataset = open_folder(tmp_path, size=4, split="train")
    image = saved["training"]["images"][5, 0]
    wanted = np.asarray(Image.fromarray(image).resize((4, 4), Image.Resampling.LANCZOS))
    found = dataset.gather(torch.arange(len(dataset)))["image"].mul(255).round().numpy()
    assert (found == wanted).all(axis=(1, 2, 3)).sum() == 1
    with pytest.raises(ConfigError) as error:
        open_folder(tmp_path, size=0)
    assert_one_line(error, "size = 0")


def test_splits_and_sizes_have_caches_of_their_own_that_are_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [{"split": "train"}, {"split": "all"}, {"size": 3}]
    before = [open_folder(folder, **setting)[3] for setting in settings]  # type: ignore[arg-type]
    monkeypatch.setattr("percepts.data.small_norb._resize", lambda *arguments: pytest.fail("resized again"))
    for setting, item in zip(settings, before):
        assert_equal(open_folder(folder, **setting)[3], item)  # type: ignore[arg-type]


def test_identity_tells_files_apart(folder: Path, tmp_path: Path) -> None:
    save_norb(tmp_path / "other", pixels=7)
    identities = {
        open_folder(folder).identity,
        open_folder(tmp_path / "other", 6).identity,
        open_folder(folder, split="test").identity,
    }
    assert len(identities) == 3


def name(kind: str) -> str:
    return f"smallnorb-5x46x2x3x2x2x6x6-training-{kind}.mat"


def test_files_that_do_not_fit_together(tmp_path: Path) -> None:
    labels = save_norb(tmp_path)["training"]["labels"]
    info = labels[:, [0, 2, 3, 4]]

    def refused(kind: str, values: np.ndarray, element: str, *words: str) -> None:
        whole = (tmp_path / name(kind)).read_bytes()
        write_matrix(tmp_path / name(kind), values, element)
        with pytest.raises(DataError) as error:
            open_folder(tmp_path)
        assert_one_line(error, *words)
        (tmp_path / name(kind)).write_bytes(whole)

    refused("cat", labels[:40, 1], "i4", "(40,)", "(48, 4)")
    refused("info", info[:, :3], "i4", "(48, 3)", "(N, 4)")
    refused("cat", labels[:, 1], "u1", "uint8", "integers")
    refused("info", np.where(np.arange(48)[:, None] == 0, info[1], info), "i4", "several images")
    refused("info", np.where(np.arange(48)[:, None] == 0, 7, info), "i4", "every combination", "instance 5")
    refused("dat", np.zeros((48, 6, 6)), "u1", "(48, 6, 6)", "N x 2 x H x W")
    refused("dat", np.zeros((40, 2, 6, 6)), "u1", "88 image pairs", "96 labels")
    refused("dat", np.zeros((48, 2, 6, 6)), "i4", "int32", "uint8")
    assert len(open_folder(tmp_path)) == 96, "the whole files are fine"


def test_missing_damaged_and_other_files(folder: Path, tmp_path: Path) -> None:
    save_cars(tmp_path / "cars")
    for path, words in (
        (tmp_path / "none", ["there is no folder", "small NORB"]),
        (tmp_path / "cars", ["no file", "training-dat.mat", "Cars3D.Config"]),
        (next(folder.glob("*training-dat*")), ["is a file", "folder"]),
    ):
        with pytest.raises(DataError) as error:
            open_folder(path)
        assert_one_line(error, path.name, *words)
    for kind in ("dat", "cat", "info"):
        path = next(folder.glob(f"*testing-{kind}*"))
        whole = path.read_bytes()
        for data in (whole[:10], whole[: len(whole) * 2 // 3], b"hello, this is no matrix", b""):
            path.write_bytes(data)
            with pytest.raises(DataError) as error:
                open_folder(folder)
            assert_one_line(error, path.name, "damaged", "fetch")
        path.unlink()
        with pytest.raises(DataError) as error:
            open_folder(folder)
        assert_one_line(error, f"testing-{kind}.mat")
        path.write_bytes(whole)
    assert len(open_folder(folder)) == 96


def test_odd_headers_are_refused_without_reading_on(tmp_path: Path) -> None:
    save_norb(tmp_path)
    path = tmp_path / name("dat")
    whole = path.read_bytes()
    for header in (
        struct.pack("<Ii4i", 0x1E3D4C52, 4, 48, 2, 6, 6),  # packed, which nothing unpacks
        struct.pack(">Ii4i", 0x1E3D4C55, 4, 48, 2, 6, 6),
        struct.pack("<Ii4i", 0x1E3D4C55, 4, 48, 2, -6, 6),
        struct.pack("<Ii4i", 0x1E3D4C55, 4000000, 48, 2, 6, 6),
        struct.pack("<Ii4i", 0x1E3D4C55, 4, 47, 2, 6, 6),
        struct.pack("<Ii4i", 0x1E3D4C55, 4, 48, 2, 30000, 30000),
    ):
        path.write_bytes(header + whole[len(header) :])
        with pytest.raises(DataError) as error:
            open_folder(tmp_path)
        assert_one_line(error, name("dat"), "damaged")
