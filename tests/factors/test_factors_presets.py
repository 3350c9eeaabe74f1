"""Presets are the papers' tables, and the diagnostics."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch

from percepts.core.capabilities import StillStep
from percepts.core.config import from_json, to_json
from percepts.factors import presets
from percepts.factors.capacity import FactorChannel
from percepts.factors.diagnostics import capacity_suggestion, excess_reconstruction
from percepts.factors.vae import VAE
from percepts.nn.mlp import MLPDecoder, MLPEncoder

CHANNELS = (FactorChannel(name="scale", column=0, values=(1.0, 2.0)),)
TABLE: list[tuple[Any, tuple[int, int, int], dict[str, Any]]] = [
    (presets.beta_vae_dsprites_fc(), (1, 64, 64), {"latent_size": 10, "beta": 4.0}),
    (presets.beta_vae_dsprites_conv(), (1, 64, 64), {"latent_size": 10, "beta": 4.0}),
    (presets.beta_vae_chairs(), (1, 64, 64), {"latent_size": 32, "beta": 5.0}),
    (presets.beta_vae_faces(), (1, 64, 64), {"latent_size": 32, "beta": 20.0}),
    (presets.beta_vae_celeba(), (3, 64, 64), {"latent_size": 32, "beta": 250.0}),
    (presets.beta_vae_squares24(), (1, 24, 24), {"latent_size": 6, "beta": 14.0}),
    (presets.beta_vae_blobs24_broadcast(), (1, 24, 24), {"latent_size": 6, "beta": 1.0}),
    (presets.beta_vae_blobs24_fc(), (1, 24, 24), {"latent_size": 6, "beta": 1.0}),
    (presets.broadcast_vae_sprites(), (3, 64, 64), {"latent_size": 10}),
    (presets.deconv_vae_sprites(), (3, 64, 64), {"latent_size": 10}),
    (presets.deconv_vae_sprites(coordinates=True), (3, 64, 64), {"latent_size": 10}),
    (presets.cci_dsprites(), (1, 64, 64), {"latent_size": 10, "gamma": 1000.0}),
    (presets.cci_coloured_dsprites(), (3, 64, 64), {"latent_size": 10, "gamma": 1000.0}),
    (presets.cci_chairs(), (1, 64, 64), {"latent_size": 10, "gamma": 1000.0}),
    (presets.cci_celeba(), (3, 64, 64), {"latent_size": 32, "gamma": 10_000.0}),
    (presets.cci_practical(), (1, 64, 64), {"latent_size": 10, "gamma": 100.0}),
    (presets.cci_squares24(), (1, 24, 24), {"latent_size": 6, "gamma": 30.0}),
    (presets.capacity_squares24(CHANNELS), (1, 24, 24), {"gamma": 30.0}),
    (presets.factor_vae_squares24(), (1, 24, 24), {"latent_size": 6, "gamma": 10.0}),
    (presets.beta_tcvae_squares24(), (1, 24, 24), {"latent_size": 6, "beta": 6.0}),
    (presets.dip_vae_i_squares24(), (1, 24, 24), {"latent_size": 6, "lambda_od": 5.0}),
    (presets.dip_vae_ii_squares24(), (1, 24, 24), {"latent_size": 6, "lambda_od": 10.0}),
    *((configs[2], (1, 64, 64), {"latent_size": 10}) for configs in presets.udr_sweep().values()),
]


@pytest.mark.parametrize(("config", "shape", "settings"), TABLE)
def test_presets_have_the_tables_numbers_and_give_finite_losses(
    config: Any, shape: tuple[int, int, int], settings: dict[str, Any]
) -> None:
    assert config.image_shape is None
    assert {name: getattr(config, name) for name in settings} == settings
    assert from_json(json.loads(json.dumps(to_json(config)))) == config
    torch.manual_seed(0)
    model = dataclasses.replace(config, image_shape=shape).build()
    batch = {"image": torch.rand(2, *shape), "factors": torch.zeros(2, 1, dtype=torch.int64)}
    for loss in model.losses(batch, StillStep(0)).minimise.values():
        loss.backward(retain_graph=True)
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_capacities_of_the_tables() -> None:
    for config, stop, end in (
        (presets.cci_dsprites(), 25.0, 100_000),
        (presets.cci_chairs(), 25.0, 100_000),
        (presets.cci_celeba(), 50.0, 100_000),
        (presets.cci_squares24(), 6.0, 8000),
    ):
        assert config.capacity.at(0) == 0.0
        assert config.capacity.at(end // 2) == stop / 2
        assert config.capacity.at(end) == stop
    assert presets.capacity_squares24(CHANNELS).capacity.at(0) == 0.2


def test_the_sweep_of_six_classes_varies_one_weight_each() -> None:
    sweep = presets.udr_sweep()
    weights = {
        "beta_vae": lambda config: config.beta,
        "cci_vae": lambda config: config.capacity.stop,
        "factor_vae": lambda config: config.gamma,
        "beta_tcvae": lambda config: config.beta,
        "dip_vae_i": lambda config: config.lambda_od,
        "dip_vae_ii": lambda config: config.lambda_od,
    }
    assert sum(len(configs) for configs in sweep.values()) == 36
    for name, configs in sweep.items():
        assert tuple(weights[name](config) for config in configs) == presets.UDR_SWEEP[name]
    assert all(config.gamma == 1000.0 and config.capacity.end == 100_000 for config in sweep["cci_vae"])
    assert {type(configs[0]).__name__ for configs in sweep.values()} == {
        "BetaVAE", "CCIVAE", "FactorVAE", "BetaTCVAE", "DIPVAEI", "DIPVAEII"
    }  # fmt: skip


def test_excess_reconstruction_is_the_term_less_the_entropy() -> None:
    torch.manual_seed(0)
    small: dict[str, Any] = {"encoder": MLPEncoder.Config(hidden=()), "decoder": MLPDecoder.Config(hidden=())}
    model = VAE.Config(image_shape=(1, 3, 3), latent_size=2, **small).build()
    image = torch.full((4, 1, 3, 3), 0.25)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.decoder.layers[-1].bias.fill_(torch.tensor(0.25).logit())
    assert excess_reconstruction(model, image).item() == pytest.approx(0.0, abs=1e-5)
    with torch.no_grad():
        model.decoder.layers[-1].bias.zero_()
    expected = 9 * (0.6931472 - 0.5623351)
    assert excess_reconstruction(model, image).item() == pytest.approx(expected, rel=1e-4)


def test_capacity_suggestion_has_a_tenth_of_slack() -> None:
    assert capacity_suggestion(20.0) == pytest.approx(22.0)
