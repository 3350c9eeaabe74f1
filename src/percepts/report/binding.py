"""Do the slots bind? Numbers from a model that takes images apart, and the symptoms that they show.

Every symptom is looked for with any slot model, with or without ground truth: in the images of the report, in the
evaluation where there is one, and in the training log. The thresholds are this library's own; the docs page "Why do my
slots not bind?" shows each symptom. What a symptom means and what to try comes from the papers' and re-implementers'
experience (Burgess et al. 2019; Greff et al. 2019; Engelcke et al. 2020, "Reconstruction bottlenecks").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from percepts.core.capabilities import require
from percepts.core.errors import PerceptsError
from percepts.core.slots import DecodesSlots, Decomposition, labels
from percepts.metrics.segmentation_colour import colour_grouping
from percepts.nn.mixture import log_density, mixture_nll

USUAL_SCALE = 0.1
"""The standard deviation of pixels where a model does not say its own: that of MONet is 0.09 and 0.11."""
LEAST_MASK = 1e-6
HELD = 0.1
"""A slot counts as holding part of an entity from this share of the entity's pixels on."""


@dataclass(frozen=True)
class BindingNumbers:
    """What the symptoms are read off.

    Attributes:
        images: how many were looked at; those of the evaluation where it has the number.
        slots: K.
        entropy: of the masks, as a share of the largest possible; 0 for one slot.
        largest: the share of the image that the largest slot has.
        active: slots present in an image.
        kl: of all slots together, in nats.
        error: root mean square of image − reconstruction.
        contrast: standard deviation of the images' numbers around the mean image.
        scale: the standard deviation of a pixel in the model's likelihood, None where it does not say.
        disagreement: half the L1 distance of inferred and decoded masks, mean over pixels; None where they are one.
        gradient: the share of the likelihood's gradient that reaches each slot; None where slots cannot be drawn.
        colour: how well slots agree with the pixels' colours (adjusted Rand index).
        colour_oracle, model: how well colours, and slots, agree with the true objects; None without truth.
        visible: entities visible in an image, background included; None without truth.
        pieces: slots that hold a tenth or more of a true entity, mean over entities; None without truth.
    """

    images: int
    slots: int
    entropy: float
    largest: float
    active: float
    kl: float
    error: float
    contrast: float
    scale: float | None
    disagreement: float | None
    gradient: list[float] | None
    colour: float | None
    colour_oracle: float | None
    model: float | None
    visible: float | None
    pieces: float | None


def binding_numbers(
    model: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    taken: Decomposition,
    truth: Int[Tensor, "batch height width"] | None = None,
    backgrounds: int = 1,
    evaluated: Mapping[str, Any] | None = None,
) -> BindingNumbers:
    """Everything from some images, replaced by what `evaluated` (`slots` of evaluation.json) knows of more.

    Args:
        taken: the images as the model takes them apart, on the CPU.
        backgrounds: how many entities, the first, are background.
    """
    pictures, known = images.detach().float().cpu().clamp(0, 1), dict(evaluated or {})
    mask, decoded = taken.mask.detach().float(), taken.decoded_mask.detach().float()
    share, slots = mask.mean(dim=(2, 3)), mask.shape[1]
    entropy = float(torch.special.entr(mask).sum(1).mean()) / math.log(slots) if slots > 1 else 0.0
    scale = pixel_scale(model)
    apart = not torch.allclose(mask, decoded, atol=1e-4)
    numbers = {
        "mask_entropy_share": entropy,
        "largest_slot": float(share.amax(1).mean()),
        "active": float(taken.slots.presence.float().sum(1).mean()),
        "disagreement": float((mask - decoded).abs().sum(1).mean() / 2),
        "kl": float(taken.slots.kl().detach().sum((1, 2)).mean()),
    }
    numbers |= {name: as_sum(known[name]) for name in numbers if known.get(name) is not None}
    grouping = _grouping(pictures, taken, truth, backgrounds)
    return BindingNumbers(
        images=len(pictures),
        slots=slots,
        entropy=numbers["mask_entropy_share"],
        largest=numbers["largest_slot"],
        active=numbers["active"],
        kl=numbers["kl"],
        error=float((taken.reconstruction - pictures).square().mean().sqrt()),
        contrast=float((pictures - pictures.mean(0)).square().mean().sqrt()),
        scale=scale,
        disagreement=numbers["disagreement"] if apart else None,
        gradient=gradient_shares(model, images[:4], taken, scale or USUAL_SCALE),
        **grouping,
    )


