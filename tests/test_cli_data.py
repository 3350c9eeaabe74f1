"""`percepts data`, as a user types it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from percepts.cli import COMMANDS, HELP, main
from percepts.core.capabilities import Batch
from percepts.data.cached_scenes import CachedImages
from percepts.data.crc32c import crc32c
from percepts.data.names import dataset_names, find_dataset, kebab
from percepts.data.scenes import SceneDataset
from percepts.report.preview import _places, item_tiles, preview
from percepts.report.slot_palette import colour_masks


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def empty_records(path: Path, count: int, wrong: bool = False) -> None:
    """A plain TFRecord file of records that hold nothing; the last one's checksum may be wrong."""
    from percepts.data.tfrecord import masked

    length = (0).to_bytes(8, "little")
    head = length + masked(crc32c(length)).to_bytes(4, "little")
    good, bad = (masked(crc32c(b"")) ^ flip for flip in (0, 1))
    checks = [good] * (count - 1) + [bad if wrong else good]
    path.write_bytes(b"".join(head + check.to_bytes(4, "little") for check in checks))


def test_the_command_is_listed() -> None:
    assert "data" in COMMANDS
    assert "data list" in HELP


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["data", "--help"])
    assert "percepts data preview two-sprites" in capsys.readouterr().out


def test_list_names_datasets_and_what_they_need(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    named = {line.split()[0]: line for line in lines}
    assert {"squares24", "two-sprites", "clevr-records", "image-folder"} <= named.keys()
    assert "needs --path" in named["clevr-records"]
    assert "needs" not in named["two-sprites"]


@pytest.mark.parametrize("columns", [60, 90, 200])
def test_lists_are_as_wide_as_the_terminal(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["data", "list"])
    whole = capsys.readouterr().out.splitlines()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    main(["data", "list"])
    cut = capsys.readouterr().out.splitlines()
    wide = max(map(len, dataset_names()))
    for full, line in zip(whole, cut, strict=True):
        end = full[full.index(" (needs ") :] if " (needs " in full else ""
        assert line.endswith(end)
        assert len(line) <= max(columns, wide + 2 + 20 + len(end))
        assert line == full if len(full) <= columns else line.endswith("..." + end)
    assert max(map(len, whole)) > 200, "nothing is cut where nobody looks"


def test_what_changes_another_dataset_is_not_listed() -> None:
    assert not {"shifted", "held-out-combination", "cached-images"} & dataset_names().keys()


def test_every_dataset_without_needs_can_be_configured() -> None:
    known = dataset_names()
    assert find_dataset("squares24") == known["squares24"]
    for name, one in known.items():
        if not one.needed:
            assert one.make().owner is not None, name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("MultiDSprites", "multi-dsprites"),
        ("DSprites", "dsprites"),
        ("MPI3D", "mpi3d"),
        ("Shapes3D", "shapes3d"),
        ("SmallNORB", "small-norb"),
        ("CelebA", "celeba"),
        ("ObjectsRoomRecords", "objects-room-records"),
        ("clevr7_10_records", "clevr7-10-records"),
        ("Squares24", "squares24"),
    ],
)
def test_names_are_words_with_hyphens(name: str, words: str) -> None:
    assert kebab(name) == words


def test_preview_writes_a_picture(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "preview", "two-sprites", "--count", "3", "--out", "folder/a.png"]) == 0
    with Image.open("folder/a.png") as picture:
        first = np.asarray(picture)
    assert first.std() > 10
    assert "3 of the 1,000,000 items of two-sprites, images of 3 x 24 x 24" in capsys.readouterr().out
    assert main(["data", "preview", "two-sprites", "--count", "3", "--seed", "1", "--out", "b.png"]) == 0
    assert not np.array_equal(first, np.asarray(Image.open("b.png")))


