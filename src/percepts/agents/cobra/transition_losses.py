"""How wrong a predicted set of slots is: what the transition model minimises and the explorer looks for.

    pixel       Σ over pixels and colours of (decoded prediction − next image)²: slots need no matching
    hungarian   predicted slots matched one to one with those of the next image, then Σ of squared differences
    nearest     every predicted slot compared with the nearest one of the next image (an ablation)
    aligned     slot k with slot k, where an encoder keeps the places (ground truth)

All are errors of one transition, [B], never means over the batch. Errors of latents weigh a slot by how far it counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from percepts.agents.cobra.slots import SlotEncoder, SlotState, as_images
from percepts.core.config import Config
from percepts.core.errors import ConfigError
from percepts.metrics.assignment import best_assignment

Decoder = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class TransitionLoss(Config):
    """Which error, and which transitions matter more.

    Attributes:
        kind: see the module's head.
        match_by: by which distance slots are matched; "cosine" ignores their lengths. The error itself is squared.
        pixel_cap: a squared difference of a pixel's colour counts at most this much; None: in full. It limits what the
            explorer can gain from flicker, and has no gradient beyond.
        changed_weight: how much more a transition counts where something changed: about 19 of 20 random actions move
            nothing. 1: the same; 4 is proposed for the first transitions.
        changed_until: so many transitions the above holds; later all count the same. None: always.
        change_threshold: by how much a number of the image in [0, 1], or of a latent without an image, has to change.
    """

    kind: Literal["pixel", "hungarian", "nearest", "aligned"] = "pixel"
    match_by: Literal["squared", "cosine"] = "squared"
    pixel_cap: float | None = None
    changed_weight: float = 1.0
    changed_until: int | None = None
    change_threshold: float = 0.02

    def __post_init__(self) -> None:
        if self.changed_weight <= 0 or self.change_threshold < 0:
            raise ConfigError(
                f"changed_weight = {self.changed_weight}, change_threshold = {self.change_threshold}",
                "a positive weight and a threshold that is not negative",
            )
        if self.pixel_cap is not None and self.pixel_cap <= 0:
            raise ConfigError(f"pixel_cap = {self.pixel_cap}", "a positive number, or none")

    @property
    def needs_image(self) -> bool:
        """Whether the error is one of pixels."""
        return self.kind == "pixel"

    def error(
        self,
        predicted: SlotState,
        following: SlotState,
        image: Tensor | None = None,
        encoder: SlotEncoder | None = None,
    ) -> Float[Tensor, " batch"]:
        """The error of every transition.

        Args:
            predicted: what should be there after the action; its weights are those before it.
            following: what is there.
            image: its picture, as in an observation; for "pixel" only.
            encoder: draws the prediction; for "pixel" only.
        """
        if self.kind == "pixel":
            assert image is not None
            assert encoder is not None
            return pixel_error(encoder.decode(predicted.latents), as_images(image), self.pixel_cap)
        return slot_error(predicted, following, self.pairing(predicted, following))

    def pairing(self, predicted: SlotState, following: SlotState) -> Int64[Tensor, "batch slots"]:
        """For every predicted slot the number of the one it is compared with; -1 where there is none."""
        if self.kind in ("aligned", "pixel"):
            batch, slots, _ = predicted.latents.shape
            return torch.arange(slots, device=predicted.latents.device).expand(batch, slots)
        distance = slot_distance(predicted.latents, following.latents, self.match_by)
        pair = match_nearest if self.kind == "nearest" else match_one_to_one
        return pair(distance, predicted.weight, following.weight)

    def importance(self, changed: Bool[Tensor, " batch"], transitions: int) -> Float[Tensor, " batch"]:
        """The weights of transitions, of mean about 1, after so many transitions of exploration."""
        if self.changed_until is not None and transitions >= self.changed_until:
            return torch.ones(changed.shape, device=changed.device)
        weight = torch.where(changed, self.changed_weight, 1.0)
        return weight / weight.mean()

    def changed(
        self, before: SlotState, following: SlotState, images: tuple[Tensor, Tensor] | None = None
    ) -> Bool[Tensor, " batch"]:
        """Whether anything changed, in the pictures where there are any."""
        if images is not None:
            first, second = (as_images(image).flatten(1) for image in images)
            return (second - first).abs().amax(1) > self.change_threshold
        moved = (following.latents - before.latents).abs().amax(2) * torch.minimum(before.weight, following.weight)
        return moved.amax(1) > self.change_threshold


def pixel_error(
    drawn: Float[Tensor, "batch channels height width"],
    image: Float[Tensor, "batch channels height width"],
    cap: float | None = None,
) -> Float[Tensor, " batch"]:
    """Σ over pixels and channels of squared differences, each of them at most `cap`."""
    error = (drawn - image).square()
    return (error if cap is None else error.clamp(max=cap)).flatten(1).sum(1)


def slot_error(
    predicted: SlotState, following: SlotState, pairing: Int64[Tensor, "batch slots"]
) -> Float[Tensor, " batch"]:
    """Σ over slots of squared differences of the latents, each times the smaller of the two slots' weights."""
    return slot_errors(predicted, following, pairing).sum(1)


