"""Training presets of slot models: each one fits its data, and none claims to have been run that was not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from percepts.core.capabilities import StillStep
from percepts.core.config import from_json, to_json
from percepts.data.scenes import SceneDataset
from percepts.data.tetrominoes import Tetrominoes
from percepts.objects import iodine_presets, presets
from percepts.studies import load_studies
from percepts.studies.object_presets import iodine_shapes16, trained_on
from percepts.training.experiment import PRESETS, Experiment, build_model

load_studies()

RUN_HERE = {"monet-sprites24", "monet-tetrominoes", "iodine-shapes16"}
LARGE = {
    "monet-multi-dsprites": ((3, 64, 64), 5, 64),
    "monet-multi-dsprites-grayscale": ((3, 64, 64), 6, 64),
    "monet-multi-dsprites-binarized": ((1, 64, 64), 5, 64),
    "monet-release-multi-dsprites": ((3, 64, 64), 6, 64),
    "monet-release-tetrominoes": ((3, 32, 32), 4, 64),
    "monet-objects-room": ((3, 64, 64), 7, 64),
    "monet-g": ((3, 64, 64), 5, 32),
    "monet-clevr": ((3, 128, 128), 11, 64),
    "monet-clevr6": ((3, 128, 128), 7, 32),
    "iodine-small-tetrominoes": ((3, 35, 35), 4, 128),
    "iodine-tetrominoes": ((3, 35, 35), 4, 256),
    "iodine-multi-dsprites": ((3, 64, 64), 6, 128),
    "iodine-multi-dsprites-coloured": ((3, 64, 64), 6, 128),
    "iodine-multi-dsprites-binarized": ((1, 64, 64), 6, 128),
    "iodine-clevr6": ((3, 128, 128), 7, 32),
    "iodine-paper-tetrominoes": ((3, 35, 35), 4, 256),
    "iodine-paper-multi-dsprites": ((3, 64, 64), 6, 128),
    "iodine-paper-clevr6": ((3, 128, 128), 7, 32),
    "iodine-video": ((3, 64, 64), 5, 32),
}
"""Images, slots and batch of every preset for a GPU."""


def test_every_preset_of_a_slot_model_is_named_here():
    names = {name for name in PRESETS if name.startswith(("monet-", "iodine-"))}
    assert names == RUN_HERE | set(LARGE)


@pytest.mark.parametrize("name", LARGE)
def test_presets_fit_their_data(name: str):
    experiment: Experiment = PRESETS[name].make()
    assert from_json(to_json(experiment)) == experiment
    settled, dataset = experiment.resolved()
    assert isinstance(dataset, SceneDataset)
    model: Any = settled.model
    assert (dataset.image_shape, model.slots, settled.sampling.batch_size) == LARGE[name]
    assert model.slots >= dataset.entities - dataset.backgrounds + 1
    assert build_model(settled, dataset).image_shape == dataset.image_shape


@pytest.mark.parametrize("name", LARGE)
def test_presets_that_were_never_run_say_so(name: str):
    words = PRESETS[name].make.__doc__ or ""
    assert "Never run here" in " ".join(words.split())


@pytest.mark.parametrize("name", ["monet-multi-dsprites-binarized", "iodine-multi-dsprites-binarized", "iodine-video"])
def test_presets_of_other_kinds_of_images_can_learn(name: str):
    settled, dataset = PRESETS[name].make().resolved()
    model: Any = settled.model
    small = {"slots": 2} if name.startswith("monet") else {"slots": 2, "steps": 1}
    dataset = dataset if dataset.frames is None else dataclasses.replace(dataset.config, frames=2).build()
    loss = dataclasses.replace(model, **small).build().losses(dataset.gather(torch.arange(1)), StillStep(0))
    assert torch.isfinite(loss.minimise["model"])
    assert loss.minimise["model"].requires_grad


def test_every_published_configuration_can_be_trained():
    used = {to_text(PRESETS[name].make()) for name in (*LARGE, *RUN_HERE)}
    for module, prefix in ((presets, "monet_"), (iodine_presets, "iodine_")):
        for name, make in vars(module).items():
            if name.startswith(prefix) and "small" not in name and "components" not in name:
                assert str(to_json(make())) in used, name


def to_text(experiment: Experiment) -> str:
    """The model alone."""
    return str(to_json(experiment.model))


def test_an_experiment_on_other_data_keeps_the_rest():
    before, world = iodine_shapes16(), Tetrominoes.Config(image_size=32)
    after = trained_on(before, world, steps=7)
    assert (after.data.dataset, after.training.steps) == (world, 7)
    assert dataclasses.replace(after.training, steps=before.training.steps) == before.training
    assert (after.model, after.sampling) == (before.model, before.sampling)
    assert trained_on(before, before.data.dataset) == before
