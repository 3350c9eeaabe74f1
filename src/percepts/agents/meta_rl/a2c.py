"""Advantage actor-critic (Mnih et al. 2016, synchronous): one step on the n-step returns of a rollout.

L = - mean (R - V) log π + c_v smooth-L1(R - V) - c_e mean H, as of the A2C with an episodic planning network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import smooth_l1_loss

from percepts.agents.meta_rl.learner import Learner, LearnerSettings
from percepts.agents.meta_rl.returns import n_step_returns
from percepts.agents.meta_rl.rollouts import Rollout
from percepts.agents.meta_rl.v_trace import policy_gradient_loss
from percepts.core.config import Configurable


class AdvantageActorCritic(Learner, Configurable):
    """A2C; for the arguments see `Learner`."""

    @dataclass(frozen=True, kw_only=True)
    class Config(LearnerSettings):
        """Settings: those of `LearnerSettings`."""

    config: Config

    def update(self, rollout: Rollout, generator: torch.Generator) -> dict[str, float]:
        """One step of the optimiser; see `Learner.learn`."""
        returns = n_step_returns(rollout.reward, rollout.last, rollout.value[-1], self.config.discount)
        self.network.value.follow(returns)
        found, _ = self.network(*rollout.before_last())
        policy = policy_gradient_loss(found.log_prob_of(rollout.action), returns - found.value)
        value = smooth_l1_loss(found.normalised, self.network.value.normalise(returns))
        self.descend(policy + self.common(found, value, rollout))
        return {
            "policy_loss": float(policy.detach()),
            "value_loss": float(value.detach()),
            "entropy": float(found.entropy.detach().mean()),
        }
