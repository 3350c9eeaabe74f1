"""Pictures made smaller as Pillow's `Image.resize(size, LANCZOS)` does it, to the last bit.

Pillow filters rows, then columns, with the weights L(t) = sinc(t) sinc(t / 3), |t| < 3, t in output pixels, normalised
to a sum of 1 and rounded to multiples of 2⁻²². After each of the two steps sums are rounded to whole numbers and
clipped to 0 … 255. All of that is arithmetic with multiples of 2⁻²², exact in float64: neither the order of a sum nor
the device matters. Pictures of more than two rows a column are filtered along columns first, as by Pillow 13 and not
yet by Pillow 12.

The pictures are runs of few colours. A row is filtered as the sum of its steps: where the colour changes by d at column
c, output i changes by d times the sum of its weights from c on. Columns are filtered by multiplication with bands of
the matrix of weights.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float64, UInt8
from torch import Tensor

_UNIT = 2.0**-22
"""What weights are multiples of."""
_REACH = 3
"""Half the width of the filter, in output pixels."""
_TALL = 2
"""Pictures of more rows a column are filtered along columns first."""
_BAND = 8
"""Output rows of a band: more waste multiplications with 0, fewer make small matrices."""
_CPU_NUMBERS, _GPU_NUMBERS = 1 << 18, 1 << 26
"""Numbers in float64 that are filtered vertically at a time: what the caches hold, and what fits beside a model."""


def lanczos_weights(cells: int, pixels: int) -> Float64[Tensor, "pixels cells"]:
    """The weights that make `pixels` out of `cells` (at least as many), multiples of 2⁻²²."""
    scale = cells / pixels
    centre = (torch.arange(pixels, dtype=torch.float64)[:, None] + 0.5) * scale
    first = (centre - _REACH * scale + 0.5).trunc()
    last = (centre + _REACH * scale + 0.5).trunc()
    cell = torch.arange(cells, dtype=torch.float64)
    t = (cell - centre + 0.5) / scale
    inside = (cell >= first) & (cell < last) & (t >= -_REACH) & (t < _REACH)
    weights = torch.where(inside, torch.sinc(t) * torch.sinc(t / _REACH), 0.0)
    weights = weights / weights.sum(1, keepdim=True) / _UNIT
    return (weights + 0.5 * weights.sign()).trunc() * _UNIT


@dataclass(frozen=True)
class Reduction:
    """How to make a picture of `height` x `width` pixels out of one with more cells: rows first.

    Attributes:
        steps: the sum of the weights of every output column from a cell on; the last row is 0.
        bands: for some output rows the first of them, the rows of cells that they see (from, to) and their weights.
    """

    height: int
    width: int
    steps: Float64[Tensor, "cells_and_1 width"]
    bands: tuple[tuple[int, int, int, Tensor], ...]


@functools.lru_cache(maxsize=16)
def reduction(height: int, width: int, supersampling: int, device: torch.device) -> Reduction:
    """From `supersampling` cells a pixel along both axes."""
    across = lanczos_weights(width * supersampling, width)
    steps = torch.cat([across.flip(1).cumsum(1).flip(1), across.new_zeros(width, 1)], 1).T
    down = lanczos_weights(height * supersampling, height)
    bands = []
    for start in range(0, height, _BAND):
        rows = down[start : start + _BAND]
        used = rows.any(0).nonzero()[:, 0]
        low, high = int(used[0]), int(used[-1]) + 1
        bands.append((start, low, high, rows[:, low:high].contiguous().to(device)))
    return Reduction(height, width, steps.contiguous().to(device), tuple(bands))


def reduce_labels(
    labels: Tensor, palette: UInt8[Tensor, "batch labels channels"], height: int, width: int, supersampling: int
) -> UInt8[Tensor, "batch height width channels"]:
    """Colour canvases of labels and make them smaller.

    Args:
        labels: integers [B, rows, stride], contiguous, with stride a multiple of 8. Column 0 and those after the canvas
            hold 0, the label of the background.
        palette: the colours of the labels.
        height: rows of the result.
        width: its columns.
        supersampling: cells a pixel along both axes.
    """
    if height <= _TALL * width or supersampling == 1:
        return _reduce(labels, palette, reduction(height, width, supersampling, labels.device))
    turned = labels.new_zeros(len(labels), width * supersampling, stride_of(height * supersampling))
    turned[..., 1 : labels.shape[1] + 1] = labels[..., 1 : width * supersampling + 1].mT
    return _reduce(turned, palette, reduction(width, height, supersampling, labels.device)).transpose(1, 2).contiguous()


def stride_of(columns: int) -> int:
    """The stride that `reduce_labels` wants of labels in so many columns."""
    return (columns // 8 + 1) * 8


def _reduce(labels: Tensor, palette: Tensor, to: Reduction) -> Tensor:
    batch, rows, stride = labels.shape
    channels = palette.shape[-1]
    flat = labels.view(-1)
    place = _changes(flat)
    line, column = place // stride, place % stride
    colours = palette.flatten(0, 1).double().T.contiguous()
    known = line // rows * palette.shape[1]
    after, before = (known + flat.index_select(0, at) for at in (place + 1, place))
    jump = torch.cat([plane.index_select(0, after) - plane.index_select(0, before) for plane in colours])
    line, count = line.unique_consecutive(return_counts=True)
    scene, row = line // rows, line % rows
    filtered = _filter_rows(column, jump, count, palette[:, 0].index_select(0, scene), to)
    # A row without a change is the background's.
    blank = palette[:, 0].reshape(-1, 1).expand(-1, to.width)
    channel = torch.arange(channels, device=line.device)[:, None]
    source = torch.arange(len(blank), device=line.device).repeat(rows)
    number = torch.arange(len(filtered), device=line.device) + len(blank)
    source[((row * batch + scene) * channels + channel).flatten()] = number
    picture = torch.cat([blank, filtered]).index_select(0, source)
    result = _filter_columns(picture.view(rows, -1), to)
    return result.view(to.height, batch, channels, to.width).permute(1, 0, 3, 2).contiguous()


def _changes(flat: Tensor) -> Tensor:
    """The places in a flat tensor after which the value changes, in order.

    Words of 8 are searched first: `nonzero` looks at every element, and changes are few.
    """
    change = torch.zeros(len(flat), dtype=torch.uint8, device=flat.device)
    if flat.dtype == torch.uint8:
        torch.bitwise_xor(flat[1:], flat[:-1], out=change[:-1])
    else:
        change[:-1] = flat[1:] != flat[:-1]
    word = change.view(torch.int64).nonzero()[:, 0]
    which, byte = change.view(-1, 8).index_select(0, word).nonzero().unbind(1)
    return word.index_select(0, which) * 8 + byte


def _filter_rows(column: Tensor, jump: Tensor, count: Tensor, background: Tensor, to: Reduction) -> Tensor:
    """Rows filtered from their steps: `jump` [C * n] at `column` [n], in order of the rows; `count` [R] steps a row.
    Gives uint8 [C * R, width]."""
    channels = background.shape[1]
    offset = torch.cat([count.cumsum(0) - count + len(column) * channel for channel in range(channels)])
    sums = F.embedding_bag(column.repeat(channels), to.steps, offset, mode="sum", per_sample_weights=jump)
    if bool(background.any()):
        sums.addcmul_(background.T.reshape(-1, 1).double(), to.steps[0])
    return _rounded(sums)


def _filter_columns(picture: Tensor, to: Reduction) -> Tensor:
    """The columns of uint8 [rows, n] filtered: [height, n]."""
    result = picture.new_empty(to.height, picture.shape[1])
    budget = _CPU_NUMBERS if picture.device.type == "cpu" else _GPU_NUMBERS
    step = max(1, budget // len(picture))
    for start in range(0, picture.shape[1], step):
        part = picture[:, start : start + step].double()
        sums = part.new_empty(to.height, part.shape[1])
        for first, low, high, weights in to.bands:
            torch.mm(weights, part[low:high], out=sums[first : first + len(weights)])
        result[:, start : start + step] = _rounded(sums)
    return result


def _rounded(sums: Tensor) -> Tensor:
    """Sums as bytes, halves up; overwrites them."""
    # After clamping, cutting off the fraction is rounding down. By way of int32: twice as fast on CPUs.
    return sums.add_(0.5).clamp_(0, 255).int().to(torch.uint8)
