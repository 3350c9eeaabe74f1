"""What the code is made of: traversals of every latent, and how much each is used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8

from percepts.core.capabilities import Decodes
from percepts.report.diagrams import usage_bars
from percepts.report.grids import grid
from percepts.report.images import LARGEST_SIDE, Picture, picture, to_pixels
from percepts.report.material import Material
from percepts.report.sections.section import Chart, Section
from percepts.report.svg import nats, share
from percepts.report.traversal import traverse

FRAMES = 13
"""Stills of a traversal, from −3 to 3; the animation shows as many again, less one, in between."""
MOST_LATENTS = 64
MOST_MOVING = 16
"""Latents with frames in between; the others move in the steps of their stills."""
MOST_PIXELS = 2_500_000
"""Of all traversals together: with many latents their pictures are smaller, so that the page stays small."""


@dataclass(frozen=True)
class TraversalRow:
    """A latent's row.

    Attributes:
        latent: its number.
        classes: its colour.
        kl, variance: as text.
        share: its KL as a share of the largest, in percent.
        value: the image's own, within the strip.
        mark: where that lies on the strip, in percent.
        strip: the stills.
        between: the frames half-way between them; None for a latent that carries little.
    """

    latent: int
    classes: str
    kl: str
    variance: str
    share: float
    value: float
    mark: float
    strip: Picture
    between: Picture | None


def traversals(material: Material) -> Section | None:
    """Every latent varied around the code of one image; active ones move, inactive ones are folded away."""
    if not isinstance(material.model, Decodes) or material.mean is None or material.latents is None:
        return None
    latents, start = material.latents, central_image(material)
    order = latents.order[:MOST_LATENTS]
    images = traverse(material.model, material.images[start], torch.linspace(-3, 3, 2 * FRAMES - 1), order)
    shown = len(order) * FRAMES + min(len(order), MOST_MOVING) * (FRAMES - 1)
    side = min(LARGEST_SIDE, int((MOST_PIXELS / shown) ** 0.5))
    rows = [
        _row(material, latent, to_pixels(frames, side), float(material.mean[start, latent]), place < MOST_MOVING)
        for place, (latent, frames) in enumerate(zip(order, images))
    ]
    decoded = material.model.decode(material.mean[start : start + 1].to(material.images.device))[0]
    before, after = to_pixels(torch.stack([material.images[start], decoded]), side)
    return Section(
        "traversals",
        "What each latent does",
        {
            "active": [row for row in rows if latents.active[row.latent]],
            "inactive": [row for row in rows if not latents.active[row.latent]],
            "hidden": len(latents) - len(order),
            "frames": FRAMES,
            "start": [picture(before, "The image that all traversals start from"), picture(after, "As decoded")],
            "height": before.shape[0],
            "width": before.shape[1],
        },
    )


def usage(material: Material) -> Section | None:
    """How much each latent carries."""
    latents = material.latents
    if latents is None:
        return None
    images = material.evaluation.get("images") if material.evaluation.get("latents") else len(material.images)
    chart = Chart(
        "Information in each latent",
        usage_bars(latents, material.classes),
        "Above, the mean KL to the prior. Below, the mean posterior variance: near 0 where the latent is read "
        "precisely, 1 where it says nothing.",
    )
    order = [
        {
            "name": f"z{latent}",
            "classes": material.classes[latent],
            "kl": nats(latents.kl[latent]),
            "variance": share(latents.variance[latent]),
            "spread": share(latents.spread[latent]),
            "active": latents.active[latent],
        }
        for latent in latents.order
    ]
    total = nats(sum(latents.kl))
    return Section(
        "usage",
        "How much each latent carries",
        {"chart": chart, "rows": order, "total": total, "images": images, "used": len(latents.used)},
    )


def central_image(material: Material) -> int:
    """Of the quarter of the sample whose codes lie nearest to their middle, the image with the most contrast."""
    assert material.mean is not None
    assert material.latents is not None
    used = material.latents.used or material.latents.order
    codes = material.mean[:, used]
    far = (codes - codes.median(dim=0).values).square().sum(dim=1)
    near = far.argsort()[: max(1, len(far) // 4)]
    contrast = material.images[near.to(material.images.device)].flatten(1).std(dim=1, correction=0).cpu()
    return int(near[contrast.argmax()])


def strip_of(frames: UInt8[np.ndarray, "frames height width channels"]) -> UInt8[np.ndarray, "height total 4"]:
    """Frames side by side. The page's script relies on the gap: a sixteenth of the width."""
    return grid(frames, len(frames), gap_of(frames.shape[2]))


def gap_of(width: int) -> int:
    """The gap between frames of `width` pixels."""
    return max(1, width // 16)


def _row(
    material: Material,
    latent: int,
    pixels: UInt8[np.ndarray, "frames height width channels"],
    value: float,
    moving: bool,
) -> TraversalRow:
    """The row of a latent whose value in the image is `value`."""
    latents = material.latents
    assert latents is not None
    value = min(max(value, -3.0), 3.0)
    words = f"Traversal of latent {latent} from −3 to 3: what the model draws at {FRAMES} values"
    return TraversalRow(
        latent,
        material.classes[latent],
        nats(latents.kl[latent]),
        share(latents.variance[latent]),
        100 * latents.kl[latent] / max(*latents.kl, 1e-9),
        value,
        100 * (0.5 + (value + 3) / 6 * (FRAMES - 1)) / FRAMES,
        picture(strip_of(pixels[::2]), words),
        picture(strip_of(pixels[1::2]), "") if moving and latents.active[latent] else None,
    )
