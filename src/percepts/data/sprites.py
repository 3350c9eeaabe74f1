"""Generated worlds of one sprite: dSprites' factor grid, a coloured variant, and Pebbles, the world of the demo.

Everything is drawn on demand by `percepts.rendering`, on whatever device the factors are; nothing is stored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError
from percepts.data.dataset import FactorDataset
from percepts.rendering.colour import hsv_to_rgb
from percepts.rendering.shapes import Ellipse, Shape, heart, square
from percepts.rendering.sprites2d import SpriteScene, render_sprites

Range = tuple[float, float]

_SHAPES: dict[str, Shape] = {
    "square": square(20 / 64),
    "ellipse": Ellipse(13 / 64, 6.5 / 64),
    "heart": heart(20 / 64),
    "disc": Ellipse(10 / 64, 10 / 64),
}
"""Shapes at scale 1 as fractions of the frame."""


class SpriteWorld(FactorDataset):
    """One sprite on black, on the full grid of its factors. A factor that takes a single value is not a factor: it is
    left out of `factor_names` and keeps that value.

    The base of the worlds below, which say what the factors' values are.
    """

    def _define(self, size: int, shapes: tuple[str, ...], soft: bool, channels: int, values: dict[str, Tensor]) -> None:
        unknown = [name for name in shapes if name not in _SHAPES]
        if unknown or not shapes:
            raise ConfigError(f"shapes = {shapes!r}", "one or more of " + ", ".join(_SHAPES))
        if size < 1:
            raise ConfigError(f"size = {size}", "at least 1 pixel")
        self._values = values
        self._shapes, self._soft = tuple(_SHAPES[name] for name in shapes), soft
        self.factor_names = tuple(name for name, table in self._values.items() if len(table) > 1)
        self.factor_sizes = tuple(len(self._values[name]) for name in self.factor_names)
        self.image_shape = (channels, size, size)

    def factor_values(self, name: str) -> Tensor:
        """Values of a factor, float64 [size]: hue and brightness in [0, 1], scale as a factor, orientation in radians,
        positions in the unit of their range, shape as a number into the configured shapes."""
        return self._values[name].clone()

    def render(self, factors: Tensor) -> Tensor:
        self.check_factors(factors)
        columns = dict(zip(self.factor_names, factors.unbind(1)))
        first = torch.zeros(len(factors), dtype=torch.int64, device=factors.device)
        value = {
            name: table.to(factors.device, torch.float32)[columns.get(name, first)]
            for name, table in self._values.items()
        }
        height, width = self.image_shape[1:]
        # Positions and orientation are those of the screen, y down and turning clockwise; the scene has y up.
        across, down = self._centre(value["position_x"], value["position_y"])
        scene = SpriteScene(
            shapes=self._shapes,
            shape=value["shape"].long()[:, None],
            position=torch.stack([across, 1 - down], dim=1)[:, None],
            scale=value["scale"][:, None],
            angle=-value["orientation"][:, None],
            colour=self._colour(value)[:, None],
        )
        return render_sprites(scene, height, width, hard=not self._soft, segmentation=False).image

    def _centre(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x, y

    def _colour(self, value: dict[str, Tensor]) -> Tensor:
        return torch.ones_like(value["scale"])[:, None]


class Sprites(SpriteWorld):
    """White sprites on black with dSprites' factor grid: 3 shapes x 6 scales x 40 orientations x 32 x 32 positions,
    737 280 binary images of 64 x 64, the last factor fastest.

    Factors and ranges are those of dSprites (Matthey et al. 2017): scale linspace(0.5, 1, 6), orientation
    linspace(0, 2π, 40) with both ends (so the first and the last are one picture), positions linspace(0, 1, 32), shapes
    square, ellipse, heart. Its sixth factor, colour, has one value and is left out. The pictures are not dSprites' own:
    the proportions (square of side 20 s, ellipse of semi-axes 13 s and 6.5 s, heart 20 s wide, in 64ths of the frame at
    scale s; centres in the middle half of the frame, so that nothing is cut off) and the directions (y down,
    orientation clockwise on the screen) are unverified against the original.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            size: pixels a side.
            shapes: which shapes, of square, ellipse, heart and disc.
            scales: how many values scale takes.
            orientations: how many values orientation takes.
            positions: how many values each position takes.
            antialias: exact coverage in [0, 1] instead of binary pixels.
        """

        size: int = 64
        shapes: tuple[str, ...] = ("square", "ellipse", "heart")
        scales: int = 6
        orientations: int = 40
        positions: int = 32
        antialias: bool = False

    def __init__(self, config: Config) -> None:
        self.config = config
        values = {
            "shape": torch.arange(len(config.shapes), dtype=torch.float64),
            "scale": _spread("scales", (0.5, 1.0), config.scales),
            "orientation": _spread("orientations", (0.0, 2 * math.pi), config.orientations),
            "position_x": _spread("positions", (0.0, 1.0), config.positions),
            "position_y": _spread("positions", (0.0, 1.0), config.positions),
        }
        self._define(config.size, config.shapes, config.antialias, 1, values)

    def _centre(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return 0.25 + 0.5 * x, 0.25 + 0.5 * y


class ColouredSprites(SpriteWorld):
    """Sprites with a colour, RGB on black, anti-aliased; every factor's number of values and range is a setting.

    Factors in this order, the last fastest: hue, brightness, shape, scale, orientation, position_x, position_y; those
    with one value are left out. Positions are fractions of the frame, from its left and from its top. A range spreads
    evenly over its values, both ends included; a single value takes the upper end. The ranges are this library's own:
    those of the coloured sprites in the literature are unpublished.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            size: pixels a side.
            shapes: which shapes, of square, ellipse, heart and disc.
            hues: how many hues.
            hue_range: hue in [0, 1]; it stops short of 1, which is red again.
            brightnesses: how many values brightness (the V of HSV) takes.
            brightness_range: brightness in [0, 1].
            saturation: the S of HSV, in [0, 1].
            scales: how many values scale takes.
            scale_range: scale; 1 is a sprite about a third of the frame wide.
            orientations: how many values orientation takes.
            orientation_range: radians, clockwise on the screen.
            positions_x: how many values position_x takes.
            positions_y: how many values position_y takes.
            x_range: centres, in frame widths from the left.
            y_range: centres, in frame heights from the top.
        """

        size: int = 64
        shapes: tuple[str, ...] = ("square", "ellipse", "heart")
        hues: int = 8
        hue_range: Range = (0.0, 0.8)
        brightnesses: int = 1
        brightness_range: Range = (0.4, 1.0)
        saturation: float = 1.0
        scales: int = 6
        scale_range: Range = (0.5, 1.0)
        orientations: int = 40
        orientation_range: Range = (0.0, 2 * math.pi)
        positions_x: int = 32
        positions_y: int = 32
        x_range: Range = (0.25, 0.75)
        y_range: Range = (0.25, 0.75)

    def __init__(self, config: Config) -> None:
        self.config = config
        for name in ("hue_range", "brightness_range"):
            if not all(0 <= end <= 1 for end in getattr(config, name)):
                raise ConfigError(f"{name} = {getattr(config, name)}", "numbers in [0, 1]")
        if not 0 <= config.saturation <= 1:
            raise ConfigError(f"saturation = {config.saturation}", "a number in [0, 1]")
        if min(config.scale_range) <= 0:
            raise ConfigError(f"scale_range = {config.scale_range}", "numbers above 0")
        values = {
            "hue": _spread("hues", config.hue_range, config.hues),
            "brightness": _spread("brightnesses", config.brightness_range, config.brightnesses),
            "shape": torch.arange(len(config.shapes), dtype=torch.float64),
            "scale": _spread("scales", config.scale_range, config.scales),
            "orientation": _spread("orientations", config.orientation_range, config.orientations),
            "position_x": _spread("positions_x", config.x_range, config.positions_x),
            "position_y": _spread("positions_y", config.y_range, config.positions_y),
        }
        self._define(config.size, config.shapes, True, 3, values)

    def _colour(self, value: dict[str, Tensor]) -> Tensor:
        saturation = torch.full_like(value["hue"], self.config.saturation)
        return hsv_to_rgb(torch.stack([value["hue"], saturation, value["brightness"]], dim=1))


class Pebbles(ColouredSprites):
    """A square in 32 x 32 RGB with four factors of clearly different weight in the image: position_x (16 values over a
    wide range), hue (8), position_y (16 over a narrow range) and scale (6); 12 288 images.

    Unequal weights on purpose: two latents that carry equally much can be rotated into each other at no cost to a
    β-VAE, so a world of equal factors has no axes to find. Not knowing x costs 214 nats an image, hue 120, y 77 and
    scale 51 (the cross entropy of the mean image over a factor, less that of the image itself; approximate).
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(ColouredSprites.Config):
        """Settings of `ColouredSprites` with other defaults."""

        size: int = 32
        shapes: tuple[str, ...] = ("square",)
        hues: int = 8
        hue_range: Range = (0.0, 0.5)
        saturation: float = 1.0
        scales: int = 6
        scale_range: Range = (0.75, 1.2)
        orientations: int = 1
        positions_x: int = 16
        positions_y: int = 16
        x_range: Range = (0.2, 0.8)
        y_range: Range = (0.4, 0.6)


def _spread(name: str, ends: Range, count: int) -> Tensor:
    """`count` values evenly from one end to the other, or the upper end alone."""
    if count < 1:
        raise ConfigError(f"{name} = {count}", "at least 1")
    if not all(math.isfinite(end) for end in ends):
        raise ConfigError(f"the range of {name} is {ends}", "finite numbers")
    return torch.linspace(ends[0] if count > 1 else ends[1], ends[1], count, dtype=torch.float64)
