"""Fully connected encoder and decoder, for images of any shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.nn.layers import ActivationName, Initialisation, initialise, linear_chain


class MLPEncoder(nn.Module, Configurable):
    """Flattened image → hidden layers → the 2·D parameters of a diagonal Gaussian (means, then log-variances).

    Args:
        image_shape: (C, H, W).
        latent_size: D.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Fully connected layers.

        Attributes:
            hidden: widths of the hidden layers.
            activation: after every hidden layer.
            initialisation: of all weights, see `percepts.nn.layers.initialise`.
        """

        hidden: tuple[int, ...] = (256, 256)
        activation: ActivationName = "relu"
        initialisation: Initialisation = "torch"

    def __init__(self, config: Config, image_shape: tuple[int, int, int], latent_size: int) -> None:
        super().__init__()
        self.config = config
        sizes = (math.prod(image_shape), *config.hidden)
        self.layers = nn.Sequential(*linear_chain(sizes, config.activation), nn.Linear(sizes[-1], 2 * latent_size))
        initialise(self, config.initialisation)

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch parameters"]:
        return self.layers(image.flatten(1))


class MLPDecoder(nn.Module, Configurable):
    """Latents → hidden layers → one output for every pixel and channel (logits or means, as the likelihood reads it).

    Args:
        image_shape: (C, H, W).
        latent_size: D.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Fully connected layers; see `MLPEncoder.Config`."""

        hidden: tuple[int, ...] = (256, 256)
        activation: ActivationName = "relu"
        initialisation: Initialisation = "torch"

    def __init__(self, config: Config, image_shape: tuple[int, int, int], latent_size: int) -> None:
        super().__init__()
        self.config = config
        self.image_shape = image_shape
        sizes = (latent_size, *config.hidden)
        output = nn.Linear(sizes[-1], math.prod(image_shape))
        self.layers = nn.Sequential(*linear_chain(sizes, config.activation), output)
        initialise(self, config.initialisation)

    def forward(self, latents: Float[Tensor, "batch latents"]) -> Float[Tensor, "batch channels height width"]:
        return self.layers(latents).unflatten(1, self.image_shape)
