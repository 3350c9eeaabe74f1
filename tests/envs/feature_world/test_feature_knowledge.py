"""Posterior, information gain, regret, and when enough is known."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from percepts.envs.feature_world.state import WorldState
from percepts.envs.feature_world.world import FeatureWorld
from percepts.envs.feature_world.worlds import conjunction, k_of_n, single

CONFIGS = [
    single(values=3),
    conjunction(values=3),
    k_of_n(2, 3, values=2),
    k_of_n(1, 2, values=(3, 2, 2), decoys=("size",)),
    single(values=4, objects=7, object_sets=5, distinguishing=False),
]


@pytest.fixture(params=CONFIGS, ids=range(len(CONFIGS)))
def world(request: pytest.FixtureRequest) -> FeatureWorld:
    """A small world of every kind."""
    built: FeatureWorld = request.param.build()
    return built


def test_everything_by_the_definitions(world: FeatureWorld) -> None:
    """Against loops over hypotheses, after 0 to 3 random tests."""
    know, rewarded = world.knowledge(), world.tables.rewarded.tolist()
    state = world.reset(range(12))
    generator = torch.Generator().manual_seed(0)
    logs: list[list[tuple[int, bool]]] = [[] for _ in range(12)]
    for _ in range(4):
        gain = know.information_gain(state.alive, state.object_set)
        identified = know.identified(state.alive, state.object_set)
        for row, log in enumerate(logs):
            offered = know.objects[state.object_set[row]].tolist()
            live = [h for h in range(world.hypotheses) if all(rewarded[h][x] == lit for x, lit in log)]
            assert state.alive[row].nonzero()[:, 0].tolist() == live
            assert int(state.live[row]) == len(live)
            for place, x in enumerate(offered):
                p = sum(rewarded[h][x] for h in live) / len(live)
                entropy = -sum(q * math.log2(q) for q in (p, 1 - p) if q)
                assert float(gain[row, place]) == pytest.approx(entropy, abs=1e-12)
            patterns = {tuple(rewarded[h][x] for x in offered) for h in live}
            assert bool(identified[row]) == (len(patterns) == 1)
        action = torch.randint(0, world.choices, (12,), generator=generator)
        regret = know.regret(state.alive, state.object_set, action)
        assert torch.equal(regret, gain.amax(1) - gain[torch.arange(12), action])
        state = world_without_ends(world, state, action)
        for row, log in enumerate(logs):
            log.append((int(know.objects[state.object_set[row], action[row]]), bool(state.lit[row])))


def world_without_ends(world: FeatureWorld, state: WorldState, action: torch.Tensor) -> WorldState:
    """A step of a world that goes on whatever is known."""
    after, _ = world.step(state, action)
    return dataclasses.replace(after, finished=torch.zeros_like(after.finished))


def test_information_gain_is_the_expected_fall_of_entropy(world: FeatureWorld) -> None:
    know = world.knowledge()
    alive, object_set = know.prior(1), torch.zeros(1, dtype=torch.int64)
    for place in range(world.choices):
        fall = 0.0
        for lit in (False, True):
            after = know.update(alive, object_set, torch.tensor([place]), torch.tensor([lit]))
            live = int(after.sum())
            fall += live / world.hypotheses * float(know.bits[world.hypotheses] - know.bits[live])
        assert float(know.information_gain(alive, object_set)[0, place]) == pytest.approx(fall)


def test_no_test_changes_nothing_and_loses_all() -> None:
    world = conjunction(values=3).build()
    know, nothing = world.knowledge(), torch.tensor([-1])
    alive, first = know.prior(1), torch.zeros(1, dtype=torch.int64)
    assert torch.equal(know.update(alive, first, nothing, torch.tensor([True])), alive)
    assert torch.equal(know.regret(alive, first, nothing), know.information_gain(alive, first).amax(1))


def test_nothing_can_be_learned_when_nothing_is_alive() -> None:
    world = single(values=3).build()
    know, first = world.knowledge(), torch.zeros(1, dtype=torch.int64)
    alive = torch.zeros(1, world.hypotheses, dtype=torch.bool)
    assert float(know.information_gain(alive, first).abs().max()) == 0
    assert not bool(know.identified(alive, first))


def test_equal_gains_are_equal_to_the_bit() -> None:
    """So that ties are random: of 5 values per dimension all objects are alike at first."""
    world = conjunction(values=5).build()
    state = world.reset(range(3))
    assert len(world.knowledge().smaller_part(state.alive, state.object_set).unique()) == 1


@pytest.mark.parametrize(
    ("config", "tests", "within"), [(single(values=5), 4.42, 0.3), (conjunction(values=3), 6.49, 0.6)]
)
def test_the_reference_takes_what_was_published(config: FeatureWorld.Config, tests: float, within: float) -> None:
    world = config.build()
    assert world.knowledge().greedy_tests() == pytest.approx(tests, abs=within)
    assert world.budget == math.ceil(2 * world.knowledge().greedy_tests())
