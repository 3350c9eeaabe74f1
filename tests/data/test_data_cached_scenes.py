"""Datasets drawn once into shards on disk."""

from __future__ import annotations

import dataclasses
import errno
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dataset_contract import DatasetContract, assert_equal, assert_one_line
from scene_contract import SceneContract

from percepts.core.capabilities import Batch
from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError, DataError, PerceptsError
from percepts.data import CachedImages, CachedScenes, Squares24
from percepts.data import shard_writing as writing
from percepts.data.dataset import check_places
from percepts.data.scenes import Property, SceneDataset
from percepts.data.shards import Shards, narrow, read_plan


class Stripes(SceneDataset):
    """Scenes of one upright bar: image, segmentation, properties and details are simple functions of the index."""

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        images: int = 40
        exact: bool = True

    def __init__(self, config: Config) -> None:
        self.config = config
        self.image_shape = (3, 16, 16)
        self.entities, self.backgrounds = 3, 1
        self.properties = {"place": Property("numeric"), "side": Property("categorical", 2)}
        self.drawn: list[int] = []

    def __len__(self) -> int:
        return self.config.images

    def gather(self, indices: torch.Tensor, device: torch.device | str = "cpu") -> Batch:
        check_places(indices, len(self))
        self.drawn += indices.tolist()
        place = indices % 9
        bar = (torch.arange(16) == place[:, None])[:, None].expand(-1, 16, -1)
        grey = (indices * 7 % 256).float() / 255 if self.config.exact else (indices + 1).float() / 1000
        image = (bar[:, None] * grey[:, None, None, None]).expand(-1, 3, -1, -1).contiguous()
        numbers = torch.stack([torch.zeros_like(place), place, torch.zeros_like(place)], dim=1)
        batch = {
            "image": image,
            "segmentation": bar.long(),
            "visible": torch.tensor([True, True, False]).expand(len(indices), 3).contiguous(),
            "entity.place": numbers.float(),
            "entity.side": (numbers > 4).long(),
        }
        return {name: value.to(device) for name, value in batch.items()}

    def details(self, indices: torch.Tensor, device: torch.device | str = "cpu") -> Batch:
        check_places(indices, len(self))
        return {"depth": torch.ones(len(indices), 16, 16, device=device)}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_SHARD_BYTES", 12_800)  # 12 rows or so


def cached(folder: Path, images: int | None = None, exact: bool = True, **settings: Any) -> Any:
    return CachedImages.Config(
        dataset=Stripes.Config(exact=exact), folder=str(folder), images=images, batch_size=7, **settings
    ).build()


