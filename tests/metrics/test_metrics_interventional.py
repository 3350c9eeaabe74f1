import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from percepts.core.errors import DataError
from percepts.metrics import beta_vae_score, factor_vae_score
from percepts.metrics.sources import CodeTable, RenderedCodes

SIZES = (4, 3, 5)


def grid(sizes: tuple[int, ...] = SIZES) -> np.ndarray:
    return np.stack(np.meshgrid(*(np.arange(size) for size in sizes), indexing="ij"), axis=-1).reshape(-1, len(sizes))


def rotation(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def test_identity_is_perfect(identity: np.ndarray, rng: np.random.Generator) -> None:
    assert factor_vae_score(identity, identity, rng=rng, num_train=1000, num_eval=500).value == 1
    assert beta_vae_score(identity, identity, rng=rng, num_train=1000, num_eval=500).value > 0.97


def test_constant_codes_have_no_active_unit(identity: np.ndarray, rng: np.random.Generator) -> None:
    constant = np.full(identity.shape, 0.1)  # its computed variance is not exactly 0
    result = factor_vae_score(constant, identity, rng=rng, num_train=100, num_eval=100)
    assert result.value == 0
    assert not result.details["active"].any()
    assert factor_vae_score(constant, identity, rng=rng, num_train=100, num_eval=100, threshold=0.0).value == 0
    chance = beta_vae_score(constant, identity, rng=rng, num_train=500, num_eval=500)
    assert chance.value == pytest.approx(0.1, abs=0.05)


def test_codes_rotated_by_45_degrees_are_near_chance(rng: np.random.Generator) -> None:
    factors = grid((32, 32))
    codes = (factors - 15.5) @ rotation(45).T
    assert factor_vae_score(codes, factors, rng=rng).value == pytest.approx(0.53, abs=0.05)
    assert beta_vae_score(codes, factors, rng=rng, num_train=4000).value == pytest.approx(0.51, abs=0.05)


def test_dead_codes_get_no_vote(rng: np.random.Generator) -> None:
    factors = grid()
    codes = np.concatenate([factors, 1e-4 * rng.normal(size=(len(factors), 1)), np.ones((len(factors), 1))], axis=1)
    result = factor_vae_score(codes, factors, rng=rng, num_train=300, num_eval=300)
    assert result.value == 1
    assert result.details["active"].tolist() == [True, True, True, False, False]
    assert result.details["votes"].sum() == 300
    np.testing.assert_array_equal(result.details["votes"][3:], 0)
    assert (result.details["votes"] > 0).sum() == 3
    # Without a threshold the constant code still gets no vote.
    assert (
        factor_vae_score(codes, factors, rng=rng, num_train=300, num_eval=300, threshold=0.0).details["votes"][4].sum()
        == 0
    )


def test_factors_that_do_not_vary_are_never_held_fixed(rng: np.random.Generator) -> None:
    factors = np.concatenate([grid(), np.zeros((60, 1), int)], axis=1)
    votes = factor_vae_score(factors, factors, rng=rng, num_train=200, num_eval=50).details["votes"]
    assert votes.shape == (4, 4)
    assert votes[:, 3].sum() == 0
    result = beta_vae_score(factors, factors, rng=rng, num_train=300, num_eval=300)
    assert result.value > 0.95
    assert result.details["coefficients"].shape == (4, 4)


def test_one_code_for_two_factors_scores_half(rng: np.random.Generator) -> None:
    factors = grid((6, 6))
    result = factor_vae_score(factors[:, :1], factors, rng=rng)
    assert result.value == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("score", [factor_vae_score, beta_vae_score])
def test_rendering_on_demand_agrees_with_the_table(score) -> None:
    factors = grid((6, 5, 4))
    mix = np.array([[1.0, 0.6, 0.0], [0.4, 1.0, 0.5], [0.0, 0.7, 1.0]])
    sizes = {"batch_size": 4, "num_train": 3000, "num_eval": 3000}
    table = score(factors @ mix, factors, rng=np.random.default_rng(1), **sizes)
    rendered = score(lambda f, _: f @ mix, (6, 5, 4), rng=np.random.default_rng(2), **sizes)
    assert 0.4 < table.value < 0.95  # far from both ends, so that a difference would show
    assert rendered.value == pytest.approx(table.value, abs=0.03)


def test_a_noisy_sampler_gets_the_generator(rng: np.random.Generator) -> None:
    def sampler(factors: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return factors + 0.01 * generator.normal(size=factors.shape)

    assert factor_vae_score(sampler, SIZES, rng=rng, num_train=200, num_eval=200, num_variance=500).value == 1


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_draws_share_what_they_must(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sample = grid()[rng.permutation(60)[:50]] * 3 - 1
    sources = [
        CodeTable.index(sample, sample),
        RenderedCodes(sampler=lambda f, _: f.astype(float), sizes=np.array(SIZES)),
    ]
    factor = rng.integers(3, size=20)
    batch = np.arange(20)
    for source in sources:
        shared = source.common_value(factor, 8, rng)
        held = shared[batch, :, factor]
        assert (held == held[:, :1]).all()
        assert shared.std(axis=1).max() > 0
        one, other = source.shared_pairs(factor, 8, rng)
        assert (one[batch, :, factor] == other[batch, :, factor]).all()
        assert (one[batch, :, factor].std(axis=1) > 0).any()
        assert not np.array_equal(one, other)


def test_table_draws_are_uniform_over_the_rows_with_the_value(rng: np.random.Generator) -> None:
    factors = grid()
    source = CodeTable.index(np.arange(60.0)[:, None], factors)
    drawn = source.common_value(np.zeros(3000, int), 20, rng).astype(int).ravel()
    counts = np.bincount(drawn, minlength=60)
    assert counts.min() > 0.8 * 1000
    assert counts.max() < 1.2 * 1000


def test_one_generator_state_one_score(identity: np.ndarray) -> None:
    def run() -> dict:
        codes = identity[:500, :3] + 0.0
        return factor_vae_score(
            codes, identity[:500, :3], rng=np.random.default_rng(7), num_train=100, num_eval=100, bootstrap=20
        ).to_json()

    assert run() == run()


def test_intervals_hold_the_value(rng: np.random.Generator) -> None:
    factors = grid((6, 6))
    codes = factors @ np.array([[1.0, 0.8], [0.8, 1.0]])
    for score in (factor_vae_score, beta_vae_score):
        result = score(codes, factors, rng=rng, batch_size=2, num_train=500, num_eval=500, bootstrap=50)
        assert result.interval[0] < result.value < result.interval[1]
        assert result.interval[1] - result.interval[0] == pytest.approx(
            4 * np.sqrt(result.value * (1 - result.value) / 500), rel=0.6
        )


@pytest.mark.parametrize("sizes", [(3,), (), (1, 1), (0, 2), (2.5, 3)])
@pytest.mark.usefixtures("unchecked_shapes")
def test_sizes_of_a_sampler_are_checked(sizes: tuple, rng: np.random.Generator) -> None:
    if sizes == (3,):
        with pytest.raises(DataError, match="fewer than two factors"):
            beta_vae_score(lambda f, _: f, sizes, rng=rng)
    else:
        with pytest.raises(DataError, match="how many values"):
            factor_vae_score(lambda f, _: f, sizes, rng=rng)


def test_bad_sizes_and_samplers(identity: np.ndarray, rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match="batch_size = 1; expected at least 2"):
        factor_vae_score(identity, identity, rng=rng, batch_size=1)
    with pytest.raises(DataError, match="num_eval = 0"):
        beta_vae_score(identity, identity, rng=rng, num_eval=0)
    with pytest.raises(DataError, match="gave 5 codes for"):
        factor_vae_score(lambda f, _: f[:5], SIZES, rng=rng)
