"""Latent traversals: what each latent does to a picture (Higgins et al. 2017, §4).

Every traversal starts at the posterior mean of a real image. The prior's mean, all zeros, is a place where many
decoders give the average blur.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from percepts.core.capabilities import Decodes, Encodes, Posterior, require
from percepts.core.errors import PerceptsError

ACTIVE_KL = 0.01
"""Nats of mean KL above which a latent counts as active, as in UDR."""


@dataclass(frozen=True)
class Latents:
    """How much each latent of a code is used, over some images.

    Attributes:
        kl: mean KL to the standard normal, in nats, [D].
        variance: mean posterior variance, [D].
        spread: standard deviation of the posterior means over images, [D].
        active: whether each counts as active.
    """

    kl: list[float]
    variance: list[float]
    spread: list[float]
    active: list[bool]

    def __len__(self) -> int:
        return len(self.kl)

    @property
    def order(self) -> list[int]:
        """All latents, those with the largest KL first."""
        return sorted(range(len(self.kl)), key=lambda latent: -self.kl[latent])

    @property
    def used(self) -> list[int]:
        """The active latents, those with the largest KL first."""
        return [latent for latent in self.order if self.active[latent]]


def measure_latents(posterior: Posterior) -> Latents:
    """The usage of every latent, from the posteriors [B, D] of some images."""
    mean, variance = posterior.mean.detach().float(), posterior.variance.detach().float()
    kl = 0.5 * (mean.square() + variance - variance.log() - 1).mean(dim=0)
    spread = mean.std(dim=0, correction=0)
    return Latents(kl.tolist(), variance.mean(dim=0).tolist(), spread.tolist(), (kl > ACTIVE_KL).tolist())


@torch.no_grad()
def traverse(
    model: nn.Module,
    image: Float[Tensor, "channels height width"],
    values: Sequence[float] | Float[Tensor, " values"] | Float[Tensor, "latents values"],
    latents: Sequence[int] | None = None,
    batch: int = 256,
) -> Float[Tensor, "latents values channels height width"]:
    """Decode the posterior mean of `image` with one latent at a time set to each of `values`.

    Args:
        model: encodes and decodes.
        image: where to start, in [0, 1], on the model's device.
        values: of the latent, the same for all or a row for each of `latents`; the prior has standard deviation 1.
        latents: which to vary, in the order of the result; by default all, in their own order.
        batch: images decoded at once.

    Raises:
        CapabilityError: the model does not encode or does not decode.
        PerceptsError: the code is not one vector an image, or a latent is not in it.
    """
    mean = require(model, Encodes, "traversals").encode(image[None]).mean
    if mean.ndim != 2:
        raise PerceptsError(f"posterior means of shape {tuple(mean.shape)}", "one vector of latents an image, [1, D]")
    size = mean.shape[1]
    chosen = list(range(size)) if latents is None else list(latents)
    if any(not 0 <= latent < size for latent in chosen):
        raise PerceptsError(f"latents {chosen}", f"numbers from 0 to {size - 1}")
    steps = torch.as_tensor(values, dtype=mean.dtype, device=mean.device)
    steps = steps.expand(len(chosen), -1) if steps.ndim == 1 else steps
    if len(steps) != len(chosen):
        raise PerceptsError(f"{len(steps)} rows of values for {len(chosen)} latents", "one for every latent")
    codes = mean.expand(steps.numel(), size).clone()
    codes[torch.arange(len(codes)), torch.tensor(chosen).repeat_interleave(steps.shape[1])] = steps.flatten()
    decoder = require(model, Decodes, "traversals")
    images = torch.cat([decoder.decode(part) for part in codes.split(batch)])
    return images.unflatten(0, steps.shape)
