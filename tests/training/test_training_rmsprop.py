"""RMSprop keeps of its mean square what the papers' framework keeps."""

from __future__ import annotations

import math

import pytest
import torch

from percepts.core.errors import ConfigError
from percepts.training.optimizers import Optimizer


@pytest.mark.parametrize("alpha", [0.9, 0.99])
def test_the_first_step_divides_by_the_mean_square(alpha: float):
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = Optimizer(name="rmsprop", lr=0.01, alpha=alpha).over([weight])
    weight.grad = torch.tensor([3.0])
    optimizer.step()
    assert float(weight) == pytest.approx(1 - 0.01 * 3 / math.sqrt((1 - alpha) * 9), rel=1e-5)


def test_the_default_is_tensorflows():
    assert Optimizer().alpha == 0.9


@pytest.mark.parametrize("alpha", [-0.1, 1.0, math.nan])
def test_what_is_no_share_is_refused(alpha: float):
    with pytest.raises(ConfigError, match="alpha"):
        Optimizer(name="rmsprop", alpha=alpha)
