"""What a network may have to predict beside acting, on its core's features: auxiliary tasks of Wang, King, Porcel et
al. (2021).

"features" are counts of what is on the table: stones of each of 27 perceived places, potions of each of 6 colours.
(Another implementation counts stones by place; the paper says "per perceptual feature category".) "chemistry" is the
ground truth, 28 numbers. Targets are no input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from percepts.agents.meta_rl.senses import PLACES, place_of
from percepts.core.config import Config
from percepts.core.errors import ConfigError
from percepts.envs.alchemy.chemistry import POTIONS, Chemistry
from percepts.envs.alchemy.chemistry_view import SIZE, true_chemistry
from percepts.envs.alchemy.reading import TableView


@dataclass(frozen=True, kw_only=True)
class Predictions(Config):
    """Weights of what is predicted; 0 for what is not.

    Attributes:
        features: counts, by mean squared error.
        chemistry: its 28 numbers, by binary cross-entropy.
    """

    features: float = 0.0
    chemistry: float = 0.0

    def __post_init__(self) -> None:
        for name in ("features", "chemistry"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} = {getattr(self, name)}", "a finite weight that is not negative")

    @property
    def sizes(self) -> dict[str, int]:
        """How many numbers are predicted of what."""
        sizes = {"features": PLACES + POTIONS, "chemistry": SIZE}
        return {name: size for name, size in sizes.items() if getattr(self, name) > 0}

    def targets(self, view: TableView, truth: Chemistry) -> dict[str, Float[Tensor, "batch numbers"]]:
        """What is right."""
        found = {}
        if self.features > 0:
            found["features"] = feature_counts(view)
        if self.chemistry > 0:
            found["chemistry"] = true_chemistry(truth)
        return found

    def loss(self, predicted: dict[str, Tensor], targets: dict[str, Tensor]) -> Tensor:
        """The weighted sum; 0 where nothing is predicted."""
        total = torch.zeros(())
        if "features" in predicted:
            total = total + self.features * mse_loss(predicted["features"], targets["features"])
        if "chemistry" in predicted:
            found = binary_cross_entropy_with_logits(predicted["chemistry"], targets["chemistry"])
            total = total + self.chemistry * found
        return total


def feature_counts(view: TableView) -> Float[Tensor, "batch 33"]:
    """How many stones there are of every place, and how many potions of every colour."""
    counts = torch.zeros(len(view.here), PLACES + POTIONS, device=view.coordinates.device)
    counts.scatter_add_(1, place_of(view.coordinates), view.here.float())
    return counts.scatter_add_(1, PLACES + view.colour, view.potion_here.float())
