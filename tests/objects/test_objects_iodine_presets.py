"""IODINE's presets: sizes of the published networks, and that each can be built for its images."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from small_iodine import step

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError
from percepts.objects import iodine_presets as presets
from percepts.objects.iodine import IODINE

Make = Callable[[], IODINE.Config]

PRESETS: list[tuple[Make, int, int, int, int | None]] = [
    (presets.iodine_release_clevr6, 128, 7, 5, 1_177_168),
    (presets.iodine_release_multi_dsprites, 64, 6, 5, 339_152),
    (presets.iodine_release_tetrominoes, 35, 4, 5, 199_568),
    (presets.iodine_paper_clevr6, 128, 7, 5, None),
    (presets.iodine_paper_multi_dsprites, 64, 6, 5, None),
    (presets.iodine_paper_tetrominoes, 35, 4, 5, None),
    (presets.iodine_video, 64, 5, 5, None),
    (presets.iodine_small16, 16, 3, 3, None),
    (presets.iodine_small_tetrominoes, 35, 4, 5, None),
]


def built(make: Make, size: int) -> IODINE:
    model: IODINE = dataclasses.replace(make(), image_shape=(3, size, size)).build()
    return model


@pytest.mark.parametrize(
    ("make", "size", "slots", "steps", "count"), PRESETS, ids=[make.__name__ for make, *_ in PRESETS]
)
def test_presets_are_built_and_round_trip(make: Make, size: int, slots: int, steps: int, count: int | None):
    config = make()
    assert config.image_shape is None
    assert (config.slots, config.steps) == (slots, steps)
    assert from_json(to_json(config)) == config
    model = built(make, size)
    if count is not None:
        assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_the_release_shows_its_network_what_its_checkpoint_expects():
    model = built(presets.iodine_release_clevr6, 128)
    assert model.refinement.convolutions[0].weight.shape == (64, 18, 3, 3)
    assert model.refinement.lstm.gates.weight.shape == (1024, 513 + 256)
    assert built(presets.iodine_release_multi_dsprites, 64).refinement.lstm.gates.weight.shape == (512, 193 + 128)
    tetrominoes = built(presets.iodine_release_tetrominoes, 35).refinement
    assert tetrominoes.convolutions[0].weight.shape[1] == 24
    assert tetrominoes.head.change.weight.shape == (64, 257)
    # λ⁰ as Glorot's rule has it for a vector of 128.
    assert float(model.first.detach().abs().max()) == pytest.approx(0.153, abs=0.02)


def test_release_and_paper_differ_in_density_and_prior():
    for release, paper in (
        (presets.iodine_release_clevr6(), presets.iodine_paper_clevr6()),
        (presets.iodine_release_multi_dsprites(), presets.iodine_paper_multi_dsprites()),
        (presets.iodine_release_tetrominoes(), presets.iodine_paper_tetrominoes()),
    ):
        assert (release.density, release.scale) == ("logistic", 0.03)
        assert release.prior_std**2 == pytest.approx(math.log(2))
        assert (paper.density, paper.scale, paper.prior_std) == ("normal", 0.1, 1.0)
        assert set(release.refinement.inputs) - set(paper.refinement.inputs) == {"capacity", "flat_capacity"}
        assert release.decoder == paper.decoder


def test_a_small_preset_learns():
    """Twenty steps on eight images: each of them explains the images better."""
    torch.manual_seed(0)
    model = built(presets.iodine_small16, 16)
    image = torch.zeros(8, 3, 16, 16)
    image[:, 0, 3:8, 3:8] = 1.0
    image[:, 1, 9:13, 9:13] = 1.0
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for number in range(20):
        loss = model.losses({"image": image}, step(number, number)).minimise["model"]
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert max(losses[-5:]) < 0.5 * min(losses[:2])


def test_the_learning_rate_goes_with_the_root_of_the_batch():
    assert presets.scaled_learning_rate(1e-3, 8, 32) == pytest.approx(5e-4)
    with pytest.raises(ConfigError, match="positive"):
        presets.scaled_learning_rate(1e-3, 0, 32)
