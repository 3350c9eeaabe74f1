"""Tables of Alchemy from above, for people and for agents with eyes: potions at the top, stones below, the cauldron.

Stones have their perceived colour, size and roundness; the grey of the mark on one is the reward that it shows, from
black (-3) to white (3). Colours and sizes are those of the 3-D version; the arrangement is our own.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from percepts.envs.alchemy.chemistry import chemistry_tables
from percepts.envs.alchemy.table_state import TableState
from percepts.rendering.scene import SpriteScene
from percepts.rendering.shapes import Polygon
from percepts.rendering.sprites2d import render_sprites

HEIGHT, WIDTH = 72, 96
"""Of the pictures by default, as the 3-D version has them."""
STONE_COLOURS = ((0.52, 0.23, 0.63), (0.26, 0.27, 0.59), (0.0, 0.31, 0.56))
"""Purple, blurple, blue."""
POTION_COLOURS = (
    (0.96, 0.02, 0.07), (0.24, 0.69, 0.36), (0.98, 0.40, 0.11), (0.94, 0.85, 0.08), (0.98, 0.44, 0.44),
    (0.21, 0.72, 0.74),
)  # fmt: skip
"""Red, green, orange, yellow, pink, turquoise."""
STONE_SIZES = (1.0, 1.4, 1.8)
WOOD, IRON = (0.55, 0.42, 0.30), (0.12, 0.12, 0.13)
ROW = 6
"""Items side by side at most."""


def draw_tables(state: TableState, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """The pictures [B, height, width, 3].

    Args:
        state: of the tables.
        height, width: of a picture, in pixels.
    """
    chemistry, tables = state.chemistry, chemistry_tables(str(state.stones.device))
    seen = tables.coordinates[chemistry.rotation[:, None], chemistry.stone_map[:, None], state.stones].long() + 1
    colour = tables.perceived_potion[chemistry.potion_map[:, None], state.potions]
    (batch, stones), potions, device = state.stones.shape, state.potions.shape[1], state.stones.device
    places, unit = _places(stones, potions)
    discs = torch.full((batch, 1 + potions), 2, device=device)
    size = _tensor(STONE_SIZES).to(device)[seen[..., 1]]
    grey = ((tables.shown[state.stones] + 3) / 6.0)[..., None].expand(-1, -1, 3)
    mark = torch.full((batch, stones), 2, device=device)
    cauldron = torch.ones(batch, 1, device=device)
    scene = SpriteScene(
        shapes=_shapes(),
        shape=torch.cat([discs, seen[..., 2], mark], 1),
        position=places.to(device).expand(batch, -1, -1),
        scale=torch.cat([
            0.26 * cauldron, torch.full((batch, potions), 0.7 * unit, device=device),
            0.6 * unit * size, 0.26 * unit * size,
        ], 1),
        angle=torch.zeros(batch, 1 + potions + 2 * stones, device=device),
        colour=torch.cat([
            _tensor((IRON,)).to(device).expand(batch, 1, 3), _tensor(POTION_COLOURS).to(device)[colour],
            _tensor(STONE_COLOURS).to(device)[seen[..., 0]], grey,
        ], 1),
        background=_tensor(WOOD).to(device),
        visible=torch.cat([cauldron.bool(), state.potion_here, state.stone_here, state.stone_here], 1),
    )  # fmt: skip
    image = render_sprites(scene, height, width, segmentation=False).image
    found: NDArray[np.uint8] = (image * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy(force=True)
    return found


def _places(stones: int, potions: int) -> tuple[Float32[Tensor, "items 2"], float]:
    """Where the cauldron, the potions, the stones and their marks lie, and how much room an item has."""
    rows = math.ceil(potions / ROW) + math.ceil(stones / ROW)
    unit = min(0.16, 0.66 / rows)
    bands = [*_band(potions, 0), *_band(stones, math.ceil(potions / ROW))]
    places = [(0.5, 0.16), *((x, 0.97 - unit / 2 - row * 0.66 / rows) for x, row in bands)]
    return torch.tensor([*places, *places[1 + potions :]]), unit


def _band(count: int, first: int) -> list[tuple[float, int]]:
    return [((place % ROW + 0.5) / min(count, ROW), first + place // ROW) for place in range(count)]


@functools.cache
def _shapes() -> tuple[Polygon, ...]:
    """Of roundness 0, ½ and 1, as wide as 1: from a diamond to a disc."""
    shapes = []
    for exponent in (1.0, 1.4, 2.0):
        angles = np.arange(48) * (2 * np.pi / 48)
        corners = np.stack([np.cos(angles), np.sin(angles)], 1)
        corners = 0.5 * np.sign(corners) * np.abs(corners) ** (2 / exponent)
        shapes.append(Polygon(tuple((float(x), float(y)) for x, y in corners)))
    return tuple(shapes)


def _tensor(values: tuple[float, ...] | tuple[tuple[float, ...], ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)
