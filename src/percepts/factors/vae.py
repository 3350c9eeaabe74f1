"""The variational auto-encoder that the whole beta-VAE family shares (Kingma & Welling 2014; Rezende et al. 2014).

    minimise  L = (1/B) Σ_n [ −ln p(x_n | z_n) + KL(q(z | x_n) ‖ N(0, I)) ],   z_n ~ q(z | x_n)

Sums run over pixels, channels and latents, means over the batch only; everything is in nats. `VAE` minimises L itself
(β = 1). A member of the family implements `losses` and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from percepts.core.capabilities import Batch, Losses, Step
from percepts.core.checks import known_shape
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError
from percepts.factors import symptoms
from percepts.factors.symptoms import ACTIVE_KL
from percepts.nn.broadcast import SpatialBroadcastDecoder
from percepts.nn.conv import ConvDecoder, ConvEncoder
from percepts.nn.distributions import DiagonalGaussian
from percepts.nn.likelihoods import Bernoulli, Gaussian, Laplace, Likelihood
from percepts.nn.mlp import MLPDecoder, MLPEncoder

EncoderConfig = ConvEncoder.Config | MLPEncoder.Config
DecoderConfig = ConvDecoder.Config | MLPDecoder.Config | SpatialBroadcastDecoder.Config
LikelihoodConfig = Bernoulli.Config | Gaussian.Config | Laplace.Config


class VAE(nn.Module, Configurable):
    """A VAE with diagonal Gaussian posterior and standard normal prior: encodes, decodes, reconstructs, samples.

    Raises:
        ConfigError: the config lacks `image_shape`, which comes from the data, or does not fit together.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings of a VAE.

        Attributes:
            image_shape: (C, H, W); None until it is taken from the data.
            latent_size: D.
            encoder: image → means and log-variances.
            decoder: latents → output that `likelihood` reads. The spatial-broadcast decoder needs no extra channels
                here.
            likelihood: of the pixels.
            log_variance_range: the posterior's log-variances are clamped to it (the papers do not clamp).
        """

        image_shape: tuple[int, int, int] | None = None
        latent_size: int = 10
        encoder: EncoderConfig = field(default_factory=ConvEncoder.Config)
        decoder: DecoderConfig = field(default_factory=ConvDecoder.Config)
        likelihood: LikelihoodConfig = field(default_factory=Bernoulli.Config)
        log_variance_range: tuple[float, float] | None = (-12.0, 6.0)

        def __post_init__(self) -> None:
            if not isinstance(self.latent_size, int) or self.latent_size < 1:
                raise ConfigError(f"latent_size = {self.latent_size!r}", "a whole number of latents, at least one")
            if self.log_variance_range is not None and not self.log_variance_range[0] < self.log_variance_range[1]:
                raise ConfigError(f"log_variance_range = {self.log_variance_range}", "the lower end, then the upper")

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        image_shape = known_shape(config.image_shape)
        self.config = config
        self.encoder = config.encoder.build(image_shape=image_shape, latent_size=config.latent_size)
        self.decoder = build_decoder(config.decoder, image_shape, config.latent_size)
        self.likelihood: Likelihood = config.likelihood.build()

    def losses(self, batch: Batch, step: Step) -> Losses:
        """The negative ELBO of `batch["image"]` [B,C,H,W]."""
        terms = self.terms(batch["image"], step)
        return Losses({"model": terms.reconstruction + terms.kl}, terms.log())

    def terms(self, image: Float[Tensor, "batch channels height width"], step: Step) -> VAETerms:
        """What every member of the family weighs in its own way, for one sample of the latents."""
        posterior, latents = self.infer(image, step)
        return self.price(image, posterior, latents)

    def infer(
        self, image: Float[Tensor, "batch channels height width"], step: Step
    ) -> tuple[DiagonalGaussian, Float[Tensor, "batch latents"]]:
        """The posterior of every image and one sample of it."""
        posterior = self.encode(image)
        return posterior, posterior.sample(step.normal(posterior.mean))

    def price(
        self,
        image: Float[Tensor, "batch channels height width"],
        posterior: DiagonalGaussian,
        latents: Float[Tensor, "batch latents"],
    ) -> VAETerms:
        """The terms of the ELBO for `latents` drawn from `posterior`."""
        nll = self.likelihood.nll(self.decode_output(latents), image)
        return VAETerms(nll.mean(), posterior.kl_to_standard().mean(dim=0))

    def encode(self, image: Float[Tensor, "batch channels height width"]) -> DiagonalGaussian:
        """The posterior over the latents of every image."""
        return DiagonalGaussian.from_parameters(self.encoder(image), self.config.log_variance_range)

    def decode(self, latents: Float[Tensor, "batch latents"]) -> Float[Tensor, "batch channels height width"]:
        """The mean image, in [0, 1], for every vector of latents."""
        return self.likelihood.mean(self.decode_output(latents))

    def decode_output(self, latents: Float[Tensor, "batch latents"]) -> Float[Tensor, "batch channels height width"]:
        """The decoder's output as the likelihood reads it: logits where it is Bernoulli."""
        return self.decoder(latents)

    def reconstruct(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """The mean image for the posterior mean of every image."""
        return self.decode(self.encode(image).mean)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator | None = None) -> Float[Tensor, "count channels h w"]:
        """`count` mean images for latents from the prior, drawn with `generator` (None: torch's global stream)."""
        return self.decode(prior_sample(self, count, self.config.latent_size, generator))

    @torch.no_grad()
    def informative_latents(
        self, image: Float[Tensor, "batch channels height width"], threshold: float = ACTIVE_KL
    ) -> Int[Tensor, " informative"]:
        """Indices of the latents whose mean KL over `image` exceeds `threshold` nats, most informative first."""
        kl = self.encode(image).kl_to_standard().mean(dim=0)
        order = kl.argsort(descending=True)
        return order[kl[order] > threshold]

    def diagnose(self, entries: symptoms.Entries) -> dict[str, str]:
        """Signs of trouble in the last lines of the training log: posterior collapse, dead latents."""
        return symptoms.found(collapse=symptoms.collapse(entries), dead_latents=symptoms.dead_latents(entries))


