"""Optimisers and learning-rate schedules as configurations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
import tyro

from percepts.core.config import Config
from percepts.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Schedule(Config):
    """The learning rate over a run, as a factor of its base value: linear warm-up, then a shape.

    "constant" stays at 1; "linear" and "cosine" fall to `final` at the last step; "exponential" does so geometrically.
    """

    shape: Literal["constant", "linear", "cosine", "exponential"] = "constant"
    warm_up: int = 0
    """Steps of linear rise from 0 to 1."""
    final: float = 0.1
    """The factor at the last step."""

    def __post_init__(self) -> None:
        if self.warm_up < 0 or not 0 < self.final <= 1:
            raise ConfigError(f"schedule with warm_up {self.warm_up} and final {self.final}", "≥ 0 steps, in (0, 1]")

    def factor(self, step: int, steps: int) -> float:
        """The factor for optimisation step `step` (0-based) of `steps`."""
        if step < self.warm_up:
            return (step + 1) / self.warm_up
        progress = min(1.0, (step - self.warm_up) / max(1, steps - 1 - self.warm_up))
        if self.shape == "linear":
            return 1 + (self.final - 1) * progress
        if self.shape == "cosine":
            return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2
        if self.shape == "exponential":
            return self.final**progress
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Optimizer(Config):
    """An optimiser of `torch.optim` for one parameter group, with its schedule and gradient clipping."""

    name: Literal["adam", "adamw", "adagrad", "rmsprop", "sgd"] = "adam"
    lr: float = 5e-4
    """Learning rate at schedule factor 1."""
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0
    alpha: float = 0.9
    """How much of RMSprop's mean square a step keeps: 0.9 is the default of TensorFlow, which the papers used without
    giving a number; torch's is 0.99."""
    clip_norm: float | None = None
    """Largest L2 norm of the group's gradient; None clips nothing."""
    schedule: Annotated[Schedule, tyro.conf.arg(name="")] = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        checks = {
            "lr": (0 < self.lr < math.inf, "a positive learning rate"),
            "betas": (all(0 <= beta < 1 for beta in self.betas), "two numbers in [0, 1)"),
            "eps": (0 < self.eps < math.inf, "a positive number"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "a number that is not negative"),
            "momentum": (0 <= self.momentum < 1, "a number in [0, 1)"),
            "alpha": (0 <= self.alpha < 1, "a number in [0, 1)"),
            "clip_norm": (self.clip_norm is None or 0 < self.clip_norm < math.inf, "a positive number, or none"),
        }
        for name, (right, expected) in checks.items():
            if not right:
                raise ConfigError(f"{name} = {getattr(self, name)}", expected)

    def over(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimiser over `parameters`, fused where torch offers it (same mathematics, one kernel)."""
        parameters = list(parameters)
        common: dict[str, Any] = {"lr": self.lr, "weight_decay": self.weight_decay}
        if self.name == "adam":
            return torch.optim.Adam(parameters, betas=self.betas, eps=self.eps, fused=True, **common)
        if self.name == "adamw":
            return torch.optim.AdamW(parameters, betas=self.betas, eps=self.eps, fused=True, **common)
        if self.name == "adagrad":
            # TensorFlow's accumulator starts at 0.1, torch's at 0: the papers trained with the former.
            return torch.optim.Adagrad(parameters, initial_accumulator_value=0.1, eps=self.eps, **common)
        if self.name == "rmsprop":
            return torch.optim.RMSprop(parameters, alpha=self.alpha, momentum=self.momentum, eps=self.eps, **common)
        return torch.optim.SGD(parameters, momentum=self.momentum, **common)
