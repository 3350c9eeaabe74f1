"""Folders of pictures: what is read, how it is decoded, when the cache is used, what bad input does."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dataset_contract import DatasetContract, assert_equal, assert_one_line
from PIL import Image

from percepts.core.errors import ConfigError, DataError, PerceptsError
from percepts.data import ImageFolder, Stream, StreamConfig, folder

GENERATOR = np.random.default_rng(0)
FORK = multiprocessing.get_context("fork")


def save(path: Path, values: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)


def noise(*shape: int) -> np.ndarray:
    return GENERATOR.integers(0, 256, shape, dtype=np.uint8)


def first(path: Path, **settings: object) -> np.ndarray:
    """The only picture of a folder as uint8 [C,H,W]."""
    dataset = ImageFolder.Config(path=str(path), **settings).build()
    return dataset[0]["image"].mul(255).round().to(torch.uint8).numpy()


def decoding_is_forbidden(*arguments: object) -> None:
    raise AssertionError("the pictures were decoded again")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for i in range(12):
        save(tmp_path / "pictures" / ("cats" if i % 3 else "dogs") / f"{i:02}.png", noise(8, 10, 3))
    return tmp_path / "pictures"


class TestContract(DatasetContract):
    @pytest.fixture
    def dataset(self, pictures: Path) -> ImageFolder:
        return ImageFolder.Config(path=str(pictures), size=(6, 9), labels="folder").build()


class TestContractOnDisk(DatasetContract):
    @pytest.fixture
    def dataset(self, pictures: Path) -> ImageFolder:
        return ImageFolder.Config(path=str(pictures), size=(6, 9), max_memory_gigabytes=0).build()


def test_held_and_read_images_are_the_same(pictures: Path) -> None:
    held, read = (ImageFolder.Config(path=str(pictures), max_memory_gigabytes=size).build() for size in (0.5, 0.0))
    assert_equal(held.gather(torch.arange(12)), read.gather(torch.arange(12)))


def test_equal_sizes_keep_every_pixel_and_files_are_sorted(pictures: Path) -> None:
    dataset = ImageFolder.Config(path=str(pictures), size=(8, 10)).build()
    assert dataset.files == tuple(sorted(str(path.relative_to(pictures)) for path in pictures.rglob("*.png")))
    for i, name in enumerate(dataset.files):
        wanted = np.asarray(Image.open(pictures / name)).transpose(2, 0, 1)
        assert np.array_equal(dataset[i]["image"].numpy(), wanted.astype(np.float32) / 255)


def test_folder_names_become_labels(pictures: Path) -> None:
    save(pictures / "top.png", noise(8, 10, 3))
    dataset = ImageFolder.Config(path=str(pictures), labels="folder").build()
    assert dataset.label_names == ("cats", "dogs", "pictures")
    assert (dataset.factor_names, dataset.factor_sizes) == (("folder",), (3,))
    labels = [dataset.label_names[dataset[i]["factors"][0]] for i in range(len(dataset))]
    assert labels == [(pictures / name).parent.name for name in dataset.files]
    assert "factors" not in ImageFolder.Config(path=str(pictures)).build()[0]


def test_hidden_files_other_files_and_loops_of_links_are_left_out(pictures: Path) -> None:
    save(pictures / ".hidden.png", noise(4, 4))
    save(pictures / ".git" / "a.png", noise(4, 4))
    (pictures / "notes.txt").write_text("not a picture")
    (pictures / "cats" / "up").symlink_to(pictures)
    save(pictures / "SHOUTED.PNG", noise(4, 4))
    (pictures / "gone.png").symlink_to(pictures / "nowhere.png")
    assert len(ImageFolder.Config(path=str(pictures)).build()) == 13


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "webp", "tif", "ppm"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    save(tmp_path / f"a.{suffix}", np.full((9, 9, 3), (200, 100, 50), np.uint8))
    assert np.abs(first(tmp_path, size=9).astype(int) - np.array([200, 100, 50])[:, None, None]).max() <= 3


class TestChannels:
    def test_auto_is_grey_only_if_all_are_grey(self, tmp_path: Path) -> None:
        for i in range(200):
            save(tmp_path / f"{i:03}.png", noise(4, 4))
        assert ImageFolder.Config(path=str(tmp_path), size=4).build().image_shape == (1, 4, 4)
        save(tmp_path / "zzz.png", noise(4, 4, 3))
        mixed = ImageFolder.Config(path=str(tmp_path), size=4).build()
        assert mixed.image_shape == (3, 4, 4)
        image = mixed[7]["image"]
        assert torch.equal(image[0], image[2])
        assert not torch.equal(mixed[200]["image"][0], mixed[200]["image"][2])

    def test_a_damaged_colour_file_does_not_make_colour(self, tmp_path: Path) -> None:
        for i in range(30):
            save(tmp_path / f"{i}.png", noise(4, 4))
        save(tmp_path / "broken.png", noise(90, 90, 3))
        (tmp_path / "broken.png").write_bytes((tmp_path / "broken.png").read_bytes()[:5000])
        assert ImageFolder.Config(path=str(tmp_path), size=4).build().image_shape == (1, 4, 4)

    def test_asked_for(self, tmp_path: Path) -> None:
        save(tmp_path / "a.png", np.full((4, 4, 3), (255, 0, 0), np.uint8))
        assert first(tmp_path, size=4, channels=1).tolist() == [[[76] * 4] * 4]
        assert first(tmp_path, size=4, channels=3)[:, 0, 0].tolist() == [255, 0, 0]

    @pytest.mark.parametrize(("background", "value"), [("black", 0), ("white", 255)])
    def test_transparent_pixels_show_the_background(self, tmp_path: Path, background: str, value: int) -> None:
        values = np.full((4, 4, 4), 200, np.uint8)
        values[:2, :, 3], values[2:, :, 3] = 0, 255
        save(tmp_path / "a.png", values)
        image = first(tmp_path, size=4, background=background)
        assert (image[:, :2] == value).all()
        assert (image[:, 2:] == 200).all()

    def test_transparent_palettes_and_grey(self, tmp_path: Path) -> None:
        palette = Image.new("P", (2, 1))
        palette.putpalette([10, 20, 30, 40, 50, 60])
        palette.putpixel((1, 0), 1)
        palette.save(tmp_path / "a.png", transparency=1)
        assert first(tmp_path, size=(1, 2), background="white")[:, 0].T.tolist() == [[10, 20, 30], [255, 255, 255]]
        (tmp_path / "a.png").unlink()
        Image.fromarray(np.array([[[90, 255], [90, 0]]], np.uint8), "LA").save(tmp_path / "b.png")
        assert first(tmp_path, size=(1, 2)).tolist() == [[[90, 0]]]

    def test_one_bit_and_sixteen_bits(self, tmp_path: Path) -> None:
        Image.fromarray(np.eye(4, dtype=np.uint8) * 255).convert("1").save(tmp_path / "a.png")
        assert np.array_equal(first(tmp_path, size=4)[0], np.eye(4) * 255)
        save(tmp_path / "a.png", np.array([[0, 257, 32896, 65535]], np.uint16))
        assert first(tmp_path, size=(1, 4)).tolist() == [[[0, 1, 128, 255]]]

    def test_floating_point_grey(self, tmp_path: Path) -> None:
        save(tmp_path / "a.tif", np.array([[0, 0.5, 1]], np.float32))
        assert first(tmp_path, size=(1, 3)).tolist() == [[[0, 128, 255]]]
        save(tmp_path / "a.tif", np.array([[0, 0.5, np.nan]], np.float32))
        with pytest.raises(DataError, match="grey values"):
            first(tmp_path, size=(1, 3))


class TestGeometry:
    def test_crop_keeps_the_centre_and_squeezing_keeps_all(self, tmp_path: Path) -> None:
        values = np.zeros((10, 30), np.uint8)
        values[:, 10:20] = 255
        save(tmp_path / "a.png", values)
        assert (first(tmp_path, size=10) == 255).all()
        squeezed = first(tmp_path, size=10, crop=False)[0]
        assert squeezed[5, 0] == 0
        assert squeezed[5, 5] == 255
        assert abs(squeezed.mean() - 85) < 3

    def test_resizing_is_antialiased(self, tmp_path: Path) -> None:
        values = np.zeros((64, 64), np.uint8)
        values[::2] = 255
        save(tmp_path / "a.png", values)
        assert np.abs(first(tmp_path, size=8)[0].astype(int) - 128).max() < 12

    def test_mixed_sizes_come_out_alike(self, tmp_path: Path) -> None:
        for i, shape in enumerate([(3, 5), (50, 20), (1, 1), (16, 16)]):
            save(tmp_path / f"{i}.png", np.full(shape, 70, np.uint8))
        dataset = ImageFolder.Config(path=str(tmp_path), size=(7, 4)).build()
        assert dataset.image_shape == (1, 7, 4)
        assert (dataset.gather(torch.arange(4))["image"] == 70 / 255).all()

    def test_exif_orientation_is_applied(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned clockwise for display
        values = np.zeros((4, 8), np.uint8)
        values[0] = 255
        save(tmp_path / "a.png", values, exif=exif)
        image = first(tmp_path, size=(8, 4))[0]
        assert (image[:, 3] == 255).all()
        assert (image[:, :3] == 0).all()

    def test_large_jpegs_are_read_reduced(self, tmp_path: Path) -> None:
        ramp = np.tile(np.linspace(0, 255, 1024).astype(np.uint8), (512, 1))
        save(tmp_path / "a.jpg", ramp)
        wanted = np.asarray(Image.fromarray(ramp).resize((32, 16), Image.Resampling.BILINEAR), int)
        assert np.abs(first(tmp_path, size=(16, 32))[0] - wanted).max() <= 4


class TestCache:
    def test_is_used_when_nothing_changed(self, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = ImageFolder.Config(path=str(pictures)).build()
        monkeypatch.setattr("percepts.data.folder._decode", decoding_is_forbidden)
        moved = pictures.rename(pictures.with_name("moved"))
        again = ImageFolder.Config(path=str(moved), labels="folder", max_unreadable=0.5).build()
        assert torch.equal(again[3]["image"], before[3]["image"])

    @pytest.mark.parametrize("change", ["added", "removed", "touched", "resized", "settings"])
    def test_is_renewed_when_something_changed(self, pictures: Path, change: str) -> None:
        config = ImageFolder.Config(path=str(pictures), size=8)
        config.build()
        file = pictures / "cats" / "01.png"
        if change == "added":
            shutil.copy2(file, pictures / "cats" / "00.png")
        elif change == "removed":
            file.unlink()
        elif change == "touched":
            save(file, noise(8, 10, 3))
            os.utime(file, ns=(1, 1))
        elif change == "resized":
            save(file, noise(20, 10, 3))
        else:
            config = ImageFolder.Config(path=str(pictures), size=8, crop=False)
        fresh = ImageFolder.Config(**{**vars(config), "cache": str(pictures.parent / "elsewhere")}).build()
        assert_equal(config.build().gather(torch.arange(11)), fresh.gather(torch.arange(11)))

    def test_one_entry_is_kept_per_settings(self, pictures: Path) -> None:
        for size in (8, 9):
            ImageFolder.Config(path=str(pictures), size=size).build()
        save(pictures / "new.png", noise(8, 8, 3))
        for size in (8, 9):
            ImageFolder.Config(path=str(pictures), size=size).build()
        assert len(list((pictures / ".percepts-cache").glob("images-*"))) == 2

    @pytest.mark.parametrize("damage", ["truncated", "no index", "bad index", "other bytes"])
    def test_a_damaged_one_is_replaced(self, pictures: Path, damage: str) -> None:
        config = ImageFolder.Config(path=str(pictures))
        wanted = config.build()[0]
        (entry,) = (pictures / ".percepts-cache").glob("images-*")
        if damage == "truncated":
            os.truncate(entry / "rows.npy", 5000)
        elif damage == "no index":
            (entry / "index.json").unlink()
        elif damage == "bad index":
            (entry / "index.json").write_text('{"key": ')
        else:
            (entry / "rows.npy").write_bytes(b"something else")
        assert_equal(config.build()[0], wanted)

    def test_goes_to_the_users_folder_where_the_pictures_are_read_only(
        self, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "users"))
        (pictures / ".percepts-cache").write_text("a file in the way stands for a folder that cannot be written")
        config = ImageFolder.Config(path=str(pictures))
        wanted = config.build()[2]
        assert list((tmp_path / "users" / "percepts").glob("pictures-*/images-*/rows.npy"))
        monkeypatch.setattr("percepts.data.folder._decode", decoding_is_forbidden)
        assert_equal(config.build()[2], wanted)

    def test_nowhere_to_write_is_one_clear_line(self, pictures: Path) -> None:
        (pictures.parent / "file").write_text("")
        with pytest.raises(DataError) as error:
            ImageFolder.Config(path=str(pictures), cache=str(pictures.parent / "file")).build()
        assert_one_line(error, "no cache folder can be written", "(Not a directory)", "--data.cache FOLDER")
        assert "disk space" not in str(error.value)

    def test_a_full_disk_leaves_the_old_cache(self, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ImageFolder.Config(path=str(pictures)).build()
        (entry,) = (pictures / ".percepts-cache").glob("images-*")
        before = (entry / "rows.npy").read_bytes()
        save(pictures / "new.png", noise(8, 8, 3))

        def full(*arguments: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("percepts.data.mapped.RowWriter.write", full)
        with pytest.raises(PerceptsError) as error:
            ImageFolder.Config(path=str(pictures)).build()
        assert_one_line(error, "No space left")
        assert (entry / "rows.npy").read_bytes() == before
        assert len(list((pictures / ".percepts-cache").iterdir())) == 2

    def test_a_killed_decode_leaves_nothing_wrong(self, pictures: Path) -> None:
        reached = FORK.Event()
        process = FORK.Process(target=decode_forever, args=(pictures, reached))
        process.start()
        assert reached.wait(30)
        process.kill()
        process.join()
        assert list((pictures / ".percepts-cache").glob(".*.tmp"))
        assert len(ImageFolder.Config(path=str(pictures)).build()) == 12
        assert not list((pictures / ".percepts-cache").glob(".*.tmp"))

    def test_two_processes_decode_once(self, pictures: Path) -> None:
        results = FORK.SimpleQueue()
        both = [FORK.Process(target=decode_and_tell, args=(pictures, results)) for _ in range(2)]
        for process in both:
            process.start()
        (one, sum_one), (other, sum_other) = results.get(), results.get()
        for process in both:
            process.join()
        assert one + other == 1
        assert sum_one == sum_other


def decode_forever(pictures: Path, reached: Any) -> None:
    """Stands in a decode until it is killed."""
    folder._chunks = lambda *arguments: reached.set() or time.sleep(60)
    ImageFolder.Config(path=str(pictures)).build()


def decode_and_tell(pictures: Path, results: Any) -> None:
    """Reports how often this process decoded the folder, and a sum of what it read."""
    decode, calls = folder._decode, []
    folder._decode = lambda *arguments: (calls.append(1), time.sleep(0.3), decode(*arguments))[-1]
    dataset = ImageFolder.Config(path=str(pictures)).build()
    results.put((len(calls), dataset[5]["image"].sum().item()))


class TestBadInput:
    def test_a_few_unreadable_files_are_named_and_skipped(
        self, pictures: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        whole = (pictures / "cats" / "01.png").read_bytes()
        (pictures / "cats" / "02.png").write_bytes(whole[: len(whole) // 2])
        (pictures / "dogs" / "00.png").write_text("no picture at all")
        (pictures / "dogs" / "03.png").write_bytes(b"")
        config = ImageFolder.Config(path=str(pictures), max_unreadable=0.3, labels="folder", size=(8, 10))
        for _ in range(2):  # decoded, then from the cache
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                dataset = config.build()
            assert "3 of 12" in caplog.text
            for name in ("cats/02.png", "dogs/00.png (not a picture)", "dogs/03.png"):
                assert name in caplog.text
            assert len(caplog.records) == 1
            assert len(dataset) == len(dataset.files) == 9
            assert "cats/02.png" not in dataset.files
            for i, name in enumerate(dataset.files):
                wanted = np.asarray(Image.open(pictures / name)).transpose(2, 0, 1)
                assert np.array_equal(dataset[i]["image"].numpy(), wanted.astype(np.float32) / 255)
                assert dataset.label_names[dataset[i]["factors"]] == name.split("/")[0]

    def test_too_many_unreadable_files_are_an_error(self, pictures: Path) -> None:
        for name in ("01", "02", "04", "05"):
            (pictures / "cats" / f"{name}.png").write_text("broken")
        with pytest.raises(DataError) as error:
            ImageFolder.Config(path=str(pictures)).build()
        words = ("and 1 more; expected none, as a share of 0.05 of 12 allows", "--data.max-unreadable 0.34")
        assert_one_line(error, "4 of 12", "cats/01.png", *words)
        with pytest.raises(DataError) as error:
            ImageFolder.Config(path=str(pictures), max_unreadable=0.2).build()
        assert_one_line(error, "expected at most 2, as a share of 0.2 of 12 allows")
        assert len(ImageFolder.Config(path=str(pictures), max_unreadable=0.34).build()) == 8

    def test_nothing_but_unreadable_files_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_text("broken")
        with pytest.raises(DataError, match=r"1 of 1 .*expected at least one picture.*Try: repair these files"):
            ImageFolder.Config(path=str(tmp_path), max_unreadable=1.0).build()

    def test_missing_file_empty_and_pictureless_folders(self, tmp_path: Path) -> None:
        save(tmp_path / "some" / "a.png", noise(4, 4))
        (tmp_path / "empty").mkdir()
        (tmp_path / "texts").mkdir()
        (tmp_path / "texts" / "a.txt").write_text("")
        for path, words in [
            ("missing", ["there is no folder"]),
            ("some/a.png", ["is a file", "expected a folder"]),
            ("empty", ["is empty", "png"]),
            ("texts", ["1 files but no pictures", "jpg"]),
        ]:
            with pytest.raises(DataError) as error:
                ImageFolder.Config(path=str(tmp_path / path)).build()
            assert_one_line(error, *words)

    def test_a_size_of_nothing(self, pictures: Path) -> None:
        with pytest.raises(ConfigError, match="at least one pixel"):
            ImageFolder.Config(path=str(pictures), size=0).build()

    def test_gather_refuses_indices_outside(self, pictures: Path) -> None:
        for gigabytes in (0.5, 0):
            dataset = ImageFolder.Config(path=str(pictures), max_memory_gigabytes=gigabytes).build()
            for index in (-1, 12):
                with pytest.raises(IndexError, match=str(index)):
                    dataset.gather(torch.tensor([0, index]))


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    """An epoch over a cache of 98 MB; touched pages of a memory map would stay resident."""
    save(tmp_path / "0.png", np.full((128, 128, 3), 90, np.uint8))
    for i in range(1, 2000):
        os.link(tmp_path / "0.png", tmp_path / f"{i}.png")
    dataset = ImageFolder.Config(path=str(tmp_path), size=128, max_memory_gigabytes=0.05).build()
    stream = Stream(dataset, StreamConfig(batch_size=8), seed=0)
    for _ in range(20):  # until the allocator has its share
        stream.batch(0)
    before = resident()
    for n in range(1, 250):
        stream.batch(n)
    assert resident() - before < 20e6


@pytest.mark.parametrize(("gigabytes", "bound"), [(0.5, 1e-3), (0.0, 2e-3)])
def test_gathering_is_fast(tmp_path: Path, gigabytes: float, bound: float) -> None:
    """64 images of 32 x 32; the bounds leave room for a busy core."""
    save(tmp_path / "0.png", noise(32, 32, 3))
    for i in range(1, 512):
        os.link(tmp_path / "0.png", tmp_path / f"{i}.png")
    dataset = ImageFolder.Config(path=str(tmp_path), size=32, max_memory_gigabytes=gigabytes).build()
    indices = torch.randint(512, (64,), generator=torch.Generator().manual_seed(0))
    times = []
    for _ in range(50):
        start = time.perf_counter()
        dataset.gather(indices)
        times.append(time.perf_counter() - start)
    assert min(times) < bound
