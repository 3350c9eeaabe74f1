"""What turns a stream of inputs into features: with no memory, with an LSTM, or with a gated Transformer-XL.

    core = LSTM.Config(width=128).build(sizes={"observation": 21})
    state = core.initial(batch=32)
    features, state = core(inputs, state, first)        # [T, B, D], first [T, B] where an episode begins

All cores have this interface, and give the same features whether steps come one by one or many at once. A state is a
dictionary of tensors, dimension 0 = arenas; it is that of an episode, and begins anew where `first` says so.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.nn.layers import ActivationName, linear_chain

State = dict[str, Tensor]
"""What a core remembers: by name, dimension 0 = arenas."""


class Core(nn.Module, ABC):
    """What all cores have.

    Attributes:
        features: how many numbers come out.
    """

    features: int

    def initial(self, batch: int, device: torch.device | str = "cpu") -> State:
        """The state at the start of episodes."""
        return {}

    @abstractmethod
    def forward(
        self, inputs: Float[Tensor, "steps batch numbers"], state: State, first: Bool[Tensor, "steps batch"]
    ) -> tuple[Float[Tensor, "steps batch features"], State]:
        """Features of every step, and the state after the last.

        Args:
            inputs: of consecutive steps.
            state: before the first of them.
            first: where an episode begins, and what was remembered is forgotten.
        """


class FeedForward(Core, Configurable):
    """Hidden layers, and no memory.

    Args:
        sizes: of the inputs' parts.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            hidden: widths (proposed).
            activation: after every layer.
        """

        hidden: tuple[int, ...] = (128, 128)
        activation: ActivationName = "relu"

    def __init__(self, config: Config, sizes: dict[str, int]) -> None:
        super().__init__()
        self.config, self.features = config, config.hidden[-1]
        self.layers = nn.Sequential(*linear_chain((sum(sizes.values()), *config.hidden), config.activation))

    def forward(self, inputs: Tensor, state: State, first: Tensor) -> tuple[Tensor, State]:
        """See `Core.forward`."""
        return self.layers(inputs), state


class LSTM(Core, Configurable):
    """A linear embedding and an LSTM, as of IMPALA.

    Args:
        sizes: of the inputs' parts.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            embedding: width of the layer before it (proposed).
            width: of the LSTM (proposed).
        """

        embedding: int = 128
        width: int = 256

    def __init__(self, config: Config, sizes: dict[str, int]) -> None:
        super().__init__()
        self.config, self.features = config, config.width
        self.embed = nn.Sequential(nn.Linear(sum(sizes.values()), config.embedding), nn.ReLU())
        self.recurrence = nn.LSTM(config.embedding, config.width)

    def initial(self, batch: int, device: torch.device | str = "cpu") -> State:
        """Zeros."""
        zero = torch.zeros(batch, self.config.width, device=device)
        return {"hidden": zero, "cell": zero.clone()}

    def forward(self, inputs: Tensor, state: State, first: Tensor) -> tuple[Tensor, State]:
        """See `Core.forward`."""
        return run_lstm(self.recurrence, self.embed(inputs), state, first)


def run_lstm(
    lstm: nn.LSTM, inputs: Float[Tensor, "steps batch numbers"], state: State, first: Bool[Tensor, "steps batch"]
) -> tuple[Float[Tensor, "steps batch features"], State]:
    """An LSTM of one layer over steps, with its "hidden" and "cell" set to zero wherever an episode begins."""
    hidden, cell = state["hidden"], state["cell"]
    begins = first.any(1)
    cuts = sorted({0, len(inputs), *begins.nonzero()[:, 0].tolist()})
    outputs = []
    for start, end in itertools.pairwise(cuts):
        keep = ~first[start][:, None]
        hidden, cell = hidden * keep, cell * keep
        output, (last, memory) = lstm(inputs[start:end], (hidden[None], cell[None]))
        hidden, cell = last[0], memory[0]
        outputs.append(output)
    return torch.cat(outputs), {"hidden": hidden, "cell": cell}
