"""Tetrominoes that can be seen in several ways: pieces of one colour that touch, in a region with several tilings.

The tiles of a piece look the same wherever they are in it, so that all tilings of a region give the same image. Models
that infer by sampling should find several of them (Greff et al. 2019 show this for IODINE; how their scenes were made
is not published, these are our own).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.errors import ConfigError
from percepts.data.flat_scenes import FlatScene, FlatScenes, GeneratedConfig
from percepts.data.hashed_draws import Attempt, Draws, Values, first_accepted
from percepts.data.tetrominoes import COLOURS, SIZE, TILE, piece_properties, piece_scene, piece_tiles

GRID = SIZE // TILE
"""Tiles a side of the image."""


class AmbiguousTetrominoes(FlatScenes):
    """Two or three touching tetrominoes of one colour; the background is black as in `Tetrominoes`.

    The pieces of the batch are one of the tilings. `details` has all: `tilings` int64 [B,T,H,W], in which 0 is
    background and the pieces are numbered from 1 in the order of their first tile (row by row), and `tiling_count`
    int64 [B]; tilings beyond the count are 0. They are found by exhaustive search over all 19 shapes.

    Raises:
        ConfigError: tilings in the wrong order.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(GeneratedConfig):
        """Settings.

        Attributes:
            pieces: how many.
            tilings: the fewest and the most ways to tile the region; (1, 1) is the control, images that can be seen in
                one way only.
        """

        pieces: Literal[2, 3] = 3
        tilings: tuple[int, int] = (2, 4)

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if not 1 <= config.tilings[0] <= config.tilings[1]:
            raise ConfigError(f"tilings = {config.tilings}", "the fewest, 1 or more, and the most")
        self.image_shape = (3, SIZE, SIZE)
        self.entities = 1 + config.pieces
        self.properties = piece_properties()
        self._table = _Table.of_all_pieces()

    def _scene(self, draws: Draws) -> FlatScene:
        return self._pieces(draws)[0]

    def _details(self, draws: Draws) -> Batch:
        _, found = self._pieces(draws)
        table = self._table.on(draws.number.device)
        count, most = self.config.pieces, self.config.tilings[1]
        tilings = table.tilings(found["region"], count)
        tilings = torch.nn.functional.pad(tilings, (0, 0, 0, most - tilings.shape[1]), value=-1)
        # A tiling as labels of the tiles, then of the pixels, moved to where the region lies.
        bits = (table.mask[tilings][..., None] >> torch.arange(GRID**2, device=tilings.device)) & 1
        numbers = torch.arange(1, count + 1, device=tilings.device)[:, None]
        labels = (bits * numbers * (tilings >= 0)[..., None]).sum(2)
        labels = labels.unflatten(2, (GRID, GRID)).repeat_interleave(TILE, 2).repeat_interleave(TILE, 3)
        at = torch.arange(SIZE, device=tilings.device)
        row, column = ((at - found[name][:, None]) % SIZE for name in ("down", "right"))
        moved = labels[torch.arange(len(labels), device=at.device)[:, None, None], :, row[:, :, None], column[:, None]]
        details = FlatScenes._details(self, draws)
        return details | {"tilings": moved.movedim(3, 1), "tiling_count": (tilings[..., 0] >= 0).sum(1)}

    def _pieces(self, draws: Draws) -> tuple[FlatScene, Values]:
        what = f"{self.config.pieces} touching pieces with {self.config.tilings[0]} tilings or more"
        found = first_accepted(draws, self._propose, what, "fewer tilings, or more pieces", attempts=4096)
        table = self._table.on(draws.number.device)
        shape, corner = table.shape[found["piece"]], TILE * table.corner[found["piece"]]
        # The pieces share a grid of tiles, which may lie anywhere in the image.
        found |= {name: self._shift(draws, name, corner, shape) for name in ("down", "right")}
        top, left = corner[..., 0] + found["down"][:, None], corner[..., 1] + found["right"][:, None]
        colour = torch.tensor(COLOURS, device=shape.device)[draws.whole("colour", 0, len(COLOURS) - 1, 1)]
        scene = piece_scene(shape, top, left, colour.float().expand(-1, self.config.pieces, 3))
        return scene, found

    def _shift(self, draws: Draws, name: Literal["down", "right"], corner: Tensor, shape: Tensor) -> Tensor:
        """By how many pixels a region moves along an axis, so that every place inside of the image is as likely."""
        axis = 0 if name == "down" else 1
        extent = TILE * (piece_tiles().to(shape.device)[..., axis].amax(1)[shape] + 1)
        low = corner[..., axis].amin(1)
        high = (corner[..., axis] + extent).amax(1)
        return draws.whole(name, -low, SIZE - high)

    def _propose(self, attempt: Attempt) -> tuple[Values, Bool[Tensor, " rows"]]:
        """Pieces anywhere on the grid: accepted if they touch without overlap and the tilings are as many as asked."""
        table = self._table.on(attempt.rows.device)
        piece = attempt.place.whole("piece", 0, len(table.mask) - 1, self.config.pieces)
        masks = table.mask[piece]
        region = masks.sum(1)  # of bits; right where there is no overlap
        good = _apart(masks) & _connected(masks)
        few = good.nonzero()[:, 0]
        ways = (table.tilings(region[few], self.config.pieces)[..., 0] >= 0).sum(1)
        good[few] = (ways >= self.config.tilings[0]) & (ways <= self.config.tilings[1])
        return {"piece": piece, "region": region}, good


