"""The report of a COBRA pipeline on true factors: what is there is shown, what is missing is said."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from percepts.agents.cobra.agent import CobraAgent
from percepts.agents.cobra.presets import cobra_tiny
from percepts.core.errors import RunError
from percepts.report import cobra_material, cobra_samples
from percepts.report.arena_figures import draw_arenas
from percepts.report.cobra import key_numbers, report_pipeline
from percepts.report.cobra_figures import PILOT, Efficiency, efficiency_plate, explained, reward_plate
from percepts.report.cobra_material import PipelineMaterial, Point, gather_pipeline, task_title
from percepts.report.cobra_samples import (
    REWARD_ARENAS,
    RewardPairs,
    drawn_slots,
    predicted_rollout,
    predicted_steps,
    reward_pairs,
    scene_clicks,
)
from percepts.report.sections import cobra as sections
from percepts.report.sections.cobra import pilot_of

TASK = "goal-finding-new-shape"
OWN = ("report.html", "figures", ".lock")


@pytest.fixture(scope="module", autouse=True)
def few() -> Iterator[None]:
    """Fewer clicks and episodes than a reader wants."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cobra_samples, "CLICKS", 256)
        patch.setattr(cobra_samples, "REWARD_STEPS", 3)
        patch.setattr(sections, "EPISODES", 2)
        patch.setattr(cobra_material, "RANDOM_EPISODES", 20)
        patch.setattr(cobra_material, "ORACLE_EPISODES", 6)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pipeline with its report."""
    agent = CobraAgent.start(cobra_tiny(), tmp_path_factory.mktemp("whole") / "a <b> & pipeline")
    assert agent.run() == "finished"
    before = contents(agent.path)
    report_pipeline(agent.path)
    assert contents(agent.path) == before, "a report changes nothing of the pipeline"
    return agent.path


@pytest.fixture(scope="module")
def material(whole: Path) -> PipelineMaterial:
    return gather_pipeline(CobraAgent.open(whole), 0)


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    """The same without its report."""
    shutil.copytree(whole, tmp_path / "pipeline", ignore=shutil.ignore_patterns(*OWN))
    return tmp_path / "pipeline"


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not set(path.parts) & set(OWN)]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def text_of(path: Path) -> str:
    return re.sub(r"\s+", " ", path.read_text(encoding="utf-8"))


def test_a_finished_pipeline_has_all_its_sections(whole: Path) -> None:
    page = text_of(whole / "report.html")
    names = re.findall(r'<section id="([a-z_]+)"', page)
    assert names == [
        "cobra_tasks", "cobra_episodes", "cobra_exploration", "cobra_dynamics", "cobra_rewards", "cobra_stages",
        "configuration", "reproduction",
    ]  # fmt: skip
    assert page.count("data:image/gif;base64,") == 2
    assert 'class="empty"' not in page
    assert "a &lt;b&gt; &amp; pipeline" in page
    assert "<b> & pipeline" not in page


def test_no_request_leaves_the_page(whole: Path) -> None:
    page = (whole / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r'(?:src|href)="(data:|#|http|/)', page)) == {"data:", "#"}
    assert "url(http" not in page


def test_figures_are_written_as_files(whole: Path) -> None:
    found = {path.name for path in (whole / "figures").iterdir()}
    modes = ("train", "test")
    assert found == {
        "data_efficiency.png", "exploration.png", "predictions.png", "rollout.png", f"rewards-{TASK}.png",
        *(f"episode-{TASK}-{mode}.png" for mode in modes), *(f"episode-{TASK}-{mode}.gif" for mode in modes),
    }  # fmt: skip
    for path in (whole / "figures").iterdir():
        with Image.open(path) as image:
            assert min(image.size) >= 100
            assert getattr(image, "n_frames", 1) > 1 or path.suffix == ".png"


def test_the_same_seed_gives_the_same_figures(whole: Path, copied: Path) -> None:
    report_pipeline(copied)
    for path in (whole / "figures").iterdir():
        assert (copied / "figures" / path.name).read_bytes() == path.read_bytes(), path.name


def test_headlines_are_those_of_the_evaluation(material: PipelineMaterial) -> None:
    numbers = {title: (value, note) for title, value, note in key_numbers(material)}
    value, note = numbers["Goal finding, new shape: train / held out"]
    scores = material.agent.scores()[TASK]
    assert value == f"{100 * scores['train']['success']:.0f} / {100 * scores['test']['success']:.0f} %"
    assert f"train {100 * scores['train']['success_interval'][0]:.0f} to" in note
    assert "90 % not reached in training" in note
    hits, note = numbers["Curious actions that hit a sprite"]
    assert hits == f"{100 * material.probes['explorer/hit_fraction']:.0f} %"
    assert f"{100 * material.probes['random/hit_fraction']:.1f} %" in note


def test_tasks_stand_beside_random_and_oracle(material: PipelineMaterial, whole: Path) -> None:
    known = material.references[TASK]
    assert known.random["train"].episodes == 20
    assert known.random["train"].success < 0.5
    assert known.oracle["train"].success == known.oracle["test"].success == 1.0
    page = text_of(whole / "report.html")
    assert "100 % / 100 %" in page
    assert "no numbers of the paper" in page


def test_curves_have_the_intervals_of_their_episodes(material: PipelineMaterial) -> None:
    (task,) = material.tasks
    assert [point.steps for point in task.curves["train"]] == [20, 40]
    for point in (*task.curves["train"], *task.curves["test"]):
        assert 0 <= point.interval[0] <= point.success <= point.interval[1] <= 1
        assert point.interval[1] - point.interval[0] > 0.4, "five episodes say little"
    assert task.steps_to is None


def test_the_pilot_stands_only_beside_what_it_did(material: PipelineMaterial) -> None:
    assert pilot_of(material, TASK) is PILOT[TASK]
    assert pilot_of(material, "exploration") is None
    noisy = dataclasses.replace(material.config, noise=0.05)
    assert pilot_of(dataclasses.replace(material, agent=CobraAgent(noisy, material.agent.path)), TASK) is None
    assert all(0 <= value <= 1 for pilot in PILOT.values() for value in pilot.train.values())


def test_a_pipeline_that_only_explored_says_what_is_missing(copied: Path) -> None:
    shutil.rmtree(copied / "tasks")
    (copied / "evaluation.json").unlink()
    page = text_of(report_pipeline(copied))
    assert "Goal finding, new shape: not begun." in page
    assert "there is no agent to watch" in page
    assert "tasks/goal-finding-new-shape (missing)" in page
    assert "image/gif" not in page
    assert {path.name for path in (copied / "figures").iterdir()} == {
        "exploration.png", "predictions.png", "rollout.png",
    }  # fmt: skip


def test_a_pipeline_that_did_nothing_has_a_page(tmp_path: Path) -> None:
    agent = CobraAgent.start(cobra_tiny(), tmp_path / "pipeline")
    page = text_of(report_pipeline(agent.path))
    assert "The exploration was not begun." in page
    assert "nothing explored yet" in page
    assert not (agent.path / "figures").exists()


def test_a_pipeline_without_tasks_has_a_page(tmp_path: Path) -> None:
    agent = CobraAgent.start(dataclasses.replace(cobra_tiny(), tasks={}), tmp_path / "pipeline")
    page = text_of(report_pipeline(agent.path))
    assert "This pipeline has no tasks" in page
    assert 'id="cobra_episodes"' not in page


def test_an_interrupted_exploration_shows_its_curves(copied: Path) -> None:
    shutil.rmtree(copied / "tasks")
    shutil.rmtree(copied / "explore" / "result")
    (copied / "evaluation.json").unlink()
    (copied / "explore" / "evaluation.json").unlink()
    change(copied / "explore" / "run.json", status="interrupted")
    change(copied / "run.json", status="interrupted")
    page = text_of(report_pipeline(copied))
    assert "The exploration is interrupted" in page
    assert "Spread of the clicks" in page
    assert "the last logged ones of the exploration" in page
    assert 'id="cobra_dynamics"' not in page


def test_a_damaged_result_is_named_and_the_rest_is_shown(copied: Path) -> None:
    tensors = next((copied / "tasks").rglob("state.safetensors"))
    tensors.write_bytes(tensors.read_bytes()[:-4])
    page = text_of(report_pipeline(copied))
    assert re.search(r'class="empty">[^<]*state.safetensors', page)
    assert (copied / "figures" / "data_efficiency.png").is_file()
    assert (copied / "figures" / "predictions.png").is_file()
    assert "image/gif" not in page


def test_other_folders_are_refused(tmp_path: Path, whole: Path) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        report_pipeline(tmp_path)
    with pytest.raises(RunError, match="is no pipeline of COBRA"):
        report_pipeline(whole / "explore")


@torch.no_grad()
def test_true_slots_are_drawn_as_the_scene_is(material: PipelineMaterial) -> None:
    world = material.world(material.environment("exploration"))
    sprites = world.arena.reset(range(6)).sprites
    drawn = drawn_slots(world, world.encoder, world.look(sprites).slots, sprites)
    # Slots are in single precision: a corner may fall on the other side of a pixel.
    assert (np.abs(drawn.astype(int) - draw_arenas(world.observer, sprites, 120)) > 8).mean() < 1e-3


@torch.no_grad()
def test_predictions_start_and_end_where_the_truth_does(material: PipelineMaterial) -> None:
    found = predicted_steps(material, count=5)
    assert len(found.before) == len(found.after) == len(found.predicted) == len(found.remarks) == 5
    assert found.arrows.hit.all()
    assert all(not np.array_equal(*pair) for pair in zip(found.before, found.after)), "every click moved something"
    assert found.redrawn is None
    rollout = predicted_rollout(material, steps=4)
    assert len(rollout.after) == len(rollout.predicted) == len(rollout.arrows) + 1 == 5
    assert rollout.remarks[0] == "off by 0.000"
    assert np.abs(rollout.after[0].astype(int) - rollout.predicted[0]).mean() < 0.5
    assert float(rollout.remarks[-1].split()[-1]) > 0.02


@torch.no_grad()
def test_policies_click_in_the_same_scenes(material: PipelineMaterial) -> None:
    scenes = scene_clicks(material, ["random", "objects"], scenes=2)
    for scene in scenes:
        assert scene.actions["random"].shape == (256, 4)
        assert scene.arrows["objects"].hit.all()
        assert scene.arrows["random"].hit.double().mean() < 0.3
        assert int(scene.sprites.present.sum()) >= 3


@torch.no_grad()
def test_rewards_are_paired_and_clipped(material: PipelineMaterial) -> None:
    pairs = reward_pairs(material, TASK, "test")
    assert pairs.true.shape == pairs.seen.shape == pairs.imagined.shape == (3 * REWARD_ARENAS,)
    limits = material.agents[TASK].simulation.reward.config  # type: ignore[attr-defined]
    assert limits.lowest <= float(pairs.true.min()) < float(pairs.true.max()) <= limits.highest
    assert not torch.equal(pairs.seen, pairs.imagined)


def test_explained_variance_has_its_closed_forms() -> None:
    true = torch.tensor([0.0, 1.0, 2.0, 3.0])
    assert explained(true, true) == 1
    assert explained(true, torch.full((4,), 1.5)) == pytest.approx(0)
    assert explained(true, 3 - true) == pytest.approx(-3)
    assert math.isnan(explained(torch.ones(3), torch.zeros(3)))


def test_plates_of_nothing_say_so_and_odd_ones_are_drawn() -> None:
    assert efficiency_plate([Efficiency("t", {"train": ()})], "x").caption == "No success was measured yet."
    points = tuple(Point(steps, 0.5, (0.2, 0.8)) for steps in (10, 20))
    several = [Efficiency(f"task {n}", {"train": points}, 0.1, 1.0, PILOT[TASK], 600) for n in range(4)]
    assert efficiency_plate(several, "x").size[1] > efficiency_plate(several[:3], "x").size[1]
    same = torch.full((5,), -60.0)
    assert reward_plate("t", {"train": RewardPairs(same, same, same * float("nan"))}, "x").size[0] > 1000


def test_tasks_have_names_in_print() -> None:
    assert task_title(TASK) == "Goal finding, new shape"
    assert task_title("sorting") == "Sorting"
