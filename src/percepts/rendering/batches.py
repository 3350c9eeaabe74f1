"""Which objects to work on together: those of one primitive, with parts of the image of about one size.

The result does not depend on who is put together, only speed does: one window serves all, so unequal ones waste pixels,
and every batch costs some time however small it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from percepts.rendering.primitives import Primitive

_CPU_PIXELS, _GPU_PIXELS = 1 << 16, 1 << 24
"""Pixels of a batch: what the caches hold of several tensors, and what a GPU needs to be busy."""

_CPU_START, _GPU_START = 1 << 12, 1 << 20
"""The pixels that could be worked on in the time that starting a batch takes."""


@dataclass(frozen=True)
class ObjectBatch:
    """m objects, number `slot` [m] of the scenes `scene` [m], of one shape, each in a window of (rows, columns) pixels
    that starts at `corner` [m, 2] (column, row), or at the pixel `start` [m] of the flattened canvas.

    Windows of one scene may overlap; those of one of the `rounds` are of different scenes.
    """

    shape: Primitive
    scene: Tensor
    slot: Tensor
    corner: Tensor
    start: Tensor
    rows: int
    columns: int
    rounds: tuple[slice, ...]


def object_batches(
    shapes: tuple[Primitive, ...], kind: Tensor, window: Tensor, size: tuple[int, int], device: torch.device
) -> Iterator[ObjectBatch]:
    """All objects whose `kind` [B, N] is not -1, in batches on `device`; `window` [B, N, 4] is the part of the image of
    `size` (height, width) to look at. A pixel around it is looked at too."""
    height, width = size
    extent = torch.tensor([width, height])
    scene, slot = (kind >= 0).nonzero().unbind(1)
    part = window[scene, slot]
    low = torch.minimum(((part[:, :2] * extent).floor().long() - 1).clamp(min=0), extent)
    high = torch.minimum(((part[:, 2:] * extent).ceil().long() + 1).clamp(min=0), extent)
    span = (high - low).clamp(min=0)
    area = span.prod(1)
    number = kind[scene, slot]
    order = (number * (height * width + 1) - area).argsort(stable=True)
    order = order[area[order] > 0]
    table = torch.cat([number[:, None], span, scene[:, None]], dim=1)[order].tolist()
    for first, last in _cuts(table, device.type == "cpu"):
        rank = _ranks([row[3] for row in table[first:last]])
        sort = torch.tensor(rank).argsort(stable=True)
        some = order[first:last][sort]
        columns, rows = span[some].amax(0).tolist()
        corner = torch.minimum(low[some], extent - torch.tensor([columns, rows]))
        start = scene[some] * (height * width) + corner[:, 1] * width + corner[:, 0]
        ends = [0, *torch.bincount(torch.tensor(rank)).cumsum(0).tolist()]
        yield ObjectBatch(
            shape=shapes[table[first][0]],
            scene=scene[some].to(device),
            slot=slot[some].to(device),
            corner=corner.to(device),
            start=start.to(device),
            rows=rows,
            columns=columns,
            rounds=tuple(slice(*pair) for pair in itertools.pairwise(ends)),
        )


def _cuts(table: list[list[int]], cpu: bool) -> Iterator[tuple[int, int]]:
    """Where to cut a sorted list of (primitive, columns, rows, scene): a batch grows as long as that wastes less than a
    new one costs."""
    budget, price = (_CPU_PIXELS, _CPU_START) if cpu else (_GPU_PIXELS, _GPU_START)
    first, columns, rows = 0, 0, 0
    for index, (number, wide, high, _) in enumerate(table):
        count = index - first
        joint = max(columns, wide) * max(rows, high) * (count + 1)
        apart = columns * rows * count + wide * high + price
        if count and (number != table[first][0] or joint > apart or joint > budget):
            yield first, index
            first, columns, rows = index, 0, 0
        columns, rows = max(columns, wide), max(rows, high)
    if table:
        yield first, len(table)


def _ranks(scenes: list[int]) -> list[int]:
    """How often each scene was in the list before."""
    seen: dict[int, int] = {}
    ranks = []
    for scene in scenes:
        ranks.append(seen.get(scene, 0))
        seen[scene] = ranks[-1] + 1
    return ranks
