"""Every model of the family keeps the model contract."""

from __future__ import annotations

import torch
from model_contract import ModelContract

from percepts.core.capabilities import Batch
from percepts.core.config import Config
from percepts.factors.beta_vae import BetaVAE
from percepts.factors.capacity import FactorChannel, FactorChannels
from percepts.factors.cci_vae import CCIVAE, CapacitySchedule
from percepts.factors.vae import VAE
from percepts.nn.broadcast import SpatialBroadcastDecoder
from percepts.nn.conv import ConvDecoder, ConvEncoder
from percepts.nn.likelihoods import Gaussian, Laplace
from percepts.nn.mlp import MLPDecoder, MLPEncoder

SMALL = {"encoder": MLPEncoder.Config(hidden=(12,), activation="tanh"), "latent_size": 4}


class TestVAE(ModelContract):
    def config(self) -> Config:
        return VAE.Config(
            image_shape=(3, 13, 10),
            latent_size=4,
            encoder=ConvEncoder.Config(channels=(6, 8), hidden=(12,), activation="elu"),
            decoder=ConvDecoder.Config(channels=(6, 8), hidden=(12,), activation="elu"),
            likelihood=Gaussian.Config(std=0.3),
            log_variance_range=None,
        )


class TestBetaVAE(ModelContract):
    def config(self) -> Config:
        decoder = SpatialBroadcastDecoder.Config(channels=(8,), activation="elu", pre_mlp=(5,))
        return BetaVAE.Config(image_shape=(1, 8, 8), decoder=decoder, beta_normalised=0.2, warm_up=10, **SMALL)


class TestCCIVAE(ModelContract):
    def config(self) -> Config:
        # With a square the gradient depends on the KL of the whole batch: parts agree only through `step.mean`.
        return CCIVAE.Config(
            image_shape=(1, 8, 8),
            decoder=MLPDecoder.Config(hidden=(12,), activation="tanh"),
            likelihood=Laplace.Config(scale=0.3),
            gamma=30.0,
            capacity=CapacitySchedule(start=0.5, stop=0.0, end=10, shape="cosine"),
            penalty="square",
            **SMALL,
        )


class TestFactorChannels(ModelContract):
    def config(self) -> Config:
        return FactorChannels.Config(
            image_shape=(1, 8, 8),
            channels=(
                FactorChannel(name="scale", column=1, values=(0.5, 0.7, 1.0)),
                FactorChannel(name="angle", column=0, values=(0.0, 1.6, 3.1, 4.7), circular=True),
            ),
            decoder=MLPDecoder.Config(hidden=(12,), activation="tanh"),
            capacity=CapacitySchedule(start=2.0, stop=3.0, end=10),
        )

    def batch(self, generator: torch.Generator) -> Batch:
        factors = torch.stack([torch.randint(size, (self.batch_size,), generator=generator) for size in (4, 3)], dim=1)
        return {"image": torch.rand(self.batch_size, 1, 8, 8, generator=generator), "factors": factors}
