"""Editing scenes by their slots: take one out, put one of another image in, swap two; then draw what is left.

Works with every model that draws slots: the latents of K slots are a set, and the decoder gives each of them an
appearance and a claim on the pixels. That the result is a sensible scene is what slots promise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from percepts.core.capabilities import require
from percepts.core.errors import PerceptsError
from percepts.core.slots import DecodesSlots, Decomposition
from percepts.objects.editing import delete, insert, swap
from percepts.report.images import to_pixels
from percepts.report.plates import Plate, plate_of
from percepts.report.slot_palette import blend_masks, slot_colour
from percepts.report.slot_sheet import Tile, sheet, through
from percepts.report.slot_usage import telling_slots
from percepts.report.slots import Pixels


@dataclass(frozen=True)
class Edit:
    """One change of the slots.

    Attributes:
        name: "image", "without slot 2", …
        remark: what it should show.
        image: as decoded from the slots.
        soft: the decoded masks in mixed colours.
    """

    name: str
    remark: str
    image: Pixels
    soft: Pixels


@dataclass(frozen=True)
class Edits:
    """Two images, one telling slot of each, and what comes of changing them.

    Attributes:
        images: the two as pixels.
        slots: the numbers of the two slots.
        cut: the two slots behind their masks.
        edits: the changes, those of the first image first.
    """

    images: list[Pixels]
    slots: tuple[int, int]
    cut: list[Pixels]
    edits: list[Edit]


@torch.no_grad()
def edit_scenes(
    model: nn.Module,
    images: Float[Tensor, "2 channels height width"],
    taken: Decomposition,
    device: torch.device | str = "cpu",
    slots: tuple[int, int] | None = None,
) -> Edits:
    """Decode two images' slots as they are, without one, with one more, and with two of them swapped.

    Args:
        model: draws slots.
        taken: both images as taken apart.
        device: the model's.
        slots: one of each image; by default the present one with the largest KL besides the background.

    Raises:
        CapabilityError: the model does not draw slots.
        PerceptsError: not two images, or no such slot.
    """
    decoder = require(model, DecodesSlots, "slot editing")
    count = taken.mask.shape[1]
    if len(images) != 2 or taken.mask.shape[0] != 2:
        raise PerceptsError(f"{len(images)} images, {taken.mask.shape[0]} of them taken apart", "two of each")
    one, two = slots or (telling_slots(taken, 0, 1)[0], telling_slots(taken, 1, 1)[0])
    if not (0 <= one < count and 0 <= two < count):
        raise PerceptsError(f"slots {one} and {two}", f"numbers from 0 to {count - 1}")
    mean = taken.slots.mean.to(device)
    chosen = (one, two)
    edits = []
    for here, there in ((0, 1), (1, 0)):
        own, other = chosen[here], chosen[there]
        name, further = ("first", "second")[here], ("second", "first")[here]
        all_slots, left = list(range(count)), [slot for slot in range(count) if slot != own]
        scene, donor = mean[here : here + 1], mean[there : there + 1]
        edits.append(_drawn(decoder, f"{name} image", "as decoded", scene, all_slots))
        if left:
            edits.append(_drawn(decoder, f"without slot {own}", "what it hid is seen", delete(scene, own), left))
        more, swapped = insert(scene, donor, other), swap(scene, own, donor, other)[0]
        edits.append(_drawn(decoder, f"and slot {other} of the {further}", "one more", more, [*all_slots, count]))
        edits.append(_drawn(decoder, f"slot {own} replaced by it", "swapped", swapped, all_slots))
    whole = [to_pixels(taken.appearance[place, slot][None])[0] for place, slot in enumerate(chosen)]
    masks = [to_pixels(taken.mask[place, slot][None, None])[0] for place, slot in enumerate(chosen)]
    cut = [through(pixels, mask[..., 0] / 255) for pixels, mask in zip(whole, masks)]
    return Edits(list(to_pixels(images)), chosen, cut, edits)


def editing_plate(edits: Edits) -> Plate:
    """A row for each of the two images: itself, the slot that is moved, and every change with its masks below."""
    rows: list[list[Tile | None]] = []
    half = len(edits.edits) // 2
    for place in range(2):
        part = edits.edits[place * half : (place + 1) * half]
        frame = slot_colour(edits.slots[place])
        upper: list[Tile | None] = [Tile(edits.images[place]), Tile(edits.cut[place], frame=frame)]
        rows.append([*upper, *(Tile(one.image) for one in part)])
        rows.append([None, None, *(Tile(one.soft) for one in part)])
    heads = ["image", "its slot", "decoded", *(["without"] if half == 4 else []), "one more", "swapped"]
    caption = (
        "Slots of two images exchanged: taken out, put into the other image, and swapped; below, the masks as decoded. "
        "Where slots are objects, an object goes or comes and everything else stays."
    )
    names = [(f"slot {edits.slots[0]}", "of the first"), ("", ""), (f"slot {edits.slots[1]}", "of the second")]
    return plate_of(sheet(rows, columns=heads, labels=names, breaks=[2]), caption)


def telling_pair(taken: Decomposition) -> tuple[int, int]:
    """Two images: the one with the most present slots, and of the others with an object the one that differs most in
    what its most telling slot says; twice the same image where there is only one."""
    present = taken.slots.presence.sum(1)
    first = int(present.argmax())
    others = [number for number in range(len(present)) if number != first and int(present[number]) > 1]
    others = others or [number for number in range(len(present)) if number != first]
    if not others:
        return first, first
    told = taken.slots.mean[first, telling_slots(taken, first, 1)[0]]

    def apart(number: int) -> float:
        return float((taken.slots.mean[number, telling_slots(taken, number, 1)[0]] - told).square().sum())

    return first, max(others, key=apart)


def _drawn(
    decoder: DecodesSlots, name: str, remark: str, latents: Float[Tensor, "1 slots latents"], numbers: list[int]
) -> Edit:
    appearance, mask = (value.float().cpu() for value in decoder.components(latents))
    image = (mask.unsqueeze(2) * appearance).sum(1).clamp(0, 1)
    soft = torch.from_numpy(blend_masks(mask[0], numbers) / 255.0).permute(2, 0, 1)[None]
    return Edit(name, remark, to_pixels(image)[0], to_pixels(soft)[0])
