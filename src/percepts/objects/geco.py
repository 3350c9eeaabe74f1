"""A weight of the KL that finds itself: GECO (Rezende & Viola 2018, "Taming VAEs"), as GENESIS uses it.

    minimise  NLL + w · KL,  where w falls while the NLL is above its goal and rises, faster, once it is below

After every step, with E the moving average of the NLL and everything in nats an image:

    E ← α·E + (1 − α)·NLL,   w ← w · exp(rate · (goal − E)),   ten times the rate where goal > E

The NLL of step n has its say from step n + 1 on, so the weight of a step does not depend on how its batch is split.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from percepts.core.capabilities import Step
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError
from percepts.objects.checks import Shape, check_positive

REFERENCE_PIXELS = 64 * 64


def goal_for(scale: float, mse: float) -> float:
    """The NLL per number of an image, in nats, of normal pixels of deviation `scale` with that mean squared error.

    0.5655 of GENESIS is `goal_for(0.7, 0.0032)`.
    """
    return math.log(scale) + 0.5 * math.log(2 * math.pi) + mse / (2 * scale**2)


class Geco(nn.Module, Configurable):
    """The state of the controller; checkpoints keep it. A model that uses it says `couples_batch = True`.

    Args:
        image_shape: (C, H, W); the goal scales with its numbers, the rate with the inverse of its pixels.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """How fast the weight moves and where to (the defaults of GENESIS).

        Attributes:
            goal: the wanted NLL per number of an image in nats, see `goal_for`.
            rate: by which the weight's logarithm moves, per nat and step, for 64×64 images.
            speedup: how many times faster the weight rises than it falls.
            smoothing: α of the moving average.
            start: the first weight.
            least, most: the weight stays between them.
        """

        goal: float = 0.5655
        rate: float = 1e-5
        speedup: float = 10.0
        smoothing: float = 0.99
        start: float = 1.0
        least: float = 1e-10
        most: float = 1e10

        def __post_init__(self) -> None:
            check_positive(self, "rate", "speedup", "start", "least", "most")
            if not math.isfinite(self.goal):
                raise ConfigError(f"goal = {self.goal}", "a number of nats; it may be negative")
            if not 0 <= self.smoothing < 1:
                raise ConfigError(f"smoothing = {self.smoothing}", "a number in [0, 1)")
            if not self.least <= self.start <= self.most:
                raise ConfigError(f"start = {self.start}", f"between least = {self.least} and most = {self.most}")

    config: Config
    log_weight: Tensor
    average: Tensor
    newest: Tensor
    newest_step: Tensor

    def __init__(self, config: Config, image_shape: Shape) -> None:
        super().__init__()
        self.config = config
        self.goal = config.goal * math.prod(image_shape)
        self.rate = config.rate * REFERENCE_PIXELS / (image_shape[1] * image_shape[2])
        self.register_buffer("log_weight", torch.tensor(math.log(config.start)))
        self.register_buffer("average", torch.tensor(math.nan))
        self.register_buffer("newest", torch.tensor(math.nan))
        self.register_buffer("newest_step", torch.tensor(-1.0))

    @torch.no_grad()
    def weight(self, nll: Float[Tensor, ""], step: Step) -> Float[Tensor, ""]:
        """The weight at `step`, which the NLLs of earlier steps have made; notes this one's mean `nll` of the part.

        Only a model in training moves it. Repeating a step gives the same weight.
        """
        nll = step.mean(nll.detach().float())
        if self.training:
            index = torch.full_like(self.newest_step, step.index)
            later = index > self.newest_step
            average, log_weight = self._after(self.newest)
            self.average.copy_(torch.where(later, average, self.average))
            self.log_weight.copy_(torch.where(later, log_weight, self.log_weight))
            self.newest.copy_(torch.where(index >= self.newest_step, nll, self.newest))
            self.newest_step.copy_(torch.maximum(index, self.newest_step))
        return self.log_weight.exp()

    def _after(self, nll: Tensor) -> tuple[Tensor, Tensor]:
        """Moving average and logarithm of the weight once `nll` has its say; unchanged where it is NaN (at first)."""
        smoothing = self.config.smoothing
        average = torch.where(self.average.isnan(), nll, smoothing * self.average + (1 - smoothing) * nll)
        slack = self.goal - average
        move = self.rate * slack * torch.where(slack > 0, self.config.speedup, 1.0)
        moved = (self.log_weight + move).clamp(math.log(self.config.least), math.log(self.config.most))
        return average, torch.where(moved.isnan(), self.log_weight, moved)
