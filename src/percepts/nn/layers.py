"""Small pieces that every network here is made of: activations, chains of linear layers, initialisation."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from percepts.core.errors import ConfigError

ActivationName = Literal["relu", "tanh", "elu", "leaky_relu"]
Initialisation = Literal["torch", "glorot"]

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    # In place: what a linear, convolutional or normalising layer gave is needed by nobody else, its gradient included.
    "relu": functools.partial(nn.ReLU, inplace=True),
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
}


def activation(name: ActivationName) -> nn.Module:
    """The activation called `name`, for what a layer before it made: it may overwrite that.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in _ACTIVATIONS:
        raise ConfigError(f"activation '{name}'", "one of " + ", ".join(_ACTIVATIONS))
    return _ACTIVATIONS[name]()


def linear_chain(sizes: tuple[int, ...], name: ActivationName) -> list[nn.Module]:
    """Linear layers from sizes[0] to sizes[-1], with an activation after each of them."""
    layers: list[nn.Module] = []
    for size, following in itertools.pairwise(sizes):
        layers += [nn.Linear(size, following), activation(name)]
    return layers


def initialise(module: nn.Module, scheme: Initialisation) -> None:
    """Set the weights of the linear and convolutional layers in `module`.

    Args:
        scheme: "torch" keeps what PyTorch drew when the layers were made (uniform within 1/√fan_in); "glorot" draws
            Glorot-uniform weights and zeroes the biases, the default of the framework the papers used (that the
            papers relied on it is a guess: they do not say). Both draw from torch's global stream, which whoever
            builds a model seeds.
    """
    if scheme == "torch":
        return
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def full_precision(value: Tensor) -> Tensor:
    """`value` in at least float32: half-precision numbers of autocast are widened, float64 is kept."""
    return value if value.dtype.itemsize >= 4 else value.float()
