"""Traversals of slots: what one latent of one slot does to the slot, to its mask, and to the whole image.

The mask has to be decoded anew with every change: with masks held where the encoder saw them, an object that moves
leaves its own mask and nothing is seen (Burgess et al. 2019, figure 4 shows the component; Greff et al. 2019, figure 6
the whole image).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from percepts.core.capabilities import require
from percepts.core.errors import PerceptsError
from percepts.core.slots import DecodesSlots, Decomposition
from percepts.objects.traversals import traverse
from percepts.report.images import LARGEST_SIDE, to_pixels
from percepts.report.plates import Plate, plate_of
from percepts.report.slot_sheet import Tile, sheet, through
from percepts.report.slot_usage import SlotUsage, telling_slots
from percepts.report.svg import nats, share

VALUES = 7
REACH = 2.0
"""Latents move over ±2 standard deviations of a standard normal prior (this library's choice: the range of MONet's
figures is not known, that of IODINE's published notebook is ±1.25)."""
MOST_LATENTS = 5


@dataclass(frozen=True)
class SlotTraversal:
    """L latents of one slot of one image, each at V values; all other slots as inferred.

    Attributes:
        slot: which.
        latents: which, the most informative first.
        values: of the latent.
        component: the slot whole.
        mask: where it is, decoded anew.
        image: everything put together again.
    """

    slot: int
    latents: list[int]
    values: Float[Tensor, " values"]
    component: Float[Tensor, "latents values channels height width"]
    mask: Float[Tensor, "latents values height width"]
    image: Float[Tensor, "latents values channels height width"]


@torch.no_grad()
def traverse_slot(
    model: nn.Module,
    mean: Float[Tensor, "slots latents"],
    slot: int,
    latents: Sequence[int],
    values: Sequence[float] | Float[Tensor, " values"] | None = None,
) -> SlotTraversal:
    """Set one latent of one slot at a time to each of `values` and decode all slots.

    Args:
        model: draws slots.
        mean: the latents of all slots of one image, on the model's device.
        values: by default `VALUES` from −`REACH` to `REACH`.

    Raises:
        CapabilityError: the model does not draw slots.
        PerceptsError: no such slot or latent.
    """
    decoder = require(model, DecodesSlots, "slot traversals")
    slots, size = mean.shape
    if not 0 <= slot < slots or not latents or any(not 0 <= latent < size for latent in latents):
        raise PerceptsError(
            f"slot {slot}, latents {list(latents)}", f"slots 0 to {slots - 1} and some latents from 0 to {size - 1}"
        )
    steps = torch.linspace(-REACH, REACH, VALUES) if values is None else torch.as_tensor(values, dtype=torch.float32)
    found = [traverse(decoder, mean[None], slot, latent, steps.tolist()) for latent in latents]
    parts = [
        torch.cat([pick(one) for one in found]).float().cpu()
        for pick in (lambda one: one.appearance, lambda one: one.mask, lambda one: one.image)
    ]
    return SlotTraversal(slot, list(latents), steps.cpu(), *parts)


def traverse_image(
    model: nn.Module, taken: Decomposition, usage: SlotUsage, number: int, device: torch.device, slots: int = 2
) -> list[SlotTraversal]:
    """The most informative latents of the most telling slots of image `number`."""
    mean = taken.slots.mean[number].to(device)
    latents = usage.order[:MOST_LATENTS]
    return [traverse_slot(model, mean, slot, latents) for slot in telling_slots(taken, number, slots)]


def slot_traversal_plate(traversals: Sequence[SlotTraversal], usage: SlotUsage) -> Plate:
    """Three rows a latent: the slot whole, behind its mask as decoded anew, and the whole image.

    Raises:
        PerceptsError: there is nothing to show.
    """
    if not traversals:
        raise PerceptsError("no traversal to show", "one slot or more")
    rows: list[list[Tile | None]] = []
    names: list[tuple[str, str]] = []
    for one in traversals:
        for place, latent in enumerate(one.latents):
            strips = strip_pixels(one, place)
            rows += [[Tile(pixels) for pixels in strip] for strip in strips]
            remark = f"{nats(float(usage.held_kl[latent]))} nats, σ² {share(float(usage.variance[latent]))}"
            names += [(f"slot {one.slot}, z{latent}", remark), ("", "behind its mask"), ("", "whole image")]
    heads = [f"{round(float(value), 2) + 0.0:g}".replace("-", "−") for value in traversals[0].values]
    caption = (
        "One latent of one slot at a time, the others as inferred; masks are decoded anew. A slot that holds an object "
        "moves, resizes or recolours that object and nothing else. Latents are ranked by their KL in present slots."
    )
    image = sheet(rows, columns=heads, labels=names, breaks=range(3, len(rows), 3))
    words = "; ".join(f"slot {one.slot}: latents {', '.join(map(str, one.latents))}" for one in traversals)
    return plate_of(image, caption, f"Traversals of {words}")


def strip_pixels(traversal: SlotTraversal, place: int, largest: int = LARGEST_SIDE) -> list:
    """The slot whole, behind its mask, and the image, of the latent at `place`: three rows of pixels."""
    whole = to_pixels(traversal.component[place], largest)
    mask = to_pixels(traversal.mask[place].unsqueeze(1), largest)
    return [whole, through(whole, mask[..., 0] / 255), to_pixels(traversal.image[place], largest)]
