"""Ambiguous tetrominoes: that the tilings are tilings, that none is missing, and that the control has one."""

from __future__ import annotations

import itertools

import pytest
import torch
from scene_contract import SceneContract

from percepts.core.errors import ConfigError, DataError
from percepts.data.ambiguous import AmbiguousTetrominoes, unambiguous
from percepts.data.tetrominoes import PIECES, piece_tiles

SOME = torch.arange(16)


class TestAmbiguous(SceneContract):
    @pytest.fixture
    def dataset(self) -> AmbiguousTetrominoes:
        return AmbiguousTetrominoes.Config().build()


class TestUnambiguousPairs(SceneContract):
    @pytest.fixture
    def dataset(self) -> AmbiguousTetrominoes:
        return AmbiguousTetrominoes.Config(pieces=2, tilings=(1, 1), images=30, split="test").build()


def tilings_by_brute_force(region: frozenset[tuple[int, int]], pieces: int) -> set[frozenset[frozenset]]:
    """All ways to cover `region` (tiles) with pieces, by trying every piece on every tile."""
    if not region:
        return {frozenset()}
    found = set()
    for tiles in piece_tiles()[1:].tolist():
        for row, column in itertools.product(range(7), range(7)):
            piece = frozenset((row + down, column + right) for down, right in tiles)
            if min(region) in piece and piece <= region:
                found |= {rest | {piece} for rest in tilings_by_brute_force(region - piece, pieces - 1)}
    return found


def tiles_of(mask: torch.Tensor) -> frozenset[tuple[int, int]]:
    """The tiles of a mask [35, 35], counted from the first."""
    rows, columns = mask.nonzero().unbind(1)
    top, left = int(rows.min()), int(columns.min())
    return frozenset(
        (row, column)
        for row, column in itertools.product(range(7), range(7))
        if top + 5 * row < 35 and left + 5 * column < 35 and mask[top + 5 * row, left + 5 * column]
    )


@pytest.mark.parametrize(
    ("config", "few", "many"),
    [
        (AmbiguousTetrominoes.Config(), 2, 4),
        (AmbiguousTetrominoes.Config(pieces=2), 2, 4),
        (unambiguous(), 1, 1),
    ],
)
def test_all_tilings_of_a_region_are_found(config: AmbiguousTetrominoes.Config, few: int, many: int) -> None:
    dataset = config.build()
    batch, details = dataset.gather(SOME), dataset.details(SOME)
    assert details["tilings"].shape == (16, many, 35, 35)
    assert details["tilings"].dtype == details["tiling_count"].dtype == torch.int64
    for scene in range(16):
        foreground = batch["segmentation"][scene] > 0
        region = tiles_of(foreground)
        wanted = tilings_by_brute_force(region, config.pieces)
        count = int(details["tiling_count"][scene])
        assert few <= count == len(wanted) <= many
        assert not details["tilings"][scene, count:].any()
        rows, columns = foreground.nonzero().unbind(1)
        corner = int(rows.min()), int(columns.min())
        found = set()
        for tiling in details["tilings"][scene, :count]:
            assert torch.equal(tiling > 0, foreground)
            pieces = [frozenset(
                tile for tile in region if tiling[corner[0] + 5 * tile[0], corner[1] + 5 * tile[1]] == number
            ) for number in range(1, config.pieces + 1)]  # fmt: skip
            assert [min(piece) for piece in pieces] == sorted(min(piece) for piece in pieces)
            found.add(frozenset(pieces))
        assert found == wanted


def test_the_pieces_of_the_batch_are_one_of_the_tilings() -> None:
    dataset = AmbiguousTetrominoes.Config().build()
    batch, details = dataset.gather(SOME), dataset.details(SOME)
    for scene in range(16):
        segmentation = batch["segmentation"][scene]
        same = [
            len(torch.stack([segmentation, tiling]).flatten(1).unique(dim=1).T) == 4
            for tiling in details["tilings"][scene, : details["tiling_count"][scene]]
        ]
        assert sum(same) == 1


def test_images_do_not_tell_the_tilings_apart() -> None:
    batch = AmbiguousTetrominoes.Config().build().gather(SOME)
    colour = batch["entity.colour"][:, 1:]
    assert (colour == colour[:, :1]).all()
    assert ((batch["segmentation"] > 0).flatten(1).sum(1) == 300).all()
    for scene in range(16):
        grey = batch["image"][scene].amax(0)
        rows, columns = grey.nonzero().unbind(1)
        top, left = int(rows.min()), int(columns.min())
        tiles = [grey[top + 5 * r : top + 5 * r + 5, left + 5 * c : left + 5 * c + 5] for r, c in tiles_of(grey > 0)]
        assert all(torch.equal(tile, tiles[0]) for tile in tiles)


def test_regions_are_anywhere_and_hang_together() -> None:
    batch = AmbiguousTetrominoes.Config().build().gather(torch.arange(60))
    offsets = (batch["entity.x"][:, 1:] % 5).long()
    assert (offsets == offsets[:, :1]).all()
    assert set(offsets.unique().tolist()) == {0, 1, 2, 3, 4}
    for foreground in batch["segmentation"][:16] > 0:
        tiles = set(tiles_of(foreground))
        reached, border = set(), [min(tiles)]
        while border:
            row, column = border.pop()
            reached.add((row, column))
            near = {(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)}
            border += near & tiles - reached
        assert reached == tiles


def test_shapes_are_all_possible() -> None:
    shapes = AmbiguousTetrominoes.Config().build().gather(torch.arange(100))["entity.shape"][:, 1:]
    assert set(shapes.unique().tolist()) == set(range(1, len(PIECES) + 1))


def test_settings_that_cannot_be_are_refused() -> None:
    for tilings in ((0, 1), (3, 2)):
        with pytest.raises(ConfigError, match="the fewest, 1 or more"):
            AmbiguousTetrominoes.Config(tilings=tilings).build()
    with pytest.raises(ConfigError, match="pieces = 4"):
        AmbiguousTetrominoes.Config(pieces=4)
    with pytest.raises(DataError, match="fewer tilings, or more pieces"):
        AmbiguousTetrominoes.Config(tilings=(60, 99)).build().gather(torch.tensor([0]))
