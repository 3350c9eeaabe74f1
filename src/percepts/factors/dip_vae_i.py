"""DIP-VAE-I (Kumar, Sattigeri & Balakrishnan 2018, "Variational Inference of Disentangled Latent Concepts from
Unlabeled Observations").

    minimise  L = rec + KL + λ_od Σ_{i≠j} Cov(μ)_ij² + λ_d Σ_i (Cov(μ)_ii − 1)²

with rec and KL as in `vae`, and Cov(μ) = E[μμᵀ] − E[μ]E[μ]ᵀ of the posterior means over the batch (divided by B, not
B − 1; the whole global batch where it is split). The aggregate posterior is thus pressed to have the prior's second
moments: the codes of a batch are uncorrelated and have variance 1.

What differs from the paper: nothing known; λ_d = 10 · λ_od is the default of disentanglement_lib.
Expected (measured here, seed 0): see `presets.dip_vae_i_squares24`.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from percepts.core.capabilities import Batch, Losses, Step
from percepts.core.checks import check_weight
from percepts.factors.vae import VAE
from percepts.nn.distributions import DiagonalGaussian


class DIPVAEI(VAE):
    """A VAE whose posterior means have the covariance I."""

    @dataclass(frozen=True, kw_only=True)
    class Config(VAE.Config):
        """Settings beside those of the VAE.

        Attributes:
            lambda_od: the weight of the squared covariances of different latents.
            lambda_d: the weight of the squared distance of the variances from 1; None: `diagonal_ratio` · lambda_od.
        """

        lambda_od: float = 10.0
        lambda_d: float | None = None

        def __post_init__(self) -> None:
            super().__post_init__()
            check_weight("lambda_od", self.lambda_od)
            if self.lambda_d is not None:
                check_weight("lambda_d", self.lambda_d)

    couples_batch = True
    diagonal_ratio = 10.0
    config: Config

    @property
    def lambda_d(self) -> float:
        """The weight of the diagonal."""
        config = self.config
        return self.diagonal_ratio * config.lambda_od if config.lambda_d is None else config.lambda_d

    def losses(self, batch: Batch, step: Step) -> Losses:
        """The negative ELBO of `batch["image"]` [B,C,H,W] and the penalty of `moments`."""
        posterior, latents = self.infer(batch["image"], step)
        off_diagonal, diagonal = dip_penalties(self.moments(posterior, step))
        terms = self.price(batch["image"], posterior, latents)
        penalty = self.config.lambda_od * off_diagonal + self.lambda_d * diagonal
        return Losses(
            {"model": terms.reconstruction + terms.kl + penalty},
            {**terms.log(), "off_diagonal": off_diagonal.detach(), "diagonal": diagonal.detach()},
        )

    def moments(self, posterior: DiagonalGaussian, step: Step) -> Float[Tensor, "latents latents"]:
        """What is pressed towards I: the covariance of the means over the global batch."""
        return covariance(step.gather(posterior.mean))


def covariance(rows: Float[Tensor, "batch latents"]) -> Float[Tensor, "latents latents"]:
    """The covariance of the columns over the batch, divided by B."""
    centred = rows - rows.mean(dim=0)
    return centred.T @ centred / len(rows)


def dip_penalties(moments: Float[Tensor, "latents latents"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """How far a covariance is from I: Σ_{i≠j} Cov_ij² and Σ_i (Cov_ii − 1)² (Kumar et al. 2018, equations 5 to 7)."""
    diagonal = moments.diagonal()
    off_diagonal = moments - moments.diagonal().diag()
    return off_diagonal.square().sum(), (diagonal - 1).square().sum()
