"""Objects Room where a wall half is out of view: its files then have one background mask less."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Integer

_SKY, _FLOOR, _WALL, _DOUBTFUL = range(4)
_COLUMNS = 3


def repair_objects_room(
    segmentation: Integer[np.ndarray, "batch height width"],
) -> Integer[np.ndarray, "batch height width"]:
    """Number the objects from 4 in every image: 0 is the sky, 1 the floor, 2 and 3 the halves of the walls.

    In the published files entity 3 is the first object where only one half of the walls can be seen. Entity 3 is taken
    for an object, and it and all after it move up by one, if

    - entity 2, then the only wall, lies directly above or below of it in at least 3 columns; or
    - it has sky or floor directly at its left and at its right; or at one of these sides, and does not touch the
      image's border at the other, as the wall would; or
    - the floor lies directly above it in at least 3 columns, or the sky below; or
    - nothing has a larger number, as every room of these files has an object.

    The rules, but that of the floor above, are those of the object-centric library of Dittadi et al. (2022). They are
    guesses: a far wall whose both ends can be seen looks like an object to them, and an object before the wall that is
    cut by the image's border may look like a wall.
    """
    moved = _is_object(segmentation)
    return segmentation + ((segmentation >= _DOUBTFUL) & moved[:, None, None]).astype(segmentation.dtype)


def _is_object(segmentation: Integer[np.ndarray, "batch height width"]) -> Bool[np.ndarray, " batch"]:
    doubtful = segmentation == _DOUBTFUL
    open_space = (segmentation == _SKY) | (segmentation == _FLOOR)
    above, below = segmentation[:, :-1], segmentation[:, 1:]
    on_wall = _columns(doubtful[:, 1:] & (above == _WALL)) | _columns(doubtful[:, :-1] & (below == _WALL))
    lies_low = _columns(doubtful[:, 1:] & (above == _FLOOR)) | _columns(doubtful[:, :-1] & (below == _SKY))
    left = (doubtful[:, :, 1:] & open_space[:, :, :-1]).any((1, 2))
    right = (doubtful[:, :, :-1] & open_space[:, :, 1:]).any((1, 2))
    ends_left, ends_right = doubtful[:, :, 0].any(1), doubtful[:, :, -1].any(1)
    free = (left & right) | (left & ~ends_right) | (right & ~ends_left)
    last = segmentation.max((1, 2)) <= _DOUBTFUL
    return doubtful.any((1, 2)) & (on_wall | lies_low | free | last)


def _columns(pixels: Bool[np.ndarray, "batch rows width"]) -> Bool[np.ndarray, " batch"]:
    """Whether there are any in enough columns."""
    return pixels.any(1).sum(1) >= _COLUMNS
