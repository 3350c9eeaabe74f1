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

from percepts.core.capabilities import Batch, Losses, Step
from percepts.factors.dip_vae_i import covariance, dip_penalties
from percepts.factors.vae import VAE, check_weight


class DIPVAEII(VAE):
    """A VAE whose aggregate posterior has the covariance I."""

    @dataclass(frozen=True, kw_only=True)
    class Config(VAE.Config):
        """Settings beside those of the VAE.

        Attributes:
            lambda_od: the weight of the squared covariances of different latents.
            lambda_d: the weight of the squared distance of the variances from 1; None: lambda_od.
        """

        lambda_od: float = 10.0
        lambda_d: float | None = None

        def __post_init__(self) -> None:
            super().__post_init__()
            check_weight("lambda_od", self.lambda_od)
            if self.lambda_d is not None:
                check_weight("lambda_d", self.lambda_d)

    couples_batch = True
    config: Config

    @property
    def lambda_d(self) -> float:
        """The weight of the diagonal."""
        return self.config.lambda_od if self.config.lambda_d is None else self.config.lambda_d

    def losses(self, batch: Batch, step: Step) -> Losses:
        """The negative ELBO of `batch["image"]` [B,C,H,W] and the penalty of the aggregate posterior's covariance."""
        posterior, latents = self.infer(batch["image"], step)
        mean, variance = step.gather(torch.cat([posterior.mean, posterior.variance], dim=1)).chunk(2, dim=1)
        off_diagonal, diagonal = dip_penalties(covariance(mean) + variance.mean(dim=0).diag())
        terms = self.price(batch["image"], posterior, latents)
        penalty = self.config.lambda_od * off_diagonal + self.lambda_d * diagonal
        return Losses(
            {"model": terms.reconstruction + terms.kl + penalty},
            {**terms.log(), "off_diagonal": off_diagonal.detach(), "diagonal": diagonal.detach()},
        )