@dataclass(frozen=True)
class VAETerms:
    """The terms of an ELBO, in nats an image.

    Attributes:
        reconstruction: the mean of −ln p(x | z) over the batch, a scalar.
        kl_per_latent: the mean KL of every latent, [D].
    """

    reconstruction: Float[Tensor, ""]
    kl_per_latent: Float[Tensor, " latents"]

    @property
    def kl(self) -> Float[Tensor, ""]:
        """The mean KL, summed over the latents."""
        return self.kl_per_latent.sum()

    def log(self) -> dict[str, Tensor]:
        """The terms to report, without gradients. The ELBO has β = 1 whatever the objective's weights are."""
        reconstruction, kl_per_latent = self.reconstruction.detach(), self.kl_per_latent.detach()
        kl = kl_per_latent.sum()
        return {
            "reconstruction": reconstruction,
            "kl": kl,
            "elbo": -(reconstruction + kl),
            "active_units": (kl_per_latent > ACTIVE_KL).sum().to(kl.dtype),
            "kl_per_latent": kl_per_latent,
        }


def build_decoder(
    config: DecoderConfig,
    image_shape: tuple[int, int, int],
    latent_size: int,
) -> nn.Module:
    """The decoder of a VAE.

    Raises:
        ConfigError: it would have output channels that no likelihood reads.
    """
    if isinstance(config, SpatialBroadcastDecoder.Config) and config.extra_channels:
        raise ConfigError(
            f"a VAE's decoder with extra_channels = {config.extra_channels}",
            "0: masks are for models of several objects",
        )
    decoder: nn.Module = config.build(image_shape=image_shape, latent_size=latent_size)
    return decoder


def prior_sample(
    model: nn.Module, count: int, latent_size: int, generator: torch.Generator | None
) -> Float[Tensor, "count latents"]:
    """Standard normal latents on the model's device, the same for a generator's seed whatever that device is."""
    parameters: Iterator[nn.Parameter] = model.parameters()
    drawn_on = torch.device("cpu") if generator is None else generator.device
    return torch.randn(count, latent_size, generator=generator, device=drawn_on).to(next(parameters).device)
