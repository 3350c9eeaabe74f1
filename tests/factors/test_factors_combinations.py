"""Every decoder and likelihood in every class, and every class in a batch that is split, under the training engine."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from percepts.data.minis import Squares24
from percepts.data.stream import StreamConfig
from percepts.factors.beta_tcvae import BetaTCVAE
from percepts.factors.beta_vae import BetaVAE
from percepts.factors.cci_vae import CCIVAE
from percepts.factors.dip_vae_i import DIPVAEI
from percepts.factors.dip_vae_ii import DIPVAEII
from percepts.factors.factor_vae import Discriminator, FactorVAE
from percepts.nn.broadcast import SpatialBroadcastDecoder
from percepts.nn.conv import ConvDecoder
from percepts.nn.likelihoods import Bernoulli, Gaussian, Laplace
from percepts.nn.mlp import MLPDecoder, MLPEncoder
from percepts.training.engine import Engine
from percepts.training.optimizers import Optimizer
from percepts.training.settings import Training

CLASSES: dict[str, Any] = {
    "beta_vae": BetaVAE.Config(),
    "cci_vae": CCIVAE.Config(gamma=10.0),
    "factor_vae": FactorVAE.Config(discriminator=Discriminator.Config(hidden=(8,))),
    "beta_tcvae": BetaTCVAE.Config(),
    "dip_vae_i": DIPVAEI.Config(),
    "dip_vae_ii": DIPVAEII.Config(),
}
DECODERS: dict[str, Any] = {
    "conv": ConvDecoder.Config(channels=(4, 4), hidden=(8,)),
    "mlp": MLPDecoder.Config(hidden=(8,)),
    "broadcast": SpatialBroadcastDecoder.Config(channels=(4,)),
}
LIKELIHOODS: dict[str, Any] = {
    "bernoulli": Bernoulli.Config(),
    "gaussian": Gaussian.Config(std=0.3),
    "laplace": Laplace.Config(scale=0.3),
}
COUPLED: dict[str, Any] = {
    **{name: CLASSES[name] for name in ("factor_vae", "beta_tcvae", "dip_vae_i", "dip_vae_ii")},
    "factor_vae_second": dataclasses.replace(CLASSES["factor_vae"], permute="second"),
    "beta_tcvae_mss": BetaTCVAE.Config(alpha=2.0, gamma=3.0, estimator="mss", dataset_size=864),
}


def trained(config: Any, steps: int, accumulate: int = 1, **parts: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights before and after `steps` steps."""
    dataset = Squares24.Config().build()
    shared: dict[str, Any] = {
        "image_shape": dataset.image_shape,
        "latent_size": 4,
        "encoder": MLPEncoder.Config(hidden=(8,)),
        "decoder": DECODERS["mlp"],
    }
    torch.manual_seed(0)
    model = dataclasses.replace(config, **{**shared, **parts}).build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    training = Training(
        steps=steps, accumulate=accumulate, device="cpu", optimizer=Optimizer(name="sgd", lr=1e-3), channels_last="no"
    )
    Engine(model, dataset, training, StreamConfig(batch_size=8), seed=0).fit()
    return before, model.state_dict()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", CLASSES)
def test_every_decoder_and_likelihood_trains_in_every_class(name: str, decoder: str, likelihood: str) -> None:
    before, after = trained(CLASSES[name], 1, decoder=DECODERS[decoder], likelihood=LIKELIHOODS[likelihood])
    still = [key for key, value in after.items() if torch.equal(value, before[key])]
    # A ReLU may be off for the whole batch in so small a network, but not a layer.
    assert not [key for key in still if key.endswith("weight")]


@pytest.mark.parametrize("accumulate", [2, 4])
@pytest.mark.parametrize("name", COUPLED)
def test_a_split_batch_trains_like_a_whole_one(name: str, accumulate: int) -> None:
    before, whole = trained(COUPLED[name], 3)
    split = trained(COUPLED[name], 3, accumulate)[1]
    for key, value in whole.items():
        moved = (value - before[key]).abs().max()
        torch.testing.assert_close(split[key], value, rtol=0, atol=max(2e-3 * float(moved), 1e-7))
