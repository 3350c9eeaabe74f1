"""What every metric keeps; a metric's test class inherits from `MetricContract`.

class TestMig(MetricContract):
    def score(self, codes, factors, rng):
        return mig(codes, factors)
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from percepts.core.errors import DataError
from percepts.core.results import MetricResult


class MetricContract:
    """Arrays in, a documented result out; no side effects; bad input is one clear error."""

    def score(self, codes: np.ndarray, factors: np.ndarray, rng: np.random.Generator) -> MetricResult:
        """The metric of codes [N, D] and factors [N, K] at sizes that take a second at most."""
        raise NotImplementedError

    @pytest.fixture
    def factors(self) -> np.ndarray:
        """400 samples of factors with 3, 4 and 5 values."""
        return np.random.default_rng(0).integers(0, (3, 4, 5), size=(400, 3))

    @pytest.fixture
    def codes(self, factors: np.ndarray) -> np.ndarray:
        """One noisy code a factor, and one of noise alone."""
        noise = np.random.default_rng(1).normal(size=(400, 4))
        return np.concatenate([factors, np.zeros((400, 1))], axis=1) + 0.1 * noise

    def of(self, codes, factors) -> MetricResult:
        return self.score(codes, factors, np.random.default_rng(2))

    def test_the_result_is_named_finite_and_survives_json(self, codes, factors):
        result = self.of(codes, factors)
        assert isinstance(result, MetricResult)
        assert result.name
        assert math.isfinite(result.value)
        again = MetricResult.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False)))
        assert (again.name, again.value, again.interval) == (result.name, result.value, result.interval)

    def test_an_interval_holds_the_value(self, codes, factors):
        result = self.of(codes, factors)
        if result.interval is not None:
            assert result.interval[0] <= result.value <= result.interval[1]

    def test_the_same_generator_state_gives_the_same_score(self, codes, factors):
        assert self.of(codes, factors).value == self.of(codes, factors).value

    def test_inputs_are_left_alone(self, codes, factors):
        before = codes.copy(), factors.copy()
        self.of(codes, factors)
        assert np.array_equal(codes, before[0])
        assert np.array_equal(factors, before[1])

    def test_tensors_and_arrays_score_alike(self, codes, factors):
        rounded = codes.astype(np.float32)
        tensors = self.score(torch.from_numpy(rounded), torch.from_numpy(factors), np.random.default_rng(2))  # type: ignore[arg-type]
        assert tensors.value == pytest.approx(self.of(rounded, factors).value, abs=1e-9)

    def test_constant_codes_have_a_defined_score(self, codes, factors):
        assert math.isfinite(self.of(np.zeros_like(codes), factors).value)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_codes_that_are_not_finite_are_refused(self, codes, factors, bad):
        codes[7, 1] = bad
        with pytest.raises(DataError):
            self.of(codes, factors)

    @pytest.mark.usefixtures("unchecked_shapes")
    def test_other_numbers_of_samples_are_refused(self, codes, factors):
        with pytest.raises(DataError):
            self.of(codes[:-1], factors)

    @pytest.mark.usefixtures("unchecked_shapes")
    def test_a_flat_table_is_refused(self, codes, factors):
        with pytest.raises(DataError):
            self.of(codes[:, 0], factors)