def gradient_shares(
    model: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    taken: Decomposition,
    scale: float = USUAL_SCALE,
) -> list[float] | None:
    """Which slots the likelihood teaches: the norm of d(−ln p)/d(latents) of every slot, as shares of the sum.

    The likelihood is a mixture of Gaussians of standard deviation `scale` around what the slots' latents draw; its
    masks are the decoded ones where the model has no others, or else the inferred ones. No parameter gets a gradient.

    Args:
        images: on the model's device; the first of those that `taken` is of.

    Returns:
        A share for every slot, or None where the model cannot draw slots or its drawing has no gradient.
    """
    if not isinstance(model, DecodesSlots):
        return None
    decoder = require(model, DecodesSlots, "gradients by slot")
    count = len(images)
    same = torch.allclose(taken.mask, taken.decoded_mask, atol=1e-4)
    with torch.inference_mode(False), torch.enable_grad():
        latents = taken.slots.mean[:count].detach().clone().to(images.device).requires_grad_()
        appearance, decoded = decoder.components(latents)
        mask = decoded if same else taken.mask[:count].to(images.device)
        log_prob = log_density("normal", images.detach().clone(), appearance, scale)
        nll = mixture_nll(mask.clamp_min(LEAST_MASK).log(), log_prob).mean()
        if not nll.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(nll, latents)
    norm = gradient.norm(dim=2).mean(0).cpu()
    total = float(norm.sum())
    return (norm / total).tolist() if math.isfinite(total) and total > 0 else None


def pixel_scale(model: nn.Module) -> float | None:
    """The standard deviation of a pixel in the model's likelihood, as MONet and IODINE say it; None for others."""
    config, learned = getattr(model, "config", None), getattr(model, "scale", None)
    if callable(learned):
        with torch.no_grad():
            found = float(learned())
        return found * math.pi / math.sqrt(3) if getattr(config, "density", "") == "logistic" else found
    fixed = getattr(config, "foreground_scale", getattr(config, "scale", None))
    return float(fixed) if isinstance(fixed, int | float) else None


def _grouping(
    pictures: Tensor, taken: Decomposition, truth: Tensor | None, backgrounds: int
) -> dict[str, float | None]:
    """Agreement with colours and truth; None for what cannot be said."""
    predicted = labels(taken.mask)
    found: dict[str, float | None] = dict.fromkeys(("colour", "colour_oracle", "model", "visible", "pieces"))
    usable = truth if truth is not None and bool((truth >= 0).all()) else None
    try:
        result = colour_grouping(predicted, pictures, true=usable, backgrounds=backgrounds)
    except PerceptsError:  # Images that are not numbers have other troubles than colours.
        return found
    found["colour"] = _number(result.value)
    if usable is None:
        return found
    found |= {"colour_oracle": _number(result.details["oracle"]), "model": _number(result.details["model"])}
    pieces, visible = [], []
    for true, slots in zip(usable, predicted):
        sizes = [torch.bincount(slots[true == entity], minlength=1) for entity in true.unique().tolist()]
        visible.append(len(sizes))
        pieces += [int((size >= HELD * size.sum()).sum()) for size in sizes]
    return found | {"visible": sum(visible) / len(visible), "pieces": sum(pieces) / len(pieces)}


def as_sum(value: float | Sequence[float | None]) -> float:
    """A number, or the sum of a number for every slot; what is unknown counts as 0."""
    return math.fsum(part or 0.0 for part in value) if isinstance(value, list | tuple) else float(value)  # type: ignore[arg-type]


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
