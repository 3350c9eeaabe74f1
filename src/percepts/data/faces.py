"""Drawn faces: a generated stand-in for photographs of faces, made of ellipses and polygons."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError
from percepts.data.dataset import FactorDataset
from percepts.rendering.colour import hsv_to_rgb
from percepts.rendering.scene import SpriteScene
from percepts.rendering.shapes import Ellipse, Polygon, Shape
from percepts.rendering.sprites2d import render_sprites

_HEAD = (0.2, 0.27)
"""Half the width and half the height of the head, as fractions of the frame."""

_DARK = (0.12, 0.09, 0.08)
_GREY = (0.42, 0.44, 0.46)
_RED = (0.72, 0.2, 0.22)
_WHITE = (0.97, 0.97, 0.97)


class Faces(FactorDataset):
    """A drawn face: factors azimuth (9), skin (6), smile (8), hair_length (6) and background (6), 15 552 RGB images of
    64 x 64, the last factor fastest.

    A stand-in for the faces that Higgins et al. 2017 train on, with five of the kinds of change that they report:
    turning the head, the colour of the skin, the expression, the hair and the saturation of what is behind. The faces
    are drawings, anti-aliased exactly. Turning moves eyes, nose, mouth and fringe as points on a round head do; their
    outlines stay what they are.

    Raises:
        ConfigError: a count or size below 1, a turn of 60 degrees or more.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            size: pixels a side.
            azimuths: how many directions the head faces.
            azimuth_range: the two outermost directions in degrees, positive to the right of the picture.
            skins: how many colours of skin, from light to dark.
            smiles: how many expressions, from a frown to a smile.
            hair_lengths: how many lengths of hair.
            backgrounds: how many saturations of the background, from grey to blue.
        """

        size: int = 64
        azimuths: int = 9
        azimuth_range: tuple[float, float] = (-30.0, 30.0)
        skins: int = 6
        smiles: int = 8
        hair_lengths: int = 6
        backgrounds: int = 6

    def __init__(self, config: Config) -> None:
        for name in ("size", "azimuths", "skins", "smiles", "hair_lengths", "backgrounds"):
            if getattr(config, name) < 1:
                raise ConfigError(f"{name} = {getattr(config, name)}", "at least 1")
        low, high = config.azimuth_range
        if not -60 < low < high < 60:
            raise ConfigError(f"azimuth_range = {config.azimuth_range}", "two growing angles from -60 to 60 degrees")
        self.config = config
        self.image_shape = (3, config.size, config.size)
        self._values = {
            "azimuth": _spread(low, high, config.azimuths),
            "skin": _spread(0.0, 1.0, config.skins),
            "smile": _spread(-1.0, 1.0, config.smiles),
            "hair_length": _spread(0.0, 1.0, config.hair_lengths),
            "background": _spread(0.0, 1.0, config.backgrounds),
        }
        self.factor_names = tuple(self._values)
        self.factor_sizes = tuple(map(len, self._values.values()))

    def factor_values(self, name: str) -> Tensor:
        """Values of a factor, float64 [size]: azimuth in degrees, smile from -1 to 1, the others from 0 to 1."""
        return self._values[name].clone()

    def render(self, factors: Tensor) -> Tensor:
        self.check_factors(factors)
        size = self.config.size
        return render_sprites(self.scene(factors), size, size, segmentation=False).image

    def scene(self, factors: Int64[Tensor, "batch 5"]) -> SpriteScene:
        """The scenes of `factors`, to render with segmentation or coverage. Sprites from back to front: hair,
        shoulders, neck, head, fringe, the whites of both eyes, both pupils, nose, mouth."""
        azimuth, skin, _, _, background = (
            table.to(factors.device)[column] for table, column in zip(self._values.values(), factors.unbind(1))
        )
        tones = torch.stack([0.07 - 0.02 * skin, 0.3 + 0.32 * skin, 0.98 - 0.55 * skin], dim=1)
        tone = hsv_to_rgb(tones.float())
        head = _Drawing(azimuth * (math.pi / 180))
        hair = tuple(map(_hair, self._values["hair_length"].tolist()))
        mouths = tuple(map(_mouth, self._values["smile"].tolist()))
        head.add(hair, factors[:, 3], 0, 0.06, -0.3, _DARK)
        head.add((Ellipse(0.34, 0.16),), None, 0, -0.5, 0, _GREY)
        head.add((Ellipse(0.085, 0.17),), None, 0, -0.27, 0, tone * 0.85)
        head.add((Ellipse(*_HEAD),), None, 0, 0, 0, tone)
        head.add((_fringe(),), None, 0, 0.12, 0.35, _DARK)
        for side in (-1, 1):
            head.add((Ellipse(0.042, 0.028),), None, side * 0.45, 0.03, 0.95, _WHITE)
        for side in (-1, 1):
            head.add((Ellipse(0.02, 0.024),), None, side * 0.45, 0.03, 1.0, _DARK)
        head.add((Ellipse(0.022, 0.045),), None, 0, -0.055, 1.2, tone * 0.8)
        head.add(mouths, factors[:, 2], 0, -0.15, 0.9, _RED)
        one = torch.ones_like(background)
        return head.scene(hsv_to_rgb(torch.stack([0.58 * one, 0.85 * background, 0.8 * one], dim=1).float()))


@dataclass
class _Drawing:
    """Sprites on a head that faces `azimuth` [B] radians, collected from back to front."""

    azimuth: Tensor
    shapes: list[Shape] = field(default_factory=list)
    parts: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)

    def add(
        self,
        shapes: tuple[Shape, ...],
        which: Tensor | None,
        angle: float,
        height: float,
        reach: float,
        colour: tuple[float, ...] | Tensor,
    ) -> None:
        """One sprite of every face: one of `shapes`, `angle` radians from the middle of the face, `height` above the
        middle of the head and `reach` half widths of the head from its axis."""
        across = 0.5 + reach * _HEAD[0] * torch.sin(self.azimuth + angle)
        position = torch.stack([across, torch.full_like(across, 0.5 + height)], dim=1).float()
        number = torch.zeros(len(across), dtype=torch.int64, device=across.device) if which is None else which
        tint = torch.as_tensor(colour, dtype=torch.float32, device=across.device).expand(len(across), 3)
        self.parts.append((number + len(self.shapes), position, tint))
        self.shapes += shapes

    def scene(self, background: Float[Tensor, "batch 3"]) -> SpriteScene:
        """All sprites at their natural size."""
        number, position, colour = (torch.stack(values, dim=1) for values in zip(*self.parts))
        one = torch.ones(number.shape, device=number.device)
        return SpriteScene(tuple(self.shapes), number, position, one, 0 * one, colour, background)


def _hair(length: float) -> Polygon:
    """A round crown, and sides that fall down to the jaw or the shoulders."""
    angle = np.linspace(0, math.pi, 25)
    crown = np.stack([0.235 * np.cos(angle), 0.25 * np.sin(angle)], axis=1)
    end = -0.06 - 0.36 * length
    return _polygon(np.concatenate([crown, [[-0.245, end], [0.245, end]]]))


def _fringe() -> Polygon:
    """The hair over the forehead: the head's outline above, a shallow arc below."""
    angle = np.linspace(0.18 * math.pi, 0.82 * math.pi, 25)
    above = np.stack([0.2 * np.cos(angle), 0.275 * np.sin(angle) - 0.11], axis=1)
    x = np.linspace(above[-1, 0], above[0, 0], 13)[1:-1]
    below = np.stack([x, above[0, 1] + 0.045 * (1 - (x / above[0, 0]) ** 2)], axis=1)
    return _polygon(np.concatenate([above, below]))


def _mouth(smile: float) -> Polygon:
    """A crescent whose corners point up (1) or down (-1)."""
    x = np.linspace(-1, 1, 17)
    middle, half = 0.09 * smile * (x**2 - 0.45), 0.005 + 0.017 * (1 - x**2)
    upper, lower = np.stack([0.1 * x, middle + half], axis=1), np.stack([0.1 * x, middle - half], axis=1)
    return _polygon(np.concatenate([lower, upper[::-1]]))


def _polygon(points: np.ndarray) -> Polygon:
    return Polygon(tuple((float(x), float(y)) for x, y in points))


def _spread(low: float, high: float, count: int) -> Tensor:
    """`count` values from one end to the other, or the middle alone."""
    ends = (low, high) if count > 1 else ((low + high) / 2, high)
    return torch.linspace(*ends, count, dtype=torch.float64)
