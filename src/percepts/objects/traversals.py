"""What the latents of slots mean: traversals of one slot, and how much of the code each latent carries.

    steps = traverse(model, model.encode(image).mean, slot=2, latent=5)
    steps.appearance, steps.masked, steps.image            # how the object alone changes, where it is, and the scene

Works for any model that `DecodesSlots`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from percepts.core.errors import DataError
from percepts.core.slots import DecodesSlots, Slots

VALUES = (-2.0, -4 / 3, -2 / 3, 0.0, 2 / 3, 4 / 3, 2.0)
"""Values that a traversed latent takes; our choice for MONet, whose paper's range is unverified."""


@dataclass(frozen=True)
class Traversal:
    """One latent of one slot at V values, for every image.

    Attributes:
        appearance: what the slot looks like, also where others hide it.
        mask: where it is, with the other slots as they were: a moved object moves.
        image: the whole scene.
    """

    appearance: Float[Tensor, "batch values channels height width"]
    mask: Float[Tensor, "batch values height width"]
    image: Float[Tensor, "batch values channels height width"]

    @property
    def masked(self) -> Float[Tensor, "batch values channels height width"]:
        """The slot's appearance where it shows, black elsewhere."""
        return self.mask.unsqueeze(2) * self.appearance


@torch.no_grad()
def traverse(
    model: DecodesSlots,
    latents: Float[Tensor, "batch slots latents"],
    slot: int,
    latent: int,
    values: Sequence[float] = VALUES,
) -> Traversal:
    """Decode `latents` with one of them set to each of `values`. Masks are those that the latents give.

    Raises:
        DataError: no such slot or latent.
    """
    if not (0 <= slot < latents.shape[1] and 0 <= latent < latents.shape[2]):
        raise DataError(
            f"latent {latent} of slot {slot}", f"below {latents.shape[2]} and {latents.shape[1]}, both from 0 on"
        )
    rows = []
    for value in values:
        changed = latents.clone()
        changed[:, slot, latent] = value
        appearance, mask = model.components(changed)
        image = (mask.unsqueeze(2) * appearance).sum(1).clamp(0, 1)
        rows.append((appearance[:, slot], mask[:, slot], image))
    return Traversal(*(torch.stack(pieces, dim=1) for pieces in zip(*rows)))


@dataclass(frozen=True)
class Usage:
    """How the latents of slots that hold something are used, over all images.

    Attributes:
        std: the mean posterior standard deviation: about 1 for a latent that is not used, far below 1 for one that is.
        spread: the standard deviation of the posterior means.
        kl: the mean KL in nats.
        slots: how many slots of the images were counted.
    """

    std: Float[Tensor, " latents"]
    spread: Float[Tensor, " latents"]
    kl: Float[Tensor, " latents"]
    slots: int

    @property
    def order(self) -> Int[Tensor, " latents"]:
        """The latents, most informative first."""
        return self.kl.argsort(descending=True)


def usage(slots: Slots) -> Usage:
    """Which latents carry something, over the slots that are present.

    Raises:
        DataError: fewer than two slots are present.
    """
    held = slots.presence
    if int(held.sum()) < 2:
        raise DataError("images of which no more than one slot holds something", "a trained model and more images")
    mean, variance = slots.mean[held], slots.variance[held]
    return Usage(variance.sqrt().mean(0), mean.std(0), slots.kl()[held].mean(0), int(held.sum()))


def most_informative(slots: Slots, image: int = 0) -> tuple[int, list[int]]:
    """The slot of `image` with the largest KL, and its latents, largest KL first: what is worth a traversal."""
    kl = slots.kl()[image]
    slot = int(kl.sum(1).argmax())
    return slot, kl[slot].argsort(descending=True).tolist()
