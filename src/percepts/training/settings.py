"""How long and how a model is trained: the engine's settings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from percepts.core.config import Config
from percepts.core.errors import ConfigError
from percepts.training.optimizers import Optimizer


@dataclass(frozen=True, kw_only=True)
class Training(Config):
    """How long and how a model is trained."""

    steps: int = 10_000
    """Optimisation steps of the whole run."""
    max_minutes: float | None = None
    """Stop (and save) after this much training time, also counted over resumes."""
    optimizer: Annotated[Optimizer, tyro.conf.arg(name="")] = field(default_factory=Optimizer)
    group_optimizers: dict[str, Optimizer] = field(default_factory=dict)
    """Other optimisers for single parameter groups, by the group's name."""
    accumulate: int = 1
    """Micro-batches a step; memory falls, the loss stays the same."""
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """bf16 autocasts the networks; likelihoods stay in fp32. "auto": bf16 where the processor computes it natively."""
    channels_last: Literal["auto", "yes", "no"] = "auto"
    """Memory layout of images; "auto": channels last where the model convolves."""
    compile: bool = False
    """torch.compile the model's parts: some tens of seconds at the start, then faster steps."""
    ema_decay: float | None = None
    """Keep an exponential moving average of the weights, and evaluate that."""
    log_every: int = 50
    evaluate_every: int = 0
    """Steps between evaluations during training; 0: none."""
    checkpoint_every: int = 1000
    keep_last: int = 2
    keep_best: str | None = None
    """Also keep the checkpoint with the lowest value of this logged name; a leading '-' keeps the highest
    (on the command line: --keep-best=-evaluation/mig.dlib)."""
    tensorboard: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None
    """CPU threads for torch; None leaves torch's choice."""
    keep_memory: bool = True
    """Keep freed memory in the process: a step on the CPU waits for no fresh pages, the numbers are the same."""
    deterministic: bool = False
    """Only deterministic kernels (slower on a GPU; the CPU is always deterministic)."""

    def __post_init__(self) -> None:
        for name in ("steps", "accumulate", "log_every", "checkpoint_every", "keep_last"):
            if getattr(self, name) < 1:
                raise ConfigError(f"training.{name} = {getattr(self, name)}", "at least 1")
        if self.evaluate_every < 0:
            raise ConfigError(f"training.evaluate_every = {self.evaluate_every}", "0 (never) or a number of steps")
        if self.max_minutes is not None and not 0 < self.max_minutes < math.inf:
            raise ConfigError(f"training.max_minutes = {self.max_minutes}", "a positive number of minutes")
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"training.threads = {self.threads}", "at least 1, or none for torch's choice")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ConfigError(f"training.ema_decay = {self.ema_decay}", "a number between 0 and 1")
