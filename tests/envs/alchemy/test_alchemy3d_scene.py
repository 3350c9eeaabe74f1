"""The picture of the table in 3-D: what is where, in which colour, size and shape."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from percepts.core.errors import ConfigError
from percepts.envs.alchemy.bench import TOP, Bench, BenchState
from percepts.envs.alchemy.cursor import Cursor
from percepts.envs.alchemy.hands import Hands
from percepts.envs.alchemy.interfaces import seen
from percepts.envs.alchemy.picture import POTION_COLOURS, STONE_COLOURS
from percepts.envs.alchemy.scene import CAULDRON_LABEL, FIRST_STONE, HAND, ROOM, TABLE, SceneView, with_reticle
from percepts.envs.alchemy.table import Table
from percepts.rendering.objects import look_at


def made(seeds: Any = range(4), **table: Any) -> tuple[Bench, BenchState]:
    bench = Bench.Config(table=Table.Config(**table)).build()
    return bench, bench.reset(seeds)


def above() -> Tensor:
    return look_at(torch.tensor([0.0, -0.01, 2.9]), torch.tensor([0.0, 0.0, TOP]))


def test_everything_is_seen_from_where_players_are() -> None:
    bench, state = made()
    for interface in (Cursor(bench), Hands(bench)):
        drawn = seen(interface, SceneView.Config().build(bench=bench), interface.begin(state), segmentation=True)
        assert drawn.image.shape == (4, 72, 96, 3)
        assert drawn.segmentation is not None
        for one in drawn.segmentation:
            wanted = {ROOM, TABLE, CAULDRON_LABEL, *range(FIRST_STONE, FIRST_STONE + 3 + 12)}
            assert wanted <= set(one.unique().tolist())


def test_colours_are_those_of_the_items() -> None:
    bench, state = made(range(6))
    drawn = SceneView.Config(height=144, width=192).build(bench=bench).draw(state, above())
    assert drawn.segmentation is not None
    stones = torch.tensor(STONE_COLOURS)[bench.table.perceived_stones(state.table)[..., 0].long() + 1]
    potions = torch.tensor(POTION_COLOURS)[bench.table.perceived_potions(state.table)]
    shades = torch.cat([stones, potions], 1)
    for row in range(6):
        for slot in range(15):
            pixels = drawn.image[row][drawn.segmentation[row] == FIRST_STONE + slot].float()
            # Of what a thing shows the purest pixels have its colour, in whatever light.
            chroma = pixels / pixels.norm(dim=1, keepdim=True).clamp(min=1)
            wanted = shades[row, slot] / shades[row, slot].norm()
            assert float((chroma @ wanted).max()) > 0.99, (row, slot)


def test_sizes_grow_and_roundness_fills_the_outline() -> None:
    bench, _ = made()
    areas = {}
    for vertex in range(8):
        table = Table.Config(chemistry=(108, 7, 7, 0), items=(((vertex,), ()),) * 10, potions=1, stones=1)
        bench = Bench.Config(table=table).build()
        state = bench.reset([0])
        state = dataclasses.replace(state, places=torch.tensor([[[0.0, -0.4]]]))
        camera = look_at(torch.tensor([0.0, -3.0, 0.9]), torch.tensor([0.0, 0.0, 0.85]))
        drawn = SceneView.Config(height=144, width=192, field_of_view=20.0).build(bench=bench).draw(state, camera)
        assert drawn.segmentation is not None
        _, size, roundness = bench.table.perceived_stones(state.table)[0, 0].tolist()
        areas[vertex & 1, size, roundness] = int((drawn.segmentation == FIRST_STONE).sum())
    assert len(areas) == 8
    for colour in (0, 1):
        for roundness in (-1.0, 1.0):
            growth = areas[colour, 1.0, roundness] / areas[colour, -1.0, roundness]
            assert 2.5 < growth < 4.0, "nearly 1.8 squared: the disc is as flat at every size"
        for size in (-1.0, 1.0):
            assert areas[colour, size, 1.0] > 1.2 * areas[colour, size, -1.0]


def test_the_disc_under_a_stone_shows_its_reward() -> None:
    brightness = []
    for vertex in (0, 1, 3, 7):
        table = Table.Config(chemistry=(108, 7, 7, 0), items=(((vertex,), ()),) * 10, potions=1, stones=1)
        bench = Bench.Config(table=table).build()
        state = bench.reset([0])
        state = dataclasses.replace(state, places=torch.tensor([[[0.0, -0.4]]]))
        drawn = SceneView.Config(height=144, width=192).build(bench=bench).draw(state, above())
        assert drawn.segmentation is not None
        pixels = drawn.image[0][drawn.segmentation[0] == FIRST_STONE].float()
        grey = pixels[pixels.amax(1) - pixels.amin(1) < 6]
        assert len(grey) > 10
        brightness.append(float(grey.mean(1).median()))
    gaps = torch.tensor(brightness).diff()
    assert (gaps > 30).all(), brightness


def test_what_is_gone_is_not_seen() -> None:
    bench, state = made([0])
    here = torch.tensor([[True, False, True]])
    table = dataclasses.replace(state.table, stone_here=here, potion_here=torch.arange(12)[None] < 4)
    state = dataclasses.replace(state, table=table)
    drawn = SceneView.Config().build(bench=bench).draw(state, above())
    assert drawn.segmentation is not None
    labels = {4, 6, *range(7, 11)}
    assert {label for label in drawn.segmentation.unique().tolist() if label >= FIRST_STONE} == labels


def test_the_hand_and_what_it_holds() -> None:
    bench, state = made([0])
    it = Hands(bench)
    player = it.begin(state)
    view = SceneView.Config().build(bench=bench)
    empty = seen(it, view, player, segmentation=True)
    held = dataclasses.replace(player, bench=dataclasses.replace(state, held=torch.tensor([1])))
    full = seen(it, view, held, segmentation=True)
    assert empty.segmentation is not None
    assert full.segmentation is not None
    assert HAND not in empty.segmentation
    assert HAND in full.segmentation
    cursor = Cursor(bench)
    over = seen(cursor, view, cursor.begin(state), segmentation=True)
    assert over.segmentation is not None
    assert HAND in over.segmentation


def test_time_is_seen_to_run_out() -> None:
    bench, state = made([0])
    view = SceneView.Config().build(bench=bench)
    full, half, none = (
        view.draw(dataclasses.replace(state, frame=torch.tensor([frame])), above()).image[0].float()
        for frame in (0, 900, 1799)
    )
    left, right = ((one - none).abs().amax(-1) > 60 for one in (half, full))
    assert int(left.sum()) > 5
    assert int(right.sum()) == pytest.approx(2 * int(left.sum()), rel=0.2)
    assert not left[:, 48:].any(), "it shrinks towards the left"


def test_a_picture_does_not_depend_on_the_others() -> None:
    bench, state = made()
    view = SceneView.Config(shadows=True, gloss=True).build(bench=bench)
    together, alone = view.draw(state, above()), view.draw(state.rows([2]), above())
    assert torch.equal(together.image[2], alone.image[0])
    assert together.segmentation is not None
    assert alone.segmentation is not None
    assert torch.equal(together.segmentation[2], alone.segmentation[0])
    assert view.draw(state, above(), segmentation=False).segmentation is None


@pytest.mark.parametrize("size", [(72, 96), (5, 7), (1, 1), (288, 384)])
def test_the_reticle_is_around_the_middle(size: tuple[int, int]) -> None:
    image = torch.zeros(1, *size, 3, dtype=torch.uint8)
    marked = with_reticle(image)[0, ..., 0] > 0
    assert not image.any()
    if min(size) > 50:
        assert int(marked.sum()) == 16 * round(size[0] / 144 + 0.01) ** 2
        assert torch.equal(marked, marked.flip(0))
        assert torch.equal(marked, marked.flip(1))
        assert not marked[size[0] // 2, size[1] // 2]


@pytest.mark.parametrize("settings", [{"height": 0}, {"samples": 0}, {"field_of_view": 0.0}, {"field_of_view": 170.0}])
def test_views_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        SceneView.Config(**settings)
