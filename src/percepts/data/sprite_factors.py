"""Coloured sprites with eight continuous factors, after the spatial broadcast decoder's data (Watters et al. 2019)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError
from percepts.data.continuous import Bins, ContinuousWorld, Range, bins
from percepts.rendering.colour import hsv_to_rgb
from percepts.rendering.scene import SpriteScene
from percepts.rendering.shapes import named_shape
from percepts.rendering.sprites2d import render_sprites

SMALL_SIZES = (0.05, 0.1, 0.15, 0.2, 0.3)
"""The sizes of the sweep over small objects (this library's choice)."""

_LEAST_PIXELS = 2.0


class SpriteFactors(ContinuousWorld):
    """One anti-aliased sprite of any colour on black, RGB.

    Factors in this order, the last fastest: hue, saturation, brightness (HSV), shape, size, orientation, x and y; those
    of one bin are left out of the grid. x and y are fractions of the frame from its left and its top, orientation is in
    radians, clockwise on the screen. A sprite has the area of a square of side `size` frames, whatever its shape.

    The paper's data are unpublished: that there are these factors is from memory (unverified), all ranges and numbers
    of bins are this library's own. Orientation goes around once in bins without a repeated end; a square looks the
    same after a quarter of the way, a triangle after a third and an ellipse after half. The largest sprites may lose a
    corner at the border. The default grid has 9.4 million points: draw them independently, not in epochs.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            pixels: height and width of the image.
            shapes: which shapes, by the names of `percepts.rendering.named_shape`.
            hues: bins of hue.
            hue_range: hue in [0, 1]; up to 1 it goes around once.
            saturations: bins of saturation.
            saturation_range: saturation in [0, 1].
            brightnesses: bins of brightness.
            brightness_range: brightness in [0, 1].
            sizes: bins of size.
            size_range: side of the square of the same area, in frames; at least 2 pixels.
            orientations: bins of orientation.
            orientation_range: radians.
            positions: bins of x and of y.
            x_range: of the centre, in frames.
            y_range: of the centre, in frames.
        """

        pixels: int = 64
        shapes: tuple[str, ...] = ("square", "triangle", "ellipse")
        hues: int = 8
        hue_range: Range = (0.0, 1.0)
        saturations: int = 2
        saturation_range: Range = (0.3, 1.0)
        brightnesses: int = 2
        brightness_range: Range = (0.5, 1.0)
        sizes: int = 6
        size_range: Range = (0.15, 0.3)
        orientations: int = 16
        orientation_range: Range = (0.0, 2 * math.pi)
        positions: int = 32
        x_range: Range = (0.2, 0.8)
        y_range: Range = (0.2, 0.8)

    def __init__(self, config: Config) -> None:
        self.config = config
        _check(config)
        self._shapes = tuple(named_shape(name) for name in config.shapes)
        self._define(
            {
                "hue": bins("hue", config.hue_range, config.hues),
                "saturation": bins("saturation", config.saturation_range, config.saturations),
                "brightness": bins("brightness", config.brightness_range, config.brightnesses),
                "shape": Bins(torch.arange(len(config.shapes), dtype=torch.float64)),
                "size": bins("size", config.size_range, config.sizes),
                "orientation": bins("orientation", config.orientation_range, config.orientations),
                "x": bins("x", config.x_range, config.positions),
                "y": bins("y", config.y_range, config.positions),
            }
        )
        self.image_shape = (3, config.pixels, config.pixels)

    def draw(self, values: Mapping[str, Float[Tensor, " batch"]]) -> Float[Tensor, "batch channels height width"]:
        value = self._complete(values)
        colour = hsv_to_rgb(torch.stack([value["hue"], value["saturation"], value["brightness"]], dim=1))
        scene = SpriteScene(
            shapes=self._shapes,
            shape=value["shape"].long()[:, None],
            position=torch.stack([value["x"], 1 - value["y"]], dim=1)[:, None],
            scale=value["size"][:, None],
            angle=-value["orientation"][:, None],
            colour=colour[:, None],
        )
        return render_sprites(scene, self.config.pixels, self.config.pixels, segmentation=False).image


def small_objects(size: float, pixels: int = 64) -> SpriteFactors.Config:
    """Coloured sprites of one size, in frames but at least 2 pixels: one step of the sweep over `SMALL_SIZES`."""
    size = max(size, _LEAST_PIXELS / pixels)
    return SpriteFactors.Config(pixels=pixels, sizes=1, size_range=(size, size))


def _check(config: SpriteFactors.Config) -> None:
    if config.pixels < 1:
        raise ConfigError(f"pixels = {config.pixels}", "at least 1")
    if not config.shapes or len(set(config.shapes)) < len(config.shapes):
        raise ConfigError(f"shapes = {config.shapes}", "one or more different shapes")
    for name in ("hue_range", "saturation_range", "brightness_range"):
        if not all(0 <= end <= 1 for end in getattr(config, name)):
            raise ConfigError(f"{name} = {getattr(config, name)}", "numbers in [0, 1]")
    least = _LEAST_PIXELS / config.pixels
    if not min(config.size_range) >= least * (1 - 1e-9):
        raise ConfigError(
            f"size_range = {config.size_range} at {config.pixels} pixels", f"sprites of 2 pixels, {least:.3g} frames"
        )
