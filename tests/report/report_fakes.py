"""A known world and known models for the report's tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from percepts.core.capabilities import Batch, Losses, Step
from percepts.core.config import Config as BaseConfig
from percepts.core.results import MetricResult
from percepts.core.runs import Run
from percepts.data.dataset import FactorDataset
from percepts.nn.distributions import DiagonalGaussian

SIDE = 16


class Dots(FactorDataset):
    """A bright square of two sizes at 8 × 8 positions."""

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        channels: int = 3
        note: str = "dots"

    def __init__(self, config: Config) -> None:
        self.config = config
        self.image_shape = (config.channels, SIDE, SIDE)
        self.factor_names = ("size", "x", "y")
        self.factor_sizes = (2, 8, 8)

    def render(self, factors: Tensor) -> Tensor:
        size, x, y = (column[:, None, None] for column in factors.unbind(1))
        rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
        inside = ((rows - 2 * y).abs() <= size) & ((columns - 2 * x).abs() <= size)
        return inside.float()[:, None].expand(-1, self.image_shape[0], -1, -1)


class CentreOfMass(nn.Module):
    """Latent 0 says nothing, 1 is the horizontal and 2 the vertical centre of mass, in [-1.5, 1.5]."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.channels = channels
        self.scale = nn.Parameter(torch.tensor(1.0))

    def encode(self, image: Tensor) -> DiagonalGaussian:
        grey = image.mean(dim=1)
        weight = grey.sum(dim=(1, 2)).clamp(min=1e-6)
        axis = torch.linspace(-1.5, 1.5, SIDE)
        x, y = (grey.sum(dim=1) @ axis) / weight, (grey.sum(dim=2) @ axis) / weight
        mean = torch.stack([torch.zeros_like(x), x, y], dim=1) * self.scale
        return DiagonalGaussian(mean, torch.tensor([0.0, -4.0, -3.0]).expand_as(mean))

    def decode(self, latents: Tensor) -> Tensor:
        axis = torch.linspace(-1.5, 1.5, SIDE)
        far = (axis[None, None, :] - latents[:, 1, None, None]) ** 2 + (
            axis[None, :, None] - latents[:, 2, None, None]
        ) ** 2
        return torch.exp(-8 * far)[:, None].expand(-1, self.channels, -1, -1)

    def reconstruct(self, image: Tensor) -> Tensor:
        return self.decode(self.encode(image).mean)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        return self.decode(torch.randn(count, 3, generator=generator))


class OnlyLosses(nn.Module):
    """Trainable and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def losses(self, batch: Batch, step: Step) -> Losses:
        return Losses({"model": (batch["image"] - self.weight).square().mean()})


@dataclass(frozen=True, kw_only=True)
class DotsExperiment(BaseConfig):
    """A stand-in for a whole experiment's configuration."""

    data: Dots.Config = field(default_factory=Dots.Config)
    note: str = ""
    seed: int = 3


def make_run(folder: Path, lines: int = 100, note: str = "", **info: Any) -> Run:
    """A run folder with a log of a capacity-controlled VAE of three latents."""
    run = Run.create(folder, DotsExperiment(note=note), **{"command": "percepts train dots --seed 3", **info})
    entries = []
    for number in range(1, lines + 1):
        kl = [0.001, 2.0 * number / lines, 1.0 * number / lines]
        entries.append(
            {
                "step": 50 * number, "seconds": 0.1 * number, "images_per_second": 1234.5, "lr": 1e-3,
                "loss": 100 / number + 10, "reconstruction": 90 / number, "kl": sum(kl), "kl_per_latent": kl,
                "elbo": -90 / number - sum(kl), "active_units": 2.0, "capacity": 3.0 * number / lines,
            }
        )  # fmt: skip
        if number % 25 == 0:
            entries.append({"step": 50 * number, "evaluation/mig.dlib": number / 200})
    run.metrics_file.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return run


def make_evaluation() -> dict[str, Any]:
    """What an evaluation of `CentreOfMass` could say."""
    information = np.array([[0.0, 0.01, 0.02], [0.05, 1.9, 0.1], [0.04, 0.2, 1.7]])
    metrics = [
        MetricResult(name="mig.dlib", value=0.78, interval=(0.74, 0.81), details={"mutual_information": information}),
        MetricResult(name="factor_vae.dlib", value=float("nan")),
        MetricResult(name="gaussian_total_correlation", value=0.25),
        MetricResult(name="dci.forest", value=0.9, details={"completeness": 0.8, "informativeness": 0.7}),
    ]
    return {
        "step": 5000, "seed": 3, "images": 128, "seconds": 1.5,
        "metrics": {metric.name: metric.to_json() for metric in metrics},
        "latents": {
            "kl": [0.001, 2.0, 1.0], "mean_variance": [1.0, 0.02, 0.05], "std_of_mean": [0.0, 0.9, 0.9],
            "active": [False, True, True],
        },
        "reconstruction": {"nll": 12.5, "excess": None, "mse": 0.01, "nmse": 0.05},
    }  # fmt: skip
