"""What models of several objects give: slots, and images taken apart. Everything downstream asks only for these.

Shapes: B batch, K slots, D latents of a slot, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

PRESENT_SHARE = 0.005
"""A slot with less of the image than this share is absent."""


@dataclass(frozen=True)
class Slots:
    """A posterior over K slots an image, diagonal Gaussians, and where each slot is. A `core.capabilities.Posterior`.

    Attributes:
        mean, variance: of the latents.
        mask: how far each pixel belongs to each slot; sums to 1 over the slots.
        prior_std: of every latent before anything is seen; its mean is 0.
    """

    mean: Float[Tensor, "batch slots latents"]
    variance: Float[Tensor, "batch slots latents"]
    mask: Float[Tensor, "batch slots height width"]
    prior_std: float = 1.0

    @property
    def presence(self) -> Bool[Tensor, "batch slots"]:
        """Which slots hold something; see `present`."""
        return present(self.mask)

    def kl(self) -> Float[Tensor, "batch slots latents"]:
        """KL to the prior of every latent of every slot, in nats."""
        scale = self.prior_std**2
        ratio = self.variance / scale
        return 0.5 * (self.mean.square() / scale + ratio - ratio.log() - 1)

    def sample(self, noise: Float[Tensor, "batch slots latents"]) -> Float[Tensor, "batch slots latents"]:
        """The latents for standard normal `noise`."""
        return self.mean + self.variance.sqrt() * noise


@dataclass(frozen=True)
class Decomposition:
    """An image taken apart.

    Attributes:
        slots: what was inferred, with the masks.
        appearance: what every slot looks like, also where other slots hide it; in [0, 1].
        decoded_mask: the masks as the latents alone give them; those of `slots` where the model has no others.
    """

    slots: Slots
    appearance: Float[Tensor, "batch slots channels height width"]
    decoded_mask: Float[Tensor, "batch slots height width"]

    @property
    def mask(self) -> Float[Tensor, "batch slots height width"]:
        """The inferred masks."""
        return self.slots.mask

    @property
    def reconstruction(self) -> Float[Tensor, "batch channels height width"]:
        """The mixture's mean image, in [0, 1]."""
        return (self.mask.unsqueeze(2) * self.appearance).sum(1).clamp(0, 1)


def present(
    mask: Float[Tensor, "batch slots height width"], share: float = PRESENT_SHARE
) -> Bool[Tensor, "batch slots"]:
    """Which slots hold something: some pixel belongs to it by half or more, and it has `share` of the image or more."""
    return (mask.amax(dim=(2, 3)) >= 0.5) & (mask.mean(dim=(2, 3)) >= share)


def labels(mask: Float[Tensor, "*batch slots height width"]) -> torch.Tensor:
    """The slot that each pixel belongs to most, int64 [..., H, W]; the first of equals."""
    return mask.argmax(dim=-3)


@runtime_checkable
class Decomposes(Protocol):
    """Takes images apart into slots. `encode(image)` of such a model gives `Slots`, `segment` their numbers."""

    def decompose(self, image: Tensor, slots: int | None = None) -> Decomposition:
        """`image` [B,C,H,W] in [0,1], with another number of slots than in training where given."""


@runtime_checkable
class DecodesSlots(Protocol):
    """Draws slots. `decode(latents [B,K,D])` of such a model gives the whole image [B,C,H,W] in [0,1]."""

    def components(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """The appearance [B,K,C,H,W] in [0,1] of every slot and the masks [B,K,H,W] that the latents [B,K,D] give."""


@runtime_checkable
class Refines(Protocol):
    """Infers slots step by step."""

    def refine(self, image: Tensor, steps: int | None = None, slots: int | None = None) -> list[Decomposition]:
        """What the model believes before the first step and after each one."""


@runtime_checkable
class Tracks(Protocol):
    """Follows objects through a video; a slot keeps its object."""

    def track(self, video: Tensor, slots: int | None = None) -> list[Decomposition]:
        """One decomposition for every frame of `video` [B,T,C,H,W] in [0,1]."""
