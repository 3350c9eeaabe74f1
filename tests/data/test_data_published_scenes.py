"""The readers of the published sets of scenes, on small files in their formats."""

from __future__ import annotations

import gzip
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dataset_contract import assert_one_line
from scene_contract import SceneContract
from scene_files import example, save_scenes, scenes_of, write_records

from percepts.core.errors import ConfigError, DataError
from percepts.data import published_scenes as sets
from percepts.data import scene_records
from percepts.data.published_scenes import (
    CaterRecords,
    ClevrRecords,
    MultiDSpritesRecords,
    ObjectsRoomRecords,
    TetrominoesRecords,
)
from percepts.data.scene_formats import CATER, CLEVR, FORMATS, MULTI_DSPRITES, OBJECTS_ROOM, TETROMINOES, SceneFormat

SPRITES = MULTI_DSPRITES.items()
ALL: dict[str, tuple[type, SceneFormat, dict[str, Any]]] = {
    **{
        f"multi-dsprites {name}": (MultiDSpritesRecords, one, {"variant": name}) for name, one in MULTI_DSPRITES.items()
    },
    **{f"objects room {name}": (ObjectsRoomRecords, one, {"variant": name}) for name, one in OBJECTS_ROOM.items()},
    "clevr": (ClevrRecords, CLEVR, {}),
    "clevr whole": (ClevrRecords, CLEVR, {"size": None}),
    "tetrominoes": (TetrominoesRecords, TETROMINOES, {}),
    "cater": (CaterRecords, CATER, {}),
}
CONTRACT = {name: ALL[name] for name in ("multi-dsprites colored_on_grayscale", "objects room train", "clevr", "cater")}


def opened(path: Path, reader: type = TetrominoesRecords, **settings: Any) -> Any:
    return reader.Config(path=str(path), **settings).build()  # type: ignore[attr-defined]


@pytest.fixture
def tetrominoes(tmp_path: Path) -> Path:
    save_scenes(tmp_path / "a.tfrecords", TETROMINOES, 6)
    return tmp_path / "a.tfrecords"


@pytest.fixture(scope="module", params=CONTRACT.values(), ids=CONTRACT.keys())
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    reader, wanted, settings = request.param
    path = tmp_path_factory.mktemp("scenes") / "a.tfrecords"
    save_scenes(path, wanted, 4)
    return path, reader, settings


class TestContract(SceneContract):
    @pytest.fixture
    def dataset(self, file: Any) -> Any:
        path, reader, settings = file
        return opened(path, reader, **settings, max_memory_gigabytes=0)


@pytest.mark.parametrize(("reader", "wanted", "settings"), ALL.values(), ids=ALL.keys())
def test_what_is_read_is_what_was_written(
    tmp_path: Path, reader: type, wanted: SceneFormat, settings: dict[str, Any]
) -> None:
    scenes = save_scenes(tmp_path / "a.tfrecords", wanted, 3, seed=5)
    if "repair" in reader.Config.__dataclass_fields__:  # type: ignore[attr-defined]
        settings = {**settings, "repair": False}
    if reader is ClevrRecords:
        settings = {**settings, "size": None}
    dataset = opened(tmp_path / "a.tfrecords", reader, **settings)
    batch = dataset.gather(torch.arange(3))
    height, width, channels = wanted.image
    time = wanted.frames or 1
    for item, scene in enumerate(scenes):
        key = "image" if wanted.frames is None else "video"
        image = scene["image"].reshape(time, height, width, channels).transpose(0, 3, 1, 2)
        assert np.array_equal(batch[key][item].mul(255).round().reshape(image.shape).numpy(), image)
        masks = scene["mask"]
        axis = {"entity first": 0, "entity last": -1, "frame first": 1}[wanted.mask_axes]
        assert np.array_equal(batch["segmentation"][item].numpy(), np.moveaxis(masks, axis, 0).argmax(0))
        if "visibility" in scene:
            counts = int(scene["visibility"].sum()) - wanted.backgrounds
            assert dataset.object_counts()[item] == counts
        if wanted.frames is not None:
            places = scene["object_positions"].reshape(wanted.entities, time, 3)
            assert np.array_equal(batch["position"][item].numpy(), places.transpose(1, 0, 2))
            assert np.array_equal(batch["camera"][item].numpy(), scene["camera_matrix"].reshape(time, 4, 4))


