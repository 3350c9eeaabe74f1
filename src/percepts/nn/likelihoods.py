"""p(image | decoder output), in nats summed over channels and pixels.

    likelihood = Gaussian.Config(std=0.3).build()
    likelihood.nll(output, image)            # [B], what a loss averages over the batch
    likelihood.mean(output)                  # the image to show, in [0, 1]
    likelihood.nll(output, image) - likelihood.data_entropy(image)    # "excess": zero for the best possible output

Everything is computed in float32 (or float64), also under autocast. The sum over pixels is part of the objective:
the weight of a KL beside a mean over pixels would be larger by the number of pixels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError
from percepts.nn.layers import full_precision

Output = Literal["linear", "sigmoid"]


class Likelihood(Configurable, ABC):
    """The base of the pixel likelihoods; pixels are independent given the decoder's output."""

    @abstractmethod
    def nll(
        self, output: Float[Tensor, "batch channels height width"], image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, " batch"]:
        """−ln p(image | output) of every image, in nats."""

    @abstractmethod
    def mean(
        self, output: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """The mean image in [0, 1] for a decoder's `output`."""

    @abstractmethod
    def data_entropy(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, " batch"]:
        """The least `nll` that any output could reach for every image, in nats."""


class Bernoulli(Likelihood):
    """Outputs are logits, images are probabilities (soft targets): nll is the binary cross entropy."""

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Pixels are probabilities; the decoder gives their logits."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def nll(self, output: Tensor, image: Tensor) -> Tensor:
        # softplus(l) − x·l is the cross entropy of logits in one stable pass.
        output, image = full_precision(output), full_precision(image)
        return _sum(F.softplus(output) - image * output)

    def mean(self, output: Tensor) -> Tensor:
        return full_precision(output).sigmoid()

    def data_entropy(self, image: Tensor) -> Tensor:
        image = full_precision(image)
        return -_sum(image.xlogy(image) + (1 - image).xlogy(1 - image))


class _LocationScale(Likelihood):
    """What the likelihoods with a location and a fixed scale share."""

    scale: float
    config: Gaussian.Config | Laplace.Config

    def mean(self, output: Tensor) -> Tensor:
        return self.location(output).clamp(0, 1)

    def location(self, output: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Where the density of every pixel has its peak."""
        output = full_precision(output)
        return output.sigmoid() if self.config.output == "sigmoid" else output

    def data_entropy(self, image: Tensor) -> Tensor:
        image = full_precision(image)
        return image.new_full((image.shape[0],), self._constant(image))

    def _constant(self, image: Tensor) -> float:
        return image[0].numel() * self._log_normaliser() if self.config.constant else 0.0

    @abstractmethod
    def _log_normaliser(self) -> float: ...


class Gaussian(_LocationScale):
    """nll = Σ (x − location)² / (2 std²), and N·ln(std·√(2π)) more where the constant is wanted."""

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Normal pixels with a fixed standard deviation.

        Attributes:
            std: the fixed standard deviation of a pixel. It sets the weight of the KL as much as β does.
            constant: whether nll includes the normaliser, which makes it a true density's (and training the same).
            output: whether the decoder's output is the location itself or its logit.
        """

        std: float = 0.3
        constant: bool = False
        output: Output = "linear"

    def __init__(self, config: Config) -> None:
        self.config = config
        self.scale = _positive("std", config.std)

    def nll(self, output: Tensor, image: Tensor) -> Tensor:
        difference = self.location(output) - full_precision(image)
        return _sum(difference.square()) / (2 * self.scale**2) + self._constant(image)

    def _log_normaliser(self) -> float:
        return math.log(self.scale * math.sqrt(2 * math.pi))


class Laplace(_LocationScale):
    """nll = Σ |x − location| / scale, and N·ln(2·scale) more where the constant is wanted."""

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Laplace pixels with a fixed scale.

        Attributes:
            scale: the fixed mean absolute deviation of a pixel.
            constant: whether nll includes the normaliser.
            output: whether the decoder's output is the location itself or its logit.
        """

        scale: float = 0.2
        constant: bool = False
        output: Output = "linear"

    def __init__(self, config: Config) -> None:
        self.config = config
        self.scale = _positive("scale", config.scale)

    def nll(self, output: Tensor, image: Tensor) -> Tensor:
        difference = self.location(output) - full_precision(image)
        return _sum(difference.abs()) / self.scale + self._constant(image)

    def _log_normaliser(self) -> float:
        return math.log(2 * self.scale)


def _sum(value: Tensor) -> Tensor:
    return value.sum(dim=(1, 2, 3))


def _positive(name: str, value: float) -> float:
    if not (value > 0 and math.isfinite(value)):
        raise ConfigError(f"{name} = {value}", "a positive number")
    return value
