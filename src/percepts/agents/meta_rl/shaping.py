"""Rewards that are learned from and never scored: those that made the A2C with an episodic planning network learn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from percepts.core.config import Config
from percepts.envs.alchemy.table import Outcome


@dataclass(frozen=True, kw_only=True)
class Shaping(Config):
    """What is added to rewards in training (numbers of the re-implementation BKHMSI/alchemist).

    Attributes:
        unchanged: where an action that is not doing nothing changes no stone.
        vain: instead of that, where nothing at all changes, because stone or potion was not there.
        repeated: more, where a potion action is the last action once more.
    """

    unchanged: float = -0.2
    vain: float = -1.0
    repeated: float = -1.0

    def of(
        self,
        outcome: Outcome,
        action: Int64[Tensor, " batch"],
        previous: Int64[Tensor, " batch"],
        step: Int64[Tensor, " batch"],
        nothing: int = 0,
    ) -> Float[Tensor, " batch"]:
        """What is added.

        Args:
            outcome: of the action.
            action, previous: this one and the one before, as the learner names them; -1 before the first.
            step: of the trial, from 0: what was done in the trial before is not repeated.
            nothing: actions up to this one do nothing, or end the trial.
        """
        acts = action > nothing
        dipped = outcome.potion >= 0
        unchanged, vain = dipped & (outcome.before == outcome.after), acts & (outcome.stone < 0)
        potion = acts & ~outcome.banked
        found = self.unchanged * unchanged + self.vain * vain
        return found + self.repeated * (potion & (action == previous) & (step > 0)).to(torch.float32)