def slot_errors(
    predicted: SlotState, following: SlotState, pairing: Int64[Tensor, "batch slots"]
) -> Float[Tensor, "batch slots"]:
    """The share of every predicted slot in `slot_error`."""
    there = pairing.clamp(min=0)
    target = following.latents.gather(1, there[..., None].expand(-1, -1, following.latents.shape[2]))
    weight = torch.minimum(predicted.weight, following.weight.gather(1, there)) * (pairing >= 0)
    return (predicted.latents - target).square().sum(2) * weight


@torch.no_grad()
def slot_distance(
    predicted: Float[Tensor, "batch slots latents"],
    following: Float[Tensor, "batch others latents"],
    by: Literal["squared", "cosine"] = "squared",
) -> Float[Tensor, "batch slots others"]:
    """How far every predicted slot is from every other: squared, or 1 − cosine."""
    if by == "cosine":
        return 1 - F.normalize(predicted, dim=2) @ F.normalize(following, dim=2).mT
    return (predicted[:, :, None] - following[:, None]).square().sum(3)


def match_nearest(
    distance: Float[Tensor, "batch slots others"],
    weight: Float[Tensor, "batch slots"],
    other_weight: Float[Tensor, "batch others"],
) -> Int64[Tensor, "batch slots"]:
    """The nearest slot of those that count; several may have the same. -1 where none counts."""
    masked = distance.masked_fill(other_weight[:, None] <= 0, torch.inf)
    nearest = masked.argmin(2)
    return torch.where((other_weight > 0).any(1, keepdim=True) & (weight > 0), nearest, -1)


def match_one_to_one(
    distance: Float[Tensor, "batch slots others"],
    weight: Float[Tensor, "batch slots"],
    other_weight: Float[Tensor, "batch others"],
) -> Int64[Tensor, "batch slots"]:
    """The assignment of the least weighted distance; as many pairs as there are slots that count on both sides."""
    # Slots that do not count cost nothing with each other, and more than any real pair with slots that count.
    pair = torch.minimum(weight[:, :, None], other_weight[:, None])
    cost = (distance * pair).double()
    one_sided = (weight[:, :, None] > 0) != (other_weight[:, None] > 0)
    far = cost.amax((1, 2), keepdim=True) * distance.shape[1] + 1
    cost = torch.where(one_sided, far, cost)
    assigned = best_assignment(np.negative(cost.cpu().numpy()))
    found = torch.from_numpy(assigned).to(distance.device)
    counts = pair.gather(2, found.clamp(min=0)[..., None])[..., 0] > 0
    return torch.where((found >= 0) & counts, found, -1)
