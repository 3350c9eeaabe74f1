"""The generated worlds keep the contract of all datasets, as they are and held in memory."""

from __future__ import annotations

import pytest
import torch
from dataset_contract import DatasetContract

from percepts.core.config import Config
from percepts.data import Blobs24, ColouredSprites, FactorDataset, Pebbles, Preloaded, Sprites, Squares24

WORLDS: dict[str, Config] = {
    "sprites": Sprites.Config(),
    "smooth sprites": Sprites.Config(size=33, orientations=5, positions=4, antialias=True),
    "coloured sprites": ColouredSprites.Config(orientations=4, brightnesses=2),
    "pebbles": Pebbles.Config(),
    "squares": Squares24.Config(),
    "blobs": Blobs24.Config(),
    "blobs with a hole": Blobs24.Config(hole=0.45),
    "preloaded squares": Preloaded.Config(dataset=Squares24.Config()),
    "preloaded blobs with a hole": Preloaded.Config(dataset=Blobs24.Config(hole=0.45)),
    "preloaded pebbles": Preloaded.Config(dataset=Pebbles.Config(hues=2, positions_x=3, positions_y=2)),
}


class TestWorlds(DatasetContract):
    @pytest.fixture(params=list(WORLDS))
    def dataset(self, request: pytest.FixtureRequest) -> FactorDataset:
        return WORLDS[request.param].build()


def test_points_in_the_hole_of_a_preloaded_world_can_be_drawn() -> None:
    plain = Blobs24.Config(hole=0.45).build()
    held = Preloaded.Config(dataset=Blobs24.Config(hole=0.45)).build()
    centre = torch.tensor([[8, 8]])
    assert not plain.support[8 * 16 + 8]
    assert torch.equal(held.render(centre), plain.render(centre))
