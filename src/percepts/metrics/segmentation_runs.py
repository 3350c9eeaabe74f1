"""Several decompositions of the same images: which slots are the same, and how many explanations there are.

Slots have no order, so runs are aligned before they are compared; and a model that samples may see one ambiguous image
in several ways (Greff et al. 2019, multi-stability).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from percepts.core.errors import DataError, PerceptsError
from percepts.metrics.assignment import best_assignment
from percepts.metrics.segmentation_ari import adjusted_rand
from percepts.metrics.segmentation_decomposition import as_masks
from percepts.metrics.segmentation_tables import as_label_maps, count_pairs


@dataclass(frozen=True)
class SlotAlignment:
    """Which slots of two decompositions of the same images belong together.

    Attributes:
        slot: for each slot of the first the one of the second, one to one; -1 where the second has none left.
        iou: of the two masks, 0 for -1.
    """

    slot: Int[np.ndarray, "images slots"]
    iou: Float[np.ndarray, "images slots"]


@dataclass(frozen=True)
class Explanations:
    """In how many ways R runs decompose each image.

    Attributes:
        distinct: how many ways.
        frequency: share of the runs that each way has, the most frequent first; 0 beyond `distinct`.
        way: the number of each run's way, in the order of `frequency`.
        agreement: adjusted Rand index of every two runs.
    """

    distinct: Int[np.ndarray, " images"]
    frequency: Float[np.ndarray, "images runs"]
    way: Int[np.ndarray, "images runs"]
    agreement: Float[np.ndarray, "images runs runs"]


def align_slots(
    masks: Float[Tensor, "images slots height width"], others: Float[Tensor, "images others height width"]
) -> SlotAlignment:
    """Assign the slots of `others` to those of `masks` one to one so that the sum of their IoU is largest.

    Masks are soft, and their IoU is Σ min(m, m') / Σ max(m, m'), that of the pixels where they are hard; two empty
    masks have 0. For label maps give `torch.nn.functional.one_hot(labels).movedim(-1, 1).float()`.

    Raises:
        DataError: masks that are no probabilities (see `as_masks`), or of different images or sizes.
    """
    one, other = as_masks(masks), as_masks(others, "other masks").to(masks.device)
    if one.shape[0] != other.shape[0] or one.shape[2:] != other.shape[2:]:
        raise DataError(
            f"masks of shape {tuple(one.shape)} and {tuple(other.shape)}", "the same images and the same size in both"
        )
    one, other = one.flatten(2), other.flatten(2)
    total = one.sum(dim=2)[:, :, None] + other.sum(dim=2)[:, None]
    shared = torch.stack([torch.minimum(one, slot[:, None]).sum(dim=2) for slot in other.unbind(dim=1)], dim=2)
    iou = (shared / (total - shared).clamp_min(1e-12)).double().cpu().numpy()
    slot = best_assignment(iou)
    found = np.take_along_axis(iou, np.maximum(slot, 0)[..., None], axis=2)[..., 0]
    return SlotAlignment(slot, np.where(slot < 0, 0.0, found))


def distinct_explanations(
    labels: Integer[Tensor, "runs images height width"] | Integer[np.ndarray, "runs images height width"],
    *,
    foreground: Bool[Tensor, "images height width"] | Bool[np.ndarray, "images height width"] | None = None,
    agreement: float = 0.9,
) -> Explanations:
    """Group the segmentations of R runs of each image: those with an adjusted Rand index of `agreement` are one way.

    Runs that agree with a common third are in one group (single linkage), so that the order of the runs does not
    matter.

    Args:
        labels: the slot of each pixel in each run.
        foreground: pixels that count, such as those of the objects; by default all. An image with fewer than two has
            one explanation.
        agreement: from which index on two runs are the same; 0.9 is this library's choice, not the paper's.

    Raises:
        DataError: no four dimensions, labels that are no whole numbers from 0, or a foreground of another shape.
        PerceptsError: an agreement outside of (0, 1].
    """
    if not 0 < agreement <= 1:
        raise PerceptsError(f"agreement = {agreement}", "an adjusted Rand index above 0, at most 1")
    maps, slots = as_label_maps(labels)
    if maps.ndim != 4:
        raise DataError(f"labels of shape {tuple(maps.shape)}", "[runs, images, height, width]", "labels[:, None]")
    runs, images = maps.shape[:2]
    flat = maps.reshape(runs, images, -1).long()
    if foreground is not None:
        kept = torch.as_tensor(foreground, device=flat.device)
        if kept.shape != maps.shape[1:] or kept.dtype != torch.bool:
            raise DataError(
                f"a foreground of type {kept.dtype} and shape {tuple(kept.shape)}", f"booleans {tuple(maps.shape[1:])}"
            )
        flat = torch.where(kept.flatten(1), flat + 1, 0)
    first = 0 if foreground is None else 1
    table = np.ones((images, runs, runs))
    for one, other in combinations(range(runs), 2):
        counts = count_pairs(flat[one], flat[other], slots + first, slots + first)
        # Pixels that do not count have label 0 in both runs.
        scores = adjusted_rand(counts[:, :, first:], first)
        table[:, one, other] = table[:, other, one] = np.where(np.isnan(scores), 1.0, scores)
    return _grouped(table, agreement)


def _grouped(table: Float[np.ndarray, "images runs runs"], agreement: float) -> Explanations:
    runs = table.shape[1]
    linked: Bool[np.ndarray, "images runs runs"] = table >= agreement
    for _ in range(max(1, (runs - 1).bit_length())):  # every squaring doubles the length of the chains
        linked = np.matmul(linked, linked)
    leader = linked.argmax(axis=2)  # the first run of each group
    size = (leader[:, :, None] == np.arange(runs)).sum(axis=1)
    order = np.argsort(-size, axis=1, kind="stable")
    place = np.argsort(order, axis=1)
    return Explanations(
        distinct=(size > 0).sum(axis=1),
        frequency=np.take_along_axis(size, order, axis=1) / runs,
        way=np.take_along_axis(place, leader, axis=1),
        agreement=table,
    )
