"""The part of CLEVR's images that slot models are trained on, and its size."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, Integer, UInt8

_ROWS, _COLUMNS = slice(29, 221), slice(64, 256)


def crop_scenes(
    images: UInt8[np.ndarray, "batch channels 240 320"], segmentation: Integer[np.ndarray, "batch 240 320"], size: int
) -> tuple[UInt8[np.ndarray, "batch channels size size"], Integer[np.ndarray, "batch size size"]]:
    """Rows 29 to 220 and columns 64 to 255, at `size` pixels a side, as IODINE and Slot Attention have them.

    Images are resized bilinearly, with pixel centres at half numbers and without anti-aliasing, and rounded;
    segmentations take the nearest pixel, as numbers of entities have no mean.
    """
    image = torch.from_numpy(np.ascontiguousarray(images[..., _ROWS, _COLUMNS]))
    labels = torch.from_numpy(np.ascontiguousarray(segmentation[..., _ROWS, _COLUMNS]))
    if image.shape[-1] == size:
        return image.numpy(), labels.numpy()
    resized = F.interpolate(image.float(), size=(size, size), mode="bilinear", align_corners=False)
    nearest: Any = F.interpolate(labels[:, None].float(), size=(size, size), mode="nearest-exact")[:, 0]
    return resized.round().to(torch.uint8).numpy(), nearest.to(labels.dtype).numpy()


def crop_places(places: Float32[np.ndarray, "batch entities 3"], size: int) -> Float32[np.ndarray, "batch entities 3"]:
    """Columns, rows (in pixels) and depths in a whole image as they are in the crop; outside of it where they are."""
    scale = np.array([size / 192, size / 192, 1], np.float32)
    return (places - np.array([_COLUMNS.start, _ROWS.start, 0], np.float32)) * scale
