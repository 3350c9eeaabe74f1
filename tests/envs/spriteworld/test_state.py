"""Sprites as tensors: geometry against exact arithmetic, hits at borders, setters, points inside."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from scipy import stats
from torch import Tensor

from percepts.core.errors import DataError
from percepts.data.distributions import Continuous
from percepts.envs.spriteworld.parts import matching
from percepts.envs.spriteworld.state import DEFAULTS, FACTORS, SHAPES, Memo, Sprites, body_of
from percepts.envs.spriteworld.triangles import triangles
from percepts.envs.streams import Streams
from percepts.rendering.shapes import Polygon, heart, spriteworld_shapes

UNIT = Polygon(((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)))
"""A square with corners that are exact in binary."""
ARROW = Polygon(((0.0, 0.5), (-0.5, -0.5), (0.0, -0.2), (0.5, -0.5)))


def sprites(*rows: dict[str, float], present: tuple[bool, ...] | None = None, outlines: tuple = ()) -> Sprites:
    """One arena with these sprites; what is not given has its default."""
    factors = torch.tensor([[[{**DEFAULTS, **row}[name] for name in FACTORS] for row in rows]], dtype=torch.float64)
    factors = factors.view(1, len(rows), len(FACTORS))
    exist = torch.tensor([present or (True,) * len(rows)]).view(1, len(rows))
    return Sprites.of(factors, exist, *((outlines,) if outlines else ()))


def scattered(batch: int, count: int, seed: int = 0) -> Sprites:
    """Random sprites of all shapes, a quarter of them absent."""
    numbers = torch.rand(batch, count, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    factors = numbers[..., :10].clone()
    factors[..., 2] = 1 + (12 * factors[..., 2]).floor()
    factors[..., 3] *= 720
    factors[..., 4] = 0.05 + 0.3 * factors[..., 4]
    return Sprites.of(factors, numbers[..., 10] < 0.75)


def point(x: float, y: float) -> Tensor:
    return torch.tensor([[[x, y]]], dtype=torch.float64)


def shoelace(corners: Tensor) -> Tensor:
    x, y = corners.unbind(-1)
    return (x * y.roll(-1, -1) - y * x.roll(-1, -1)).sum(-1) / 2


def winding(x: float, y: float, outline: list[list[float]]) -> int:
    """How often an outline goes around a point, in exact arithmetic."""
    px, py, turns = Fraction(x), Fraction(y), 0
    corners = [(Fraction(cx), Fraction(cy)) for cx, cy in outline]
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1]):
        left = (bx - ax) * (py - ay) - (px - ax) * (by - ay)
        if ay <= py < by and left > 0:
            turns += 1
        if by <= py < ay and left < 0:
            turns -= 1
    return turns


def test_the_twelve_shapes() -> None:
    # Of the specification: corners, greatest radius.
    expected = {
        "triangle": (3, 0.8774), "square": (4, 0.7071), "pentagon": (5, 0.6485), "hexagon": (6, 0.6204),
        "octagon": (8, 0.5946), "circle": (30, 0.5663), "star_4": (8, 0.8409), "star_5": (10, 0.8249),
        "star_6": (12, 0.8165), "spoke_4": (12, 0.6678), "spoke_5": (15, 0.6620), "spoke_6": (18, 0.6588),
    }  # fmt: skip
    assert list(SHAPES) == list(expected)
    for name, (corners, radius) in expected.items():
        assert len(SHAPES[name].vertices) == corners
        assert SHAPES[name].radius == pytest.approx(radius, abs=5e-5)
        assert SHAPES[name].signed_area == pytest.approx(1)
    first = {name: SHAPES[name].vertices[0] for name in ("triangle", "square", "hexagon", "star_5")}
    assert first["triangle"] == pytest.approx((0, 0.8774), abs=5e-5)
    assert first["square"] == pytest.approx((0.5, 0.5))
    assert first["hexagon"] == pytest.approx((0.6204, 0), abs=5e-5)
    assert first["star_5"] == pytest.approx((-0.3923, -0.1275), abs=5e-5)


def test_factors_go_in_and_come_out() -> None:
    arenas = scattered(6, 5)
    factors = arenas.factors
    assert torch.equal(Sprites.of(factors + 1.0 * (~arenas.present)[..., None], arenas.present).factors, factors)
    assert (factors[~arenas.present] == 0).all()
    default = sprites({})
    assert dict(zip(FACTORS, default.factors[0, 0].tolist())) == DEFAULTS
    assert len(arenas) == 6


def test_changing_the_factors_afterwards_changes_nothing() -> None:
    factors = scattered(2, 3).factors.clone()
    factors[..., 2].clamp_(min=1)
    arenas = Sprites.of(factors, torch.ones(2, 3, dtype=torch.bool))
    before = arenas.factors
    factors += 1
    assert torch.equal(arenas.factors, before)


def test_corners_are_scaled_turned_counter_clockwise_and_moved() -> None:
    arena = sprites({"x": 0.25, "y": 0.75, "shape": 1, "angle": 90, "scale": 0.5}, outlines=(ARROW,))
    # The tip points up at angle 0 and to the left after a quarter turn counter-clockwise.
    assert arena.corners[0, 0, 0].tolist() == pytest.approx([0.25 - 0.25, 0.75])
    arenas = scattered(20, 4)
    area = shoelace(arenas.corners)
    assert torch.allclose(area, arenas.scale**2)
    assert torch.allclose(arenas.areas, area * arenas.present)


def test_geometry_does_not_depend_on_the_batch() -> None:
    arenas = scattered(64, 5)
    for rows in (slice(0, 1), slice(3, 10), [63]):
        part = Sprites.of(arenas.factors[rows] + (~arenas.present[rows])[..., None], arenas.present[rows])
        there = arenas.present[rows]
        assert torch.equal(part.body[there], arenas.rows(rows).body[there])


@pytest.mark.parametrize("name", SHAPES)
def test_hits_agree_with_exact_arithmetic(name: str) -> None:
    number = list(SHAPES).index(name) + 1
    generator = torch.Generator().manual_seed(number)
    for scale, angle in ((0.13, 0.0), (0.4, 77.0), (0.05, -1000.0)):
        arena = sprites({"x": 0.3, "y": 0.6, "shape": number, "scale": scale, "angle": angle})
        outline = arena.body[0, 0, : len(SHAPES[name].vertices)].tolist()
        points = (torch.rand(1, 60, 2, dtype=torch.float64, generator=generator) - 0.5) * (1.8 * scale)
        inside = arena.contain(points + arena.position)[0, :, 0].tolist()
        offsets = (points + arena.position - arena.position)[0].tolist()
        assert inside == [winding(x, y, outline) != 0 for x, y in offsets]
        assert 10 < sum(inside) < 50


def test_left_and_lower_borders_belong_to_a_square_the_others_do_not() -> None:
    arena = sprites({"scale": 0.25, "shape": 1}, outlines=(UNIT,))
    low, middle, high = 0.375, 0.5, 0.625
    borders = {(low, middle): True, (middle, low): True, (high, middle): False, (middle, high): False}
    corners = {(low, low): True, (high, low): False, (low, high): False, (high, high): False}
    for (x, y), belongs in {**borders, **corners, (middle, middle): True}.items():
        assert arena.contain(point(x, y)).item() is belongs, (x, y)
    below, above = math.nextafter(low, 0), math.nextafter(high, 0)
    assert not arena.contain(point(below, middle)).item()
    assert arena.contain(point(above, middle)).item()


def test_squares_side_by_side_share_no_point_and_leave_none_out() -> None:
    grid = [{"x": 0.25 + 0.25 * i, "y": 0.25 + 0.25 * j, "scale": 0.25, "shape": 1} for i in range(3) for j in range(3)]
    arena = sprites(*grid, outlines=(UNIT,))
    ticks = torch.arange(0.125, 0.875, 1 / 64, dtype=torch.float64)
    points = torch.cartesian_prod(ticks, ticks)[None]
    assert (arena.contain(points).sum(-1) == 1).all()


def test_the_topmost_sprite_is_hit() -> None:
    arena = sprites({"scale": 0.4}, {"scale": 0.3}, {"scale": 0.2}, {"x": 0.9}, present=(True, True, False, True))
    hit = arena.topmost(torch.tensor([[[0.5, 0.5], [0.68, 0.5], [0.9, 0.5], [0.1, 0.1]]], dtype=torch.float64))
    assert hit.tolist() == [[1, 0, 3, -1]]
    among = torch.tensor([[True, False, True, True]])
    assert arena.topmost(point(0.5, 0.5), among).tolist() == [[0]]


def test_nan_hits_nothing() -> None:
    arena = sprites({"scale": 1.0})
    assert arena.topmost(point(math.nan, 0.5)).tolist() == [[-1]]


def test_arenas_without_sprites() -> None:
    none = Sprites.of(torch.zeros(3, 0, 10, dtype=torch.float64), torch.zeros(3, 0, dtype=torch.bool))
    assert none.topmost(torch.zeros(3, 2, 2, dtype=torch.float64)).tolist() == [[-1, -1]] * 3
    assert none.factors.shape == (3, 0, 10)
    assert none.out_of_frame.shape == (3, 0)
    points, _ = none.sample_inside(Streams.of(range(3)))
    assert ((points >= 0) & (points < 1)).all()
    nobody = scattered(0, 4)
    assert nobody.topmost(torch.zeros(0, 1, 2, dtype=torch.float64)).shape == (0, 1)


def test_centres_stay_in_the_frame_if_they_are_kept() -> None:
    arena = sprites({"x": 0.9, "y": 0.1}, {"x": 0.5, "y": 0.5})
    by = torch.tensor([[[0.2, -0.3], [0.1, 0.1]]], dtype=torch.float64)
    assert arena.moved(by).position[0].tolist() == [[1.0, 0.0], [0.6, 0.6]]
    assert not arena.moved(by).out_of_frame.any()
    free = arena.moved(by, keep_in_frame=False)
    assert free.position[0, 0].tolist() == pytest.approx([1.1, -0.2])
    assert free.out_of_frame.tolist() == [[True, False]]
    absent = sprites({"x": 1.5}, {"x": 1.0, "y": 0.0}, present=(False, True))
    assert not absent.out_of_frame.any()


def test_setters_give_what_drawing_anew_gives() -> None:
    arenas = scattered(4, 3)
    other = scattered(4, 3, seed=9)
    factors = arenas.factors + 1.0 * (~arenas.present)[..., None]
    place = {name: FACTORS.index(name) for name in FACTORS}
    changed = factors.clone()
    changed[..., place["shape"]] = other.shape.double() + 1
    assert torch.equal(arenas.with_shape(other.shape).corners[arenas.present],
                       Sprites.of(changed, arenas.present).corners[arenas.present])  # fmt: skip
    for name in ("angle", "scale"):
        value = getattr(other, name)
        changed = factors.clone()
        changed[..., place[name]] = value
        made = getattr(arenas, f"with_{name}")(value)
        assert torch.equal(made.corners[arenas.present], Sprites.of(changed, arenas.present).corners[arenas.present])
        assert torch.equal(getattr(made, name), value)
    assert torch.equal(arenas.with_colour(other.colour).colour, other.colour)
    # The original's setter makes a square of side 0.0625 here.
    square = sprites({"scale": 0.25, "shape": 2}).with_scale(torch.tensor([[0.5]], dtype=torch.float64))
    assert float(shoelace(square.corners).sqrt()) == pytest.approx(0.5)
    with pytest.raises(DataError, match="shape 13 of sprite 0 in arena 0"):
        sprites({}).with_shape(torch.tensor([[12]]))


def test_what_is_remembered_is_never_that_of_others() -> None:
    """Hits and filters, asked before and after every way to change sprites, are those of sprites made anew."""
    hues, wide = Continuous("c0", 0.3, 0.7), Continuous("scale", 0.2, 1.0)
    points = torch.rand(5, 40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    start = replace(scattered(5, 3), present=torch.rand(5, 3, generator=torch.Generator().manual_seed(2)) < 0.7)
    others = scattered(5, 3, seed=2)
    ways = [
        lambda one: one.moved(torch.full_like(one.position, 0.1)),
        lambda one: one.with_scale(one.scale * 2),
        lambda one: one.with_shape((one.shape + 1) % 12),
        lambda one: one.with_colour(1 - one.colour),
        lambda one: one.rows(torch.tensor([4, 3, 2, 1, 0])),
        lambda one: one.put(torch.tensor([1, 3]), others.rows(torch.tensor([1, 3]))),
        lambda one: replace(one, present=one.present.roll(1, 0)),
        lambda one: pickle.loads(pickle.dumps(one)),
    ]
    assert start.contain(points).any()
    state = start
    for change in [*ways, *reversed(ways)]:
        for one in (state, state := change(state)):
            anew = Sprites.of(torch.where(one.present[..., None], one.factors, torch.nan), one.present, one.outlines)
            assert torch.equal(one.contain(points), anew.contain(points))
            for condition in (hues, wide, hues):
                assert torch.equal(matching(condition, one), matching(condition, anew))
    assert matching(hues, start).any()
    assert not torch.equal(matching(hues, start), matching(wide, start))


def test_what_is_remembered_is_not_that_of_other_outlines() -> None:
    small = scattered(5, 3)
    points = torch.rand(5, 40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    before = small.contain(points)
    outlines = (Polygon(tuple((8 * x, 8 * y) for x, y in UNIT.vertices)),) * len(small.outlines)
    large = replace(small, outlines=outlines, body=body_of(small.shape, small.angle, small.scale, outlines))
    found = large.contain(points)
    assert torch.equal(found, replace(large, memo=Memo()).contain(points))
    assert found.sum() > 2 * before.sum()


def test_what_is_remembered_is_forgotten_where_somebody_writes_into_it() -> None:
    """Nobody should, but then rewards must not be those of before."""
    state, hues = scattered(5, 3), Continuous("c0", 0.3, 0.7)
    points = torch.rand(5, 40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    before = matching(hues, state), state.contain(points)
    state.colour[:, :, 0] = 1 - state.colour[:, :, 0].roll(1, 0)
    state.present.logical_not_()
    state.scale[:] = 0.0
    for found, old, anew in zip(
        (matching(hues, state), state.contain(points)), before,
        (matching(hues, replace(state, memo=Memo())), replace(state, memo=Memo()).contain(points)),
    ):  # fmt: skip
        assert torch.equal(found, anew)
        assert not torch.equal(found, old)
    with torch.inference_mode():
        assert torch.equal(matching(hues, state.rows([0, 1])), matching(hues, state)[:2])


def test_filters_of_one_place_in_memory_are_told_apart() -> None:
    state = sprites({"c0": 0.5})
    found = [bool(matching(Continuous("c0", low, low + 0.2), state)) for low in (0.4, 0.7, 0.4, 0.1)]
    assert found == [True, False, True, False]


def test_rows_are_taken_and_put_back() -> None:
    arenas, others = scattered(5, 3), scattered(2, 3, seed=1)
    changed = arenas.put(torch.tensor([4, 0]), others)
    assert torch.equal(changed.rows([4, 0]).factors, others.factors)
    assert torch.equal(changed.rows([1, 2, 3]).factors, arenas.factors[1:4])
    assert torch.equal(changed.rows([4, 0]).body, others.body)
    assert not torch.equal(arenas.factors, changed.factors)
    again = pickle.loads(pickle.dumps(changed))
    assert torch.equal(again.to("cpu").factors, changed.factors)


@pytest.mark.parametrize("name", SHAPES)
def test_points_inside_are_inside_and_uniform(name: str) -> None:
    number, batch = list(SHAPES).index(name) + 1, 3000
    row = torch.tensor([0.4, 0.6, number, 25.0, 0.2, 0, 0, 0, 0, 0], dtype=torch.float64)
    arenas = Sprites.of(row.expand(batch, 1, -1), torch.ones(batch, 1, dtype=torch.bool))
    points, streams = arenas.sample_inside(Streams.of(range(batch)))
    assert arenas.contain(points[:, None]).all()
    assert (streams.count == streams.count[0]).all()
    # Second moments against those of the polygon, by Green's theorem: all shapes are centred on the origin.
    x, y = arenas.body[0, 0, : len(SHAPES[name].vertices)].unbind(-1)
    cross = x * y.roll(-1) - y * x.roll(-1)
    area = cross.sum() / 2
    offsets = points - arenas.position[:, 0]
    for values, (a, b) in ((offsets[:, 0], (x, x.roll(-1))), (offsets[:, 1], (y, y.roll(-1)))):
        mean, second = (
            float((cross * (a + b)).sum() / (6 * area)),
            float((cross * (a * a + a * b + b * b)).sum() / (12 * area)),
        )
        assert float(values.mean()) == pytest.approx(mean, abs=4 * math.sqrt(second / batch))
        assert float((values**2).mean()) == pytest.approx(second, rel=0.1)


def test_points_inside_are_spread_over_the_present_sprites() -> None:
    batch = 4000
    one = sprites({"x": 0.1, "scale": 0.05}, {"x": 0.4, "scale": 0.05}, {"x": 0.6, "scale": 0.2}, {"x": 0.9},
                  present=(True, False, True, True))  # fmt: skip
    arenas = one.rows([0] * batch)
    points, _ = arenas.sample_inside(Streams.of(range(batch)))
    hits = torch.bincount(arenas.topmost(points[:, None])[:, 0], minlength=4)
    assert hits[1] == 0
    assert stats.chisquare(hits[[0, 2, 3]].numpy()).pvalue > 0.01
    among = torch.tensor([[False, True, False, True]]).expand(batch, -1)
    points, _ = arenas.sample_inside(Streams.of(range(batch)), among)
    assert (arenas.topmost(points[:, None]) == 3).all()
    nowhere, _ = arenas.sample_inside(Streams.of(range(batch)), ~arenas.present)
    assert stats.kstest(nowhere.flatten().numpy(), "uniform").pvalue > 0.01


def test_points_inside_do_not_depend_on_the_batch() -> None:
    arenas, streams = scattered(40, 5), Streams.of(range(40))
    points, after = arenas.sample_inside(streams)
    alone, one = arenas.rows([17]).sample_inside(streams.rows([17]))
    assert torch.equal(alone, points[[17]])
    assert torch.equal(one.count, after.count[[17]])


@pytest.mark.parametrize("polygon", [*spriteworld_shapes().values(), heart(), ARROW, Polygon(ARROW.vertices[::-1])])
def test_polygons_are_cut_into_triangles(polygon: Polygon) -> None:
    cut = triangles(polygon)
    assert len(cut) == len(polygon.vertices) - 2
    areas = [float(shoelace(torch.tensor(one, dtype=torch.float64))) for one in cut]
    assert min(areas) >= 0
    assert sum(areas) == pytest.approx(polygon.area)


def test_corners_on_a_line_give_no_triangles() -> None:
    halved = Polygon(((0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0), (0.0, 1.0)))
    areas = [float(shoelace(torch.tensor(one, dtype=torch.float64))) for one in triangles(halved)]
    assert sum(areas) == pytest.approx(1)


@pytest.mark.parametrize(
    "corners",
    [
        ((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)),
        tuple((math.cos(2.5133 * i), math.sin(2.5133 * i)) for i in range(5)),
    ],
)
def test_outlines_that_cross_themselves_are_refused(corners: tuple) -> None:
    with pytest.raises(DataError, match="crosses itself"):
        triangles(Polygon(corners))


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_factors_are_named() -> None:
    with pytest.raises(DataError, match="angle = nan of sprite 1 in arena 0"):
        sprites({}, {"angle": math.nan})
    with pytest.raises(DataError, match="x = inf of sprite 0"):
        sprites({"x": math.inf})
    for shape in (0, 13, 0.4, 12.6):
        with pytest.raises(DataError, match="1 to 12"):
            sprites({"shape": shape})
    with pytest.raises(DataError, match=r"\(1, 2, 9\)"):
        Sprites.of(torch.zeros(1, 2, 9, dtype=torch.float64), torch.ones(1, 2, dtype=torch.bool))
    with pytest.raises(DataError, match=r"presence of shape \(1, 3\)"):
        Sprites.of(torch.ones(1, 2, 10, dtype=torch.float64), torch.ones(1, 3, dtype=torch.bool))
    arena = sprites({}, {"angle": math.nan, "shape": 99}, present=(True, False))
    assert arena.topmost(point(0.5, 0.5)).tolist() == [[0]]
    assert arena.factors.isfinite().all()
