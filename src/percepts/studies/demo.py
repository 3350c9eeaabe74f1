"""The demo: the factors of a small generated world, learned without labels and checked against the truth.

The world (`Pebbles`) is one square on black with a position, a size and a hue. CCI-VAE gives each its own latent: the
capacity rises slowly, so the network spends its first nats on what changes most pixels and adds one factor after the
other.
"""

from __future__ import annotations

from statistics import median

from percepts.data.sprites import Pebbles
from percepts.data.stream import StreamConfig
from percepts.factors.cci_vae import CCIVAE, CapacitySchedule
from percepts.nn.mlp import MLPDecoder, MLPEncoder
from percepts.studies.study import Arm, Claim, Scale, Study
from percepts.training.experiment import Data, Experiment, preset
from percepts.training.optimizers import Optimizer, Schedule
from percepts.training.settings import Training


@preset
def demo() -> Experiment:
    """Four factors of a generated 32x32 world, without labels: a minute or two on 2 cores.

    CCI-VAE, γ = 30, C 0.5 → 9 nats, 6 latents. Expected over 5 seeds (measured, see RESULTS.md): median FactorVAE score
    1.0 and MIG 0.45; four latents carry hue, scale, x and y, the others little or nothing; in one seed of the five x
    and hue share two latents.
    """
    return Experiment(
        model=CCIVAE.Config(
            latent_size=6,
            encoder=MLPEncoder.Config(hidden=(256, 256)),
            decoder=MLPDecoder.Config(hidden=(256, 256)),
            gamma=30.0,
            capacity=CapacitySchedule(start=0.5, stop=9.0, end=3200),
        ),
        data=Data(dataset=Pebbles.Config(), preload=True),
        sampling=StreamConfig(batch_size=64),
        training=Training(
            steps=4000,
            optimizer=Optimizer(lr=1e-3, schedule=Schedule(shape="cosine", final=0.05)),
            checkpoint_every=500,
        ),
    )


CPU = Scale(
    arms={"CCI-VAE": Arm(experiment=demo)},
    seeds=(0, 1, 2, 3, 4),
    claims=(
        Claim(
            statement="median FactorVAE score",
            measure=lambda results: median(results.scores("CCI-VAE", "factor_vae.dlib")),
            threshold=0.80,
            paper="not a paper's experiment",
        ),
        Claim(
            statement="median MIG",
            measure=lambda results: median(results.scores("CCI-VAE", "mig.dlib")),
            threshold=0.20,
            paper="not a paper's experiment",
        ),
    ),
)

Study(
    name="demo",
    title="Demo: four factors of a generated world",
    presets={"tiny": CPU.shrunk(seeds=(0, 1)), "cpu": CPU},
)
