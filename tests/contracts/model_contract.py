"""What every trainable image model keeps; a model's test class inherits from `ModelContract`.

    class TestBetaVAE(ModelContract):
        def config(self) -> Config:
            return BetaVAE.Config(image_shape=(1, 16, 16), ...)

Checks of a capability that the model lacks are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from percepts.core.capabilities import (
    Batch,
    Decodes,
    Encodes,
    HasParameterGroups,
    InformativeLatents,
    Losses,
    Reconstructs,
    Samples,
    Step,
    StillStep,
    Trainable,
)
from percepts.core.config import Config, from_json, to_json


class FixedStep(StillStep):
    """A step whose noise is given: one row for every image of the batch."""

    def __init__(self, index: int, noise: Tensor) -> None:
        super().__init__(index)
        self.noise = noise

    def normal(self, like: Tensor) -> Tensor:
        rows, numbers = self.noise[: like.shape[0]], like[0].numel()
        wide = rows.repeat(1, -(-numbers // rows.shape[1]))
        return wide[:, :numbers].reshape(like.shape).to(like)

    def uniform(self, like: Tensor) -> Tensor:
        # The last columns, which a model of few latents does not get as normal numbers.
        return torch.special.ndtr(self.noise)[: like.shape[0], -like.shape[1] :].to(like)


class RecordingStep(FixedStep):
    """Remembers what a part would share with the others, call by call; what it gives back has the part alone."""

    def __init__(self, index: int, noise: Tensor) -> None:
        super().__init__(index, noise)
        self.shared: list[Tensor] = []

    def mean(self, value: Tensor) -> Tensor:
        self.shared.append(value.detach())
        return value

    def gather(self, value: Tensor) -> Tensor:
        return self.mean(value)


class PartStep(FixedStep):
    """One of several equal parts of a global batch.

    Args:
        number: which part.
        shared: for every part, what its `RecordingStep` remembered; no value may depend on an earlier one.
    """

    def __init__(self, index: int, noise: Tensor, number: int, shared: Sequence[Sequence[Tensor]]) -> None:
        super().__init__(index, noise)
        self.number = number
        self.calls = zip(*shared, strict=True)

    def mean(self, value: Tensor) -> Tensor:
        return value + (torch.stack(next(self.calls)).mean(0) - value).detach()

    def gather(self, value: Tensor) -> Tensor:
        rows = list(next(self.calls))
        rows[self.number] = value.detach() + len(rows) * (value - value.detach())
        return torch.cat(rows)


class ModelContract:
    """Inherit, implement `config`, and every promise of a model is checked."""

    batch_size = 6
    step_index = 3

    def config(self) -> Config:
        """A small config, complete enough to build."""
        raise NotImplementedError

    def batch(self, generator: torch.Generator) -> Batch:
        """A batch that the model can be trained on; by default images of the config's `image_shape`."""
        shape: tuple[int, ...] = self.config().image_shape  # type: ignore[attr-defined]
        return {"image": torch.rand(self.batch_size, *shape, generator=generator)}

    @pytest.fixture
    def model(self) -> Any:
        torch.manual_seed(0)
        return self.config().build()

    @pytest.fixture
    def data(self) -> Batch:
        return self.batch(torch.Generator().manual_seed(1))

    def step(self, seed: int = 2) -> Step:
        return StillStep(self.step_index, torch.Generator().manual_seed(seed))

    def test_the_model_is_trainable(self, model: Any) -> None:
        assert isinstance(model, Trainable)
        assert isinstance(model, torch.nn.Module)

    def test_config_round_trips_and_rebuilds_an_equal_model(self, model: Any, data: Batch) -> None:
        text = json.dumps(to_json(model.config))
        config = from_json(json.loads(text))
        assert config == self.config()
        torch.manual_seed(99)
        rebuilt = config.build()
        assert type(rebuilt) is type(model)
        rebuilt.load_state_dict(model.state_dict())
        assert_equal_losses(model.losses(data, self.step()), rebuilt.losses(data, self.step()))

    def test_losses_are_finite_scalars_for_every_parameter_group(self, model: Any, data: Batch) -> None:
        losses = model.losses(data, self.step())
        groups = set(model.parameter_groups()) if isinstance(model, HasParameterGroups) else {"model"}
        assert set(losses.minimise) == groups
        for name, value in losses.minimise.items():
            assert value.shape == (), name
            assert torch.isfinite(value), name
            assert value.requires_grad, name
        for name, value in losses.terms.items():
            assert value.ndim <= 1, name
            assert torch.isfinite(value).all(), name
            assert not value.requires_grad, f"{name} keeps the graph alive"

    def test_every_parameter_gets_a_finite_gradient(self, model: Any, data: Batch) -> None:
        losses = model.losses(data, self.step())
        for value in losses.minimise.values():
            value.backward(retain_graph=True)
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().sum() > 0, name

    def test_groups_share_no_parameter_and_leave_none_out(self, model: Any) -> None:
        if not isinstance(model, HasParameterGroups):
            pytest.skip("one group")
        listed = [id(parameter) for group in model.parameter_groups().values() for parameter in group]
        assert len(listed) == len(set(listed))
        assert set(listed) == {id(parameter) for parameter in model.parameters()}

    def test_the_same_noise_gives_the_same_loss_and_other_noise_another(self, model: Any, data: Batch) -> None:
        first = model.losses(data, self.step(2))
        torch.manual_seed(1234)  # numbers from the global stream would show here
        assert_equal_losses(first, model.losses(data, self.step(2)))
        other = model.losses(data, self.step(3))
        assert any(not torch.equal(first.minimise[name], other.minimise[name]) for name in first.minimise)

    def test_the_loss_of_a_batch_is_the_mean_over_its_parts(self, model: Any, data: Batch) -> None:
        noise = torch.randn(self.batch_size, 64, generator=torch.Generator().manual_seed(5))
        half = self.batch_size // 2
        parts = [({key: value[s] for key, value in data.items()}, noise[s]) for s in (slice(half), slice(half, None))]
        recorders = [RecordingStep(self.step_index, part_noise) for _, part_noise in parts]
        for (part, _), recorder in zip(parts, recorders):
            model.losses(part, recorder)
        shared = [recorder.shared for recorder in recorders]
        assert not shared[0] or model.couples_batch
        whole = gradients(model, data, FixedStep(self.step_index, noise))
        halves = [
            gradients(model, part, PartStep(self.step_index, part_noise, number, shared))
            for number, (part, part_noise) in enumerate(parts)
        ]
        for key, value in whole.items():
            torch.testing.assert_close((halves[0][key] + halves[1][key]) / 2, value, rtol=2e-4, atol=2e-4)

    def test_encode_gives_a_posterior_for_every_image(self, model: Any, data: Batch) -> None:
        if not isinstance(model, Encodes):
            pytest.skip("does not encode")
        posterior = model.encode(data["image"])
        assert posterior.mean.shape == posterior.variance.shape
        assert posterior.mean.shape[0] == self.batch_size
        assert (posterior.variance > 0).all()
        zero = torch.zeros_like(posterior.mean)
        torch.testing.assert_close(posterior.sample(zero), posterior.mean)
        spread = posterior.sample(zero + 1) - posterior.mean
        torch.testing.assert_close(spread, posterior.variance.sqrt(), rtol=1e-3, atol=1e-5)

    def test_images_out_are_like_images_in(self, model: Any, data: Batch) -> None:
        image = data["image"]
        made = []
        if isinstance(model, Reconstructs) and isinstance(model, Encodes):
            made.append(model.reconstruct(image))
        if isinstance(model, Encodes) and isinstance(model, Decodes):
            made.append(model.decode(model.encode(image).mean))
            torch.testing.assert_close(made[0], made[-1])
        if isinstance(model, Samples):
            made.append(model.sample(self.batch_size, torch.Generator().manual_seed(0)))
            torch.testing.assert_close(made[-1], model.sample(self.batch_size, torch.Generator().manual_seed(0)))
        for result in made:
            assert result.shape == image.shape
            assert result.dtype == torch.float32
            assert result.min() >= 0
            assert result.max() <= 1

    def test_evaluation_is_deterministic_and_independent_of_the_batch(self, model: Any, data: Batch) -> None:
        if not isinstance(model, Encodes):
            pytest.skip("does not encode")
        model.eval()
        with torch.no_grad():
            first, again = model.encode(data["image"]), model.encode(data["image"])
            alone = model.encode(data["image"][:1])
        assert torch.equal(first.mean, again.mean)
        torch.testing.assert_close(alone.mean, first.mean[:1], rtol=1e-4, atol=1e-5)

    def test_informative_latents_are_sorted_and_thresholded(self, model: Any, data: Batch) -> None:
        if not isinstance(model, InformativeLatents):
            pytest.skip("does not rank latents")
        kl = model.encode(data["image"]).kl_to_standard().mean(0).detach()
        everything = model.informative_latents(data["image"], threshold=-1.0)
        assert torch.equal(everything, kl.argsort(descending=True))
        middle = float(kl.sort().values[-2:].mean())
        assert model.informative_latents(data["image"], threshold=middle).tolist() == [int(kl.argmax())]


def assert_equal_losses(left: Losses, right: Losses) -> None:
    """Equal to the bit, all of them."""
    for a, b in ((left.minimise, right.minimise), (left.terms, right.terms)):
        assert a.keys() == b.keys()
        for key in a:
            assert torch.equal(a[key], b[key]), key


def gradients(model: Any, batch: Batch, step: Step) -> dict[str, Tensor]:
    """The minimised values and, by name, the gradients of their sum."""
    model.zero_grad()
    losses = model.losses(batch, step)
    sum(losses.minimise.values()).backward()
    found = {f"grad {name}": parameter.grad.clone() for name, parameter in model.named_parameters()}
    return {**found, **{f"loss {name}": value.detach() for name, value in losses.minimise.items()}}
