"""The factor-conditioned capacity model (Burgess et al. 2018, §4.2): what would a code spend its nats on?

The encoder is replaced by the true factors f, each with one latent of learned gain and learned noise:

    q(z_i | f) = N(w_i · f_i, s_i²),    minimise  −ln p(x | z) + γ · | KL̄ − C(t) |

As C rises, the KL of every factor shows when it pays to be encoded: position first, then scale, then the rest.

What differs from the paper: its text leaves open how the circular orientation enters; `circular` offers (cos, sin).
The published range of C (0.5 → 25 nats) is unverified.
Expected (measured here, seeds 0 and 1): on squares-24 with γ = 30, at C = 1.9 nats x and y hold about 0.82 each and
scale 0.19; at C = 6, scale 1.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from percepts.core.capabilities import Batch, Losses, Step
from percepts.core.checks import check_weight, known_shape
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError, nearest
from percepts.data.dataset import FactorDataset
from percepts.factors.cci_vae import CapacitySchedule, Penalty, penalise
from percepts.factors.vae import (
    DecoderConfig,
    LikelihoodConfig,
    VAETerms,
    build_decoder,
    prior_sample,
)
from percepts.nn.conv import ConvDecoder
from percepts.nn.distributions import DiagonalGaussian
from percepts.nn.likelihoods import Bernoulli, Likelihood


@dataclass(frozen=True, kw_only=True)
class FactorChannel(BaseConfig):
    """One factor as it enters the code.

    Attributes:
        name: of the factor.
        column: its place in `batch["factors"]`.
        values: what its indices mean; standardised to mean 0 and variance 1 over the values.
        circular: the values are angles in radians and enter as (cos, sin), two latents.
    """

    name: str
    column: int
    values: tuple[float, ...]
    circular: bool = False

    def table(self) -> Float[Tensor, "values channels"]:
        """The standardised numbers for every index of the factor, float32."""
        values = torch.tensor(self.values, dtype=torch.float64)
        columns = torch.stack([values.cos(), values.sin()] if self.circular else [values], dim=1)
        spread = columns.std(dim=0, correction=0)
        if len(self.values) < 2 or bool((spread < 1e-12).any()):
            raise ConfigError(f"factor '{self.name}' has the values {self.values}", "at least two different values")
        return ((columns - columns.mean(dim=0)) / spread).float()


def factor_channels(
    dataset: FactorDataset, names: Sequence[str], circular: Sequence[str] = ()
) -> tuple[FactorChannel, ...]:
    """The channels for the factors called `names` of `dataset`.

    Raises:
        ConfigError: the dataset has no factor of that name.
    """
    channels = []
    for name in names:
        if name not in dataset.factor_names:
            close = nearest(name, dataset.factor_names)
            hint = f", did you mean '{close}'?" if close else ""
            raise ConfigError(f"no factor '{name}'{hint}", "one of " + ", ".join(dataset.factor_names))
        values = tuple(dataset.factor_values(name).tolist())
        column = dataset.factor_names.index(name)
        channels.append(FactorChannel(name=name, column=column, values=values, circular=name in circular))
    return tuple(channels)


class FactorChannels(nn.Module, Configurable):
    """Decodes noisy true factors under a rising capacity; trained on batches with `factors`."""

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings of the capacity model.

        Attributes:
            image_shape: (C, H, W); None until it is taken from the data.
            channels: the factors, from `factor_channels(dataset, names)`.
            decoder: factors → output that `likelihood` reads.
            likelihood: of the pixels.
            gamma: the weight of |KL̄ − C|.
            capacity: C(t).
            penalty: see `CCIVAE.Config`.
            gain: w at the start.
            log_std: ln s at the start; slightly below 0 so that |KL̄ − C| has a gradient.
        """

        image_shape: tuple[int, int, int] | None = None
        channels: tuple[FactorChannel, ...] = ()
        decoder: DecoderConfig = field(default_factory=ConvDecoder.Config)
        likelihood: LikelihoodConfig = field(default_factory=Bernoulli.Config)
        gamma: float = 100.0
        capacity: CapacitySchedule = field(default_factory=lambda: CapacitySchedule(start=0.5, stop=25.0))
        penalty: Penalty = "abs"
        gain: float = 0.1
        log_std: float = -0.05

        def __post_init__(self) -> None:
            check_weight("gamma", self.gamma)

    couples_batch = True
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        if not config.channels:
            raise ConfigError("a capacity model without factors", fix="channels=factor_channels(dataset, names)")
        self.config = config
        tables = [channel.table() for channel in config.channels]
        for index, table in enumerate(tables):
            self.register_buffer(f"table_{index}", table, persistent=False)
        self.latent_size = sum(table.shape[1] for table in tables)
        self.gain = nn.Parameter(torch.full((self.latent_size,), config.gain))
        self.log_std = nn.Parameter(torch.full((self.latent_size,), config.log_std))
        self.decoder = build_decoder(config.decoder, known_shape(config.image_shape), self.latent_size)
        self.likelihood: Likelihood = config.likelihood.build()

    def losses(self, batch: Batch, step: Step) -> Losses:
        """The capacity loss of `batch["image"]` [B,C,H,W] with `batch["factors"]` [B,F]; a KL for every factor."""
        posterior = self.encode_factors(batch["factors"])
        latents = posterior.sample(step.normal(posterior.mean))
        nll = self.likelihood.nll(self.decoder(latents), batch["image"])
        terms = VAETerms(nll.mean(), posterior.kl_to_standard().mean(dim=0))
        capacity = self.config.capacity.at(step.index)
        excess = step.mean(terms.kl) - capacity
        return Losses(
            {"model": terms.reconstruction + self.config.gamma * penalise(excess, self.config.penalty)},
            {
                **terms.log(),
                **self.kl_by_factor(terms.kl_per_latent.detach()),
                "capacity": excess.new_tensor(capacity),
                "kl_minus_capacity": excess.detach(),
            },
        )

    def encode_factors(self, factors: Tensor) -> DiagonalGaussian:
        """The code's distribution for factor indices [B,F]."""
        columns = [
            self.get_buffer(f"table_{index}")[factors[:, channel.column]]
            for index, channel in enumerate(self.config.channels)
        ]
        mean = torch.cat(columns, dim=1) * self.gain
        return DiagonalGaussian(mean, (2 * self.log_std).expand_as(mean))

    def kl_by_factor(self, kl_per_latent: Float[Tensor, " latents"]) -> dict[str, Tensor]:
        """The KL of every factor by the name "kl_<factor>", in nats; that of a circular factor is the sum of two."""
        widths = [2 if channel.circular else 1 for channel in self.config.channels]
        parts = kl_per_latent.split(widths)
        return {f"kl_{channel.name}": part.sum() for channel, part in zip(self.config.channels, parts)}

    def decode(self, latents: Float[Tensor, "batch latents"]) -> Float[Tensor, "batch channels height width"]:
        """The mean image, in [0, 1], for every code."""
        return self.likelihood.mean(self.decoder(latents))

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator | None = None) -> Float[Tensor, "count channels h w"]:
        """`count` mean images for codes drawn from the prior."""
        return self.decode(prior_sample(self, count, self.latent_size, generator))
