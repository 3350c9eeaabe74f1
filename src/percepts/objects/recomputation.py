"""A decoding that is asked for two gradients, with its activations kept or with little memory.

IODINE differentiates every decoding twice: during inference with respect to the latents (the pull-back), and during
training with respect to latents and weights. `plain` keeps the activations for both. `recalled` gives them up after the
pull-back and decodes once more in the backward pass, so that only one decoding's activations exist at a time; with a
limit on the rows it keeps none at all, and decodes a few slots at a time. All give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass
class Decoded:
    """What a decoder made of latents.

    Attributes:
        output: [N, C, H, W].
        pull_back: the gradient of the latents [N, D] for one of the output; can be called once where the output is
            not kept for training.
    """

    output: Tensor
    pull_back: Callable[[Tensor], Tensor]


def plain(decoder: nn.Module, latents: Float[Tensor, "rows latents"], keep: bool) -> Decoded:
    """The decoder's output and its pull-back, on one graph.

    Args:
        keep: whether the output takes part in training; otherwise the pull-back frees everything.
    """
    output: Tensor = decoder(latents)

    def pull_back(gradient: Tensor) -> Tensor:
        return torch.autograd.grad(output, latents, gradient.to(output.dtype), retain_graph=keep)[0]

    return Decoded(output, pull_back)


def recalled(
    decoder: nn.Module, latents: Float[Tensor, "rows latents"], keep: bool, rows: int | None = None
) -> Decoded:
    """What `plain` gives, with less memory and more time: the backward pass decodes again.

    Args:
        keep: whether the output takes part in training.
        rows: decode at most so many rows at a time; the pull-back then decodes again, too.
    """
    again = _Again(decoder, rows, latents.device.type)
    own = latents.detach().requires_grad_()
    if rows is None:
        held: list[Tensor] = [decoder(own)]
        output = held[0].detach()

        def pull_back(gradient: Tensor) -> Tensor:
            made = held.pop()
            return torch.autograd.grad(made, own, gradient.to(made.dtype))[0]
    else:
        output = without_gradients(decoder, own, rows)

        def pull_back(gradient: Tensor) -> Tensor:
            return again.gradients(own, gradient, ())[0]

    if keep:
        weights = [weight for weight in decoder.parameters() if weight.requires_grad]
        output = _Recalled.apply(again, output, latents, *weights)
    return Decoded(output, pull_back)


@torch.no_grad()
def without_gradients(decoder: nn.Module, latents: Float[Tensor, "rows latents"], rows: int | None = None) -> Tensor:
    """The decoder's output, at most `rows` rows at a time."""
    return torch.cat([decoder(part) for part in latents.split(rows or len(latents))])


@dataclass
class _Again:
    """Decodes once more under the autocast that held when this was made."""

    decoder: nn.Module
    rows: int | None
    device: str

    def __post_init__(self) -> None:
        self.enabled = torch.is_autocast_enabled(self.device)
        self.dtype = torch.get_autocast_dtype(self.device)

    def gradients(self, latents: Tensor, gradient: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
        """Of the latents, then of the weights, for the gradient of the decoder's output."""
        rows = self.rows or len(latents)
        of_latents: list[Tensor] = []
        of_weights: list[Tensor] = []
        for part, wanted in zip(latents.split(rows), gradient.split(rows)):
            part = part.detach().requires_grad_()
            with torch.enable_grad(), torch.autocast(self.device, self.dtype, enabled=self.enabled):
                output = self.decoder(part)
            first, *rest = torch.autograd.grad(output, [part, *weights], wanted.to(output.dtype))
            of_latents.append(first)
            of_weights = [old + new for old, new in zip(of_weights, rest)] if of_weights else rest
        return [torch.cat(of_latents), *of_weights]


class _Recalled(torch.autograd.Function):
    """An output that was made without a graph, and whose backward pass makes it again with one."""

    @staticmethod
    def forward(ctx: Any, again: _Again, output: Tensor, latents: Tensor, *weights: Tensor) -> Tensor:
        ctx.again = again
        ctx.save_for_backward(latents, *weights)
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        latents, *weights = ctx.saved_tensors
        return None, None, *ctx.again.gradients(latents, gradients[0], weights)
