"""What every dataset promises. A test class inherits `DatasetContract` and provides the fixture `dataset`."""

from __future__ import annotations

import json

import pytest
import torch

from percepts.core.config import Config, from_json, to_json
from percepts.core.errors import DataError
from percepts.data.dataset import FactorDataset, ImageDataset
from percepts.data.stream import Stream, StreamConfig


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """Both batches have the same keys, types and values, bit by bit."""
    assert one.keys() == other.keys()
    for key in one:
        assert one[key].dtype == other[key].dtype, key
        assert torch.equal(one[key], other[key]), key


class DatasetContract:
    """Checks for any `ImageDataset`; those about factors are skipped where there is no grid to render."""

    @pytest.fixture
    def dataset(self) -> ImageDataset:
        """The dataset under test, of at least 3 items; a subclass provides it."""
        raise NotImplementedError

    @pytest.fixture
    def world(self, dataset: ImageDataset) -> FactorDataset:
        """The dataset, where it has a grid of factors."""
        if not isinstance(dataset, FactorDataset):
            pytest.skip("no grid of factors")
        return dataset

    @pytest.fixture
    def some(self, dataset: ImageDataset) -> torch.Tensor:
        """Seven indices, unsorted, with the first, the last and a repeated one."""
        last = len(dataset) - 1
        return torch.tensor([last // 2, last, 0, last // 3, 1, last // 2, last - 1])

    def test_images_are_float32_in_the_unit_range(self, dataset: ImageDataset, some: torch.Tensor) -> None:
        image = dataset.gather(some)["image"]
        assert image.shape == (7, *dataset.image_shape)
        assert image.dtype == torch.float32
        assert image.min() >= 0
        assert image.max() <= 1
        assert image.device.type == "cpu"

    def test_other_keys_have_their_shapes(self, dataset: ImageDataset, some: torch.Tensor) -> None:
        batch = dataset.gather(some)
        assert all(len(value) == 7 for value in batch.values())
        if "factors" in batch:
            assert batch["factors"].dtype == torch.int64
            assert batch["factors"].ndim == 2
        if "segmentation" in batch:
            assert batch["segmentation"].dtype == torch.int64
            assert batch["segmentation"].shape == (7, *dataset.image_shape[1:])

    def test_a_batch_is_its_items(self, dataset: ImageDataset, some: torch.Tensor) -> None:
        batch = dataset.gather(some)
        items = [dataset[int(index)] for index in some]
        assert_equal(batch, {key: torch.stack([item[key] for item in items]) for key in items[0]})
        assert_equal(batch, dataset.__getitems__(some.tolist()))
        assert_equal(batch, dataset.gather(some))

    def test_a_batch_can_be_written_to_without_harm(self, dataset: ImageDataset, some: torch.Tensor) -> None:
        before = {key: value.clone() for key, value in dataset.gather(some).items()}
        for value in dataset.gather(some).values():
            value.zero_()
        assert_equal(dataset.gather(some), before)

    def test_negative_indices_count_from_the_end(self, dataset: ImageDataset) -> None:
        assert_equal(dataset[-1], dataset[len(dataset) - 1])
        assert_equal(dataset[-len(dataset)], dataset[0])

    def test_indices_outside_are_refused(self, dataset: ImageDataset) -> None:
        for index in (len(dataset), -len(dataset) - 1):
            with pytest.raises(IndexError):
                dataset[index]

    def test_batches_take_no_indices_outside(self, dataset: ImageDataset) -> None:
        for index in (len(dataset), -1):
            with pytest.raises(IndexError, match=f"index {index} of"):
                dataset.gather(torch.tensor([0, index]))

    def test_the_config_goes_through_json(self, dataset: ImageDataset, some: torch.Tensor) -> None:
        config = getattr(dataset, "config", None)
        if config is None:
            pytest.skip("made from objects, not from a config")
        again = from_json(json.loads(json.dumps(to_json(config))), Config)
        assert again == config
        built = again.build()
        assert type(built) is type(dataset)
        assert len(built) == len(dataset)
        assert built.image_shape == dataset.image_shape
        assert_equal(built.gather(some), dataset.gather(some))

    def test_factors_and_indices_are_one_to_one(self, world: FactorDataset, some: torch.Tensor) -> None:
        assert len(world.factor_names) == len(world.factor_sizes) == len(set(world.factor_names))
        factors = world.factors_of(some)
        assert torch.equal(world.indices_of(factors), some)
        assert torch.equal(world.gather(some)["factors"], factors)
        assert (factors >= 0).all()
        assert (factors < torch.tensor(world.factor_sizes)).all()

    def test_factors_render_to_their_images(self, world: FactorDataset, some: torch.Tensor) -> None:
        batch = world.gather(some)
        assert torch.equal(world.render(batch["factors"]), batch["image"])

    def test_factors_that_do_not_exist_are_refused(self, world: FactorDataset) -> None:
        good = world.factors_of(torch.tensor([0]))
        for column, (name, size) in enumerate(zip(world.factor_names, world.factor_sizes)):
            for value in (-1, size):
                bad = good.clone()
                bad[0, column] = value
                for ask in (world.render, world.indices_of):
                    with pytest.raises(DataError, match=f"'{name}'"):
                        ask(bad)
        for index in (len(world), -1):
            with pytest.raises(IndexError):
                world.factors_of(torch.tensor([index]))
        with pytest.raises(DataError, match="whole numbers of shape"):
            world.render(good[:, :-1])
        with pytest.raises(DataError, match="whole numbers of shape"):
            world.render(good.double())
        for narrow in (torch.bool, torch.uint8):
            with pytest.raises(DataError, match="int64 whole numbers"):
                world.render(good.to(narrow))

    def test_every_factor_has_its_values(self, world: FactorDataset) -> None:
        for name, size in zip(world.factor_names, world.factor_sizes):
            values = world.factor_values(name)
            assert values.shape == (size,)
            assert values.dtype == torch.float64
            assert len(values.unique()) == size

    @pytest.mark.parametrize("sampling", ["epochs", "independent"])
    def test_batch_n_depends_on_the_seed_and_n_alone(self, dataset: ImageDataset, sampling: str) -> None:
        config = StreamConfig(batch_size=4, sampling=sampling)
        unbroken = iter(Stream(dataset, config, seed=3).batches())
        wanted = [next(unbroken) for _ in range(4)]
        resumed = Stream(dataset, config, seed=3).batches(start=2)
        for n in (2, 3):
            assert_equal(next(resumed), wanted[n])
        backwards = Stream(dataset, config, seed=3)
        for n in (3, 1, 0):
            assert_equal(backwards.batch(n), wanted[n])

    def test_ranks_share_the_global_batch(self, dataset: ImageDataset) -> None:
        config = StreamConfig(batch_size=6)
        whole = Stream(dataset, config, seed=1).batch(2)
        parts = [Stream(dataset, config, seed=1, rank=rank, world=3).batch(2) for rank in range(3)]
        assert_equal(whole, {key: torch.cat([part[key] for part in parts]) for key in whole})

    def test_workers_give_the_same_batches(self, dataset: ImageDataset) -> None:
        here = Stream(dataset, StreamConfig(batch_size=4), seed=5, rank=1, world=2)
        state = torch.get_rng_state()
        loaded = Stream(dataset, StreamConfig(batch_size=4, workers=2), seed=5, rank=1, world=2).batches(start=1)
        try:
            for n in (1, 2, 3):
                assert_equal(next(loaded), here.batch(n))
        finally:
            loaded.close()
        assert torch.equal(torch.get_rng_state(), state), "the loader drew from torch's global random state"

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    def test_batches_arrive_on_the_device(self, dataset: ImageDataset, some: torch.Tensor) -> None:
        batch = dataset.gather(some, "cuda")
        assert all(value.device.type == "cuda" for value in batch.values())
        here = dataset.gather(some)
        assert torch.allclose(batch["image"].cpu(), here["image"], atol=1e-5)
        assert len(next(Stream(dataset, StreamConfig(batch_size=4), seed=0, device="cuda").batches())["image"]) == 4


def assert_one_line(error: pytest.ExceptionInfo[DataError], *words: str) -> None:
    """The message is one line and names `words`."""
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 600
    for word in words:
        assert word in message, message
