"""Occlusion completion: does a slot know the part of its object that another one hides?

The pixels that a slot explains say nothing about it: any grouping of pixels has them. A model of objects also draws
what cannot be seen, which its components show without their masks (Burgess et al. 2019, figures, without numbers). Two
scores of it, both ours, look only where an object is hidden by another:

- `completion`: among the pixels of what lies in front, does the component have the object's colour where the object
  goes on, and another one where it ends? As intersection over union.
- `completion.error`: the squared error of the component in the hidden part.

Showing the image itself, which is all that a grouping by colour can do, has a `completion` of 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from percepts.core.errors import DataError, PerceptsError
from percepts.core.results import MetricResult
from percepts.metrics.per_image import mean_result
from percepts.metrics.segmentation_matching import Maps, Predicted, match_slots
from percepts.metrics.segmentation_tables import as_label_maps

_BLOCK = 1 << 23  # numbers of pictures of entities held at a time


def occlusion_completion(
    appearance: Float[Tensor, "images slots channels height width"],
    predicted: Predicted,
    image: Float[Tensor, "images channels height width"],
    true: Maps,
    amodal: Bool[Tensor, "images entities height width"],
    unoccluded: Float[Tensor, "images entities channels height width"],
    *,
    backgrounds: int = 1,
    least_pixels: int = 4,
    least_contrast: float = 0.2,
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> dict[str, MetricResult]:
    """How well slots complete the hidden parts of their objects.

    A pixel of a component has its object's colour where it is nearer to it (the mean over the whole object) than to
    what any other entity would show there, hidden or not. Pixels where the truth itself cannot be told like that do not
    count. An object without a slot completes nothing and shows the image.

    Args:
        appearance: every slot's component without its mask, in [0, 1]. The baseline that cannot complete is the image
            for every slot, `image[:, None].expand(-1, slots, -1, -1, -1)`.
        predicted: the slot of each pixel [N,H,W], or soft masks [N,K,H,W]; they give every object its slot, one to one
            by the largest sum of IoU.
        image: in [0, 1].
        true: the entity of each pixel [N,H,W].
        amodal, unoccluded: all of every entity, and every entity drawn alone, as `SceneDataset.details` has them.
        backgrounds: how many entities, the first, are background; their hidden parts do not count.
        least_pixels: that an object must show, and that must be hidden of it.
        least_contrast: the distance of two colours (Euclidean, over all channels) from which on they can be told apart.
        bootstrap, level, rng: resamples of the images for the intervals, their confidence level, their source.

    Returns:
        "completion", mean over images of the mean over hidden parts; details as `mean_result`, `parts` (how many
        count), `unmatched` (parts of objects without a slot) and `everywhere`, the score of components of the object's
        colour all over the image, which know nothing of shapes. "completion.error", likewise the squared error over
        pixels and channels of the hidden part; details also `of_image`, the error of showing the image. Both are NaN
        where no object is hidden in part.

    Raises:
        DataError: arrays that do not fit together, or components that are not finite.
        PerceptsError: fewer than one pixel, or a negative contrast.
    """
    if least_pixels < 1 or least_contrast < 0:
        raise PerceptsError(f"least_pixels = {least_pixels}, least_contrast = {least_contrast}", "1 and 0, or more")
    truth = as_label_maps(true, "true labels")[0]
    _check(appearance, image, truth, amodal, unoccluded)
    slot = match_slots(predicted, true, appearance.shape[1], backgrounds=backgrounds, measure="iou")
    # Label maps tell only of entities that some image shows; the others have no slot.
    slot = np.pad(slot, ((0, 0), (0, amodal.shape[1] - slot.shape[1])), constant_values=-1)
    found = _per_part(appearance, slot, image, truth, amodal, unoccluded, least_contrast)
    wanted = (found.shown >= least_pixels) & (found.hidden >= least_pixels)
    wanted[:, :backgrounds] = False
    sure: dict[str, Any] = {"bootstrap": bootstrap, "level": level, "rng": rng}
    parameters = {"backgrounds": backgrounds, "least_pixels": least_pixels, "least_contrast": least_contrast}
    counts = {"parts": int(wanted.sum()), "unmatched": int((wanted & (slot < 0)).sum())}

    def result(name: str, values: np.ndarray, reference: str, other: np.ndarray, upper: float) -> MetricResult:
        details = {**counts, reference: mean_result(reference, _over_parts(other, wanted)).value}
        scores = _over_parts(values, wanted)
        return mean_result(name, scores, bounds=(0.0, upper), details=details, parameters=parameters, **sure)

    return {
        "completion": result("completion", found.iou, "everywhere", found.iou_everywhere, 1.0),
        "completion.error": result("completion.error", found.error, "of_image", found.error_of_image, np.inf),
    }


@dataclass(frozen=True)
class _Parts:
    """Of every entity's hidden part.

    Attributes:
        shown, hidden: pixels that can be seen, and that are hidden and can be told.
        iou, error: of its slot.
        iou_everywhere: of a component that has the entity's colour all over.
        error_of_image: of the image.
    """

    shown: Int[np.ndarray, "images entities"]
    hidden: Int[np.ndarray, "images entities"]
    iou: Float[np.ndarray, "images entities"]
    iou_everywhere: Float[np.ndarray, "images entities"]
    error: Float[np.ndarray, "images entities"]
    error_of_image: Float[np.ndarray, "images entities"]


def _per_part(
    appearance: Tensor,
    slot: Int[np.ndarray, "images entities"],
    image: Tensor,
    truth: Tensor,
    amodal: Tensor,
    unoccluded: Tensor,
    least_contrast: float,
) -> _Parts:
    """What `_Parts` says, some images at a time, on the components' device."""
    device = appearance.device
    columns: list[list[Tensor]] = []
    step = max(1, _BLOCK // (unoccluded[0].numel() + appearance[0].numel()))
    for rows in torch.arange(len(truth)).split(step):
        components, pictures, alone = (value[rows].to(device).float() for value in (appearance, image, unoccluded))
        slots, labels, whole = (value.to(device) for value in (torch.from_numpy(slot)[rows], truth[rows], amodal[rows]))
        columns.append(_measure(components, pictures, alone, slots, labels, whole, least_contrast))
    return _Parts(*(torch.cat(column).cpu().numpy() for column in zip(*columns)))


def _measure(
    appearance: Float[Tensor, "rows slots channels height width"],
    image: Float[Tensor, "rows channels height width"],
    unoccluded: Float[Tensor, "rows entities channels height width"],
    slot: Int[Tensor, "rows entities"],
    truth: Int[Tensor, "rows height width"],
    amodal: Bool[Tensor, "rows entities height width"],
    least_contrast: float,
) -> list[Tensor]:
    """The columns of `_Parts`, [rows, entities] each."""
    number = torch.arange(amodal.shape[1], device=truth.device)
    seen = truth[:, None] == number[:, None, None]
    hidden = amodal & ~seen
    front = in_front(hidden, seen)
    component = appearance.gather(1, slot.clamp_min(0)[..., None, None, None].expand(-1, -1, *appearance.shape[2:]))
    component = torch.where((slot >= 0)[..., None, None, None], component, image[:, None])
    area = amodal.flatten(2).sum(2).clamp_min(1)
    colour = (unoccluded * amodal[:, :, None]).flatten(3).sum(3) / area[..., None]
    colour = colour[..., None, None].expand_as(component)
    like = _squared(component, colour) < _nearest_other(component, unoccluded, amodal)
    told = front & (_nearest_other(colour, unoccluded, amodal) >= least_contrast**2)
    hidden &= told
    matched = (slot >= 0)[..., None, None]
    errors = [_squared(picture, unoccluded) / image.shape[1] for picture in (component, image[:, None])]
    return [
        _count(seen),
        _count(hidden),
        _iou(hidden, told & like & matched),
        _iou(hidden, told),
        *((error.double() * hidden).flatten(2).sum(2) / _count(hidden).clamp_min(1) for error in errors),
    ]


def in_front(
    hidden: Bool[Tensor, "rows entities height width"], seen: Bool[Tensor, "rows entities height width"]
) -> Bool[Tensor, "rows entities height width"]:
    """The pixels of all entities that are seen somewhere in the `hidden` part of each one."""
    shown = seen.flatten(2).float()
    covers = (hidden.flatten(2).float() @ shown.transpose(1, 2)) > 0
    return ((covers.float() @ shown) > 0).view_as(seen)


def _nearest_other(
    colours: Float[Tensor, "rows entities channels height width"],
    unoccluded: Float[Tensor, "rows entities channels height width"],
    amodal: Bool[Tensor, "rows entities height width"],
) -> Float[Tensor, "rows entities height width"]:
    """The squared distance of every entity's `colours` from the nearest of what the others would show there."""
    least = torch.full_like(colours[:, :, 0], torch.inf)
    number = torch.arange(amodal.shape[1], device=amodal.device)
    for other in range(amodal.shape[1]):
        distance = _squared(colours, unoccluded[:, other, None])
        there = amodal[:, other, None] & (number != other)[:, None, None]
        least = torch.minimum(least, torch.where(there, distance, torch.inf))
    return least


def _squared(one: Tensor, other: Tensor) -> Tensor:
    """Squared distance of colours [rows, entities, channels, height, width]."""
    return (one - other).square().sum(2)


def _count(pixels: Bool[Tensor, "rows entities height width"]) -> Int[Tensor, "rows entities"]:
    return pixels.flatten(2).sum(2)


def _iou(
    one: Bool[Tensor, "rows entities height width"], other: Bool[Tensor, "rows entities height width"]
) -> Float[Tensor, "rows entities"]:
    return _count(one & other).double() / _count(one | other).clamp_min(1)


def _over_parts(
    values: Float[np.ndarray, "images entities"], wanted: Bool[np.ndarray, "images entities"]
) -> Float[np.ndarray, " images"]:
    """The mean over the wanted parts of every image, NaN where it has none."""
    number = wanted.sum(axis=1)
    return np.where(number > 0, np.where(wanted, values, 0.0).sum(axis=1) / np.maximum(number, 1), np.nan)


def _check(appearance: Tensor, image: Tensor, truth: Tensor, amodal: Tensor, unoccluded: Tensor) -> None:
    images, channels, *size = image.shape
    shapes = [
        ("components", appearance, (images, appearance.shape[1], channels, *size)),
        ("true labels", truth, (images, *size)),
        ("amodal masks", amodal, (images, amodal.shape[1], *size)),
        ("entities drawn alone", unoccluded, (images, amodal.shape[1], channels, *size)),
    ]
    for name, value, wanted in shapes:
        if tuple(value.shape) != wanted:
            raise DataError(f"{name} of shape {tuple(value.shape)}", f"{wanted} for images {tuple(image.shape)}")
    if int(truth.max()) >= amodal.shape[1]:
        raise DataError(f"labels up to {int(truth.max())}", f"entities from 0 to {amodal.shape[1] - 1}")
    if not bool(appearance.isfinite().all()):
        raise DataError("components with values that are NaN or infinite", "finite numbers", "an earlier checkpoint")
