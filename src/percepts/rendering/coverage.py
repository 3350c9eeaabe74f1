"""Exact area coverage of pixels by polygons and ellipses: anti-aliasing without samples.

A pixel's coverage is the area of its intersection with the shape. All functions work on n sprites at once, each in a
window of `height` x `width` pixels of its own. The sprite is the *last* dimension: every operation then runs over long
contiguous memory, whatever the size of the window.

Coordinates are pixels, x to the right and y **down**, from a corner of the pixel grid near the sprite; `left` and `top`
[n] (whole numbers) say where the window starts. Rounding therefore does not depend on the window.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_NARROW = 1e-12
"""Widths below this (pixels) count as vertical: the division by the width stays harmless."""


def polygon_coverage(
    x: Float[Tensor, "vertices n"],
    y: Float[Tensor, "vertices n"],
    left: Float[Tensor, " n"],
    top: Float[Tensor, " n"],
    height: int,
    width: int,
) -> Float[Tensor, "height width n"]:
    """The signed coverage of every window pixel by simple polygons: positive where the corners run counter-clockwise on
    screen.

    In a pixel row the shape's area left of a column boundary c is a sum over the edges that cross the row, of
    ∫ max(c − x(y), 0) dy along the edge, signed by its direction (Green's theorem). With the part of the edge in the
    row spanning dy rows and the columns from x₀ to x₀ + d, the integral is
    dy (t² d / 2 + max(c − x₀ − d, 0)), t = clamp((c − x₀) / d, 0, 1). Neighbouring boundaries differ by the coverage.
    """
    columns = torch.arange(width + 1, dtype=x.dtype, device=x.device)[:, None] + left
    area = x.new_zeros(height, width + 1, x.shape[1])
    end_x, end_y = x.roll(-1, 0), y.roll(-1, 0)
    extents = _extents(x, y, end_x, end_y, left, top, height, width)
    span = max(last - first for first, last, _ in extents)
    if span <= 0:
        return area[:, 1:]
    rise = end_y - y
    slope = ((end_x - x) / torch.where(rise == 0, 1.0, rise))[:, None]
    firsts = torch.tensor([first for first, _, _ in extents], device=x.device)[:, None, None]
    upper = top + (firsts + torch.arange(span, device=x.device)[:, None])
    enter = torch.minimum(torch.maximum(y[:, None], upper), upper + 1)
    leave = torch.minimum(torch.maximum(end_y[:, None], upper), upper + 1)
    dy = leave - enter
    near = enter.sub_(y[:, None]).mul_(slope).add_(x[:, None])
    far = leave.sub_(y[:, None]).mul_(slope).add_(x[:, None])
    # Rounding must not push an edge out of its own extent: columns before `start` are taken to be empty.
    lowest = torch.maximum(torch.minimum(near, far), torch.minimum(x, end_x)[:, None])
    d = far.sub_(near).abs_().clamp_(min=_NARROW)
    inverse, half = d.reciprocal(), (dy * d).mul_(0.5)
    parts = (part[:, :, None].unbind() for part in (lowest, inverse, half, d, dy))
    for (first, last, start), *edge in zip(extents, *parts):
        if first >= last:
            continue
        low_, inverse_, half_, d_, dy_ = (part[: last - first] for part in edge)
        beyond = columns[start:] - low_
        t = (beyond * inverse_).clamp_(0, 1)
        piece = area[first:last, start:]
        piece.addcmul_(t.mul_(t), half_)
        piece.addcmul_(beyond.sub_(d_).clamp_(min=0), dy_)
    return area[:, 1:] - area[:, :-1]


def _extents(
    x: Tensor, y: Tensor, end_x: Tensor, end_y: Tensor, left: Tensor, top: Tensor, height: int, width: int
) -> list[list[int]]:
    """For every edge the window rows [first, last) that it crosses in any sprite, and the first column it can cover."""
    first = (torch.minimum(y, end_y).floor() - top).amin(1).clamp(0, height)
    last = (torch.maximum(y, end_y).ceil() - top).amax(1).clamp(0, height)
    last = torch.where((y == end_y).all(1), first, last)
    start = (torch.minimum(x, end_x).floor() - left).amin(1).clamp(0, width)
    return torch.stack([first, last, start], dim=1).long().tolist()


def ellipse_coverage(
    centre: Float[Tensor, "2 n"],
    to_circle: Float[Tensor, "2 2 n"],
    left: Float[Tensor, " n"],
    top: Float[Tensor, " n"],
    height: int,
    width: int,
) -> Float[Tensor, "height width n"]:
    """The coverage of every window pixel by ellipses; `to_circle` maps offsets from the centre so that the ellipse
    becomes the unit circle.

    A pixel becomes a parallelogram. The area that it shares with the unit disc is a sum over its four sides, of the
    area that the disc shares with the triangle of the origin and the side (Green's theorem again).
    """
    columns = torch.arange(width + 1, dtype=centre.dtype, device=centre.device)[:, None] + (left - centre[0])
    rows = torch.arange(height + 1, dtype=centre.dtype, device=centre.device)[:, None] + (top - centre[1])
    right, down = to_circle[:, 0], to_circle[:, 1]
    horizontal = _side_areas(columns, right, rows, down)
    vertical = _side_areas(rows, down, columns, right).transpose(0, 1)
    around = horizontal[:-1] - horizontal[1:] + vertical[:, 1:] - vertical[:, :-1]
    return around / (right[0] * down[1] - right[1] * down[0])


def _side_areas(
    along: Float[Tensor, "a n"],
    step: Float[Tensor, "2 n"],
    across: Float[Tensor, "b n"],
    other: Float[Tensor, "2 n"],
) -> Float[Tensor, "b a-1 n"]:
    """Signed area shared by the unit disc and the triangle of the origin with each unit step along grid lines.

    The points of a line are p(s) = s·`step` + r·`other`, r in `across`; the steps lead from along[i] to along[i + 1].
    """
    length2 = (step * step).sum(0)
    mixed = (step * other).sum(0)
    cross = across * (other[0] * step[1] - other[1] * step[0])
    middle = -across * mixed / length2
    half_chord = (length2 - cross * cross).clamp_(min=0).sqrt() / length2
    a = along[None, :-1]
    enter = ((middle - half_chord)[:, None] - a).clamp_(0, 1)
    leave = ((middle + half_chord)[:, None] - a).clamp_(0, 1)
    inside = (leave - enter) * cross[:, None]
    # Outside of the disc the shared area is a sector: half the angle from the side's start to the disc, and from the
    # disc to the side's end. Both angles at once, as the argument of a product of complex numbers.
    distance2 = (cross * cross / length2)[:, None]
    start = a - middle[:, None]
    to_enter, to_leave, to_end = start + enter, start + leave, start + 1
    scale = length2[None, None]
    real_1, real_2 = start * to_enter * scale + distance2, to_leave * to_end * scale + distance2
    imaginary_1, imaginary_2 = enter * cross[:, None], (1 - leave) * cross[:, None]
    imaginary = real_1 * imaginary_2 + real_2 * imaginary_1
    # Double precision: the last bit of a float32 arctangent depends on how many are computed at a time.
    angle = torch.atan2(imaginary.double(), (real_1 * real_2 - imaginary_1 * imaginary_2).double())
    return (inside + angle.to(inside.dtype)) / 2
