"""What actions were worth: n-step returns, generalised advantages, V-trace. Time is dimension 0.

All take rewards and values of T steps in B arenas, `last` where a step ended an episode, and the value after the last
step, `beyond`. Only the end of an episode ends a return: it goes on over the ends of trials.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Steps = Float[Tensor, "steps batch"]


def n_step_returns(reward: Steps, last: Bool[Tensor, "steps batch"], beyond: Tensor, discount: float) -> Steps:
    """G_t = r_t + γ G_{t+1}, from the value after the last step."""
    found, following = torch.empty_like(reward), beyond
    for t in reversed(range(len(reward))):
        following = reward[t] + discount * following * ~last[t]
        found[t] = following
    return found


def generalised_advantages(
    reward: Steps, value: Steps, last: Bool[Tensor, "steps batch"], beyond: Tensor, discount: float, trace: float
) -> Steps:
    """A_t = δ_t + γ λ A_{t+1}, δ_t = r_t + γ V_{t+1} - V_t (Schulman et al. 2016, equation 16)."""
    found, advantage, following = torch.empty_like(reward), torch.zeros_like(beyond), beyond
    for t in reversed(range(len(reward))):
        goes_on = ~last[t]
        error = reward[t] + discount * following * goes_on - value[t]
        advantage = error + discount * trace * advantage * goes_on
        found[t], following = advantage, value[t]
    return found


@dataclass(frozen=True)
class Corrected:
    """What V-trace makes of steps that another policy took.

    Attributes:
        targets: v_t of the value.
        advantages: ρ_t (r_t + γ v_{t+1} - V_t) of the policy gradient.
    """

    targets: Float[Tensor, "steps batch"]
    advantages: Float[Tensor, "steps batch"]


def v_trace(
    log_ratio: Steps,
    reward: Steps,
    value: Steps,
    last: Bool[Tensor, "steps batch"],
    beyond: Tensor,
    discount: float,
    trace: float = 1.0,
    most: float = 1.0,
) -> Corrected:
    """V-trace (Espeholt et al. 2018, equation 1), written as the recursion of their remark 1.

    Args:
        log_ratio: log π - log μ of the actions taken, π the learner's policy, μ the one that acted.
        reward, value, last, beyond: as of all functions here.
        discount: γ.
        trace: λ.
        most: c̄ and ρ̄, what ratios are cut to.
    """
    ratio = log_ratio.exp().clamp(max=most)
    targets, advantages = torch.empty_like(reward), torch.empty_like(reward)
    difference, value_next, target_next = torch.zeros_like(beyond), beyond, beyond
    for t in reversed(range(len(reward))):
        kept = discount * (~last[t]).to(reward.dtype)
        error = ratio[t] * (reward[t] + kept * value_next - value[t])
        advantages[t] = ratio[t] * (reward[t] + kept * target_next - value[t])
        difference = error + kept * trace * ratio[t] * difference
        targets[t] = value[t] + difference
        value_next, target_next = value[t], targets[t]
    return Corrected(targets, advantages)
