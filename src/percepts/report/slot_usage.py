"""How slots and their latents are used, over some images that a model took apart."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from percepts.core.slots import Decomposition


@dataclass(frozen=True)
class SlotUsage:
    """Numbers over N images; "held" means slots that are present (`core.slots.present`), of all images.

    Attributes:
        kl: of every slot and latent to the standard normal, mean over images, in nats, [K, D].
        held_kl: the same over held slots, of every latent, [D]; by it latents are ranked.
        variance: mean posterior variance of every latent over held slots, [D]: near 1 where it says nothing.
        spread: standard deviation of the posterior means over held slots, [D].
        share: of the image, mean over images, [K].
        presence: how often each slot is present, [K].
        present: in which image each slot is present, [N, K].
    """

    kl: Float[Tensor, "slots latents"]
    held_kl: Float[Tensor, " latents"]
    variance: Float[Tensor, " latents"]
    spread: Float[Tensor, " latents"]
    share: Float[Tensor, " slots"]
    presence: Float[Tensor, " slots"]
    present: Bool[Tensor, "images slots"]

    @property
    def order(self) -> list[int]:
        """All latents, those with the largest KL in held slots first."""
        return self.held_kl.argsort(descending=True, stable=True).tolist()

    @property
    def active(self) -> float:
        """Slots present in an image, on average."""
        return float(self.presence.sum())


def measure_slots(taken: Decomposition) -> SlotUsage:
    """The numbers over the images of `taken`; where no slot is present anywhere, all count as held."""
    slots = taken.slots
    present = slots.presence
    held = present if bool(present.any()) else present.logical_not()
    kl, mean = slots.kl().float(), slots.mean.float()
    return SlotUsage(
        kl=kl.mean(0),
        held_kl=kl[held].mean(0),
        variance=slots.variance.float()[held].mean(0),
        spread=mean[held].std(dim=0, correction=0),
        share=slots.mask.float().mean(dim=(0, 2, 3)),
        presence=present.float().mean(0),
        present=present,
    )


def telling_slots(taken: Decomposition, number: int, most: int = 2) -> list[int]:
    """The slots of image `number` worth a closer look: of the present ones those with the largest KL, the largest in
    area (as a rule the background) last; all slots where none is present."""
    mask = taken.mask[number]
    present = taken.slots.presence[number].nonzero().flatten().tolist() or list(range(mask.shape[0]))
    kl = taken.slots.kl()[number].sum(-1)
    largest = int(mask.mean(dim=(1, 2)).argmax())
    return sorted(present, key=lambda slot: (slot == largest, -float(kl[slot])))[:most]


def telling_image(taken: Decomposition) -> int:
    """The image with the most present slots; of equals that with the most decided masks."""
    present = taken.slots.presence.sum(1).float()
    decided = taken.mask.amax(1).mean(dim=(1, 2))
    return int((present + decided).argmax())
