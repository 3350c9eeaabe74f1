"""Hard masks from a segmentation, for training a VAE of components without attention (MONet, section 2.2)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from percepts.core.errors import CapabilityError, DataError

MaskSource = Literal["attention", "given", "all_in_one", "wrong"]

OUTSIDE = -1000.0
"""ln m of a hard mask outside of it: no pixel's error outweighs it, and it is finite."""
GIVEN_FLOOR = -10.0
"""A network sees hard log-masks no lower than this."""


def hard_log_masks(
    segmentation: Int[Tensor, "batch height width"], slots: int
) -> Float[Tensor, "batch slots height width"]:
    """ln m of every entity's mask: 0 within and `OUTSIDE` elsewhere. Entities without a slot share the last one."""
    numbers = torch.arange(slots, device=segmentation.device)[:, None, None]
    owner = segmentation.clamp(0, slots - 1).unsqueeze(1)
    return (owner != numbers).float() * OUTSIDE


def in_regime(regime: MaskSource, segmentation: Tensor | None, image: Tensor) -> Int[Tensor, "batch height width"]:
    """The segmentation that a regime trains with: the scene's own, that of the batch's previous one, or one entity.

    "wrong" masks come from the part of the batch that is at hand, so accumulated training mixes other scenes.

    Raises:
        CapabilityError: there is no segmentation.
        DataError: a segmentation of another shape, not of whole numbers from 0 on, or "wrong" masks for a single image.
    """
    shape = (len(image), *image.shape[2:])
    if regime == "all_in_one":
        return torch.zeros(shape, dtype=torch.int64, device=image.device)
    if segmentation is None:
        raise CapabilityError(
            f"masks = '{regime}' and no segmentation", "masks with the images", "data with a segmentation"
        )
    if tuple(segmentation.shape) != shape:
        raise DataError(f"a segmentation of shape {tuple(segmentation.shape)}", str(shape))
    if segmentation.is_floating_point() or segmentation.dtype == torch.bool or bool((segmentation < 0).any()):
        raise DataError(f"a segmentation of type {segmentation.dtype}, or with negative numbers", "numbers from 0 on")
    if regime == "given":
        return segmentation
    if len(image) < 2:
        raise DataError("masks = 'wrong' for a batch of one image", "two or more, one has the other's masks")
    return segmentation.roll(1, dims=0)
