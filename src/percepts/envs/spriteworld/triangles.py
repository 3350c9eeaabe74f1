"""Polygons cut into triangles, and points drawn uniformly inside of them."""

from __future__ import annotations

import functools
import itertools

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from percepts.core.errors import DataError
from percepts.rendering.shapes import Polygon

Point = tuple[float, float]
Triangle = tuple[Point, Point, Point]


def triangles(polygon: Polygon) -> tuple[Triangle, ...]:
    """A simple polygon, convex or not, of either direction, as triangles that do not overlap: its ears cut off one by
    one (Meisters 1975). Corners on a straight line give no triangle.

    Raises:
        DataError: a polygon whose outline crosses itself.
    """
    if _crosses_itself(polygon.vertices):
        raise _crossing(polygon)
    corners = list(polygon.vertices if polygon.signed_area > 0 else polygon.vertices[::-1])
    found: list[Triangle] = []
    while len(corners) > 3:
        for number, tip in enumerate(corners):
            before, after = corners[number - 1], corners[(number + 1) % len(corners)]
            turn = _turn(before, tip, after)
            if turn < 0 or (turn > 0 and any(_within(other, before, tip, after) for other in corners)):
                continue
            if turn > 0:
                found.append((before, tip, after))
            del corners[number]
            break
        else:
            raise _crossing(polygon)
    found.append((corners[0], corners[1], corners[2]))
    return tuple(found)


@functools.lru_cache(maxsize=32)
def triangle_table(
    outlines: tuple[Polygon, ...], device: torch.device
) -> tuple[Float64[Tensor, "shapes most 3 2"], Float64[Tensor, "shapes most"]]:
    """The triangles of several shapes, and for each the share of the shape's area that it and those before it have."""
    cut = [triangles(outline) for outline in outlines]
    most = max(map(len, cut))
    padded = [[*ones, *[ones[-1]] * (most - len(ones))] for ones in cut]
    areas = [[_turn(*one) if number < len(ones) else 0.0 for number, one in enumerate(row)]
             for ones, row in zip(cut, padded)]  # fmt: skip
    ends = torch.tensor(areas, dtype=torch.float64, device=device).cumsum(1)
    return torch.tensor(padded, dtype=torch.float64, device=device), ends / ends[:, -1:]


def points_inside(
    outlines: tuple[Polygon, ...], shape: Int64[Tensor, " points"], numbers: Float64[Tensor, "points 3"]
) -> Float64[Tensor, "points 2"]:
    """A uniformly distributed point inside each of some unit shapes, from three uniform numbers in [0, 1) each."""
    corners, ends = triangle_table(outlines, shape.device)
    chosen = (numbers[:, :1] >= ends[shape, :-1]).sum(1)
    first, second, third = corners[shape, chosen].unbind(1)
    along, across = numbers[:, 1:].unbind(1)
    # The far half of the parallelogram is folded back onto the triangle.
    beyond = along + across > 1
    along, across = torch.where(beyond, 1 - along, along), torch.where(beyond, 1 - across, across)
    return first + along[:, None] * (second - first) + across[:, None] * (third - first)


def _crosses_itself(corners: tuple[Point, ...]) -> bool:
    edges = list(zip(corners, corners[1:] + corners[:1]))
    return any(
        _turn(*one, other[0]) * _turn(*one, other[1]) < 0 and _turn(*other, one[0]) * _turn(*other, one[1]) < 0
        for one, other in itertools.combinations(edges, 2)
    )


def _crossing(polygon: Polygon) -> DataError:
    return DataError(f"an outline of {len(polygon.vertices)} corners that crosses itself", "a simple polygon")


def _turn(one: Point, two: Point, three: Point) -> float:
    """Twice the area of the triangle; negative if its corners run clockwise."""
    return (two[0] - one[0]) * (three[1] - one[1]) - (two[1] - one[1]) * (three[0] - one[0])


def _within(point: Point, one: Point, two: Point, three: Point) -> bool:
    """Whether a corner of the polygon, other than those of the triangle, lies in the triangle or on its border."""
    if point in (one, two, three):
        return False
    return _turn(one, two, point) >= 0 and _turn(two, three, point) >= 0 and _turn(three, one, point) >= 0
