"""V-MPO (Song et al. 2020): the policy moves towards the better half of what was done, and not far from the last one.

With A the advantages of the rollout, D the steps with the top half of them, ψ = exp(A / η) / Σ_D exp(A / η):

    L_π = - Σ_D ψ log π              L_η = η ε_η + η log mean_D exp(A / η)
    L_α = mean [ α (ε_α - sg KL) + sg(α) KL ],  KL = KL(π_target || π)         L_V = ½ mean (G - V)²

G are n-step returns; with PopArt advantages are in the unit of the value head (proposed). The target network acts and
gives the values; it is the network of some updates ago. η and α are learned and kept positive. Equations and defaults
are from memory, unverified.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from percepts.agents.meta_rl.learner import Fading, Learner, LearnerSettings
from percepts.agents.meta_rl.network import ActorCritic
from percepts.agents.meta_rl.predictions import Predictions
from percepts.agents.meta_rl.returns import n_step_returns
from percepts.agents.meta_rl.rollouts import Rollout
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError

SMALLEST = 1e-8
"""Of η and α."""


class VMPO(Learner, Configurable):
    """V-MPO; for the arguments see `Learner`."""

    @dataclass(frozen=True, kw_only=True)
    class Config(LearnerSettings):
        """Settings (recall).

        Attributes:
            temperature_bound: ε_η.
            policy_bound: ε_α, 0.001 to 0.01.
            temperature: η at the beginning.
            penalty: α at the beginning.
            copy_every: updates between two copies of the network to the target, 10 to 100.
            entropy: no bonus: the bound on the policy's change keeps it from narrowing early.
        """

        temperature_bound: float = 0.1
        policy_bound: float = 0.01
        temperature: float = 1.0
        penalty: float = 5.0
        copy_every: int = 10
        entropy: Fading = field(default_factory=lambda: Fading(start=0.0, end=0.0))

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in ("temperature_bound", "policy_bound", "temperature", "penalty", "copy_every"):
                if getattr(self, name) <= 0:
                    raise ConfigError(f"{name} = {getattr(self, name)}", "a positive number")

    config: Config

    def __init__(self, config: Config, network: ActorCritic, predictions: Predictions, rollouts: int) -> None:
        device = next(network.parameters()).device
        self.temperature = torch.nn.Parameter(torch.tensor(config.temperature, device=device))
        self.penalty = torch.nn.Parameter(torch.tensor(config.penalty, device=device))
        self.target = copy.deepcopy(network)
        super().__init__(config, network, predictions, rollouts)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Those of the network, η and α."""
        return [*self.network.parameters(), self.temperature, self.penalty]

    @property
    def acting(self) -> ActorCritic:
        """The target."""
        return self.target

    def update(self, rollout: Rollout, generator: torch.Generator) -> dict[str, float]:
        """One step of the optimiser, and a copy where one is due; see `Learner.learn`."""
        config = self.config
        returns = n_step_returns(rollout.reward, rollout.last, rollout.value[-1], config.discount)
        self.network.value.follow(returns)
        with torch.no_grad():
            before, _ = self.target(*rollout.before_last())
        found, _ = self.network(*rollout.before_last())
        head = self.network.value
        advantage = head.normalise(returns) - head.normalise(rollout.value[:-1])
        losses = v_mpo_losses(
            found.log_prob_of(rollout.action), advantage,
            divergence(before.log_probs, found.log_probs, found.legal),
            self.temperature, self.penalty, config.temperature_bound, config.policy_bound,
        )  # fmt: skip
        value = 0.5 * (found.normalised - head.normalise(returns)).square().mean()
        self.descend(losses.policy + losses.temperature + losses.divergence + self.common(found, value, rollout))
        with torch.no_grad():
            self.temperature.clamp_(min=SMALLEST)
            self.penalty.clamp_(min=SMALLEST)
        if (self.done + 1) % config.copy_every == 0:
            self.target.load_state_dict(self.network.state_dict())
        return {
            "policy_loss": float(losses.policy.detach()),
            "value_loss": float(value.detach()),
            "entropy": float(found.entropy.detach().mean()),
            "temperature": float(self.temperature.detach()),
            "penalty": float(self.penalty.detach()),
            "divergence": float(losses.mean_divergence),
        }

    def state_dict(self) -> dict[str, Any]:
        """See `Learner.state_dict`."""
        own = {"target": self.target.state_dict(), "multipliers": [self.temperature.item(), self.penalty.item()]}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `Learner.load_state_dict`."""
        super().load_state_dict(state)
        self.target.load_state_dict(state["target"])
        with torch.no_grad():
            for parameter, number in zip((self.temperature, self.penalty), state["multipliers"]):
                parameter.fill_(number)


@dataclass(frozen=True)
class Losses:
    """The parts of V-MPO's loss.

    Attributes:
        policy: L_π.
        temperature: L_η.
        divergence: L_α.
        mean_divergence: KL, for the log.
    """

    policy: Float[Tensor, ""]
    temperature: Float[Tensor, ""]
    divergence: Float[Tensor, ""]
    mean_divergence: Float[Tensor, ""]


def v_mpo_losses(
    log_prob: Float[Tensor, "steps batch"],
    advantage: Float[Tensor, "steps batch"],
    kl: Float[Tensor, "steps batch"],
    temperature: Float[Tensor, ""],
    penalty: Float[Tensor, ""],
    temperature_bound: float,
    policy_bound: float,
) -> Losses:
    """The losses, from what the policy says of the actions taken.

    Args:
        log_prob: log π of them.
        advantage: of them.
        kl: KL(π_target || π) of every step.
        temperature, penalty: η and α.
        temperature_bound, policy_bound: ε_η and ε_α.
    """
    flat = advantage.detach().flatten()
    best = flat.topk(max(1, len(flat) // 2))
    scaled = best.values / temperature
    weights = scaled.detach().softmax(0)
    mean = scaled.logsumexp(0) - math.log(len(best.values))
    return Losses(
        policy=-(weights * log_prob.flatten()[best.indices]).sum(),
        temperature=temperature * temperature_bound + temperature * mean,
        divergence=(penalty * (policy_bound - kl.detach()) + penalty.detach() * kl).mean(),
        mean_divergence=kl.detach().mean(),
    )


def divergence(
    before: Float[Tensor, "*steps actions"],
    after: Float[Tensor, "*steps actions"],
    legal: Bool[Tensor, "*steps actions"],
) -> Float[Tensor, "*steps"]:
    """KL(before || after) of log-probabilities over the actions that are legal."""
    ratio = (before.masked_fill(~legal, 0) - after.masked_fill(~legal, 0)) * legal
    return (before.exp() * ratio).sum(-1)
