"""Arrays, array files and wrapped datasets: layouts, ranges, keys, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dataset_contract import DatasetContract, assert_one_line
from PIL import Image

from percepts.core.errors import DataError
from percepts.data import ArrayDataset, ArrayFile, DictDataset

GENERATOR = np.random.default_rng(1)


def noise(*shape: int) -> np.ndarray:
    return GENERATOR.integers(0, 256, shape, dtype=np.uint8)


class TestArrayContract(DatasetContract):
    @pytest.fixture
    def dataset(self) -> ArrayDataset:
        return ArrayDataset(noise(9, 6, 5, 3), factors=np.arange(18).reshape(9, 2), segmentation=noise(9, 6, 5) % 4)


class TestNpyContract(DatasetContract):
    @pytest.fixture
    def dataset(self, tmp_path: Path) -> ArrayFile:
        np.save(tmp_path / "a.npy", GENERATOR.random((8, 6, 5), np.float32))
        return ArrayFile.Config(path=str(tmp_path / "a.npy")).build()


class TestNpzContract(DatasetContract):
    @pytest.fixture
    def dataset(self, tmp_path: Path) -> ArrayFile:
        np.savez_compressed(tmp_path / "a.npz", pictures=noise(8, 3, 6, 5), digit=np.arange(8), mask=noise(8, 6, 5) > 9)
        keys = {"image_key": "pictures", "factor_key": "digit", "segmentation_key": "mask", "factor_names": ("digit",)}
        return ArrayFile.Config(path=str(tmp_path / "a.npz"), **keys).build()


class TestDictContract(DatasetContract):
    @pytest.fixture
    def dataset(self) -> DictDataset:
        items = [{"picture": Image.fromarray(noise(6, 5, 3)), "kind": i, "map": noise(6, 5)} for i in range(5)]
        return DictDataset(items, image_key="picture", factor_key="kind", segmentation_key="map")


class TestPairContract(DatasetContract):
    @pytest.fixture
    def dataset(self) -> DictDataset:
        return DictDataset(torch.utils.data.TensorDataset(torch.rand(5, 1, 4, 4), torch.arange(5)))


class TestLayouts:
    @pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy, lambda a: a.astype(np.float32) / 255])
    def test_all_layouts_hold_the_same_images(self, convert: Any) -> None:
        images = noise(4, 3, 6, 5)
        wanted = torch.from_numpy(images.astype(np.float32)) / 255
        for array in (images, np.ascontiguousarray(images.transpose(0, 2, 3, 1)), images.transpose(0, 2, 3, 1)):
            dataset = ArrayDataset(convert(array))
            assert dataset.image_shape == (3, 6, 5)
            assert torch.equal(dataset.gather(torch.arange(4))["image"], wanted)
        grey = ArrayDataset(convert(images[:, 0]))
        assert grey.image_shape == (1, 6, 5)
        assert torch.equal(grey.gather(torch.arange(4))["image"], wanted[:, :1])

    def test_bool_becomes_zero_and_one(self) -> None:
        assert ArrayDataset(np.eye(3, dtype=bool)[None])[0]["image"].sum() == 3

    def test_other_numbers_of_channels_need_a_layout(self) -> None:
        with pytest.raises(DataError, match="layout="):
            ArrayDataset(noise(2, 5, 6, 4))
        assert ArrayDataset(noise(2, 5, 6, 4), layout="NHWC").image_shape == (4, 5, 6)

    def test_ambiguity_is_not_guessed(self) -> None:
        for shape in [(2, 3, 8, 3), (2, 1, 1, 1), (2, 3, 5, 1)]:
            with pytest.raises(DataError) as error:
                ArrayDataset(noise(*shape))
            assert_one_line(error, str(shape), "layout='NCHW' or 'NHWC'")
        assert ArrayDataset(noise(2, 3, 8, 3), layout="NCHW").image_shape == (3, 8, 3)
        assert ArrayDataset(noise(2, 3, 8, 3), layout="NHWC").image_shape == (3, 3, 8)


class TestArrayErrors:
    @pytest.mark.parametrize(
        ("images", "words"),
        [
            (np.zeros((2, 4, 4), np.int64), ["int64", "astype(numpy.uint8)"]),
            (np.zeros((2, 4, 4), np.uint16), ["uint16"]),
            (np.full((2, 4, 4), 200.0), ["200", "astype(numpy.uint8)"]),
            (np.full((2, 4, 4), -0.5), ["-0.5", "[0, 1]"]),
            (np.full((2, 4, 4), np.nan), ["nan"]),
            (np.zeros((2, 4), np.uint8), ["(2, 4)"]),
            (np.zeros((2, 0, 4), np.uint8), ["at least one pixel"]),
        ],
    )
    def test_images(self, images: np.ndarray, words: list[str]) -> None:
        with pytest.raises(DataError) as error:
            ArrayDataset(images)
        assert_one_line(error, *words)

    @pytest.mark.parametrize(
        ("keywords", "words"),
        [
            ({"factors": np.zeros(3, int)}, ["(3, 1)", "2 images"]),
            ({"factors": np.zeros((2, 2))}, ["float64", "integers"]),
            ({"factors": np.array([0, -1])}, ["-1"]),
            ({"factors": np.array([0, 1]), "factor_names": ("a", "b")}, ["2 factor names"]),
            ({"segmentation": np.zeros((2, 4, 5), int)}, ["(2, 4, 5)", "(2, 4, 4)"]),
            ({"layout": "NCHW"}, ["NCHW", "(2, 4, 4)"]),
        ],
    )
    def test_what_comes_with_them(self, keywords: dict[str, Any], words: list[str]) -> None:
        with pytest.raises(DataError) as error:
            ArrayDataset(noise(2, 4, 4), **keywords)
        assert_one_line(error, *words)

    def test_indices_outside(self) -> None:
        for index in (-1, 2):
            with pytest.raises(IndexError):
                ArrayDataset(noise(2, 4, 4)).gather(torch.tensor([index]))

    def test_factor_sizes(self) -> None:
        dataset = ArrayDataset(noise(3, 4, 4), factors=np.array([[0, 5], [1, 0], [0, 2]]))
        assert dataset.factor_sizes == (2, 6)
        assert dataset.factor_names == ("factor_0", "factor_1")


class TestArrayFiles:
    def test_the_only_array_and_images_need_no_key(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", anything=noise(3, 4, 4))
        np.savez(tmp_path / "b.npz", other=noise(7), images=noise(5, 4, 4))
        assert len(ArrayFile.Config(path=str(tmp_path / "a.npz")).build()) == 3
        assert len(ArrayFile.Config(path=str(tmp_path / "b.npz")).build()) == 5

    @pytest.mark.parametrize(
        ("keywords", "words"),
        [
            ({"image_key": "img"}, ["'img'", "imgs, label", "image_key=imgs"]),
            ({}, ["'images'", "image_key=imgs"]),
            ({"image_key": "imgs", "factor_key": "lable"}, ["'lable'", "factor_key=label"]),
            ({"image_key": "imgs", "segmentation_key": "mask"}, ["'mask'", "segmentation_key="]),
        ],
    )
    def test_missing_keys_name_the_nearest(self, tmp_path: Path, keywords: dict[str, str], words: list[str]) -> None:
        np.savez(tmp_path / "a.npz", imgs=noise(3, 4, 4), label=np.arange(3))
        with pytest.raises(DataError) as error:
            ArrayFile.Config(path=str(tmp_path / "a.npz"), **keywords).build()
        assert_one_line(error, *words)

    def test_an_archive_without_arrays(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz")
        for keywords in ({}, {"image_key": "images"}):
            with pytest.raises(DataError) as error:
                ArrayFile.Config(path=str(tmp_path / "a.npz"), **keywords).build()
            assert_one_line(error, "holds no arrays", "an .npz file with an array of images")
            assert "Try" not in str(error.value)

    def test_pickles_are_refused(self, tmp_path: Path) -> None:
        objects = np.array([{"a": 1}], dtype=object)
        np.save(tmp_path / "a.npy", objects, allow_pickle=True)
        np.savez(tmp_path / "a.npz", images=objects)
        (tmp_path / "b.npy").write_bytes(pickle.dumps([1]))
        for name in ("a.npy", "a.npz", "b.npy"):
            with pytest.raises(DataError) as error:
                ArrayFile.Config(path=str(tmp_path / name)).build()
            assert_one_line(error, name)

    def test_damaged_and_missing_files(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", noise(30, 9, 9))
        np.savez_compressed(tmp_path / "a.npz", images=noise(30, 9, 9))
        for name in ("a.npy", "a.npz"):
            path = tmp_path / name
            path.write_bytes(path.read_bytes()[:1500])
            with pytest.raises(DataError) as error:
                ArrayFile.Config(path=str(path)).build()
            assert_one_line(error, name)
        np.savez_compressed(tmp_path / "b.npz", images=noise(30, 9, 9))
        data = bytearray((tmp_path / "b.npz").read_bytes())
        data[800:810] = bytes(10)
        (tmp_path / "b.npz").write_bytes(data)
        for name in ("b.npz", "none.npz", "."):
            with pytest.raises(DataError) as error:
                ArrayFile.Config(path=str(tmp_path / name)).build()
            assert_one_line(error)

    def test_columns_first_single_numbers_and_keys_of_an_npy(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.asfortranarray(noise(3, 4, 4)))
        np.save(tmp_path / "b.npy", np.uint8(3))
        np.save(tmp_path / "c.npy", noise(3, 4, 4))
        for name, keywords, word in [
            ("a", {}, "ascontiguousarray"),
            ("b", {}, "single number"),
            ("c", {"image_key": "x"}, "leave the keys out"),
        ]:
            with pytest.raises(DataError) as error:
                ArrayFile.Config(path=str(tmp_path / f"{name}.npy"), **keywords).build()
            assert_one_line(error, word)

    def test_values_of_a_file_are_checked_when_they_are_read(self, tmp_path: Path) -> None:
        values = np.zeros((3, 4, 4), np.float32)
        values[1, 2, 2] = 7
        np.save(tmp_path / "a.npy", values)
        dataset = ArrayFile.Config(path=str(tmp_path / "a.npy")).build()
        assert dataset[0]["image"].sum() == 0
        with pytest.raises(DataError, match="0 to 7"):
            dataset.gather(torch.tensor([0, 1]))

    def test_a_file_that_shrinks_while_it_is_read(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", noise(50, 9, 9))
        dataset = ArrayFile.Config(path=str(tmp_path / "a.npy")).build()
        with open(tmp_path / "a.npy", "r+b") as file:
            file.truncate(1000)
        with pytest.raises(DataError, match="became shorter"):
            dataset[49]


class TestDictErrors:
    @pytest.mark.parametrize(
        ("item", "keywords", "words"),
        [
            ({"img": noise(4, 4)}, {}, ["no 'image'", "'img'", "image_key='img'"]),
            ({"image": noise(4, 4), "lab": 1}, {"factor_key": "label"}, ["no 'label'", "factor_key='lab'"]),
            ({"image": "a.png"}, {}, ["a str as image", "Pillow"]),
            (noise(4, 4), {}, ["a ndarray", "dict, or an (image, label) pair"]),
            ({"image": np.full((4, 4), 9.0)}, {}, ["item 0", "9", "astype"]),
            ((noise(4, 4), 0.5), {}, ["factors", "float64"]),
            ((noise(4, 4), [[1, 2], [3]]), {}, ["item 0: factors that make no array"]),
            ((noise(4, 4), [[1, 2], [3, 4]]), {}, ["item 0: factors of shape (2, 2)", "a vector"]),
            (
                {"image": noise(4, 4), "map": np.zeros((4, 5), int)},
                {"segmentation_key": "map"},
                ["segmentation of shape (4, 5)", "(4, 4)"],
            ),
        ],
    )
    def test_the_first_item_teaches(self, item: Any, keywords: dict[str, Any], words: list[str]) -> None:
        with pytest.raises(DataError) as error:
            DictDataset([item], **keywords)
        assert_one_line(error, *words)

    def test_an_empty_dataset(self) -> None:
        with pytest.raises(DataError, match="empty"):
            DictDataset([])

    def test_an_item_of_another_shape(self) -> None:
        dataset = DictDataset([(noise(4, 4), 0), (noise(4, 5), 1)])
        with pytest.raises(DataError) as error:
            dataset[1]
        assert_one_line(error, "item 1", "(1, 4, 5)", "size=")

    @pytest.mark.parametrize(
        ("other", "words"),
        [
            ((noise(4, 4), [1]), ["item 1 has 1 factors, item 0 has 2"]),
            ((noise(4, 4), [1, 2, 3]), ["item 1 has 3 factors, item 0 has 2"]),
            ((noise(4, 4), [[1], [2, 3]]), ["item 1: factors that make no array"]),
            ({"image": noise(4, 4)}, ["item 1 holds image, item 0 image, factors"]),
        ],
    )
    def test_items_that_do_not_stack(self, other: Any, words: list[str]) -> None:
        dataset = DictDataset([(noise(4, 4), [0, 1]), other])
        with pytest.raises(DataError) as error:
            dataset.gather(torch.tensor([0, 1]))
        assert_one_line(error, *words)


class TestDictConversions:
    def test_pillow_images_are_resized_and_follow_the_first(self) -> None:
        items = [(Image.fromarray(noise(9, 7, 3)), 0), (Image.fromarray(noise(20, 20)), 1)]
        dataset = DictDataset(items, size=(4, 6))
        batch = dataset.gather(torch.tensor([0, 1]))
        assert batch["image"].shape == (2, 3, 4, 6)
        assert batch["factors"].tolist() == [[0], [1]]
        assert dataset.factor_names == ("label",)
        assert DictDataset(items, size=4, channels=1).image_shape == (1, 4, 4)

    def test_vectors_of_factors_are_numbered(self) -> None:
        dataset = DictDataset([{"image": noise(4, 4), "f": [1, 2]}], factor_key="f")
        assert dataset.factor_names == ("f_0", "f_1")
        assert dataset[0]["factors"].tolist() == [1, 2]

    def test_arrays_and_pillow_images_agree(self) -> None:
        values = noise(5, 6, 3)
        ours = [DictDataset([{"image": image}])[0]["image"] for image in (values, Image.fromarray(values))]
        assert torch.equal(ours[0], ours[1])
