"""The contract of environments where beliefs about a chemistry that switches are observed."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from env_contract import EnvironmentContract, Many, Single

from percepts.envs.alchemy.env import AlchemyEnv
from percepts.envs.alchemy.vector import AlchemyVectorEnv

SETTINGS: dict[str, Any] = {
    "level": "no-bottleneck",
    "trials": 2,
    "steps": 4,
    "stones": 2,
    "potions": 5,
    "end_trial": True,
    "switch_trials": (1,),
    "see": {"ground_truth": "truth", "belief": "exact", "relaxed": "relaxed"},
}


class TestBeliefs(EnvironmentContract):
    @pytest.fixture
    def single(self) -> Single:
        return functools.partial(AlchemyEnv, **SETTINGS)

    @pytest.fixture
    def many(self) -> Many:
        return functools.partial(AlchemyVectorEnv, **SETTINGS)
