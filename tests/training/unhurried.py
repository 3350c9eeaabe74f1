"""Data that takes its time: runs long enough to be stopped half-way, without keeping the processor busy."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import torch
from tiny import Bars, tiny_experiment
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.training.experiment import Experiment


class UnhurriedBars(Bars):
    """Bars that come after a pause, where a whole batch is asked for."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Bars.Config):
        seconds: float = 0.01

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        if len(indices) > 1:
            time.sleep(self.config.seconds)
        return super().gather(indices, device)


def unhurried(seed: int = 0, **training: Any) -> Experiment:
    settings = {"steps": 200, "checkpoint_every": 20, **training}
    return dataclasses.replace(tiny_experiment(dataset=UnhurriedBars.Config(), **settings), seed=seed)
