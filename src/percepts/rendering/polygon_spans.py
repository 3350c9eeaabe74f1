"""Filled polygons, cell by cell as Pillow's `ImageDraw.polygon` fills them, for many polygons at once.

Pillow drops the fractions of the corners and finds, in every row y that an edge reaches, x(y) = (y − y₀) dx + x₀ in
single precision. The crossings of a row, sorted, are paired; a pair (x₁, x₂) fills the cells from round(x₁), halves up,
to round(x₂), halves down. Two details make polygons closed: a crossing counts twice where its edge ends above the
polygon's last row, and horizontal edges are filled besides. A third lengthens spikes (`_lengthen_spikes`).

Nothing is sorted here. Let A be the number of crossings whose first cell, as the left one of a pair, is at or before
cell c, and D the number of those whose last cell, as the right one, is before it. D ≤ A, and c is filled if and only if
a number from D to A is odd: A > D, or A is odd. Both counts are running sums along the row. A horizontal edge is a
crossing that counts twice, with the first cell at one end and the last at the other.

The rules were read in the C source of Pillow 13 and hold to the last cell, for self-intersecting polygons too; Pillow
has had them since 11.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

_NO_SPIKE = 0.5
"""Edges that move on by less than this in a row make no spike: the rule asks for more than one cell, after rounding."""


@dataclass(frozen=True)
class Filled:
    """M filled polygons, each in a window of its own of one size for all.

    Attributes:
        cover: 1 where a cell is filled, else 0. Row 0 is the one of the smallest y.
        top: row of the canvas where a window starts.
        left: column of the canvas where it starts.
    """

    cover: UInt8[Tensor, "polygons rows columns"]
    top: Int64[Tensor, " polygons"]
    left: Int64[Tensor, " polygons"]


@dataclass(frozen=True)
class _Edges:
    """The edges [M, V] of M polygons from (x0, y0) to (x1, y1): which `exist`, the rows from `upper` to `lower` that
    they reach, both included, whether they are `flat`, and how far they move to the right from row to row."""

    x0: Tensor
    y0: Tensor
    x1: Tensor
    y1: Tensor
    exist: Tensor
    upper: Tensor
    lower: Tensor
    flat: Tensor
    slope: Tensor

    def at(self, row: Tensor) -> Tensor:
        """Where they cross a row."""
        return (row - self.y0).float() * self.slope + self.x0.float()

    def pick(self, *index: Tensor) -> _Edges:
        """Some of them, by polygon and, where given, number."""
        return _Edges(**{name: value[index] for name, value in vars(self).items()})


def fill_polygons(
    corners: Int64[Tensor, "polygons corners 2"],
    counts: Int64[Tensor, " polygons"],
    height: int,
    width: int,
    grid: int = 1,
) -> Filled | None:
    """Fill polygons on a canvas of `height` x `width` cells; None if none of them reaches into it.

    Args:
        corners: whole (x, y) in cells, of magnitudes below 2³⁰.
        counts: how many of a polygon's corners are meant; 0 for no polygon.
        height: rows of the canvas, a multiple of `grid`.
        width: columns of the canvas, a multiple of `grid`.
        grid: windows start and end at multiples of it.
    """
    x, y = corners.unbind(-1)
    real = torch.arange(x.shape[1], device=x.device) < counts[:, None]
    (left, right), (top, bottom) = _extent(x, real), _extent(y, real)
    seen = (counts > 0) & (left < width) & (right >= 0) & (top < height) & (bottom >= 0)
    left, columns = _window(left, right, seen, width, grid)
    top, rows = _window(top, bottom, seen, height, grid)
    if not columns * rows:
        return None
    edges = _edges(x, y, real & seen[:, None], counts)
    owner, number = edges.exist.nonzero().unbind(1)
    each = edges.pick(owner, number)
    first = each.upper.clamp(min=0)
    lengths = (each.lower.clamp(max=height - 1) - first + 1).clamp_(min=0)
    last = each.lower == bottom.index_select(0, owner)
    total = int(lengths.sum())
    index = torch.repeat_interleave(lengths, output_size=total)
    offset = lengths.cumsum(0) - lengths
    row = torch.arange(total, device=x.device) + (first - offset).index_select(0, index)
    crossing = (row - each.y0.index_select(0, index)).float().mul_(each.slope.index_select(0, index))
    crossing.add_(each.x0.float().index_select(0, index))
    _lengthen_spikes(crossing, edges, _Ends(each, owner, number, offset, offset + lengths - 1, last), height)
    start, stop = _cells(crossing, each, index)
    twice = each.flat.index_select(0, index) | (row == torch.where(last, -1, each.lower).index_select(0, index))
    owner = owner.index_select(0, index)
    line = owner * rows + row - top.index_select(0, owner)
    cover = _sum_up(start, stop, twice, line, left.index_select(0, owner), (len(x), rows, columns), x.shape[1])
    return Filled(cover, top, left)


@dataclass(frozen=True)
class _Ends:
    """Edges [E], the `number` that each has in the polygon that is its `owner`, the places of the crossings at its
    upper and its lower end, and whether it reaches its polygon's `last` row."""

    each: _Edges
    owner: Tensor
    number: Tensor
    upper: Tensor
    lower: Tensor
    last: Tensor


