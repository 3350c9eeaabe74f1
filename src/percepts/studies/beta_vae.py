"""beta-VAE (Higgins et al. 2017): the presets that can be trained on generated data or one's own pictures."""

from __future__ import annotations

from percepts.data.minis import Squares24
from percepts.data.sprites import Sprites
from percepts.data.stream import StreamConfig
from percepts.factors import presets as models
from percepts.training.experiment import Data, Experiment, preset
from percepts.training.optimizers import Optimizer
from percepts.training.settings import Training


@preset
def beta_vae_squares24() -> Experiment:
    """beta-VAE on squares-24, the smallest world with three factors.

    β = 14, 6000 steps. Expected over 4 seeds, from an independent NumPy calibration: MIG 0.24-0.38, FactorVAE score
    0.88-0.95, 3 active units of 6. Measured here at β = 8, mean of seeds 0-3: MIG 0.35, excess reconstruction 11.9
    nats.
    """
    return Experiment(
        model=models.beta_vae_squares24(),
        data=Data(dataset=Squares24.Config(), preload=True),
        sampling=StreamConfig(batch_size=64, sampling="independent"),
        training=Training(steps=6000, optimizer=Optimizer(lr=1e-3)),
    )


@preset
def beta_vae_sprites() -> Experiment:
    """beta-VAE on Sprites, 64x64 with dSprites' factor grid, with disentanglement_lib's network.

    β = 4, 10 latents, Adam 1e-4, batch 64, 300 000 steps; meant for a GPU. Expected (unverified): the best of
    disentanglement_lib's sweeps on dSprites itself reach MIG 0.1-0.2 and FactorVAE score 0.66.
    """
    return Experiment(
        model=models.beta_vae_dsprites_conv(),
        data=Data(dataset=Sprites.Config()),
        sampling=StreamConfig(batch_size=64, sampling="independent"),
        training=Training(steps=300_000, optimizer=Optimizer(lr=1e-4), log_every=500, checkpoint_every=5000),
    )


@preset
def beta_vae_sprites_fc() -> Experiment:
    """beta-VAE on Sprites with the paper's fully connected network and Adagrad 1e-2 (unverified numbers).

    β = 4, 10 latents. The paper's number of steps is unknown; re-implementations take 1 to 1.5 million (unverified).
    """
    return Experiment(
        model=models.beta_vae_dsprites_fc(),
        data=Data(dataset=Sprites.Config()),
        sampling=StreamConfig(batch_size=64, sampling="independent"),
        training=Training(
            steps=1_000_000, optimizer=Optimizer(name="adagrad", lr=1e-2), log_every=500, checkpoint_every=10_000
        ),
    )
