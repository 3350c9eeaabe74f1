"""Scores by task and mode, curves and their intervals."""

from __future__ import annotations

import math

import pytest
import torch

from percepts.agents.cobra.evaluate import (
    Curve,
    amortised_steps,
    band,
    evaluate,
    looking,
    student_quantile,
)
from percepts.agents.spriteworld_policies import GreedyOracle
from percepts.core.errors import ConfigError
from percepts.envs.spriteworld.configs import cobra_task


class Seer(GreedyOracle):
    """The oracle, and a record of what it was shown."""

    observes = ("factors", "present")

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.seen = []

    def act(self, observation, state=None):
        self.seen.append(observation)
        return super().act(observation, state)


def test_an_evaluation_is_a_function_of_seed_task_and_mode():
    config = cobra_task("goal-finding-more-targets")
    seer = Seer(config.arena.build(), 200)
    first = evaluate(seer, config, 20, seed=0)
    assert first == evaluate(seer, config, 20, seed=0)
    assert first.success == 1.0
    assert first.total != evaluate(seer, config, 20, seed=1).total
    # Other tasks begin with other scenes, though their seeds are equal.
    begun = {}
    for task in ("goal-finding-more-targets", "goal-finding-more-distractors"):
        watcher = Seer(cobra_task(task, "test").arena.build(), 10)
        evaluate(watcher, cobra_task(task, "test"), 3, seed=0)
        begun[task] = watcher.seen[0]["factors"][:, :, :2].sort(1).values
    assert not torch.equal(*begun.values())


def test_the_held_out_mode_is_what_is_played():
    for mode, low in (("train", False), ("test", True)):
        config = cobra_task("goal-finding-new-position", mode)
        seer = Seer(config.arena.build(), 10)
        evaluate(seer, config, 30, seed=0)
        factors = seer.seen[0]["factors"]
        target = factors[factors[..., 5] < 0.4]
        corner = (target[:, :2] >= 0.5).all(1)
        assert bool(corner.all()) is low
        assert bool(corner.any()) is low


def test_agents_see_only_what_they_ask_for():
    config = cobra_task("goal-finding-new-shape")
    sprites = config.arena.build().reset([0]).sprites
    assert set(looking(config.observer, ("factors", "present"))(sprites)) == {"factors", "present"}
    assert looking(config.observer, ("image",))(sprites)["image"].shape == (1, 64, 64, 3)


def test_curves_know_when_a_task_was_learned():
    curve = Curve(((100, 0.2), (200, 0.9), (300, 0.8), (400, 1.0)))
    assert curve.steps_to() == 200
    assert curve.steps_to(0.95) == 400
    assert Curve(((100, 0.2),)).steps_to() is None
    assert curve.area == pytest.approx((10 + 55 + 85 + 90) / 400)
    assert math.isnan(Curve(()).area)


def test_a_band_is_the_mean_and_students_interval_over_seeds():
    curves = [Curve(((100, value), (200, 0.5))) for value in (0.4, 0.5, 0.6)] + [
        Curve(((100, 0.5), (200, 0.5), (300, 1.0)))
    ]
    first, second = band(curves)
    deviation = math.sqrt(0.02 / 3)
    assert (first.steps, first.seeds) == (100, 4)
    assert first.mean == pytest.approx(0.5)
    assert first.high - first.mean == pytest.approx(3.182446 * deviation / 2, rel=1e-5)
    assert (second.low, second.high) == (0.5, 0.5)
    alone = band(curves[:1])[0]
    assert (alone.low, alone.mean, alone.high) == (0.4, 0.4, 0.4)
    wide = band([Curve(((1, 0.0),)), Curve(((1, 1.0),))])[0]
    assert (wide.low, wide.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("level", "freedom", "value"),
    [
        (0.95, 1, 12.7062),
        (0.95, 2, 4.30265),
        (0.95, 4, 2.77645),
        (0.99, 7, 3.49948),
        (0.5, 3, 0.76489),
        (0.95, 1000, 1.96234),
    ],
)
def test_students_quantiles_are_those_of_the_tables(level: float, freedom: int, value: float):
    assert student_quantile(level, freedom) == pytest.approx(value, rel=2e-5)


def test_an_exploration_is_shared_by_its_tasks():
    assert amortised_steps(50_000, 5, 1000) == 11_000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: band([]), "a band of no curves"),
        (lambda: amortised_steps(10, 0, 1), "for 0 tasks"),
        (lambda: student_quantile(0.95, 0), "0 degrees of freedom"),
    ],
)
def test_bad_input_is_named(make, message: str):
    with pytest.raises(ConfigError, match=message):
        make()
