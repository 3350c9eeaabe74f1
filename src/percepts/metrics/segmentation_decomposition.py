"""What masks and reconstructions say about binding, with and without the truth.

A decoder that does not carve leaves soft masks (`mask_entropy`) or one slot that takes everything (`one_slot_share`); a
model whose decoded masks differ from the inferred ones (`mask_disagreement`) has not learnt its own segmentation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.core.slots import PRESENT_SHARE, present
from percepts.metrics.per_image import mean_result
from percepts.metrics.segmentation_tables import LabelMaps, as_label_maps


def decomposition_scores(
    mask: Float[Tensor, "images slots height width"],
    *,
    decoded_mask: Float[Tensor, "images slots height width"] | None = None,
    image: Float[Tensor, "images channels height width"] | None = None,
    reconstruction: Float[Tensor, "images channels height width"] | None = None,
    true: LabelMaps | None = None,
    backgrounds: int = 1,
    share: float = PRESENT_SHARE,
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> dict[str, MetricResult]:
    """Numbers of decompositions that need no matching, each the mean over images.

    Args:
        mask: how far each pixel belongs to each slot; sums to 1 over the slots.
        decoded_mask: the masks that the slots' latents give, where the model has two kinds.
        image, reconstruction: in [0, 1].
        true: the entity of each pixel [N,H,W], for the errors of objects and background.
        backgrounds: how many entities, the first, are background.
        share: of the image from which on a slot is present; see `core.slots.present`.
        bootstrap, level, rng: resamples of the images for the intervals, their confidence level, their source.

    Returns:
        By name: `mask_entropy`, the mean over pixels of the masks' entropy over log K (0: every pixel has one slot,
        1: masks say nothing; 0 for K = 1); `one_slot_share`, the share of the image that the largest slot has;
        `active_slots`, how many are present; with `decoded_mask`, `mask_disagreement`, the mean over pixels of the
        total variation distance ½ Σ_k |m - m̃|, and `label_disagreement`, the share of pixels whose largest slot
        differs; with `image` and `reconstruction`, `mse` over pixels and channels, and with `true` `mse_foreground` and
        `mse_background`, over the pixels of objects and of the background.

    Raises:
        DataError: masks that are NaN, negative or do not sum to 1, or arrays that do not fit together.
    """
    sure: dict[str, Any] = {"bootstrap": bootstrap, "level": level, "rng": rng}
    masks = as_masks(mask)
    scores = {
        "mask_entropy": _entropy(masks),
        "one_slot_share": masks.mean(dim=(2, 3)).amax(dim=1),
        "active_slots": present(masks, share).sum(dim=1),
    }
    if decoded_mask is not None:
        others = as_masks(decoded_mask, "decoded masks")
        _same_shape(others, masks, "decoded masks")
        scores["mask_disagreement"] = 0.5 * (masks - others).abs().sum(dim=1).mean(dim=(1, 2))
        scores["label_disagreement"] = (masks.argmax(dim=1) != others.argmax(dim=1)).double().mean(dim=(1, 2))
    if image is not None and reconstruction is not None:
        scores.update(_errors(image, reconstruction, masks, true, backgrounds))
    upper = {"active_slots": float(masks.shape[1])}
    parameters = {"slots": masks.shape[1], "share": share, "backgrounds": backgrounds}
    return {
        name: mean_result(
            name, values.double().cpu().numpy(), bounds=(0.0, upper.get(name, 1.0)), parameters=parameters, **sure
        )
        for name, values in scores.items()
    }


def as_masks(
    mask: Float[Tensor, "images slots height width"], name: str = "masks"
) -> Float[Tensor, "images slots height width"]:
    """Soft masks as float32 (or wider), checked.

    Raises:
        DataError: another shape, NaN, negative values, or sums over the slots that are not 1 to within 1e-2.
    """
    if mask.ndim != 4 or mask.numel() == 0 or not mask.is_floating_point():
        raise DataError(f"{name} of type {mask.dtype} and shape {tuple(mask.shape)}", "floats [N,K,H,W]")
    mask = mask.detach()
    mask = mask.float() if mask.dtype in (torch.float16, torch.bfloat16) else mask
    if not bool(mask.isfinite().all()):
        raise DataError(f"{name} with values that are NaN or infinite", "finite numbers", "an earlier checkpoint")
    if bool((mask < 0).any()) or not bool(((mask.sum(dim=1) - 1).abs() <= 1e-2).all()):
        raise DataError(
            f"{name} that do not sum to 1 over the slots in every pixel", "probabilities", "logits.softmax(dim=1)"
        )
    return mask


def _entropy(masks: Float[Tensor, "images slots height width"]) -> Float[Tensor, " images"]:
    if masks.shape[1] == 1:
        return torch.zeros(len(masks))
    return torch.special.entr(masks).sum(dim=1).mean(dim=(1, 2)) / math.log(masks.shape[1])


def _errors(
    image: Float[Tensor, "images channels height width"],
    reconstruction: Float[Tensor, "images channels height width"],
    masks: Float[Tensor, "images slots height width"],
    true: LabelMaps | None,
    backgrounds: int,
) -> dict[str, Float[Tensor, " images"]]:
    _same_shape(reconstruction, image, "reconstructions")
    _same_shape(image[:, :1], masks[:, :1], "images")
    error = (image.detach().double() - reconstruction.detach().double()).square().mean(dim=1)
    if not bool(error.isfinite().all()):
        raise DataError("images or reconstructions with values that are NaN or infinite", "finite numbers")
    scores = {"mse": error.mean(dim=(1, 2))}
    if true is not None:
        truth = as_label_maps(true, "true labels")[0].to(error.device)
        _same_shape(truth, error, "true labels")
        for name, kept in (("mse_foreground", truth >= backgrounds), ("mse_background", truth < backgrounds)):
            number = kept.sum(dim=(1, 2))
            # An image without such pixels has no score: 0 / 0 is NaN.
            scores[name] = (error * kept).sum(dim=(1, 2)) / number
    return scores


def _same_shape(one: Tensor, other: Tensor, name: str) -> None:
    if one.shape != other.shape:
        raise DataError(f"{name} of shape {tuple(one.shape)}", f"{tuple(other.shape)}, like the rest")
