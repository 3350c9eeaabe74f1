"""What a training log shows when a VAE's training goes wrong, and what to do about it.

Every detector reads the last lines of the log (`step`, and the loss terms by name, as the engine keeps them) and gives
a line of text, or None where all is well. The models of the family say which of them apply to them (`VAE.diagnose`).
The thresholds are this library's own; the docs show every symptom in a picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

ACTIVE_KL = 0.01
"""A latent is active, or informative, where its mean KL exceeds this many nats (the threshold of UDR)."""
COLLAPSED_KL = 0.1
PATIENCE = 500
"""Steps that a symptom has to last."""
LEAST = 8
"""Lines that a mean needs."""
USUAL = (0.005, 1.0)
"""β_norm = β · M / N between which published weights lie: 0.0098 (dSprites) to 0.65 (CelebA), all unverified."""

Entries = Sequence[Mapping[str, Any]]


def collapse(entries: Entries, steps: int = PATIENCE) -> str | None:
    """The code carries nothing any more: total KL below 0.1 nats in every line of the last `steps` steps."""
    recent = lasting(entries, steps)
    if not recent or any(entry["kl"] >= COLLAPSED_KL for entry in recent):
        return None
    return (
        f"posterior collapse: the total KL has been below {COLLAPSED_KL} nats for {steps} steps, every image gets the "
        "same code. Lower β (or γ), warm it up, or check that the reconstruction is summed over pixels"
    )


def dead_latents(entries: Entries, steps: int = 4 * PATIENCE) -> str | None:
    """More than half of the latents, but not all, have been inactive for `steps` steps."""
    recent = lasting(entries, steps)
    if not recent:
        return None
    kl = np.array([entry["kl_per_latent"] for entry in recent], float)
    dead = np.flatnonzero((kl <= ACTIVE_KL).all(axis=0))
    if not kl.shape[1] / 2 < len(dead) < kl.shape[1]:
        return None
    named = ", ".join(f"z{latent}" for latent in dead[:12])
    return (
        f"dead latents: {len(dead)} of {kl.shape[1]} ({named}) have stayed below {ACTIVE_KL} nats for {steps} steps. "
        "That is right if the data have few factors; if reconstructions miss something, lower β or raise the capacity"
    )


def oscillation(entries: Entries, gamma: float, steps: int = PATIENCE) -> str | None:
    """KL strays from its capacity by more than a nat on average: it swings around it (γ too high) or lags behind."""
    recent = lasting(entries, steps)
    recent = recent if len(recent) >= LEAST else entries[-LEAST:]
    if len(recent) < LEAST or recent[-1]["step"] < steps:
        return None
    error = np.array([entry["kl_minus_capacity"] for entry in recent], float)
    if np.abs(error).mean() <= 1.0:
        return None
    if abs(error.mean()) < 0.5 * np.abs(error).mean():
        return (
            f"γ oscillation: KL swings around its capacity by {np.abs(error).mean():.1f} nats on average. "
            f"Lower γ = {gamma:g} or the learning rate, or clip gradients"
        )
    side = "below" if error.mean() < 0 else "above"
    return (
        f"γ too weak: KL stays {abs(error.mean()):.1f} nats {side} its capacity. Raise γ = {gamma:g}, raise the "
        "capacity more slowly, or end it at less than the model can use"
    )


def weight_scale(beta: float, latents: int, image_shape: Sequence[int]) -> str | None:
    """β comes from images of another size: β_norm = β · M / N is far from all published ones. β = 1 is always right."""
    pixels = math.prod(image_shape)
    normalised = beta * latents / pixels
    if beta in (0.0, 1.0) or USUAL[0] <= normalised <= USUAL[1]:
        return None
    effect = "hardly presses at all" if normalised < USUAL[0] else "is likely to empty the code"
    alike = 0.01 * pixels / latents
    return (
        f"β scale: β = {beta:g} with {latents} latents and {pixels} numbers an image is β_norm = {normalised:.2g}, "
        f"which {effect}; published weights have {USUAL[0]} to {USUAL[1]:g}. β = 4 on 64x64 grey images corresponds to "
        f"β = {alike:.3g} here (model.beta_normalised = 0.01)"
    )


def lasting(entries: Entries, steps: int) -> Entries:
    """The lines of the last `steps` steps; none where the log does not reach back so far."""
    if not entries or entries[0]["step"] > entries[-1]["step"] - steps:
        return []
    return [entry for entry in entries if entry["step"] >= entries[-1]["step"] - steps]


def found(**symptoms: str | None) -> dict[str, str]:
    """Those that are there, by name."""
    return {name: text for name, text in symptoms.items() if text is not None}
