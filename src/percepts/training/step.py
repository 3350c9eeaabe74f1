"""The training step as a model sees it: its number, its random numbers, and what the parts of a batch share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

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
        known: for accumulated training, what the parts share (the results of `mean` and `gather`), in call order.
    """

    index: int
    seed: int
    part: int = 0
    parts: int = 1
    spread: int = 1
    known: list[Tensor] | None = None
    draws: int = 0
    shares: int = 0

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
        return value + (self._shared(value, "mean") - value).detach()

    def gather(self, value: Tensor) -> Tensor:
        """The rows of the global batch, with the gradient of this part's rows.

        Every part computes the same function of all rows. Its gradient with respect to the parameters is the sum of
        those through each part's rows; as the parts' gradients are averaged, each is made `parts` times as large.
        """
        if self.parts == 1:
            return value
        rows = self._shared(value, "rows")
        own = value.detach() + self.parts * (value - value.detach())
        start = self.part * len(value)
        return torch.cat([rows[:start], own, rows[start + len(value) :]])

    def _shared(self, value: Tensor, kind: Literal["mean", "rows"]) -> Tensor:
        number, self.shares = self.shares, self.shares + 1
        if self.known is not None:
            if number < len(self.known):
                return self.known[number]
            raise NotYetKnown(value.detach(), kind)
        if self.parts > self.spread:
            raise ConfigError(
                "the model compares the images of a batch in accumulated training without having said so",
                "couples_batch = True in its class",
            )
        return combined([value.detach()], kind, self.spread)

    def _draw(self, like: Tensor) -> tuple[tuple[int, ...], slice, torch.Generator]:
        generator = torch_generator(self.seed, "noise", self.index, self.draws, device=like.device)
        self.draws += 1
        rows = len(like)
        return (rows * self.parts, *like.shape[1:]), slice(rows * self.part, rows * (self.part + 1)), generator


class NotYetKnown(Exception):
    """A part of an accumulated batch has come to a value of which the other parts' share is missing."""

    def __init__(self, value: Tensor, kind: Literal["mean", "rows"]) -> None:
        super().__init__("the model caught an exception that belongs to accumulated training")
        self.value, self.kind = value, kind


def shared_values(
    run: Callable[[TrainingStep, int], object], steps: Callable[[list[Tensor]], list[TrainingStep]], spread: int
) -> list[Tensor]:
    """What the parts of an accumulated batch share, in call order: every pass over the parts finds one more.

    Args:
        run: the forward pass of part number n in a step.
        steps: a fresh step for every part that knows the given values.
        spread: how many processes share the batch.
    """
    known: list[Tensor] = []
    while True:
        waiting = []
        for number, step in enumerate(steps(known)):
            try:
                run(step, number)
            except NotYetKnown as missing:
                waiting.append(missing)
        if not waiting:
            return known
        known.append(combined([one.value for one in waiting], waiting[0].kind, spread))


def combined(values: list[Tensor], kind: Literal["mean", "rows"], spread: int) -> Tensor:
    """The mean or the rows of this process's parts and of all other processes'."""
    local = torch.stack(values).mean(0) if kind == "mean" else torch.cat(values)
    if spread == 1:
        return local
    if kind == "mean":
        distributed.all_reduce(local)
        return local / spread
    everyone = [torch.empty_like(local) for _ in range(spread)]
    distributed.all_gather(everyone, local.contiguous())
    return torch.cat(everyone)
