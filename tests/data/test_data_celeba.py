"""The reader of the CelebA folder, on a folder of a few pictures in the same format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_contract import DatasetContract, assert_one_line
from PIL import Image
from published_files import noise, save_cars

from percepts.core.errors import DataError
from percepts.data import CelebA

NAMES = ("5_o_Clock_Shadow", "Bald", "Smiling", "Young")
ATTRIBUTES = np.random.default_rng(1).integers(0, 2, (9, 4))
PARTS = [0, 0, 1, 2, 0, 1, 0, 2, 0]
FILES = [f"{number:06}.jpg" for number in range(1, 10)]
COLOURS = noise(9, 1, 1, 3, seed=2)


def save_celeba(root: Path, texts: str = "", pictures: str = "img_align_celeba") -> Path:
    """A folder with 9 plain pictures."""
    (root / pictures).mkdir(parents=True)
    (root / texts).mkdir(exist_ok=True)
    for name, colour in zip(FILES, COLOURS):
        Image.fromarray(np.broadcast_to(colour, (22, 18, 3)).copy()).save(root / pictures / name, quality=95)
    rows = [f"{name} " + " ".join(f"{2 * value - 1:2d}" for value in row) for name, row in zip(FILES, ATTRIBUTES)]
    lines = {
        "list_attr_celeba.txt": ["9", " ".join(NAMES) + " ", *rows],
        "list_eval_partition.txt": [f"{name} {part}" for name, part in zip(FILES, PARTS)],
        "identity_CelebA.txt": [f"{name} {100 + number}" for number, name in enumerate(FILES)],
    }
    for name, text in lines.items():
        (root / texts / name).write_text("\n".join(text) + "\n")
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return save_celeba(tmp_path / "celeba")


def open_folder(root: Path, **settings: object) -> CelebA:
    return CelebA.Config(path=str(root), size=12, **settings).build()


class TestContract(DatasetContract):
    @pytest.fixture(params=["all", "train"])
    def dataset(self, root: Path, request: pytest.FixtureRequest) -> CelebA:
        return open_folder(root, split=request.param, max_memory_gigabytes=0)


@pytest.mark.parametrize(("split", "number"), [("train", 0), ("validation", 1), ("test", 2)])
def test_splits_have_their_pictures_attributes_and_people(root: Path, split: str, number: int) -> None:
    chosen = [index for index, part in enumerate(PARTS) if part == number]
    dataset = open_folder(root, split=split)
    assert dataset.image_shape == (3, 12, 12)
    assert dataset.factor_names == NAMES
    assert dataset.factor_sizes == (2, 2, 2, 2)
    assert dataset.files == tuple(FILES[index] for index in chosen)
    assert dataset.people is not None
    assert dataset.people.tolist() == [100 + index for index in chosen]
    batch = dataset.gather(torch.arange(len(dataset)))
    assert np.array_equal(batch["factors"].numpy(), ATTRIBUTES[chosen])
    colours = batch["image"].mul(255).mean(dim=(2, 3)).numpy()
    assert np.abs(colours - COLOURS[chosen, 0, 0]).max() < 4, "JPEG rounds colours"


@pytest.mark.parametrize(
    ("texts", "pictures"),
    [("Anno", "Img/img_align_celeba"), ("Eval", "img_align_celeba/img_align_celeba"), ("", "img_align_celeba")],
)
def test_the_archives_own_folders_are_known(tmp_path: Path, texts: str, pictures: str) -> None:
    assert len(open_folder(save_celeba(tmp_path / "a", texts, pictures), split="train")) == 5


def test_optional_lists_may_be_missing(root: Path) -> None:
    (root / "identity_CelebA.txt").unlink()
    (root / "list_eval_partition.txt").unlink()
    assert open_folder(root).people is None
    with pytest.raises(DataError) as error:
        open_folder(root, split="test")
    assert_one_line(error, "no list_eval_partition.txt")


def test_identity_changes_with_the_attributes_and_the_split(root: Path) -> None:
    before = {open_folder(root).identity, open_folder(root, split="train").identity}
    path = root / "list_attr_celeba.txt"
    lines = path.read_text().splitlines()
    lines[4] = lines[4].replace(" 1", " x").replace("-1", " 1").replace(" x", "-1")
    path.write_text("\n".join(lines))
    assert len(before | {open_folder(root).identity}) == 3


@pytest.mark.parametrize(
    ("number", "line", "words"),
    [
        (0, "8", ["announces 8", "lists 9"]),
        (0, "image_id,Bald", ["begins with 'image_id,Bald'", "number of pictures"]),
        (2, "000001.jpg  1  1  1", ["line 3", "4 times"]),
        (4, "000003.jpg  1  0  1  1", ["line 5", "1 or -1"]),
        (3, "000077.jpg  1  1  1  1", ["000002.jpg", "not in list_attr_celeba.txt"]),
    ],
)
def test_damaged_attributes_are_refused(root: Path, number: int, line: str, words: list[str]) -> None:
    path = root / "list_attr_celeba.txt"
    lines = path.read_text().splitlines()
    lines[number] = line
    path.write_text("\n".join(lines))
    with pytest.raises(DataError) as error:
        open_folder(root)
    assert_one_line(error, *words)


def test_damaged_partitions_are_refused(root: Path) -> None:
    path = root / "list_eval_partition.txt"
    lines = path.read_text().splitlines()
    for text, words in (
        ("\n".join(lines[:-1]), ["does not list 1", "000009.jpg"]),
        ("\n".join([*lines, "000010.jpg zero"]), ["line 10", "a number"]),
        ("\n".join(f"{name} 0" for name in FILES), ["'test'", "empty"]),
    ):
        path.write_text(text)
        with pytest.raises(DataError) as error:
            open_folder(root, split="test")
        assert_one_line(error, *words)


def test_missing_and_damaged_pictures(root: Path) -> None:
    picture = root / "img_align_celeba" / "000004.jpg"
    whole = picture.read_bytes()
    picture.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError) as error:
        open_folder(root)
    assert_one_line(error, "1 of 9", "000004.jpg")
    skipped = open_folder(root, max_unreadable=0.2)
    assert "000004.jpg" not in skipped.files
    assert np.array_equal(skipped.gather(torch.arange(8))["factors"].numpy(), np.delete(ATTRIBUTES, 3, axis=0))
    picture.unlink()
    with pytest.raises(DataError) as error:
        open_folder(root)
    assert_one_line(error, "1 are missing", "000004.jpg")


def test_other_folders_are_refused(tmp_path: Path, root: Path) -> None:
    save_cars(tmp_path / "cars")
    (tmp_path / "empty").mkdir()
    for path, words in (
        (tmp_path / "none", ["there is no folder"]),
        (tmp_path / "cars", ["no list_attr_celeba.txt", "Cars3D.Config"]),
        (tmp_path / "empty", ["no list_attr_celeba.txt"]),
        (root / "list_attr_celeba.txt", ["is a file"]),
    ):
        with pytest.raises(DataError) as error:
            open_folder(path)
        assert_one_line(error, path.name, *words)
    (root / "img_align_celeba").rename(root / "pictures")
    with pytest.raises(DataError) as error:
        open_folder(root)
    assert_one_line(error, "no img_align_celeba")


def test_indices_outside_are_refused(root: Path) -> None:
    for outside in (-1, 5):
        with pytest.raises(IndexError):
            open_folder(root, split="train").gather(torch.tensor([0, outside]))