def unambiguous() -> AmbiguousTetrominoes.Config:
    """The control: three touching pieces of one colour whose region has a single tiling."""
    return AmbiguousTetrominoes.Config(tilings=(1, 1))


@dataclass(frozen=True)
class _Table:
    """Every shape at every place of the grid. Regions are sets of tiles, bit by bit, row by row.

    Attributes:
        mask: the tiles of every placement, sorted.
        shape: its number, from 1.
        corner: row and column of its bounding box.
        starts: the placements whose first tile is a given one, -1 where there are fewer.
    """

    mask: Int64[Tensor, " placements"]
    shape: Int64[Tensor, " placements"]
    corner: Int64[Tensor, "placements 2"]
    starts: Int64[Tensor, "tiles 19"]

    @staticmethod
    def of_all_pieces() -> _Table:
        found = []
        for number, tiles in enumerate(piece_tiles().tolist()[1:], start=1):
            height, width = (max(tile[axis] for tile in tiles) + 1 for axis in (0, 1))
            for top in range(GRID - height + 1):
                for left in range(GRID - width + 1):
                    places = [(top + row) * GRID + left + column for row, column in tiles]
                    found.append((sum(1 << place for place in places), number, top, left, min(places)))
        found.sort()
        by_start = [[i for i, placement in enumerate(found) if placement[4] == tile] for tile in range(GRID**2)]
        starts = torch.tensor([rows + [-1] * (19 - len(rows)) for rows in by_start])
        mask, shape, top, left, _ = torch.tensor(found).T
        return _Table(mask.contiguous(), shape, torch.stack([top, left], dim=1), starts)

    def on(self, device: torch.device) -> _Table:
        """The table on a device."""
        return _Table(*(value.to(device) for value in (self.mask, self.shape, self.corner, self.starts)))

    def tilings(self, region: Int64[Tensor, " rows"], pieces: int) -> Int64[Tensor, "rows tilings pieces"]:
        """All ways to tile regions with placements, -1 beyond those of a region.

        The first free tile of a region belongs to one of 19 placements at most: go through these, one level a piece.
        """
        row = torch.arange(len(region), device=region.device)
        used, left = row.new_zeros(len(row), 0), region
        for _ in range(pieces):
            choices = self.starts[_lowest_bit(left)]
            mask = self.mask[choices]
            fits = (choices >= 0) & (mask & ~left[:, None] == 0)
            old, column = fits.nonzero().unbind(1)
            used = torch.cat([used[old], choices[old, column][:, None]], dim=1)
            row, left = row[old], left[old] ^ mask[old, column]
        return _by_row(row, used, len(region))


def _by_row(row: Int64[Tensor, " found"], used: Int64[Tensor, "found pieces"], rows: int) -> Tensor:
    """Found tilings, sorted by row, as a table with -1 where a row has fewer than the most."""
    count = torch.bincount(row, minlength=rows)
    most = int(count.max()) if rows else 0
    place = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
    table = used.new_full((rows, max(most, 1), used.shape[1]), -1)
    table[row, place] = used
    return table


def _lowest_bit(region: Int64[Tensor, " rows"]) -> Int64[Tensor, " rows"]:
    """The number of the lowest bit that is set."""
    return ((region & -region).double()).log2().round().long()


def _apart(masks: Int64[Tensor, "rows pieces"]) -> Bool[Tensor, " rows"]:
    """Whether no two pieces share a tile."""
    union, apart = masks[:, 0], torch.ones_like(masks[:, 0], dtype=torch.bool)
    for mask in masks.unbind(1)[1:]:
        apart &= union & mask == 0
        union = union | mask
    return apart


def _connected(masks: Int64[Tensor, "rows pieces"]) -> Bool[Tensor, " rows"]:
    """Whether the pieces hang together by the sides of their tiles."""
    reached = masks[:, 0]
    for _ in range(masks.shape[1] - 1):
        border = _around(reached)
        for mask in masks.unbind(1):
            reached = reached | torch.where(mask & border != 0, mask, 0)
    return (masks & ~reached[:, None] == 0).all(1)


def _around(region: Int64[Tensor, " rows"]) -> Int64[Tensor, " rows"]:
    """The tiles beside those of a region; bits beyond the grid do no harm."""
    first = sum(1 << (row * GRID) for row in range(GRID))
    last = first << (GRID - 1)
    return region << GRID | region >> GRID | (region & ~last) << 1 | (region & ~first) >> 1
