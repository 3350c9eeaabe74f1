"""CCI-VAE, controlled capacity increase (Burgess et al. 2018, "Understanding disentangling in β-VAE").

    minimise  L = (1/B) Σ_n −ln p(x_n | z_n) + γ · | KL̄ − C(t) |,    KL̄ = (1/B) Σ_n KL(q(z | x_n) ‖ N(0, I))

The target capacity C (nats) rises from about 0 to C_max. The absolute value is that of the batch mean of the total
KL, not of every image's or latent's; where a batch is split over processes or micro-batches it is the whole batch's.
γ = 1, C = 0 is the VAE and C = 0 the beta-VAE with β = γ. γ need only keep KL̄ within a nat of C; C_max is about the
KL of a β = 1 model with good reconstructions.

What differs from the paper: squared and Huber penalties and other ramps than linear are offered. The paper's tables
could not be checked; see `presets`.
Expected (measured here, seeds 0-3): on squares-24 with γ = 30, C 0 → 6, the 500-step mean of KL stays within 0.5 nats
of C and three latents carry more than 0.05 nats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from percepts.core.capabilities import Batch, Losses, Step
from percepts.core.checks import check_weight
from percepts.core.config import Config, one_of
from percepts.core.errors import ConfigError
from percepts.factors import symptoms
from percepts.factors.vae import VAE

Penalty = Literal["abs", "square", "huber"]


@dataclass(frozen=True, kw_only=True)
class CapacitySchedule(Config):
    """C as a function of the step, in nats.

    Attributes:
        start: C until `begin`.
        stop: C from `end` on.
        begin: step at which C starts to change.
        end: step at which it has arrived.
        shape: "linear", "cosine" (slow at both ends) or "step" (all at once, at `end`).
    """

    start: float = 0.0
    stop: float = 25.0
    begin: int = 0
    end: int = 100_000
    shape: Literal["linear", "cosine", "step"] = "linear"

    def __post_init__(self) -> None:
        check_weight("capacity start", self.start)
        check_weight("capacity stop", self.stop)
        if self.end < self.begin or self.begin < 0:
            raise ConfigError(
                f"a capacity from {self.start} at step {self.begin} to {self.stop} at step {self.end}",
                "steps that are not negative, and begin ≤ end",
            )

    def at(self, index: int) -> float:
        """C at step `index`."""
        if index >= self.end:
            return self.stop
        if index <= self.begin or self.shape == "step":
            return self.start
        progress = (index - self.begin) / (self.end - self.begin)
        if self.shape == "cosine":
            progress = 0.5 - 0.5 * math.cos(math.pi * progress)
        return self.start + (self.stop - self.start) * progress


class CCIVAE(VAE):
    """A VAE whose total KL follows a capacity."""

    @dataclass(frozen=True, kw_only=True)
    class Config(VAE.Config):
        """Settings beside those of the VAE.

        Attributes:
            gamma: the weight of the penalty.
            capacity: C(t).
            penalty: of e = KL̄ − C: |e|, e², or Huber's (½e² below 1 nat, |e| − ½ above).
        """

        gamma: float = 1000.0
        capacity: CapacitySchedule = field(default_factory=CapacitySchedule)
        penalty: Penalty = "abs"

        def __post_init__(self) -> None:
            super().__post_init__()
            check_weight("gamma", self.gamma)

    couples_batch = True
    config: Config

    def losses(self, batch: Batch, step: Step) -> Losses:
        """The reconstruction and capacity loss of `batch["image"]` [B,C,H,W]."""
        terms = self.terms(batch["image"], step)
        capacity = self.config.capacity.at(step.index)
        excess = step.mean(terms.kl) - capacity
        return Losses(
            {"model": terms.reconstruction + self.config.gamma * penalise(excess, self.config.penalty)},
            {**terms.log(), "capacity": terms.kl.new_tensor(capacity), "kl_minus_capacity": excess.detach()},
        )

    def diagnose(self, entries: symptoms.Entries) -> dict[str, str]:
        """Those of the VAE once there is capacity to use, and a KL that does not follow its capacity."""
        early = not entries or self.config.capacity.at(int(entries[-1]["step"])) < 1.0
        wrong = symptoms.found(gamma=symptoms.oscillation(entries, self.config.gamma))
        return wrong if early else super().diagnose(entries) | wrong


def penalise(excess: Float[Tensor, ""], penalty: Penalty) -> Float[Tensor, ""]:
    """The penalty of `excess` = KL̄ − C in nats.

    Raises:
        ConfigError: an unknown penalty.
    """
    one_of(penalty, Penalty, "penalty")
    if penalty == "square":
        return excess.square()
    size = excess.abs()
    if penalty == "huber":
        inside = size.clamp(max=1.0)
        return inside * (size - 0.5 * inside)
    return size
