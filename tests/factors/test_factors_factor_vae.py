"""FactorVAE: its two losses by hand, its permutation, its discriminator on codes of known total correlation."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from model_contract import ModelContract
from torch import Tensor

from percepts.core.capabilities import StillStep
from percepts.core.config import Config
from percepts.core.errors import ConfigError, DataError
from percepts.factors.factor_vae import (
    Discriminator,
    FactorVAE,
    density_ratio,
    discriminator_accuracy,
    discriminator_loss,
    permute_latents,
)
from percepts.factors.vae import VAE
from percepts.nn.mlp import MLPDecoder, MLPEncoder

SMALL: dict[str, Any] = {
    "image_shape": (1, 8, 8),
    "latent_size": 4,
    "encoder": MLPEncoder.Config(hidden=(12,), activation="tanh"),
    "decoder": MLPDecoder.Config(hidden=(12,), activation="tanh"),
    "discriminator": Discriminator.Config(hidden=(10, 10)),
}


class TestFactorVAE(ModelContract):
    def config(self) -> Config:
        return FactorVAE.Config(gamma=5.0, **SMALL)


def build(**settings: Any) -> FactorVAE:
    torch.manual_seed(0)
    model: FactorVAE = FactorVAE.Config(**{**SMALL, **settings}).build()
    return model


def images(count: int = 6) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def still() -> StillStep:
    return StillStep(0, torch.Generator().manual_seed(2))


def test_the_vae_pays_for_what_the_discriminator_sees() -> None:
    model, image = build(gamma=7.0), images()
    found = model.losses({"image": image}, still())
    plain = VAE.losses(model, {"image": image}, still())
    latents = model.infer(image, still())[1]
    logits = model.discriminator(latents)
    estimate = (logits[:, 0] - logits[:, 1]).mean()
    torch.testing.assert_close(found.minimise["model"], plain.minimise["model"] + 7 * estimate)
    torch.testing.assert_close(found.terms["total_correlation"], estimate.detach())


def test_the_discriminator_learns_real_as_class_0_and_permuted_as_class_1() -> None:
    real, permuted = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(0))
    zeros, ones = torch.zeros(6, dtype=torch.int64), torch.ones(6, dtype=torch.int64)
    expected = 0.5 * F.cross_entropy(real, zeros) + 0.5 * F.cross_entropy(permuted, ones)
    torch.testing.assert_close(discriminator_loss(real, permuted), expected)
    right = (real.argmax(1) == 0).sum() + (permuted.argmax(1) == 1).sum()
    assert discriminator_accuracy(real, permuted).item() == pytest.approx(right.item() / 12)
    assert discriminator_loss(torch.zeros(3, 2), torch.zeros(5, 2)).item() == pytest.approx(math.log(2))
    sure = torch.tensor([[9.0, -9.0]])
    assert discriminator_accuracy(sure, -sure) == 1.0
    assert discriminator_accuracy(-sure, sure) == 0.0


def test_neither_side_moves_the_other() -> None:
    model = build()
    groups = {name: list(parameters) for name, parameters in model.parameter_groups().items()}
    losses = model.losses({"image": images()}, still()).minimise
    for parameter in groups["model"]:
        assert torch.autograd.grad(losses["discriminator"], parameter, retain_graph=True, allow_unused=True) == (None,)
    free = build(gamma=0.0)
    pressed, plain = (
        torch.autograd.grad(one.losses({"image": images()}, still()).minimise["model"], one.encoder.parameters())
        for one in (model, free)
    )
    assert not torch.allclose(pressed[0], plain[0])
    torch.testing.assert_close(list(model.parameters()), list(free.parameters()))


def test_a_permutation_keeps_every_column_and_shuffles_columns_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    latents = torch.arange(4000.0)[:, None].expand(4000, 3)
    permuted = permute_latents(latents, torch.rand(4000, 3, generator=generator))
    for column in permuted.T:
        assert torch.equal(column.sort().values, latents[:, 0])
    assert torch.corrcoef(torch.cat([permuted, latents[:, :1]], dim=1).T).fill_diagonal_(0).abs().max() < 0.06
    assert torch.equal(permute_latents(latents, latents), latents)


def test_the_permutation_follows_the_step() -> None:
    model, image = build(), images()
    first, again = (model.losses({"image": image}, still()).minimise["discriminator"] for _ in range(2))
    assert torch.equal(first, again)

    class OtherKeys(StillStep):
        def uniform(self, like: Tensor) -> Tensor:
            return super().uniform(like).flip(1)

    other = model.losses({"image": image}, OtherKeys(0, torch.Generator().manual_seed(2)))
    assert not torch.equal(first, other.minimise["discriminator"])


def test_the_second_half_is_only_permuted() -> None:
    model = build(permute="second")
    image = images(8)
    found = model.losses({"image": image}, still())
    plain = VAE.losses(model, {"image": image[0::2]}, still())
    torch.testing.assert_close(found.terms["elbo"], plain.terms["elbo"])
    changed = image.clone()
    changed[1::2] = 1 - changed[1::2]
    other = model.losses({"image": changed}, still())
    assert torch.equal(found.minimise["model"], other.minimise["model"])
    assert not torch.equal(found.minimise["discriminator"], other.minimise["discriminator"])
    with pytest.raises(DataError, match=r"7 images.*even number"):
        model.losses({"image": images(7)}, still())


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_a_trained_discriminator_measures_the_total_correlation(correlation: float) -> None:
    """Of a correlated Gaussian: −½ ln(1 − ρ²) nats. With swapped classes the sign would be wrong."""
    torch.manual_seed(0)
    judge = Discriminator.Config(hidden=(64, 64)).build(latent_size=2)
    optimizer = torch.optim.Adam(judge.parameters(), lr=3e-3)

    def codes(count: int) -> Tensor:
        latents = torch.randn(count, 2)
        latents[:, 1] = correlation * latents[:, 0] + math.sqrt(1 - correlation**2) * latents[:, 1]
        return latents

    for _ in range(400):
        latents = codes(512)
        optimizer.zero_grad()
        discriminator_loss(judge(latents), judge(permute_latents(latents, torch.rand(512, 2)))).backward()
        optimizer.step()
    estimate = density_ratio(judge(codes(20_000))).mean().item()
    assert estimate == pytest.approx(-0.5 * math.log(1 - correlation**2), abs=0.05)


def test_the_discriminator_has_the_papers_layers() -> None:
    judge = Discriminator.Config().build(latent_size=10)
    linear = [layer for layer in judge.layers if isinstance(layer, torch.nn.Linear)]
    assert [layer.out_features for layer in linear] == [1000] * 6 + [2]
    slopes = {layer.negative_slope for layer in judge.layers if isinstance(layer, torch.nn.LeakyReLU)}
    assert slopes == {0.2}
    assert isinstance(judge.layers[-1], torch.nn.Linear)


def test_bad_settings_say_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"^gamma = -1"):
        FactorVAE.Config(gamma=-1.0)
    with pytest.raises(ConfigError, match=r"latent_size = 1.*at least two"):
        FactorVAE.Config(latent_size=1)
    with pytest.raises(ConfigError, match=r"FactorVAE\.permute = 'first'; expected one of 'same', 'second'"):
        FactorVAE.Config(permute="first")  # type: ignore[arg-type]
