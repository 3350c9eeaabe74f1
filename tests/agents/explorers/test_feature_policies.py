"""Policies for Feature World against each other, theory and the published reference numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from percepts.agents.agent import Agent
from percepts.agents.explorers.exact_plans import ExactPlan
from percepts.agents.explorers.feature_policies import (
    ExactPlanner,
    InformationGain,
    PerceiveThenReason,
    RandomTests,
    Tester,
    pick,
)
from percepts.agents.explorers.feature_scores import Episodes, efficiency_ratio, paired_test, run_episodes
from percepts.core.errors import CapabilityError, ConfigError
from percepts.envs.feature_world.observations import observe
from percepts.envs.feature_world.perception import TrayReader
from percepts.envs.feature_world.rendered import TableView
from percepts.envs.feature_world.world import FeatureWorld
from percepts.envs.feature_world.worlds import conjunction, k_of_n, single, table_top

LONG: dict[str, Any] = {"budget": 2000}
TWO = ("colour", "shape")


def played(config: FeatureWorld.Config, policy: type[Tester], episodes: int = 150, **arguments: Any) -> Episodes:
    """Episodes of a policy, always of the same worlds."""
    world = config.build()
    return run_episodes(world, policy(world, seed=1, **arguments), episodes, seed=0)


@pytest.mark.parametrize(
    ("config", "optimal", "random"),
    [
        (single(values=5, **LONG), 4.42, 7.37),
        (single(dimensions=TWO, values=3, **LONG), 2.67, 3.30),
        (conjunction(values=3, **LONG), 6.49, 10.9),
        (conjunction(values=5, **LONG), 14.6, 30.4),
    ],
)
def test_reference_numbers(config: FeatureWorld.Config, optimal: float, random: float) -> None:
    """Mean tests to identify, within four standard errors of what was measured elsewhere."""
    greedy, other = played(config, InformationGain), played(config, RandomTests)
    for episodes, wanted in ((greedy, optimal), (other, random)):
        assert bool(episodes.success.all())
        assert episodes.tests_taken.mean == pytest.approx(wanted, abs=4 * episodes.tests_taken.error + 0.03 * wanted)


def test_gathering_pays_where_it_can() -> None:
    one, two = single(values=5, **LONG), conjunction(values=5, **LONG)
    assert efficiency_ratio(played(one, RandomTests), played(one, InformationGain)) >= 1.4
    greedy, random = played(two, InformationGain), played(two, RandomTests)
    assert efficiency_ratio(random, greedy) >= 1.7
    assert paired_test(random.tests, greedy.tests, "greater").p < 0.001


def test_conjunctions_of_two_dimensions_measure_nothing() -> None:
    """A test checks one hypothesis at a time, so all that helps is not to repeat one."""
    config = conjunction(dimensions=TWO, values=5, **LONG)
    world = config.build()
    greedy = run_episodes(world, InformationGain(world, seed=1), 300, seed=0)
    random = run_episodes(world, RandomTests(world, seed=2), 300, seed=0)
    assert efficiency_ratio(random, greedy) == pytest.approx(1, abs=0.15)
    again = played(config, RandomTests, replacement=True)
    assert again.tests_taken.mean > 1.5 * random.tests_taken.mean


@pytest.mark.parametrize(
    ("config", "most"), [(single(values=5, noise=0.2, **LONG), 0.88), (conjunction(values=3, noise=0.2, **LONG), 0.78)]
)
def test_errors_of_perception_cost_conclusions_and_filtering_them_restores_these(
    config: FeatureWorld.Config, most: float
) -> None:
    episodes = played(config, InformationGain, episodes=600)
    assert episodes.concluding_accuracy.mean <= most
    assert 0.2 < float(episodes.erred.double().mean()) < 0.8
    assert episodes.rows(~episodes.erred).concluding_accuracy.mean == 1.0


def test_greedy_tests_lose_no_bits_and_random_ones_do() -> None:
    world = conjunction(values=3, **LONG).build()
    greedy = run_episodes(world, InformationGain(world), 60, seed=0, regret=True)
    random = run_episodes(world, RandomTests(world), 60, seed=0, regret=True)
    assert greedy.mean_regret.mean == 0
    assert random.mean_regret.mean > 0.05


def test_without_replacement_nothing_is_tested_twice() -> None:
    world = conjunction(dimensions=TWO, values=3, mode="answer", budget=100).build()
    agent = RandomTests(world)
    state, memory = world.reset(range(32)), None
    seen = torch.zeros(32, 9, dtype=torch.bool)
    for _ in range(8):
        action, memory = agent.act(observe(world, state, agent.keys), memory)
        rows = (~state.finished & (action < 9)).nonzero()[:, 0]
        assert not bool(seen[rows, action[rows]].any())
        seen[rows, action[rows]] = True
        state, _ = world.step(state, action)


@pytest.mark.parametrize("policy", [InformationGain, RandomTests, ExactPlanner])
def test_answers_are_right(policy: type[Tester]) -> None:
    world = single(values=4, objects=9, object_sets=5, mode="answer", budget=100).build()
    agent = policy(world)
    assert isinstance(agent, Agent)
    episodes = run_episodes(world, agent, 60, seed=0)
    assert bool(episodes.success.all())
    identify = single(values=4, objects=9, object_sets=5, budget=100).build()
    assert torch.equal(run_episodes(identify, policy(identify), 60, seed=0).tests, episodes.tests)


def test_a_new_episode_is_met_with_an_empty_mind() -> None:
    """The same actions in the second episode of a stream as of an agent that only knows that one."""
    world = single(values=3).build()
    agent = InformationGain(world)
    state, memory = world.reset(range(16)), None
    for _ in range(5):
        action, memory = agent.act(observe(world, state, agent.keys), memory)
        state, _ = world.step(state, action)
    state = world.restart(state, torch.ones(16, dtype=torch.bool))
    for _ in range(4):
        action, memory = agent.act(observe(world, state, agent.keys), memory)
        assert torch.equal(memory.alive, state.alive)
        state, _ = world.step(state, action)


def test_nothing_is_remembered_inside_and_neighbours_do_not_matter() -> None:
    world = conjunction(values=3).build()
    agent = InformationGain(world)
    seen = observe(world, world.reset(range(8)), agent.keys)
    action, memory = agent.act(seen, None)
    again, _ = agent.act(seen, None)
    assert torch.equal(action, again)
    few = {key: value[:3] for key, value in seen.items()}
    assert torch.equal(agent.act(few, None)[0], action[:3])
    assert torch.equal(agent.act(few, memory.rows(slice(0, 3)))[0], agent.act(seen, memory)[0][:3])
    with pytest.raises(CapabilityError, match="'lit'"):
        agent.act({"tested": seen["tested"]}, None)


def test_exact_plans_are_never_worse_than_greedy_ones() -> None:
    for config in (
        single(values=5, **LONG),
        conjunction(dimensions=TWO, values=4, **LONG),
        k_of_n(2, 3, values=2, **LONG),
    ):
        world = config.build()
        plan = ExactPlan.of(world)
        found = run_episodes(world, ExactPlanner(world), 400, seed=0).tests_taken
        assert found.mean == pytest.approx(plan.tests, abs=4 * found.error + 1e-9)
        greedy = run_episodes(world, InformationGain(world), 400, seed=0).tests_taken
        assert greedy.mean >= plan.tests - 4 * greedy.error


def test_exact_plans_in_closed_form() -> None:
    # 16 hypotheses, one checked at a time: after n failures 16 - n are left, the last of which needs no test.
    world = conjunction(dimensions=TWO, values=4).build()
    assert ExactPlan.of(world).tests == pytest.approx((sum(range(1, 16)) + 15) / 16)
    # Eight that every test halves: three bits.
    world = k_of_n(2, 3, values=2).build()
    assert ExactPlan.of(world).tests == pytest.approx(3)
    # What cannot be told apart needs no test.
    world = single(dimensions=("colour",), values=3, objects=1, distinguishing=False).build()
    plan = ExactPlan.of(world)
    assert plan.tests == pytest.approx(1)
    assert bool(plan.best(torch.tensor([[True, False, False]])).all())


def test_exact_plans_have_an_end() -> None:
    world = conjunction(values=3).build()
    with pytest.raises(ConfigError, match="27 hypotheses"):
        ExactPlanner(world).plan()


def test_picking_is_uniform_among_what_is_allowed() -> None:
    allowed = torch.tensor([[True, False, True, True, False]]).expand(3000, -1)
    unit = torch.rand(3000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    counts = pick(allowed, unit).bincount(minlength=5)
    assert counts[1] == counts[4] == 0
    assert float((counts[[0, 2, 3]] / 3000 - 1 / 3).abs().max()) < 0.03
    edge = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    assert pick(allowed[:2], edge).tolist() == [0, 3]


@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_two_stages_from_pictures(noise: float) -> None:
    """All that it knows of the tests it has seen on the tray."""
    world = table_top(values=3, objects=8, object_sets=16, mode="answer", budget=30).build()
    view = TableView.Config(height=24, samples=1).build(world=world)
    agent = PerceiveThenReason(world, TrayReader(view), noise)

    def look(state: Any) -> dict[str, torch.Tensor]:
        return observe(world, state, ("object_set", "left")) | {"image": view.draw(state).image}

    episodes = run_episodes(world, agent, 60, seed=0, look=look)
    assert bool(episodes.rows(~episodes.erred).success.all())
    if noise:
        assert 10 < int(episodes.erred.sum()) < 60
        assert episodes.concluding_accuracy.mean < 0.95
    else:
        assert not bool(episodes.erred.any())
        blind = run_episodes(world, InformationGain(world), 60, seed=0)
        assert episodes.tests_taken.mean == pytest.approx(blind.tests_taken.mean, abs=0.7)
