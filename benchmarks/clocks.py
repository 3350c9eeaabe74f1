"""What benchmarks measure with: CPU time and wall-clock time of the same work, with the number of threads fixed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Work = Callable[[], int]
"""Does something, and says how many units that was."""


@dataclass(frozen=True)
class Speed:
    """The shortest times of a unit of work, in seconds.

    Attributes:
        cpu: of all threads together.
        wall: on the clock, which other processes slow down.
    """

    cpu: float
    wall: float

    def rates(self) -> dict[str, float]:
        """Units a second."""
        return {"cpu": 1 / self.cpu, "wall": 1 / self.wall}


def speed_of(work: Work) -> Speed:
    """How long a unit took, this time."""
    wall, cpu = time.perf_counter(), time.process_time()
    units = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Speed(cpu / units, wall / units)


def best_speeds(works: Mapping[str, tuple[Work, int]], turns: int) -> dict[str, Speed]:
    """The shortest times of several works, which take turns, each with its number of threads."""
    found: dict[str, Speed] = {}
    before = torch.get_num_threads()
    for _ in range(turns):
        for name, (work, threads) in works.items():
            torch.set_num_threads(threads)
            found[name] = shortest(found.get(name), speed_of(work))
    torch.set_num_threads(before)
    return found


def shortest(one: Speed | None, other: Speed) -> Speed:
    """The shorter times of both."""
    return other if one is None else Speed(min(one.cpu, other.cpu), min(one.wall, other.wall))
