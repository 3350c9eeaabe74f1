"""CCI-VAE (Burgess et al. 2018): capacity-controlled presets, and the capacity curve of the factor-conditioned one."""

from __future__ import annotations

from percepts.data.minis import Squares24
from percepts.data.sprites import ColouredSprites, Sprites
from percepts.data.stream import StreamConfig
from percepts.factors import presets as models
from percepts.factors.capacity import factor_channels
from percepts.training.experiment import Data, Experiment, preset
from percepts.training.optimizers import Optimizer
from percepts.training.settings import Training


@preset
def cci_squares24() -> Experiment:
    """CCI-VAE on squares-24: under a minute on one core.

    γ = 30, C 0 → 6 nats over 8000 of 10 000 steps. Expected: three latents with 2.3, 2.3 and 1.5 nats, none else.
    """
    return Experiment(
        model=models.cci_squares24(),
        data=Data(dataset=Squares24.Config(), preload=True),
        sampling=StreamConfig(batch_size=64, sampling="independent"),
        training=Training(steps=10_000, optimizer=Optimizer(lr=5e-4)),
    )


@preset
def capacity_squares24() -> Experiment:
    """The paper's capacity curve: which factor gets the next nat when the encoder is the truth (squares-24, a minute).

    γ = 30, C 0.2 → 6 nats in 6000 steps. Expected: position first (0.85, 0.91 nats at C = 1.94), then scale.
    """
    dataset = Squares24.Config()
    return Experiment(
        model=models.capacity_squares24(factor_channels(dataset.build(), ("scale", "x", "y"))),
        data=Data(dataset=dataset, preload=True),
        sampling=StreamConfig(batch_size=64, sampling="independent"),
        training=Training(steps=6001, optimizer=Optimizer(lr=1e-3)),
    )


@preset
def cci_sprites() -> Experiment:
    """CCI-VAE on Sprites, 64x64 with dSprites' factor grid: 10 latents, γ = 1000, C 0 → 25 nats in 100 000 steps.

    Adam 5e-4, batch 64, 300 000 steps (from re-implementations, unverified in the paper): many CPU hours.
    """
    return _sprites(Sprites.Config())


@preset
def cci_coloured_sprites() -> Experiment:
    """CCI-VAE on coloured sprites, 64x64 RGB: as on Sprites, with hue as another factor (unverified numbers)."""
    return _sprites(ColouredSprites.Config())


def _sprites(dataset: Sprites.Config | ColouredSprites.Config) -> Experiment:
    return Experiment(
        model=models.cci_dsprites(),
        data=Data(dataset=dataset),
        sampling=StreamConfig(batch_size=64, sampling="independent"),
        training=Training(steps=300_000, optimizer=Optimizer(lr=5e-4), log_every=500, checkpoint_every=5000),
    )
