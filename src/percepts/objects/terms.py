"""The terms of a slot model's loss and what the log says about its slots."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.core.slots import present
from percepts.nn.mixture import mask_entropy


@dataclass(frozen=True)
class SlotTerms:
    """What a batch cost and how it was taken apart, one row an image, in nats.

    Attributes:
        image: in [0, 1].
        appearance: the pixel means of every slot.
        log_mask: ln m of the inferred masks.
        nll: −ln p(image | latents), or a bound of it.
        kl_per_slot: of the latents, summed over them.
        mask_divergence: KL(m ‖ m̃) summed over the pixels; zero where there are no other masks.
    """

    image: Float[Tensor, "batch channels height width"]
    appearance: Float[Tensor, "batch slots channels height width"]
    log_mask: Float[Tensor, "batch slots height width"]
    nll: Float[Tensor, " batch"]
    kl_per_slot: Float[Tensor, "batch slots"]
    mask_divergence: Float[Tensor, " batch"]

    @property
    def reconstruction(self) -> Float[Tensor, ""]:
        """The mean NLL of the batch."""
        return self.nll.mean()

    @property
    def kl(self) -> Float[Tensor, ""]:
        """The mean KL of the latents, summed over slots and latents."""
        return self.kl_per_slot.sum(1).mean()

    @property
    def kl_mask(self) -> Float[Tensor, ""]:
        """The mean KL of the masks, summed over the pixels."""
        return self.mask_divergence.mean()

    @torch.no_grad()
    def log(self) -> dict[str, Tensor]:
        """Everything worth a line in the log, without gradients: the loss's terms, the error, and the masks' state.

        `elbo` has weight 1 for both KLs whatever the objective's weights are; with the masks' KL it is a bound only in
        name. `nll_per_value` is per number of the image.
        """
        mask = self.log_mask.exp()
        share = mask.mean(dim=(2, 3))
        error = (mask.unsqueeze(2) * self.appearance).sum(1).clamp(0, 1) - self.image
        return {
            "reconstruction": self.reconstruction,
            "kl": self.kl,
            "kl_mask": self.kl_mask,
            "elbo": -(self.reconstruction + self.kl + self.kl_mask),
            "nll_per_value": self.reconstruction / self.image[0].numel(),
            "mse": error.square().mean(),
            "mask_entropy": mask_entropy(self.log_mask).mean(),
            "largest_slot": share.amax(1).mean(),
            "active_slots": present(mask).sum(1).float().mean(),
            "kl_per_slot": self.kl_per_slot.mean(0),
            "share_per_slot": share.mean(0),
        }
