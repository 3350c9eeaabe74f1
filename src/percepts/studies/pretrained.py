"""The models that the repository ships, in `pretrained/`: presets that a CPU can train."""

from __future__ import annotations

from percepts.data.sprites import ColouredSprites, Sprites
from percepts.data.stream import StreamConfig
from percepts.factors.cci_vae import CCIVAE, CapacitySchedule
from percepts.nn.mlp import MLPDecoder, MLPEncoder
from percepts.training.experiment import Data, Experiment, preset
from percepts.training.optimizers import Optimizer, Schedule
from percepts.training.settings import Training


@preset
def sprites32() -> Experiment:
    """CCI-VAE on 32x32 Sprites, dSprites' factor grid at half its size: γ = 30, C 0.5 → 12 nats, minutes on one core.

    The weights in `pretrained/sprites32` come from it; their scores are on the card there.
    """
    return _connected(Sprites.Config(size=32), width=256)


@preset
def coloured_sprites32() -> Experiment:
    """CCI-VAE on 32x32 coloured sprites: as sprites32, with hue as another factor and narrower layers.

    The weights in `pretrained/coloured_sprites32` come from it; their scores are on the card there.
    """
    return _connected(ColouredSprites.Config(size=32), width=128)


def _connected(dataset: Sprites.Config | ColouredSprites.Config, width: int) -> Experiment:
    return Experiment(
        model=CCIVAE.Config(
            encoder=MLPEncoder.Config(hidden=(width, width), initialisation="glorot"),
            decoder=MLPDecoder.Config(hidden=(width, width), initialisation="glorot"),
            gamma=30.0,
            capacity=CapacitySchedule(start=0.5, stop=12.0, end=9600),
        ),
        data=Data(dataset=dataset),
        sampling=StreamConfig(batch_size=64, sampling="independent"),
        training=Training(
            steps=12_000, optimizer=Optimizer(lr=1e-3, schedule=Schedule(shape="cosine", final=0.05)), log_every=100
        ),
    )
