"""Distributions that models share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.nn.layers import full_precision


@dataclass(frozen=True)
class DiagonalGaussian:
    """N(mean, diag(exp(log_variance))) over D latents, for every image of a batch.

    Attributes:
        mean: [B, D].
        log_variance: natural logarithm of the variance, [B, D].
    """

    mean: Float[Tensor, "batch latents"]
    log_variance: Float[Tensor, "batch latents"]

    @classmethod
    def from_parameters(
        cls, parameters: Float[Tensor, "batch parameters"], log_variance_range: tuple[float, float] | None = None
    ) -> DiagonalGaussian:
        """The posterior of an encoder's output: the D means, then the D log-variances.

        Half-precision parameters are widened to float32: a KL of small differences needs the digits.

        Args:
            log_variance_range: (low, high) that the log-variance is clamped to; None leaves it free.
        """
        mean, log_variance = full_precision(parameters).chunk(2, dim=1)
        if log_variance_range is not None:
            log_variance = log_variance.clamp(*log_variance_range)
        return cls(mean, log_variance)

    @property
    def variance(self) -> Float[Tensor, "batch latents"]:
        """σ² of every latent."""
        return self.log_variance.exp()

    @property
    def std(self) -> Float[Tensor, "batch latents"]:
        """σ of every latent."""
        return (0.5 * self.log_variance).exp()

    def sample(self, noise: Float[Tensor, "batch latents"]) -> Float[Tensor, "batch latents"]:
        """The latents for standard normal `noise`: mean + std · noise, differentiable in both parameters."""
        return torch.addcmul(self.mean, self.std, noise)

    def kl_to_standard(self) -> Float[Tensor, "batch latents"]:
        """KL(q ‖ N(0, 1)) of every latent in nats: ½(μ² + σ² − ln σ² − 1)."""
        return 0.5 * (self.mean.square() + self.variance - self.log_variance - 1.0)
