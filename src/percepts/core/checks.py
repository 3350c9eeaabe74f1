"""What the configurations of all models insist on, each with its message."""

from __future__ import annotations

import math

from percepts.core.errors import ConfigError

Shape = tuple[int, int, int]


def known_shape(image_shape: Shape | None) -> Shape:
    """`image_shape`, which must have been filled in.

    Raises:
        ConfigError: it is None, or not three positive numbers.
    """
    if image_shape is None:
        raise ConfigError(
            "the model's image_shape is not set",
            "the shape (channels, height, width) of the data's images",
            "dataclasses.replace(config, image_shape=dataset.image_shape)",
        )
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise ConfigError(f"image_shape = {image_shape}", "channels, height and width, all positive")
    return image_shape


def check_weight(name: str, value: float) -> None:
    """Refuse a weight of a loss term that is NaN, infinite or negative.

    Raises:
        ConfigError: it is; the message calls it `name`.
    """
    if not (math.isfinite(value) and value >= 0):
        raise ConfigError(f"{name} = {value}", "a finite number that is not negative")
