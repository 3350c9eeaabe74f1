"""MONet's presets: the papers' numbers, and all of them can be built for their images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

from percepts.core.capabilities import StillStep
from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError
from percepts.objects import presets
from percepts.objects.monet import MONet

PRESETS: list[tuple[Callable[[], MONet.Config], int, int, int]] = [
    (presets.monet_objects_room, 64, 7, 974_085),
    (presets.monet_multi_dsprites, 64, 5, 974_085),
    (presets.monet_clevr, 128, 11, 1_788_293),
    (presets.monet_g, 64, 5, 974_085),
    (presets.monet_release_multi_dsprites, 64, 6, 974_085),
    (presets.monet_clevr6, 128, 7, 1_788_293),
    (presets.monet_tetrominoes, 32, 4, 0),
    (presets.monet_small24, 24, 3, 0),
    (presets.monet_small32, 35, 4, 0),
    (presets.monet_components24, 24, 3, 0),
]


@pytest.mark.parametrize(("make", "size", "slots", "parameters"), PRESETS, ids=[make.__name__ for make, *_ in PRESETS])
def test_presets_are_built_and_round_trip(make: Callable[[], MONet.Config], size: int, slots: int, parameters: int):
    config = make()
    assert config.image_shape is None
    assert config.slots == slots
    assert from_json(to_json(config)) == config
    model = dataclasses.replace(config, image_shape=(3, size, size)).build()
    if parameters:
        assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize("make", [presets.monet_small24, presets.monet_small32, presets.monet_tetrominoes])
@pytest.mark.parametrize("size", [(24, 24), (35, 35), (40, 27)])
def test_small_presets_take_images_of_any_size(make: Callable[[], MONet.Config], size: tuple[int, int]):
    model = dataclasses.replace(make(), image_shape=(3, *size)).build()
    image = torch.rand(2, 3, *size)
    losses = model.losses({"image": image}, StillStep(0))
    losses.minimise["model"].backward()
    assert torch.isfinite(losses.minimise["model"])
    found = model.decompose(image)
    assert found.reconstruction.shape == image.shape
    assert (found.mask.sum(1) - 1).abs().max() <= 1e-4


def test_papers_numbers():
    paper = presets.monet_multi_dsprites()
    assert (paper.beta, paper.gamma, paper.background_scale, paper.foreground_scale) == (0.5, 0.5, 0.09, 0.11)
    assert (paper.latent_size, len(paper.attention.channels), paper.mixture_over) == (16, 5, "pixel")
    genesis = presets.monet_g()
    assert (genesis.background_scale, genesis.foreground_scale, genesis.mixture_over) == (0.7, 0.7, "channel")
    assert genesis.geco is not None
    assert genesis.geco.goal == 0.5655


@pytest.mark.parametrize("masks", ["given", "all_in_one", "wrong"])
def test_components_alone(masks: Any):
    assert presets.monet_components24(masks).masks == masks
    with pytest.raises(ConfigError, match="'given'"):
        presets.monet_components24("mine")  # type: ignore[arg-type]
