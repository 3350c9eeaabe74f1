"""Worlds of one disc and two factors: what a latent space looks like can be seen in a plane (Watters et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError
from percepts.data.continuous import Bins, ContinuousWorld, Range, bins
from percepts.data.held_out import PartialGrid
from percepts.rendering.colour import hsv_to_rgb
from percepts.rendering.scene import SpriteScene
from percepts.rendering.shapes import Ellipse
from percepts.rendering.sprites2d import render_sprites

Support = Literal["square", "centre_hole", "diagonal_band", "l_shape"]

_KINDS = {"xy": ("x", "y"), "x_hue": ("x", "hue"), "r_hue": ("radius", "hue"), "hue_sat": ("hue", "saturation")}


@dataclass(frozen=True)
class Lattice:
    """Evenly spaced points over the whole ranges of two factors.

    Attributes:
        values: the points by factor name, the last factor fastest, as `Circles.draw` takes them.
        in_support: which of them the world may show in training.
    """

    values: dict[str, Float64[Tensor, " points"]]
    in_support: Bool[Tensor, " points"]


class Circles(PartialGrid, ContinuousWorld):
    """One exactly anti-aliased disc on black: two factors vary over a square of values or over a part of it.

    `kind` says which: x and y (grey), x and hue, radius and hue, or hue and saturation (RGB). Everything else is fixed:
    the disc in the middle, its radius 5/64 of the frame, white. x runs to the right, y down; both are fractions of the
    frame, and so is the radius.

    `support` says which combinations occur, in the unit square of both ranges: all of it, all but a square in the
    middle, a band along the diagonal, or all but the quadrant of large values. In the last three the factors depend on
    each other, as they do in real data. A bin belongs to the support if its centre does. The pairs of factors and the
    supports are this library's choice: those of the paper are only partly known, and its data are unpublished.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            kind: the two factors.
            support: which combinations of them occur.
            size: pixels a side.
            bins: how many values each factor takes on the grid.
            hole: side of the hole in the middle as a share of the square's; 0.375 takes 14 % of its area.
            band: width of the band to either side of the diagonal, as a share of the square's side.
            radius: of the disc where it is no factor, in frames.
            centre_range: of x and y, in frames.
            radius_range: of the radius, in frames.
            hue_range: hue in [0, 1]; it stops short of 1, which is red again.
            saturation_range: saturation in [0, 1].
        """

        kind: Literal["xy", "x_hue", "r_hue", "hue_sat"] = "xy"
        support: Support = "square"
        size: int = 64
        bins: int = 32
        hole: float = 0.375
        band: float = 0.25
        radius: float = 5 / 64
        centre_range: Range = (10 / 64, 54 / 64)
        radius_range: Range = (3 / 64, 9 / 64)
        hue_range: Range = (0.0, 0.8)
        saturation_range: Range = (0.2, 1.0)

    def __init__(self, config: Config) -> None:
        self.config = config
        self._check()
        ranges = {
            "x": config.centre_range,
            "y": config.centre_range,
            "radius": config.radius_range,
            "hue": config.hue_range,
            "saturation": config.saturation_range,
        }
        self._define({name: bins(name, ranges[name], config.bins) for name in _KINDS[config.kind]} | self._fixed())
        self.image_shape = (1 if config.kind == "xy" else 3, config.size, config.size)
        unit = (torch.arange(config.bins, dtype=torch.float64) + 0.5) / config.bins
        self._keep(self._supported(*(axis.flatten() for axis in torch.meshgrid(unit, unit, indexing="ij"))))

    def draw(self, values: Mapping[str, Float[Tensor, " batch"]]) -> Float[Tensor, "batch channels height width"]:
        value = self._complete(values)
        if self.image_shape[0] == 1:
            colour = torch.ones_like(value["x"])[:, None]
        else:
            colour = hsv_to_rgb(torch.stack([value["hue"], value["saturation"], torch.ones_like(value["hue"])], dim=1))
        scene = SpriteScene(
            shapes=(Ellipse(),),
            shape=torch.zeros_like(value["x"], dtype=torch.int64)[:, None],
            position=torch.stack([value["x"], 1 - value["y"]], dim=1)[:, None],
            scale=value["radius"][:, None],
            angle=torch.zeros_like(value["x"])[:, None],
            colour=colour[:, None],
        )
        return render_sprites(scene, self.config.size, self.config.size, segmentation=False).image

    def lattice(self, side: int) -> Lattice:
        """`side` x `side` points over both ranges, ends included: what the picture of a latent space is drawn from."""
        if side < 2:
            raise ConfigError(f"a lattice of side {side}", "2 or more points a side")
        unit = torch.linspace(0, 1, side, dtype=torch.float64)
        mesh = [axis.flatten() for axis in torch.meshgrid(unit, unit, indexing="ij")]
        values = {}
        for name, share in zip(self.factor_names, mesh):
            centres, half = self.factor_values(name), self.bin_widths[name] / 2
            values[name] = (centres[0] - half) * (1 - share) + (centres[-1] + half) * share
        return Lattice(values, self._supported(*mesh))

    def _supported(self, u: Float64[Tensor, " points"], v: Float64[Tensor, " points"]) -> Bool[Tensor, " points"]:
        """Which points of the unit square the support has."""
        config = self.config
        if config.support == "centre_hole":
            return ~(((u - 0.5).abs() < config.hole / 2) & ((v - 0.5).abs() < config.hole / 2))
        if config.support == "diagonal_band":
            return (u - v).abs() <= config.band
        if config.support == "l_shape":
            return ~((u > 0.5) & (v > 0.5))
        return torch.ones_like(u, dtype=torch.bool)

    def _fixed(self) -> dict[str, Bins]:
        """What does not vary."""
        values = {"x": 0.5, "y": 0.5, "radius": self.config.radius, "hue": 0.0, "saturation": 0.0}
        # A disc without a hue of its own is white; where hue alone varies it is the pure colour.
        if self.config.kind in ("x_hue", "r_hue"):
            values["saturation"] = 1.0
        varied = _KINDS[self.config.kind]
        return {name: bins(name, (value, value), 1) for name, value in values.items() if name not in varied}

    def _check(self) -> None:
        config = self.config
        if config.size < 1:
            raise ConfigError(f"size = {config.size}", "at least 1 pixel")
        if config.bins < 2:
            raise ConfigError(f"bins = {config.bins}", "at least 2")
        for name in ("hole", "band"):
            if not 0 < getattr(config, name) < 1:
                raise ConfigError(f"{name} = {getattr(config, name)}", "a share above 0 and below 1")
        if min(config.radius, *config.radius_range) <= 0:
            raise ConfigError(f"radius = {config.radius}, radius_range = {config.radius_range}", "radii above 0")
        for name in ("hue_range", "saturation_range"):
            if not all(0 <= end <= 1 for end in getattr(config, name)):
                raise ConfigError(f"{name} = {getattr(config, name)}", "numbers in [0, 1]")
