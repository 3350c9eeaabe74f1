"""Reward predictors: what they are invariant to, what they cannot see, and that they learn sums and comparisons."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from percepts.agents.cobra.rewards import (
    DeepSetsHead,
    FlatHead,
    Head,
    RelationHead,
    RewardModel,
    SumHead,
    perceptron,
)
from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError
from percepts.core.random import torch_generator

SETS = [SumHead.Config(hidden=(16,)), DeepSetsHead.Config(hidden=(16, 8)), RelationHead.Config(hidden=(16, 8)),
        RelationHead.Config(hidden=(16,), reads=(0, 1), compares=((2, 3), (4,)))]  # fmt: skip


def model(*heads: Head, **settings) -> RewardModel:
    torch.manual_seed(0)
    return RewardModel.Config(heads=heads, **settings).build(latents=5, slots=4)


def scenes(batch: int = 6, slots: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch_generator(1, "scenes")
    latents = torch.randn(batch, slots, 5, generator=generator)
    return latents, torch.rand(batch, slots, generator=generator)


@pytest.mark.parametrize("head", SETS)
def test_the_order_of_the_slots_is_irrelevant(head: Head):
    reward = model(head)
    latents, weight = scenes()
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(reward(latents[:, order], weight[:, order]), reward(latents, weight))


@pytest.mark.parametrize("head", SETS)
def test_empty_slots_change_nothing_whatever_they_hold(head: Head):
    reward = model(head)
    latents, weight = scenes()
    more = torch.cat([latents, 100 * torch.randn(6, 3, 5, generator=torch_generator(2))], 1)
    padded = torch.cat([weight, torch.zeros(6, 3)], 1)
    torch.testing.assert_close(reward(more, padded), reward(latents, weight))


@pytest.mark.parametrize("head", [*SETS, FlatHead.Config(hidden=(16,))])
def test_every_object_matters_and_rows_do_not_mix(head: Head):
    reward = model(head)
    latents, weight = scenes()
    latents.requires_grad_()
    gradient = torch.autograd.grad(reward(latents, weight)[0, 2], latents)[0]
    assert (gradient[2].abs().sum(-1) > 0).all()
    assert gradient[[0, 1, 3, 4, 5]].abs().sum() == 0


@pytest.mark.parametrize("head", [kind(reads=(0, 3)) for kind in (SumHead.Config, DeepSetsHead.Config, FlatHead.Config,
                                                                    RelationHead.Config)])  # fmt: skip
def test_a_head_sees_only_what_it_reads(head: Head):
    reward = model(head)
    latents, weight = scenes()
    changed = latents.clone()
    changed[..., [1, 2, 4]] += 1
    assert torch.equal(reward(changed, weight), reward(latents, weight))
    changed[..., 3] += 1
    assert not torch.equal(reward(changed, weight), reward(latents, weight))


def test_the_first_layer_of_a_relation_is_that_of_the_pairs_written_out():
    head = RelationHead.Config(hidden=(7,), reads=(0, 4), compares=((1, 2), (3,))).build(latents=5, slots=4)
    latents, _ = scenes()
    seen = latents[..., [0, 4]]
    one, other = (part.expand(6, 4, 4, 2) for part in (seen[:, :, None], seen[:, None]))
    squared = (latents[:, :, None] - latents[:, None]).square()
    pairs = torch.cat(
        [one, other, one - other, (one - other).abs(), squared[..., 1:3].sum(-1, keepdim=True), squared[..., 3:4]], -1
    )
    torch.testing.assert_close(head._first(latents), head.first(pairs))


def test_compared_latents_count_by_their_distance_alone():
    """Turning every object's (cos, sin) of a hue by the same angle changes nothing, turning one of them does."""
    reward = model(RelationHead.Config(reads=(0, 1), compares=((2, 3),)))
    latents, weight = scenes()
    angle = torch.tensor(0.7)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    turned = latents.clone()
    turned[..., 2:4] = latents[..., 2:4] @ turn.T
    torch.testing.assert_close(reward(turned, weight), reward(latents, weight))
    single = latents.clone()
    single[:, 0] = turned[:, 0]
    assert (reward(single, weight) - reward(latents, weight)).abs().min() > 1e-6


def test_a_flat_head_depends_on_the_order_and_refuses_another_number():
    reward = model(FlatHead.Config())
    latents, weight = scenes()
    order = torch.tensor([1, 0, 2, 3])
    assert not torch.allclose(reward(latents[:, order], weight[:, order]), reward(latents, weight))
    with pytest.raises(ConfigError, match="5 slots for a flat reward head that was made for 4"):
        reward(*scenes(slots=5))


