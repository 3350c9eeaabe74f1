"""Presets for one's own pictures: `percepts train pictures --data.folder my_images/`."""

from __future__ import annotations

from percepts.data.sprites import Sprites
from percepts.data.stream import StreamConfig
from percepts.factors.beta_vae import BetaVAE
from percepts.nn.conv import ConvDecoder, ConvEncoder
from percepts.training.experiment import Data, Experiment, preset
from percepts.training.optimizers import Optimizer, Schedule
from percepts.training.settings import Training


@preset
def pictures() -> Experiment:
    """A folder of your own pictures: give it with --data.folder (without, it learns grey 32x32 sprites).

    A convolutional β-VAE with 16 latents for pictures of about 32 pixels a side (--data.size changes that). β = 1 keeps
    detail; raise --model.beta (4, 8, …) for fewer, cleaner latents. Minutes on 2 cores: --max-minutes 3 stops in time.
    Expected on 5000 MNIST digits after 3 minutes: recognisable reconstructions, a linear probe of the digit above 0.85.
    """
    return Experiment(
        model=BetaVAE.Config(
            latent_size=16,
            encoder=ConvEncoder.Config(channels=(32, 32, 64), hidden=(128,)),
            decoder=ConvDecoder.Config(channels=(32, 32, 64), hidden=(128,)),
            beta=1.0,
        ),
        data=Data(dataset=Sprites.Config(size=32)),
        sampling=StreamConfig(batch_size=64),
        training=Training(
            steps=20_000,
            optimizer=Optimizer(lr=1e-3, schedule=Schedule(shape="cosine", final=0.05)),
            checkpoint_every=500,
        ),
    )
