"""The transition model of slots, and how wrong a prediction is."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from percepts.agents.cobra.slot_models import ColourSegments
from percepts.agents.cobra.slots import SlotState
from percepts.agents.cobra.transition import SlotTransition
from percepts.agents.cobra.transition_losses import (
    TransitionLoss,
    match_nearest,
    match_one_to_one,
    pixel_error,
    slot_distance,
    slot_error,
)
from percepts.core.capabilities import Predicts
from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError

KINDS = ("none", "relational")
BATCH, SLOTS, LATENTS, ACTION = 5, 4, 3, 4


def model(interaction: str = "none", **settings) -> SlotTransition:
    config = SlotTransition.Config(
        **{"hidden": (16, 16), "relation_hidden": (8, 6), "interaction": interaction, "final_scale": 1.0, **settings}
    )
    torch.manual_seed(0)
    return config.build(latents=LATENTS, action=ACTION)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def some_slots(seed: int = 0, slots: int = SLOTS) -> SlotState:
    weight = torch.rand(BATCH, slots, generator=torch.Generator().manual_seed(seed + 1))
    return SlotState(numbers(BATCH, slots, LATENTS, seed=seed), weight * (weight > 0.3))


def with_empty_slots(state: SlotState, count: int = 3) -> SlotState:
    """The same, and slots of weight 0 with arbitrary latents."""
    arbitrary = 10 * numbers(len(state), count, state.latents.shape[2], seed=9)
    empty = state.weight.new_zeros(len(state), count)
    return SlotState(torch.cat([state.latents, arbitrary], 1), torch.cat([state.weight, empty], 1))


@pytest.mark.parametrize("kind", KINDS)
class TestPrediction:
    def test_it_predicts(self, kind: str) -> None:
        network = model(kind)
        assert isinstance(network, Predicts)
        found = network.predict(numbers(BATCH, SLOTS, LATENTS), numbers(BATCH, ACTION))
        assert found.shape == (BATCH, SLOTS, LATENTS)

    def test_the_order_of_slots_does_not_matter(self, kind: str) -> None:
        network, state, action = model(kind), some_slots(), numbers(BATCH, ACTION, seed=2)
        order = torch.tensor([2, 0, 3, 1])
        plain = network.predict(state.latents, action, state.weight)
        turned = network.predict(state.latents[:, order], action, state.weight[:, order])
        torch.testing.assert_close(turned, plain[:, order])

    def test_empty_slots_change_nothing(self, kind: str) -> None:
        network, state, action = model(kind), some_slots(), numbers(BATCH, ACTION, seed=2)
        more = with_empty_slots(state)
        plain = network.predict(state.latents, action, state.weight)
        torch.testing.assert_close(network.predict(more.latents, action, more.weight)[:, :SLOTS], plain)

    def test_an_observation_does_not_depend_on_the_others(self, kind: str) -> None:
        network, state, action = model(kind), some_slots(), numbers(BATCH, ACTION, seed=2)
        whole = network.predict(state.latents, action, state.weight)
        for row in range(BATCH):
            one = slice(row, row + 1)
            alone = network.predict(state.latents[one], action[one], state.weight[one])
            torch.testing.assert_close(alone, whole[one])

    def test_many_actions_at_once(self, kind: str) -> None:
        network, state = model(kind), some_slots()
        actions = numbers(BATCH, 7, ACTION, seed=3)
        together = network.predict(state.latents[:, None], actions, state.weight[:, None])
        assert together.shape == (BATCH, 7, SLOTS, LATENTS)
        for number, action in enumerate(actions.unbind(1)):
            torch.testing.assert_close(together[:, number], network.predict(state.latents, action, state.weight))

    def test_the_action_matters_and_gradients_reach_everything(self, kind: str) -> None:
        network, state = model(kind), some_slots()
        action = numbers(BATCH, ACTION, seed=4).requires_grad_()
        network.predict(state.latents, action, state.weight).square().sum().backward()
        assert action.grad is not None
        assert (action.grad.abs().sum(1) > 0).all()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name

    def test_a_rollout_repeats_predictions(self, kind: str) -> None:
        network, state = model(kind), some_slots()
        actions = numbers(BATCH, 3, ACTION, seed=5)
        rolled = network.rollout(state.latents, actions, state.weight)
        assert rolled.shape == (BATCH, 3, SLOTS, LATENTS)
        for step in range(3):
            state = network.after(state, actions[:, step])
            torch.testing.assert_close(rolled[:, step], state.latents)
        assert network.rollout(state.latents, actions[:, :0]).shape == (BATCH, 0, SLOTS, LATENTS)

    def test_the_first_layer_is_one_of_the_concatenation(self, kind: str) -> None:
        network = model(kind).change
        latents, heard, action = numbers(6, LATENTS), numbers(6, 6, seed=1), numbers(6, ACTION, seed=2)
        parts = [latents] if kind == "none" else [latents, heard]
        whole = torch.cat([*parts, action], 1)
        expected = network.last(network.middle(network.first(whole)))
        torch.testing.assert_close(network(parts, action), expected)


def test_at_first_little_moves() -> None:
    latents, action = numbers(64, SLOTS, LATENTS), numbers(64, ACTION, seed=1)
    start, plain = (model(final_scale=scale).predict(latents, action) - latents for scale in (0.1, 1.0))
    torch.testing.assert_close(start, 0.1 * plain, atol=1e-6, rtol=1e-4)


def test_without_interaction_a_slot_depends_on_itself_alone() -> None:
    latents, action = numbers(BATCH, SLOTS, LATENTS), numbers(BATCH, ACTION, seed=1)
    other = latents.clone()
    other[:, 1] += 1
    same, moved = (model("none").predict(state, action)[:, 0] for state in (latents, other))
    assert torch.equal(same, moved)
    same, moved = (model("relational").predict(state, action)[:, 0] for state in (latents, other))
    assert (same - moved).abs().max() > 1e-3


def test_a_relational_model_can_learn_what_shields() -> None:
    """Two sprites in one place: a click moves the front one only, which no model without interaction can say."""
    generator = torch.Generator().manual_seed(0)
    errors = {}
    for kind in KINDS:
        torch.manual_seed(0)
        network = SlotTransition.Config(hidden=(32, 32), relation_hidden=(32, 16), interaction=kind).build(latents=2)
        optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
        for _ in range(300):
            # The latents are the place and the depth; the action is a click and a motion, on a line.
            depth = torch.rand(128, 2, generator=generator)
            latents = torch.stack([torch.zeros(128, 2), depth], 2)
            action = torch.rand(128, 4, generator=generator)
            front = (depth == depth.amax(1, keepdim=True)).float()
            target = latents.clone()
            target[..., 0] += front * action[:, 2:3]
            loss = (network.predict(latents, action) - target).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        errors[kind] = float(loss.detach())
    assert errors["relational"] < 0.3 * errors["none"]


def test_settings_go_through_json() -> None:
    config = SlotTransition.Config(interaction="relational", hidden=(8,))
    assert from_json(to_json(config)) == config


@pytest.mark.parametrize("setting", [{"hidden": ()}, {"hidden": (0,)}, {"relation_hidden": (8,)}])
def test_bad_settings(setting: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        SlotTransition.Config(**setting)


class TestErrors:
    def test_aligned_is_the_weighted_sum_of_squares(self) -> None:
        predicted = SlotState(torch.tensor([[[1.0, 2.0], [0.0, 0.0]]]), torch.tensor([[1.0, 0.5]]))
        following = SlotState(torch.tensor([[[1.0, 0.0], [3.0, 4.0]]]), torch.tensor([[1.0, 1.0]]))
        error = TransitionLoss(kind="aligned").error(predicted, following)
        assert error.tolist() == [4.0 + 0.5 * 25.0]

    @pytest.mark.parametrize("kind", ["hungarian", "nearest"])
    def test_matching_undoes_any_order(self, kind: str) -> None:
        state = some_slots()
        order = torch.tensor([3, 1, 0, 2])
        shuffled = SlotState(state.latents[:, order], state.weight[:, order])
        error = TransitionLoss(kind=kind).error(state, shuffled)
        torch.testing.assert_close(error, torch.zeros(BATCH))
        assert (TransitionLoss(kind="aligned").error(state, shuffled) > 0.1).any()

    @pytest.mark.parametrize("kind", ["hungarian", "nearest", "aligned"])
    def test_empty_slots_change_nothing(self, kind: str) -> None:
        loss, one, two = TransitionLoss(kind=kind), some_slots(0), some_slots(5)
        plain = loss.error(one, two)
        torch.testing.assert_close(loss.error(with_empty_slots(one), with_empty_slots(two)), plain)

    @pytest.mark.parametrize("kind", ["hungarian", "nearest", "aligned"])
    def test_a_transition_does_not_depend_on_the_others(self, kind: str) -> None:
        loss, one, two = TransitionLoss(kind=kind), some_slots(0), some_slots(5)
        rows = [loss.error(one.rows(slice(n, n + 1)), two.rows(slice(n, n + 1))) for n in range(BATCH)]
        torch.testing.assert_close(torch.cat(rows), loss.error(one, two))

    def test_hungarian_is_the_best_of_all_assignments(self) -> None:
        one = SlotState(numbers(BATCH, SLOTS, LATENTS), torch.ones(BATCH, SLOTS))
        two = SlotState(numbers(BATCH, SLOTS, LATENTS, seed=7), torch.ones(BATCH, SLOTS))
        orders = [torch.tensor(order).expand(BATCH, -1) for order in itertools.permutations(range(SLOTS))]
        best = torch.stack([slot_error(one, two, order) for order in orders]).amin(0)
        torch.testing.assert_close(TransitionLoss(kind="hungarian").error(one, two), best)

    def test_slots_that_count_are_matched_first(self) -> None:
        # The only slot that counts is far from the only other one that does, and near one that does not.
        one = SlotState(torch.tensor([[[0.0], [5.0]]]), torch.tensor([[1.0, 0.0]]))
        two = SlotState(torch.tensor([[[0.1], [3.0]]]), torch.tensor([[0.0, 1.0]]))
        for kind in ("hungarian", "nearest"):
            assert TransitionLoss(kind=kind).error(one, two).tolist() == [9.0]

    def test_a_slot_without_a_partner_costs_nothing(self) -> None:
        one = SlotState(torch.tensor([[[0.0], [5.0]]]), torch.ones(1, 2))
        two = SlotState(torch.tensor([[[4.0], [9.0]]]), torch.tensor([[1.0, 0.0]]))
        assert TransitionLoss(kind="hungarian").error(one, two).tolist() == [1.0]
        nobody = SlotState(two.latents, torch.zeros(1, 2))
        for kind in ("hungarian", "nearest", "aligned"):
            assert TransitionLoss(kind=kind).error(one, nobody).tolist() == [0.0]

    def test_nearest_may_take_one_slot_twice(self) -> None:
        distance = torch.tensor([[[0.1, 1.0], [0.2, 1.0]]])
        weight = torch.ones(1, 2)
        assert match_nearest(distance, weight, weight).tolist() == [[0, 0]]
        assert sorted(match_one_to_one(distance, weight, weight)[0].tolist()) == [0, 1]

    def test_cosine_ignores_length(self) -> None:
        distance = slot_distance(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[9.0, 0.0], [0.0, 1.0]]]), "cosine")
        torch.testing.assert_close(distance, torch.tensor([[[0.0, 1.0]]]))
        one = SlotState(torch.tensor([[[1.0, 0.0]]]), torch.ones(1, 1))
        two = SlotState(torch.tensor([[[3.0, 0.0], [0.9, 0.9]]]), torch.ones(1, 2))
        assert TransitionLoss(kind="nearest", match_by="cosine").error(one, two).tolist() == [4.0]
        assert TransitionLoss(kind="nearest").error(one, two).tolist() == pytest.approx([0.82])

    def test_gradients_go_to_the_prediction(self) -> None:
        one, two = some_slots(0), some_slots(5)
        latents = one.latents.clone().requires_grad_()
        TransitionLoss(kind="hungarian").error(SlotState(latents, one.weight), two).sum().backward()
        assert latents.grad is not None
        assert torch.equal(latents.grad.abs().sum(2) > 0, TransitionLoss(kind="hungarian").pairing(one, two) >= 0)


class TestPixels:
    def test_the_error_is_a_sum_and_can_be_capped(self) -> None:
        drawn, image = torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 2, 2)
        image[0, 0, 0, 0], image[0, 1, 0, 0] = 0.5, 0.1
        torch.testing.assert_close(pixel_error(drawn, image), torch.tensor([0.26, 0.0]))
        torch.testing.assert_close(pixel_error(drawn, image, cap=0.04), torch.tensor([0.05, 0.0]))

    def test_a_prediction_is_drawn_and_slots_may_change_places(self) -> None:
        encoder = ColourSegments.Config(slots=2, size=16).build()
        latents = torch.tensor([[[0.3, 0.4, 1.0, 0.0, 0.0, 0.2], [0.7, 0.6, 0.0, 1.0, 0.0, 0.2]]])
        image = (encoder.decode(latents) * 255).round().to(torch.uint8).movedim(1, 3)
        loss, weight = TransitionLoss(), torch.ones(1, 2)
        for order in ([0, 1], [1, 0]):
            state = SlotState(latents[:, order], weight)
            assert loss.error(state, state, image, encoder).item() < 1e-2
        moved = SlotState(latents + torch.tensor([0.1, 0, 0, 0, 0, 0]), weight)
        assert loss.error(moved, moved, image, encoder).item() > 1


class TestImportance:
    def test_changed_transitions_weigh_more_and_the_mean_is_one(self) -> None:
        changed = torch.tensor([True, False, False, False])
        weight = TransitionLoss(changed_weight=4.0).importance(changed, 0)
        torch.testing.assert_close(weight, torch.tensor([4.0, 1.0, 1.0, 1.0]) / 1.75)

    def test_after_a_while_all_weigh_the_same(self) -> None:
        loss = TransitionLoss(changed_weight=4.0, changed_until=100)
        changed = torch.tensor([True, False])
        assert loss.importance(changed, 99)[0] > loss.importance(changed, 99)[1]
        assert loss.importance(changed, 100).tolist() == [1.0, 1.0]

    def test_what_changed(self) -> None:
        before = SlotState(torch.zeros(3, 2, 2), torch.ones(3, 2))
        after = before.latents.clone()
        after[0, 1, 0], after[1, 0, 1] = 0.1, 0.01
        assert TransitionLoss().changed(before, SlotState(after, before.weight)).tolist() == [True, False, False]
        pictures = torch.zeros(2, 3, 4, 4, 3, dtype=torch.uint8)
        pictures[1, 2, 1, 1, 0] = 20
        changed = TransitionLoss().changed(before, before, (pictures[0], pictures[1]))
        assert changed.tolist() == [False, False, True]

    @pytest.mark.parametrize("setting", [{"changed_weight": 0.0}, {"change_threshold": -1.0}, {"pixel_cap": 0.0}])
    def test_bad_settings(self, setting: dict) -> None:
        with pytest.raises(ConfigError, match=next(iter(setting))):
            TransitionLoss(**setting)
