"""What dm_alchemy did, as recorded by `python -m benchmarks.alchemy_original`."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from percepts.envs.alchemy.table import Rewards, Table

GOLDEN = Path(__file__).parent / "golden" / "original.json"
NAMES = {
    "end_trial_action": "end_trial",
    "num_trials": "trials",
    "max_steps_per_trial": "steps",
    "num_stones_per_trial": "stones",
    "num_potions_per_trial": "potions",
}
"""Of settings: the original's and ours."""


@dataclass(frozen=True)
class Rollout:
    """Two episodes of the original.

    Attributes:
        name: for a test's name.
        config: of our table that does the same.
        seed: of both.
        used: whether observations have the numbers that tell what is used.
        episodes: as recorded.
    """

    name: str
    config: Table.Config
    seed: int
    used: bool
    episodes: list[dict[str, Any]]

    @property
    def kind(self) -> tuple[Table.Config, bool, tuple[int, ...]]:
        """Rollouts of one kind can be played at once."""
        return self.config, self.used, tuple(len(episode["actions"]) for episode in self.episodes)

    def action(self, theirs: int) -> int:
        """Our number of an action: the original always counts three stones and twelve potions."""
        special = 1 + self.config.end_trial
        if theirs < special:
            return theirs
        stone, place = divmod(theirs - special, 13)
        if stone >= self.config.stones or place > self.config.potions:
            return special - 1
        return special + stone * (self.config.potions + 1) + place

    def observation(self, ours: np.ndarray) -> np.ndarray:
        """Our observations [T, n] with the original's three stones and twelve potions."""
        width, least = (5, 2) if self.used else (4, 1)
        stones, potions = ours[:, : self.config.stones * width], ours[:, self.config.stones * width :]
        gone_stone, gone_potion = [2.0, 2.0, 2.0, 2.0, 1.0][:width], [1.0, 1.0][:least]
        parts = [
            stones,
            np.tile(gone_stone, (len(ours), 3 - self.config.stones)),
            potions,
            np.tile(gone_potion, (len(ours), 12 - self.config.potions)),
        ]
        return np.concatenate(parts, 1).astype(np.float32)


@functools.cache
def rollouts() -> list[Rollout]:
    """All of them."""
    found = []
    for row in json.loads(GOLDEN.read_text())["rollouts"]:
        settings = dict(row["settings"])
        used = settings.pop("observe_used", True)
        settings.pop("leave_after", None)
        if "reward_weights" in settings:
            weights, offset, bonus = settings.pop("reward_weights")
            settings["rewards"] = Rewards(weights=tuple(map(float, weights)), offset=offset, bonus=bonus)
        named = {NAMES.get(name, name): value for name, value in settings.items()}
        config = Table.Config(level=row["level"], seeding="compat", **named)
        name = f"{row['level']}-{row['seed']}"
        found.append(Rollout(name, config, row["seed"], used, row["episodes"]))
    return found
