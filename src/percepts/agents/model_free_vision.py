"""Which encoder a model-free learner saw through: a fingerprint, so that a training never goes on with another vision.

    fingerprint(ModelSlots(from_pretrained("pretrained/monet_sprites24")))     # sixteen hexadecimal digits

What a policy has learned of slots means nothing in those of another encoder, and nothing fails: sizes may well be the
same. The folder of a training does not hold its encoder, so it keeps this instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from percepts.agents.cobra.slots import SlotEncoder
from percepts.core.config import Config, digest
from percepts.core.errors import CheckpointError


def fingerprint(encoder: SlotEncoder) -> str:
    """What identifies an encoder: sixteen hexadecimal digits, of its class and all that it holds.

    That is configurations, weights and buffers of models, tensors, arrays and plain values, wherever they lie in it and
    on whatever device. Of other objects only the class counts. Encoders with the same digits make the same slots, as
    far as nothing else decides about them.

    Args:
        encoder: as it is before it is used; one that remembers what it saw has other digits afterwards.
    """
    hashed = hashlib.sha256()
    for piece in _pieces(encoder, frozenset()):
        # Pieces of known length: no two lists of pieces run together into the same bytes.
        hashed.update(len(piece).to_bytes(8, "little") + piece)
    return hashed.hexdigest()[:16]


def check_identity(saved: Any, own: Mapping[str, Any], path: Path) -> None:
    """Make sure that a checkpoint is of the training that is to go on.

    Args:
        saved: what it says of itself.
        own: what the training says of itself; "vision" is its encoder's fingerprint, where it has one.
        path: of the checkpoint, for the error.

    Raises:
        CheckpointError: it is of another training, or of one with another encoder.
    """
    if saved == own:
        return
    if isinstance(saved, dict) and "vision" in own and {**saved, "vision": own["vision"]} == own:
        raise CheckpointError(
            f"'{path}' is of a training that saw through another encoder ({saved.get('vision', 'unknown')})",
            f"one that saw through the encoder given here ({own['vision']})",
            "the encoder that it was begun with, or a new training",
        )
    raise CheckpointError(
        f"'{path}' is of a training with other settings, another task or another seed", "the same ones"
    )


def _pieces(value: Any, above: frozenset[int]) -> Iterator[bytes]:
    """What there is to say of a value, in an order that depends on nothing else."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        yield repr(value).encode()
    elif isinstance(value, Config):
        yield digest(value).encode()
    elif isinstance(value, Tensor | np.ndarray):
        yield from _numbers(torch.as_tensor(value))
    elif isinstance(value, Mapping):
        yield f"mapping of {len(value)}".encode()
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _pieces(value[key], above)
    elif isinstance(value, list | tuple):
        yield f"sequence of {len(value)}".encode()
        for part in value:
            yield from _pieces(part, above)
    else:
        yield type(value).__qualname__.encode()
        if id(value) not in above:
            yield from _held(value, above | {id(value)})


def _held(value: Any, above: frozenset[int]) -> Iterator[bytes]:
    """Of a model its configuration and weights; of an encoder everything; of other objects nothing."""
    if isinstance(value, torch.nn.Module):
        yield from _pieces(getattr(value, "config", None), above)
        yield from _pieces(value.state_dict(), above)
    elif isinstance(value, SlotEncoder):
        yield from _pieces(vars(value), above)


def _numbers(tensor: Tensor) -> Iterator[bytes]:
    yield f"{tensor.dtype} {list(tensor.shape)}".encode()
    yield tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