def test_settings_follow_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "preview", "squares24", "--count", "1"]) == 0
    assert Path("squares24.png").is_file()
    assert main(["data", "preview", "small-scenes", "--count", "2", "--size", "32", "--sprites", "3", "3"]) == 0
    assert Path("small-scenes.png").is_file()
    words = ["data", "preview", "clevr6", "--count", "1", "--objects", "1", "2", "--samples", "1", "--size", "16"]
    assert main(words) == 0
    assert "images of 3 x 16 x 16" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data", "preview", "two-sprits"], "did you mean 'two-sprites'?"),
        (["data", "preview", "clevr-records"], "percepts data preview clevr-records --path PATH"),
        (["data", "preview", "clevr-records", "--path", "none"], "there is no file 'none'"),
        (["data", "preview", "two-sprites", "--out", "a.jpg"], "--out a.png"),
        (["data", "preview", "two-sprites", "--count", "0"], "a preview of 0 items"),
        (["data", "cache", "two-sprites", "--images", "0"], "images = 0"),
        (["data", "check", "none"], "there is no file"),
        (["data", "list", "more"], "does not know 'more'"),
    ],
)
def test_wrong_words_teach(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 1
    assert message in capsys.readouterr().err


def test_cache_draws_once(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data", "cache", "two-sprites", "--images", "70", "--out", "shards"]
    assert main(words) == 0
    assert "70 items" in capsys.readouterr().out
    (folder,) = Path("shards").iterdir()
    before = (folder / "00000").stat().st_mtime_ns
    assert main(words) == 0
    assert (folder / "00000").stat().st_mtime_ns == before


def test_cache_may_ask_for_any_number_of_generated_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(CachedImages.Config, "build", lambda self: asked.append(self) or 1 / 0)
    for images in (70, 3_000_000):
        with pytest.raises(ZeroDivisionError):
            main(["data", "cache", "two-sprites", "--images", str(images)])
    assert [one.images for one in asked] == [70, 3_000_000]
    assert [one.dataset.images for one in asked] == [1_000_000, 3_000_000]


def test_check_counts_records(capsys: pytest.CaptureFixture[str]) -> None:
    empty_records(Path("a.tfrecords"), 3)
    assert main(["data", "check", "a.tfrecords"]) == 0
    assert "a.tfrecords: 3 intact records, not compressed, checksums match" in capsys.readouterr().out
    empty_records(Path("b.tfrecords"), 2, wrong=True)
    assert main(["data", "check", "."]) == 1
    out = capsys.readouterr().out
    assert "b.tfrecords: 1 intact records, not compressed, damaged" in out
    assert "record 1 of" in out
    Path("c.tfrecords").write_bytes(b"something else")
    assert main(["data", "check", "c.tfrecords"]) == 1
    assert "no TFRecord file" in capsys.readouterr().err
    assert main(["data", "check", "."]) == 1
    out = capsys.readouterr().out
    for words in ("a.tfrecords: 3 intact", "b.tfrecords: 1 intact", "'c.tfrecords' is no TFRecord file"):
        assert words in out


class Known(SceneDataset):
    """Two scenes of two entities with depth; a video where `frames` are given."""

    def __init__(self, frames: int | None = None) -> None:
        self.frames = frames
        self.image_shape, self.entities, self.backgrounds, self.properties = (3, 4, 6), 2, 1, {}

    def __len__(self) -> int:
        return 2

    def _time(self, value: torch.Tensor) -> torch.Tensor:
        return value if self.frames is None else value[:, None].expand(-1, self.frames, *value.shape[1:])

    def gather(self, indices: torch.Tensor, device: torch.device | str = "cpu") -> Batch:
        image = indices[:, None, None, None].float().expand(-1, 3, 4, 6)
        labels = (torch.arange(6) > 2).long().expand(len(indices), 4, 6)
        return {"image" if self.frames is None else "video": self._time(image), "segmentation": self._time(labels)}

    def details(self, indices: torch.Tensor, device: torch.device | str = "cpu") -> Batch:
        depth = torch.arange(1.0, 7.0).expand(len(indices), 4, 6).clone()
        depth[..., 5] = float("inf")
        return {"depth": self._time(depth)}


def test_tiles_are_image_segmentation_and_depth() -> None:
    tiles = item_tiles(Known(), torch.tensor([0, 1]))
    assert tiles.shape == (2, 12, 6, 3)
    assert tiles[0, :4].max() == 0
    assert tiles[1, :4].min() == 255
    assert np.array_equal(tiles[0, 4:8], colour_masks(np.tile(np.arange(6) > 2, (4, 1)).astype(int)))
    depth = tiles[0, 8:].sum((0, 2)).astype(int)
    assert (np.diff(depth[:5]) < 0).all(), "near is bright"
    assert depth[5] == depth[4]


def test_videos_show_frames_side_by_side() -> None:
    assert item_tiles(Known(frames=9), torch.tensor([1])).shape == (1, 12, 36, 3)
    assert item_tiles(Known(frames=2), torch.tensor([1])).shape == (1, 12, 12, 3)


@pytest.mark.parametrize(("total", "count"), [(4, 9), (4, 4), (9, 8), (1 << 21, 50), (1 << 40, 20)])
def test_previews_show_different_items(total: int, count: int) -> None:
    draw = [_places(total, count, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert len(draw[0].unique()) == len(draw[0]) == min(total, count)
    assert draw[0].min() >= 0
    assert draw[0].max() < total
    assert torch.equal(draw[0], draw[1])
    assert torch.equal(draw[0], draw[2]) == (count >= total)


def test_narrow_images_do_not_become_endless() -> None:
    narrow = Known()
    narrow.image_shape = (3, 900, 2)
    narrow.gather = lambda indices, device="cpu": {"image": torch.zeros(len(indices), 3, 900, 2)}  # type: ignore[method-assign]
    narrow.details = lambda indices, device="cpu": {}  # type: ignore[method-assign]
    assert preview(narrow, count=2).height == 9000


def test_small_images_are_enlarged() -> None:
    picture = preview(Known(), count=2)
    assert picture.width > 512
    assert picture.mode == "RGB"


def test_a_preset_that_takes_any_setting_needs_none():
    assert find_dataset("clevr6").needed == ()
    assert find_dataset("clevr6-records").needed == ("path",)
    assert find_dataset("clevr6").open
    assert not find_dataset("two-sprites").open
    assert not find_dataset("clevr6-records").open
