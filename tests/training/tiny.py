"""Small models and data for the tests of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from percepts.core.capabilities import Batch, Losses, Step
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.data.dataset import ImageDataset
from percepts.data.stream import StreamConfig
from percepts.factors.beta_vae import BetaVAE
from percepts.factors.cci_vae import CCIVAE, CapacitySchedule
from percepts.nn.conv import ConvDecoder, ConvEncoder
from percepts.nn.mlp import MLPDecoder, MLPEncoder
from percepts.training.experiment import Data, Experiment
from percepts.training.optimizers import Optimizer
from percepts.training.settings import Training

SHAPE = (1, 8, 8)


class Bars(ImageDataset):
    """Soft bars at 64 positions: enough to learn something in a few steps."""

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        length: int = 64

    image_shape = SHAPE

    def __init__(self, config: Config) -> None:
        self.config = config

    def __len__(self) -> int:
        return self.config.length

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        where = (indices.to(device).float() / len(self) * 8)[:, None]
        bar = torch.exp(-(torch.arange(8, device=device)[None] - where).square())
        return {"image": bar[:, None, None, :].expand(-1, 1, 8, 8).contiguous()}


class PoisonedBars(Bars):
    """Bars whose pixels are all NaN."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Bars.Config):
        pass

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        return {"image": torch.full((len(indices), *SHAPE), float("nan"), device=device)}


def networks() -> dict[str, Any]:
    return {
        "image_shape": SHAPE,
        "latent_size": 3,
        "encoder": MLPEncoder.Config(hidden=(16,)),
        "decoder": MLPDecoder.Config(hidden=(16,)),
    }


def beta_vae() -> BetaVAE.Config:
    return BetaVAE.Config(beta=2.0, **networks())


def cci_vae() -> CCIVAE.Config:
    return CCIVAE.Config(gamma=5.0, capacity=CapacitySchedule(stop=4.0, end=40), **networks())


def tiny_experiment(model: BaseConfig | None = None, dataset: BaseConfig | None = None, **training: Any) -> Experiment:
    settings: dict[str, Any] = {
        "steps": 30,
        "log_every": 1,
        "checkpoint_every": 10,
        "device": "cpu",
        "optimizer": Optimizer(lr=1e-2),
    }
    return Experiment(
        model=model or beta_vae(),
        data=Data(dataset=dataset or Bars.Config()),
        sampling=StreamConfig(batch_size=16),
        training=Training(**{**settings, **training}),
        seed=7,
    )


def conv_vae() -> BetaVAE.Config:
    """A model whose weights are held channels-last."""
    layers: dict[str, Any] = {"channels": (4, 4), "hidden": (8,)}
    return BetaVAE.Config(
        image_shape=SHAPE, latent_size=3, encoder=ConvEncoder.Config(**layers), decoder=ConvDecoder.Config(**layers)
    )


class Critic(nn.Module, Configurable):
    """An auto-encoder with a critic in a group of its own, which sees the code without moving it, and dropout."""

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        image_shape: tuple[int, int, int] | None = SHAPE

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Dropout(0.2))
        self.decoder = nn.Linear(4, 64)
        self.critic = nn.Linear(4, 1)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {
            "model": [*self.encoder.parameters(), *self.decoder.parameters()],
            "critic": list(self.critic.parameters()),
        }

    def losses(self, batch: Batch, step: Step) -> Losses:
        code = self.encoder(batch["image"])
        error = (self.decoder(code) - batch["image"].flatten(1)).square().sum(1).mean()
        noise = step.normal(code)
        judged = (self.critic(code.detach()) - self.critic(noise)).sigmoid().mean()
        return Losses({"model": error + self.critic(code).mean(), "critic": judged}, {"error": error.detach()})


class Compares(BetaVAE):
    """A VAE with a penalty that needs all images of a batch: off-diagonal covariances, over a global mean."""

    couples_batch = True

    @dataclass(frozen=True, kw_only=True)
    class Config(BetaVAE.Config):
        pass

    def losses(self, batch: Batch, step: Step) -> Losses:
        made = super().losses(batch, step)
        posterior = self.encode(batch["image"])
        latents = step.gather(posterior.sample(step.normal(posterior.mean)))
        # What is shared second depends on what was shared first.
        centre = latents.mean(0).detach()
        spread = step.mean((posterior.mean - centre).square().sum(1).mean())
        covariance = torch.cov(latents.T)
        penalty = (covariance - covariance.diag().diag()).square().sum() / (1 + spread)
        return Losses({"model": made.minimise["model"] + 10 * penalty}, {**made.terms, "penalty": penalty.detach()})


def compares() -> Compares.Config:
    return Compares.Config(beta=2.0, **networks())


class Game(nn.Module):
    """Two groups that want opposite things of one product: `a` minimises a·b, `b` maximises it."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(1.0))
        self.b = nn.Parameter(torch.tensor(1.0))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"first": [self.a], "second": [self.b]}

    def losses(self, batch: Batch, step: Step) -> Losses:
        product = self.a * self.b
        return Losses({"first": product, "second": -product}, {"product": product.detach()})
