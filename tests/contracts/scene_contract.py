"""What every dataset of scenes promises, on top of what datasets promise. A test class inherits `SceneContract` and
provides the fixture `dataset`; readers of files, whose `details` are few, and generated scenes alike."""

from __future__ import annotations

import math

import pytest
import torch
from dataset_contract import DatasetContract, assert_equal

from percepts.data.scenes import SceneDataset


class SceneContract(DatasetContract):
    """Checks for any `SceneDataset`, of images or of videos."""

    @pytest.fixture
    def dataset(self) -> SceneDataset:
        """The dataset under test, of at least 3 items; a subclass provides it."""
        raise NotImplementedError

    def test_images_are_float32_in_the_unit_range(self, dataset: SceneDataset, some: torch.Tensor) -> None:
        batch = dataset.gather(some)
        video = dataset.frames is not None
        assert ("video" in batch) == video
        assert ("image" in batch) != video
        image = batch["video" if video else "image"]
        assert image.shape == (7, *self._time(dataset), *dataset.image_shape)
        assert image.dtype == torch.float32
        assert image.device.type == "cpu"
        assert image.min() >= 0
        assert image.max() <= 1

    def test_other_keys_have_their_shapes(self, dataset: SceneDataset, some: torch.Tensor) -> None:
        batch = dataset.gather(some)
        assert batch["segmentation"].dtype == torch.int64
        assert batch["segmentation"].shape == (7, *self._time(dataset), *dataset.image_shape[1:])
        assert batch["visible"].dtype == torch.bool
        assert batch["visible"].shape == (7, dataset.entities)

    def test_there_is_background_and_room_for_it(self, dataset: SceneDataset) -> None:
        assert 1 <= dataset.backgrounds <= dataset.entities

    def test_the_segmentation_holds_numbers_of_entities(self, dataset: SceneDataset, some: torch.Tensor) -> None:
        segmentation = dataset.gather(some)["segmentation"]
        assert segmentation.min() >= 0
        assert segmentation.max() < dataset.entities

    def test_visible_are_those_that_some_pixel_shows(self, dataset: SceneDataset, some: torch.Tensor) -> None:
        batch = dataset.gather(some)
        pixels = batch["segmentation"].flatten(1)
        shown = torch.stack([(pixels == entity).any(1) for entity in range(dataset.entities)], dim=1)
        assert torch.equal(batch["visible"], shown)

    def test_properties_are_as_announced(self, dataset: SceneDataset, some: torch.Tensor) -> None:
        batch = dataset.gather(some)
        assert {key for key in batch if key.startswith("entity.")} == {f"entity.{name}" for name in dataset.properties}
        for name, property_ in dataset.properties.items():
            value = batch[f"entity.{name}"]
            assert property_.size >= 1, name
            assert len(property_.names) in (0, property_.size), name
            several = property_.kind == "numeric" and property_.size > 1
            assert value.shape == (7, dataset.entities, *([property_.size] if several else [])), name
            if property_.kind == "categorical":
                assert value.dtype == torch.int64, name
                assert value.min() >= 0, name
                assert value.max() < property_.size, name
            else:
                assert value.dtype == torch.float32, name
                assert value.isfinite().all(), name
            if property_.kind == "angle":
                assert value.abs().max() <= 2 * math.pi + 1e-5, name

    def test_the_background_has_no_properties(self, dataset: SceneDataset, some: torch.Tensor) -> None:
        batch = dataset.gather(some)
        for name, property_ in dataset.properties.items():
            axis = -2 if property_.kind == "numeric" and property_.size > 1 else -1
            assert not batch[f"entity.{name}"].narrow(axis, 0, dataset.backgrounds).any(), name

    def test_the_foreground_is_what_is_not_background(self, dataset: SceneDataset, some: torch.Tensor) -> None:
        batch = dataset.gather(some)
        assert torch.equal(dataset.foreground(batch), batch["segmentation"] >= dataset.backgrounds)

    def test_details_agree_with_the_segmentation(self, dataset: SceneDataset, some: torch.Tensor) -> None:
        batch, details = dataset.gather(some), dataset.details(some)
        shape = (7, *self._time(dataset))
        height, width = dataset.image_shape[1:]
        if "amodal" in details:
            amodal = details["amodal"]
            assert amodal.dtype == torch.bool
            assert amodal.shape == (*shape, dataset.entities, height, width)
            own = amodal.gather(-3, batch["segmentation"].unsqueeze(-3))
            assert own.all(), "a pixel shows an entity that is not there"
        if "unoccluded" in details:
            alone = details["unoccluded"]
            assert alone.dtype == torch.float32
            assert alone.shape == (*shape, dataset.entities, *dataset.image_shape)
            assert alone.min() >= 0
            assert alone.max() <= 1
            if "amodal" in details:
                assert not alone.masked_fill(details["amodal"].unsqueeze(-3), 0).any(), "drawn where it is not"
        if "depth" in details:
            assert details["depth"].shape == (*shape, height, width)
            assert (details["depth"] > 0).all()
        if "camera" in details:
            assert details["camera"].shape == (*shape, 4, 4)
            self._assert_rigid(details["camera"])

    def test_relations_are_of_different_entities(self, dataset: SceneDataset, some: torch.Tensor) -> None:
        details = dataset.details(some)
        relations = {key: value for key, value in details.items() if key.startswith("relation.")}
        if not relations:
            pytest.skip("no relations")
        for name, relation in relations.items():
            assert relation.dtype == torch.bool, name
            assert relation.shape == (7, *self._time(dataset), dataset.entities, dataset.entities), name
            assert not relation.diagonal(dim1=-2, dim2=-1).any(), name
        for one, other in (("left", "right"), ("front", "behind")):
            assert not (relations[f"relation.{one}"] & relations[f"relation.{other}"]).any()

    def test_details_are_those_of_their_items(self, dataset: SceneDataset, some: torch.Tensor) -> None:
        details = dataset.details(some)
        items = [dataset.details(some[i : i + 1]) for i in range(len(some))]
        assert_equal(details, {key: torch.cat([item[key] for item in items]) for key in details})

    def test_details_take_no_indices_outside(self, dataset: SceneDataset) -> None:
        for index in (len(dataset), -1):
            with pytest.raises(IndexError, match=f"index {index} of"):
                dataset.details(torch.tensor([0, index]))

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    def test_batches_arrive_on_the_device(self, dataset: SceneDataset, some: torch.Tensor) -> None:
        here, there = dataset.gather(some), dataset.gather(some.cuda(), "cuda")
        assert here.keys() == there.keys()
        for key, value in there.items():
            assert value.device.type == "cuda", key
            close = torch.isclose(value.cpu().double(), here[key].double(), atol=1e-4)
            assert close.double().mean() > 0.999, key  # arithmetic may round otherwise at the edges of shapes
        assert all(value.device.type == "cuda" for value in dataset.details(some.cuda(), "cuda").values())

    @staticmethod
    def _time(dataset: SceneDataset) -> tuple[int, ...]:
        return () if dataset.frames is None else (dataset.frames,)

    @staticmethod
    def _assert_rigid(camera: torch.Tensor) -> None:
        turn = camera[..., :3, :3].double()
        assert torch.allclose(turn @ turn.mT, torch.eye(3, dtype=torch.float64).expand_as(turn), atol=1e-4)
        assert torch.allclose(camera[..., 3, :], torch.tensor([0.0, 0, 0, 1]).expand_as(camera[..., 3, :]))
