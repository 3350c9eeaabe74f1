"""What happened since the last entry of a log: sums that a loop fills, saves and resumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.agents.cobra.exploration import click_entropy, click_histogram
from percepts.envs.spriteworld.arena import Outcome


class ExplorationWindow:
    """Of an exploration: hits, motions, clicks, and what the networks report."""

    def __init__(self) -> None:
        self.totals: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.clicks = torch.zeros(8, 8, dtype=torch.int64)

    def acted(self, action: Tensor, outcome: Outcome) -> None:
        """Note a step of all arenas."""
        hit = (outcome.hit >= 0).double()
        self.add({"hit_fraction": hit.mean()})
        self.totals["motion"] = self.totals.get("motion", 0.0) + float((outcome.motion.norm(dim=1) * hit).sum())
        self.counts["motion"] = self.counts.get("motion", 0) + int(hit.sum())
        self.clicks += click_histogram(action).cpu()

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Note values whose means are wanted."""
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0.0) + float(value.detach())
            self.counts[name] = self.counts.get(name, 0) + 1

    def entry(self) -> dict[str, float]:
        """Means: `hit_fraction` of the actions, `motion` of a hit in arena units, what the networks report, and the
        entropy of the clicks on an 8 × 8 grid in nats."""
        means = {name: total / max(1, self.counts[name]) for name, total in self.totals.items()}
        return {**means, "click_entropy": click_entropy(self.clicks)}

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values."""
        return {"totals": self.totals, "counts": self.counts, "clicks": self.clicks}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> ExplorationWindow:
        """What `state_dict` described."""
        window = cls()
        window.totals, window.counts, window.clicks = dict(state["totals"]), dict(state["counts"]), state["clicks"]
        return window


class TaskWindow:
    """Of a task: hits, the episodes that ended, and losses.

    Args:
        running: undiscounted return and steps so far of the episode in every arena; None before the first step.
    """

    def __init__(self, running: Float[Tensor, "arenas 2"] | None = None) -> None:
        self.running = running
        self.totals: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def acted(self, outcome: Outcome, ended: Tensor) -> None:
        """Note a step of all arenas."""
        if self.running is None:
            self.running = torch.zeros(len(ended), 2, dtype=torch.float64)
        self.running = self.running + torch.stack([outcome.reward, torch.ones_like(outcome.reward)], 1).cpu()
        over = ended.cpu()
        self._note("hit_fraction", (outcome.hit >= 0).double())
        self._note("success", outcome.success.cpu()[over].double())
        self._note("return", self.running[over, 0])
        self._note("length", self.running[over, 1])
        self.running[over] = 0

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Note values whose means are wanted."""
        for name, value in values.items():
            self._note(name, value.detach()[None])

    def entry(self) -> dict[str, float]:
        """Means: `hit_fraction` of the actions; `success`, `return` and `length` of the episodes that ended, where some
        did; and the losses."""
        return {name: total / self.counts[name] for name, total in self.totals.items()} | {
            "episodes": self.counts.get("length", 0)
        }

    def _note(self, name: str, values: Tensor) -> None:
        if len(values):
            self.totals[name] = self.totals.get(name, 0.0) + float(values.sum())
            self.counts[name] = self.counts.get(name, 0) + len(values)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values."""
        return {"running": self.running, "totals": self.totals, "counts": self.counts}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> TaskWindow:
        """What `state_dict` described."""
        window = cls(state["running"])
        window.totals, window.counts = dict(state["totals"]), dict(state["counts"])
        return window
