"""A plain picture of any Feature World: one cell for every object on offer, its frame says what a test of it brought.

Worlds that `rendered` can draw are shown as tables instead.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Int8, Int64
from numpy.typing import NDArray
from torch import Tensor

from percepts.envs.feature_world.world import FeatureWorld

_CELL, _FRAME = 9, 2
"""Pixels along a side, and of the frame."""
_FRAMES = {0: (70, 70, 70), 1: (40, 220, 70), -1: (10, 10, 10)}
_LOW, _HIGH = 60, 250


def draw_board(
    world: FeatureWorld, features: Int64[Tensor, "choices dimensions"], outcomes: Int8[Tensor, " choices"]
) -> NDArray[np.uint8]:
    """The picture [H, W, 3]. The first three dimensions are the red, green and blue of a cell.

    Args:
        world: of the objects.
        features: of those on offer.
        outcomes: 1 where the last test of an object lit up, -1 where it did not, 0 where there was none.
    """
    columns = math.ceil(math.sqrt(len(features)))
    rows = math.ceil(len(features) / columns)
    cells = np.zeros((rows * columns, _CELL, _CELL, 3), np.uint8)
    frame = np.array([_FRAMES[value] for value in (-1, 0, 1)], np.uint8)[outcomes.numpy().astype(np.int64) + 1]
    cells[: len(features)] = frame[:, None, None]
    inside = np.full((len(features), 3), _LOW, np.uint8)
    for place, count in enumerate(world.values[:3]):
        share = features[:, place].numpy() / (count - 1)
        inside[:, place] = np.rint(_LOW + (_HIGH - _LOW) * share)
    cells[: len(features), _FRAME:-_FRAME, _FRAME:-_FRAME] = inside[:, None, None]
    return cells.reshape(rows, columns, _CELL, _CELL, 3).swapaxes(1, 2).reshape(rows * _CELL, columns * _CELL, 3)
