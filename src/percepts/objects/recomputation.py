"""Decoding with little memory: the activations are dropped and computed again when a gradient needs them.

IODINE asks every decoding for two gradients: one during inference, of the latents alone (the pull-back), and one during
training, of latents and weights. `plain` keeps the activations for both. `recalled` gives them up after the pull-back
and decodes once more in the backward pass, so that only one decoding's activations exist at a time; with a limit on the
rows it keeps none at all, and decodes a few slots at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

Decode = Callable[[Tensor], Tensor]
PullBack = Callable[[Tensor], Tensor]
"""The gradient of the latents [N, D] for a gradient of the decoder's output."""


def plain(
    decoder: nn.Module, latents: Float[Tensor, "rows latents"], keep: bool
) -> tuple[Float[Tensor, "rows channels height width"], PullBack]:
    """The decoder's output and its pull-back.

    Args:
        keep: whether the output takes part in training; otherwise the pull-back can be called once, and frees all.
    """
    output: Tensor = decoder(latents)
    return output, lambda gradient: torch.autograd.grad(output, latents, gradient, retain_graph=keep)[0]


def recalled(
    decoder: nn.Module, latents: Float[Tensor, "rows latents"], keep: bool, rows: int | None = None
) -> tuple[Float[Tensor, "rows channels height width"], PullBack]:
    """What `plain` gives, to the same numbers, with less memory and more time.

    Args:
        keep: whether the output takes part in training.
        rows: decode at most so many rows at a time; the pull-back then decodes again.
    """
    autocast = _autocast(latents.device.type)
    own = latents.detach().requires_grad_()
    if rows is None:
        made: Tensor = decoder(own)

        def pull_back(gradient: Tensor) -> Tensor:
            return torch.autograd.grad(made, own, gradient)[0]
    else:
        with torch.no_grad():
            made = torch.cat([decoder(part) for part in own.split(rows)])

        def pull_back(gradient: Tensor) -> Tensor:
            return _gradients(decoder, own, gradient, rows, (), autocast)[0]

    output = made.detach()
    if keep:
        weights = [weight for weight in decoder.parameters() if weight.requires_grad]
        output = _Recalled.apply(decoder, output, rows, autocast, latents, *weights)
    return output, pull_back


class _Recalled(torch.autograd.Function):
    """An output that was computed elsewhere; its backward pass computes it again."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, decoder: nn.Module, output: Tensor, rows: int | None, autocast: Any, latents: Tensor, *weights: Tensor
    ) -> Tensor:
        ctx.decoder, ctx.rows, ctx.autocast = decoder, rows, autocast
        ctx.save_for_backward(latents, *weights)
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        latents, *weights = ctx.saved_tensors
        found = _gradients(ctx.decoder, latents, gradient, ctx.rows, weights, ctx.autocast)
        return None, None, None, None, *found


def _gradients(
    decoder: nn.Module, latents: Tensor, gradient: Tensor, rows: int | None, weights: Any, autocast: Any
) -> list[Tensor]:
    """Gradients of the latents, then of the weights, for the gradient of the decoder's output."""
    rows = rows or len(latents)
    of_latents, of_weights = [], None
    for part, wanted in zip(latents.split(rows), gradient.split(rows)):
        part = part.detach().requires_grad_()
        with torch.enable_grad(), autocast():
            output = decoder(part)
        first, *rest = torch.autograd.grad(output, [part, *weights], wanted)
        of_latents.append(first)
        of_weights = rest if of_weights is None else [old + new for old, new in zip(of_weights, rest)]
    return [torch.cat(of_latents), *(of_weights or [])]


def _autocast(device: str) -> Callable[[], torch.autocast]:
    """Makes the autocast that holds now, to decode again as before."""
    enabled, kind = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    return lambda: torch.autocast(device, kind, enabled=enabled)
