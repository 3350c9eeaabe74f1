"""What slot models insist on, each with its message."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from percepts.core.checks import Shape, check_weight
from percepts.core.errors import ConfigError, DataError, NonFiniteError

SLACK = 0.5
"""How far from [0, 1] pixels may lie, for noise and filters; bytes lie much farther."""


def check_weights(config: Any, *names: str) -> None:
    """Refuse weights of loss terms that are NaN, infinite or negative.

    Raises:
        ConfigError: one of the settings called `names` is.
    """
    for name in names:
        check_weight(name, getattr(config, name))


def check_positive(config: Any, *names: str) -> None:
    """Refuse scales and the like that are not positive and finite.

    Raises:
        ConfigError: one of the settings called `names` is not.
    """
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name} = {value}", "a positive number")


def check_counts(config: Any, *names: str) -> None:
    """Refuse counts that are not whole numbers from 1 on.

    Raises:
        ConfigError: one of the settings called `names` is not.
    """
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"{name} = {value!r}", "a whole number, at least 1")


def check_slots(slots: int) -> int:
    """`slots`, which must be a number of slots.

    Raises:
        ConfigError: it is no whole number, or less than one.
    """
    if not isinstance(slots, int) or isinstance(slots, bool) or slots < 1:
        raise ConfigError(f"slots = {slots!r}", "a whole number, at least 1")
    return slots


def check_images(image: Tensor, shape: Shape) -> Tensor:
    """`image`, which must be a batch of images of the model's `shape`, of floating-point numbers in [0, 1].

    Values are looked at on the CPU only: on a GPU every batch would have to wait.

    Raises:
        DataError: it is of another shape or type, or has values far outside of [0, 1].
        NonFiniteError: a pixel is NaN or infinite.
    """
    if not isinstance(image, Tensor) or not image.is_floating_point():
        kind = image.dtype if isinstance(image, Tensor) else type(image).__name__
        raise DataError(f"images of type {kind}", "a tensor of float32 in [0, 1]", "torch.as_tensor(image) / 255")
    if image.dim() != 4 or tuple(image.shape[1:]) != shape:
        raise DataError(
            f"images of shape {tuple(image.shape)}", f"(batch, {', '.join(map(str, shape))}), as the model was built"
        )
    if image.device.type == "cpu" and image.numel():
        low, high = (float(end) for end in image.detach().aminmax())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise NonFiniteError("an image holds NaN or infinity", "numbers in [0, 1]")
        if low < -SLACK or high > 1 + SLACK:
            raise DataError(f"images from {low:g} to {high:g}", "numbers in [0, 1]", "image / 255")
    return image
