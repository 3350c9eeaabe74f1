"""Small grey worlds whose pixels have closed forms: they train within a minute on one core.

Coordinates are pixels: pixel i is centred on coordinate i, x to the right and y down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError
from percepts.data.dataset import FactorDataset
from percepts.data.held_out import PartialGrid
from percepts.rendering.scene import SpriteScene
from percepts.rendering.shapes import Shape, named_shape, regular
from percepts.rendering.sprites2d import render_sprites

_SHAPES: dict[str, Shape] = {
    "disc": named_shape("disc"),
    "diamond": regular(4),
    "triangle": named_shape("triangle"),
}
"""Novel shapes, of area 1."""


class Squares24(FactorDataset):
    """Axis-aligned white squares, exactly anti-aliased: factors scale, x, y (the last fastest), by default
    6 x 12 x 12 = 864 images of 24 x 24.

    A pixel's coverage is the product over the axes of clip(h + 1/2 − |pixel − centre|, 0, 1), h the half-size.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            size: pixels a side.
            scales: how many half-sizes.
            half_size_range: smallest and largest half-size in pixels, at least 0.5.
            positions: how many values x and y take each.
            centre_range: first and last centre in pixels.
        """

        size: int = 24
        scales: int = 6
        half_size_range: tuple[float, float] = (1.5, 4.0)
        positions: int = 12
        centre_range: tuple[float, float] = (6.0, 18.0)

    def __init__(self, config: Config) -> None:
        _positive(size=config.size, scales=config.scales, positions=config.positions)
        if min(config.half_size_range) < 0.5:
            raise ConfigError(f"half_size_range = {config.half_size_range}", "half-sizes of at least 0.5 pixel")
        self.config = config
        self.image_shape = (1, config.size, config.size)
        self.factor_names = ("scale", "x", "y")
        self.factor_sizes = (config.scales, config.positions, config.positions)

    def factor_values(self, name: str) -> Tensor:
        """Half-sizes or centres in pixels."""
        ends = self.config.half_size_range if name == "scale" else self.config.centre_range
        return _spread(ends, self.factor_sizes[self.factor_names.index(name)])

    def render(self, factors: Tensor) -> Tensor:
        self.check_factors(factors)
        half, x, y = (
            self.factor_values(name).to(factors.device, torch.float32)[column, None]
            for name, column in zip(self.factor_names, factors.unbind(1))
        )
        pixels = torch.arange(self.config.size, dtype=torch.float32, device=factors.device)
        across = (half + 0.5 - (pixels - x).abs()).clamp(0, 1)
        down = (half + 0.5 - (pixels - y).abs()).clamp(0, 1)
        return (down[:, :, None] * across[:, None, :])[:, None]


class Shapes24(Squares24):
    """The world of `Squares24` with another shape in the place of the square, exactly anti-aliased too: a disc, a
    diamond or a triangle (pointing up), each centred on its centre of mass and as large in area as the square.

    Shapes that a model has never seen: does it still read position and scale? (Higgins et al. 2016 ask this of
    "objectness".) The largest triangles and diamonds at the edge of the grid lose up to half a pixel of a corner.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(Squares24.Config):
        """Settings of `Squares24` and the shape.

        Attributes:
            shape: what is drawn.
        """

        shape: Literal["disc", "diamond", "triangle"] = "disc"

    config: Config

    def render(self, factors: Tensor) -> Tensor:
        self.check_factors(factors)
        half, x, y = (
            self.factor_values(name).to(factors.device, torch.float32)[column, None]
            for name, column in zip(self.factor_names, factors.unbind(1))
        )
        size = self.config.size
        scene = SpriteScene(
            shapes=(_SHAPES[self.config.shape],),
            shape=torch.zeros_like(factors[:, :1]),
            # The middle of pixel i is (i + 1/2) / size of the frame, and the scene has y up.
            position=torch.stack([(x + 0.5) / size, 1 - (y + 0.5) / size], dim=2),
            scale=2 * half / size,
            angle=torch.zeros_like(half),
            colour=torch.ones_like(half)[:, :, None],
        )
        return render_sprites(scene, size, size, segmentation=False).image


class Blobs24(PartialGrid):
    """Gaussian bumps of peak 1: factors x, y (the last fastest) on a 16 x 16 lattice, 24 x 24 pixels by default.

    With a `hole`, the dataset holds only the lattice points outside of it, but still renders all: the held-out region
    of the generalisation test of the spatial broadcast decoder (Watters et al. 2019). `HeldOut` makes any other hole.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            size: pixels a side.
            positions: how many values x and y take each.
            centre_range: first and last centre in pixels.
            sigma: standard deviation of the bump in pixels.
            hole: leave out the points with |x| and |y| both below this share of half the lattice; 0 keeps all, 0.45
                leaves out 36 of 256.
        """

        size: int = 24
        positions: int = 16
        centre_range: tuple[float, float] = (5.0, 19.0)
        sigma: float = 1.2
        hole: float = 0.0

    def __init__(self, config: Config) -> None:
        _positive(size=config.size, positions=config.positions, sigma=config.sigma)
        if not 0 <= config.hole <= 1:
            raise ConfigError(f"hole = {config.hole}", "a share in [0, 1]")
        self.config = config
        self.image_shape = (1, config.size, config.size)
        self.factor_names = ("x", "y")
        self.factor_sizes = (config.positions, config.positions)
        inside = torch.linspace(-1, 1, config.positions, dtype=torch.float64).abs() < config.hole
        self._keep(~(inside[:, None] & inside[None, :]).flatten())

    def factor_values(self, name: str) -> Tensor:
        """Centres in pixels."""
        return _spread(self.config.centre_range, self.factor_sizes[self.factor_names.index(name)])

    def render(self, factors: Tensor) -> Tensor:
        self.check_factors(factors)
        x, y = (
            self.factor_values(name).to(factors.device, torch.float32)[column, None]
            for name, column in zip(self.factor_names, factors.unbind(1))
        )
        pixels = torch.arange(self.config.size, dtype=torch.float32, device=factors.device)
        across = torch.exp(-((pixels - x) ** 2) / (2 * self.config.sigma**2))
        down = torch.exp(-((pixels - y) ** 2) / (2 * self.config.sigma**2))
        return (down[:, :, None] * across[:, None, :])[:, None]


def _spread(ends: tuple[float, float], count: int) -> Tensor:
    return torch.linspace(ends[0], ends[1], count, dtype=torch.float64)


def _positive(**settings: float) -> None:
    for name, value in settings.items():
        if value <= 0:
            raise ConfigError(f"{name} = {value}", "a number above 0")
