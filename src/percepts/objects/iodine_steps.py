"""What IODINE sees at every step, what noise it draws, and how much the step's loss weighs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from percepts.core.errors import ConfigError, DataError, NonFiniteError
from percepts.core.random import torch_generator
from percepts.objects import checks

Draw = Callable[[Tensor], Tensor]
"""Standard normal noise like a tensor [B, K, D], another at every call."""

LossWeights = Literal["linear", "constant"] | tuple[float, ...]
"""Of L_0 … L_T: t/T, 1, or a list."""


def frames_of(image: Tensor, steps: int, shape: checks.Shape) -> list[Tensor]:
    """What is looked at, step by step: an image [B,C,H,W] T + 1 times, or the frames of a video [B,F,C,H,W].

    Args:
        steps: T; a video brings its own.

    Raises:
        DataError: images of another shape than the model's.
        ConfigError: fewer than no steps.
    """
    if image.dim() == 5:
        checks.check_images(image.flatten(0, 1), shape)
        return list(image.unbind(1))
    if steps < 0:
        raise ConfigError(f"steps = {steps}", "0 or more")
    return [checks.check_images(image, shape)] * (steps + 1)


def seen_frames(image: Tensor, steps: int | None, default: int, shape: checks.Shape) -> list[Tensor]:
    """`frames_of` images that somebody wants to have taken apart, ready for gradients whatever mode the caller is in.

    Args:
        steps: T; None: `default`, or what a video has.

    Raises:
        DataError: images of another shape than the model's, or a video of another length than `steps` need.
        NonFiniteError: a pixel is NaN or infinite.
    """
    if image.dim() == 5 and steps is not None and steps != image.shape[1] - 1:
        raise DataError(f"a video of {image.shape[1]} frames for {steps} steps", "one frame more than there are steps")
    # Tensors of inference mode cannot take part in the gradients that inference needs.
    with torch.inference_mode(False):
        image = image.clone() if image.is_inference() else image.detach()
        if not bool(torch.isfinite(image).all()):
            raise NonFiniteError("an image holds NaN or infinity", "numbers in [0, 1]")
        return frames_of(image, default if steps is None else steps, shape)


def still_noise(steps: int, seed: int, generator: torch.Generator | None) -> Draw:
    """Noise outside of training: none at the last of `steps`, so that the end is shown by its means.

    Args:
        seed: without a `generator`, the noise of a slot is a function of seed and step, the same for all images and
            for any number of slots.
    """
    numbers = iter(range(steps + 1))

    def draw(like: Tensor) -> Tensor:
        number = next(numbers)
        if number == steps:
            return torch.zeros_like(like)
        if generator is not None:
            return torch.randn(like.shape, generator=generator, device=generator.device).to(like)
        fixed = torch_generator(seed, "slots", number)
        return torch.randn(like.shape[1:], generator=fixed).to(like).expand_as(like)

    return draw


def loss_weights(kind: LossWeights, steps: int) -> list[float]:
    """The weights of L_0 … L_T.

    Raises:
        ConfigError: a list of another length.
    """
    if isinstance(kind, tuple):
        return check_loss_weights(kind, steps)
    return [1.0 if kind == "constant" else t / max(1, steps) for t in range(steps + 1)]


def check_loss_weights(weights: tuple[float, ...], steps: int) -> list[float]:
    """`weights` as a list.

    Raises:
        ConfigError: there is not one for every belief, one is negative or not finite, or all are 0.
    """
    right = len(weights) == steps + 1 and all(math.isfinite(w) and w >= 0 for w in weights) and any(weights)
    if not right:
        raise ConfigError(f"loss_weights = {weights}", f"{steps + 1} weights, not negative and not all 0")
    return list(weights)
