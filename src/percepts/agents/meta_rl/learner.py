"""What learners share: a network, an optimiser with its schedule, weights of the losses that come and go."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.agents.meta_rl.network import ActorCritic, Found
from percepts.agents.meta_rl.predictions import Predictions
from percepts.agents.meta_rl.rollouts import Rollout
from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError, NonFiniteError
from percepts.training.optimizers import Optimizer, Schedule


@dataclass(frozen=True, kw_only=True)
class Fading(BaseConfig):
    """A weight that falls, or rises, geometrically over a training.

    Attributes:
        start, end: the weights at both ends, positive, or both 0.
    """

    start: float = 0.01
    end: float = 0.01

    def __post_init__(self) -> None:
        positive = 0 < self.start < math.inf and 0 < self.end < math.inf
        if not (positive or self.start == self.end == 0):
            raise ConfigError(f"weights from {self.start} to {self.end}", "two positive numbers, or twice 0")

    def at(self, progress: float) -> float:
        """The weight when a share of the training is over."""
        return self.start * (self.end / self.start) ** progress if self.start else 0.0


@dataclass(frozen=True, kw_only=True)
class LearnerSettings(BaseConfig):
    """What all learners have.

    Attributes:
        discount: γ; passes the ends of trials (proposed; 0.7 made the episodic planning network learn).
        optimizer: of the network.
        entropy: weight of the bonus.
        value: weight of the value loss.
    """

    discount: float = 0.9
    optimizer: Optimizer = field(default_factory=lambda: Optimizer(lr=3e-4, clip_norm=1.0))
    entropy: Fading = field(default_factory=Fading)
    value: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.discount < 1:
            raise ConfigError(f"discount = {self.discount}", "a number in [0, 1)")
        if self.value <= 0:
            raise ConfigError(f"value = {self.value}", "a positive weight")


class Learner(ABC):
    """Changes a network so that it earns more.

    Args:
        config: of the learner.
        network: that is changed.
        predictions: weights of what is predicted beside.
        rollouts: how many there will be, for schedules.
    """

    config: LearnerSettings

    def __init__(self, config: Any, network: ActorCritic, predictions: Predictions, rollouts: int) -> None:
        self.config, self.network, self.predictions, self.rollouts = config, network, predictions, rollouts
        self.optimizer = config.optimizer.over(list(self.parameters()))
        self.done = 0

    def parameters(self) -> list[torch.nn.Parameter]:
        """What is optimised."""
        return list(self.network.parameters())

    @property
    def acting(self) -> ActorCritic:
        """The network that acts."""
        return self.network

    @property
    def progress(self) -> float:
        """The share of the training that is over."""
        return min(1.0, self.done / max(1, self.rollouts))

    def learn(self, rollout: Rollout, generator: torch.Generator) -> dict[str, float]:
        """Change the network by a rollout; what there is to log of it."""
        factor = self.config.optimizer.schedule.factor(self.done, self.rollouts)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.optimizer.lr * factor
        found = self.update(rollout, generator)
        self.done += 1
        return found

    @abstractmethod
    def update(self, rollout: Rollout, generator: torch.Generator) -> dict[str, float]:
        """What `learn` does, at a learning rate that is set."""

    def descend(self, loss: Float[Tensor, ""]) -> None:
        """One step of the optimiser.

        Raises:
            NonFiniteError: the loss is no finite number.
        """
        if not math.isfinite(float(loss.detach())):
            raise NonFiniteError(f"a loss of {loss.item()} in rollout {self.done}", fix="a smaller learning rate")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.optimizer.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.config.optimizer.clip_norm)
        self.optimizer.step()

    def common(self, found: Found, value_loss: Tensor, rollout: Rollout) -> Float[Tensor, ""]:
        """The weighted losses of value, entropy and predictions."""
        entropy = self.config.entropy.at(self.progress) * found.entropy.mean()
        predicted = self.predictions.loss(found.predictions, rollout.targets)
        return self.config.value * value_loss - entropy + predicted

    def state_dict(self) -> dict[str, Any]:
        """Beside the network: what it goes on from."""
        return {"optimizer": self.optimizer.state_dict(), "done": self.done}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        saved = state["optimizer"]
        # JSON makes strings of the numbers of parameters.
        numbered = {int(number): part for number, part in saved["state"].items()}
        self.optimizer.load_state_dict({**saved, "state": numbered})
        self.done = int(state["done"])


def falling(lr: float, final: float = 0.1, clip_norm: float = 1.0) -> Optimizer:
    """Adam with a learning rate that falls linearly."""
    return Optimizer(lr=lr, clip_norm=clip_norm, eps=1e-5, schedule=Schedule(shape="linear", final=final))