def _lengthen_spikes(crossing: Tensor, edges: _Edges, ends: _Ends, height: int) -> None:
    """Where two edges leave a common corner to the same side and both move on by more than a cell in a row, Pillow
    moves the crossing of the later one next to where the nearer edge is in the following row, so that the tip of the
    spike holds together. That is done where edges begin, and at their ends in the last row of the polygon.

    "Common corner" means: of the earlier edges with an end in this row, the first whose crossing rounds to the same
    cell and that has a following row.
    """
    each = ends.each
    moving = each.slope.abs() > _NO_SPIKE
    upper = (moving & (each.upper >= 0) & (each.upper < height)).nonzero()[:, 0]
    lower = (moving & ends.last & (each.lower >= 0) & (each.lower < height)).nonzero()[:, 0]
    # Hardly any edge has its end in the row of another's that moves to the same side.
    upper = upper[_repeated((ends.owner[upper] * height + each.upper[upper]) * 2 + (each.slope[upper] > 0))]
    lower = lower[_repeated(ends.owner[lower] * 2 + (each.slope[lower] > 0))]
    chosen = torch.cat([upper, lower])
    if not len(chosen):
        return
    row = torch.cat([each.upper[upper], each.lower[lower]])
    after = row + torch.cat([torch.ones_like(upper), -torch.ones_like(lower)])
    mine, others = each.pick(chosen), edges.pick(ends.owner[chosen])
    x, ahead = mine.at(row), mine.at(after)
    row, after = row[:, None], after[:, None]
    earlier = torch.arange(others.x0.shape[1], device=row.device) < ends.number[chosen][:, None]
    meet = others.exist & earlier & (others.slope != 0) & (_nearest(others.at(row)) == _nearest(x)[:, None])
    meet &= ((others.upper == row) | (others.lower == row)) & (others.upper <= after) & (after <= others.lower)
    partner = others.at(after).gather(1, meet.int().argmax(1, keepdim=True))[:, 0]
    found = meet.any(1)
    low, high = torch.minimum(ahead, partner), torch.maximum(ahead, partner)
    x = torch.where(found & (x > ahead + 1) & (x > partner + 1), _nearest(high) + 1,
                    torch.where(found & (x < ahead - 1) & (x < partner - 1), _nearest(low) - 1, x))  # fmt: skip
    crossing[torch.cat([ends.upper[upper], ends.lower[lower]])] = x


def _repeated(key: Tensor) -> Tensor:
    """Which of these whole numbers are there more than once."""
    return key.bincount()[key] > 1


def _nearest(value: Tensor) -> Tensor:
    """Rounded to whole numbers, halves away from zero."""
    whole = value.trunc()
    return whole + torch.where((value - whole).abs() >= 0.5, value.sign(), 0.0)


def _extent(value: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest and largest value of the real corners."""
    low, high = torch.iinfo(value.dtype).min, torch.iinfo(value.dtype).max
    return torch.where(real, value, high).amin(1), torch.where(real, value, low).amax(1)


def _window(low: Tensor, high: Tensor, seen: Tensor, size: int, grid: int) -> tuple[Tensor, int]:
    """Where windows around the part of [low, high] in the canvas start, and their common length."""
    start = torch.where(seen, low.clamp(min=0), 0) // grid * grid
    stop = torch.where(seen, high.clamp(max=size - 1) // grid * grid + grid, 0)
    length = int((stop - start).amax())
    return start.clamp_(max=size - length), length


def _edges(x: Tensor, y: Tensor, real: Tensor, counts: Tensor) -> _Edges:
    number = torch.arange(x.shape[1], device=x.device)
    closing = number == counts[:, None] - 1
    following = torch.where(closing, 0, (number + 1).clamp(max=len(number) - 1))
    x1, y1 = x.gather(1, following), y.gather(1, following)
    flat = y == y1
    slope = (x1 - x).float() / torch.where(flat, 1, y1 - y).float()
    return _Edges(x, y, x1, y1, real, torch.minimum(y, y1), torch.maximum(y, y1), flat, torch.where(flat, 0.0, slope))


def _cells(crossing: Tensor, each: _Edges, index: Tensor) -> tuple[Tensor, Tensor]:
    """The first cell of a pair that starts at a crossing, and the cell after a pair that ends there."""
    flat = each.flat.index_select(0, index)
    low, high = torch.minimum(each.x0, each.x1).float(), torch.maximum(each.x0, each.x1).float()
    left = torch.where(flat, low.index_select(0, index), crossing)
    right = torch.where(flat, high.index_select(0, index), crossing)
    # Pillow mirrors its rounding at zero. For first cells that changes nothing in the canvas.
    start = (left + 0.5).floor_()
    stop = torch.where(right >= 0, (right - 0.5).ceil_(), (right + 0.5).floor_()).add_(1)
    return start, stop


def _sum_up(
    start: Tensor, stop: Tensor, twice: Tensor, line: Tensor, left: Tensor, size: tuple[int, int, int], corners: int
) -> Tensor:
    """The cells covered in windows of `size` [M, rows, columns], from crossings in `line` of the windows' rows, with at
    most `corners` in one of them."""
    polygons, rows, columns = size
    # One number holds A − D and, in its low bits, the single ones of A: those that count twice leave it odd or even.
    bits, dtype = (8, torch.int16) if corners < 64 else (32, torch.int64)
    weight = (1 + twice.long()) << bits
    change = torch.cat([weight + (~twice).long(), -weight]).to(dtype)
    line, left = line * (columns + 1), left.float()
    place = [(cell - left).clamp_(0, columns).long().add_(line) for cell in (start, stop)]
    count = torch.zeros(polygons * rows * (columns + 1), dtype=dtype, device=line.device)
    count.index_add_(0, torch.cat(place), change)
    count = count.view(polygons, rows, columns + 1).cumsum(-1, dtype=dtype)[..., :columns]
    return (count & ~((1 << bits) - 2)).clamp_(max=1).to(torch.uint8)
