"""Warnings that teach: each comes where its symptom is, and only there."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from percepts.data.minis import Squares24
from percepts.factors import symptoms
from percepts.factors.beta_vae import BetaVAE
from percepts.factors.cci_vae import CCIVAE, CapacitySchedule
from percepts.factors.vae import VAE
from percepts.nn.mlp import MLPDecoder, MLPEncoder
from percepts.training.engine import Engine, TrainingWarning
from percepts.training.settings import Training

SMALL: dict[str, Any] = {
    "image_shape": (1, 24, 24),
    "latent_size": 4,
    "encoder": MLPEncoder.Config(hidden=(32,)),
    "decoder": MLPDecoder.Config(hidden=(32,)),
}


def log(kl: list[list[float]], every: int = 50, **more: list[float]) -> list[dict[str, Any]]:
    """Lines of a log with the KL of every latent, `every` steps apart."""
    return [
        {"step": every * (line + 1), "kl": sum(row), "kl_per_latent": row, **{k: v[line] for k, v in more.items()}}
        for line, row in enumerate(kl)
    ]


def test_a_collapse_has_to_last():
    empty, full = [0.01] * 4, [1.0] * 4
    assert symptoms.collapse(log([empty] * 10)) is None  # 450 steps between the first line and the last
    assert "posterior collapse" in (symptoms.collapse(log([empty] * 11)) or "")
    assert "posterior collapse" in (symptoms.collapse(log([full] * 20 + [empty] * 11)) or "")
    assert symptoms.collapse(log([empty] * 10 + [full])) is None
    assert symptoms.collapse([]) is None


def test_dead_latents_are_named_when_they_are_most_but_not_all():
    some, all_dead, half = [1.0, 0.0, 0.0, 0.0], [0.0] * 4, [1.0, 1.0, 0.0, 0.0]
    text = symptoms.dead_latents(log([some] * 41)) or ""
    assert "3 of 4 (z1, z2, z3)" in text
    assert symptoms.dead_latents(log([some] * 40)) is None
    assert symptoms.dead_latents(log([all_dead] * 50)) is None
    assert symptoms.dead_latents(log([half] * 50)) is None
    assert symptoms.dead_latents(log([some] * 40 + [[1.0] * 4])) is None


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([2.0, -2.0] * 10, "γ oscillation: KL swings around its capacity by 2.0 nats"),
        ([-3.0] * 20, "γ too weak: KL stays 3.0 nats below its capacity"),
        ([1.5] * 20, "1.5 nats above"),
        ([0.9, -0.9] * 10, None),
        ([5.0] * 7, None),
    ],
)
def test_gamma(errors: list[float], expected: str | None):
    text = symptoms.oscillation(log([[1.0]] * len(errors), every=100, kl_minus_capacity=errors), gamma=100.0)
    assert text is None if expected is None else expected in (text or "")


@pytest.mark.parametrize(
    ("beta", "latents", "shape", "expected"),
    [
        (4.0, 10, (1, 64, 64), None),  # dSprites
        (250.0, 32, (3, 64, 64), None),  # CelebA
        (14.0, 6, (1, 24, 24), None),
        (1.0, 10, (3, 256, 256), None),  # the VAE is right at any size
        (4.0, 10, (3, 128, 128), "hardly presses"),
        (250.0, 32, (1, 16, 16), "likely to empty"),
    ],
)
def test_beta_of_another_image_size(beta: float, latents: int, shape: tuple[int, int, int], expected: str | None):
    text = symptoms.weight_scale(beta, latents, shape)
    assert text is None if expected is None else expected in (text or "")
    if text:
        suggested = float(text.split("corresponds to β = ")[1].split(" here")[0])
        assert symptoms.weight_scale(suggested, latents, shape) is None


def test_models_say_what_applies_to_them():
    empty = log([[0.0] * 4] * 50, kl_minus_capacity=[0.0] * 50)
    assert set(VAE.Config(**SMALL).build().diagnose(empty)) == {"collapse"}
    large = BetaVAE.Config(**{**SMALL, "image_shape": (1, 4, 4)}, beta=40.0).build()
    assert set(large.diagnose([])) == {"beta_scale"}
    ramp = CapacitySchedule(stop=5.0, begin=5000, end=6000)
    waiting = CCIVAE.Config(**SMALL, capacity=ramp).build()
    assert waiting.diagnose(empty) == {}  # there is no capacity yet
    started = CCIVAE.Config(**SMALL, capacity=dataclasses.replace(ramp, begin=0, end=1)).build()
    assert set(started.diagnose(empty)) == {"collapse"}


def test_a_strong_beta_collapses_and_is_told_so():
    training = Training(steps=700, log_every=20, device="cpu")
    model = BetaVAE.Config(**SMALL, beta=140.0).build()
    engine = Engine(model, Squares24.Config().build(), training, seed=0)
    with pytest.warns(TrainingWarning, match="posterior collapse") as caught:
        engine.fit()
    assert len([one for one in caught if "posterior collapse" in str(one.message)]) == 1