def test_properties_have_their_meaning(tmp_path: Path) -> None:
    scenes = save_scenes(tmp_path / "a.tfrecords", CLEVR, 2, seed=1)
    dataset = opened(tmp_path / "a.tfrecords", ClevrRecords, size=None)
    batch = dataset.gather(torch.arange(2))
    for item, scene in enumerate(scenes):
        there = scene["visibility"] > 0
        there[0] = False
        for column, name in enumerate("xyz"):
            assert np.array_equal(batch["entity.position"][item, :, column].numpy()[there], scene[name][there])
        assert np.array_equal(batch["entity.colour"][item].numpy()[there], scene["color"][there])
        turns = np.deg2rad(scene["rotation"]) % (2 * math.pi)
        assert np.allclose(batch["entity.rotation"][item].numpy()[there], turns[there], atol=1e-5)
        assert not batch["entity.position"][item][torch.from_numpy(~there)].any()
    assert dataset.properties["colour"].size == 9
    named = opened(tmp_path / "a.tfrecords", ClevrRecords, size=None, shapes=("cube", "sphere", "cylinder"))
    assert named.properties["shape"].names == ("none", "cube", "sphere", "cylinder")


def test_the_crop_of_clevr(tmp_path: Path) -> None:
    (scene,) = scenes_of(CLEVR, 1)
    labels = np.zeros((240, 320), np.int64)
    labels[29:221, 64:256] = 1
    labels[:20, :50] = 2  # wholly outside of the crop
    scene["mask"] = ((labels == np.arange(11)[:, None, None]) * 255).astype(np.uint8)
    scene["visibility"] = np.array([1, 1, 1] + [0] * 8, np.float32)
    scene["pixel_coords"] = np.tile(np.array([64, 221, 9], np.float32), (11, 1))
    image = np.zeros((240, 320, 3), np.uint8)
    image[29:221, 64:256] = 200
    scene["image"] = image
    write_records(tmp_path / "a.tfrecords", [example(scene)])
    for size in (128, 96, 64, 192):
        dataset = opened(tmp_path / "a.tfrecords", ClevrRecords, size=size)
        batch = dataset.gather(torch.tensor([0]))
        assert batch["image"].shape == (1, 3, size, size)
        assert torch.equal((batch["image"] * 255).round(), torch.full((1, 3, size, size), 200.0))
        assert (batch["segmentation"] == 1).all()
        assert batch["visible"][0].tolist() == [False, True] + [False] * 9
        assert torch.allclose(batch["entity.pixel_coords"][0, 1], torch.tensor([0.0, size, 9.0]))
        assert dataset.object_counts().tolist() == [2]
        assert dataset.details(torch.tensor([0]))["exists"][0].tolist() == [True] * 3 + [False] * 8


def test_the_crop_resizes_without_anti_aliasing_and_with_half_pixel_centres() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 3, 240, 320), dtype=np.uint8)
    labels = rng.integers(0, 11, (2, 240, 320), dtype=np.uint8)
    small, few = sets.crop_scenes(images, labels, 96)
    inside = images[..., 29:221, 64:256].astype(np.float64)
    means = (inside[..., ::2, ::2] + inside[..., 1::2, ::2] + inside[..., ::2, 1::2] + inside[..., 1::2, 1::2]) / 4
    assert np.abs(small - means).max() <= 0.5
    third, third_labels = sets.crop_scenes(images, labels, 64)
    assert np.array_equal(third, images[..., 30:221:3, 65:256:3])
    assert np.array_equal(third_labels, labels[..., 30:221:3, 65:256:3])
    assert few.shape == (2, 96, 96)


def test_objects_room_is_repaired(tmp_path: Path) -> None:
    (scene,) = scenes_of(OBJECTS_ROOM["train"], 1)
    labels = np.full((64, 64), 2)
    labels[:10], labels[40:] = 0, 1
    labels[35:50, 20:30] = 3
    scene["mask"] = ((labels == np.arange(7)[:, None, None]) * 255).astype(np.uint8)
    write_records(tmp_path / "a.tfrecords", [example(scene)])
    for repair, number in ((True, 4), (False, 3)):
        batch = opened(tmp_path / "a.tfrecords", ObjectsRoomRecords, repair=repair).gather(torch.tensor([0]))
        assert batch["segmentation"].unique().tolist() == [0, 1, 2, number]
        assert batch["visible"][0].nonzero()[:, 0].tolist() == [0, 1, 2, number]


