"""The batched rules, and the single world in plain numbers beside them."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest
import torch

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError, DataError
from percepts.envs.feature_world.light import LightWorld
from percepts.envs.feature_world.world import WASTED, FeatureWorld, mistaken
from percepts.envs.feature_world.worlds import WORLDS, conjunction, k_of_n, single, table_top, world_config

CONFIGS = {
    "single": single(values=3, budget=6, cost=0.25),
    "noise": conjunction(values=3, noise=0.4, budget=12),
    "answers": conjunction(values=(3, 2, 2), mode="answer", budget=5, noise=0.2, decoys=("size",)),
    "sets": k_of_n(2, 3, values=2, objects=4, object_sets=20, distinguishing=False, budget=5),
}
OF_STATE = ("truth", "object_set", "scene", "live", "steps", "tested", "lit", "answer", "erred", "finished")
OF_OUTCOME = ("reward", "terminated", "truncated", "success", "identified", "gained")


@pytest.mark.parametrize("name", CONFIGS)
def test_the_light_world_is_the_same(name: str) -> None:
    """Over several episodes, to the bit, wasted steps and answers among the actions."""
    world: FeatureWorld = CONFIGS[name].build()
    lights = [LightWorld(world) for _ in range(8)]
    state = world.reset(range(8))
    for seed, light in enumerate(lights):
        light.reset(seed)
    generator = torch.Generator().manual_seed(1)
    ends = 0
    for _ in range(60):
        action = torch.randint(WASTED, world.actions, (8,), generator=generator)
        state, outcome = world.step(state, action)
        for row, light in enumerate(lights):
            light.step(int(action[row]))
            for field in OF_STATE:
                assert getattr(light, field) == getattr(state, field)[row].item(), field
            for field in OF_OUTCOME:
                assert getattr(light, field) == getattr(outcome, field)[row].item(), field
            assert light.outcomes.tolist() == state.outcomes[row].tolist()
            assert [light.alive >> h & 1 for h in range(world.hypotheses)] == state.alive[row].long().tolist()
            if light.finished:
                light.restart()
                ends += 1
        state = world.restart(state, state.finished)
    assert ends > 10


@pytest.mark.parametrize("name", CONFIGS)
def test_an_episode_does_not_know_its_neighbours(name: str) -> None:
    world: FeatureWorld = CONFIGS[name].build()
    many, alone = world.reset(range(9)), world.reset([4])
    generator = torch.Generator().manual_seed(2)
    for _ in range(12):
        action = torch.randint(0, world.actions, (9,), generator=generator)
        many, _ = world.step(many, action)
        alone, _ = world.step(alone, action[4:5])
        many, alone = world.restart(many, many.finished), world.restart(alone, alone.finished)
        assert_same(many.rows(torch.tensor([4])), alone)


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_over_stands_still(name: str) -> None:
    world: FeatureWorld = CONFIGS[name].build()
    state = world.reset(range(16))
    generator = torch.Generator().manual_seed(3)
    for _ in range(world.budget):
        state, outcome = world.step(state, torch.randint(0, world.actions, (16,), generator=generator))
    assert bool(state.finished.all())
    again, after = world.step(state, torch.randint(0, world.actions, (16,), generator=generator))
    assert_same(again, state)
    assert float(after.reward.abs().max()) == 0
    assert torch.equal(after.terminated, outcome.terminated)
    assert torch.equal(after.truncated, outcome.truncated)
    assert torch.equal(after.success, outcome.success)


def test_truths_and_sets_are_uniform() -> None:
    world = table_top(object_sets=4).build()
    state = world.reset(range(4000))
    for drawn, count in ((state.truth, 8), (state.object_set, 4)):
        share = drawn.bincount(minlength=count) / 4000
        assert float((share - 1 / count).abs().max()) < 0.04
    again = world.restart(state, torch.ones(4000, dtype=torch.bool))
    assert 0.05 < float((again.truth == state.truth).double().mean()) < 0.2


def test_identification_ends_it_and_is_right_without_noise() -> None:
    world = conjunction(values=3, budget=200).build()
    state = world.reset(range(64))
    generator = torch.Generator().manual_seed(0)
    bits = torch.zeros(64, dtype=torch.float64)
    for _ in range(200):
        state, outcome = world.step(state, torch.randint(0, 27, (64,), generator=generator))
        bits += outcome.gained
    assert bool(outcome.terminated.all())
    assert bool(outcome.success.all())
    assert torch.equal(state.alive.long().argmax(1), state.truth)
    assert torch.allclose(bits, world.knowledge().bits[27].expand(64))


def test_contradictions_end_it_as_a_failure() -> None:
    """Two results of one object cannot both be true."""
    world = single(values=3, noise=0.5, budget=50).build()
    state = world.reset(range(64))
    for _ in range(50):
        # The same object again and again: dark at times, lit at others.
        state, outcome = world.step(state, torch.zeros(64, dtype=torch.int64))
    empty = state.live == 0
    assert int(empty.sum()) > 20
    assert bool(outcome.terminated[empty].all())
    assert not bool(outcome.success[empty].any())
    assert not bool(outcome.identified[empty].any())


def test_answers() -> None:
    world = single(values=3, mode="answer", budget=3, cost=0.125).build()
    state = world.reset(range(20))
    assert world.actions == 27 + 9
    right, outcome = world.step(state, 27 + state.truth)
    assert outcome.reward.tolist() == [0.875] * 20
    assert bool((outcome.success & outcome.terminated & right.finished).all())
    _, outcome = world.step(state, 27 + (state.truth + 1) % 9)
    assert outcome.reward.tolist() == [-0.125] * 20
    assert bool(outcome.terminated.all())
    # Knowing everything ends nothing here, and silence is a failure.
    for step in range(3):
        state, outcome = world.step(state, torch.full((20,), 13 * step))
        assert not bool(outcome.terminated.any())
    assert bool(outcome.truncated.all())
    assert not bool(outcome.success.any())


def test_what_cannot_be_told_from_the_truth_counts_as_it() -> None:
    world = single(dimensions=("colour",), values=3, objects=1, distinguishing=False, mode="answer").build()
    tested = int(world.sets.objects[0, 0])
    state = world.reset(range(60))
    answer = (state.truth + 1) % 3
    _, outcome = world.step(state, 1 + answer)
    assert torch.equal(outcome.success, (answer != tested) & (state.truth != tested))
    assert 10 < int(outcome.success.sum()) < 40
    # And in the other mode one test decides everything.
    world = single(dimensions=("colour",), values=3, objects=1, distinguishing=False).build()
    _, outcome = world.step(world.reset(range(60)), torch.zeros(60, dtype=torch.int64))
    assert bool((outcome.identified & outcome.success).all())


def test_noise_changes_one_value_as_often_as_it_says() -> None:
    world = conjunction(values=4, noise=0.25, budget=1000).build()
    state = world.reset(range(4000))
    _, outcome = world.step(state, torch.zeros(4000, dtype=torch.int64))
    assert float(outcome.erred.double().mean()) == pytest.approx(0.25, abs=0.03)
    _, outcome = world.step(state, torch.full((4000,), WASTED))
    assert not bool(outcome.erred.any())


def test_mistakes_are_one_other_value_of_one_dimension() -> None:
    world = single(values=(3, 4, 2)).build()
    features = world.tables.features
    unit = torch.rand(3000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    objects = torch.arange(24).repeat(125)
    wrong = mistaken(world.tables, world.values, objects, unit)
    differ = features[wrong] != features[objects]
    assert bool((differ.sum(1) == 1).all())
    assert float((differ.double().mean(0) - 1 / 3).abs().max()) < 0.04
    # Every other value of a dimension is as likely.
    first = wrong[(objects == 0) & differ[:, 1]]
    assert set(features[first, 1].tolist()) == {1, 2, 3}


def test_wasted_steps_cost_and_show_nothing() -> None:
    world = single(values=3, budget=2, cost=0.5).build()
    state, outcome = world.step(world.reset([0]), torch.tensor([WASTED]))
    assert outcome.reward.tolist() == [-0.5]
    assert (int(state.steps), int(state.tested), int(state.live)) == (1, WASTED, 9)
    assert not state.outcomes.any()
    _, outcome = world.step(state, torch.tensor([WASTED]))
    assert bool(outcome.truncated)


@pytest.mark.parametrize(
    "action", [torch.tensor([0.0]), torch.tensor([27]), torch.tensor([-2]), torch.tensor([0, 0]), torch.tensor(0)]
)
def test_bad_actions(action: torch.Tensor) -> None:
    world = single(values=3).build()
    with pytest.raises(DataError, match="action"):
        world.step(world.reset([0]), action)


def test_other_bad_input() -> None:
    world = single(values=3).build()
    with pytest.raises(DataError, match="no seeds"):
        world.reset([])
    with pytest.raises(DataError, match=r"rows of torch.int64"):
        world.restart(world.reset([0]), torch.tensor([0]))
    light = LightWorld(world)
    with pytest.raises(DataError, match="never reset"):
        light.restart()


@pytest.mark.parametrize(
    "settings",
    [{"budget": 0}, {"noise": 1.5}, {"noise": float("nan")}, {"cost": -1.0}, {"object_sets": 3}, {"mode": "guess"}],
)
def test_bad_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        single(**settings)


def test_worlds_by_name() -> None:
    assert world_config("conjunction", values=3) == conjunction(values=3)
    assert world_config(conjunction(), values=3) == conjunction(values=3)
    with pytest.raises(ConfigError, match="did you mean 'conjunction'"):
        world_config("conjuction")
    with pytest.raises(ConfigError, match="did you mean 'values'"):
        world_config("single", value=3)
    for name in WORLDS:
        config = world_config(name)
        assert from_json(to_json(config)) == config
        assert config.build().sets.distinguishing


def test_a_million_steps_a_second_at_least_roughly() -> None:
    """The measured speed is a multiple of this; posterior and resets included."""
    world = single(values=5).build()
    state = world.reset(range(4096))
    actions = torch.randint(0, 125, (20, 4096), generator=torch.Generator().manual_seed(0))
    began = time.process_time()
    for action in actions:
        state, _ = world.step(state, action)
        state = world.restart(state, state.finished)
    assert 20 * 4096 / (time.process_time() - began) > 300_000


def assert_same(one: Any, other: Any) -> None:
    """Both states are the same to the bit."""
    for part in dataclasses.fields(one):
        a, b = getattr(one, part.name), getattr(other, part.name)
        if isinstance(a, torch.Tensor):
            assert torch.equal(a, b), part.name
        else:
            assert_same(a, b)
