"""Grey chairs made of boxes: a generated stand-in for the 3-D chairs of the β-VAE paper."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError
from percepts.data.dataset import FactorDataset
from percepts.rendering.objects import ObjectScene, look_at, pinhole, turn
from percepts.rendering.primitives import Box
from percepts.rendering.rays import render_objects

LEGS = ("four", "star", "pedestal", "cantilever")
"""Styles of legs: one at each corner, a five-armed foot, a plate on a post, runners and two front legs."""

_SEAT, _DEPTH, _THICK = 0.46, 0.24, 0.03
"""Height of the seat's top, half its depth and half the thickness of seat and back, in metres."""


class Chairs(FactorDataset):
    """A chair on white, seen from a little above: factors azimuth (32), seat_width (6), back_height (6) and leg_style
    (4: four, star, pedestal, cantilever), 4 608 grey images of 64 x 64, the last factor fastest.

    A stand-in for the rendered chairs of Aubry et al. 2014 that Higgins et al. 2017 train on (1 393 models from 62
    views each; numbers unverified), made to hold the three things that their β-VAE finds: azimuth, size and the style
    of the legs. Its chairs are boxes, and resemble the original only in kind. The camera stands far away, so that there
    is next to no perspective; the light comes from above, a little from the left.

    Raises:
        ConfigError: a count or size below 1, a range that is no range of lengths, an unknown style of legs.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            size: pixels a side.
            azimuths: how many directions the chair faces, evenly over the full turn.
            seat_widths: how many widths of the seat.
            width_range: narrowest and widest seat in metres.
            back_heights: how many heights of the back.
            height_range: lowest and highest back above the seat in metres.
            legs: which styles of legs, of four, star, pedestal and cantilever.
            elevation: degrees that the camera looks down.
            samples: rays along each side of a pixel; 1 draws hard edges.
        """

        size: int = 64
        azimuths: int = 32
        seat_widths: int = 6
        width_range: tuple[float, float] = (0.32, 0.68)
        back_heights: int = 6
        height_range: tuple[float, float] = (0.2, 0.6)
        legs: tuple[str, ...] = LEGS
        elevation: float = 20.0
        samples: int = 2

    def __init__(self, config: Config) -> None:
        unknown = [name for name in config.legs if name not in LEGS]
        if unknown or not config.legs:
            raise ConfigError(f"legs = {config.legs!r}", "one or more of " + ", ".join(LEGS))
        for name in ("size", "azimuths", "seat_widths", "back_heights", "samples"):
            if getattr(config, name) < 1:
                raise ConfigError(f"{name} = {getattr(config, name)}", "at least 1")
        for name in ("width_range", "height_range"):
            low, high = getattr(config, name)
            if not 0.1 <= low < high <= 1:
                raise ConfigError(f"{name} = {(low, high)}", "two growing lengths from 0.1 to 1 metre")
        if not -80 <= config.elevation <= 80:
            raise ConfigError(f"elevation = {config.elevation}", "-80 to 80 degrees")
        self.config = config
        self.image_shape = (1, config.size, config.size)
        self._values = {
            "azimuth": torch.arange(config.azimuths, dtype=torch.float64) * (2 * math.pi / config.azimuths),
            "seat_width": torch.linspace(*config.width_range, config.seat_widths, dtype=torch.float64),
            "back_height": torch.linspace(*config.height_range, config.back_heights, dtype=torch.float64),
            "leg_style": torch.arange(len(config.legs), dtype=torch.float64),
        }
        self.factor_names = tuple(self._values)
        self.factor_sizes = tuple(map(len, self._values.values()))

    def factor_values(self, name: str) -> Tensor:
        """Values of a factor, float64 [size]: azimuth in radians, lengths in metres, leg_style as a number into the
        configured styles."""
        return self._values[name].clone()

    def render(self, factors: Tensor) -> Tensor:
        self.check_factors(factors)
        config = self.config
        rendered = render_objects(self.scene(factors), config.size, config.size, samples=config.samples, labels=False)
        return rendered.image[:, :1].contiguous()

    def scene(self, factors: Int64[Tensor, "batch 4"]) -> ObjectScene:
        """The scenes of `factors`, to render with segmentation (1 = seat, 2 = back, 3 and more = legs) or depth."""
        device = factors.device
        azimuth, width, height, _ = (
            table.to(device)[column].float() for table, column in zip(self._values.values(), factors.unbind(1))
        )
        boxes = torch.stack([_boxes(style, width / 2, height) for style in self.config.legs], dim=1)
        boxes = boxes[torch.arange(len(factors), device=device), factors[:, 3]]
        position, size, angle = boxes[..., :3], boxes[..., 3:6], boxes[..., 6]
        facing = turn(azimuth)[:, None]
        x, y, z = position.unbind(-1)
        position = facing[..., 0] * x[..., None] + facing[..., 1] * y[..., None] + facing[..., 2] * z[..., None]
        tilt = math.radians(self.config.elevation)
        eye = torch.tensor([12 * math.cos(tilt), 0, 0.5 + 12 * math.sin(tilt)], device=device)
        return ObjectScene(
            shapes=(Box(),),
            shape=torch.zeros(position.shape[:2], dtype=torch.int64, device=device),
            position=position,
            rotation=turn(azimuth[:, None] + angle),
            size=torch.where(size > 0, size, 1.0),
            colour=torch.full_like(position, 0.75),
            camera=look_at(eye, torch.tensor([0, 0, 0.5], device=device)),
            intrinsics=pinhole(6.8).to(device),
            light=torch.tensor([7.0, -3.0, 14.0], device=device),
            background=torch.ones(3, device=device),
            present=size[..., 0] > 0,
            ambient=0.25,
        )


def _boxes(style: str, half: Float[Tensor, " batch"], back: Float[Tensor, " batch"]) -> Float[Tensor, "batch 8 7"]:
    """Seat, back and legs of a chair that faces x: centre, half extents and turn about z of every box. Boxes that a
    style does not need have no extent."""
    top = _SEAT - 2 * _THICK
    boxes: list[tuple[Tensor | float, ...]] = [
        (0, 0, _SEAT - _THICK, _DEPTH, half, _THICK, 0),
        (_THICK - _DEPTH, 0, _SEAT + back / 2, _THICK, half, back / 2, 0),
    ]
    if style == "four":
        for x, side in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            boxes.append((x * (_DEPTH - 0.03), side * (half - 0.03), top / 2, 0.025, 0.025, top / 2, 0))
    elif style == "star":
        boxes.append((0, 0, top / 2, 0.03, 0.03, top / 2, 0))
        for angle in (arm * 2 * math.pi / 5 for arm in range(5)):
            boxes.append((0.13 * math.cos(angle), 0.13 * math.sin(angle), 0.03, 0.13, 0.025, 0.03, angle))
    elif style == "pedestal":
        boxes.append((0, 0, top / 2, 0.05, 0.05, top / 2, 0))
        boxes.append((0, 0, 0.02, 0.19, 0.19, 0.02, 0))
    else:
        for across in (half - 0.03, 0.03 - half):
            boxes.append((0, across, 0.025, _DEPTH, 0.025, 0.025, 0))
            boxes.append((_DEPTH - 0.025, across, top / 2 + 0.025, 0.025, 0.025, top / 2 - 0.025, 0))
        # The bar tells it from four legs when seen from behind.
        boxes.append((0.025 - _DEPTH, 0, 0.025, 0.025, half - 0.055, 0.025, 0))
    boxes += [(0.0,) * 7] * (8 - len(boxes))
    return torch.stack([torch.stack([value + 0 * half for value in box], dim=1) for box in boxes], dim=1)
