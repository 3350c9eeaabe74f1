"""A small IODINE for tests, and images for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from percepts.core.capabilities import StillStep
from percepts.objects.iodine import IODINE, slot_decoder
from percepts.objects.refinement import RefinementNetwork


def small_refinement(**changes: Any) -> RefinementNetwork.Config:
    """A refinement network of a few units."""
    settings = {"channels": (6, 6), "kernel": 3, "hidden": (10,), "lstm": 7}
    return RefinementNetwork.Config(**{**settings, **changes})


def small_iodine(**changes: Any) -> IODINE.Config:
    """Three slots, two steps, 8×8 images. A wide density keeps its numbers small enough for float32."""
    settings: dict[str, Any] = {
        "image_shape": (3, 8, 8),
        "slots": 3,
        "steps": 2,
        "latent_size": 4,
        "decoder": slot_decoder((6, 6), 3),
        "refinement": small_refinement(),
        "scale": 0.5,
    }
    return IODINE.Config(**{**settings, **changes})


def built(seed: int = 0, **changes: Any) -> IODINE:
    """A `small_iodine` with the weights of that seed."""
    torch.manual_seed(seed)
    model: IODINE = small_iodine(**changes).build()
    return model


def images(count: int = 4, shape: tuple[int, ...] = (3, 8, 8), seed: int = 1) -> Tensor:
    """Noise in [0, 1]."""
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


def step(seed: int = 2, index: int = 3) -> StillStep:
    """A step with noise of that seed."""
    return StillStep(index, torch.Generator().manual_seed(seed))