def test_a_room_that_only_looks_as_if_it_lacked_a_wall_is_converted(tmp_path: Path) -> None:
    (scene,) = scenes_of(OBJECTS_ROOM["train"], 1)
    labels = np.full((64, 64), 2)
    labels[:10], labels[40:] = 0, 1
    labels[15:35, :12] = 3  # the other wall, between pieces of the first
    for number, place in ((4, 20), (5, 40), (6, 55)):
        labels[50:60, place : place + 8] = number
    scene["mask"] = ((labels == np.arange(7)[:, None, None]) * 255).astype(np.uint8)
    write_records(tmp_path / "a.tfrecords", [example(scene)])
    batch = opened(tmp_path / "a.tfrecords", ObjectsRoomRecords).gather(torch.tensor([0]))
    assert batch["segmentation"].unique().tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_conversion_happens_once_and_goes_on_where_it_stopped(
    tetrominoes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene_records, "_BLOCK", 2)
    monkeypatch.setattr("percepts.data.shard_writing._SHARD_BYTES", 2 * 35 * 35 * 4)
    read = scene_records.read_scene
    seen: list[int] = []

    def stopping(*arguments: Any) -> Any:
        seen.append(len(seen))
        if len(seen) == 4:
            raise KeyboardInterrupt
        return read(*arguments)

    monkeypatch.setattr(scene_records, "read_scene", stopping)
    with pytest.raises(KeyboardInterrupt):
        opened(tetrominoes)
    monkeypatch.setattr(scene_records, "read_scene", lambda *arguments: (seen.append(-1), read(*arguments))[1])
    resumed = opened(tetrominoes).gather(torch.arange(6))
    assert seen.count(-1) < 6
    monkeypatch.setattr(scene_records, "read_scene", lambda *arguments: pytest.fail("read again"))
    assert torch.equal(opened(tetrominoes).gather(torch.arange(6))["image"], resumed["image"])
    monkeypatch.setattr(scene_records, "read_scene", read)
    fresh = opened(tetrominoes, cache=str(tetrominoes.parent / "elsewhere")).gather(torch.arange(6))
    assert all(torch.equal(fresh[name], resumed[name]) for name in fresh)


def test_max_records_can_grow(tetrominoes: Path) -> None:
    few, more, all_ = (opened(tetrominoes, max_records=count) for count in (2, 4, None))
    assert (len(few), len(more), len(all_)) == (2, 4, 6)
    assert torch.equal(few[1]["image"], all_[1]["image"])
    assert torch.equal(more[3]["image"], all_[3]["image"])
    assert len(opened(tetrominoes, max_records=3)) == 3
    assert few.identity != more.identity


def test_a_changed_file_is_converted_again(tetrominoes: Path) -> None:
    before = opened(tetrominoes)
    save_scenes(tetrominoes, TETROMINOES, 5, seed=9)
    after = opened(tetrominoes)
    assert (len(before), len(after)) == (6, 5)
    assert before.identity != after.identity


def test_files_of_one_folder_keep_their_own_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        save_scenes(tmp_path / f"{number}.tfrecords", TETROMINOES, 2, seed=number)
    paths = (tmp_path / "0.tfrecords", tmp_path / "1.tfrecords", tmp_path)
    first = [opened(path, max_memory_gigabytes=0) for path in paths]
    monkeypatch.setattr(scene_records, "read_scene", lambda *arguments: pytest.fail("read again"))
    for one, path in zip(first, paths):
        assert torch.equal(one[0]["image"], opened(path)[0]["image"])


def test_several_files_are_one_set(tmp_path: Path) -> None:
    for number in (1, 0, 2):
        save_scenes(tmp_path / "cater" / f"train.tfrecords-0000{number}-of-00003", CATER, 1, seed=number)
    dataset = opened(tmp_path / "cater", CaterRecords)
    assert len(dataset) == 3
    alone = opened(tmp_path / "cater" / "train.tfrecords-00001-of-00003", CaterRecords)
    assert torch.equal(dataset[1]["video"], alone[0]["video"])


