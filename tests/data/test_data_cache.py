"""Datasets held in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_contract import DatasetContract, assert_equal, assert_one_line
from test_data_dsprites import members

from percepts.core.errors import DataError
from percepts.data import ArrayFile, DSprites, FactorDataset, Preloaded, PreloadedFactors


@pytest.fixture
def grid(tmp_path: Path) -> DSprites.Config:
    np.savez(tmp_path / "sprites.npz", **members())
    return DSprites.Config(path=str(tmp_path / "sprites.npz"))


@pytest.fixture
def file(tmp_path: Path) -> ArrayFile.Config:
    np.savez(tmp_path / "a.npz", images=np.random.default_rng(0).random((2500, 3, 2)), kind=np.arange(2500) % 3)
    return ArrayFile.Config(path=str(tmp_path / "a.npz"), factor_key="kind")


class TestFactorContract(DatasetContract):
    @pytest.fixture
    def dataset(self, grid: DSprites.Config) -> Preloaded:
        return Preloaded.Config(dataset=grid).build()


class TestPlainContract(DatasetContract):
    @pytest.fixture
    def dataset(self, file: ArrayFile.Config) -> Preloaded:
        return Preloaded.Config(dataset=file).build()


def test_items_are_those_of_the_dataset(grid: DSprites.Config, file: ArrayFile.Config) -> None:
    for config in (grid, file):
        plain, held = config.build(), Preloaded.Config(dataset=config).build()
        everything = torch.arange(len(plain))
        assert_equal(held.gather(everything), plain.gather(everything))
        assert (held.factor_names, held.factor_sizes) == (plain.factor_names, plain.factor_sizes)


def test_a_world_stays_a_world(grid: DSprites.Config, file: ArrayFile.Config) -> None:
    held = Preloaded.Config(dataset=grid).build()
    assert isinstance(held, PreloadedFactors)
    assert isinstance(held, FactorDataset)
    assert held.factor_values("scale").tolist() == [0.5, 1.0]
    assert not isinstance(Preloaded.Config(dataset=file).build(), FactorDataset)


def test_items_are_made_once(grid: DSprites.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Preloaded.Config(dataset=grid).build()
    held.gather(torch.tensor([0]))
    monkeypatch.setattr(DSprites, "render", lambda *arguments: pytest.fail("rendered again"))
    held.gather(torch.tensor([3, 4]))


def test_too_large_a_dataset_is_refused(grid: DSprites.Config) -> None:
    # 144 images of 42 float32 values and 5 int64 factors: 29 952 bytes.
    Preloaded.Config(dataset=grid, max_gigabytes=29_953e-9).build()
    with pytest.raises(DataError) as error:
        Preloaded.Config(dataset=grid, max_gigabytes=29_951e-9).build()
    assert_one_line(error, "144 items", "DSprites", "max_gigabytes=")


def test_indices_outside_are_refused(grid: DSprites.Config) -> None:
    for index in (-1, 144):
        with pytest.raises(IndexError):
            Preloaded.Config(dataset=grid).build().gather(torch.tensor([index]))
