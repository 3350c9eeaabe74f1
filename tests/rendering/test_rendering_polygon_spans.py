"""Filled polygons against Pillow's, cell by cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pillow_drawing import filled, needs_same_pillow

from percepts.rendering.polygon_spans import fill_polygons


def ours(polygons: list[list[list[int]]], height: int, width: int, grid: int = 1) -> np.ndarray:
    """Cells [M, height, width]; what pads the corners must not matter."""
    most = max(map(len, polygons))
    table = [[*corners, *[[-7, 3]] * (most - len(corners))] for corners in polygons]
    result = fill_polygons(
        torch.tensor(table), torch.tensor([len(corners) for corners in polygons]), height, width, grid
    )
    cells = np.zeros((len(polygons), height, width), bool)
    if result is None:
        return cells
    rows, columns = result.cover.shape[1:]
    for canvas, cover, top, left in zip(cells, result.cover.numpy(), result.top.tolist(), result.left.tolist()):
        assert top % grid == left % grid == rows % grid == columns % grid == 0
        canvas[top : top + rows, left : left + columns] = cover
    return cells


def random_polygons(count: int, seed: int, low: int, high: int) -> list[list[list[int]]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(low, high, (rng.integers(3, 11), 2)).tolist() for _ in range(count)]


@needs_same_pillow
@pytest.mark.parametrize(("low", "high"), [(0, 7), (-6, 24), (-40, 60), (-3000, 3000)])
def test_any_polygon_is_filled_as_pillow_fills_it(low: int, high: int) -> None:
    """Convex or not, self-intersecting, with repeated corners, without area, partly or wholly outside."""
    for seed, (height, width) in enumerate([(16, 20), (9, 5), (1, 12), (30, 1)]):
        polygons = random_polygons(250, seed, low, high)
        cells = ours(polygons, height, width)
        for corners, got in zip(polygons, cells):
            assert (got == filled(corners, height, width)).all(), corners


@needs_same_pillow
def test_spikes_hold_together() -> None:
    """The tips of thin triangles, where Pillow moves crossings: without that rule cells are missing in most of them."""
    rng = np.random.default_rng(0)
    tips = rng.integers(0, 8, (300, 1, 2))
    polygons = (tips + np.concatenate([tips * 0, rng.integers(5, 40, (300, 1, 2)) * [3, 1]], 1)).tolist()
    polygons = [[*two, [two[1][0] + int(rng.integers(-9, 9)), two[1][1] + int(rng.integers(1, 4))]] for two in polygons]
    polygons += [[[99 - x, 49 - y] for x, y in corners] for corners in polygons]
    for corners, got in zip(polygons, ours(polygons, 50, 100)):
        assert (got == filled(corners, 50, 100)).all(), corners


@needs_same_pillow
def test_many_corners() -> None:
    """From 64 corners on they are counted in wider numbers."""
    rng = np.random.default_rng(1)
    polygons = [rng.integers(-5, 45, (count, 2)).tolist() for count in (63, 64, 65, 90, 300)]
    # All edges in the same cells of every row, and corners that count twice in one of them.
    polygons += [[[i % 2, [0, 39, 20][i % 3]] for i in range(count)] for count in (62, 63, 64, 300)]
    for corners in polygons:
        assert (ours([corners], 40, 40)[0] == filled(corners, 40, 40)).all()
    for corners, got in zip(polygons, ours(polygons, 40, 40)):
        assert (got == filled(corners, 40, 40)).all()


def test_known_cells() -> None:
    """A triangle with a spike to the right, by hand from the rules: crossings at x = 1 + 4 y and x = 1 + 2.5 y."""
    square, spike = [[1, 1], [4, 1], [4, 3], [1, 3]], [[1, 0], [9, 2], [6, 2]]
    cells = ours([square, spike], 4, 12).astype(int)
    assert cells[0].sum() == 4 * 3, "spans include both ends"
    assert cells[0, 1:4, 1:5].all()
    assert [row.nonzero()[0].tolist() for row in cells[1]] == [[1, 2, 3], [4, 5], [6, 7, 8, 9], []]


def test_windows_keep_to_the_grid() -> None:
    polygons = [[[3, 4], [9, 6], [5, 13]], [[22, 17], [40, 17], [30, 60]], [[-9, -9], [2, 1], [0, 3]]]
    assert (ours(polygons, 20, 30, grid=5) == ours(polygons, 20, 30)).all()


def test_polygons_out_of_sight_take_no_window() -> None:
    far = torch.tensor([[[50, 50], [60, 50], [55, 70]], [[-9, 1], [-3, 1], [-5, 7]]])
    assert fill_polygons(far, torch.tensor([3, 3]), 20, 20) is None
    assert fill_polygons(far - 50, torch.tensor([0, 0]), 20, 20) is None
    result = fill_polygons(
        torch.tensor([[[2, 3], [4, 3], [3, 6]], [[2, 50], [9, 50], [4, 59]]]), torch.tensor([3, 3]), 20, 20
    )
    assert result is not None
    assert result.cover.shape == (2, 4, 3)
    assert not result.cover[1].any()


def test_far_corners() -> None:
    """A polygon much larger than the canvas covers it, however far its corners."""
    big = 2**29
    cells = ours([[[-big, -big], [big, -big], [big, big], [-big, big]]], 6, 9)
    assert cells.all()
