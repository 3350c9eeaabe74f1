"""The original's sprite: corners and hit tests to the bit, types of positions, setters and their bug."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from benchmarks.spriteworld_original import hit_points

from percepts.core.errors import DataError
from percepts.envs.spriteworld.compat_sprite import CompatDataError, CompatSprite

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "spriteworld.json").read_text())["sprites"]


def sprite(**factors) -> CompatSprite:
    return CompatSprite(factors)


def area(corners: np.ndarray) -> float:
    x, y = corners.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


@pytest.mark.parametrize(("x", "y", "shape", "angle", "scale", "digest", "inside"), GOLDEN)
def test_corners_and_hit_tests_are_those_of_the_original(x, y, shape, angle, scale, digest, inside):
    one = sprite(x=np.float32(x), y=np.float32(y), shape=shape, angle=angle, scale=scale)
    corners = np.ascontiguousarray(one.corners)
    # The last bit of sine and cosine is the platform's.
    if hashlib.sha256(corners.tobytes()).hexdigest()[:12] != digest:
        assert area(corners) == pytest.approx(scale**2)
        pytest.skip("corners are rounded otherwise here")
    assert "".join(str(int(one.contains(point))) for point in hit_points(corners)) == inside
    assert {"0", "1"} <= set(inside)


@pytest.mark.parametrize(("centre", "scale"), [((0.5, 0.5), 0.5), ((0.25, 0.5), 0.25), ((0.5, 0.5), 0.1)])
def test_the_edges_of_a_square_are_the_originals(centre, scale):
    """Measured: left and bottom belong to it, as its corners are rounded, right and top do not."""
    square = sprite(x=centre[0], y=centre[1], scale=scale)
    ways = np.array([[-1, 0], [0, -1], [1, 0], [0, 1]]) * scale / 2
    assert [square.contains(np.array(centre) + way) for way in ways] == [True, True, False, False]


def test_drawn_positions_stay_float32_chosen_ones_float64_and_whole_ones_do_not_move():
    drawn, chosen = sprite(x=np.float32(0.3), y=np.float32(0.4)), sprite(x=0.3, y=0.4)
    for one in (drawn, chosen):
        one.move(np.array([0.1, 0.1]), keep_in_frame=True)
    assert (drawn.position.dtype, chosen.position.dtype) == (np.float32, np.float64)
    assert drawn.position[0] == np.float32(float(np.float32(0.3)) + 0.1)  # added in float64, then rounded
    assert sprite(x=np.float32(0.3), y=0.4).position.dtype == np.float64
    with pytest.raises(TypeError):
        sprite(x=0, y=1).move((0.1, 0.1))


def test_the_centre_is_kept_in_the_frame_or_found_out_of_it():
    one, other = sprite(x=0.9, y=0.5), sprite(x=0.9, y=0.5)
    one.move((0.2, -0.1), keep_in_frame=True)
    other.move((0.2, -0.1))
    np.testing.assert_allclose([one.position, other.position], [[1.0, 0.4], [1.1, 0.4]])
    assert (one.out_of_frame, other.out_of_frame) == (False, True)


def test_the_scale_setter_multiplies_by_the_difference_unless_its_bug_is_off():
    buggy, right = sprite(scale=0.25), CompatSprite({"scale": 0.25}, scale_setter_bug=False)
    buggy.scale = right.scale = 0.5
    assert (buggy.scale, right.scale) == (0.5, 0.5)
    assert area(buggy.outline) == pytest.approx(0.0625**2)
    assert area(right.outline) == pytest.approx(0.25)


def test_setting_shape_and_angle_gives_the_sprite_that_has_them():
    one = sprite(shape=1, angle=20, scale=0.3)
    one.angle = 75
    np.testing.assert_allclose(one.outline, sprite(shape=1, angle=75, scale=0.3).outline, atol=1e-15)
    one.shape = 8
    np.testing.assert_array_equal(one.outline, sprite(shape=8, angle=75, scale=0.3).outline)
    assert [one.factors[name] for name in ("shape", "angle", "scale")] == [8, 75, 0.3]


def test_an_angle_turns_counter_clockwise():
    tip = sprite(shape=1, angle=90).outline[0]  # of the triangle, upwards at angle 0
    assert math.atan2(tip[1], tip[0]) == pytest.approx(math.pi)


def test_points_inside_are_uniform_in_the_sprite():
    one = sprite(x=0.2, y=0.7, shape=7, angle=30, scale=0.4)
    points = np.array([one.sample_inside(np.random.RandomState(seed)) for seed in range(400)])
    assert all(one.contains(point) for point in points)
    np.testing.assert_allclose(points.mean(0), [0.2, 0.7], atol=0.03)


def test_a_sprite_without_an_area_has_no_point_inside(monkeypatch):
    monkeypatch.setattr("percepts.envs.spriteworld.compat_sprite._MOST_TRIES", 10)
    with pytest.raises(CompatDataError, match="no point inside"):
        sprite(scale=0.0).sample_inside(np.random.RandomState(0))


@pytest.mark.parametrize("factors", [{"size": 1.0}, {"shape": 0}, {"shape": 13}])
def test_unknown_factors_and_shapes_are_errors(factors):
    with pytest.raises(DataError):
        CompatSprite(factors)
