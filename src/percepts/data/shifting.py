"""What `Shifted` does to images and segmentations, one function a shift."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from percepts.rendering.colour import hsv_to_rgb

Draws = Callable[[str], Tensor]
"""Uniform numbers in [0, 1) for every image, by name."""

_LUMINANCE = (0.299, 0.587, 0.114)
_DARK = 0.4


def hue_turned(image: Float[Tensor, "n 3 height width"], turn: float) -> Float[Tensor, "n 3 height width"]:
    """The image with all hues turned by a share of the circle; saturation and value stay."""
    colour = image.double().movedim(1, -1)
    high, low = colour.amax(-1), colour.amin(-1)
    span = high - low
    red, green, blue = colour.unbind(-1)
    safe = torch.where(span > 0, span, 1)
    of_red, of_green, of_blue = (green - blue) / safe, 2 + (blue - red) / safe, 4 + (red - green) / safe
    hue = torch.where(red == high, of_red, torch.where(green == high, of_green, of_blue)) / 6
    saturation = span / torch.where(high > 0, high, 1)
    turned = hsv_to_rgb(torch.stack([(hue + turn) % 1, saturation, high], dim=-1))
    return turned.movedim(-1, 1).float().clamp(0, 1)


def grey(image: Float[Tensor, "n 3 height width"]) -> Float[Tensor, "n 3 height width"]:
    """The luminance in all channels (weights of ITU-R BT.601)."""
    red, green, blue = (image[:, i] * weight for i, weight in enumerate(_LUMINANCE))
    return (red + green + blue).clamp(0, 1)[:, None].repeat(1, 3, 1, 1)


def striped(image: Float[Tensor, "n channels height width"], draws: Draws) -> Float[Tensor, "n channels height width"]:
    """Dark diagonal stripes over the whole image, some pixels wide, rising or falling, somewhere."""
    height, width = image.shape[2:]
    stripe = max(2, min(height, width) // 24)
    rows = torch.arange(height, device=image.device)[:, None]
    columns = torch.arange(width, device=image.device)
    start = (draws("stripes") * 2 * stripe).long()[:, None, None]
    falling = (draws("falling") < 0.5)[:, None, None]
    place = torch.where(falling, columns - rows, columns + rows) + start
    dark = place.div(stripe, rounding_mode="floor") % 2 == 1
    return image * torch.where(dark, _DARK, 1.0)[:, None]


def covered_by(
    image: Float[Tensor, "n channels height width"], mask: Bool[Tensor, "n height width"]
) -> tuple[Float[Tensor, "n channels height width"], Bool[Tensor, "n height width"]]:
    """Lay a triangle over what `mask` shows, in its mean colour: the smallest with a level base that has its centre
    of mass there and covers it. Returns the image and the triangle's pixels, none where the mask has none."""
    pixels = mask.double()
    area = pixels.flatten(1).sum(1)
    rows = torch.arange(image.shape[2], dtype=torch.float64, device=image.device)
    columns = torch.arange(image.shape[3], dtype=torch.float64, device=image.device)
    some = area.clamp(min=1)
    down = rows - ((pixels.sum(2) * rows).sum(1) / some)[:, None]
    across = columns - ((pixels.sum(1) * columns).sum(1) / some)[:, None]
    # Distances from the centre in the direction of the three sides; equal on the outline of a triangle. Those of the
    # slanted sides are rounded alike on the left and on the right.
    slanted = across.abs()[:, None] * math.cos(math.pi / 6) - down[:, :, None] / 2
    distance = torch.maximum(slanted, down[:, :, None])
    reach = torch.where(mask, distance, -1).flatten(1).amax(1)
    inside = (distance <= reach[:, None, None]) & (area > 0)[:, None, None]
    colour = (image.double() * pixels[:, None]).flatten(2).sum(2) / some[:, None]
    return torch.where(inside[:, None], colour.float().clamp(0, 1)[..., None, None], image), inside


def occluded(
    image: Float[Tensor, "n channels height width"],
    segmentation: Int64[Tensor, "n height width"],
    share: float,
    draws: Draws,
) -> tuple[Float[Tensor, "n channels height width"], Int64[Tensor, "n height width"]]:
    """Lay a grey square over the image, anywhere inside; what it hides becomes background, entity 0."""
    height, width = image.shape[2:]
    side = max(1, round(share * min(height, width)))
    over = torch.ones_like(segmentation, dtype=torch.bool)
    for axis, (name, size) in enumerate((("row", height), ("column", width)), start=1):
        start = (draws(name) * (size - side + 1)).long()[:, None]
        place = torch.arange(size, device=image.device)
        within = (place >= start) & (place < start + side)
        over &= within.unsqueeze(3 - axis)
    level = ((draws("level") * 256).long().float() / 255)[:, None, None, None]
    return torch.where(over[:, None], level, image), segmentation.masked_fill(over, 0)


def cropped(
    image: Float[Tensor, "n channels height width"], segmentation: Int64[Tensor, "n height width"], share: float
) -> tuple[Float[Tensor, "n channels height width"], Int64[Tensor, "n height width"]]:
    """The middle `share` of every side, enlarged to the size of the image."""
    size = image.shape[2:]
    kept = [max(1, round(share * length)) for length in size]
    top, left = ((length - part) // 2 for length, part in zip(size, kept))
    part = image[..., top : top + kept[0], left : left + kept[1]]
    large = torch.nn.functional.interpolate(part, size=size, mode="bilinear", align_corners=False)
    nearest = [
        start + (torch.arange(length, device=image.device) * 2 + 1) * part // (2 * length)
        for start, length, part in zip((top, left), size, kept)
    ]
    return large.clamp(0, 1), segmentation[:, nearest[0]][:, :, nearest[1]]
