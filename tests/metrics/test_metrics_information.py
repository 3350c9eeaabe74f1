import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from percepts.metrics import Information, discretise, entropy, mutual_information


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(2, 300))
def test_equals_scikit_learn_on_random_data(seed: int, bins: int, samples: int) -> None:
    rng = np.random.default_rng(seed)
    codes, factors = rng.normal(size=(samples, 3)), rng.integers(-3, 5, size=(samples, 2))
    factors[0], factors[1] = -3, 4
    binned = discretise(codes, bins)
    expected = [[mutual_info_score(binned[:, d], factors[:, k]) for k in range(2)] for d in range(3)]
    np.testing.assert_allclose(mutual_information(codes, factors, bins), expected, rtol=0, atol=1e-12)


def test_chunks_and_sparse_labels_change_nothing(rng: np.random.Generator) -> None:
    codes, factors = rng.normal(size=(40000, 2)), rng.integers(0, 4, size=(40000, 2))
    codes[:, 0] += factors[:, 1]
    binned = discretise(codes)
    expected = [[mutual_info_score(binned[:, d], factors[:, k]) for k in range(2)] for d in range(2)]
    np.testing.assert_allclose(mutual_information(codes, factors), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(mutual_information(codes, factors * 10**9 - 7), expected, rtol=0, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=2, max_size=60).filter(
        lambda values: max(values) - min(values) > 1e-9 * max(abs(value) for value in values)
    ),
    st.integers(1, 40),
)
def test_bins_are_those_of_the_reference_histogram(values: list[float], bins: int) -> None:
    column = np.array(values)
    edges = np.linspace(column.min(), column.max(), bins + 1)
    np.testing.assert_array_equal(discretise(column[:, None], bins)[:, 0], np.digitize(column, edges[:-1]) - 1)


def test_values_on_the_edges_open_the_upper_bin() -> None:
    grid = np.linspace(0, 1, 21)[:, None]
    np.testing.assert_array_equal(discretise(grid, 20)[:, 0], [*range(20), 19])


@pytest.mark.parametrize("constant", [0.0, 3.7, -1e9])
def test_a_constant_code_falls_into_one_bin_and_knows_nothing(constant: float, rng: np.random.Generator) -> None:
    codes = np.full((100, 1), constant)
    assert np.unique(discretise(codes)).size == 1
    assert mutual_information(codes, rng.integers(3, size=(100, 1)))[0, 0] == 0


def test_a_range_below_floating_point_resolution_counts_as_constant() -> None:
    codes = np.array([[1e9], [np.nextafter(1e9, 2e9)]])
    assert np.unique(discretise(codes)).size == 1


def test_entropy_is_that_of_the_counts() -> None:
    values = np.array([[0, 5, 1], [0, 5, 2], [1, 5, 3], [1, 5, 4]])
    np.testing.assert_allclose(entropy(values), [np.log(2), 0, np.log(4)], atol=1e-15)


def test_information_of_a_code_with_itself_is_its_entropy(rng: np.random.Generator) -> None:
    factors = rng.integers(8, size=(5000, 3))
    matrix = mutual_information(factors, factors, 8)
    np.testing.assert_allclose(np.diag(matrix), entropy(factors), atol=1e-12)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)


@pytest.mark.parametrize(("size", "floor"), [(40, 0.010), (32, 0.009), (3, 0.002)])
def test_noise_has_the_known_bias(size: int, floor: float) -> None:
    rng = np.random.default_rng(1)
    factors = rng.integers(size, size=(10000, 1))
    matrix = mutual_information(rng.uniform(size=(10000, 40)), factors)
    plug_in = 19 * (size - 1) / (2 * 10000)
    assert matrix.mean() == pytest.approx(plug_in, rel=0.1)
    assert matrix.mean() / np.log(size) == pytest.approx(floor, abs=0.0015)


def test_tensors_of_half_precision_give_what_their_values_give(rng: np.random.Generator) -> None:
    codes = torch.from_numpy(rng.normal(size=(200, 2))).to(torch.bfloat16).requires_grad_()
    factors = torch.from_numpy(rng.integers(3, size=(200, 2)))
    expected = mutual_information(codes.detach().double().numpy(), factors.numpy())
    np.testing.assert_array_equal(mutual_information(codes, factors), expected)


def test_resampling_keeps_the_bins(rng: np.random.Generator) -> None:
    information = Information.measure(rng.normal(size=(100, 2)), rng.integers(3, size=(100, 2)))
    rows = np.arange(50)
    np.testing.assert_array_equal(information.resampled(rows).binned, information.binned[:50])
    np.testing.assert_array_equal(information.resampled(np.arange(100)).matrix, information.matrix)
