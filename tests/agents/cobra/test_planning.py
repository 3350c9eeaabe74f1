"""Searches find the best of what is proposed, far ahead or not, and simulations say what it is worth."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from percepts.agents.cobra.exploration import CriticPolicy, RandomObject, Uniform
from percepts.agents.cobra.planning import (
    CrossEntropy,
    Mixed,
    OneStepSearch,
    Planner,
    RandomShooting,
    chosen,
    random_best,
    sequences,
)
from percepts.agents.cobra.slots import SlotState
from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError
from percepts.core.random import torch_generator

GOAL = torch.tensor([[0.2, 0.7, 0.4, 0.6], [0.9, 0.1, 0.5, 0.5]])


def state(batch: int = 2) -> SlotState:
    return SlotState(torch.zeros(batch, 3, 5), torch.ones(batch, 3))


@dataclass(frozen=True)
class Near:
    """An action is worth the more the nearer it is to a point, another one for every observation."""

    def returns(self, state, observation, actions: Tensor, how: str) -> Tensor:
        values = -(actions - GOAL[:, None, None]).square().sum(-1)
        return values[..., -1] if how == "last" else values.sum(-1)


@dataclass(frozen=True)
class Later:
    """Only the second action is rewarded, and only after a first one on the left: greed finds nothing."""

    def returns(self, state, observation, actions: Tensor, how: str) -> Tensor:
        if actions.shape[2] == 1:
            return torch.zeros(actions.shape[:2])
        left = (actions[:, :, 0, 0] < 0.5).float()
        return left * (1 + actions[:, :, 1, 0])


def anywhere() -> Uniform:
    return Uniform.Config().build(latents=5)


def test_one_step_search_takes_the_best_proposal_of_every_observation():
    plan = OneStepSearch(candidates=500).plan(Near(), anywhere(), state(), {}, torch_generator(0))
    proposed = anywhere().propose(state(), 500, torch_generator(0))
    distances = (proposed - GOAL[:, None]).square().sum(-1)
    assert torch.equal(plan.action, proposed[torch.arange(2), distances.argmin(1)])
    torch.testing.assert_close(plan.value, -distances.amin(1))


def test_more_candidates_come_nearer_and_the_cross_entropy_method_nearest():
    def miss(planner: Planner) -> Tensor:
        return torch.stack(
            [-planner.plan(Near(), anywhere(), state(), {}, torch_generator(seed)).value for seed in range(10)]
        ).mean()

    few, many = miss(OneStepSearch(candidates=50)), miss(OneStepSearch(candidates=2000))
    refined = miss(CrossEntropy(candidates=50, rounds=8))
    assert refined < 0.05 * few
    assert refined < many < 0.5 * few


def test_the_cross_entropy_method_with_one_round_is_one_step_search():
    one = CrossEntropy(candidates=40, rounds=1).plan(Near(), anywhere(), state(), {}, torch_generator(3))
    other = OneStepSearch(candidates=40).plan(Near(), anywhere(), state(), {}, torch_generator(3))
    assert torch.equal(one.action, other.action)


@pytest.mark.parametrize(
    "planner", [RandomShooting(candidates=300, horizon=2), CrossEntropy(candidates=100, horizon=2)]
)
def test_looking_ahead_finds_what_greed_does_not(planner: Planner):
    for seed in range(5):
        plan = planner.plan(Later(), anywhere(), state(), {}, torch_generator(seed))
        assert (plan.action[:, 0] < 0.5).all()
        assert (plan.value > 1.8).all()
    greedy = [OneStepSearch().plan(Later(), anywhere(), state(), {}, torch_generator(seed)) for seed in range(20)]
    left = torch.cat([plan.action[:, 0] < 0.5 for plan in greedy]).float().mean()
    assert 0.2 < left < 0.8


def test_actions_stay_in_the_action_space():
    for planner in (OneStepSearch(), RandomShooting(), CrossEntropy(horizon=2, least_spread=0.5)):
        plan = planner.plan(Near(), anywhere(), state(), {}, torch_generator(0))
        assert plan.action.shape == (2, 4)
        assert (plan.action >= 0).all()
        assert (plan.action <= 1).all()


def test_ties_are_broken_evenly_and_nan_never_wins():
    values = torch.tensor([[1.0, 3.0, 3.0, torch.nan, 3.0]]).expand(3000, 5)
    share = torch.bincount(random_best(values, torch_generator(0)), minlength=5) / 3000
    assert share[[0, 3]].sum() == 0
    assert ((share[[1, 2, 4]] - 1 / 3).abs() < 0.04).all()
    lost = torch.full((2, 4), torch.nan)
    assert random_best(lost, torch_generator(0)).shape == (2,)


def test_plans_are_functions_of_the_generator():
    planner = CrossEntropy(candidates=30, horizon=2)
    first, same, other = (planner.plan(Near(), anywhere(), state(), {}, torch_generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.action, same.action)
    assert not torch.equal(first.action, other.action)


def test_the_best_of_all_rounds_counts():
    """A round that is worse than the one before it does not matter."""
    calls = []

    class Worse:
        def returns(self, state, observation, actions, how):
            calls.append(1)
            return actions[:, :, 0, 0] - 10 * len(calls)

    plan = CrossEntropy(candidates=20, rounds=3).plan(Worse(), anywhere(), state(), {}, torch_generator(0))
    first = anywhere().propose(state(), 20, torch_generator(0))[..., 0].amax(1)
    assert len(calls) == 3
    torch.testing.assert_close(plan.value, first - 10)


def test_mixed_candidates_come_from_both():
    class Same:
        def __init__(self, value: float) -> None:
            self.value = value

        def propose(self, state, count, generator, observation=None):
            return torch.full((len(state), count, 4), self.value)

    for count, share, ours in ((10, 0.5, 5), (5, 0.5, 3), (4, 0.0, 0), (4, 1.0, 4), (1, 0.5, 1)):
        found = Mixed(Same(0.1), Same(0.9), share).propose(state(), count, torch_generator(0))
        assert found.shape == (2, count, 4)
        assert int((found[0, :, 0] == 0.1).sum()) == ours


def test_sequences_are_drawn_anew_for_every_step():
    drawn = sequences(anywhere(), state(), {}, 6, 3, torch_generator(0))
    assert drawn.shape == (2, 6, 3, 4)
    assert not torch.equal(drawn[:, :, 0], drawn[:, :, 1])


def test_policies_and_objects_are_proposals():
    critic = CriticPolicy.Config(hidden=(8,)).build(latents=5)
    factors = torch.zeros(2, 3, 10)
    factors[..., :5] = torch.tensor([0.5, 0.5, 2.0, 0.0, 0.1])
    seen = {"factors": factors, "present": torch.tensor([[True, False, False]] * 2)}
    objects = RandomObject.Config().build(latents=5)
    for source, observation in ((critic, {}), (objects, seen), (Mixed(objects, critic), seen)):
        plan = OneStepSearch(candidates=7).plan(Near(), source, state(), observation, torch_generator(0))
        assert plan.action.shape == (2, 4)
    clicks = objects.propose(state(), 50, torch_generator(0), seen)[..., :2]
    assert ((clicks - 0.5).abs() <= 0.05 + 1e-6).all()


def test_chosen_takes_row_by_row():
    actions = torch.arange(12.0).view(2, 3, 2)
    plan = chosen(actions, torch.tensor([[0.0, 2.0, 1.0], [5.0, 2.0, 1.0]]), torch_generator(0))
    assert plan.action.tolist() == [[2.0, 3.0], [6.0, 7.0]]
    assert plan.value.tolist() == [2.0, 5.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OneStepSearch(candidates=0), "candidates = 0"),
        (lambda: RandomShooting(horizon=0), "horizon = 0"),
        (lambda: CrossEntropy(rounds=0), "rounds = 0"),
        (lambda: CrossEntropy(elite=0.0), r"elite = 0\.0"),
        (lambda: CrossEntropy(least_spread=0.0), r"least_spread = 0\.0"),
        (lambda: CrossEntropy(smoothing=1.0), r"smoothing = 1\.0"),
        (lambda: OneStepSearch(proposal="object"), "did you mean 'objects'"),
    ],
)
def test_wrong_settings_are_named(make, message: str):
    with pytest.raises(ConfigError, match=message):
        make()


def test_configurations_survive_json():
    for config in (OneStepSearch(proposal="objects"), RandomShooting(gather="last"), CrossEntropy(elite=0.2)):
        assert from_json(to_json(config), Planner) == config