class TestContract(SceneContract):
    @pytest.fixture(params=["held", "read"])
    def dataset(self, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
        return cached(tmp_path, 30, max_memory_gigabytes=float(request.param == "held"))


class TestImages(DatasetContract):
    @pytest.fixture
    def dataset(self, tmp_path: Path) -> Any:
        config = CachedImages.Config(dataset=Squares24.Config(), folder=str(tmp_path), images=40)
        return config.build()


@pytest.mark.parametrize("memory", [0.0, 1.0])
@pytest.mark.parametrize("exact", [True, False])
def test_batches_are_those_of_the_dataset(tmp_path: Path, exact: bool, memory: float) -> None:
    dataset = cached(tmp_path, exact=exact, max_memory_gigabytes=memory)
    assert isinstance(dataset, CachedScenes)
    places = torch.tensor([39, 0, 13, 13, 12, 25, 1])
    original = Stripes.Config(exact=exact).build()
    assert_equal(dataset.gather(places), original.gather(places))
    assert_equal(dataset.details(places), original.details(places))
    assert dataset.properties == original.properties
    assert dataset.dataset.drawn == list(range(40))
    image = np.load(dataset.folder / "00000" / "image.npy")
    assert image.dtype == (np.uint8 if exact else np.float32)
    assert np.load(dataset.folder / "00000" / "segmentation.npy").dtype == np.uint8


def test_rounded_images_are_bytes_and_have_a_folder_of_their_own(tmp_path: Path) -> None:
    dataset = cached(tmp_path, exact=False, images_as_bytes="round")
    exact = cached(tmp_path, exact=False)
    assert dataset.folder != exact.folder
    assert np.load(dataset.folder / "00001" / "image.npy").dtype == np.uint8
    error = (dataset.gather(torch.arange(40))["image"] - exact.gather(torch.arange(40))["image"]).abs().max()
    assert 0 < error <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("exact", [True, False])
def test_limits_count_the_bytes_that_are_there(tmp_path: Path, exact: bool) -> None:
    dataset = cached(tmp_path, 40, exact=exact, max_memory_gigabytes=0)
    sizes = [sum(file.stat().st_size for file in shard.iterdir()) for shard in dataset.folder.glob("0*")]
    assert 0.7 * writing._SHARD_BYTES < sizes[0] < 1.3 * writing._SHARD_BYTES
    for factor, held in ((0.9, False), (1.1, True)):
        again = cached(tmp_path, 40, exact=exact, max_memory_gigabytes=factor * sum(sizes) / 1e9)
        assert bool(again._shards._held) == held
    half = cached(tmp_path, 20, exact=exact, max_memory_gigabytes=0.6 * sum(sizes) / 1e9)
    assert half._shards._held


def test_a_shard_without_one_of_its_files_is_named(tmp_path: Path) -> None:
    folder = cached(tmp_path, 40).folder
    (folder / "00001" / "image.npy").unlink()
    with pytest.raises(DataError) as error:
        cached(tmp_path, 40)
    assert_one_line(error, "00001/image.npy' is missing")


def test_more_images_go_on_after_fewer(tmp_path: Path) -> None:
    few = cached(tmp_path, 15)
    more = cached(tmp_path, 40)
    again = cached(tmp_path, 20)
    assert few.folder == more.folder
    assert len(few) == 15
    assert min(more.dataset.drawn) > 0
    assert again.dataset.drawn == []
    assert_equal(more.gather(torch.arange(40)), Stripes.Config().build().gather(torch.arange(40)))
    assert len({few.identity, more.identity, again.identity}) == 3


def test_work_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gather = Stripes.gather

    def stopping(self: Stripes, indices: torch.Tensor, device: str = "cpu") -> Batch:
        if int(indices.max()) >= 28:
            raise KeyboardInterrupt
        return gather(self, indices, device)

    monkeypatch.setattr(Stripes, "gather", stopping)
    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path)
    monkeypatch.setattr(Stripes, "gather", gather)
    dataset = cached(tmp_path)
    assert dataset.dataset.drawn[0] > 0
    assert_equal(dataset.gather(torch.arange(40)), Stripes.Config().build().gather(torch.arange(40)))


def test_a_full_disk_is_an_error_and_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = np.save
    calls: list[Path] = []

    def full(path: Path, array: np.ndarray) -> None:
        calls.append(path)
        if len(calls) > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(path, array)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(PerceptsError) as error:
        cached(tmp_path)
    assert_one_line(error, "No space left", "free disk space")
    monkeypatch.setattr(np, "save", save)
    (folder,) = tmp_path.iterdir()
    assert not [entry.name for entry in folder.iterdir() if entry.name.endswith(".tmp")]
    dataset = cached(tmp_path)
    assert dataset.dataset.drawn[0] > 0
    assert_equal(dataset.gather(torch.arange(40)), Stripes.Config().build().gather(torch.arange(40)))


def refused(*_: Any, **__: Any) -> Any:
    raise OSError(errno.EROFS, "Read-only file system")


def test_what_is_finished_is_used_where_nothing_may_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cached(tmp_path, 30).gather(torch.arange(30))
    monkeypatch.setattr(Path, "mkdir", refused)
    monkeypatch.setattr(writing, "alone_in", refused)
    again = cached(tmp_path, 30)
    assert again.dataset.drawn == []
    assert_equal(again.gather(torch.arange(30)), made)
    with pytest.raises(PerceptsError) as error:
        cached(tmp_path, 40)
    assert_one_line(error, "Read-only file system", "another folder")


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PerceptsError) as error:
        cached(tmp_path / "file", 20)
    assert_one_line(error, "Not a directory")


