"""DIP-VAE-I and -II: the penalties by hand, and the model contract."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from model_contract import ModelContract

from percepts.core.capabilities import StillStep
from percepts.core.config import Config
from percepts.core.errors import ConfigError
from percepts.factors.dip_vae_i import DIPVAEI, covariance, dip_penalties
from percepts.factors.dip_vae_ii import DIPVAEII
from percepts.factors.vae import VAE
from percepts.nn.mlp import MLPDecoder, MLPEncoder

SMALL: dict[str, Any] = {
    "image_shape": (1, 8, 8),
    "latent_size": 4,
    "encoder": MLPEncoder.Config(hidden=(12,), activation="tanh"),
    "decoder": MLPDecoder.Config(hidden=(12,), activation="tanh"),
}


class TestDIPVAEI(ModelContract):
    def config(self) -> Config:
        return DIPVAEI.Config(lambda_od=7.0, lambda_d=3.0, **SMALL)


class TestDIPVAEII(ModelContract):
    def config(self) -> Config:
        return DIPVAEII.Config(lambda_od=7.0, lambda_d=3.0, **SMALL)


def test_the_covariance_is_that_of_the_batch_divided_by_its_size() -> None:
    rows = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 5
    expected = np.cov(rows.numpy(), rowvar=False, bias=True)
    np.testing.assert_allclose(covariance(rows).numpy(), expected, rtol=1e-12)
    moments = rows.T @ rows / 7 - torch.outer(rows.mean(0), rows.mean(0))
    torch.testing.assert_close(covariance(rows), moments, rtol=1e-9, atol=1e-9)


def test_penalties_count_every_pair_twice_and_every_variance_once() -> None:
    off_diagonal, diagonal = dip_penalties(torch.tensor([[3.0, 0.5, 0.0], [0.5, 1.0, -2.0], [0.0, -2.0, 0.0]]))
    assert off_diagonal == 2 * (0.25 + 4.0)
    assert diagonal == 4.0 + 0.0 + 1.0
    assert dip_penalties(torch.eye(5)) == (0.0, 0.0)


@pytest.mark.parametrize("kind", [DIPVAEI, DIPVAEII])
def test_the_loss_is_the_negative_elbo_and_the_penalty(kind: Any) -> None:
    torch.manual_seed(0)
    model = kind.Config(lambda_od=2.0, lambda_d=5.0, **SMALL).build()
    image = torch.rand(9, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    found = model.losses({"image": image}, StillStep(0, torch.Generator().manual_seed(2)))
    plain = VAE.losses(model, {"image": image}, StillStep(0, torch.Generator().manual_seed(2)))
    posterior = model.encode(image)
    moments = np.cov(posterior.mean.detach().double().numpy(), rowvar=False, bias=True)
    if kind is DIPVAEII:
        moments += np.diag(posterior.variance.detach().double().numpy().mean(0))
    off_diagonal = (moments**2).sum() - (np.diag(moments) ** 2).sum()
    diagonal = ((np.diag(moments) - 1) ** 2).sum()
    assert found.terms["off_diagonal"].item() == pytest.approx(off_diagonal, rel=1e-4)
    assert found.terms["diagonal"].item() == pytest.approx(diagonal, rel=1e-4)
    expected = plain.minimise["model"].item() + 2 * off_diagonal + 5 * diagonal
    assert found.minimise["model"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", [DIPVAEI, DIPVAEII])
def test_without_weights_it_is_the_vae(kind: Any) -> None:
    torch.manual_seed(0)
    model = kind.Config(lambda_od=0.0, **SMALL).build()
    batch = {"image": torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))}
    found = model.losses(batch, StillStep(0, torch.Generator().manual_seed(2)))
    plain = VAE.losses(model, batch, StillStep(0, torch.Generator().manual_seed(2)))
    torch.testing.assert_close(found.minimise["model"], plain.minimise["model"])


def test_a_latent_that_ignores_its_input_costs_only_in_the_first_variant() -> None:
    for kind, cost in ((DIPVAEI, 4.0), (DIPVAEII, 0.0)):
        torch.manual_seed(0)
        model = kind.Config(**SMALL).build()
        with torch.no_grad():
            model.encoder.layers[-1].weight.zero_()
            model.encoder.layers[-1].bias.zero_()
        terms = model.losses({"image": torch.rand(6, 1, 8, 8)}, StillStep(0)).terms
        assert terms["diagonal"].item() == pytest.approx(cost, abs=1e-6)
        assert terms["off_diagonal"].item() == pytest.approx(0.0, abs=1e-6)


def test_the_diagonal_weighs_ten_times_as_much_in_the_first_variant_and_the_same_in_the_second() -> None:
    assert DIPVAEI.Config(lambda_od=3.0, **SMALL).build().lambda_d == 30.0
    assert DIPVAEII.Config(lambda_od=3.0, **SMALL).build().lambda_d == 3.0


@pytest.mark.parametrize("kind", [DIPVAEI, DIPVAEII])
@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_weights_are_finite_and_not_negative(kind: Any, bad: float) -> None:
    for name in ("lambda_od", "lambda_d"):
        with pytest.raises(ConfigError, match=f"^{name} = .*expected a finite number"):
            dataclasses.replace(kind.Config(), **{name: bad})
