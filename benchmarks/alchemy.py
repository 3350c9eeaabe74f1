"""Our Alchemy beside the original: `python -m benchmarks alchemy`.

The original, dm_alchemy, runs unmodified in an environment of its own (see `alchemy_original`). Both play the main
level with uniform actions, ten trials of twenty steps; observations and new episodes are included on both sides.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import alchemy_original
from percepts.envs.alchemy.env import AlchemyEnv
from percepts.envs.alchemy.observations import observe
from percepts.envs.alchemy.table import Table
from percepts.envs.alchemy.vector import AlchemyVectorEnv

BATCH, GPU_BATCH = 4096, 1 << 18
STEPS = 200
"""Of an episode."""
Seconds = Callable[[], float]


def measure(turns: int = 3) -> dict[str, Any]:
    """Steps a second of many tables in tensors, of the vector environment with its infos, and of a single one, beside
    the original's single one. Targets: ≥ 1 000 000 in tensors with two threads and ≥ 500 times the original; ≤ 30 µs
    a step of the single environment.

    CPU time, the best of several turns taken alternately, one thread; "…_two_threads" is wall-clock time.
    """
    works: dict[str, tuple[Callable[[], int], Seconds, int]] = {
        "tables": (tables(), time.process_time, 1),
        "tables_two_threads": (tables(), time.perf_counter, 2),
        "vector": (vector(), time.process_time, 1),
        "single": (single(), time.process_time, 1),
    }
    rates: dict[str, float] = {}
    original: dict[str, float] = {}
    threads = torch.get_num_threads()
    for _ in range(turns):
        for name, value in alchemy_original.measure().items():
            if name.endswith("second"):
                original[name] = max(value, original.get(name, 0.0))
        for name, (work, clock, count) in works.items():
            torch.set_num_threads(count)
            start = clock()
            steps = work()
            rates[name] = max(steps / (clock() - start), rates.get(name, 0.0))
    torch.set_num_threads(threads)
    return {
        "name": "alchemy",
        "batch": BATCH,
        "steps_per_second": rates,
        "original_steps_per_second": original["steps_per_second"],
        "ratio_tables": rates["tables"] / original["steps_per_second"],
        "ratio_single": rates["single"] / original["steps_per_second"],
        "microseconds_a_single_step": 1e6 / rates["single"],
        "gpu": gpu(),
        "targets": {"tables_two_threads": 1_000_000, "ratio_tables": 500, "microseconds_a_single_step": 30},
    }


def gpu() -> dict[str, float] | None:
    """Steps a second of many tables on a GPU; None without one. Target: ≥ 20 000 000."""
    if not torch.cuda.is_available():
        return None
    work = tables(GPU_BATCH, "cuda")
    work()
    torch.cuda.synchronize()
    start = time.perf_counter()
    steps = work()
    torch.cuda.synchronize()
    return {"batch": GPU_BATCH, "steps_per_second": steps / (time.perf_counter() - start)}


def tables(batch: int = BATCH, device: str = "cpu") -> Callable[[], int]:
    """An episode and the start of the next at many tables with their observations; tells how many steps that is."""
    table = Table.Config().build()
    state = table.reset(range(batch), device)
    actions = torch.randint(0, table.actions, (STEPS, batch), generator=torch.Generator().manual_seed(0)).to(device)

    def work() -> int:
        nonlocal state
        for action in actions:
            state, outcome = table.step(state, action)
            state = table.restart(state, outcome.terminated)
            observe(state)
        return STEPS * batch

    return work


def vector() -> Callable[[], int]:
    """The same through Gymnasium."""
    envs = AlchemyVectorEnv(BATCH)
    envs.reset(seed=0)
    actions = torch.randint(0, 40, (STEPS, BATCH), generator=torch.Generator().manual_seed(0)).numpy()

    def work() -> int:
        for action in actions:
            envs.step(action)
        return STEPS * BATCH

    return work


def single(episodes: int = 50) -> Callable[[], int]:
    """Episodes of one environment."""
    env = AlchemyEnv()
    env.reset(seed=0)
    actions = torch.randint(0, 40, (STEPS,), generator=torch.Generator().manual_seed(0)).tolist()

    def work() -> int:
        for _ in range(episodes):
            env.reset()
            for action in actions:
                env.step(action)
        return STEPS * episodes

    return work


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
