"""Traversals as GIFs: all active latents side by side, moving there and back; and the ranges that they move over."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor, nn

from percepts.core.capabilities import Encodes, Posterior, require
from percepts.core.errors import PerceptsError
from percepts.report.grids import font
from percepts.report.images import as_image, to_pixels
from percepts.report.svg import nats
from percepts.report.traversal import Latents, measure_latents, traverse

Range = Literal["prior", "posterior", "quantile", "min_max"]
"""Where a latent moves: "prior", from -2 to 2 standard deviations of the prior; "posterior", three posterior standard
deviations around the image's own mean, which shows what the encoder is unsure of; "quantile", from the 5 % to the 95 %
quantile of the posterior means over the images; "min_max", from their smallest to their largest."""
TILE, MARGIN, LINE = 96, 10, 34


@torch.no_grad()
def traversal_gif(
    model: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    *,
    start: int = 0,
    latents: Latents | None = None,
    over: Range = "prior",
    frames: int = 24,
    most: int = 10,
    milliseconds: int = 80,
) -> bytes:
    """The bytes of a GIF in which every active latent moves over its range and back, without a jump at the end.

    Args:
        model: encodes and decodes.
        images: in [0, 1], on the model's device: number `start` is where all start, and all give the ranges of
            "quantile" and "min_max".
        latents: how much each latent is used; by default measured on the images.
        over: see `Range`.
        frames: of the way there and back.
        most: latents at most, those with the largest KL.
        milliseconds: a frame.

    Raises:
        CapabilityError: the model does not encode or does not decode.
        PerceptsError: an unknown range, fewer than two frames, or no such image.
    """
    if frames < 2 or not 0 <= start < len(images):
        raise PerceptsError(f"{frames} frames from image {start} of {len(images)}", "two frames or more of one of them")
    posterior = require(model, Encodes, "traversals").encode(images)
    used = latents or measure_latents(posterior)
    order = (used.used or used.order)[:most]
    low, high = latent_ranges(posterior, start, over)
    # The way there and back is a cosine: it starts and ends at the low end, and slows down at both.
    phase = 0.5 - 0.5 * torch.cos(torch.arange(frames) * (2 * np.pi / frames))
    values = (low[order, None] + (high - low)[order, None] * phase.to(low)).to(posterior.mean)
    moved = traverse(model, images[start], values, order)
    pixels = np.stack([to_pixels(one) for one in moved], axis=1)
    labels = [(f"z{latent}", f"{nats(used.kl[latent])} nats") for latent in order]
    drawn = [_frame(tiles, labels) for tiles in pixels]
    file = io.BytesIO()
    drawn[0].save(file, "GIF", save_all=True, append_images=drawn[1:], duration=milliseconds, loop=0)
    return file.getvalue()


def latent_ranges(
    posterior: Posterior, start: int, over: Range
) -> tuple[Float[Tensor, " latents"], Float[Tensor, " latents"]]:
    """The lowest and highest value of every latent; see `Range`.

    Raises:
        PerceptsError: an unknown range.
    """
    mean, deviation = posterior.mean.float(), posterior.variance.float().sqrt()
    if over == "prior":
        return torch.full_like(mean[0], -2.0), torch.full_like(mean[0], 2.0)
    if over == "posterior":
        return mean[start] - 3 * deviation[start], mean[start] + 3 * deviation[start]
    if over == "quantile":
        return mean.quantile(0.05, dim=0), mean.quantile(0.95, dim=0)
    if over == "min_max":
        return mean.amin(dim=0), mean.amax(dim=0)
    raise PerceptsError(f"the range '{over}'", "one of " + ", ".join(get_args(Range)))


def _frame(tiles: np.ndarray, labels: Sequence[tuple[str, str]]) -> Image.Image:
    """One moment of all latents, at most five in a row, each with its name and KL below."""
    columns = min(len(labels), 5)
    rows = -(-len(labels) // columns)
    scale = max(1, -(-TILE // tiles.shape[1]))
    height, width = tiles.shape[1] * scale, max(tiles.shape[2] * scale, 64)
    size = (MARGIN + columns * (width + MARGIN), MARGIN + rows * (height + LINE + MARGIN))
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for number, (tile, (name, remark)) in enumerate(zip(tiles, labels)):
        left = MARGIN + number % columns * (width + MARGIN)
        top = MARGIN + number // columns * (height + LINE + MARGIN)
        picture = as_image(tile).convert("RGB")
        large = (tiles.shape[2] * scale, height)
        canvas.paste(picture.resize(large, Image.Resampling.NEAREST), (left, top))
        draw.text((left, top + height + 3), name, fill="#1b1d21", font=font(13))
        draw.text((left, top + height + 19), remark, fill="#5b6068", font=font(10))
    return canvas
