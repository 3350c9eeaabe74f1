"""IODINE's posterior over slots: Gaussians whose variance is a softplus (Greff et al. 2019, as in its code)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from percepts.nn.layers import full_precision


@dataclass(frozen=True)
class SlotPosterior:
    """q(z_k) = N(mean_k, diag(softplus(pre_k))) for every slot k. A `core.capabilities.Posterior`.

    Attributes:
        parameters: λ, which inference improves: the D means, then the D pre-variances.
    """

    parameters: Float[Tensor, "batch slots parameters"]

    @property
    def mean(self) -> Float[Tensor, "batch slots latents"]:
        """The first half of λ."""
        return self.parameters[..., : self.parameters.shape[-1] // 2]

    @property
    def variance(self) -> Float[Tensor, "batch slots latents"]:
        """The softplus of the second half of λ."""
        return F.softplus(self.parameters[..., self.parameters.shape[-1] // 2 :])

    def sample(self, noise: Float[Tensor, "batch slots latents"]) -> Float[Tensor, "batch slots latents"]:
        """The latents for standard normal `noise`, differentiable in λ."""
        return self.mean + self.variance.sqrt() * noise

    def kl(self, prior_std: float = 1.0) -> Float[Tensor, "batch slots latents"]:
        """KL(q ‖ N(0, prior_std²)) of every latent of every slot, in nats."""
        mean, variance = full_precision(self.mean), full_precision(self.variance) / prior_std**2
        return 0.5 * (mean.square() / prior_std**2 + variance - variance.log() - 1.0)
