"""DIP-VAE-II (Kumar, Sattigeri & Balakrishnan 2018, "Variational Inference of Disentangled Latent Concepts from
Unlabeled Observations").

    minimise  L = rec + KL + λ_od Σ_{i≠j} Cov(z)_ij² + λ_d Σ_i (Cov(z)_ii − 1)²,   Cov(z) = Cov(μ) + E[diag σ²]

as DIP-VAE-I, with the covariance of the aggregate posterior itself (law of total covariance) in place of that of its
means. Unlike there, a latent that ignores its input (μ = 0, σ = 1) costs nothing.

What differs from the paper: nothing known; λ_d = λ_od is the default of disentanglement_lib.
Expected (measured here, seed 0): see `presets.dip_vae_ii_squares24`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.core.capabilities import Step
from percepts.factors.dip_vae_i import DIPVAEI, covariance
from percepts.nn.distributions import DiagonalGaussian


class DIPVAEII(DIPVAEI):
    """A VAE whose aggregate posterior has the covariance I."""

    @dataclass(frozen=True, kw_only=True)
    class Config(DIPVAEI.Config):
        """Settings: those of DIP-VAE-I; λ_d None is lambda_od."""

    diagonal_ratio = 1.0
    config: Config

    def moments(self, posterior: DiagonalGaussian, step: Step) -> Float[Tensor, "latents latents"]:
        """The covariance of the latents over the global batch: that of the means, and the mean variances."""
        mean, variance = step.gather(torch.cat([posterior.mean, posterior.variance], dim=1)).chunk(2, dim=1)
        return covariance(mean) + variance.mean(dim=0).diag()
