"""`percepts train cobra`: what its flags say, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from percepts.agents.cobra.agent import CobraAgent
from percepts.agents.cobra.presets import PIPELINES, cobra_tiny
from percepts.agents.explorers.alchemy_runs import AlchemyRun
from percepts.agents.explorers.runs import ExplorerRun
from percepts.agents.meta_rl import TRAININGS
from percepts.cli import main
from percepts.cli.holdings import check_kind, command_of
from percepts.core.config import to_json
from percepts.core.runs import Run


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main(["train", "cobra", *words, "--print-config"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_has_flags(name: str, capsys: pytest.CaptureFixture[str]):
    assert printed(capsys, "--preset", name) == json.loads(json.dumps(to_json(PIPELINES[name]())))


def test_the_flags_of_the_vision_are_apart_from_those_of_the_pipeline(capsys: pytest.CaptureFixture[str]):
    words = ("--vision.steps", "7", "--vision.lr", "0.5", "--vision.device", "cuda", "--device", "auto", "--seed", "3")
    config = printed(capsys, "--preset", "tiny-pixels", *words)
    training = config["vision"]["training"]
    assert (training["steps"], training["optimizer"]["lr"], training["device"]) == (7, 0.5, "cuda")
    assert (config["device"], config["seed"]) == ("auto", 3)
    assert config["exploration"]["optimizer"]["lr"] != 0.5


def test_a_pipeline_on_disk_is_shown_and_not_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    agent = CobraAgent.start(cobra_tiny(), tmp_path / "pipeline")
    assert printed(capsys, "--resume", str(agent.path)) == json.loads(json.dumps(to_json(agent.config)))
    # A pipeline is a run like any other to whoever only knows its folder.
    assert main(["train", "--resume", str(agent.path), "--print-config"]) == 0
    assert json.loads(capsys.readouterr().out)["type"] == "CobraAgent"
    assert agent.status()["explore"] == "missing"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--task", "sorting"), "--task belongs to the stages task and evaluate"),
        (("--task", "sorting", "--stage", "explore"), "--task belongs to the stages task and evaluate"),
        (("--seed", "1"), "--resume goes on with a pipeline as it is"),
        (("--noise", "0.05"), "--resume goes on with a pipeline as it is"),
        (("--stage", "task", "--task", "sortin"), "the task 'sortin' is not in this pipeline"),
        (("--stage", "task"), "the stage 'explore' was not begun"),
        (("--stage", "task"), "Try: percepts train cobra --resume FOLDER --stage explore"),
        (("--stage", "evaluate"), "was not begun, and acting in it needs it"),
        (("--stage", "evaluate"), "--resume FOLDER --stage task --task goal-finding-new-shape"),
    ],
)
def test_what_cannot_be_meant_so_is_refused(
    words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    agent = CobraAgent.start(cobra_tiny(), tmp_path / "pipeline")
    before = sorted(path.name for path in agent.path.iterdir())
    assert main(["train", "cobra", "--resume", str(agent.path), *words]) == 1
    assert said.replace("FOLDER", str(agent.path)) in capsys.readouterr().err
    assert sorted(path.name for path in agent.path.iterdir()) == before


@pytest.mark.parametrize(
    ("preset", "stage"), [("tiny", "task"), ("tiny", "evaluate"), ("tiny-pixels", "task"), ("tiny-pixels", "explore")]
)
def test_a_new_pipeline_does_not_begin_in_the_middle(
    preset: str, stage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["train", "cobra", "--preset", preset, "--out", str(tmp_path / "new"), "--stage", stage]
    assert main(words) == 1
    assert f"--stage {stage} of a new pipeline" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_seed_below_zero_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["train", "cobra", "--preset", "tiny", "--out", str(tmp_path / "new"), "--seed", "-1"]) == 1
    assert "seed = -1; expected 0 or more" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("preset", ["tiny", "tinny"])
def test_a_wrong_command_leaves_no_folder(preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["train", "cobra", "--preset", preset, "--out", str(tmp_path / "new"), "--noise", "-1"]
    assert main(words) == 1
    assert ("noise" if preset == "tiny" else "did you mean 'tiny'") in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("agent", "word"), [("cobra", "tinny"), ("alchemy", "tiny")])
def test_a_preset_without_its_flag_is_told_of_it(agent: str, word: str, capsys: pytest.CaptureFixture[str]):
    assert main(["train", agent, word]) == 1
    assert f"Try: percepts train {agent} --preset tiny" in capsys.readouterr().err


@pytest.mark.parametrize(("word", "meant"), [("cobar", "cobra"), ("alchmy", "alchemy")])
def test_an_agent_with_a_slip_of_the_pen_is_found(word: str, meant: str, capsys: pytest.CaptureFixture[str]):
    assert main(["train", word]) == 1
    assert f"did you mean '{meant}'?" in capsys.readouterr().err


def test_presets_of_agents_are_listed_after_those_of_models(capsys: pytest.CaptureFixture[str]):
    assert main(["presets"]) == 0
    models, _, agents = capsys.readouterr().out.partition("percepts train cobra --preset NAME\n")
    cobra, _, alchemy = agents.partition("percepts train alchemy --preset NAME\n")
    assert "cci-sprites" in models
    for said, named in ((cobra, PIPELINES), (alchemy, TRAININGS)):
        lines = [line.split() for line in said.splitlines() if line]
        assert [line[0] for line in lines] == list(named)
        assert all(len(line) > 1 for line in lines)
    assert main(["presets", "cobra"]) == 1
    assert "percepts train cobra --help" in capsys.readouterr().err


RUNS = (["train", "--resume"], ["evaluate"], ["report"])


def folder_of(path: Path, **info: str) -> Path:
    return Run.create(path, cobra_tiny(), **info).path


@pytest.mark.parametrize("command", RUNS)
@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"stage": "exploration"}, "holds one stage of a pipeline, to which 'percepts {}' does not apply"),
        ({"stage": "task"}, "percepts {} with the folder of the pipeline"),
        ({"kind": "agent"}, "holds a model-free baseline"),
        ({"kind": "agent"}, "percepts.agents.model_free_runs in Python"),
        ({"kind": "castle"}, "holds a run of the kind 'castle'"),
    ],
)
def test_commands_refuse_what_they_do_not_apply_to(
    command: list[str], info: dict[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = folder_of(tmp_path / "run", **info)
    before = sorted(folder.iterdir())
    assert main([*command, str(folder)]) == 1
    assert said.format(" ".join(command)) in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


def test_commands_find_out_that_a_folder_is_a_pipeline(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = str(CobraAgent.start(cobra_tiny(), tmp_path / "pipeline").path)
    assert main(["train", "--resume", folder, "--stage", "task"]) == 1
    assert "the stage 'explore' was not begun" in capsys.readouterr().err
    assert main(["evaluate", folder]) == 1
    said = capsys.readouterr().err
    assert "holds a pipeline that is not finished (stage explore: missing)" in said
    assert said.endswith(f"Try: percepts train cobra --resume {folder}\n")
    assert main(["report", folder]) == 0
    assert (tmp_path / "pipeline" / "report.html").stat().st_size > 1000
    assert capsys.readouterr().out == f"report: {tmp_path / 'pipeline' / 'report.html'}\n"


@pytest.mark.parametrize(
    ("info", "goes_on"),
    [
        ({"kind": "cobra"}, "percepts train cobra --resume FOLDER"),
        ({"stage": "alchemy"}, "percepts train alchemy --resume FOLDER"),
        ({}, "percepts train --resume FOLDER"),
        ({"stage": "task"}, "with the folder of the pipeline"),
        ({"kind": "castle"}, "percepts runs show FOLDER"),
    ],
)
@pytest.mark.parametrize("command", [["train", "cobra"], ["train", "alchemy"], ["explore", "feature-world"]])
def test_going_on_with_another_kind_of_run_is_refused(
    command: list[str], info: dict[str, str], goes_on: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = folder_of(tmp_path / "run", **info)
    if command[-1] in info.values():
        return check_kind(folder, command[-1])
    assert main([*command, "--resume", str(folder)]) == 1
    said = capsys.readouterr().err
    assert f"'{folder}' holds a" in said or f"'{folder}' holds one stage" in said
    assert said.endswith(goes_on.replace("FOLDER", str(folder)) + "\n")


@pytest.mark.parametrize("agent", ["cobra", "alchemy"])
def test_going_on_with_an_explorer_is_told_its_world(agent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = ExplorerRun.start(AlchemyRun(agent="random", episodes=1), tmp_path / "run")
    assert main(["train", agent, "--resume", str(run.path)]) == 1
    assert f"a run of an explorer, not a {'pipeline' if agent == 'cobra' else 'learner'}" in (
        said := capsys.readouterr().err
    )
    assert f"Try: percepts explore text-alchemy --resume {run.path}" in said


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["evaluate", "--images", "5"], "--images"),
        (["evaluate", "--exact"], "--exact"),
        (["evaluate", "--step", "0"], "--step"),
        (["report", "--step", "3"], "--step"),
        (["report", "--figures"], "--figures"),
    ],
)
def test_options_for_models_are_not_ignored(
    words: list[str], option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = folder_of(tmp_path / "run", kind="cobra")
    assert main([words[0], str(folder), *words[1:]]) == 1
    said = capsys.readouterr().err
    assert f"a pipeline of COBRA, which has no {option}" in said
    assert f"Try: percepts {words[0]} {folder}" in said


def test_the_vision_of_a_pipeline_is_a_model(tmp_path: Path):
    run = Run(folder_of(tmp_path / "run", stage="vision"))
    assert command_of(run, "report", {"step": 3}) is None
    assert command_of(Run(folder_of(tmp_path / "plain")), "evaluate") is None
