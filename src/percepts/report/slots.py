"""Decompositions: an image, what the model makes of it, its masks, and every slot by itself.

The grids of Burgess et al. (2019, figures 3 to 7) and Greff et al. (2019, figures 3 and 4) with what those leave out:
the truth where it is known, how much of the image a slot has, and whether it is present at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from percepts.core.errors import PerceptsError
from percepts.core.slots import Decomposition, Slots, labels
from percepts.report.images import LARGEST_SIDE, to_pixels
from percepts.report.plates import Plate, plate_of
from percepts.report.slot_palette import blend_masks, colour_masks, slot_colour
from percepts.report.slot_sheet import Tile, sheet, shrink_labels, through
from percepts.report.svg import MINUS

MOST_SLOTS = 16
"""Slots of an image that are shown, the largest of them; the others are counted."""
Pixels = UInt8[np.ndarray, "height width channels"]


@dataclass(frozen=True)
class TakenApart:
    """One image as pixels to show; the slots in the model's order.

    Attributes:
        image, reconstruction: as they are.
        soft: the masks as mixed colours, undecided pixels between them.
        segmentation: the slot of every pixel, coloured.
        truth: the entity of every pixel in the colour of the slot that shows most of it; None where it is not known.
        slots: the numbers of the slots shown.
        masked, unmasked: every such slot behind its mask, and whole.
        mask: the masks themselves, grey.
        share: of the image, of every such slot; present: whether it holds something.
        hidden: slots not shown.
    """

    image: Pixels
    reconstruction: Pixels
    soft: Pixels
    segmentation: Pixels
    truth: Pixels | None
    slots: list[int]
    masked: list[Pixels]
    unmasked: list[Pixels]
    mask: list[Pixels]
    share: list[float]
    present: list[bool]
    hidden: int


def decomposition_plate(
    images: Float[Tensor, "batch channels height width"],
    taken: Decomposition,
    truth: Int[Tensor, "batch height width"] | None = None,
) -> Plate:
    """Two rows an image: its slots behind their masks, and below them whole, with the share of the image of each.

    Args:
        images: in [0, 1].
        taken: what the model made of them.
        truth: the true entity of every pixel.

    Raises:
        PerceptsError: images, decomposition and truth do not fit together.
    """
    shown = take_pixels(images, taken, truth)
    most = max(len(one.slots) for one in shown)
    heads = ["image", "model", "slots"] + (["truth"] if truth is not None else [])
    same = all(one.slots == shown[0].slots for one in shown)
    names = [f"slot {slot}" for slot in shown[0].slots] if same else [""] * most
    rows: list[list[Tile | None]] = []
    for one in shown:
        pictures = [one.image, one.reconstruction, one.segmentation, *([one.truth] if one.truth is not None else [])]
        upper: list[Tile | None] = [Tile(pixels) for pixels in pictures]
        lower: list[Tile | None] = [None] * len(pictures)
        lower[2] = Tile(one.soft)
        for slot, masked, whole, share, present in zip(one.slots, one.masked, one.unmasked, one.share, one.present):
            frame = slot_colour(slot) if present else ""
            upper.append(Tile(masked, "", frame))
            lower.append(Tile(whole, f"{'' if same else f'{slot}: '}{percent(share)}{'' if present else ', absent'}"))
        rows += [upper, lower]
    caption = (
        "For every image: above, the slot of each pixel and every slot behind its mask; below, the masks as they are, "
        "undecided pixels in mixed colours, and every slot whole with its share of the image. Present slots are framed."
    )
    picture = sheet(rows, columns=[*heads, *names], breaks=range(2, len(rows), 2))
    return plate_of(picture, caption, f"{len(shown)} images taken apart into {taken.mask.shape[1]} slots")


def take_pixels(
    images: Float[Tensor, "batch channels height width"],
    taken: Decomposition,
    truth: Int[Tensor, "batch height width"] | None = None,
    largest: int = LARGEST_SIDE,
) -> list[TakenApart]:
    """Every image as pixels to show, at most `largest` a side.

    Raises:
        PerceptsError: images, decomposition and truth do not fit together.
    """
    check_decomposition(images, taken, truth)
    taken = to_cpu(taken)
    reconstruction = to_pixels(taken.reconstruction, largest)
    before = to_pixels(images, largest)
    segmentation = colour_masks(shrink_labels(labels(taken.mask), largest))
    true = None if truth is None else colour_masks(shrink_labels(alike(truth.cpu(), labels(taken.mask)), largest))
    share, present = taken.mask.float().mean(dim=(2, 3)), taken.slots.presence
    found = []
    for number in range(len(images)):
        slots = shown_slots(share[number])
        whole = to_pixels(taken.appearance[number, slots], largest)
        mask = to_pixels(taken.mask[number, slots].unsqueeze(1), largest)
        soft = to_pixels(torch.from_numpy(blend_masks(taken.mask[number]) / 255.0).permute(2, 0, 1)[None], largest)[0]
        found.append(
            TakenApart(
                image=before[number],
                reconstruction=reconstruction[number],
                soft=soft,
                segmentation=segmentation[number],
                truth=None if true is None else true[number],
                slots=slots,
                masked=list(through(whole, mask[..., 0] / 255)),
                unmasked=list(whole),
                mask=list(mask),
                share=share[number, slots].tolist(),
                present=present[number, slots].tolist(),
                hidden=share.shape[1] - len(slots),
            )
        )
    return found


def alike(
    truth: Int[Tensor, "batch height width"], segmentation: Int[Tensor, "batch height width"]
) -> Int[Tensor, "batch height width"]:
    """`truth` numbered like the slots: an entity gets the number of the slot that it shares most pixels with, largest
    overlap first; entities for which no slot is left get further numbers. Negative entities (unknown) stay."""
    found = truth.clone()
    for number, (true, slots) in enumerate(zip(truth.long(), segmentation.long())):
        known = true >= 0
        entities = int(true.max().clamp_min(0)) + 1
        count = max(int(slots.max()) + 1, entities)
        overlap = torch.bincount(true[known] * count + slots[known], minlength=entities * count).view(entities, count)
        new, table = torch.full((entities,), -1), overlap.clone()
        while int(table.max()) > 0:
            entity, slot = divmod(int(table.argmax()), count)
            new[entity] = slot
            table[entity], table[:, slot] = 0, 0
        left = [slot for slot in range(count + entities) if slot not in new.tolist()]
        for place, entity in enumerate((new < 0).nonzero().flatten().tolist()):
            new[entity] = left[place]
        found[number] = torch.where(known, new[true.clamp_min(0)], true)
    return found


def shown_slots(share: Float[Tensor, " slots"], most: int = MOST_SLOTS) -> list[int]:
    """The `most` largest slots, in the model's order."""
    return sorted(share.argsort(descending=True, stable=True)[:most].tolist())