@pytest.mark.parametrize("lost", [3, 900])
def test_a_truncated_file_is_used_up_to_there(tetrominoes: Path, lost: int, caplog: pytest.LogCaptureFixture) -> None:
    whole = opened(tetrominoes)
    tetrominoes.write_bytes(tetrominoes.read_bytes()[:-lost])
    with caplog.at_level(logging.WARNING):
        dataset = opened(tetrominoes)
    assert 4 <= len(dataset) <= 6
    assert f"record {len(dataset)} of " in caplog.text
    assert torch.equal(dataset[len(dataset) - 1]["image"], whole[len(dataset) - 1]["image"])
    caplog.clear()
    assert len(opened(tetrominoes)) == len(dataset)
    assert caplog.text.count(f"record {len(dataset)} of ") == 1, "it is said again, not only once and for all"
    for _ in range(2):
        with pytest.raises(DataError) as error:
            opened(tetrominoes, damaged="refuse")
        assert_one_line(error, f"record {len(dataset)} of", "truncated")


def test_damage_in_one_of_several_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        payloads = [example(scene) for scene in scenes_of(TETROMINOES, 2, seed=number)]
        write_records(tmp_path / f"{number}.tfrecords", payloads, wrong_crc=1 if number == 1 else None)
    dataset = opened(tmp_path)
    assert len(dataset) == 5
    assert "record 1 of" in caplog.text
    assert "1.tfrecords" in caplog.text
    assert len(opened(tmp_path, check=False, cache=str(tmp_path / "unchecked"))) == 6


def test_a_file_without_an_intact_record_is_refused(tmp_path: Path) -> None:
    save_scenes(tmp_path / "a.tfrecords", TETROMINOES, 1)
    data = gzip.decompress((tmp_path / "a.tfrecords").read_bytes())
    (tmp_path / "a.tfrecords").write_bytes(data[:-20])
    with pytest.raises(DataError) as error:
        opened(tmp_path / "a.tfrecords")
    assert_one_line(error, "record 0", "truncated")


@pytest.mark.parametrize("given", FORMATS, ids=[one.title for one in FORMATS])
def test_another_sets_file_is_named(tmp_path: Path, given: SceneFormat) -> None:
    if given is TETROMINOES or (given.image == (240, 320, 3)):
        given = CLEVR
    save_scenes(tmp_path / "a.tfrecords", given, 1)
    with pytest.raises(DataError) as error:
        opened(tmp_path / "a.tfrecords")
    assert_one_line(error, "record 0", "not a record of Tetrominoes", f"a record of {given.title.split(' ')[0]}")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        opened(tmp_path / "none.tfrecords")
    with pytest.raises(DataError, match="tfrecord' in their names"):
        opened(tmp_path)
    (tmp_path / "a.tfrecords").write_bytes(b"\x89HDF\r\n\x1a\n and more")
    with pytest.raises(DataError) as error:
        opened(tmp_path / "a.tfrecords")
    assert_one_line(error, "no TFRecord file")


def changed(**features: Any) -> dict[str, np.ndarray]:
    (scene,) = scenes_of(TETROMINOES, 1)
    for name, value in features.items():
        if value is None:
            del scene[name]
        else:
            scene[name] = value
    return scene


MASK = scenes_of(TETROMINOES, 1)[0]["mask"].reshape(4, 35, 35)


