"""Frames as the original Spriteworld 1.0.2 draws them (Watters et al. 2019), to the bit, and the factors as it tells
them."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8

from percepts.core.errors import ConfigError
from percepts.envs.spriteworld.compat_sampling import CompatOptions
from percepts.envs.spriteworld.compat_sprite import CompatSprite, Number
from percepts.envs.spriteworld.observations import Observer
from percepts.rendering.exact_sprites import render_sprites_exactly


def render(
    sprites: Sequence[CompatSprite], observer: Observer, options: CompatOptions = CompatOptions()
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture, top row first and in order in memory: the original gives a view that runs backwards.

    Raises:
        ConfigError: a background that the original does not have.
    """
    if observer.background == "random_grey":
        raise ConfigError("the original has no random background", "a colour", "background = (0, 0, 0)")
    outlines = [sprite.corners for sprite in sprites]
    counts = [len(corners) for corners in outlines]
    most = max(counts, default=3)
    corners = np.zeros((1, len(sprites), most, 2))
    for place, outline in enumerate(outlines):
        corners[0, place] = outline[np.minimum(np.arange(most), len(outline) - 1)]
    to_rgb = hsv_to_rgb if observer.colours == "hsv" else _whole
    colours = np.array([to_rgb(sprite.colour, options) for sprite in sprites], np.uint8)
    drawn = render_sprites_exactly(
        torch.from_numpy(corners),
        torch.tensor([counts], dtype=torch.int64).view(1, -1),
        torch.from_numpy(colours.reshape(1, len(sprites), 3)),
        torch.ones(1, len(sprites), dtype=torch.bool),
        observer.height,
        observer.width,
        observer.supersampling,
        observer.background,
    )
    return drawn.image[0].numpy()


def hsv_to_rgb(
    hsv: tuple[Number, Number, Number], options: CompatOptions = CompatOptions()
) -> tuple[int, int, int]:
    """Red, green and blue of 255, cut off behind the point, with the precision of `options.numpy`."""
    if options.numpy == 1 and hsv[1] != 0:  # Grey is returned as it came, in its own precision.
        hsv = tuple(value.item() if isinstance(value, np.generic) else value for value in hsv)  # type: ignore[assignment]
    red, green, blue = (255 * np.array(colorsys.hsv_to_rgb(*hsv))).astype(np.uint8)  # type: ignore[arg-type]
    return int(red), int(green), int(blue)


def factor_list(sprites: Sequence[CompatSprite]) -> list[dict[str, float]]:
    """All factors of every sprite by name, the shape by its number."""
    return [{name: float(value) for name, value in sprite.factors.items()} for sprite in sprites]


def _whole(colour: tuple[Number, Number, Number], options: CompatOptions) -> tuple[int, ...]:
    return tuple(int(value) for value in colour)
