"""The models that the repository ships: they load, they are small, and their codes are what their cards say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from percepts.core.random import torch_generator
from percepts.data.dataset import FactorDataset
from percepts.data.scenes import SceneDataset
from percepts.data.small_scenes import apart_sprites, tiny_shapes
from percepts.data.sprites import ColouredSprites, Sprites
from percepts.data.tetrominoes import Tetrominoes
from percepts.metrics import regression_probe
from percepts.training.sharing import from_pretrained
from percepts.training.slot_evaluation import evaluate_slots

FOLDER = Path(__file__).parents[1] / "pretrained"
MODELS: dict[str, FactorDataset] = {
    "sprites32": Sprites.Config(size=32).build(),
    "coloured_sprites32": ColouredSprites.Config(size=32).build(),
}


SLOT_MODELS: dict[str, tuple[str, SceneDataset, float]] = {
    "monet_sprites24": ("MONet", apart_sprites().build().unseen(), 0.9),
    "monet_tetrominoes": ("MONet", Tetrominoes.Config().build().unseen(), 0.5),
    "iodine_shapes16": ("IODINE", tiny_shapes().build().unseen(), 0.5),
}
"""Class, world, and the ARI-FG that it reaches at least."""


def test_every_shipped_model_is_tested():
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == {*MODELS, *SLOT_MODELS}


@pytest.mark.parametrize("name", SLOT_MODELS)
def test_a_shipped_slot_model_finds_objects(name: str):
    kind, world, least = SLOT_MODELS[name]
    files = {path.name: path.stat().st_size for path in (FOLDER / name).iterdir()}
    assert set(files) == {"README.md", "config.json", "model.safetensors"}
    assert sum(files.values()) <= 8_000_000
    card = (FOLDER / name / "README.md").read_text(encoding="utf-8")
    assert all(word in card for word in ("data", "seed", "ARI-FG", "command", "limits"))
    assert json.loads((FOLDER / name / "config.json").read_text())["model"]["type"] == kind
    result = evaluate_slots(from_pretrained(FOLDER / name), world, 48, 0, 0)
    assert result["metrics"]["ari_fg"]["value"] > least


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_model_is_small_and_has_a_card(name: str):
    files = {path.name: path.stat().st_size for path in (FOLDER / name).iterdir()}
    assert set(files) == {"README.md", "config.json", "model.safetensors"}
    assert sum(files.values()) <= 4_000_000
    card = (FOLDER / name / "README.md").read_text(encoding="utf-8")
    assert all(word in card for word in ("data", "seed", "FactorVAE score", "command"))
    assert json.loads((FOLDER / name / "config.json").read_text())["model"]["type"] == "CCIVAE"


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_model_knows_positions_and_draws(name: str):
    world, model = MODELS[name], from_pretrained(FOLDER / name)
    batch = world.gather(torch.randint(len(world), (600,), generator=torch_generator(0, "test")))
    with torch.no_grad():
        codes = model.encode(batch["image"]).mean.double().numpy()
        error = (model.reconstruct(batch["image"]) - batch["image"]).square().sum() / batch["image"].square().sum()
    columns = [
        column for column, factor in enumerate(world.factor_names) if factor in ("x", "y", "position_x", "position_y")
    ]
    positions = batch["factors"].double().numpy()[:, columns]
    assert len(columns) == 2
    assert regression_probe(codes[:400], positions[:400], codes[400:], positions[400:]).value > 0.9
    assert error < 0.25
    assert np.isfinite(codes).all()
