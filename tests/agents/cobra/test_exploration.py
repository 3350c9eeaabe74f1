"""Where actions come from: uniform, inside of sprites, by a critic, by halves of halves."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from percepts.agents.cobra.exploration import (
    CriticPolicy,
    Explorer,
    RandomObject,
    Uniform,
    click_entropy,
    click_histogram,
    inside_of_sprites,
)
from percepts.agents.cobra.recursive_bins import RecursiveBinPolicy
from percepts.agents.cobra.slots import SlotState
from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError
from percepts.envs.spriteworld.configs import cobra_task
from percepts.envs.spriteworld.observations import Observer
from percepts.envs.spriteworld.state import FACTORS, SHAPES, Sprites

BATCH, SLOTS, LATENTS = 4, 3, 5
CONFIGS = {
    "uniform": Uniform.Config(),
    "objects": RandomObject.Config(),
    "critic": CriticPolicy.Config(hidden=(16,), candidates=12),
    "bins": RecursiveBinPolicy.Config(levels=3, hidden=(16,), anywhere=(8,)),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def built(name: str, latents: int = LATENTS, action: int = 4, **settings) -> Explorer:
    torch.manual_seed(0)
    config = type(CONFIGS[name])(**{**vars(CONFIGS[name]), **settings})
    return config.build(latents=latents, action=action)


def some_slots(batch: int = BATCH, seed: int = 0) -> SlotState:
    weight = torch.rand(batch, SLOTS, generator=generator(seed + 1))
    return SlotState(torch.randn(batch, SLOTS, LATENTS, generator=generator(seed)), weight * (weight > 0.3))


def with_empty_slots(state: SlotState) -> SlotState:
    arbitrary = 10 * torch.randn(len(state), 2, LATENTS, generator=generator(8))
    empty = state.weight.new_zeros(len(state), 2)
    return SlotState(torch.cat([arbitrary, state.latents], 1), torch.cat([empty, state.weight], 1))


def scenes(count: int = BATCH) -> dict[str, Tensor]:
    sprites = cobra_task("exploration").arena.build().reset(range(count)).sprites
    return Observer(keys=("factors", "present")).observe(sprites)


@pytest.mark.parametrize("name", CONFIGS)
class TestProposals:
    @pytest.mark.parametrize("count", [1, 9])
    def test_they_lie_in_the_unit_cube_and_come_from_the_generator(self, name: str, count: int) -> None:
        explorer, state = built(name), some_slots()
        action = explorer.propose(state, count, generator(3), scenes())
        assert action.shape == (BATCH, count, 4)
        assert action.dtype == torch.float32
        assert action.min() >= 0
        assert action.max() <= 1
        assert torch.equal(explorer.propose(state, count, generator(3), scenes()), action)
        assert not torch.equal(explorer.propose(state, count, generator(4), scenes()), action)
        assert len(action.flatten(0, 1).unique(dim=0)) == BATCH * count

    def test_empty_slots_and_the_order_of_slots_do_not_matter(self, name: str) -> None:
        explorer, state = built(name), some_slots()
        order = torch.tensor([2, 0, 1])
        turned = SlotState(state.latents[:, order], state.weight[:, order])
        plain = explorer.propose(state, 5, generator(3), scenes())
        for other in (turned, with_empty_slots(state)):
            torch.testing.assert_close(explorer.propose(other, 5, generator(3), scenes()), plain)

    def test_the_density_is_one_of_each_state(self, name: str) -> None:
        explorer, state = built(name), some_slots()
        action = torch.rand(BATCH, 4, generator=generator(1))
        density = explorer.density(state, action, scenes())
        assert density.shape == (BATCH,)
        for row in range(BATCH):
            one = slice(row, row + 1)
            torch.testing.assert_close(explorer.density(state.rows(one), action[one]), density[one])

    def test_settings_go_through_json(self, name: str) -> None:
        assert from_json(to_json(CONFIGS[name])) == CONFIGS[name]

    def test_it_says_whether_it_learns(self, name: str) -> None:
        explorer, state = built(name), some_slots()
        action, error = torch.rand(BATCH, 4, generator=generator(1)), torch.rand(BATCH, generator=generator(2))
        if explorer.learns:
            loss, terms = explorer.loss(state, action, error, torch.ones(BATCH))
            assert loss.requires_grad
            assert all(value.ndim == 0 for value in terms.values())
        else:
            with pytest.raises(ConfigError, match="learns nothing"):
                explorer.loss(state, action, error, torch.ones(BATCH))


class TestRandomObject:
    def test_clicks_hit_and_are_spread_over_the_sprites(self) -> None:
        arena = cobra_task("exploration").arena.build()
        state = arena.reset(range(64))
        seen = Observer(keys=("factors", "present")).observe(state.sprites)
        action = built("objects").propose(some_slots(64), 200, generator(), seen)
        hit = state.sprites.topmost(action[..., :2].double())
        assert (hit >= 0).double().mean() > 0.999
        motion = action[..., 2:]
        assert abs(motion.mean() - 0.5) < 0.01
        assert abs(motion.var() - 1 / 12) < 0.005
        apart = (state.sprites.present.sum(1) == 3).nonzero()[0, 0]
        counts = torch.bincount(hit[apart], minlength=6)[:3]
        assert counts.min() > 20

    @pytest.mark.parametrize("shape", SHAPES)
    def test_points_are_uniform_inside_of_every_shape(self, shape: str) -> None:
        values = {"x": 0.5, "y": 0.5, "shape": 1.0 + list(SHAPES).index(shape), "angle": 20.0, "scale": 0.4}
        factors = torch.tensor([[[values.get(name, 0.0) for name in FACTORS]]])
        present = torch.ones(1, 1, dtype=torch.bool)
        points = inside_of_sprites(factors, present, torch.rand(1, 4000, 4, generator=generator()))
        sprites = Sprites.of(factors.double(), present)
        assert sprites.contain(points.double())[0, :, 0].double().mean() > 0.999
        # As many in each part of the arena as there is of the sprite.
        grid = torch.cartesian_prod(*[(torch.arange(200) + 0.5) / 200] * 2)
        inside = sprites.contain(grid[None].double())[0, :, 0]
        for part in (lambda p: p[:, 0] < 0.5, lambda p: p[:, 1] < 0.45, lambda p: (p - 0.5).norm(dim=1) < 0.15):
            share = (part(grid) & inside).sum() / inside.sum()
            found = part(points[0]).double().mean()
            assert abs(found - share) < 4 * math.sqrt(0.25 / 4000)

    def test_points_beyond_the_border_are_drawn_back_inside_of_the_sprite(self) -> None:
        values = {"x": 0.01, "y": 0.99, "shape": 8.0, "scale": 0.3}
        factors = torch.tensor([[[values.get(name, 0.0) for name in FACTORS]]])
        present = torch.ones(1, 1, dtype=torch.bool)
        points = inside_of_sprites(factors, present, torch.rand(1, 500, 4, generator=generator()))
        assert points.min() >= 0
        assert points.max() <= 1
        assert Sprites.of(factors.double(), present).contain(points.double())[0, :, 0].double().mean() > 0.98

    def test_of_unknown_shapes_the_centre(self) -> None:
        values = {"x": 0.3, "y": 0.6, "shape": 13.0, "scale": 0.3}
        factors = torch.tensor([[[values.get(name, 0.0) for name in FACTORS]]])
        points = inside_of_sprites(factors, torch.ones(1, 1, dtype=torch.bool), torch.rand(1, 9, 4))
        torch.testing.assert_close(points[0], torch.tensor([0.3, 0.6]).expand(9, 2))

    def test_without_sprites_anywhere(self) -> None:
        seen = scenes(2)
        seen["present"] = torch.zeros_like(seen["present"])
        action = built("objects").propose(some_slots(2), 400, generator(), seen)
        assert action.isfinite().all()
        assert abs(action[..., :2].mean() - 0.5) < 0.05

    def test_it_needs_the_truth(self) -> None:
        with pytest.raises(ConfigError, match="factors"):
            built("objects").propose(some_slots(), 1, generator())


class TestCritic:
    def test_its_value_is_a_sum_over_slots_that_count(self) -> None:
        policy, state = built("critic"), some_slots()
        action = torch.rand(BATCH, 4, generator=generator(1))
        expected = torch.zeros(BATCH)
        for slot in range(SLOTS):
            expected += state.weight[:, slot] * policy.critic([state.latents[:, slot]], action)[:, 0]
        torch.testing.assert_close(policy.value(state, action), expected)
        torch.testing.assert_close(policy.value(with_empty_slots(state), action), expected)
        torch.testing.assert_close(policy.value(state, action[:, None])[:, 0], expected)

    def test_it_takes_candidates_by_the_softmax_of_their_values(self) -> None:
        """Of three candidates, over many draws, as often as exp(c / (τ·std)) says."""
        policy, state = built("critic", candidates=3, temperature=0.7), some_slots(1)
        policy.value = lambda state, action: 5 * action[..., 0]  # type: ignore[method-assign]
        counts, expected = torch.zeros(3), torch.zeros(3)
        for seed in range(1500):
            draws = torch.rand(1, 3, 4, generator=generator(seed))[0, :, 0]
            chosen = policy.propose(state, 1, generator(seed))[0, 0, 0]
            rank = draws.sort().values
            counts[(rank == chosen).nonzero()[0, 0]] += 1
            expected += (5 * rank / (0.7 * (5 * rank).std())).softmax(0)
        assert (counts - expected).abs().max() < 4 * math.sqrt(1500 * 0.25)

    def test_low_temperatures_take_the_best(self) -> None:
        policy, state = built("critic", temperature=1e-4, candidates=32), some_slots()
        candidates = torch.rand(BATCH, 32, 4, generator=generator(3))
        best = policy.value(state, candidates).argmax(1)
        chosen = policy.propose(state, 1, generator(3))[:, 0]
        assert torch.equal(chosen, candidates[torch.arange(BATCH), best])

    def test_several_proposals_are_better_than_chance_and_differ(self) -> None:
        policy, state = built("critic", crowd=8), some_slots()
        proposed = policy.propose(state, 50, generator(3))
        uniform = torch.rand(BATCH, 50, 4, generator=generator(4))
        gain = policy.value(state, proposed).mean(1) - policy.value(state, uniform).mean(1)
        assert (gain > 0).all()

    def test_it_learns_where_the_error_is(self) -> None:
        """The error is large where a click is near the only slot."""
        torch.manual_seed(0)
        policy = CriticPolicy.Config(hidden=(32, 32)).build(latents=1, action=2)
        optimizer, numbers = torch.optim.Adam(policy.parameters(), lr=1e-2), generator()
        for _ in range(300):
            state = SlotState(torch.rand(256, 1, 1, generator=numbers), torch.ones(256, 1))
            action = torch.rand(256, 2, generator=numbers)
            error = ((action[:, 0] - state.latents[:, 0, 0]).abs() < 0.15).float()
            loss, terms = policy.loss(state, action, error, torch.ones(256))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert float(terms["critic_explained"]) > 0.5
        state = SlotState(torch.rand(200, 1, 1, generator=numbers), torch.ones(200, 1))
        near = (policy.propose(state, 1, numbers)[:, 0, 0] - state.latents[:, 0, 0]).abs() < 0.15
        assert near.double().mean() > 0.8

    def test_explained_is_one_minus_the_unexplained_share(self) -> None:
        policy, state = built("critic"), some_slots()
        action = torch.rand(BATCH, 4, generator=generator(1))
        _, perfect = policy.loss(state, action, policy.value(state, action).detach(), torch.ones(BATCH))
        assert float(perfect["critic_explained"]) == pytest.approx(1.0)

    def test_a_single_candidate_is_uniform(self) -> None:
        action = built("critic", candidates=1).propose(some_slots(), 1, generator(3))
        assert action.isfinite().all()

    @pytest.mark.parametrize("setting", [{"hidden": ()}, {"candidates": 0}, {"temperature": 0.0}, {"crowd": 0}])
    def test_bad_settings(self, setting: dict) -> None:
        with pytest.raises(ConfigError):
            CriticPolicy.Config(**setting)


class TestRecursiveBins:
    def test_the_density_sums_to_one_over_all_cells(self) -> None:
        policy = built("bins", action=2)
        side = 2**3
        centres = (torch.arange(side) + 0.5) / side
        cells = torch.tensor(list(itertools.product(centres.tolist(), repeat=2)))
        state = some_slots(1)
        many = SlotState(state.latents.expand(len(cells), -1, -1), state.weight.expand(len(cells), -1))
        density = policy.density(many, cells)
        assert float(density.mean()) == pytest.approx(1.0, abs=1e-5)
        assert density.std() > 0.01

    def test_samples_follow_the_density(self) -> None:
        policy = built("bins", action=2, levels=2)
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.mul_(3)
        state, count = some_slots(1), 40_000
        action = policy.propose(state, count, generator())[0]
        cell = (action * 4).long().clamp(max=3)
        found = torch.bincount(cell[:, 0] * 4 + cell[:, 1], minlength=16) / count
        centres = torch.cartesian_prod(*[(torch.arange(4) + 0.5) / 4] * 2)
        many = SlotState(state.latents.expand(16, -1, -1), state.weight.expand(16, -1))
        expected = policy.density(many, centres) / 16
        assert expected.max() > 2 * expected.min()
        assert (found - expected).abs().max() < 5 * math.sqrt(0.25 / count)
        # Uniform inside of a cell.
        inside = action * 4 - cell
        assert (inside.mean(0) - 0.5).abs().max() < 0.02
        assert (inside.var(0) - 1 / 12).abs().max() < 0.005

    def test_the_path_halves_every_dimension(self) -> None:
        policy = built("bins", action=2)
        child, centre = policy.path(torch.tensor([0.7, 0.2]))
        # x: upper half, lower, upper; y: lower, lower, upper. x counts 1 and y counts 2.
        assert child.tolist() == [1, 0, 3]
        assert centre.tolist() == [[0.5, 0.5], [0.75, 0.25], [0.625, 0.125]]
        last, _ = policy.path(torch.tensor([1.0, 0.0]))
        assert last.tolist() == [1, 1, 1]

    def test_without_slots_there_is_still_a_density(self) -> None:
        policy = built("bins")
        nobody = SlotState(torch.randn(2, SLOTS, LATENTS, generator=generator()), torch.zeros(2, SLOTS))
        action = policy.propose(nobody, 3, generator())
        assert policy.density(nobody, action[:, 0]).isfinite().all()
        loss, _ = policy.loss(nobody, action[:, 0], torch.rand(2, generator=generator()), torch.ones(2))
        loss.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in policy.parameters())

    def test_it_learns_where_the_error_is(self) -> None:
        torch.manual_seed(0)
        policy = RecursiveBinPolicy.Config(levels=3, hidden=(32, 32), anywhere=(8,)).build(latents=1, action=2)
        optimizer, numbers = torch.optim.Adam(policy.parameters(), lr=1e-2), generator()
        for _ in range(200):
            state = SlotState(torch.rand(256, 1, 1, generator=numbers), torch.ones(256, 1))
            action = torch.rand(256, 2, generator=numbers)
            error = ((action[:, 0] - state.latents[:, 0, 0]).abs() < 0.15).float()
            loss, _ = policy.loss(state, action, error, torch.ones(256))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        state = SlotState(torch.rand(400, 1, 1, generator=numbers), torch.ones(400, 1))
        near = (policy.propose(state, 1, numbers)[:, 0, 0] - state.latents[:, 0, 0]).abs() < 0.15
        assert near.double().mean() > 0.5  # 0.28 by chance

    def test_the_loss_corrects_for_how_actions_were_chosen(self) -> None:
        """An action that was twice as likely to be tried weighs half; corrections beyond 10 are cut off."""
        policy, state = built("bins"), some_slots()
        action, error = torch.rand(BATCH, 4, generator=generator(1)), torch.zeros(BATCH)
        log_density = policy.log_density(state, action).detach()
        _, entropies = policy.levels(state, action)
        entropy = entropies.sum(1).mean().detach() - 4 * 3 * math.log(2)
        for behaviour, weight in (
            ([1.0, 1.0, 1.0, 2.0], [2.0, 2.0, 2.0, 1.0]),
            ([1.0, 1e-6, 0.1, 0.2], [1, 10, 10, 5]),
        ):
            share = torch.tensor(weight) / sum(weight)
            expected = -(share * log_density).sum() - 0.01 * entropy
            loss, terms = policy.loss(state, action, error, torch.tensor(behaviour))
            torch.testing.assert_close(loss.detach(), expected)
            torch.testing.assert_close(terms["policy_entropy"], entropy)

    def test_surprising_actions_weigh_more(self) -> None:
        """Weights min(1/p, 10) · exp((e − mean e) / (τ·std e)) of sum 1, by hand."""
        policy, state = built("bins", temperature=0.7), some_slots()
        action, error = torch.rand(BATCH, 4, generator=generator(1)), torch.tensor([0.0, 1.0, 2.0, 5.0])
        chosen, entropies = policy.levels(state, action)
        behaviour = torch.tensor([0.5, 1.0, 0.01, 2.0])
        share = torch.tensor([2.0, 1.0, 10.0, 0.5]) * ((error - 2) / (0.7 * math.sqrt(3.5))).exp()
        most = 4 * 3 * math.log(2)
        expected = -(share / share.sum() * (chosen.sum(1) + most)).sum() - 0.01 * (entropies.sum(1).mean() - most)
        loss, _ = policy.loss(state, action, error, behaviour)
        torch.testing.assert_close(loss, expected)

    def test_scores_of_slots_are_added_by_how_far_they_count(self) -> None:
        """ln(Σ w exp g + exp g₀), with no slot left out."""
        policy, state = built("bins"), some_slots()
        weight = torch.tensor([1.0, 0.0, 0.4]).expand(BATCH, SLOTS).clone()
        weight[0] = 0
        state = SlotState(state.latents, weight)
        centre = torch.rand(BATCH, 5, 4, generator=generator(1))
        cell = torch.cat([centre, torch.tensor([0.0, 1.0, 0.0]).expand(BATCH, 5, -1)], -1)
        scores = policy.slot([state.latents[:, None]], cell[:, :, None]).exp() * weight[:, None, :, None]
        total = scores.sum(2) + policy.anywhere([], cell).exp()
        found = policy.log_probabilities(state, centre, 1, None)
        torch.testing.assert_close(found, (total / total.sum(-1, keepdim=True)).log())
        parameters = [*policy.slot.parameters(), *policy.anywhere.parameters()]
        expected = torch.autograd.grad((total / total.sum(-1, keepdim=True)).log().square().sum(), parameters)
        for one, other in zip(torch.autograd.grad(found.square().sum(), parameters), expected):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)

    def test_it_can_look_at_the_picture(self) -> None:
        policy, state = built("bins", look=True), some_slots()
        assert policy.observes == ("image",)
        picture = torch.randint(256, (BATCH, 32, 32, 3), dtype=torch.uint8, generator=generator())
        action = torch.rand(BATCH, 4, generator=generator(1))
        one, two = (policy.density(state, action, {"image": image}) for image in (picture, 255 - picture))
        assert not torch.allclose(one, two)
        with pytest.raises(ConfigError, match="image"):
            policy.propose(state, 1, generator())

    @pytest.mark.parametrize("setting", [{"levels": 0}, {"hidden": ()}, {"temperature": 0.0}, {"entropy": -1.0}])
    def test_bad_settings(self, setting: dict) -> None:
        with pytest.raises(ConfigError):
            RecursiveBinPolicy.Config(**setting)


class TestClicks:
    def test_the_histogram_counts_clicks_rows_going_up(self) -> None:
        action = torch.tensor([[0.1, 0.1, 0, 0], [0.9, 0.1, 0, 0], [1.0, 1.0, 0, 0], [0.9, 0.2, 0, 0]])
        assert click_histogram(action, side=2).tolist() == [[1, 2], [0, 1]]
        assert click_histogram(action[None].expand(3, -1, -1), side=2).sum() == 12

    def test_entropies(self) -> None:
        assert click_entropy(torch.ones(8, 8, dtype=torch.int64)) == pytest.approx(math.log(64))
        one = torch.zeros(8, 8)
        one[2, 3] = 7
        assert click_entropy(one) == 0
        assert click_entropy(torch.zeros(8, 8)) == 0
