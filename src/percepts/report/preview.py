"""A dataset at a glance: images, and below each what is known of its pixels."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor

from percepts.core.errors import PerceptsError
from percepts.data.dataset import ImageDataset
from percepts.data.scenes import SceneDataset
from percepts.report.grids import grid, with_alpha
from percepts.report.images import SEQUENTIAL, as_image, colour, to_pixels
from percepts.report.slot_palette import colour_masks

_FRAMES = 6
_WIDTH = 1200
"""Pixels side by side, about; small images are enlarged by whole numbers to fill them."""
_HEIGHT = 8 * _WIDTH
"""Pixels below each other that small images are enlarged to, at most."""
_FEW = 1 << 20


def preview(dataset: ImageDataset, count: int = 16, seed: int = 0) -> Image.Image:
    """`count` different items of a dataset (all if it has fewer), drawn by `seed`: the image, under it the segmentation
    in colours that no kind of colour vision confuses, and the depth (near is bright) where the dataset knows them. Of a
    video six frames.

    Raises:
        PerceptsError: no items are asked for.
    """
    if count < 1:
        raise PerceptsError(f"a preview of {count} items", "at least 1")
    tiles = item_tiles(dataset, _places(len(dataset), count, torch.Generator().manual_seed(seed)))
    columns = max(1, min(len(tiles), 8, _WIDTH // tiles.shape[2]))
    picture = as_image(grid(tiles, columns, gap=6))
    scale = max(1, min(_WIDTH // picture.width, _HEIGHT // picture.height))
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    paper = Image.new("RGB", picture.size, "white")
    paper.paste(picture, (0, 0), picture)
    return paper


def _places(total: int, count: int, generator: torch.Generator) -> Int64[Tensor, " items"]:
    """`count` of the numbers below `total`, in order."""
    if count >= total:
        return torch.arange(total)
    if total <= _FEW:
        return torch.randperm(total, generator=generator)[:count].sort().values
    some = torch.randint(total, (2 * count,), generator=generator).unique()
    return some[torch.randperm(len(some), generator=generator)[:count]].sort().values


def item_tiles(
    dataset: ImageDataset, places: Int64[Tensor, " items"]
) -> UInt8[np.ndarray, "items tile_height tile_width channels"]:
    """One tile an item: rows of what there is, columns of frames."""
    batch = dataset.gather(places)
    video = "video" in batch
    shown = batch["video"] if video else batch["image"][:, None]
    frames = torch.linspace(0, shown.shape[1] - 1, min(_FRAMES, shown.shape[1])).round().long()
    largest = max(shown.shape[-2:])
    rows = [_rgb(to_pixels(one[frames], largest)) for one in shown]
    parts = [rows]
    if "segmentation" in batch:
        labels = batch["segmentation"] if video else batch["segmentation"][:, None]
        parts.append([colour_masks(one[frames]) for one in labels])
    depth = dataset.details(places).get("depth") if isinstance(dataset, SceneDataset) else None
    if depth is not None:
        parts.append([_depth(one[frames]) for one in (depth if video else depth[:, None])])
    # Frames side by side, then what is known under each other.
    lines = [np.stack([np.concatenate(list(one), axis=1) for one in part]) for part in parts]
    return np.concatenate(lines, axis=1)


def _rgb(pixels: UInt8[np.ndarray, "frames height width channels"]) -> UInt8[np.ndarray, "frames height width 3"]:
    return with_alpha(pixels)[..., :3]


def _depth(metres: Tensor) -> UInt8[np.ndarray, "frames height width 3"]:
    """Near is bright; what is infinitely far is black, and the scale is that of the item."""
    values = metres.detach().cpu().numpy().astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    return colour(1 - (np.where(np.isfinite(values), values, high) - low) / max(high - low, 1e-9), SEQUENTIAL)
