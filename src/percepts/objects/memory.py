"""Memory for time: forget activations and compute them again going backward, all at once or some slots at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def recomputed(function: Callable[..., Any], *inputs: Tensor) -> Any:
    """`function(*inputs)`, without keeping what is between them where a gradient is wanted. No dropout inside."""
    if not torch.is_grad_enabled():
        return function(*inputs)
    return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)


def in_chunks(function: Callable[..., tuple[Tensor, ...]], size: int | None, *inputs: Tensor) -> tuple[Tensor, ...]:
    """`function` of tensors [B, K, …], `size` slots at a time, each part recomputed going backward; None: all at once.

    The function must treat slots alike and apart; it gives a tuple of tensors [B, K, …].
    """
    slots = inputs[0].shape[1]
    if size is None or size >= slots:
        return function(*inputs)
    parts = [recomputed(function, *part) for part in zip(*(tensor.split(size, dim=1) for tensor in inputs))]
    return tuple(torch.cat(pieces, dim=1) for pieces in zip(*parts))
