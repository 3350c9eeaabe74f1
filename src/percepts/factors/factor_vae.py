"""FactorVAE (Kim & Mnih 2018, "Disentangling by Factorising").

    the VAE           minimises  rec + KL + γ · TC,   TC = (1/B) Σ_n [ D_0(z_n) − D_1(z_n) ],   z_n ~ q(z | x_n)
    the discriminator minimises  ½ CE(D(z), 0) + ½ CE(D(permuted z), 1)

D gives two logits: class 0 for samples of the aggregate posterior q(z), class 1 for samples of Π_l q(z_l), which are
made by permuting every latent over the batch on its own. At its optimum D_0 − D_1 is ln q(z)/Π_l q(z_l), whose mean
is the total correlation. (With the classes swapped the VAE would raise it: the term falls without bound and latents
become dependent.) The VAE does not move D, and D does not move the VAE.

What differs from the paper: by default z and permuted z come from the same batch, as in disentanglement_lib;
`permute="second"` permutes other images, as (from memory, unverified) Algorithm 2 of the paper. In a batch that is
split over processes or micro-batches the permutation is that of the whole batch.
Expected (measured here, seed 0): see `presets.factor_vae_squares24`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from percepts.core.capabilities import Batch, Losses, Step
from percepts.core.checks import check_weight
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError, DataError
from percepts.factors.vae import VAE
from percepts.nn.layers import Initialisation, full_precision, initialise

REAL, PERMUTED = 0, 1
"""The discriminator's classes."""


class Discriminator(nn.Module, Configurable):
    """Latents → hidden layers with leaky ReLUs → two logits, for "from q(z)" and "from the product of marginals"."""

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Fully connected layers.

        Attributes:
            hidden: widths of the hidden layers.
            slope: of the leaky ReLU below 0 (0.2 in the paper's framework, not PyTorch's 0.01).
            initialisation: of all weights, see `percepts.nn.layers.initialise`.
        """

        hidden: tuple[int, ...] = (1000, 1000, 1000, 1000, 1000, 1000)
        slope: float = 0.2
        initialisation: Initialisation = "glorot"

    def __init__(self, config: Config, latent_size: int) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        for size, following in itertools.pairwise((latent_size, *config.hidden)):
            layers += [nn.Linear(size, following), nn.LeakyReLU(config.slope)]
        self.layers = nn.Sequential(*layers, nn.Linear((latent_size, *config.hidden)[-1], 2))
        initialise(self, config.initialisation)

    def forward(self, latents: Float[Tensor, "batch latents"]) -> Float[Tensor, "batch 2"]:
        return full_precision(self.layers(latents))


class FactorVAE(VAE):
    """A VAE with a discriminator that measures the total correlation of its code."""

    @dataclass(frozen=True, kw_only=True)
    class Config(VAE.Config):
        """Settings beside those of the VAE.

        Attributes:
            gamma: the weight of the total correlation.
            discriminator: its layers. Its optimiser belongs to training, as that of the group "discriminator".
            permute: "same": z and permuted z are of the same images. "second": the odd rows of a batch are only
                permuted, the even ones train the VAE, which thus sees half as many images.
        """

        gamma: float = 10.0
        discriminator: Discriminator.Config = field(default_factory=Discriminator.Config)
        permute: Literal["same", "second"] = "same"

        def __post_init__(self) -> None:
            super().__post_init__()
            check_weight("gamma", self.gamma)
            if self.latent_size < 2:
                raise ConfigError(
                    f"latent_size = {self.latent_size} with a total correlation", "at least two latents to compare"
                )

    couples_batch = True
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.discriminator = config.discriminator.build(latent_size=config.latent_size)

    def parameter_groups(self) -> dict[str, Iterable[nn.Parameter]]:
        """The VAE as "model" and the discriminator as "discriminator"."""
        judging = list(self.discriminator.parameters())
        own = {id(parameter) for parameter in judging}
        return {
            "model": [parameter for parameter in self.parameters() if id(parameter) not in own],
            "discriminator": judging,
        }

    def losses(self, batch: Batch, step: Step) -> Losses:
        """The VAE's and the discriminator's loss of `batch["image"]` [B,C,H,W].

        The loss of "model" runs through the discriminator and has gradients for its weights too: as everywhere, only
        the gradients of a group's own parameters are used.

        Raises:
            DataError: `permute="second"` with an odd number of images.
        """
        image = batch["image"]
        others = image
        if self.config.permute == "second":
            image, others = _halves(image)
        posterior, latents = self.infer(image, step)
        with torch.no_grad():
            samples = latents if others is image else self.infer(others, step)[1]
            everyone, keys = step.gather(torch.cat([samples, step.uniform(samples)], dim=1)).chunk(2, dim=1)
        terms = self.price(image, posterior, latents)
        total_correlation = density_ratio(self.discriminator(latents)).mean()
        real = self.discriminator(latents.detach())
        permuted = self.discriminator(permute_latents(everyone, keys))
        return Losses(
            {
                "model": terms.reconstruction + terms.kl + self.config.gamma * total_correlation,
                "discriminator": discriminator_loss(real, permuted),
            },
            {
                **terms.log(),
                "total_correlation": total_correlation.detach(),
                "discriminator_accuracy": discriminator_accuracy(real, permuted),
            },
        )


def density_ratio(logits: Float[Tensor, "batch 2"]) -> Float[Tensor, " batch"]:
    """ln q(z)/Π_l q(z_l) as the discriminator sees it, in nats; its mean over samples of q(z) estimates the TC."""
    return logits[:, REAL] - logits[:, PERMUTED]


def discriminator_loss(real: Float[Tensor, "real 2"], permuted: Float[Tensor, "permuted 2"]) -> Float[Tensor, ""]:
    """½ CE(real, class 0) + ½ CE(permuted, class 1), in nats; ln 2 for a guess."""
    return 0.5 * (F.softplus(-density_ratio(real)).mean() + F.softplus(density_ratio(permuted)).mean())


def discriminator_accuracy(real: Float[Tensor, "real 2"], permuted: Float[Tensor, "permuted 2"]) -> Float[Tensor, ""]:
    """The share of rows that are told right, both classes counting the same, without a gradient."""
    right, wrong = density_ratio(real.detach()) > 0, density_ratio(permuted.detach()) > 0
    return 0.5 * (right.to(real.dtype).mean() + 1 - wrong.to(real.dtype).mean())


def permute_latents(
    latents: Float[Tensor, "batch latents"], keys: Float[Tensor, "batch latents"]
) -> Float[Tensor, "batch latents"]:
    """Every column of `latents` in the order of its column of `keys`: with uniform `keys`, a sample of Π_l q(z_l)."""
    return latents.gather(0, keys.argsort(dim=0, stable=True))


def _halves(image: Float[Tensor, "batch channels height width"]) -> tuple[Tensor, Tensor]:
    """The even and the odd rows. Unlike the first and the last half, they are the same however a batch is split."""
    if len(image) % 2:
        raise DataError(
            f"{len(image)} images in a part of the batch, whose odd rows FactorVAE permutes",
            "an even number of them",
            "another batch_size, or permute='same'",
        )
    return image[0::2], image[1::2]
