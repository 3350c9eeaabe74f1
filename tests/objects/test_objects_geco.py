"""GECO: its rule by hand, repeats and parts of a step, resuming, goals."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from percepts.core.capabilities import StillStep
from percepts.core.errors import ConfigError
from percepts.objects.geco import Geco, goal_for

SHAPE = (3, 32, 32)


def by_hand(nlls: list[float], goal: float, rate: float) -> list[float]:
    """The weights of the steps, one after the other, as the published rule has them."""
    weight, average, weights = 1.0, None, []
    for nll in nlls:
        weights.append(weight)
        average = nll if average is None else 0.99 * average + 0.01 * nll
        slack = goal - average
        weight = min(max(weight * math.exp(rate * slack * (10 if slack > 0 else 1)), 1e-10), 1e10)
    return weights


@pytest.mark.parametrize("level", [2000.0, 1000.0])
def test_it_follows_the_rule(level: float):
    geco = Geco.Config(goal=0.5).build(image_shape=SHAPE)
    nlls = [level + 10 * n for n in range(20)]
    found = [float(geco.weight(torch.tensor(nll), StillStep(n))) for n, nll in enumerate(nlls)]
    expected = by_hand(nlls, goal=0.5 * 3 * 32 * 32, rate=1e-5 * 4)
    assert found == pytest.approx(expected, rel=1e-4)
    assert found[0] == 1.0
    assert (found[-1] > 1) == (level == 1000.0)


def test_repeating_a_step_changes_nothing_and_evaluation_never_does():
    geco = Geco.Config(rate=1e-3).build(image_shape=SHAPE)
    geco.weight(torch.tensor(100.0), StillStep(0))
    first = geco.weight(torch.tensor(90.0), StillStep(1))
    assert geco.weight(torch.tensor(90.0), StillStep(1)) == first
    state = {name: value.clone() for name, value in geco.state_dict().items()}
    geco.eval()
    geco.weight(torch.tensor(1.0), StillStep(7))
    assert all(torch.equal(value, state[name]) for name, value in geco.state_dict().items())
    geco.train()
    geco.weight(torch.tensor(1.0), StillStep(0))  # an old step
    assert all(torch.equal(value, state[name]) for name, value in geco.state_dict().items())


def test_its_state_goes_on_where_it_stopped():
    whole, half = (Geco.Config(rate=1e-3).build(image_shape=SHAPE) for _ in range(2))
    for n in range(3):
        for geco in (whole, half):
            geco.weight(torch.tensor(2000.0 + n), StillStep(n))
    resumed = Geco.Config(rate=1e-3).build(image_shape=SHAPE)
    resumed.load_state_dict(half.state_dict())
    for n in range(3, 6):
        nll = torch.tensor(1500.0)
        assert torch.equal(resumed.weight(nll, StillStep(n)), whole.weight(nll, StillStep(n)))


def test_the_weight_stays_in_its_range():
    geco = Geco.Config(goal=0.0, rate=1.0, least=0.5, most=2.0).build(image_shape=SHAPE)
    for n in range(3):
        weight = geco.weight(torch.tensor(1e6), StillStep(n))
    assert float(weight) == pytest.approx(0.5)
    other = Geco.Config(goal=0.0, rate=1.0, least=0.5, most=2.0).build(image_shape=SHAPE)
    for n in range(3):
        weight = other.weight(torch.tensor(-1e6), StillStep(n))
    assert float(weight) == pytest.approx(2.0)


def test_goals():
    assert goal_for(0.7, 0.0032) == pytest.approx(0.5655, abs=1e-4)
    assert goal_for(0.1, 0.0) == pytest.approx(-1.3836, abs=1e-4)


@pytest.mark.parametrize(
    "changes", [{"rate": 0.0}, {"smoothing": 1.0}, {"start": 0.1, "least": 0.5}, {"goal": math.inf}, {"speedup": -1.0}]
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any]):
    with pytest.raises(ConfigError):
        Geco.Config(**changes)
