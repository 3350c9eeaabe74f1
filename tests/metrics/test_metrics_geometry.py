import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from percepts.core.errors import DataError
from percepts.metrics import affine_geometry

SHAPE = (7, 5)


def lattice() -> np.ndarray:
    rows, columns = np.meshgrid(np.linspace(-1, 1, SHAPE[0]), np.linspace(0, 2, SHAPE[1]), indexing="ij")
    return np.stack([rows.ravel(), columns.ravel()], axis=1)


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


@settings(max_examples=30, deadline=None)
@given(st.floats(-180, 180), st.floats(0.1, 10), st.booleans(), st.booleans())
def test_rotated_scaled_and_mirrored_lattices(degrees: float, scale: float, flip: bool, swap: bool) -> None:
    points = lattice() - lattice().mean(axis=0)
    points /= points.std(axis=0)
    codes = turned(points, degrees) * scale + 3
    codes = codes[:, ::-1] if swap else codes
    codes = codes * [1, -1] if flip else codes
    result = affine_geometry(codes, lattice(), SHAPE)
    assert result.value == pytest.approx(1)
    folded = abs(degrees) % 90
    assert result.details["axis_angle"] == pytest.approx(min(folded, 90 - folded), abs=1e-6)
    assert result.details["fold_count"] == 0
    assert result.details["cells"] == 24


def test_the_map_is_the_affine_fit(rng: np.random.Generator) -> None:
    codes = lattice() @ rng.normal(size=(2, 2)) + 0.3 * rng.normal(size=(35, 2))
    targets = (lattice() - lattice().mean(axis=0)) / lattice().std(axis=0)
    design = np.concatenate([codes, np.ones((35, 1))], axis=1)
    solution, residuals, *_ = np.linalg.lstsq(design, targets, rcond=None)
    result = affine_geometry(codes, lattice(), SHAPE)
    np.testing.assert_allclose(result.details["map"], solution[:2], atol=1e-12)
    assert result.value == pytest.approx(1 - residuals.sum() / (targets**2).sum())


def test_a_fold_turns_the_cells_behind_it() -> None:
    points = lattice()
    folded = np.stack([np.abs(points[:, 0] + 1 / 3), points[:, 1]], axis=1)  # folds two of six rows of cells
    result = affine_geometry(folded, points, SHAPE)
    assert result.details["fold_count"] == 2 * 4
    assert result.value < 0.9


def test_a_twist_is_a_fold_too() -> None:
    points = lattice()
    assert affine_geometry(points[:, :1] * [1.0, 2.0], points, SHAPE).details["fold_count"] == 24
    collapsed = affine_geometry(np.zeros(points.shape), points, SHAPE)
    assert collapsed.value == 0
    assert collapsed.details["fold_count"] == 24
    assert 0 <= collapsed.details["axis_angle"] <= 45


def test_noise_explains_little(rng: np.random.Generator) -> None:
    points = np.stack(np.meshgrid(np.arange(20), np.arange(20), indexing="ij"), axis=-1).reshape(-1, 2)
    result = affine_geometry(rng.normal(size=(400, 2)), points, (20, 20))
    assert result.value < 0.05
    assert 0.35 < result.details["fold_count"] / 361 < 0.5


@pytest.mark.usefixtures("unchecked_shapes")
def test_points_that_are_no_lattice() -> None:
    points = lattice()
    with pytest.raises(DataError, match="every point of the lattice"):
        affine_geometry(points, points, (7, 4))
    with pytest.raises(DataError, match="second factor changing fastest"):
        affine_geometry(points, points, SHAPE[::-1])
    with pytest.raises(DataError, match="3 codes"):
        affine_geometry(np.zeros((35, 3)), points, SHAPE)
    with pytest.raises(DataError, match="every point"):
        affine_geometry(points[:5], points[:5], (1, 5))
