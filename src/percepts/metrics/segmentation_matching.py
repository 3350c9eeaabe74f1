"""Which slot holds which object: matching by masks, and the properties of matched objects as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, get_args, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer, Num
from torch import Tensor

from percepts.core.errors import DataError, PerceptsError
from percepts.metrics.arrays import as_array
from percepts.metrics.assignment import best_assignment
from percepts.metrics.segmentation_decomposition import as_masks
from percepts.metrics.segmentation_tables import as_label_maps, count_pairs

Maps: TypeAlias = Integer[np.ndarray, "images height width"] | Integer[Tensor, "images height width"]
Predicted: TypeAlias = Maps | Float[Tensor, "images slots height width"]
"""The slot of every pixel, or soft masks."""
SlotCodes: TypeAlias = Float[np.ndarray, "images slots latents"] | Float[Tensor, "images slots latents"]
Values: TypeAlias = Num[np.ndarray, "images entities *size"] | Num[Tensor, "images entities *size"]
Measure: TypeAlias = Literal["cosine", "iou"]

_KINDS = ("categorical", "numeric", "angle")
_BLOCK = 1 << 24  # numbers of one-hot masks held at a time


@runtime_checkable
class PropertyKind(Protocol):
    """What a property is; a `Property` of `data.scenes` is one."""

    @property
    def kind(self) -> str:
        """ "categorical" (whole numbers from 0), "numeric" or "angle" (radians)."""

    @property
    def size(self) -> int:
        """How many classes, or how many numbers."""


@dataclass(frozen=True)
class Target:
    """A property as a predictor sees it.

    Attributes:
        name: of the property.
        kind: "categorical", "numeric" or "angle".
        values: the index of the class, the numbers, or cosine and sine.
        outputs: how many numbers a predictor has to give: one a class, or one a value.
    """

    name: str
    kind: str
    values: Float[np.ndarray, "images entities width"]
    outputs: int


def match_slots(
    predicted: Predicted,
    true: Maps,
    slots: int,
    *,
    backgrounds: int = 1,
    least_pixels: int = 1,
    measure: Measure = "cosine",
) -> Int[np.ndarray, "images entities"]:
    """The slot of every visible object, one to one; -1 for other entities, and for objects where slots are too few.

    Args:
        predicted: the slot of each pixel, or soft masks, which take K times the memory.
        true: the entity of each pixel.
        slots: K.
        backgrounds: how many entities, the first, are background; slots are not kept for them.
        least_pixels: that an object must show to be visible.
        measure: what is largest in the sum over objects: the cosine of true and predicted mask, or their IoU.

    Raises:
        DataError: arrays that do not fit together.
        PerceptsError: an unknown measure.
    """
    if measure not in get_args(Measure):
        raise PerceptsError(f"measure '{measure}'", "'cosine' or 'iou'")
    shared, size, norm = shared_mass(predicted, true, slots)
    pixels = shared.sum(axis=2)
    if measure == "cosine":
        value = shared / np.sqrt(np.maximum(pixels[:, :, None] * norm[:, None], 1e-12))
    else:
        value = shared / np.maximum(pixels[:, :, None] + size[:, None] - shared, 1e-12)
    return assign(value, visible_objects(true, shared.shape[1], backgrounds, least_pixels))


def assign(
    value: Float[np.ndarray, "images entities slots"], wanted: Bool[np.ndarray, "images entities"]
) -> Int[np.ndarray, "images entities"]:
    """The slot of every entity that is `wanted`, so that the sum of their values is largest; -1 for the others."""
    # Beside differences of values, any wanted entity goes before all unwanted ones.
    least, largest = value.min(initial=0.0), value.max(initial=0.0)
    ranked = np.where(wanted[:, :, None], value - least + (largest - least + 1.0), 0.0)
    return np.where(wanted, best_assignment(ranked), -1)


def shared_mass(
    predicted: Predicted, true: Maps, slots: int
) -> tuple[
    Float[np.ndarray, "images entities slots"], Float[np.ndarray, "images slots"], Float[np.ndarray, "images slots"]
]:
    """Sum of every slot's mask over the pixels of every entity, over all pixels, and the sum of its squares.

    Raises:
        DataError: arrays that do not fit together, or labels of more slots than there are.
    """
    truth, entities = as_label_maps(true, "true labels")
    if isinstance(predicted, Tensor) and predicted.is_floating_point():
        masks = as_masks(predicted).to(truth.device)
        _check_images(tuple(masks.shape[2:]), masks.shape[0], truth)
        if masks.shape[1] != slots:
            raise DataError(f"masks of {masks.shape[1]} slots", f"{slots} slots, as many as there are codes")
        step = max(1, _BLOCK // (truth[0].numel() * (entities + slots)))
        number = torch.arange(entities, device=truth.device)
        parts, squares = [], []
        for rows in torch.arange(len(truth)).split(step):
            member = (truth[rows].flatten(1)[:, None] == number[:, None]).to(masks.dtype)
            flat = masks[rows].flatten(2)
            parts.append((member @ flat.transpose(1, 2)).double().cpu())
            squares.append(flat.square().sum(dim=2).double().cpu())
        shared = torch.cat(parts).numpy()
        return shared, shared.sum(axis=1), torch.cat(squares).numpy()
    found, used = as_label_maps(predicted, "predicted labels")  # type: ignore[arg-type]
    _check_images(tuple(found.shape[1:]), found.shape[0], truth)
    if used > slots:
        raise DataError(f"predicted labels up to {used - 1}", f"slots from 0 to {slots - 1}")
    counts = count_pairs(truth.flatten(1), found.to(truth.device).flatten(1), entities, slots).astype(np.float64)
    return counts, counts.sum(axis=1), counts.sum(axis=1)


def visible_objects(
    true: Maps, entities: int, backgrounds: int = 1, least_pixels: int = 1
) -> Bool[np.ndarray, "images entities"]:
    """Which entities show at least `least_pixels` and are not background."""
    truth, _ = as_label_maps(true, "true labels")
    flat = truth.flatten(1)
    pixels = count_pairs(flat, torch.zeros_like(flat), entities, 1)[:, :, 0]
    return (pixels >= max(1, least_pixels)) & (np.arange(entities) >= backgrounds)


def as_targets(
    properties: Mapping[str, Values], kinds: Mapping[str, PropertyKind], images: int, entities: int
) -> list[Target]:
    """The properties that have a kind, checked.

    Raises:
        DataError: no property, one without values, of another shape, with NaN or with a class that does not exist.
    """
    if not kinds:
        raise DataError("no property to predict", "at least one", "a dataset whose scenes have properties")
    return [_target(name, kind, properties, images, entities) for name, kind in kinds.items()]


def _target(name: str, kind: PropertyKind, properties: Mapping[str, Values], images: int, entities: int) -> Target:
    if name not in properties or kind.kind not in _KINDS:
        raise DataError(
            f"a property '{name}' of kind '{kind.kind}' among the values of {sorted(properties)}",
            "values for every property, and a kind among " + ", ".join(_KINDS),
        )
    values = as_array(properties[name]).astype(np.float64)
    width = kind.size if kind.kind == "numeric" else 1
    if values.shape[0] != images or values.ndim < 2 or values.shape[1] < entities or values[0, 0].size != width:
        raise DataError(
            f"property '{name}' of shape {values.shape}",
            f"[{images}, entities{'' if width == 1 else f', {width}'}] with at least {entities} entities",
        )
    values = values[:, :entities].reshape(images, entities, width)
    if not np.isfinite(values).all():
        raise DataError(
            f"property '{name}' with values that are NaN or infinite", "finite numbers, 0 where there is none"
        )
    if kind.kind == "angle":
        return Target(name, kind.kind, np.concatenate([np.cos(values), np.sin(values)], axis=2), 2)
    if kind.kind == "numeric":
        return Target(name, kind.kind, values, width)
    if not np.array_equal(values, np.rint(values)) or values.min() < 0 or values.max() >= kind.size:
        raise DataError(
            f"property '{name}' with values from {values.min():g} to {values.max():g}",
            f"classes from 0 to {kind.size - 1}",
        )
    return Target(name, kind.kind, values, kind.size)


def as_slots(slots: SlotCodes) -> Float[np.ndarray, "images slots latents"]:
    """Codes of slots as float64, checked.

    Raises:
        DataError: another shape, NaN or infinite values.
    """
    codes = as_array(slots)
    if codes.ndim != 3 or codes.size == 0 or codes.dtype.kind != "f":
        raise DataError(f"slots of type {codes.dtype} and shape {codes.shape}", "floats [images, slots, latents]")
    if not np.isfinite(codes).all():
        raise DataError("slots with values that are NaN or infinite", "finite numbers", "find where the model diverged")
    return codes.astype(np.float64)


def _check_images(size: tuple[int, ...], images: int, truth: Tensor) -> None:
    if truth.ndim != 3 or (images, *size) != tuple(truth.shape):
        raise DataError(
            f"masks of {images} images of size {size} and true labels of shape {tuple(truth.shape)}",
            "the same images [N,H,W] in both",
            "frames of videos as images: video.flatten(0, 1)",
        )
