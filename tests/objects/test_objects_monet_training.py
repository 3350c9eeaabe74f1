"""MONet in the engine: micro-batches, resuming, bad images, memory layouts, and that it learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_monet import Boxes, small_monet

from percepts.core.errors import NonFiniteError
from percepts.data.stream import StreamConfig
from percepts.objects.geco import Geco
from percepts.training.engine import Engine
from percepts.training.optimizers import Optimizer
from percepts.training.settings import Training

GECO = {"geco": Geco.Config(goal=-2.0, rate=1e-3)}


def engine(model: dict[str, Any] | None = None, poison: bool = False, **settings: Any) -> Engine:
    torch.manual_seed(0)
    data = Boxes.Config(poison=poison).build()
    training = Training(steps=60, device="cpu", optimizer=Optimizer(lr=3e-3), **settings)
    return Engine(small_monet(**(model or {})).build(), data, training, StreamConfig(batch_size=8), seed=0)


def train(some: Engine, steps: int) -> list[float]:
    batches = zip(some.batches(), range(steps))
    return [float(some.train_step(batch).minimise["model"]) for batch, _ in batches]


def weights(some: Engine) -> torch.Tensor:
    """All but the bias of the masks' logit: the softmax over slots cannot see it, so Adam makes steps of rounding."""
    return torch.cat([parameter.detach().flatten() for parameter in some.model.parameters()])[:-1]


@pytest.mark.parametrize("model", [{}, GECO, {"checkpoint_attention": True, "slot_chunk": 2}])
def test_accumulation_gives_the_same_weights(model: dict[str, Any]):
    whole, parts = engine(model), engine(model, accumulate=4)
    before = weights(whole).clone()
    assert train(parts, 5) == pytest.approx(train(whole, 5), rel=1e-4)
    torch.testing.assert_close(weights(parts), weights(whole), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(weights(whole), before)


def test_the_weight_that_geco_found_goes_on_from_a_checkpoint():
    whole, half = engine(GECO), engine(GECO)
    train(whole, 4)
    train(half, 4)
    resumed = engine(GECO)
    resumed.model.load_state_dict(half.model.state_dict())
    resumed.step = 4
    batch = whole.stream.batch(4)
    losses = [some.model.losses(batch, some._training_step(0, None)) for some in (whole, resumed)]
    assert torch.equal(losses[0].terms["kl_weight"], losses[1].terms["kl_weight"])
    assert float(losses[0].terms["kl_weight"]) != 1.0


def test_a_nan_in_an_image_stops_the_training_before_it_spoils_a_weight():
    some = engine(poison=True)
    before = weights(some).clone()
    with pytest.raises(NonFiniteError, match="holds NaN"):
        train(some, 1)
    assert torch.equal(weights(some), before)


def test_the_memory_layout_changes_no_number():
    assert train(engine(channels_last="yes"), 3) == pytest.approx(train(engine(channels_last="no"), 3), rel=1e-4)


def test_the_same_seed_gives_the_same_bits():
    assert train(engine(), 3) == train(engine(), 3)


@pytest.mark.parametrize("model", [{}, {"masks": "given"}])
def test_it_learns(model: dict[str, Any]):
    some = engine(model)
    losses = train(some, 25)
    assert sum(losses[-5:]) / 5 < 0.7 * losses[0]
