"""Feature worlds in a batch and alone: `python -m benchmarks feature_world`. There is no public peer to stand beside.

Speeds are given in CPU time and in wall-clock time, both the best of several turns.
"""

from __future__ import annotations

import json
from typing import Any

import torch

from benchmarks.clocks import Work, best_speeds
from percepts.envs.feature_world.env import FeatureWorldEnv
from percepts.envs.feature_world.observations import DEFAULT_KEYS, observe
from percepts.envs.feature_world.vector import FeatureWorldVectorEnv
from percepts.envs.feature_world.worlds import WORLDS, world_config

BATCH, STEPS = 4096, 50
SINGLE_STEPS = 5000


def measure(turns: int = 3) -> dict[str, Any]:
    """Steps a second of every named world with uniform tests, new episodes included: 4096 worlds in tensors without
    and with observations, the vector environment with its infos, and a single environment. Target: ≥ 1 000 000 in
    tensors.

    One thread; "…_two_threads" has two, where the wall-clock time is the one to look at.
    """
    worlds = {name: _rates(name, turns) for name in WORLDS}
    return {
        "name": "feature_world",
        "batch": BATCH,
        "steps_per_second": worlds,
        "microseconds_a_single_step": {name: 1e6 / rates["single"]["cpu"] for name, rates in worlds.items()},
        "targets": {"rules": 1_000_000},
    }


def _rates(name: str, turns: int) -> dict[str, dict[str, float]]:
    works: dict[str, tuple[Work, int]] = {
        "rules": (tensors(name, seen=False), 1),
        "rules_two_threads": (tensors(name, seen=False), 2),
        "rules_and_observations": (tensors(name, seen=True), 1),
        "vector": (vector(name), 1),
        "single": (single(name), 1),
    }
    return {work: speed.rates() for work, speed in best_speeds(works, turns).items()}


def tensors(name: str, seen: bool) -> Work:
    """Steps of many worlds, which begin anew where they end; with what they show if `seen`."""
    world = world_config(name).build()
    state = world.reset(range(BATCH))
    actions = torch.randint(0, world.choices, (STEPS, BATCH), generator=torch.Generator().manual_seed(0))

    def work() -> int:
        nonlocal state
        for action in actions:
            state, _ = world.step(state, action)
            state = world.restart(state, state.finished)
            if seen:
                observe(world, state, DEFAULT_KEYS)
        return STEPS * BATCH

    return work


def vector(name: str) -> Work:
    """The same through Gymnasium."""
    envs = FeatureWorldVectorEnv(BATCH, name)
    envs.reset(seed=0)
    generator = torch.Generator().manual_seed(0)
    actions = torch.randint(0, envs.world.choices, (STEPS, BATCH), generator=generator).numpy()

    def work() -> int:
        for action in actions:
            envs.step(action)
        return STEPS * BATCH

    return work


def single(name: str) -> Work:
    """Steps of one environment."""
    env = FeatureWorldEnv(name)
    env.reset(seed=0)
    generator = torch.Generator().manual_seed(0)
    actions = torch.randint(0, env.world.choices, (SINGLE_STEPS,), generator=generator).tolist()

    def work() -> int:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return SINGLE_STEPS

    return work


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
