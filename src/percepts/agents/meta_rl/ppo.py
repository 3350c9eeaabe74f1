"""Proximal policy optimisation (Schulman et al. 2017): several passes over a rollout, with ratios that are clipped.

L = - mean min(r A, clip(r, 1 - ε, 1 + ε) A) + c_v ½ mean (V - R)² - c_e mean H, r = π / π_old, A by generalised
advantage estimation, normalised over the minibatch. A minibatch is a share of the arenas with all of their steps, so
that cores with a memory can be run over them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.agents.meta_rl.learner import Learner, LearnerSettings
from percepts.agents.meta_rl.returns import generalised_advantages
from percepts.agents.meta_rl.rollouts import Rollout
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError


class ProximalPolicy(Learner, Configurable):
    """PPO; for the arguments see `Learner`."""

    @dataclass(frozen=True, kw_only=True)
    class Config(LearnerSettings):
        """Settings (those of the paper for Atari where it says so, else proposed).

        Attributes:
            trace: λ of the advantages (paper).
            clip: ε (paper: 0.1 for Atari, 0.2 for control).
            epochs: passes over a rollout (paper: 3 for Atari).
            minibatches: into which the arenas are dealt.
        """

        trace: float = 0.95
        clip: float = 0.2
        epochs: int = 3
        minibatches: int = 4

        def __post_init__(self) -> None:
            super().__post_init__()
            if not 0 <= self.trace <= 1:
                raise ConfigError(f"trace = {self.trace}", "a number in [0, 1]")
            for name in ("clip", "epochs", "minibatches"):
                if getattr(self, name) <= 0:
                    raise ConfigError(f"{name} = {getattr(self, name)}", "a positive number")

    config: Config

    def update(self, rollout: Rollout, generator: torch.Generator) -> dict[str, float]:
        """Several passes; see `Learner.learn`."""
        config = self.config
        value, beyond = rollout.value[:-1], rollout.value[-1]
        advantage = generalised_advantages(
            rollout.reward, value, rollout.last, beyond, config.discount, config.trace
        )  # fmt: skip
        returns = advantage + value
        self.network.value.follow(returns)
        sums: dict[str, float] = {}
        count = 0
        for _ in range(config.epochs):
            order = torch.randperm(rollout.batch, generator=generator, device=generator.device)
            for index in order.chunk(config.minibatches):
                terms = self._descend(rollout.arenas(index), advantage[:, index], returns[:, index])
                sums = {name: sums.get(name, 0.0) + term for name, term in terms.items()}
                count += 1
        return {name: total / count for name, total in sums.items()}

    def _descend(self, part: Rollout, advantage: Tensor, returns: Tensor) -> dict[str, float]:
        found, _ = self.network(*part.before_last())
        deviation = advantage.std() if advantage.numel() > 1 else advantage.abs().mean()
        normal = (advantage - advantage.mean()) / (deviation + 1e-8)
        log_ratio = found.log_prob_of(part.action) - part.log_prob
        policy = clipped_loss(log_ratio, normal, self.config.clip)
        value = 0.5 * (found.normalised - self.network.value.normalise(returns)).square().mean()
        self.descend(policy + self.common(found, value, part))
        return {
            "policy_loss": float(policy.detach()),
            "value_loss": float(value.detach()),
            "entropy": float(found.entropy.detach().mean()),
            "clipped": float((log_ratio.detach().exp() - 1).abs().gt(self.config.clip).float().mean()),
        }


def clipped_loss(
    log_ratio: Float[Tensor, "*steps"], advantage: Float[Tensor, "*steps"], clip: float
) -> Float[Tensor, ""]:
    """The clipped surrogate (Schulman et al. 2017, equation 7), to be minimised."""
    ratio = log_ratio.exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()
