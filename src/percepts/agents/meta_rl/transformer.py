"""A gated Transformer-XL as a core: what the paper's V-MPO agents remember with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from percepts.agents.meta_rl.cores import Core, State
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError
from percepts.nn.gated_transformer import GatedTransformer, Remembered


class TransformerMemory(Core, Configurable):
    """A linear embedding and gated blocks, which see the last steps of the episode.

    Args:
        sizes: of the inputs' parts.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings (proposed: the paper's sizes are not known).

        Attributes:
            width: of the embedding.
            heads: of the attention.
            layers: blocks.
            memory: steps that are seen; 200 are an episode.
        """

        width: int = 128
        heads: int = 4
        layers: int = 3
        memory: int = 200

        def __post_init__(self) -> None:
            for name in ("width", "heads", "layers", "memory"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} = {getattr(self, name)}", "1 or more")
            if self.width % self.heads or self.width % 2:
                raise ConfigError(f"width = {self.width} of {self.heads} heads", "an even multiple of the heads")

    def __init__(self, config: Config, sizes: dict[str, int]) -> None:
        super().__init__()
        self.config, self.features = config, config.width
        self.embed = nn.Linear(sum(sizes.values()), config.width)
        self.stack = GatedTransformer(config.width, config.heads, config.layers, config.memory)

    def initial(self, batch: int, device: torch.device | str = "cpu") -> State:
        """Nothing is remembered."""
        remembered = self.stack.initial(batch, device)
        return {"inputs": remembered.inputs, "valid": remembered.valid}

    def forward(self, inputs: Tensor, state: State, first: Tensor) -> tuple[Tensor, State]:
        """See `Core.forward`."""
        found, remembered = self.stack(self.embed(inputs), Remembered(state["inputs"], state["valid"]), first)
        return found, {"inputs": remembered.inputs, "valid": remembered.valid}
