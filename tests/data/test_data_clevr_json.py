"""The reader of CLEVR's original pictures and scenes, on a few small ones in the same format."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dataset_contract import assert_one_line
from PIL import Image
from scene_contract import SceneContract

from percepts.core.errors import ConfigError, DataError
from percepts.data.clevr_json import NAMES, ClevrJson
from percepts.data.shifts import Shifted

WIDTH, HEIGHT = 48, 32


def an_object(rng: np.random.Generator, **changes: Any) -> dict[str, Any]:
    words = {("color" if name == "colour" else name): str(rng.choice(known)) for name, known in NAMES.items()}
    place = {"3d_coords": rng.uniform(-3, 3, 3).tolist(), "pixel_coords": [24, 16, 9.5]}
    return {**words, **place, "rotation": float(rng.uniform(0, 360)), **changes}


def save(root: Path, scenes: list[dict[str, Any]], masks: bool = False) -> Path:
    """A CLEVR folder with a picture a scene, and masks beside it: columns of as many pixels for every entity."""
    rng = np.random.default_rng(0)
    (root / "images" / "train").mkdir(parents=True, exist_ok=True)
    (root / "masks").mkdir(exist_ok=True)
    (root / "scenes").mkdir(exist_ok=True)
    for number, scene in enumerate(scenes):
        scene.setdefault("image_filename", f"CLEVR_train_{number:06}.png")
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
        pixels[..., 3] = 255
        Image.fromarray(pixels).save(root / "images" / "train" / scene["image_filename"])
        if masks:
            numbers = np.arange(WIDTH) * (len(scene["objects"]) + 1) // WIDTH
            mask = np.broadcast_to(numbers, (HEIGHT, WIDTH)).astype(np.uint8)
            Image.fromarray(mask).save(root / "masks" / scene["image_filename"])
    data = {"info": {"split": "train"}, "scenes": scenes}
    (root / "scenes" / "CLEVR_train_scenes.json").write_text(json.dumps(data))
    return root


def scenes_of(counts: tuple[int, ...]) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    return [
        {
            "objects": [an_object(rng) for _ in range(count)],
            "relationships": {
                "left": [list(range(i)) for i in range(count)],
                "right": [list(range(i + 1, count)) for i in range(count)],
            },
        }
        for count in counts
    ]


def opened(root: Path, **settings: Any) -> ClevrJson:
    return ClevrJson.Config(path=str(root), size=(HEIGHT, WIDTH), **settings).build()


class TestContract(SceneContract):
    @pytest.fixture
    def dataset(self, tmp_path: Path) -> ClevrJson:
        root = save(tmp_path / "clevr", scenes_of((3, 10, 5, 4)), masks=True)
        return ClevrJson.Config(path=str(root), masks=str(root / "masks"), size=16).build()


def test_pictures_and_properties_are_those_of_the_files(tmp_path: Path) -> None:
    scenes = scenes_of((2, 4))
    scenes[0]["objects"][1]["rotation"] = -90.0
    root = save(tmp_path, scenes)
    dataset = opened(root)
    batch = dataset.gather(torch.tensor([0, 1]))
    assert "segmentation" not in batch
    assert batch["visible"].sum(1).tolist() == [3, 5]
    assert dataset.files == ("CLEVR_train_000000.png", "CLEVR_train_000001.png")
    for item, scene in enumerate(scenes):
        picture = np.asarray(Image.open(root / "images" / "train" / dataset.files[item]))[..., :3]
        assert np.array_equal(batch["image"][item].mul(255).round().permute(1, 2, 0).numpy(), picture)
        for entity, one in enumerate(scene["objects"], start=1):
            assert torch.allclose(batch["entity.position"][item, entity], torch.tensor(one["3d_coords"]))
            assert batch["entity.pixel_coords"][item, entity].tolist() == [24, 16, 9.5]
            assert math.isclose(
                batch["entity.rotation"][item, entity], math.radians(one["rotation"] % 360), abs_tol=1e-5
            )
            for name, known in NAMES.items():
                word = one["color" if name == "colour" else name]
                assert batch[f"entity.{name}"][item, entity] == 1 + known.index(word)
                assert dataset.properties[name].names[1 + known.index(word)] == word


def test_places_follow_the_crop(tmp_path: Path) -> None:
    scenes = scenes_of((1,))
    scenes[0]["objects"][0]["pixel_coords"] = [40, 8, 7]
    dataset = ClevrJson.Config(path=str(save(tmp_path, scenes)), size=16).build()
    # The middle 32 x 32 of 48 x 32 pixels, at half the size.
    assert dataset[0]["entity.pixel_coords"][1].tolist() == [(40 - 8) / 2, 4, 7]


def test_masks_are_resized_to_the_nearest(tmp_path: Path) -> None:
    root = save(tmp_path, scenes_of((3,)), masks=True)
    dataset = ClevrJson.Config(path=str(root), masks=str(root / "masks"), size=16).build()
    found = dataset[0]["segmentation"]
    original = np.asarray(Image.open(root / "masks" / dataset.files[0]))[:, 8:40]
    assert set(found.unique().tolist()) == set(np.unique(original).tolist())
    assert all(
        int(found[row, column]) in original[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        for row in range(16)
        for column in range(16)
    )


def test_relations_are_those_of_the_file(tmp_path: Path) -> None:
    details = opened(save(tmp_path, scenes_of((3,)))).details(torch.tensor([0]))
    left = details["relation.left"][0]
    assert left.nonzero().tolist() == [[2, 1], [3, 1], [3, 2]]
    assert torch.equal(details["relation.right"][0], left.T)
    assert not details["relation.front"].any()


def test_filters(tmp_path: Path) -> None:
    scenes = scenes_of((3, 6, 7))
    for scene in scenes:
        for one in scene["objects"]:
            one.update(color="red", shape="cube")
    scenes[1]["objects"][2].update(color="green", shape="sphere")
    root = save(tmp_path, scenes)
    assert [name[-5] for name in opened(root, objects=(0, 6)).files] == ["0", "1"]
    assert [name[-5] for name in opened(root, green_spheres=False).files] == ["0", "2"]
    assert len(opened(root, max_images=2)) == 2
    with pytest.raises(DataError, match="none of the 3 scenes"):
        opened(root, objects=(9, 9))
    with pytest.raises(ConfigError, match="size = 0"):
        ClevrJson.Config(path=str(root), size=0).build()


def test_other_colours_are_refused_and_the_nearest_is_named(tmp_path: Path) -> None:
    scenes = scenes_of((2,))
    scenes[0]["objects"][1]["color"] = "greene"
    with pytest.raises(DataError) as error:
        opened(save(tmp_path, scenes))
    assert_one_line(error, "'greene'", "did you mean 'green'", "CLEVR_train_000000.png")


@pytest.mark.parametrize("damage", ["no objects", "eleven", "short place", "text", "no scenes", "empty"])
def test_damaged_scenes_are_refused(tmp_path: Path, damage: str) -> None:
    scenes = scenes_of((2,))
    if damage == "no objects":
        del scenes[0]["objects"]
        scenes[0]["image_filename"] = "a.png"
    root = save(tmp_path, scenes if damage != "no objects" else scenes_of((1,)))
    path = root / "scenes" / "CLEVR_train_scenes.json"
    if damage == "eleven":
        scenes[0]["objects"] *= 6
    if damage == "short place":
        scenes[0]["objects"][0]["3d_coords"] = [1, 2]
    text = json.dumps({"scenes": [] if damage == "empty" else scenes})
    path.write_text({"text": text[:-9], "no scenes": "{}"}.get(damage, text))
    with pytest.raises(DataError) as error:
        opened(root)
    assert_one_line(error, "CLEVR_train_scenes.json")


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    root = save(tmp_path, scenes_of((2, 2)), masks=True)
    with pytest.raises(DataError, match="CLEVR_test_scenes"):
        opened(root, part="test")
    picture = root / "images" / "train" / "CLEVR_train_000001.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"CLEVR_train_000001.png' is damaged"):
        opened(root)
    picture.unlink()
    with pytest.raises(DataError, match=r"no file '.*CLEVR_train_000001.png'"):
        opened(root)


def test_a_mask_with_unknown_numbers_is_refused(tmp_path: Path) -> None:
    root = save(tmp_path, scenes_of((2,)), masks=True)
    mask = root / "masks" / "CLEVR_train_000000.png"
    Image.fromarray(np.full((HEIGHT, WIDTH), 3, np.uint8)).save(mask)
    with pytest.raises(DataError) as error:
        opened(root, masks=str(root / "masks"))
    assert_one_line(error, "the number 3", "0 to 2")
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(mask)
    with pytest.raises(DataError, match="RGB, not numbers"):
        opened(root, masks=str(root / "masks"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_filename": 3}, ["scene 0 has no image_filename"]),
        ({"relationships": {"left": [[25], []]}}, ["relationships 'left'"]),
        ({"relationships": {"left": [[-1], []]}}, ["relationships 'left'"]),
        ({"relationships": {"behind": [[]] * 12}}, ["relationships 'behind'"]),
        ({"relationships": {"left": ["a"]}}, ["relationships 'left'"]),
        ({"3d_coords": [math.nan, 1, 1]}, ["3d_coords", "finite"]),
        ({"3d_coords": [1]}, ["3d_coords", "three"]),
        ({"pixel_coords": [1, 2, math.inf]}, ["pixel_coords", "finite"]),
        ({"rotation": math.inf}, ["rotation inf"]),
    ],
)
def test_scenes_that_mean_nothing_are_refused_at_once(tmp_path: Path, change: dict[str, Any], words: list[str]) -> None:
    scenes = scenes_of((2,))
    root = save(tmp_path, scenes)
    (scenes[0] if next(iter(change)) in ("image_filename", "relationships") else scenes[0]["objects"][1]).update(change)
    (root / "scenes" / "CLEVR_train_scenes.json").write_text(json.dumps({"scenes": scenes}))
    with pytest.raises(DataError) as error:
        opened(root)
    assert_one_line(error, "CLEVR_train_scenes.json", *words)


@pytest.mark.parametrize("scene", [None, "a"])
def test_scenes_that_are_none_are_refused(tmp_path: Path, scene: Any) -> None:
    root = save(tmp_path, scenes_of((2,)))
    (root / "scenes" / "CLEVR_train_scenes.json").write_text(json.dumps({"scenes": [scene]}))
    with pytest.raises(DataError, match="scene 0"):
        opened(root)


def test_fewer_images_do_not_throw_away_more(tmp_path: Path) -> None:
    root = save(tmp_path, scenes_of((2, 3, 1)))
    whole = opened(root, max_memory_gigabytes=0)
    few = opened(root, max_images=2)
    assert len(few) == 2
    assert torch.equal(whole[2]["image"], opened(root)[2]["image"])


def test_relationships_may_be_missing(tmp_path: Path) -> None:
    scenes = scenes_of((2, 1))
    scenes[0]["relationships"] = None
    del scenes[1]["relationships"]
    details = opened(save(tmp_path, scenes)).details(torch.tensor([0, 1]))
    assert not torch.stack(list(details.values())).any()


def test_shifts_and_settings_that_cannot_be(tmp_path: Path) -> None:
    root = save(tmp_path, scenes_of((2,)))
    with pytest.raises(ConfigError, match="max_images = 0"):
        opened(root, max_images=0)
    shifted = Shifted.Config(dataset=ClevrJson.Config(path=str(root)), kind="occluder").build()
    with pytest.raises(DataError) as error:
        shifted.gather(torch.tensor([0]))
    assert_one_line(error, "ClevrJson without segmentation")
