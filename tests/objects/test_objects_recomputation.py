"""Decoding with little memory gives the numbers of decoding with much."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_iodine import built, images, small_refinement, step
from torch import Tensor, nn

from percepts.objects.recomputation import plain, recalled, without_gradients

SETTINGS: list[dict[str, Any]] = [{"checkpoint": True}, {"slot_chunk": 1}, {"slot_chunk": 2}, {"slot_chunk": 9}]


def gradients(**settings: Any) -> dict[str, Tensor]:
    """The loss of a step and the gradients of all weights, in float64."""
    model = built(**settings).double()
    loss = model.losses({"image": images().double()}, step()).minimise["model"]
    loss.backward()
    return {"loss": loss.detach(), **{name: weight.grad for name, weight in model.named_parameters()}}


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("inputs", [None, ("image", "zp", "dmask")], ids=["all inputs", "no dzp"])
def test_training_is_the_same(settings: dict[str, Any], inputs: Any):
    shared = {} if inputs is None else {"refinement": small_refinement(inputs=inputs)}
    expected = gradients(**shared)
    for name, value in gradients(**shared, **settings).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("settings", SETTINGS[:2], ids=str)
def test_decoding_again_is_under_the_autocast_of_the_first_time(settings: dict[str, Any]):
    found = {}
    for name, changes in (("plain", {}), ("again", settings)):
        model = built(**changes)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model.losses({"image": images()}, step()).minimise["model"]
        loss.backward()
        found[name] = model.decoder.first.weight.grad
    torch.testing.assert_close(found["again"], found["plain"], rtol=0.02, atol=0.02 * float(found["plain"].abs().max()))


class Counted(nn.Module):
    """A decoder that counts the rows that it draws."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(3, 50), nn.ELU(), nn.Linear(50, 4), nn.Unflatten(1, (1, 2, 2)))
        self.rows = 0

    def forward(self, latents: Tensor) -> Tensor:
        self.rows += len(latents)
        return self.layer(latents)


@pytest.mark.parametrize(
    ("make", "forward", "pulled", "backward"),
    [
        (plain, 6, 6, 6),
        (recalled, 6, 6, 12),
        (lambda *arguments: recalled(*arguments, 4), 6, 12, 18),
    ],
    ids=["plain", "recalled", "chunked"],
)
def test_how_often_is_decoded(make: Any, forward: int, pulled: int, backward: int):
    torch.manual_seed(0)
    decoder, latents = Counted(), torch.randn(6, 3, requires_grad=True)
    decoded = make(decoder, latents, True)
    assert decoder.rows == forward
    pull = decoded.pull_back(torch.ones_like(decoded.output))
    assert decoder.rows == pulled
    decoded.output.sum().backward()
    assert decoder.rows == backward
    torch.testing.assert_close(latents.grad, pull)
    torch.testing.assert_close(without_gradients(decoder, latents, 4), decoded.output)
