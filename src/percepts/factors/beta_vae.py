"""beta-VAE (Higgins et al. 2017, "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework";
Higgins et al. 2016, "Early Visual Concept Learning with Unsupervised Deep Learning").

    minimise  L = (1/B) Σ_n [ −ln p(x_n | z_n) + β · KL(q(z | x_n) ‖ N(0, I)) ]

Sum over pixels and latents, mean over the batch. The constraint KL < ε gives β as its multiplier: β > 1 presses the
posterior towards independent, economical latents, β = 1 is the VAE, β = 0 maximum likelihood.

What differs from the papers: a linear warm-up of β is offered (off by default; neither paper anneals), and
log-variances are clamped to a wide range. The papers' tables could not be checked; see `presets`.
Expected (an independent NumPy calibration): on squares-24 with β = 14 three of six latents stay active, FactorVAE
score about 0.9, MIG about 0.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from percepts.core.capabilities import Batch, Losses, Step
from percepts.core.checks import check_weight
from percepts.core.errors import ConfigError
from percepts.factors import symptoms
from percepts.factors.vae import VAE


class BetaVAE(VAE):
    """A VAE whose KL weighs β."""

    @dataclass(frozen=True, kw_only=True)
    class Config(VAE.Config):
        """Settings beside those of the VAE.

        Attributes:
            beta: the weight of the KL (sum over pixels, sum over latents).
            beta_normalised: where given, it replaces `beta`: β = β_norm · N / M with N numbers in an image and M
                latents, which makes weights comparable over image and latent sizes.
            warm_up: over so many steps β rises linearly from 0; 0 = full from the start.
        """

        beta: float = 4.0
        beta_normalised: float | None = None
        warm_up: int = 0

        def __post_init__(self) -> None:
            super().__post_init__()
            check_weight("beta", self.beta)
            if self.beta_normalised is not None:
                check_weight("beta_normalised", self.beta_normalised)
            if self.warm_up < 0:
                raise ConfigError(f"warm_up = {self.warm_up}", "a number of steps that is not negative")

    config: Config

    @property
    def beta(self) -> float:
        """The full weight of the KL."""
        if self.config.beta_normalised is None:
            return self.config.beta
        return self.config.beta_normalised * math.prod(self.config.image_shape or ()) / self.config.latent_size

    def beta_at(self, index: int) -> float:
        """The weight of the KL at step `index`."""
        return self.beta if index >= self.config.warm_up else self.beta * index / self.config.warm_up

    def losses(self, batch: Batch, step: Step) -> Losses:
        """The weighted negative ELBO of `batch["image"]` [B,C,H,W]."""
        terms = self.terms(batch["image"], step)
        beta = self.beta_at(step.index)
        return Losses(
            {"model": terms.reconstruction + beta * terms.kl},
            {**terms.log(), "beta": terms.kl.new_tensor(beta)},
        )

    def diagnose(self, entries: symptoms.Entries) -> dict[str, str]:
        """Those of the VAE, and a β that was meant for images of another size."""
        scale = symptoms.weight_scale(self.beta, self.config.latent_size, self.config.image_shape or ())
        return super().diagnose(entries) | symptoms.found(beta_scale=scale)