def test_heads_add_up_and_members_are_kept_apart():
    both = model(SETS[0], SETS[2], members=3)
    latents, weight = scenes()
    said = both(latents, weight)
    parts = torch.stack([sum(head(latents, weight) for head in member.heads) for member in both.members])
    torch.testing.assert_close(said, parts)
    predicted = both.predict(latents, weight)
    torch.testing.assert_close(predicted.mean, 10 * said.mean(0))
    torch.testing.assert_close(predicted.std, 10 * said.std(0, correction=0))
    assert (predicted.std > 0).all()
    assert (model(SETS[0]).predict(latents, weight).std == 0).all()


def test_the_loss_is_hubers_on_clipped_tenths():
    reward = model(SETS[0])
    for parameter in reward.parameters():
        torch.nn.init.zeros_(parameter)
    latents, weight = scenes(3)
    value = reward.loss(latents, weight, torch.tensor([10.0, -1000.0, 1000.0], dtype=torch.float64))
    # Errors of 1, 6 and 4 in units of ten; delta 1.5.
    expected = (0.5 + 1.5 * (6 - 0.75) + 1.5 * (4 - 0.75)) / 3
    torch.testing.assert_close(value, torch.tensor(expected))


def test_hidden_latents_are_hidden_from_all_slots_and_by_the_generator_alone():
    reward = model(SETS[0], members=2, input_dropout=0.5)
    latents, weight = scenes()
    nothing = torch.ones(2, 6, 5, dtype=torch.bool)
    said = reward(latents, weight, nothing)
    torch.testing.assert_close(said, reward(torch.zeros_like(latents), weight))
    first = torch.arange(5).expand(2, 6, 5) == 0
    without = latents.clone()
    without[..., 0] = 0
    torch.testing.assert_close(reward(latents, weight, first), reward(without, weight))
    target = torch.zeros(6)
    losses = [reward.loss(latents, weight, target, torch_generator(seed)).item() for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert reward.loss(latents, weight, target) != losses[0]


@pytest.mark.parametrize("head", [SumHead.Config(hidden=(32, 32)), DeepSetsHead.Config(hidden=(32, 32))])
def test_sums_are_learned_and_carry_over_to_more_objects(head: Head):
    """Trained with two present objects, right with four."""

    def batch(objects: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        latents = torch.rand(128, 4, 5, generator=generator)
        weight = (torch.arange(4) < objects).float().expand(128, 4)
        return latents, weight, 10 * (latents[..., 0] * weight).sum(-1)

    reward = model(head, input_dropout=0.0)
    optimizer = torch.optim.Adam(reward.parameters(), 5e-3)
    for step in range(250):
        optimizer.zero_grad()
        reward.loss(*batch(1 + step % 2, torch_generator(0, step))).backward()
        optimizer.step()
    latents, weight, wanted = batch(2, torch_generator(1))
    with torch.no_grad():
        assert (reward.predict(latents, weight).mean - wanted).abs().mean() < 0.5
        if isinstance(head, SumHead.Config):
            latents, weight, wanted = batch(4, torch_generator(2))
            assert (reward.predict(latents, weight).mean - wanted).abs().mean() < 1.0


def test_configurations_survive_json():
    config = RewardModel.Config(heads=(SETS[3], FlatHead.Config(reads=(1,))), members=2)
    assert from_json(to_json(config), RewardModel.Config) == config


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RewardModel.Config(heads=()), "one head or more"),
        (lambda: RewardModel.Config(input_dropout=1.0), r"a share in \[0, 1\)"),
        (lambda: RewardModel.Config(members=0), "at least 1"),
        (lambda: RewardModel.Config(delta=0.0), "a positive number"),
        (lambda: RewardModel.Config(lowest=5.0, highest=1.0), r"more than lowest = 5\.0"),
        (lambda: SumHead.Config(hidden=()), "one positive width"),
        (lambda: SumHead.Config(reads=()), "reads no latent"),
        (lambda: model(SumHead.Config(reads=(5,))), "different numbers from 0 to 4"),
        (lambda: model(SumHead.Config(reads=(1, 1))), "different numbers from 0 to 4"),
        (lambda: model(RelationHead.Config(reads=(0, 1), compares=((1,),))), r"\[1\] are both read and compared"),
    ],
)
def test_wrong_settings_are_named(make, message: str):
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_perceptron_ends_linear():
    last = list(perceptron(3, (4, 5)))[-1]
    assert (last.in_features, last.out_features) == (5, 1)
