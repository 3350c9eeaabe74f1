"""Editing scenes by their slots, traversals, usage of latents, gradients by slot."""

from __future__ import annotations

import pytest
import torch
from small_monet import built, images

from percepts.core.capabilities import StillStep
from percepts.core.errors import DataError
from percepts.core.slots import Slots
from percepts.objects import editing
from percepts.objects.gradients import gradient_share
from percepts.objects.traversals import VALUES, most_informative, traverse, usage

A = torch.arange(2 * 3 * 4).reshape(2, 3, 4).float()
B = -torch.arange(2 * 2 * 4).reshape(2, 2, 4).float() - 1


def test_swap_exchanges_and_is_its_own_inverse():
    a, b = editing.swap(A, 2, B, 0)
    assert torch.equal(a[:, 2], B[:, 0])
    assert torch.equal(b[:, 0], A[:, 2])
    assert torch.equal(a[:, :2], A[:, :2])
    again_a, again_b = editing.swap(a, 2, b, 0)
    assert torch.equal(again_a, A)
    assert torch.equal(again_b, B)


def test_a_slot_can_be_another_in_every_image():
    which = torch.tensor([0, 2])
    assert torch.equal(editing.take(A, which), torch.stack([A[0, 0], A[1, 2]]))
    deleted = editing.delete(A, which)
    assert torch.equal(deleted, torch.stack([A[0, 1:], A[1, :2]]))
    inserted = editing.insert(A, B, torch.tensor([1, 0]))
    assert torch.equal(inserted[:, 3], torch.stack([B[0, 1], B[1, 0]]))
    assert torch.equal(inserted[:, :3], A)


def test_what_goes_in_is_left_alone():
    before = A.clone()
    editing.swap(A, 0, B, 0)
    editing.replace(A, 1, B[:, 0])
    assert torch.equal(A, before)


@pytest.mark.parametrize(
    "edit",
    [
        lambda: editing.take(A, 3),
        lambda: editing.take(A, -1),
        lambda: editing.take(A, torch.tensor([0, 1, 2])),
        lambda: editing.delete(A[:, :1], 0),
        lambda: editing.insert(A, B[:1], 0),
        lambda: editing.swap(A, 0, B[:, :, :3], 0),
    ],
)
def test_slots_that_are_not_there_are_named(edit):
    with pytest.raises(DataError):
        edit()


@torch.no_grad()
def test_a_deleted_slot_leaves_its_place_to_the_others():
    model = built()
    latents = model.encode(images()).mean
    appearance, mask = model.components(latents)
    fewer, shared = model.components(editing.delete(latents, 1))
    torch.testing.assert_close(fewer, appearance[:, [0, 2]])
    torch.testing.assert_close(shared, mask[:, [0, 2]] / (1 - mask[:, [1]]), rtol=1e-4, atol=1e-5)
    assert model.decode(editing.insert(latents, latents, 0)).shape == (4, 3, 16, 12)


@torch.no_grad()
def test_a_traversal_changes_its_slot_and_the_scene_with_it():
    model = built()
    latents = model.encode(images(2)).mean
    steps = traverse(model, latents, 1, 2)
    assert steps.appearance.shape == (2, len(VALUES), 3, 16, 12)
    assert steps.mask.shape == (2, len(VALUES), 16, 12)
    changed = latents.clone()
    changed[:, 1, 2] = VALUES[0]
    torch.testing.assert_close(steps.image[:, 0], model.decode(changed))
    appearance, mask = model.components(changed)
    torch.testing.assert_close(steps.masked[:, 0], mask[:, 1, None] * appearance[:, 1])
    assert not torch.equal(steps.appearance[:, 0], steps.appearance[:, -1])
    for slot, latent in ((3, 0), (0, 4), (-1, 0)):
        with pytest.raises(DataError, match="from 0 on"):
            traverse(model, latents, slot, latent)


def slots(mask: torch.Tensor) -> Slots:
    """Latent 0 says much, latent 1 nothing; the third slot is empty and says even more."""
    mean = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [9.0, 9.0]]).expand(2, -1, -1)
    variance = torch.tensor([0.01, 1.0]).expand(2, 3, 2)
    return Slots(mean, variance, mask)


def test_usage_counts_slots_that_hold_something():
    mask = torch.zeros(2, 3, 4, 4)
    mask[:, 0, :2] = 1
    mask[:, 1, 2:] = 1
    found = usage(slots(mask))
    assert found.slots == 4
    torch.testing.assert_close(found.std, torch.tensor([0.1, 1.0]))
    torch.testing.assert_close(found.kl, torch.tensor([0.5 * (9 + 0.01 + 4.60517 - 1), 0.0]))
    assert found.order.tolist() == [0, 1]
    assert float(found.spread[1]) == 0
    assert most_informative(slots(mask)) == (2, [0, 1])
    with pytest.raises(DataError, match="no more than one slot"):
        usage(slots(torch.full((2, 3, 4, 4), 1 / 3)))


def test_kl_is_torchs():
    found = slots(torch.ones(2, 3, 4, 4))
    normal = torch.distributions.Normal(found.mean, found.variance.sqrt())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(found.kl(), expected)


def test_gradient_shares_follow_the_masks(monkeypatch: pytest.MonkeyPatch):
    model = built()
    share = gradient_share(model, {"image": images()}, StillStep(0))
    assert share.shape == (3,)
    assert float(share.sum()) == pytest.approx(1)
    assert (share > 0).all()
    assert all(parameter.grad is None for parameter in model.parameters())
    monkeypatch.setattr(model, "attention_logit", lambda image, log_scope: torch.full_like(log_scope, -900.0))
    share = gradient_share(model, {"image": images()}, StillStep(0))
    torch.testing.assert_close(share, torch.tensor([0.0, 0.0, 1.0]))
