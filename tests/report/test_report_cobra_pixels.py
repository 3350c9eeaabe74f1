"""The report of a COBRA pipeline that sees pictures: what its vision makes of them, and decoded predictions."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from percepts.agents.cobra.agent import CobraAgent
from percepts.agents.cobra.planning import OneStepSearch
from percepts.agents.cobra.presets import cobra_tiny_pixels
from percepts.agents.cobra.slot_models import ColourSegments
from percepts.agents.cobra.world import World
from percepts.envs.spriteworld.configs import task_config
from percepts.report import cobra_material, cobra_samples
from percepts.report.arena_figures import draw_arenas
from percepts.report.cobra import report_pipeline
from percepts.report.cobra_figures import prediction_plate, rollout_plate
from percepts.report.cobra_material import gather_pipeline
from percepts.report.cobra_samples import drawn_slots, predicted_rollout, predicted_steps
from percepts.report.sections import cobra as sections
from percepts.report.sections.cobra import pilot_of
from percepts.report.sections.cobra_vision import EXPLORED, OF_TASKS, scenes


@pytest.fixture(scope="module", autouse=True)
def few() -> Iterator[None]:
    """Fewer clicks and episodes than a reader wants."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cobra_samples, "CLICKS", 256)
        patch.setattr(cobra_samples, "REWARD_STEPS", 2)
        patch.setattr(cobra_material, "RANDOM_EPISODES", 10)
        patch.setattr(cobra_material, "ORACLE_EPISODES", 4)
        patch.setattr(sections, "EPISODES", 1)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = cobra_tiny_pixels()
    short = {
        name: replace(phase, steps=8, warm_up=4, planner=OneStepSearch(candidates=16))
        for name, phase in config.tasks.items()
    }
    config = replace(config, tasks=short, curve=(), curve_episodes=2, episodes=2)
    agent = CobraAgent.start(config, tmp_path_factory.mktemp("pixels") / "pipeline")
    assert agent.run() == "finished"
    return agent.path


def text_of(path: Path) -> str:
    return re.sub(r"\s+", " ", path.read_text(encoding="utf-8"))


def test_pictures_are_taken_apart_and_predictions_decoded(whole: Path) -> None:
    page = text_of(report_pipeline(whole))
    assert re.findall(r'<section id="(cobra_[a-z]+)"', page)[3:6] == [
        "cobra_dynamics", "cobra_vision", "cobra_rewards",
    ]  # fmt: skip
    assert "COBRA on slots from MONet" in page
    assert 'class="empty"' not in page
    assert "of changed pixels" in page
    assert "decoded from predicted slots" in page
    assert "no numbers of the paper" not in page, "the pilot had true factors"
    assert (whole / "figures" / "decomposition.png").is_file()


@torch.no_grad()
def test_decoded_predictions_stand_beside_what_the_vision_can_draw(whole: Path) -> None:
    material = gather_pipeline(CobraAgent.open(whole), 0)
    assert pilot_of(material, material.tasks[0].name) is None
    found = predicted_steps(material, count=3)
    assert found.redrawn is not None
    # Models see fewer pixels than are drawn: both are enlarged, and the difference is taken at the same places.
    assert found.redrawn.shape[0] == found.predicted.shape[0] == 3
    assert prediction_plate(found, "x").size[1] > 5 * 120
    rollout = predicted_rollout(material, steps=3)
    assert rollout.redrawn is not None
    assert np.array_equal(rollout.redrawn[0], rollout.predicted[0]), "nothing was predicted yet"
    assert rollout_plate(rollout, "x").size[1] > 4 * 120


def test_scenes_to_take_apart_come_from_exploration_and_task(whole: Path) -> None:
    material = gather_pipeline(CobraAgent.open(whole), 0)
    images, truth, words = scenes(material)
    assert images.shape == (EXPLORED + OF_TASKS, 3, 16, 16)
    assert truth.shape == (EXPLORED + OF_TASKS, 16, 16)
    assert int(truth.max()) <= 2, "one or two sprites"
    assert "goal finding, new shape" in words


def test_a_vision_that_is_missing_is_named(whole: Path, tmp_path: Path) -> None:
    page = text_of(report_pipeline(CobraAgent.start(cobra_tiny_pixels(), tmp_path / "new").path))
    assert "The vision was not begun." in page
    assert "The vision that the exploration needs is missing." in page
    shutil.copytree(whole, tmp_path / "copy", ignore=shutil.ignore_patterns("report.html", "figures"))
    shutil.rmtree(tmp_path / "copy" / "vision" / "checkpoints")
    page = text_of(report_pipeline(tmp_path / "copy"))
    assert re.search(r'class="empty">[^<]*vision', page)
    assert "As trained and held out" in page, "what needs no vision is there"


@torch.no_grad()
def test_areas_of_colour_are_drawn_by_their_own_decoder() -> None:
    environment = task_config("exploration", renderer="fast")
    world = World(environment.arena.build(), environment.observer, ColourSegments.Config().build())
    sprites = world.arena.reset([1, 2]).sprites
    drawn = drawn_slots(world, world.encoder, world.look(sprites).slots, sprites)
    true = draw_arenas(environment.observer, sprites, drawn.shape[1])
    assert np.corrcoef(drawn[:, ::2, ::2].ravel(), true[:, ::2, ::2].ravel())[0, 1] > 0.6
