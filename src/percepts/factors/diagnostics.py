"""What a trained VAE keeps of images, and the capacity that it needs."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.factors.vae import VAE


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
