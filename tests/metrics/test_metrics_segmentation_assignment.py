import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from percepts.core.errors import DataError
from percepts.metrics.assignment import best_assignment


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (4, 7), (7, 4), (11, 11), (1, 6), (6, 1)])
@pytest.mark.parametrize("ties", [False, True])
def test_the_sum_is_the_largest(rng: np.random.Generator, shape: tuple[int, int], ties: bool) -> None:
    values = rng.normal(size=(40, *shape))
    values = np.rint(values) if ties else values
    assigned = best_assignment(values)
    for value, columns in zip(values, assigned):
        rows = np.flatnonzero(columns >= 0)
        assert len(rows) == len(set(columns[rows])) == min(shape)
        best = value[linear_sum_assignment(value, maximize=True)].sum()
        assert value[rows, columns[rows]].sum() == pytest.approx(best, abs=1e-9)


def test_values_of_very_different_sizes(rng: np.random.Generator) -> None:
    values = rng.normal(size=(20, 5, 6)) * 10.0 ** rng.integers(-6, 7, size=(20, 5, 1))
    for value, columns in zip(values, best_assignment(values)):
        np.testing.assert_array_equal(columns, linear_sum_assignment(value, maximize=True)[1])


def test_whole_numbers_and_empty_matrices() -> None:
    np.testing.assert_array_equal(best_assignment(np.array([[[4, 5], [5, 5]], [[1, 9], [2, 3]]]))[1], [1, 0])
    assert best_assignment(np.zeros((0, 2, 3))).shape == (0, 2)
    assert best_assignment(np.zeros((2, 0, 3))).shape == (2, 0)
    np.testing.assert_array_equal(best_assignment(np.zeros((1, 3, 0))), [[-1, -1, -1]])


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_values() -> None:
    with pytest.raises(DataError, match="NaN"):
        best_assignment(np.array([[[np.nan]]]))
    with pytest.raises(DataError, match=r"value\[None\]"):
        best_assignment(np.zeros((2, 2)))
