"""The Gymnasium environment of one world and its batched twin."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from env_contract import EnvironmentContract, Many, Single

from percepts.envs.feature_world.env import FeatureWorldEnv
from percepts.envs.feature_world.observations import KEYS
from percepts.envs.feature_world.rendered import TableView
from percepts.envs.feature_world.vector import FeatureWorldVectorEnv

ALL_BUT_IMAGE = tuple(key for key in KEYS if key != "image")


class OfWorld(EnvironmentContract):
    """The contract for the environments of one world."""

    arguments: dict[str, Any]

    @pytest.fixture
    def single(self) -> Single:
        return functools.partial(FeatureWorldEnv, **self.arguments)

    @pytest.fixture
    def many(self) -> Many:
        return functools.partial(FeatureWorldVectorEnv, **self.arguments)


class TestAnswersUnderNoise(OfWorld):
    arguments = {  # noqa: RUF012
        "world": "conjunction", "values": (3, 2, 2), "objects": 8, "object_sets": 40, "distinguishing": False,
        "decoys": ("size",), "mode": "answer", "budget": 5, "noise": 0.3, "cost": 0.125, "keys": ALL_BUT_IMAGE,
    }  # fmt: skip


class TestTables(OfWorld):
    arguments = {  # noqa: RUF012
        "world": "table-top", "values": 3, "objects": 6, "object_sets": 40, "budget": 6,
        "keys": ("image", "outcomes", "last", "left"), "view": TableView.Config(height=12, samples=1),
    }  # fmt: skip


class TestSubsetsThatDoNotTellAllApart(OfWorld):
    arguments = {  # noqa: RUF012
        "world": "two-of-three", "values": 2, "objects": 4, "object_sets": 64, "distinguishing": False, "noise": 0.5,
        "budget": 4, "keys": ("objects", "posterior"),
    }  # fmt: skip
