"""What a training log shows when slots do not bind to objects, and what to do about it.

Every detector reads the last lines of the log (`step`, and the loss terms by name: see `terms.SlotTerms.log`) and gives
a line of text, or None where all is well. The thresholds are this library's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Entries = Sequence[Mapping[str, Any]]

PATIENCE = 1000
"""Steps that a symptom has to last."""


def binding(entries: Entries, slots: int, scale: float, steps: int = PATIENCE) -> dict[str, str]:
    """All the symptoms that there are, by name."""
    found = {
        "one_slot": one_slot(entries, slots, steps),
        "undecided_masks": undecided(entries, slots, steps),
        "unused_slots": unused(entries, slots, 2 * steps),
        "collapse": collapse(entries, steps),
        "scale": wrong_scale(entries, scale, steps),
        "divergence": divergence(entries),
    }
    return {name: text for name, text in found.items() if text is not None}


def one_slot(entries: Entries, slots: int, steps: int = PATIENCE) -> str | None:
    """One slot has had 98 % of every image for `steps` steps: nothing is taken apart."""
    recent = lasting(entries, steps)
    if slots < 2 or not recent or any(entry["largest_slot"] < 0.98 for entry in recent):
        return None
    return (
        f"one slot takes all: the largest slot has had {_mean(recent, 'largest_slot'):.1%} of the image for {steps} "
        "steps. Lower the pixels' scale (a large one makes taking apart worthless), lower β so that several slots pay, "
        "or give a slot less capacity: fewer latents or decoder channels"
    )


def undecided(entries: Entries, slots: int, steps: int = PATIENCE) -> str | None:
    """The masks' entropy has stayed above 80 % of its largest, ln K, for `steps` steps."""
    recent = lasting(entries, steps)
    if slots < 2 or not recent or any(entry["mask_entropy"] < 0.8 * math.log(slots) for entry in recent):
        return None
    return (
        f"undecided masks: their entropy has stayed at {_mean(recent, 'mask_entropy'):.2f} of at most "
        f"{math.log(slots):.2f} nats a pixel for {steps} steps, so slots share all pixels. Lower the pixels' scale, "
        "raise the learning rate, or train longer: masks usually part late and suddenly"
    )


def unused(entries: Entries, slots: int, steps: int = 2 * PATIENCE) -> str | None:
    """Slots with less than 0.1 % of the images for `steps` steps, where an image uses fewer than two."""
    recent = [entry for entry in lasting(entries, steps) if "share_per_slot" in entry]
    if slots < 3 or not recent or _mean(recent, "active_slots") >= 2:
        return None
    idle = [slot for slot in range(slots) if all(entry["share_per_slot"][slot] < 1e-3 for entry in recent)]
    if not idle:
        return None
    return (
        f"unused slots: {', '.join(map(str, idle))} of {slots} (from 0) have had nothing for {steps} steps, and images "
        f"use {_mean(recent, 'active_slots'):.1f}. Late slots of a sequence start with little and get little gradient: "
        "try even_start, recon = 'weighted', a lower learning rate or another seed"
    )


def collapse(entries: Entries, steps: int = PATIENCE) -> str | None:
    """The slots carry nothing: their whole KL has been below 0.5 nats for `steps` steps."""
    recent = lasting(entries, steps)
    if not recent or any(entry["kl"] >= 0.5 for entry in recent):
        return None
    return (
        f"posterior collapse: the KL of all slots together has been below 0.5 nats for {steps} steps, so every image "
        "gets the same slots. Lower β or the pixels' scale, or check that images are in [0, 1] and not all alike"
    )


def wrong_scale(entries: Entries, scale: float, steps: int = PATIENCE) -> str | None:
    """The reconstructions' error is far from what the pixels' scale says that it should be."""
    recent = lasting(entries, steps)
    if not recent:
        return None
    error = math.sqrt(_mean(recent, "mse"))
    if error > 3 * scale:
        return (
            f"scale too small: reconstructions miss by {error:.2g} (root mean square) and the likelihood's scale is "
            f"{scale:g}. The error then outweighs everything and masks part by colour or brightness. Raise the scale, "
            "or give slots more capacity"
        )
    if error < scale / 8:
        return (
            f"scale too large: reconstructions miss by {error:.2g} (root mean square) only, the likelihood's scale is "
            f"{scale:g}. Details below it are worth no bits. If small objects are missing or one slot takes all, lower "
            "the scale"
        )
    return None


def divergence(entries: Entries) -> str | None:
    """The NLL has jumped up by more than half of its own spread since its best, and stayed there for five lines."""
    values = [float(entry["reconstruction"]) for entry in entries if _finite(entry.get("reconstruction"))]
    if len(entries) > 1 and not _finite(entries[-1].get("reconstruction")):
        return (
            "divergence: the reconstruction became NaN or infinite. Lower the learning rate, clip gradients "
            "(clip_norm 5), keep likelihoods in fp32, and look for NaN in the images"
        )
    if len(values) < 12:
        return None
    best, worst = min(values[:-5]), max(values[:-5])
    if min(values[-5:]) <= best + 0.5 * (worst - best) or worst <= best or values.index(best) < 2:
        return None
    return (
        f"divergence: the reconstruction rose from {best:.0f} to {values[-1]:.0f} nats and stayed. Lower the learning "
        "rate or clip gradients (clip_norm 5), and go on from the checkpoint before"
    )


def lasting(entries: Entries, steps: int) -> Entries:
    """The lines of the last `steps` steps; none where the log does not reach back so far."""
    if not entries or entries[0]["step"] > entries[-1]["step"] - steps:
        return []
    return [entry for entry in entries if entry["step"] >= entries[-1]["step"] - steps]


def _mean(entries: Entries, name: str) -> float:
    return sum(float(entry[name]) for entry in entries) / len(entries)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