def test_what_killed_processes_left_is_cleared(tmp_path: Path) -> None:
    folder = cached(tmp_path, 13).folder
    for name in (".00001.aaaaaaaa.tmp", ".00001.aaaaaaaa.old"):
        (folder / name).mkdir()
        (folder / name / "image.npy").write_bytes(b"half")
    (folder / ".shards.json.aaaaaaaa.tmp").write_bytes(b"{")
    cached(tmp_path, 40)
    assert not [entry.name for entry in folder.iterdir() if entry.suffix in (".tmp", ".old")]


def test_another_configuration_has_another_folder(tmp_path: Path) -> None:
    one = cached(tmp_path, 20)
    other = CachedImages.Config(dataset=Stripes.Config(images=30), folder=str(tmp_path), images=20).build()
    assert one.folder != other.folder
    assert "Stripes-" in one.folder.name


def test_rows_of_another_key_are_thrown_away(tmp_path: Path) -> None:
    folder = cached(tmp_path, 40).folder
    plan = json.loads((folder / "shards.json").read_text())
    (folder / "shards.json").write_text(json.dumps({**plan, "key": "of something else"}))
    assert cached(tmp_path, 20).dataset.drawn == list(range(20))


def test_damaged_shards_are_refused(tmp_path: Path) -> None:
    dataset = cached(tmp_path, 40, max_memory_gigabytes=0)
    path = dataset.folder / "00001" / "image.npy"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="truncated"):
        cached(tmp_path, 40, max_memory_gigabytes=0).gather(torch.arange(40))
    with pytest.raises(DataError, match="holds no shards"):
        Shards(tmp_path)
    with pytest.raises(DataError, match="holds 40 rows"):
        Shards(dataset.folder, 41)


@pytest.mark.parametrize("images", [0, 41, -1])
def test_more_items_than_there_are_are_refused(tmp_path: Path, images: int) -> None:
    with pytest.raises(ConfigError) as error:
        cached(tmp_path, images)
    assert_one_line(error, f"images = {images}", "1 to 40")


def test_shards_can_be_pickled(tmp_path: Path) -> None:
    dataset = cached(tmp_path, 40, max_memory_gigabytes=0)
    places = torch.tensor([3, 33])
    before = dataset.gather(places)
    assert_equal(pickle.loads(pickle.dumps(dataset)).gather(places), before)


def test_many_shards_do_not_keep_many_files_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("percepts.data.shards._OPEN_FILES", 3)
    monkeypatch.setattr(writing, "_SHARD_BYTES", 600)
    dataset = cached(tmp_path, 40, max_memory_gigabytes=0)
    assert_equal(dataset.gather(torch.arange(40)), Stripes.Config().build().gather(torch.arange(40)))
    assert len(dataset._shards._open) <= 3


def test_the_plan_goes_through_json(tmp_path: Path) -> None:
    folder = cached(tmp_path, 40).folder
    plan = read_plan(folder)
    assert plan is not None
    dataclasses.replace(plan, complete=True, remembered={"a": 1}).write(folder)
    assert read_plan(folder) == dataclasses.replace(plan, complete=True, remembered={"a": 1})
    (folder / "shards.json").write_text("{")
    assert read_plan(folder) is None


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([0, 255]), np.uint8),
        (np.array([0, 256]), np.int16),
        (np.array([-1, 3]), np.int16),
        (np.array([-(1 << 15), (1 << 15) - 1]), np.int16),
        (np.array([0, 1 << 15]), np.int64),
        (np.arange(256, dtype=np.float32) / np.float32(255), np.uint8),
        (np.array([0.1], np.float32), np.float32),
        (np.array([1.01], np.float32), np.float32),
        (np.array([np.nan], np.float32), np.float32),
        (np.array([True, False]), np.bool_),
    ],
)
def test_narrow_loses_nothing(array: np.ndarray, dtype: type) -> None:
    assert narrow(array).dtype == dtype
