"""Searches find the best of what is proposed, far ahead or not, and simulations say what it is worth."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from exact_slots import ExactTransition
from torch import Tensor

from percepts.agents.cobra import simulation as simulation_module
from percepts.agents.cobra.exploration import CriticPolicy, RandomObject, Uniform
from percepts.agents.cobra.planning import (
    CrossEntropy,
    Mixed,
    OneStepSearch,
    Planner,
    RandomShooting,
    SearchAgent,
    chosen,
    proposals_of,
    random_best,
    sequences,
)
from percepts.agents.cobra.rewards import FlatHead, RelationHead, RewardModel, SumHead
from percepts.agents.cobra.simulation import LearnedSimulation, TrueDynamics, TrueReward, TrueSimulation
from percepts.agents.cobra.slot_models import ColourSegments
from percepts.agents.cobra.slots import OracleFactors, SlotState
from percepts.agents.cobra.transition import SlotTransition
from percepts.agents.spriteworld_policies import object_clicks, success_rate, truth
from percepts.core.config import from_json, to_json
from percepts.core.errors import CapabilityError, ConfigError
from percepts.core.random import torch_generator
from percepts.envs.spriteworld.configs import cobra_task
from percepts.envs.streams import Streams

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


def arena_and_view(batch: int = 5, task: str = "goal-finding-more-targets"):
    """An arena, sprites in it, and what is seen and encoded of them."""
    arena = cobra_task(task).arena.build()
    sprites = arena.reset(range(batch)).sprites
    observation = truth(sprites)
    return arena, sprites, observation, OracleFactors.Config().build().encode(observation)


def clicks(sprites, count: int, steps: int, seed: int = 0) -> Tensor:
    """Sequences of clicks into the sprites where they are at first."""
    many = sprites.rows(torch.arange(len(sprites)).repeat_interleave(count * steps))
    actions, _ = object_clicks(many, Streams.of(range(seed, seed + len(many))))
    return actions.view(len(sprites), count, steps, 4)


def reward_model(latents: int, slots: int, *heads, **settings) -> RewardModel:
    torch.manual_seed(1)
    return RewardModel.Config(heads=heads or (SumHead.Config(), RelationHead.Config()), **settings).build(
        latents=latents, slots=slots
    )


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


@pytest.mark.parametrize("interaction", ["none", "relational"])
@pytest.mark.parametrize("how", ["sum", "last"])
def test_a_learned_simulation_is_the_models_one_after_the_other(interaction: str, how: str):
    _, sprites, observation, slots = arena_and_view()
    torch.manual_seed(0)
    transition = SlotTransition.Config(hidden=(16,), interaction=interaction, final_scale=1.0).build(
        latents=slots.latents.shape[2]
    )
    reward = reward_model(slots.latents.shape[2], 4, members=2)
    actions = clicks(sprites, 7, 3).float()
    values = LearnedSimulation(transition, reward, optimism=0.5).returns(slots, observation, actions, how)
    total = torch.zeros(5, 7)
    with torch.no_grad():
        for number in range(7):
            latents = slots.latents
            for step in range(3):
                latents = transition.predict(latents, actions[:, number, step], slots.weight)
                said = reward.predict(latents, slots.weight)
                value = said.mean + 0.5 * said.std
                total[:, number] = value + (total[:, number] if how == "sum" else 0)
    torch.testing.assert_close(values, total, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("interaction", ["none", "relational"])
def test_slots_that_do_not_count_cost_nothing_and_change_nothing(interaction: str):
    _, sprites, observation, slots = arena_and_view()
    size = slots.latents.shape[2]
    transition = SlotTransition.Config(hidden=(16,), interaction=interaction, final_scale=1.0).build(latents=size)
    simulation = LearnedSimulation(transition, reward_model(size, 6))
    actions = clicks(sprites, 11, 1).float()
    wide = SlotState(torch.full((5, 6, size), 9.0), torch.zeros(5, 6))
    there = int(slots.weight.sum(1).max())
    for row in range(5):  # other places in every row
        places = torch.randperm(6, generator=torch_generator(row))[:there]
        wide.latents[row, places] = slots.latents[row, :there]
        wide.weight[row, places] = slots.weight[row, :there]
    torch.testing.assert_close(
        simulation.returns(wide, observation, actions, "last"),
        simulation.returns(slots, observation, actions, "last"),
        atol=1e-4,
        rtol=1e-4,
    )
    assert simulation._counted(wide).latents.shape[1] == there
    flat = LearnedSimulation(transition, reward_model(size, 6, FlatHead.Config()))
    assert flat._counted(wide) is wide
    nothing = SlotState(slots.latents, torch.zeros_like(slots.weight))
    assert simulation.returns(nothing, observation, actions, "last").shape == (5, 11)


def test_the_number_of_outcomes_at_a_time_is_no_matter(monkeypatch: pytest.MonkeyPatch):
    arena, sprites, observation, slots = arena_and_view()
    size = slots.latents.shape[2]
    transition = SlotTransition.Config(hidden=(16,)).build(latents=size)
    sims = [LearnedSimulation(transition, reward_model(size, 4)), TrueSimulation(arena)]
    actions = clicks(sprites, 13, 2)
    for sim in sims:
        whole = sim.returns(slots, observation, actions, "sum")
        with monkeypatch.context() as patch:
            patch.setattr(simulation_module, "CPU_ROWS", 10)
            patch.setattr(simulation_module, "AT_ONCE", 10)
            torch.testing.assert_close(sim.returns(slots, observation, actions, "sum"), whole)


@pytest.mark.parametrize("task", ["goal-finding-more-targets", "clustering", "sorting"])
def test_a_true_simulation_is_what_happens(task: str):
    arena, sprites, observation, slots = arena_and_view(task=task)
    actions = clicks(sprites, 6, 2)
    values = {how: TrueSimulation(arena).returns(slots, observation, actions, how) for how in ("sum", "last")}
    for number in range(6):
        state, total = arena.reset(range(5)), torch.zeros(5, dtype=torch.float64)
        for step in range(2):
            state, outcome = arena.step(state, actions[:, number, step])
            total += outcome.reward
        # An episode that a first action ends is not gone on with; a search looks beyond.
        going = state.time == 2
        torch.testing.assert_close(values["sum"][going, number], total[going])
        torch.testing.assert_close(values["last"][going, number], outcome.reward[going])


def test_one_half_of_the_truth():
    """With the exact dynamics and the exact reward, both oracle swaps are the whole truth."""
    arena, sprites, observation, _ = arena_and_view(task="goal-finding-new-shape")
    encoder = OracleFactors.Config().build()
    slots = encoder.encode(observation)
    actions = clicks(sprites, 9, 2)
    wanted = TrueSimulation(arena).returns(slots, observation, actions, "sum")
    exact = ExactTransition(SlotTransition.Config(hidden=(4,)), encoder.latents)
    found = TrueReward(arena, exact, encoder).returns(slots, observation, actions, "sum")
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)

    class Distance(RewardModel):
        def forward(self, latents, weight, hidden=None):
            away = (latents[..., :2] - 0.5).square().sum(-1).sqrt()
            return (5 * (0.075 - away) * weight).sum(-1)[None]

    reward = Distance(RewardModel.Config(), encoder.latents, 1)
    true_dynamics = TrueDynamics(arena, encoder, reward, truth)
    torch.testing.assert_close(
        true_dynamics.returns(slots, observation, actions, "sum").double(), wanted, atol=1e-3, rtol=1e-3
    )


def test_an_agent_with_the_truth_solves_its_task():
    arena = cobra_task("sorting", "test").arena.build()
    encoder = OracleFactors.Config().build()
    policy = CriticPolicy.Config().build(latents=encoder.latents)
    for kind in ("uniform", "objects", "mixed"):
        planner = OneStepSearch(candidates=300, proposal=kind)
        agent = SearchAgent(encoder, TrueSimulation(arena), proposals_of(kind, policy), planner)
        assert set(agent.observes) == {"factors", "present"}
        assert success_rate(arena, agent, 10, seed=0).success == 1.0


def test_the_truth_needs_to_be_seen():
    arena, sprites, _, slots = arena_and_view()
    with pytest.raises(CapabilityError, match="does not tell the truth"):
        TrueSimulation(arena).returns(slots, {"image": sprites.factors}, clicks(sprites, 2, 1), "last")
    with pytest.raises(CapabilityError, match="slots of ColourSegments, which are no sprites"):
        TrueReward(arena, SlotTransition.Config().build(latents=6), ColourSegments.Config().build())
