"""Fingerprints of encoders: equal for what sees alike, different for everything else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from percepts.agents.cobra.slot_models import ColourSegments, ModelSlots, SingleSlot
from percepts.agents.cobra.slots import OracleFactors, SlotState
from percepts.agents.model_free_vision import fingerprint
from percepts.envs.spriteworld.configs import cobra_task
from percepts.envs.spriteworld.observations import Observer
from percepts.objects.monet import MONet


def small_monet(seed: int = 0, **settings) -> MONet:
    torch.manual_seed(seed)
    return MONet.Config(image_shape=(3, 32, 32), slots=3, **settings).build()


class Holding:
    """An encoder that is what it holds."""

    slots, latents, observes = None, 1, ("factors",)

    def __init__(self, **held):
        self.__dict__.update(held)

    def encode(self, observation):
        return SlotState(observation["factors"][..., :1], observation["factors"][..., 0])

    def decode(self, latents):
        raise NotImplementedError


def test_it_is_the_weights_and_settings_that_count():
    encoder = ModelSlots(small_monet())
    prints = {
        "same": fingerprint(encoder),
        "seed": fingerprint(ModelSlots(small_monet(seed=1))),
        "settings": fingerprint(ModelSlots(small_monet(beta=0.25))),
        "share": fingerprint(ModelSlots(small_monet(), full_share=0.02)),
        "kind": fingerprint(SingleSlot(small_monet())),
    }
    assert len(set(prints.values())) == len(prints)
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in prints.values())
    assert fingerprint(ModelSlots(small_monet())) == prints["same"]
    weight = next(encoder.model.parameters())
    weight.flatten()[-1] += 1e-6
    assert fingerprint(encoder) != prints["same"]


def test_seeing_changes_nothing():
    encoder = ModelSlots(small_monet())
    before = fingerprint(encoder)
    sprites = cobra_task("sorting").arena.build().reset(range(2)).sprites
    encoder.encode(Observer(height=32, width=32).observe(sprites))
    assert fingerprint(encoder) == before


def test_encoders_without_weights_are_told_apart_by_their_settings():
    oracle = OracleFactors.Config(shape="embedding")
    configs = [
        oracle, replace(oracle, embedding_seed=1), replace(oracle, shape="one_hot"), replace(oracle, slots=4),
        ColourSegments.Config(), ColourSegments.Config(dark=0.1),
    ]  # fmt: skip
    assert len({fingerprint(config.build()) for config in configs}) == len(configs)
    assert fingerprint(oracle.build()) == fingerprint(oracle.build())


def test_whatever_an_encoder_holds_is_looked_at():
    held = [
        {}, {"value": 1}, {"value": 1.0}, {"value": "1"}, {"value": None}, {"other": 1},
        {"value": [1, 2]}, {"value": [1], "other": [2]}, {"value": [[1], 2]}, {"value": {"a": 1}}, {"value": {"b": 1}},
        {"value": torch.zeros(2, 3)}, {"value": torch.zeros(3, 2)}, {"value": torch.zeros(2, 3, dtype=torch.int32)},
        {"value": np.ones(3)}, {"value": torch.tensor(True)}, {"value": torch.ones(2, dtype=torch.bfloat16)},
        {"value": torch.nn.Linear(1, 1)}, {"value": Holding()}, {"value": Holding(value=1)},
        {"value": torch.empty(0)},
    ]  # fmt: skip
    prints = [fingerprint(Holding(**parts)) for parts in held]
    assert len(set(prints)) == len(prints)
    assert fingerprint(Holding(a=1, b=2)) == fingerprint(Holding(b=2, a=1))
    flipped = torch.arange(6.0).reshape(3, 2).T
    assert fingerprint(Holding(value=flipped)) == fingerprint(Holding(value=flipped.contiguous()))


def test_what_holds_itself_has_a_fingerprint():
    encoder = Holding(value=3)
    encoder.itself = encoder
    assert fingerprint(encoder) == fingerprint(encoder)
