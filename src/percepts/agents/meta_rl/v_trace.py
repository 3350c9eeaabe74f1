"""IMPALA's learner (Espeholt et al. 2018): actor-critic with returns that V-trace corrects for the lag of the actors.

L = - mean ρ (r + γ v' - V) log π + c_v ½ mean (v - V)² - c_e mean H. Here the network that acts is as old as the
rollout: every minibatch, a share of the arenas, is learned from once, and is off-policy by those before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from percepts.agents.meta_rl.learner import Learner, LearnerSettings
from percepts.agents.meta_rl.returns import v_trace
from percepts.agents.meta_rl.rollouts import Rollout
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError


class VTrace(Learner, Configurable):
    """IMPALA's learner; for the arguments see `Learner`."""

    @dataclass(frozen=True, kw_only=True)
    class Config(LearnerSettings):
        """Settings.

        Attributes:
            trace: λ (recall: 1).
            most: c̄ and ρ̄ (recall: 1).
            minibatches: into which the arenas are dealt (proposed).
            epochs: passes over a rollout (recall: 1).
        """

        trace: float = 1.0
        most: float = 1.0
        minibatches: int = 4
        epochs: int = 1

        def __post_init__(self) -> None:
            super().__post_init__()
            if not 0 <= self.trace <= 1:
                raise ConfigError(f"trace = {self.trace}", "a number in [0, 1]")
            for name in ("most", "minibatches", "epochs"):
                if getattr(self, name) <= 0:
                    raise ConfigError(f"{name} = {getattr(self, name)}", "a positive number")

    config: Config

    def update(self, rollout: Rollout, generator: torch.Generator) -> dict[str, float]:
        """One step of the optimiser for every minibatch; see `Learner.learn`."""
        found = []
        for _ in range(self.config.epochs):
            order = torch.randperm(rollout.batch, generator=generator, device=generator.device)
            found += [self._descend(rollout.arenas(index)) for index in order.chunk(self.config.minibatches)]
        return {name: sum(terms[name] for terms in found) / len(found) for name in found[0]}

    def _descend(self, part: Rollout) -> dict[str, float]:
        config, network = self.config, self.network
        found, _ = network(part.inputs, part.state, part.first, part.legal)
        steps = found.before_last()
        log_prob = steps.log_prob_of(part.action)
        value = found.value.detach()
        corrected = v_trace(
            log_prob.detach() - part.log_prob, part.reward, value[:-1], part.last, value[-1],
            config.discount, config.trace, config.most,
        )  # fmt: skip
        policy = policy_gradient_loss(log_prob, corrected.advantages)
        value_loss = 0.5 * (steps.normalised - network.value.normalise(corrected.targets)).square().mean()
        self.descend(policy + self.common(steps, value_loss, part))
        network.value.follow(corrected.targets)
        return {
            "policy_loss": float(policy.detach()),
            "value_loss": float(value_loss.detach()),
            "entropy": float(steps.entropy.detach().mean()),
        }


def policy_gradient_loss(log_prob: Tensor, advantage: Tensor) -> Tensor:
    """- mean A log π, through which the advantage has no gradient."""
    return -(advantage.detach() * log_prob).mean()
