"""Mistakes that are made in public implementations, each beside ours on data where it shows.

Every test computes the wrong variant, sees that its answer is wrong, and that ours is right.
"""

import numpy as np
import pytest

from percepts.core.errors import DataError
from percepts.metrics import (
    beta_vae_score,
    discretise,
    disentanglement_of,
    explicitness,
    factor_vae_score,
    interventional_robustness,
    mig,
    modularity_of,
    mutual_information,
    unsupervised_scores,
)
from percepts.metrics.sources import CodeTable


@pytest.fixture
def factors(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(10, size=(4000, 4))


@pytest.mark.usefixtures("unchecked_shapes")
def test_a_view_in_place_of_a_transpose(factors: np.ndarray) -> None:
    """[codes, samples] read as [samples, codes] without moving a number mixes the codes; the gap vanishes."""
    codes = factors * 1.0
    viewed = codes.T.reshape(codes.shape)
    assert mig(viewed, factors).value < 0.02
    assert mig(codes, factors).value > 0.98
    # Only the shapes can tell, so a table that is transposed is refused with the remedy.
    with pytest.raises(DataError, match=r"codes\.T"):
        mig(codes.T, factors)


def test_gaps_over_factors_in_place_of_codes(factors: np.ndarray) -> None:
    """A factor in two codes: over the wrong axis of the matrix the redundancy is not seen."""
    codes = np.concatenate([factors, factors], axis=1)
    matrix = mutual_information(codes, factors)
    wrong = np.sort(matrix, axis=1)
    assert ((wrong[:, -1] - wrong[:, -2]) / np.log(10)).mean() > 0.98
    assert mig(codes, factors).value == 0


def test_counting_ends_at_the_first_dead_code(rng: np.random.Generator) -> None:
    """`break` where `continue` was meant: a dead code hides the entangled ones after it."""
    importance = np.array([[1.0, 0.0], [0.0, 0.0], [0.5, 0.5]])

    def until_dead(rows: np.ndarray) -> float:
        total = 0.0
        for row in rows:
            if row.sum() == 0:
                break
            share = row / row.sum()
            entropy = -sum(p * np.log2(p) for p in share if p > 0)
            total += row.sum() / rows.sum() * (1 - entropy)
        return total

    assert until_dead(importance[::-1]) == 0
    assert until_dead(importance) == 0.5
    assert disentanglement_of(importance) == disentanglement_of(importance[::-1]) == pytest.approx(0.5)
    later = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert until_dead(later) == 0
    assert disentanglement_of(later) == 1


def test_a_dead_code_gets_every_vote_without_a_threshold(factors: np.ndarray, rng: np.random.Generator) -> None:
    """0 / 0 is NaN, and `argmin` gives the place of a NaN: chance instead of a perfect score."""
    codes = np.concatenate([np.zeros((len(factors), 1)), factors], axis=1)
    source = CodeTable.index(codes, factors)
    held = rng.integers(4, size=400)
    batch = source.common_value(held, 32, rng)
    with np.errstate(invalid="ignore"):
        votes = np.argmin(batch.var(axis=1, ddof=1) / codes.var(axis=0, ddof=1), axis=1)
    assert (votes == 0).all()
    table = np.zeros((5, 4))
    np.add.at(table, (votes, held), 1)
    assert table.max(axis=1).sum() / table.sum() < 0.35
    for threshold in (0.0, 0.05):
        assert factor_vae_score(codes, factors, rng=rng, num_train=400, num_eval=400, threshold=threshold).value == 1


def test_dead_codes_are_counted_not_codes(factors: np.ndarray, rng: np.random.Generator) -> None:
    codes = np.concatenate([factors, 1e-4 * rng.normal(size=(len(factors), 3))], axis=1)
    active = factor_vae_score(codes, factors, rng=rng, num_train=100, num_eval=100).details["active"]
    assert len(active) == 7
    assert active.sum() == 4


def test_one_shared_value_a_batch_in_place_of_one_a_pair(rng: np.random.Generator) -> None:
    """The beta-VAE score's points average over values of the factor; with a single value, the point depends on it."""
    factors = rng.integers(10, size=(6000, 2))
    # The second code follows the first factor's value at which the pair is held: it gives the factor away only if
    # all pairs of a point share one value.
    codes = np.stack([rng.normal(size=6000), factors[:, 0] * rng.normal(size=6000)], axis=1)
    source = CodeTable.index(codes, factors)
    held = rng.integers(2, size=600)
    one, other = source.shared_pairs(held, 64, rng)
    per_pair = np.abs(one - other).mean(axis=1)[held == 0, 1]
    batch = source.common_value(held, 128, rng)
    per_batch = np.abs(batch[:, :64] - batch[:, 64:]).mean(axis=1)[held == 0, 1]
    assert per_batch.std() > 3 * per_pair.std()
    same = source.shared_pairs(np.zeros(50, int), 64, rng)[0]
    assert len(np.unique(np.round(same[:, :, 0], 12))) > 50
    assert beta_vae_score(codes, factors, rng=rng, num_train=600, num_eval=600).value > 0.5


def test_labels_of_the_other_factors_in_place_of_the_shared_one(factors: np.ndarray, rng: np.random.Generator) -> None:
    """Swapped labels (the factor that differs instead of the one that is shared) turn the coefficients' signs."""
    coefficients = beta_vae_score(factors[:, :2], factors[:, :2], rng=rng, num_train=500, num_eval=100).details[
        "coefficients"
    ]
    assert coefficients[0, 0] < 0 < coefficients[0, 1]  # a small difference of code 0 says that factor 0 is shared
    assert coefficients[1, 1] < 0 < coefficients[1, 0]


def test_the_vote_matrix_is_read_along_codes(rng: np.random.Generator) -> None:
    """One code that never wins and one that wins for two factors: the majority over the wrong axis scores too much."""
    factors = rng.integers(10, size=(4000, 2))
    result = factor_vae_score(factors[:, :1], factors, rng=rng, num_train=1000, num_eval=1000)
    votes = result.details["votes"]  # [codes, factors]
    assert votes.max(axis=0).sum() / votes.sum() == 1  # over factors, every vote counts as right
    assert votes.max(axis=1).sum() / votes.sum() == pytest.approx(0.5, abs=0.05)
    assert result.value == pytest.approx(0.5, abs=0.06)


def test_bins_of_single_precision(rng: np.random.Generator) -> None:
    """A constant code that single precision jitters in its last bit fills two bins; in double it is constant."""
    factors = rng.integers(2, size=(2000, 1))
    jitter = np.where(factors[:, 0] == 1, np.float32(0.1), np.nextafter(np.float32(0.1), np.float32(1)))
    assert mutual_information(jitter[:, None], factors)[0, 0] == pytest.approx(np.log(2), abs=1e-3)
    as_double = np.full((2000, 1), 0.1) + 1e-18 * factors
    assert mutual_information(as_double, factors)[0, 0] == 0


def test_bins_closed_above_lose_the_maximum(rng: np.random.Generator) -> None:
    """All twenty-one edges give the largest value a bin of its own."""
    column = np.append(rng.uniform(0, 1, size=999), 1.0)
    wrong = np.digitize(column, np.linspace(column.min(), 1.0, 21))
    assert wrong.max() == 21
    assert discretise(column[:, None]).max() == 19


def test_explicitness_with_a_missing_class_and_constant_codes(rng: np.random.Generator) -> None:
    """Binarising by the test labels gives too few columns, a constant code's deviation divides by 0."""
    factors = rng.integers(4, size=(600, 1))
    codes = np.concatenate([np.eye(4)[factors[:, 0]], np.full((600, 1), 3.0)], axis=1)
    seen = factors[:, 0] != 2
    assert np.unique(factors[seen]).size == 3
    assert explicitness(codes, factors, codes[seen], factors[seen]).value > 0.99


def test_chance_is_no_lower_bound_of_modularity_and_empty_codes_count() -> None:
    matrix = np.array([[1.0, 0.0], [0.0, 0.0]])
    with np.errstate(invalid="ignore"):
        unguarded = 1 - ((matrix**2).sum(axis=1) - matrix.max(axis=1) ** 2) / matrix.max(axis=1) ** 2
    assert np.isnan(unguarded.mean())
    assert modularity_of(matrix) == 0.5


def test_total_correlation_of_a_dead_code_is_finite(rng: np.random.Generator) -> None:
    codes = np.stack([rng.normal(size=500), np.full(500, 0.3)], axis=1)
    with np.errstate(divide="ignore"):
        assert np.isneginf(np.log(np.var(np.full(500, 0.5))))
    assert unsupervised_scores(codes)["gaussian_total_correlation"].value == pytest.approx(0, abs=1e-12)


def test_active_codes_of_irs_are_counted_by_their_spread(factors: np.ndarray) -> None:
    """Dead codes are those without spread, not those whose values sum to little."""
    codes = np.concatenate([factors - factors.mean(axis=0), np.full((len(factors), 1), 5.0)], axis=1)
    parents = interventional_robustness(codes, factors).details["parents"]
    assert parents.tolist() == [0, 1, 2, 3, -1]
