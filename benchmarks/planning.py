"""One step of COBRA's search over 1 000 candidates, for one observation of 7 slots: `python -m benchmarks planning`.

Times are the best of several turns. Nothing public plays COBRA, so the target alone stands beside them.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.clocks import best_speeds
from percepts.agents.cobra.curiosity import Curiosity
from percepts.agents.cobra.exploration import Uniform
from percepts.agents.cobra.planning import OneStepSearch
from percepts.agents.cobra.rewards import DeepSetsHead, Head, RelationHead, RewardModel, SumHead
from percepts.agents.cobra.simulation import LearnedSimulation
from percepts.agents.cobra.slots import SlotState
from percepts.agents.cobra.transition import SlotTransition
from percepts.training.setup import keep_memory

CANDIDATES, SLOTS, LATENTS = 1000, 7, 10
THREADS = 2
SEARCHES = 20
"""In a turn."""
HEADS: dict[str, Head] = {
    "sum": SumHead.Config(),
    "deep_sets": DeepSetsHead.Config(),
    "relation": RelationHead.Config(),
}
TRANSITIONS = {"preset": Curiosity.Config().transition, "256-256-256": SlotTransition.Config()}


def measure(turns: int = 7) -> dict[str, Any]:
    """Milliseconds of a search, for every reward head and transition model. Target: ≤ 10 ms."""
    keep_memory()  # As agents do.
    works = {
        f"{head}, {transition}": (_search(HEADS[head], TRANSITIONS[transition]), THREADS)
        for head in HEADS
        for transition in TRANSITIONS
    }
    speeds = best_speeds(works, turns)
    return {
        "name": "planning",
        "threads": THREADS,
        "candidates": CANDIDATES,
        "slots": SLOTS,
        "milliseconds": {name: {"cpu": 1e3 * speed.cpu, "wall": 1e3 * speed.wall} for name, speed in speeds.items()},
        "targets": {"milliseconds": 10},
    }


def _search(head: Head, transition: SlotTransition.Config) -> Any:
    torch.manual_seed(0)
    reward = RewardModel.Config(heads=(head,)).build(latents=LATENTS, slots=SLOTS)
    simulation = LearnedSimulation(transition.build(latents=LATENTS, action=4), reward)
    state = SlotState(torch.randn(1, SLOTS, LATENTS), torch.ones(1, SLOTS))
    planner, generator = OneStepSearch(candidates=CANDIDATES, proposal="uniform"), torch.Generator().manual_seed(0)
    proposals = Uniform.Config().build(latents=LATENTS, action=4)

    def work() -> int:
        for _ in range(SEARCHES):
            planner.plan(simulation, proposals, state, {}, generator)
        return SEARCHES

    return work
