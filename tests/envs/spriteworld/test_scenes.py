"""Pictures of arenas as a dataset of scenes."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from scene_contract import SceneContract

from percepts.cli import main
from percepts.core.errors import ConfigError
from percepts.data.cached_scenes import CachedImages
from percepts.data.distributions import Continuous, Discrete, Product
from percepts.envs.spriteworld.configs import TASKS, Noise, SpriteworldConfig, register_task, task_config
from percepts.envs.spriteworld.generators import Generate, shapes
from percepts.envs.spriteworld.scenes import SpriteworldScenes
from percepts.envs.spriteworld.state import SHAPES

TURNED = Generate(
    Product(
        (
            Continuous("x", 0.2, 0.8),
            Continuous("y", 0.2, 0.8),
            Continuous("angle", -400.0, 800.0),
            Continuous("scale", 0.1, 0.6),
            Continuous("c0", 0.0, 1.0),
            Discrete("c1", (1.0,)),
            Discrete("c2", (1.0,)),
            shapes("star_5", "spoke_4", "triangle"),
        )
    ),
    0,
    4,
)


def scenes(**settings: Any) -> SpriteworldScenes:
    return SpriteworldScenes.Config(**{"images": 40, "size": 16, "supersampling": 2, **settings}).build()


class TestExploration(SceneContract):
    @pytest.fixture
    def dataset(self) -> SpriteworldScenes:
        return scenes()


class TestFast(SceneContract):
    @pytest.fixture
    def dataset(self) -> SpriteworldScenes:
        return scenes(renderer="fast", generator=TURNED, background="random_grey", split="validation")


class TestPillow(SceneContract):
    @pytest.fixture
    def dataset(self) -> SpriteworldScenes:
        return scenes(renderer="pil", generator=TURNED, background=(255, 0, 9))


class TestHeldOut(SceneContract):
    @pytest.fixture
    def dataset(self) -> SpriteworldScenes:
        return scenes(task="goal-finding-clustering", mode="test", size=20, seed=3)


def test_scenes_are_of_their_task() -> None:
    batch = scenes(task="goal-finding-new-shape", mode="test", images=100).gather(torch.arange(100))
    names = scenes().properties["shape"].names
    assert {names[number] for number in batch["entity.shape"][:, 1].tolist()} == {"triangle", "circle"}
    x, y = batch["entity.x"][:, 1], batch["entity.y"][:, 1]
    assert 0.1 <= float(x.min()) < 0.2 < 0.8 < float(x.max()) < 0.9
    assert 0.1 <= float(y.min()) < 0.2 < 0.8 < float(y.max()) < 0.9


def test_entities_are_where_their_properties_say() -> None:
    one = Generate(Product((Continuous("x", 0.1, 0.9), Continuous("y", 0.1, 0.9), Discrete("c2", (1.0,)))))
    batch = scenes(generator=one, size=64, supersampling=5).gather(torch.arange(20))
    rows = torch.arange(64) + 0.5
    there = (batch["segmentation"] == 1).float()
    down, across = ((there.sum(axis) * rows).sum(1) / there.sum((1, 2)) / 64 for axis in (2, 1))
    assert torch.allclose(across, batch["entity.x"][:, 1], atol=0.02)
    assert torch.allclose(1 - down, batch["entity.y"][:, 1], atol=0.02)
    assert batch["entity.colour"][:, 1].unique(dim=0).tolist() == [[1, 1, 1]]
    image, labels = batch["image"], batch["segmentation"]
    assert float(image.mean(1)[labels == 1].mean()) > 0.85


def test_splits_seeds_and_unseen_scenes_differ() -> None:
    first, places = scenes(), torch.arange(5)
    image = first.gather(places)["image"]
    for other in (scenes(seed=1), scenes(split="validation"), first.unseen()):
        assert not torch.equal(other.gather(places)["image"], image)
    assert torch.equal(first.unseen().gather(places)["image"], scenes(split="test").gather(places)["image"])
    assert torch.equal(scenes(images=999).gather(places)["image"], image)


def test_angles_are_in_a_turn() -> None:
    angle = scenes(generator=TURNED, images=200).gather(torch.arange(200))["entity.angle"]
    assert float(angle.min()) >= 0
    assert 6 < float(angle.max()) <= 2 * math.pi + 1e-5


def test_hidden_parts_are_in_the_details() -> None:
    dataset = scenes(generator=TURNED, images=60, size=32)
    batch, details = dataset.gather(torch.arange(60)), dataset.details(torch.arange(60))
    labels = torch.arange(dataset.entities)[:, None, None]
    shown = batch["segmentation"][:, None] == labels
    hidden = details["amodal"] & ~shown
    assert hidden[:, 1:].any()
    # Where an entity is shown, it looks as when it is alone, but for the filter at edges.
    same = (details["unoccluded"] - batch["image"][:, None]).abs().amax(2) < 0.02
    assert float(same[:, 1:][shown[:, 1:]].float().mean()) > 0.7
    # The front one hides nothing of itself.
    front = batch["entity.layer"].argmax(1)
    rows = (front > 0).nonzero()[:, 0]
    assert not hidden[rows, front[rows]].any()


def test_greys() -> None:
    dataset = scenes(background="random_grey", generator=Generate(TURNED.factors, 0, 1), images=50)
    batch = dataset.gather(torch.arange(50))
    empty = ~batch["visible"][:, 1]
    levels = batch["image"][empty]
    assert len(levels) > 10
    assert (levels.flatten(1).amax(1) == levels.flatten(1).amin(1)).all()
    assert float(levels.std()) > 0.2
    assert torch.equal(batch["image"][7:9], dataset.gather(torch.tensor([7, 8]))["image"])


def test_shapes_of_ones_own_have_names() -> None:
    @register_task("test-scenes", modes=("train",))
    def own(mode: str, noise: Noise) -> SpriteworldConfig:
        config = task_config("exploration")
        generator = Generate(
            Product((Discrete("shape", (13.0,)), Continuous("x", 0.3, 0.7), Discrete("scale", (0.5,))))
        )
        triangle = ((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5))
        return dataclasses.replace(
            config, arena=dataclasses.replace(config.arena, generator=generator, polygons=(triangle,))
        )

    try:
        dataset = scenes(task="test-scenes")
        shape = dataset.properties["shape"]
        assert (shape.size, shape.names[-1]) == (14, "polygon_13")
        batch = dataset.gather(torch.arange(3))
        assert batch["entity.shape"][:, 1].tolist() == [13] * 3
        assert batch["visible"].all()
    finally:
        del TASKS["test-scenes"]


def test_from_shards_on_disk(tmp_path: Any) -> None:
    config = SpriteworldScenes.Config(images=20, size=16, task="sorting")
    cached = CachedImages.Config(dataset=config, images=12, folder=str(tmp_path)).build()
    direct, places = config.build(), torch.tensor([3, 11, 0])
    batch = cached.gather(places)
    assert all(torch.equal(value, batch[key]) for key, value in direct.gather(places).items())
    assert cached.properties == direct.properties
    assert "exact" in str(cached.dataset.config)


def test_no_items_at_all() -> None:
    none = torch.arange(0)
    assert scenes().gather(none)["image"].shape == (0, 3, 16, 16)
    assert scenes().details(none)["amodal"].shape == (0, 7, 16, 16)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"images": 0}, "images = 0"),
        ({"task": "explorations"}, "did you mean 'exploration'"),
        ({"mode": "validation"}, "mode of exploration"),
        ({"size": 0}, "height = 0"),
        ({"renderer": "opengl"}, "renderer"),
        ({"background": (1, 2, 999)}, "background"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        scenes(**settings)


def test_all_shapes_are_announced() -> None:
    assert scenes().properties["shape"].names == ("none", *SHAPES)


def test_the_command_line_knows_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == 0
    assert {"spriteworld-scenes", "spriteworld-episodes"} <= {
        line.split()[0] for line in capsys.readouterr().out.splitlines()
    }
    picture = tmp_path / "scenes.png"
    assert (
        main(["data", "preview", "spriteworld-scenes", "--task", "sorting", "--out", str(picture), "--count", "2"]) == 0
    )
    with Image.open(picture) as image:
        assert image.height > 128
    words = ["--images", "5", "--out", str(tmp_path), "--size", "8", "--steps", "2", "--clicks", "objects"]
    assert main(["data", "cache", "spriteworld-episodes", *words]) == 0
    assert "5 items" in capsys.readouterr().out
    assert main(["data", "preview", "spriteworld-scenes", "--task", "sortin", "--out", str(picture)]) == 1
    assert "did you mean 'sorting'" in capsys.readouterr().err
