"""β-TCVAE (Chen, Li, Grosse & Duvenaud 2018, "Isolating Sources of Disentanglement in Variational Autoencoders").

The mean KL of the ELBO is a sum of three parts, each with a weight of its own:

    E KL(q(z|x) ‖ p(z)) = I(x; z) + KL(q(z) ‖ Π_l q(z_l)) + Σ_l KL(q(z_l) ‖ p(z_l))
    minimise  L = rec + α · I(x; z) + β · TC + γ · Σ_l KL(q(z_l) ‖ p(z_l))

The total correlation TC is what the paper penalises: α = γ = 1. q(z) is estimated from the batch, by minibatch-weighted
sampling ("mws") or minibatch-stratified sampling ("mss"); see `log_aggregate`. Both have a bias and can be negative for
a small batch or a large β; nothing is clamped, so that the gradient stays right.

What differs from the paper: the loss is rec + KL + (α−1)·I + (β−1)·TC + (γ−1)·Σ KL with the KL in closed form, as in
disentanglement_lib; the weights mean the same and α = β = γ = 1 is the VAE exactly. Where N is not given, "mws" divides
by B in place of B·N, which has the same gradients and reports parts of a sensible size (disentanglement_lib does not
divide at all: its TC is lower by (D − 1)·ln B). In stratified sampling the weight 1/N goes to the image that a sample
came from, whichever row it has. Copies of the published code (unverified: whether it is the authors') give it to the
first image in every row and (N − M)/(N·M) to the second, and in the last row but one the latter to both; only the
first row is then as derived.
Expected (measured here, seed 0): see `presets.beta_tcvae_squares24`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.core.capabilities import Batch, Losses, Step
from percepts.core.checks import check_weight
from percepts.core.config import one_of
from percepts.core.errors import ConfigError
from percepts.factors.vae import VAE
from percepts.nn.distributions import DiagonalGaussian

Estimator = Literal["mws", "mss"]


class BetaTCVAE(VAE):
    """A VAE that weighs the parts of its KL one by one."""

    @dataclass(frozen=True, kw_only=True)
    class Config(VAE.Config):
        """Settings beside those of the VAE.

        Attributes:
            alpha: the weight of the mutual information of images and latents.
            beta: the weight of the total correlation.
            gamma: the weight of the KL of every latent's aggregate posterior.
            estimator: of the aggregate posterior, "mws" or "mss".
            dataset_size: the number of training images N, which "mss" needs. For "mws" it only shifts what is
                reported, not the gradient; with None the parts are those of the batch taken as the whole data.
        """

        alpha: float = 1.0
        beta: float = 6.0
        gamma: float = 1.0
        estimator: Estimator = "mws"
        dataset_size: int | None = None

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in ("alpha", "beta", "gamma"):
                check_weight(name, getattr(self, name))
            if self.dataset_size is not None and self.dataset_size < 1:
                raise ConfigError(f"dataset_size = {self.dataset_size}", "the number of training images, at least 1")
            if self.estimator == "mss" and self.dataset_size is None:
                raise ConfigError(
                    "estimator = 'mss' without dataset_size",
                    "the number of training images, which its weights depend on",
                    "dataclasses.replace(config, dataset_size=len(dataset)), or estimator='mws'",
                )

    couples_batch = True
    config: Config

    def losses(self, batch: Batch, step: Step) -> Losses:
        """The reconstruction of `batch["image"]` [B,C,H,W] and the weighted parts of its KL."""
        posterior, latents = self.infer(batch["image"], step)
        rows = step.gather(torch.cat([latents, posterior.mean, posterior.log_variance], dim=1))
        everyone, mean, log_variance = rows.chunk(3, dim=1)
        config = self.config
        parts = decompose_kl(
            everyone, DiagonalGaussian(mean, log_variance), estimator=config.estimator, dataset_size=config.dataset_size
        )
        terms = self.price(batch["image"], posterior, latents)
        change = (
            (config.alpha - 1) * parts.mutual_information
            + (config.beta - 1) * parts.total_correlation
            + (config.gamma - 1) * parts.dimension_wise_kl
        )
        return Losses({"model": terms.reconstruction + terms.kl + change}, {**terms.log(), **parts.log()})


@dataclass(frozen=True)
class KLParts:
    """The parts of a mean KL, scalars in nats; their sum is the mean of ln q(z_n | x_n) − ln p(z_n) over the batch.

    Attributes:
        mutual_information: I(x; z), the index-code mutual information.
        total_correlation: KL(q(z) ‖ Π_l q(z_l)).
        dimension_wise_kl: Σ_l KL(q(z_l) ‖ N(0, 1)).
    """

    mutual_information: Float[Tensor, ""]
    total_correlation: Float[Tensor, ""]
    dimension_wise_kl: Float[Tensor, ""]

    def log(self) -> dict[str, Tensor]:
        """The parts by name, without gradients."""
        return {
            "mutual_information": self.mutual_information.detach(),
            "total_correlation": self.total_correlation.detach(),
            "dimension_wise_kl": self.dimension_wise_kl.detach(),
        }


def decompose_kl(
    latents: Float[Tensor, "batch latents"],
    posterior: DiagonalGaussian,
    *,
    estimator: Estimator = "mws",
    dataset_size: int | None = None,
) -> KLParts:
    """The three parts of the KL (Chen et al. 2018, equation 2), estimated from a batch.

    Args:
        latents: z_n, one sample of every image's posterior.
        posterior: q(z | x_n) of the same images.
        estimator, dataset_size: see `log_aggregate`.

    Raises:
        ConfigError: see `log_aggregate`.
    """
    density = log_density(latents, posterior)
    joint, marginals = log_aggregate(density, estimator=estimator, dataset_size=dataset_size)
    own = density.diagonal().sum(dim=0)
    prior = -0.5 * (latents.square() + math.log(2 * math.pi)).sum(dim=1)
    product = marginals.sum(dim=1)
    return KLParts((own - joint).mean(), (joint - product).mean(), (product - prior).mean())


def log_density(
    latents: Float[Tensor, "samples latents"], posterior: DiagonalGaussian
) -> Float[Tensor, "samples batch latents"]:
    """ln N(z_jl; μ_il, σ²_il) for every sample j, image i and latent l, in nats."""
    distance = latents[:, None] - posterior.mean
    scaled = distance.square() * (-posterior.log_variance).exp()
    return -0.5 * (scaled + posterior.log_variance + math.log(2 * math.pi))


def log_aggregate(
    density: Float[Tensor, "batch batch latents"], *, estimator: Estimator, dataset_size: int | None
) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch latents"]]:
    """ln q(z_j) and ln q(z_jl) of the aggregate posterior at every sample, in nats.

    Args:
        density: ln q(z_jl | x_i) from `log_density`; sample j was drawn from image i = j.
        estimator: "mws": the sum over the batch, divided by B·N. "mss": a weighted sum with the weights of
            `stratified_log_weights` (Chen et al. 2018, section 4.1 and appendix).
        dataset_size: N; with None "mws" is the mean over the batch.

    Raises:
        ConfigError: an unknown estimator, "mss" without N, or fewer images in the data than in the batch.
    """
    one_of(estimator, Estimator, "estimator")
    batch = len(density)
    if dataset_size is not None and dataset_size < batch:
        raise ConfigError(f"dataset_size = {dataset_size} and a batch of {batch}", "no fewer images than in a batch")
    if estimator == "mss":
        if dataset_size is None:
            raise ConfigError("stratified sampling without dataset_size", "the number of training images")
        weights = stratified_log_weights(batch, dataset_size).to(density)
        return (density.sum(dim=2) + weights).logsumexp(dim=1), (density + weights[:, :, None]).logsumexp(dim=1)
    constant = math.log(batch) + (0.0 if dataset_size is None else math.log(dataset_size))
    return density.sum(dim=2).logsumexp(dim=1) - constant, density.logsumexp(dim=1) - constant


def stratified_log_weights(batch: int, dataset_size: int) -> Float[Tensor, "batch batch"]:
    """ln w_ji of minibatch-stratified sampling, float64: row j sums to 1 in w.

    The image that z_j came from counts 1/N, one other (N − M)/(N·M), and the rest 1/M each, with M = B − 1.
    """
    if batch == 1:
        return torch.zeros(1, 1, dtype=torch.float64)
    others = batch - 1
    weights = torch.full((batch, batch), 1 / others, dtype=torch.float64)
    rows = torch.arange(batch)
    weights[rows, rows] = 1 / dataset_size
    weights[rows, (rows + 1) % batch] = (dataset_size - others) / (dataset_size * others)
    return weights.log()
