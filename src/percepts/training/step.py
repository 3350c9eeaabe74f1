"""The training step as a model sees it: its number, its random numbers, and means over the global batch."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.distributed as distributed
from torch import Tensor

from percepts.core.errors import ConfigError
from percepts.core.random import torch_generator


@dataclass
class TrainingStep:
    """One part (process and micro-batch) of one optimisation step. Implements `core.capabilities.Step`.

    Random numbers are drawn for the whole global batch from a generator of (seed, step, call) and cut to this part's
    rows, so the sum over parts does not depend on how many there are.

    Attributes:
        index: optimisation steps made before this one.
        seed: the run's seed.
        part, parts: which of how many equal parts of the global batch this is; parts lie process by process.
        spread: how many processes share the batch.
        known_means: for accumulated training, the global values of `mean` found by a first pass, in call order.
        probing: this is that first pass.
    """

    index: int
    seed: int
    part: int = 0
    parts: int = 1
    spread: int = 1
    known_means: list[Tensor] | None = None
    probing: bool = False
    seen_means: list[Tensor] = field(default_factory=list)
    calls: int = 0

    def normal(self, like: Tensor) -> Tensor:
        shape, rows, generator = self._draw(like)
        return torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype)[rows]

    def uniform(self, like: Tensor) -> Tensor:
        shape, rows, generator = self._draw(like)
        return torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype)[rows]

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the global batch, with the gradient of this part.

        The parts' gradients are averaged afterwards, so for any differentiable f the gradient of f(mean) comes out
        exactly: each part contributes f'(global mean) times the gradient of its own mean.
        """
        if self.parts == 1:
            return value
        if self.known_means is not None:
            total = self.known_means[len(self.seen_means)]
        elif self.parts > self.spread and not self.probing:
            raise ConfigError(
                "the model takes a mean over the batch in accumulated training without having said so",
                "couples_batch = True in its class",
            )
        else:
            total = value.detach().clone()
            if self.spread > 1:
                distributed.all_reduce(total)
                total /= self.spread
        self.seen_means.append(total)
        return value + (total - value).detach()

    def _draw(self, like: Tensor) -> tuple[tuple[int, ...], slice, torch.Generator]:
        generator = torch_generator(self.seed, "noise", self.index, self.calls, device=like.device)
        self.calls += 1
        rows = len(like)
        return (rows * self.parts, *like.shape[1:]), slice(rows * self.part, rows * (self.part + 1)), generator
