"""A pixel as a mixture of slots: ln p(x_i) = ln Σ_k m_{k,i} p(x_i | slot k).

    log_prob = log_density("normal", image, mean, scale)           # [B, K, C, H, W]
    mixture_nll(log_mask, log_prob)                                # [B], nats summed over the pixels
    mixture_nll(log_mask, log_prob, over="channel")                # a mixture of its own for every colour channel

MONet (Burgess et al. 2019, the decoder's term of its loss) and IODINE (Greff et al. 2019, equation 1) share it. A pixel
belongs to one slot with all its channels, so the channels' log-densities are summed before the slots are mixed
(`over="pixel"`, as in the published code of IODINE). Most re-implementations of MONet mix every channel by itself; its
paper can be read either way.

Masks stay logarithms throughout: the logarithm of a float32 probability may be −∞, the log-mask of a model is not.
Everything is computed in float32 (or float64), also under autocast.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from percepts.nn.layers import full_precision

Density = Literal["normal", "logistic"]
MixtureOver = Literal["pixel", "channel"]

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def log_density(
    kind: Density,
    image: Float[Tensor, "batch channels height width"],
    mean: Float[Tensor, "batch slots channels height width"],
    scale: float | Float[Tensor, ""] | Float[Tensor, " slots"],
) -> Float[Tensor, "batch slots channels height width"]:
    """ln p(x | slot) of every channel of every pixel under every slot, in nats.

    Args:
        kind: "normal" with standard deviation `scale`, or "logistic" with that scale (its deviation is 1.81 times it).
        mean: what the slots look like.
        scale: one for all slots, or one for each.
    """
    image, mean = full_precision(image).unsqueeze(1), full_precision(mean)
    if not isinstance(scale, Tensor):
        scale = mean.new_full((), scale)
    scale = scale.to(mean.dtype).reshape(1, -1, 1, 1, 1)
    standardised = (image - mean) / scale
    if kind == "normal":
        return -0.5 * standardised.square() - (scale.log() + HALF_LOG_TWO_PI)
    # The density is symmetric: with −|u| no exponential overflows.
    away = -standardised.abs()
    return away - 2 * F.softplus(away) - scale.log()


def mixture_log_prob(
    log_mask: Float[Tensor, "batch slots height width"],
    log_prob: Float[Tensor, "batch slots channels height width"],
    over: MixtureOver = "pixel",
) -> Float[Tensor, "batch height width"]:
    """ln p(x_i) of every pixel, in nats.

    Args:
        log_mask: ln m; m sums to 1 over the slots.
        log_prob: ln p(x | slot) of every channel.
        over: what one mixture is over: a pixel with its channels, or each channel by itself.
    """
    log_mask, log_prob = full_precision(log_mask), full_precision(log_prob)
    if over == "pixel":
        return torch.logsumexp(log_mask + log_prob.sum(2), dim=1)
    return torch.logsumexp(log_mask.unsqueeze(2) + log_prob, dim=1).sum(1)


def mixture_nll(
    log_mask: Float[Tensor, "batch slots height width"],
    log_prob: Float[Tensor, "batch slots channels height width"],
    over: MixtureOver = "pixel",
) -> Float[Tensor, " batch"]:
    """−ln p(x) of every image in nats, summed over pixels; see `mixture_log_prob`."""
    return -mixture_log_prob(log_mask, log_prob, over).sum(dim=(1, 2))


def weighted_nll(
    log_mask: Float[Tensor, "batch slots height width"], log_prob: Float[Tensor, "batch slots channels height width"]
) -> Float[Tensor, " batch"]:
    """Σ_i Σ_k m_{k,i} (−ln p(x_i | slot k)) in nats: Jensen's bound, never below `mixture_nll` over pixels.

    Every slot gets a gradient in proportion to its mask, and undecided masks cost something.
    """
    log_mask, log_prob = full_precision(log_mask), full_precision(log_prob)
    return -(log_mask.exp() * log_prob.sum(2)).sum(dim=(1, 2, 3))


def mask_kl(
    log_mask: Float[Tensor, "batch slots height width"], log_other: Float[Tensor, "batch slots height width"]
) -> Float[Tensor, " batch"]:
    """KL(mask ‖ other) of the pixels' categorical distributions over slots, summed over the pixels, in nats."""
    log_mask, log_other = full_precision(log_mask), full_precision(log_other)
    return (log_mask.exp() * (log_mask - log_other)).sum(dim=(1, 2, 3))


def mask_entropy(log_mask: Float[Tensor, "batch slots height width"]) -> Float[Tensor, " batch"]:
    """How undecided a pixel is on average, in nats: 0 for hard masks, ln K where all slots share all pixels."""
    log_mask = full_precision(log_mask)
    return -(log_mask.exp() * log_mask).sum(1).mean(dim=(1, 2))
