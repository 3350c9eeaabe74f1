"""IODINE's refinement network: what it is shown, and how it improves the posterior of every slot.

One network with the same weights looks at every slot by itself (Greff et al. 2019; sizes, normalisation and the lists
of inputs as in the published code):

    spatial inputs → strided convolutions → mean over the image → MLP → h;  [h, flat inputs] → LSTM → head → λ

Gradient-like inputs differ in size by orders of magnitude between images and over training, so each is normalised
over all its pixels and channels, with a trained gain and offset a channel, and no gradient flows into them. The
convolutions pad alike on both sides; the published code pads even sizes after the image only.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError
from percepts.nn.coordinates import Coordinates, coordinate_channels
from percepts.nn.layers import ActivationName, Initialisation, activation, full_precision, initialise
from percepts.objects.memory import recomputed

SpatialInput = Literal[
    "capacity",
    "components",
    "coordinates",
    "counterfactual",
    "dcomponents",
    "dmask",
    "image",
    "log_prob",
    "mask",
    "posterior",
    "pred_mask",
]
FlatInput = Literal["dzp", "flat_capacity", "zp"]
SPATIAL: tuple[SpatialInput, ...] = get_args(SpatialInput)
FLAT: tuple[FlatInput, ...] = get_args(FlatInput)
GRADIENT_LIKE: tuple[SpatialInput | FlatInput, ...] = ("counterfactual", "dcomponents", "dmask", "log_prob", "dzp")
CAPACITY = 0.5
"""The value of the two constant inputs."""

Memory = tuple[Tensor, Tensor] | None
"""Output and cell of the LSTM, [B·K, hidden] each; None where there is no LSTM."""


class RefinementNetwork(nn.Module, Configurable):
    """Spatial and flat inputs of every slot → better posterior parameters.

    Args:
        image_shape: (C, H, W); the size may be another at every call.
        latent_size: D of a slot.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Sizes of the refinement network, and what it is shown.

        Attributes:
            inputs: of all slots, any of `SPATIAL` and `FLAT`; without "dzp" no gradient goes through the decoder.
            normalise: inputs that are normalised.
            stop_gradients: inputs that training does not differentiate ("dcomponents", "dmask" and "dzp" never are:
                they would need second derivatives).
            channels: of the strided convolutions.
            kernel: of the convolutions, odd.
            hidden: widths of the MLP; its last layer is linear.
            lstm: units of the LSTM; None = the head reads [h, flat inputs].
            head: "residual" adds to λ; "predictor_corrector" (for video) corrects λ, then predicts its change.
            corrector_bias, predictor_bias: added to the gates of "predictor_corrector".
            coordinates, frequencies: of the input "coordinates".
            posterior: "ratio" p_k / (Σ_j p_j + 1e-6), which is 0 where no slot explains a pixel; "softmax" is the same
                without the 1e-6.
            activation: after convolutions and between the layers of the MLP.
            initialisation: of all weights, see `percepts.nn.layers.initialise`.
        """

        inputs: tuple[SpatialInput | FlatInput, ...] = (*SPATIAL, *FLAT)
        normalise: tuple[SpatialInput | FlatInput, ...] = GRADIENT_LIKE
        stop_gradients: tuple[SpatialInput | FlatInput, ...] = GRADIENT_LIKE
        channels: tuple[int, ...] = (64, 64, 64, 64)
        kernel: Literal[3, 5, 7] = 3
        hidden: tuple[int, ...] = (256,)
        lstm: int | None = 256
        head: Literal["residual", "predictor_corrector"] = "residual"
        corrector_bias: float = 0.0
        predictor_bias: float = 0.0
        coordinates: Coordinates = "linear"
        frequencies: int = 3
        posterior: Literal["ratio", "softmax"] = "ratio"
        activation: ActivationName = "elu"
        initialisation: Initialisation = "torch"

        def __post_init__(self) -> None:
            for name in ("inputs", "normalise", "stop_gradients"):
                listed = getattr(self, name)
                unknown = sorted(set(listed) - {*SPATIAL, *FLAT})
                if unknown or len(set(listed)) < len(listed):
                    raise ConfigError(f"{name} = {listed}", "every name once, of " + ", ".join((*SPATIAL, *FLAT)))
            if not set(self.inputs) & set(SPATIAL):
                raise ConfigError(f"inputs = {self.inputs}", "at least one of " + ", ".join(SPATIAL))
            if not self.channels or not self.hidden:
                raise ConfigError("a refinement network without channels or hidden", "at least one entry in each")

    def __init__(self, config: Config, image_shape: tuple[int, int, int], latent_size: int) -> None:
        super().__init__()
        self.config = config
        self.spatial = tuple(name for name in SPATIAL if name in config.inputs)
        self.flat = tuple(name for name in FLAT if name in config.inputs)
        places = coordinate_channels(config.coordinates, image_shape[1:], config.frequencies)
        self.register_buffer("places", places, persistent=False)
        sizes = input_sizes(image_shape[0], latent_size, len(places))
        self.norms = nn.ModuleDict(
            {name: InputNorm(sizes[name]) for name in (*self.spatial, *self.flat) if name in config.normalise}
        )
        layers: list[nn.Module] = []
        for depth, channels in itertools.pairwise((sum(sizes[name] for name in self.spatial), *config.channels)):
            layers += [nn.Conv2d(depth, channels, config.kernel, 2, config.kernel // 2), activation(config.activation)]
        self.convolutions = nn.Sequential(*layers)
        self.mlp = nn.Sequential(*_mlp((config.channels[-1], *config.hidden), config.activation))
        width = config.hidden[-1] + sum(sizes[name] for name in self.flat)
        self.lstm = None if config.lstm is None else LSTMCell(width, config.lstm)
        head = ResidualHead if config.head == "residual" else PredictorCorrector
        self.head = head(config, config.lstm or width, 2 * latent_size)
        initialise(self, config.initialisation)

    places: Tensor

    @property
    def differentiates(self) -> bool:
        """Whether any input is a gradient."""
        return bool({"dcomponents", "dmask", "dzp"} & set(self.config.inputs))

    def start(self, rows: int) -> Memory:
        """The memory before the first step, for B·K rows."""
        if self.lstm is None:
            return None
        zeros = self.lstm.gates.weight.new_zeros(rows, self.lstm.units)
        return zeros, zeros

    def forward(
        self,
        parameters: Float[Tensor, "batch slots parameters"],
        raw: Mapping[str, Tensor],
        memory: Memory,
        recompute: bool = False,
    ) -> tuple[Float[Tensor, "batch slots parameters"], Memory]:
        """Improved parameters and the memory for the next step.

        Args:
            raw: what `config.inputs` asks for but the constant ones, [B, K or 1, …]; always "image".
            recompute: forget the convolutions' activations and compute them again going backward.
        """
        slots = parameters.shape[1]

        def looked() -> Tensor:
            shown = self.prepare(raw, slots, self.spatial)
            stacked = torch.cat([shown[name] for name in self.spatial], dim=2).flatten(0, 1)
            return self.convolutions(stacked).mean(dim=(2, 3))

        features = self.mlp(recomputed(looked) if recompute else looked())
        shown = self.prepare(raw, slots, self.flat)
        features = torch.cat([features, *(value.flatten(0, 1) for value in shown.values())], dim=1)
        if self.lstm is not None and memory is not None:
            memory = self.lstm(features, memory)
            features = memory[0]
        better = self.head(features, parameters.flatten(0, 1))
        return full_precision(better).view_as(parameters), memory

    def prepare(
        self, raw: Mapping[str, Tensor], slots: int, names: Sequence[SpatialInput | FlatInput]
    ) -> dict[str, Tensor]:
        """The inputs `names` as the network sees them: gradients stopped, normalised, spread over the slots.

        Args:
            raw: as for `forward`.
        """
        image = raw["image"]
        prepared: dict[str, Tensor] = {}
        for name in names:
            value = self._constant(name, image) if name not in raw else raw[name]
            if name in self.config.stop_gradients:
                value = value.detach()
            if name in self.norms:
                value = self.norms[name](value)
            prepared[name] = value.expand(len(image), slots, *value.shape[2:])
        return prepared

    def _constant(self, name: str, image: Tensor) -> Tensor:
        if name == "coordinates":
            size = (image.shape[-2], image.shape[-1])
            if self.places.shape[1:] == size:
                return self.places[None, None]
            places = coordinate_channels(self.config.coordinates, size, self.config.frequencies)
            return places.to(image.device)[None, None]
        shape = (1, 1, 1, *image.shape[-2:]) if name == "capacity" else (1, 1, 1)
        return image.new_full((), CAPACITY).expand(shape)


class InputNorm(nn.Module):
    """Mean 0 and variance 1 over all pixels and channels of a slot's input, then a gain and an offset a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.offset = nn.Parameter(torch.zeros(channels))

    def forward(self, value: Float[Tensor, "batch slots *rest"]) -> Float[Tensor, "batch slots *rest"]:
        rows = value.flatten(0, 1)
        return F.group_norm(rows, 1, self.gain, self.offset).view_as(value)


