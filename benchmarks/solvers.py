"""What knows and what infers in Alchemy, beside the original and beside what was asked for: `python -m benchmarks
solvers`.

Speeds are given in CPU time and in wall-clock time, both the best of several turns, with one thread.
"""

from __future__ import annotations

import json
from typing import Any

import torch

from benchmarks import alchemy_original_oracle
from benchmarks.clocks import Speed, Work, best_speeds
from percepts.agents.alchemy.oracle import oracle_scores
from percepts.agents.alchemy.playing import play
from percepts.agents.alchemy.searching import Qmdp
from percepts.envs.alchemy.chemistry import BOTTLENECKS, Chemistry, graph_number
from percepts.envs.alchemy.posterior import PosteriorFilter
from percepts.envs.alchemy.table import Episodes, Table

THREADS = 1
EPISODES = 1000
"""That the filter follows, and of which the oracle plans all trials."""
BATCH = 64
"""Episodes that QMDP plays side by side."""


def measure(turns: int = 3) -> dict[str, Any]:
    """All parts."""
    return {
        "name": "solvers",
        "threads": THREADS,
        "oracle": oracle(turns),
        "filter": exact_filter(turns),
        "qmdp": qmdp(turns),
    }


def oracle(turns: int = 3) -> dict[str, Any]:
    """Trials a second of the oracle, many at once and one at a time, beside the original's search on the same trials.
    Target: ≥ 20 times the original; all of the values equal.
    """
    original = alchemy_original_oracle.measure()
    stones, potions = torch.tensor(original["stones"])[:, None], torch.tensor(original["potions"])[:, None]
    fixed = Chemistry.of([graph_number(BOTTLENECKS["bottleneck1"])] * len(stones), 7, 7)
    theirs = Episodes(fixed, stones, potions)
    table = Table.Config(level="fixed-bottleneck1", trials=1).build()
    main = Table.Config(level="random-bottleneck").build()
    episodes = main.episodes(range(EPISODES))

    def many() -> int:
        return oracle_scores(main, episodes).numel()

    def single() -> int:
        return sum(oracle_scores(table, theirs.rows(slice(n, n + 1))).numel() for n in range(len(theirs)))

    speeds = best_speeds({"many": (many, THREADS), "single": (single, THREADS)}, turns)
    values = oracle_scores(table, theirs)[:, 0]
    beside = Speed(original["cpu"], original["wall"])
    return {
        "trials_at_once": {"many": episodes.stones[..., 0].numel(), "single": 1},
        "trials_per_second": {name: speed.rates() for name, speed in speeds.items()},
        "original_trials_per_second": beside.rates(),
        "ratio_many": beside.cpu / speeds["many"].cpu,
        "ratio_single": beside.cpu / speeds["single"].cpu,
        "equal_values": float((values == torch.tensor(original["values"], dtype=torch.float64)).double().mean()),
        "targets": {"ratio": 20, "equal_values": 1},
    }


def exact_filter(turns: int = 3, steps: int = 200) -> dict[str, Any]:
    """Steps a second of the exact filter over 1000 episodes of the main level with uniform actions, which are played
    beforehand: all that is timed is what it learns. Target: ≥ 20 000.
    """
    table = Table.Config().build()
    knowledge = PosteriorFilter(table.level)
    state, generator = table.reset(range(EPISODES)), torch.Generator().manual_seed(0)
    begun, played = state, []
    for _ in range(steps):
        action = torch.randint(0, table.actions, (EPISODES,), generator=generator)
        after, outcome = table.step(state, action)
        played.append((state, outcome, after))
        state = after

    def follow() -> int:
        posterior = knowledge.look(knowledge.prior(EPISODES), begun)
        for before, outcome, after in played:
            posterior = knowledge.follow(posterior, before, outcome, after)
        return EPISODES * steps

    speed = best_speeds({"filter": (follow, THREADS)}, turns)["filter"]
    return {"episodes": EPISODES, "steps_per_second": speed.rates(), "targets": {"steps_per_second": 20_000}}


def qmdp(turns: int = 3) -> dict[str, Any]:
    """Seconds an episode of QMDP with 16 samples on the main level, the table's part included: one episode at a time
    and many side by side. Target: ≤ 0.3.
    """
    table = Table.Config().build()
    agent = Qmdp(table, samples=16)

    def alone() -> int:
        return sum(len(play(agent, table, [seed], record=False)) for seed in range(5))

    def together() -> int:
        return len(play(agent, table, range(BATCH), record=False))

    works: dict[str, tuple[Work, int]] = {"single": (alone, THREADS), "batch": (together, THREADS)}
    seconds = {name: vars(speed) for name, speed in best_speeds(works, turns).items()}
    return {"batch": BATCH, "seconds_an_episode": seconds, "targets": {"seconds_an_episode": 0.3}}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
