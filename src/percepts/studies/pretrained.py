"""The models that the repository ships, in `pretrained/`: presets that a CPU can train."""

from __future__ import annotations

from percepts.data.sprites import ColouredSprites, Sprites
from percepts.data.stream import StreamConfig
from percepts.factors.cci_vae import CCIVAE, CapacitySchedule
from percepts.nn.conv import ConvDecoder, ConvEncoder
from percepts.training.experiment import Data, Experiment, preset
from percepts.training.optimizers import Optimizer, Schedule
from percepts.training.settings import Training


@preset
def sprites32() -> Experiment:
    """CCI-VAE on 32x32 Sprites, dSprites' factor grid at half its size: ten latents, C 0.5 → 18 nats.

    The network of Burgess et al. 2018 with one convolution less.
    """
    return _conv(Sprites.Config(size=32), capacity=18.0)


@preset
def coloured_sprites32() -> Experiment:
    """CCI-VAE on 32x32 coloured sprites: as sprites32, with hue as another factor."""
    return _conv(ColouredSprites.Config(size=32), capacity=20.0)


def _conv(dataset: Sprites.Config | ColouredSprites.Config, capacity: float) -> Experiment:
    steps = 15_000
    return Experiment(
        model=CCIVAE.Config(
            encoder=ConvEncoder.Config(channels=(32, 32, 32), hidden=(256, 256)),
            decoder=ConvDecoder.Config(channels=(32, 32, 32), hidden=(256, 256)),
            gamma=100.0,
            capacity=CapacitySchedule(start=0.5, stop=capacity, end=4 * steps // 5),
        ),
        data=Data(dataset=dataset),
        sampling=StreamConfig(batch_size=64, sampling="independent"),
        training=Training(
            steps=steps, optimizer=Optimizer(lr=1e-3, schedule=Schedule(shape="cosine", final=0.05)), log_every=100
        ),
    )