def mask(entity: int, value: int) -> np.ndarray:
    """A mask of which `entity` has `value` at a pixel that is background otherwise."""
    place = tuple(np.argwhere(MASK[0] == 255)[0])
    found = MASK.copy()
    found[(entity, *place)] = value
    return found


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        (changed(x=None), ["'x' is missing"]),
        (changed(mask=None), ["'mask' is missing"]),
        (changed(image=np.zeros(34 * 35 * 3, np.uint8)), ["'image'", "3570 values", "3675 uint8"]),
        (changed(x=np.zeros(4, np.int64)), ["'x'", "int64", "float32"]),
        (changed(mask=mask(2, 255)), ["row", "entities 0 and 2", "lenient_masks"]),
        (changed(mask=mask(0, 0)), ["row", "no entity"]),
        (changed(mask=mask(1, 7)), ["the value 7", "0 or 255"]),
        (changed(shape=np.array([0, 1, 20, 2], np.float32)), ["'shape'", "code 20", "0 to 19"]),
        (changed(shape=np.array([0, 1, -3, 2], np.float32)), ["'shape'", "code -3"]),
        (changed(shape=np.array([0, 1, 2.5, 2], np.float32)), ["'shape'", "code 2.5"]),
        (changed(shape=np.array([0, 1, np.nan, 2], np.float32)), ["'shape'", "not finite"]),
        (changed(visibility=np.array([1, 1, np.nan, 1], np.float32)), ["'visibility'", "not finite"]),
        (changed(y=np.array([0, np.nan, 1, 2], np.float32)), ["'y'", "not finite"]),
    ],
)
def test_records_that_are_wrong_are_refused(tmp_path: Path, scene: dict[str, np.ndarray], words: list[str]) -> None:
    write_records(tmp_path / "a.tfrecords", [example(scenes_of(TETROMINOES, 1)[0]), example(scene)])
    with pytest.raises(DataError) as error:
        opened(tmp_path / "a.tfrecords")
    assert_one_line(error, "record 1 of", "a.tfrecords", *words)


def test_masks_that_do_not_part_the_image_can_be_accepted(tmp_path: Path) -> None:
    for number, value in enumerate((mask(2, 255), mask(0, 0), mask(1, 7))):
        path = tmp_path / f"{number}.tfrecords"
        write_records(path, [example(changed(mask=value))])
        found = opened(path, lenient_masks=True)[0]["segmentation"].numpy()
        assert np.array_equal(found, MASK.argmax(0))


def counted(tmp_path: Path, counts: list[int]) -> Path:
    """A CLEVR file whose scenes have so many objects; the first of each is a green sphere in every third scene."""
    payloads = []
    (scene,) = scenes_of(CLEVR, 1)
    for number, count in enumerate(counts):
        visibility = (np.arange(11) <= count).astype(np.float32)
        codes = np.where(visibility > 0, 1, 0).astype(np.uint8)
        colour, shape = codes.copy(), codes.copy()
        colour[1], shape[1] = (4, 2) if number % 3 == 0 else (4, 1)
        payloads.append(example({**scene, "visibility": visibility, "color": colour, "shape": shape}))
    write_records(tmp_path / "clevr.tfrecords", payloads)
    return tmp_path / "clevr.tfrecords"


def test_filters_count_objects_without_the_background(tmp_path: Path) -> None:
    counts = [6, 7, 3, 10]
    path = str(counted(tmp_path, counts))
    assert sets.clevr6_records(path, size=64).build().records.tolist() == [0, 2]
    assert sets.clevr7_10_records(path, size=64).build().records.tolist() == [1, 3]
    colours = ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")
    held_out = sets.no_green_spheres_records(path, colours, ("cube", "sphere", "cylinder"), size=64).build()
    assert held_out.records.tolist() == [1, 2]
    assert opened(Path(path), ClevrRecords, size=64).object_counts().tolist() == counts
    with pytest.raises(DataError) as error:
        opened(Path(path), ClevrRecords, size=64, objects=(1, 2))
    assert_one_line(error, "none of the 4 records", "0 pass")


@pytest.mark.parametrize(
    ("reader", "settings", "words"),
    [
        (ClevrRecords, {"green_spheres": False}, ["green", "colours"]),
        (ClevrRecords, {"colours": ("red", "green")}, ["2 names for colour", "8"]),
        (ClevrRecords, {"size": 0}, ["size = 0"]),
        (TetrominoesRecords, {"objects": (4, 2)}, ["objects = (4, 2)"]),
        (TetrominoesRecords, {"max_records": 0}, ["max_records = 0"]),
        (TetrominoesRecords, {"split": "iodine-validation"}, ["iodine-test"]),
    ],
)
def test_settings_that_mean_nothing_are_refused(
    tmp_path: Path, reader: type, settings: dict[str, Any], words: list[str]
) -> None:
    save_scenes(tmp_path / "a.tfrecords", TETROMINOES, 1)
    with pytest.raises(ConfigError) as error:
        opened(tmp_path / "a.tfrecords", reader, **settings)
    assert_one_line(error, *words)