def check_decomposition(images: Tensor, taken: Decomposition, truth: Tensor | None = None) -> None:
    """Refuse what does not fit together.

    Raises:
        PerceptsError: naming the shapes.
    """
    batch, slots, height, width = taken.mask.shape
    shapes = [tuple(images.shape), (*images.shape[:1], *images.shape[2:])]
    wanted = [(batch, images.shape[1], height, width), (batch, height, width)]
    fits = shapes == wanted and taken.appearance.shape[:2] == (batch, slots)
    if batch == 0 or not fits or (truth is not None and tuple(truth.shape) != wanted[1]):
        known = "" if truth is None else f", a segmentation {tuple(truth.shape)}"
        raise PerceptsError(
            f"images {shapes[0]}, masks {tuple(taken.mask.shape)}, slots {tuple(taken.appearance.shape)}{known}",
            "[B,C,H,W], [B,K,H,W], [B,K,C,H,W] and [B,H,W] of the same images",
        )


def to_cpu(taken: Decomposition) -> Decomposition:
    """The same on the CPU, without gradients."""
    return map_decomposition(taken, lambda value: value.detach().float().cpu())


def part_of(taken: Decomposition, first: int, last: int) -> Decomposition:
    """Images `first` to `last`, the latter not included."""
    return map_decomposition(taken, lambda value: value[first:last])


def join_decompositions(parts: list[Decomposition]) -> Decomposition:
    """Several batches as one."""

    def rows(pick: Callable[[Decomposition], Tensor]) -> Tensor:
        return torch.cat([pick(part) for part in parts])

    slots = Slots(
        rows(lambda part: part.slots.mean),
        rows(lambda part: part.slots.variance),
        rows(lambda part: part.slots.mask),
        parts[0].slots.prior_std,
    )
    return Decomposition(slots, rows(lambda part: part.appearance), rows(lambda part: part.decoded_mask))


def map_decomposition(taken: Decomposition, change: Callable[[Tensor], Tensor]) -> Decomposition:
    """`change` done to every tensor."""
    old = taken.slots
    slots = Slots(change(old.mean), change(old.variance), change(old.mask), old.prior_std)
    return Decomposition(slots, change(taken.appearance), change(taken.decoded_mask))


def percent(share: float) -> str:
    """A share of the image in words."""
    return f"{100 * share:.0f} %" if share >= 0.095 or share == 0 else f"{100 * share:.1f} %".replace("-", MINUS)
