"""Contingency tables of label maps: how many pixels each true entity shares with each slot.

Every score of a segmentation is a function of this small table, so the pixels are read once, by one `bincount` over
blocks that fit the processor's cache. Entities are numbered from 0, those of the background first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from percepts.core.errors import DataError, PerceptsError
from percepts.metrics.per_image import mean_over_frames

LabelMaps: TypeAlias = (
    Integer[np.ndarray, "images height width"]
    | Integer[Tensor, "images height width"]
    | Integer[np.ndarray, "images frames height width"]
    | Integer[Tensor, "images frames height width"]
)
"""The label of every pixel of images or of videos."""

Frames: TypeAlias = Literal["joint", "each"]
"""A video is one image of all its pixels, or has the mean score of its frames."""

_LARGEST_LABEL = 4095
_BLOCK = 1 << 17  # pixels counted at a time
_UNCOMMON = (torch.bool, torch.uint16, torch.uint32, torch.uint64)  # torch has no comparisons for some of these


@dataclass(frozen=True)
class Contingency:
    """Pixels by image, frame, true entity and slot; an image is a video of one frame.

    Attributes:
        counts: of pixels.
        backgrounds: how many entities, the first, are background.
    """

    counts: Int[np.ndarray, "images frames entities slots"]
    backgrounds: int

    @classmethod
    def measure(cls, true: LabelMaps, predicted: LabelMaps, backgrounds: int = 1) -> Contingency:
        """Count the pixels of label maps [N,H,W] or [N,T,H,W].

        Raises:
            DataError: as `as_label_maps`, maps of different shapes, or fewer than 0 backgrounds.
        """
        if backgrounds < 0:
            raise DataError(f"backgrounds = {backgrounds}", "how many of the first entities are background, 0 or more")
        one, entities = as_label_maps(true, "true labels")
        other, slots = as_label_maps(predicted, "predicted labels")
        if one.shape != other.shape:
            raise DataError(
                f"true labels of shape {tuple(one.shape)} and predicted ones of shape {tuple(other.shape)}",
                "the same shape",
                "resize label maps by the nearest neighbour; others invent labels",
            )
        frames = one.shape[1] if one.ndim == 4 else 1
        flat = one.reshape(len(one) * frames, -1), other.to(one.device).reshape(len(one) * frames, -1)
        counts = count_pairs(*flat, max(entities, backgrounds), slots)
        return cls(counts.reshape(len(one), frames, *counts.shape[1:]), backgrounds)

    @property
    def joint(self) -> Int[np.ndarray, "images entities slots"]:
        """All frames of a video as one image."""
        return self.counts.sum(axis=1)

    @property
    def visible(self) -> Bool[np.ndarray, "images entities"]:
        """Which entities show a pixel in some frame."""
        return self.joint.sum(axis=2) > 0

    @property
    def objects(self) -> Int[np.ndarray, " images"]:
        """How many entities that are not background can be seen."""
        return self.visible[:, self.backgrounds :].sum(axis=1)


def score_of(
    table: Contingency,
    score: Callable[[Int[np.ndarray, "tables entities slots"]], Float[np.ndarray, " tables"]],
    frames: Frames = "joint",
) -> Float[np.ndarray, " images"]:
    """The `score` of every image or video: of the table of all frames, or the mean over the frames that have one.

    Raises:
        PerceptsError: an unknown way with frames.
    """
    if frames not in get_args(Frames):
        raise PerceptsError(f"frames = '{frames}'", "'joint' or 'each'")
    if frames == "joint":
        return score(table.joint)
    images, number, entities, slots = table.counts.shape
    return mean_over_frames(score(table.counts.reshape(-1, entities, slots)).reshape(images, number))


def count_pairs(
    one: Integer[Tensor, "images pixels"], other: Integer[Tensor, "images pixels"], first: int, second: int
) -> Int[np.ndarray, "images first second"]:
    """How often each of `first` labels meets each of `second` labels in every image."""
    images, pixels = one.shape
    step = max(1, _BLOCK // pixels)
    cells = first * second
    counts = []
    for start in range(0, images, step):
        rows = slice(start, start + step)
        # One 32-bit number a pixel, where the numbers are small enough, moves half the memory.
        kind = torch.int32 if step * cells < 1 << 31 else torch.int64
        cell = one[rows].to(kind) * second
        cell += other[rows].to(kind)
        cell += torch.arange(len(cell), device=cell.device, dtype=kind)[:, None] * cells
        counts.append(torch.bincount(cell.flatten(), minlength=len(cell) * cells))
    return torch.cat(counts).reshape(images, first, second).cpu().numpy()


def as_label_maps(labels: LabelMaps, name: str = "labels") -> tuple[Tensor, int]:
    """Whole-number labels [N,H,W] or [N,T,H,W] as a tensor on the device where they are, and one more than the largest.

    Raises:
        DataError: another number of dimensions, no pixels, fractions, or labels below 0 or above 4095.
    """
    tensor = labels.detach() if isinstance(labels, Tensor) else _from_array(np.asarray(labels), name)
    if tensor.is_floating_point() or tensor.is_complex():
        raise DataError(
            f"{name} of type {tensor.dtype}",
            "the number of every pixel's entity or slot",
            "core.slots.labels(masks), which takes the largest of soft masks",
        )
    if tensor.ndim not in (3, 4):
        raise DataError(f"{name} of shape {tuple(tensor.shape)}", "[N,H,W] for images or [N,T,H,W] for videos")
    if tensor.numel() == 0:
        raise DataError(f"{name} of shape {tuple(tensor.shape)}", "at least one image with pixels")
    if tensor.dtype in _UNCOMMON:
        tensor = tensor.long()
    least, largest = (int(one) for one in tensor.aminmax())
    if least < 0 or largest > _LARGEST_LABEL:
        raise DataError(
            f"{name} from {least} to {largest}",
            f"numbers from 0 to {_LARGEST_LABEL}",
            "np.unique(labels, return_inverse=True)[1], with the background's entities first",
        )
    return tensor, largest + 1


def _from_array(array: np.ndarray, name: str) -> Tensor:
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} of type {array.dtype}", "whole numbers")
    return torch.from_numpy(np.ascontiguousarray(array))
