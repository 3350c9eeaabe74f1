import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from percepts.core.errors import PerceptsError
from percepts.metrics import mig

DSPRITES = (3, 6, 40, 32, 32)


def test_identity_reaches_the_published_value(identity: np.ndarray) -> None:
    assert mig(identity[:3000], identity[:3000]).value == pytest.approx(0.992, abs=0.004)
    assert mig(identity, identity).value == pytest.approx(0.998, abs=0.002)


def test_ceiling_on_the_factors_of_dsprites(rng: np.random.Generator) -> None:
    factors = rng.integers(DSPRITES, size=(10000, 5))
    result = mig(factors, factors)
    assert result.value == pytest.approx(0.895, abs=0.01)
    np.testing.assert_allclose(result.details["gaps"], [0.997, 0.996, 0.80, 0.84, 0.84], atol=0.02)


@pytest.mark.parametrize(
    ("degrees", "expected"), [(0, 0.841), (5, 0.604), (10, 0.453), (20, 0.267), (30, 0.143), (45, 0.005)]
)
def test_rotated_codes(degrees: float, expected: float, rng: np.random.Generator) -> None:
    factors = rng.integers(32, size=(10000, 2))
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert mig((factors - 15.5) @ turn.T, factors).value == pytest.approx(expected, abs=0.02)


def test_zero_codes_and_duplicated_codes_score_nothing(identity: np.ndarray) -> None:
    assert mig(np.zeros(identity.shape), identity).value == 0
    assert mig(np.concatenate([identity, identity], axis=1), identity).value == 0


def test_one_code_is_compared_with_no_code(identity: np.ndarray) -> None:
    result = mig(identity[:, :1], identity[:, :1])
    assert result.value == pytest.approx(1.0)


def test_factors_that_do_not_vary_are_left_out(identity: np.ndarray) -> None:
    fixed = np.concatenate([identity, np.full((len(identity), 1), 4)], axis=1)
    result = mig(identity, fixed)
    assert result.value == mig(identity, identity).value
    assert result.details["gaps"][-1] == 0
    assert result.details["mutual_information"].shape == (10, 11)


def test_the_mask_hides_codes(identity: np.ndarray) -> None:
    doubled = np.concatenate([identity, identity * 1e-4], axis=1)
    active = np.arange(20) < 10
    assert mig(doubled, identity, active=active).value == pytest.approx(mig(identity, identity).value)
    assert mig(doubled, identity, active=np.zeros(20, bool)).value == 0


def test_sup_punishes_a_code_of_two_factors_and_not_a_factor_of_two_codes(rng: np.random.Generator) -> None:
    factors = rng.integers(4, size=(5000, 2))
    twice = np.concatenate([factors, factors], axis=1)
    assert mig(twice, factors, variant="sup").value > 0.99
    assert mig(twice, factors).value == 0
    mixed = factors[:, :1] * 4 + factors[:, 1:]
    assert mig(mixed, factors, variant="sup").value < 0.01


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_range_and_invariances(seed: int) -> None:
    rng = np.random.default_rng(seed)
    factors = rng.integers((3, 4), size=(200, 2))
    codes = rng.normal(size=(200, 4)) + rng.normal(size=(1, 4)) * factors[:, :1]
    score = mig(codes, factors).value
    assert 0 <= score <= 1
    assert mig(codes[:, rng.permutation(4)], factors).value == pytest.approx(score, abs=1e-12)
    # A power of two and a shift that is exact leave the bins what they are.
    assert mig(np.ldexp(codes, 3), factors).value == pytest.approx(score, abs=1e-12)
    assert mig(codes, factors[:, ::-1] * 7 + 100).value == pytest.approx(score, abs=1e-12)


def test_the_interval_holds_the_value_and_shrinks_with_the_sample(identity: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    factors = rng.integers((4, 5), size=(4000, 2))
    codes = factors + rng.normal(size=factors.shape)
    widths = []
    for samples in (400, 4000):
        result = mig(codes[:samples], factors[:samples], bootstrap=60, rng=rng)
        low, high = result.interval
        assert low < result.value < high
        widths.append(high - low)
    assert widths[1] < 0.6 * widths[0]


def test_the_interval_is_reproducible_and_wider_at_a_higher_level(rng: np.random.Generator) -> None:
    factors = rng.integers(4, size=(300, 2))
    codes = factors + rng.normal(size=factors.shape)

    def interval(level: float) -> tuple[float, float]:
        return mig(codes, factors, bootstrap=40, level=level, rng=np.random.default_rng(5)).interval

    assert interval(0.95) == interval(0.95)
    assert interval(0.5)[1] - interval(0.5)[0] < interval(0.95)[1] - interval(0.95)[0]


def test_noise_stays_above_zero_in_its_interval(rng: np.random.Generator) -> None:
    result = mig(rng.normal(size=(300, 3)), rng.integers(3, size=(300, 2)), bootstrap=30, rng=rng)
    assert 0 <= result.interval[0] <= result.value <= result.interval[1] < 0.2


@pytest.mark.usefixtures("unchecked_shapes")
def test_wrong_settings_say_what_is_right(identity: np.ndarray) -> None:
    with pytest.raises(PerceptsError, match="one of dlib, sup"):
        mig(identity, identity, variant="chen")
    with pytest.raises(PerceptsError, match=r"rng=np.random.default_rng"):
        mig(identity, identity, bootstrap=5)
    with pytest.raises(PerceptsError, match="level"):
        mig(identity, identity, bootstrap=5, level=1.5, rng=np.random.default_rng(0))
    with pytest.raises(PerceptsError, match="10 booleans"):
        mig(identity, identity, active=np.ones(10))
