"""Unit shapes: areas, corners and names."""

from __future__ import annotations

import math

import numpy as np
import pytest

from percepts.core.errors import DataError
from percepts.rendering.shapes import Ellipse, Polygon, heart, named_shape, spriteworld_shapes, square


def test_spriteworld_shapes_have_area_1_and_run_counter_clockwise() -> None:
    for name, shape in spriteworld_shapes().items():
        assert shape.signed_area == pytest.approx(1), name


@pytest.mark.parametrize(
    ("name", "corners", "radius"),
    [
        ("triangle", 3, 0.8774), ("square", 4, 0.7071), ("pentagon", 5, 0.6485), ("hexagon", 6, 0.6204),
        ("octagon", 8, 0.5946), ("circle", 30, 0.5663), ("star_4", 8, 0.8409), ("star_5", 10, 0.8249),
        ("star_6", 12, 0.8165), ("spoke_4", 12, 0.6678), ("spoke_5", 15, 0.6620), ("spoke_6", 18, 0.6588),
    ],
)  # fmt: skip
def test_spriteworld_shapes_have_their_corners(name: str, corners: int, radius: float) -> None:
    shape = spriteworld_shapes()[name]
    assert len(shape.vertices) == corners
    assert shape.radius == pytest.approx(radius, abs=1e-4)


def test_first_corners_are_spriteworlds() -> None:
    shapes = spriteworld_shapes()
    assert shapes["triangle"].vertices[0] == pytest.approx((0, 0.8774), abs=1e-4)
    assert shapes["square"].vertices[0] == pytest.approx((0.5, 0.5))
    assert shapes["star_5"].vertices[0] == pytest.approx((-0.3923, -0.1275), abs=1e-4)


def test_heart_is_symmetric_upright_and_as_wide_as_asked() -> None:
    points = heart(2.0).array
    assert np.ptp(points[:, 0]) == pytest.approx(2.0)
    assert points.min(0) == pytest.approx(-points.max(0))
    mirrored = points * [-1, 1]
    assert all(np.hypot(*(points - corner).T).min() < 1e-9 for corner in mirrored)
    assert abs(points[points[:, 1].argmin(), 0]) < 0.1  # the tip is below, in the middle


def test_areas() -> None:
    assert square(3.0).area == pytest.approx(9)
    assert Ellipse(2.0, 3.0).area == pytest.approx(6 * math.pi)
    for name in ("disc", "ellipse", "heart", "star_4"):
        assert named_shape(name).area == pytest.approx(1)


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean 'triangle'"):
        named_shape("triangel")


@pytest.mark.parametrize("corners", [((0.0, 0.0), (1.0, 1.0)), ((0.0, 0.0), (1.0, 0.0), (math.nan, 1.0))])
def test_polygons_need_three_finite_corners(corners: tuple) -> None:
    with pytest.raises(DataError, match="polygon"):
        Polygon(corners)


@pytest.mark.parametrize("axes", [(0.0, 1.0), (1.0, -1.0), (math.inf, 1.0), (1.0, math.nan)])
def test_ellipses_need_positive_axes(axes: tuple[float, float]) -> None:
    with pytest.raises(DataError, match="semi-axes"):
        Ellipse(*axes)
