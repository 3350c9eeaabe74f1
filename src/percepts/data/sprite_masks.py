"""Which pixels a sprite takes: those whose centre lies inside of it, without anti-aliasing.

Pixel i is centred on coordinate i, x to the right and y down; angles turn clockwise on the screen. A sprite is drawn in
a window around it, and the arithmetic of a pixel does not depend on the window or on other sprites.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

SpriteKind = Literal["square", "ellipse", "heart"]

SQUARE_SIDE = 22.0
ELLIPSE_AXES = (15.5, 8.0)
HEART_WIDTH = 26.0
"""Pixels of the shapes at scale 1 in an image of 64. They are our own: dSprites' are not documented."""

REACH: dict[SpriteKind, float] = {"square": 15.6, "ellipse": 15.5, "heart": 14.9}
"""No shape reaches farther from its centre, at scale 1."""
_HEART_MIDDLE = -2.53837
"""Of the curve's lowest and highest point, in units of the curve."""


@dataclass(frozen=True)
class Placed:
    """n sprites, of any shape.

    Attributes:
        x: column of the centre.
        y: row of the centre.
        angle: in radians, clockwise.
        scale: pixels for each unit of the shape.
    """

    x: Float64[Tensor, " n"]
    y: Float64[Tensor, " n"]
    angle: Float64[Tensor, " n"]
    scale: Float64[Tensor, " n"]

    def some(self, rows: Int64[Tensor, " some"]) -> Placed:
        """Some of them."""
        return Placed(self.x[rows], self.y[rows], self.angle[rows], self.scale[rows])


@dataclass(frozen=True)
class Window:
    """Square windows of an image around sprites, in the sprites' own coordinates.

    Attributes:
        u: along the sprite's own x, at every pixel of the window.
        v: along its own y.
        start: the window's first pixel, counted along the rows of the image.
    """

    u: Float[Tensor, "n side side"]
    v: Float[Tensor, "n side side"]
    start: Int64[Tensor, " n"]


def sprite_masks(
    kind: Int64[Tensor, " n"], kinds: tuple[SpriteKind, ...], placed: Placed, most: float, size: int
) -> Bool[Tensor, "n size size"]:
    """Every sprite alone.

    Args:
        kind: the place of the sprite's shape in `kinds`.
        kinds: the names of the shapes.
        placed: where and how large they are.
        most: the largest scale there can be, which says how large a window is.
        size: pixels a side of the image.
    """
    masks = torch.zeros(len(kind), size, size, dtype=torch.bool, device=kind.device)
    for number, name in enumerate(kinds):
        rows = (kind == number).nonzero()[:, 0]
        window = windows(placed.some(rows), REACH[name] * most, size)
        put(masks, rows, window, _inside(name, window))
    return masks


def windows(placed: Placed, reach: float, size: int) -> Window:
    """Windows that hold everything of the image within `reach` pixels of the sprites' centres."""
    half = int(reach) + 1
    side = min(2 * half + 1, size)
    places = torch.arange(side, device=placed.x.device)
    left, top = ((centre.round().long() - half).clamp(0, size - side) for centre in (placed.x, placed.y))
    dx = (left[:, None] + places - placed.x[:, None]) / placed.scale[:, None]
    dy = (top[:, None] + places - placed.y[:, None]) / placed.scale[:, None]
    # The functions of the angle and all that is computed once a row are double: rounded to single only then, they
    # don't depend on how many are computed at a time.
    cos, sin = placed.angle.cos()[:, None], placed.angle.sin()[:, None]
    u = (cos * dx).float()[:, None] + (sin * dy).float()[:, :, None]
    v = (-sin * dx).float()[:, None] + (cos * dy).float()[:, :, None]
    return Window(u, v, top * size + left)


def put(images: Tensor, rows: Int64[Tensor, " n"], window: Window, values: Tensor) -> None:
    """Write the `values` [n, side, side] of windows into the `images` [N, size, size] numbered `rows`."""
    size, side = images.shape[-1], values.shape[-1]
    if not len(rows):
        return
    last = (side - 1) * size + side - 1
    # Whole windows at a time, through a view of all windows by their first pixel.
    every = images.as_strided((images.numel() - last, side, side), (1, size, 1), images.storage_offset())
    every.index_copy_(0, rows * size * size + window.start, values)


def _inside(name: SpriteKind, window: Window) -> Bool[Tensor, "n side side"]:
    u, v = window.u, window.v
    if name == "square":
        return torch.maximum(u.abs(), v.abs()) <= SQUARE_SIDE / 2
    if name == "ellipse":
        return (u * (1 / ELLIPSE_AXES[0])).square() + (v * (1 / ELLIPSE_AXES[1])).square() <= 1
    return _inside_heart(u, v)


def _inside_heart(u: Tensor, v: Tensor) -> Tensor:
    """Inside of x = 16 sin³t, y = 13 cos t − 5 cos 2t − 2 cos 3t − cos 4t (y up).

    At a given x the curve has two points, whose cosines are c and −c with c² = 1 − |x / 16|^(2/3). In powers of c,
    y = (4 − 2c² − 8c⁴) ± c (19 − 8c²): the points between them are inside.
    """
    unit = 32 / HEART_WIDTH
    wide = (u.abs() * (unit / 16)).double()  # double: see `windows`
    c2 = 1 - wide.pow(2 / 3).clamp(max=1)
    middle = 4 - c2 * (2 + 8 * c2) - _HEART_MIDDLE
    half = c2.sqrt() * (19 - 8 * c2)
    return ((-v * unit).double() - middle).abs() <= torch.where(wide <= 1, half, -1)
