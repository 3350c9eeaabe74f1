"""Cheap signs that a VAE's training has gone wrong, or right."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.factors.vae import VAE


def has_collapsed(kl: Sequence[float], threshold: float = 0.1, steps: int = 500) -> bool:
    """Whether the code carries nothing any more: total KL below `threshold` nats at each of the last `steps` values.

    Args:
        kl: the total KL at every step so far, in nats; fewer than `steps` values are never a collapse.
    """
    return steps > 0 and len(kl) >= steps and all(value < threshold for value in kl[-steps:])


@torch.no_grad()
def excess_reconstruction(model: VAE, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, ""]:
    """The mean of −ln p(x | posterior mean) less the entropy of the soft targets, in nats an image ("excess BCE").

    0 for a perfect code. It compares across datasets, which the raw Bernoulli term does not: grey pixels cost nats
    however well they are predicted. The posterior's noise, which the training term includes, is left out.
    """
    nll = model.likelihood.nll(model.decode_output(model.encode(image).mean), image)
    return (nll - model.likelihood.data_entropy(image)).mean()


def capacity_suggestion(kl: float, slack: float = 0.1) -> float:
    """C_max from the mean total KL of a β ≈ 1 model with good reconstructions: a little more than it uses.

    The first author's rule of thumb for CCI-VAE; the slack is ours.
    """
    return (1 + slack) * kl