class LSTMCell(nn.Module):
    """A long short-term memory cell with one bias a gate and 1 added to the forget gate's, as in the published code."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.gates = nn.Linear(inputs + units, 4 * units)

    def forward(
        self,
        value: Float[Tensor, "rows inputs"],
        memory: tuple[Float[Tensor, "rows units"], Float[Tensor, "rows units"]],
    ) -> tuple[Float[Tensor, "rows units"], Float[Tensor, "rows units"]]:
        output, cell = memory
        opened = full_precision(self.gates(torch.cat([value, output.to(value.dtype)], dim=1)))
        write, candidate, forget, read = opened.chunk(4, dim=1)
        cell = torch.sigmoid(forget + 1) * cell + torch.sigmoid(write) * torch.tanh(candidate)
        return torch.sigmoid(read) * torch.tanh(cell), cell


class ResidualHead(nn.Module):
    """λ ← λ + W·h."""

    def __init__(self, config: RefinementNetwork.Config, features: int, parameters: int) -> None:
        super().__init__()
        self.change = nn.Linear(features, parameters)

    def forward(
        self, features: Float[Tensor, "rows features"], parameters: Float[Tensor, "rows parameters"]
    ) -> Float[Tensor, "rows parameters"]:
        return parameters + self.change(features)


class PredictorCorrector(nn.Module):
    """λ is corrected towards what the present frame says, then moved to what the next frame should show."""

    def __init__(self, config: RefinementNetwork.Config, features: int, parameters: int) -> None:
        super().__init__()
        self.biases = (config.corrector_bias, config.predictor_bias)
        self.correct = nn.Linear(features, 2 * parameters)
        self.predict = nn.Sequential(*_mlp((parameters, 64, 2 * parameters), "elu"))

    def forward(
        self, features: Float[Tensor, "rows features"], parameters: Float[Tensor, "rows parameters"]
    ) -> Float[Tensor, "rows parameters"]:
        gate, corrected = full_precision(self.correct(features)).chunk(2, dim=1)
        parameters = parameters + torch.sigmoid(gate + self.biases[0]) * (corrected - parameters)
        predicted, gate = full_precision(self.predict(parameters)).chunk(2, dim=1)
        return parameters + torch.sigmoid(gate + self.biases[1]) * (predicted - parameters)


def input_sizes(channels: int, latent_size: int, places: int) -> dict[str, int]:
    """How many channels (or numbers) every input has, for images of `channels` and `places` coordinate channels."""
    many = {"components": channels, "coordinates": places, "dcomponents": channels, "image": channels}
    flat = {"dzp": 2 * latent_size, "flat_capacity": 1, "zp": 2 * latent_size}
    return {**dict.fromkeys(SPATIAL, 1), **many, **flat}


def _mlp(widths: tuple[int, ...], name: ActivationName) -> list[nn.Module]:
    """Linear layers with an activation between them."""
    layers: list[nn.Module] = []
    for size, following in itertools.pairwise(widths):
        layers += [nn.Linear(size, following), activation(name)]
    return layers[:-1]
