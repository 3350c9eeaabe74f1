"""`percepts train alchemy`: what its flags say, what it does, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from percepts.agents.meta_rl import TRAININGS
from percepts.agents.meta_rl.training import evaluate, open_agent, scores_of, settings_of
from percepts.cli import main
from percepts.core.config import to_json
from percepts.core.runs import Run

QUICK = ("--preset", "tiny", "--steps", "640", "--episodes", "2", "--seed", "3")


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main(["train", "alchemy", *words, "--print-config"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", TRAININGS)
def test_every_preset_has_flags(name: str, capsys: pytest.CaptureFixture[str]):
    assert printed(capsys, "--preset", name) == json.loads(json.dumps(to_json(TRAININGS[name]())))


def test_settings_are_flags(capsys: pytest.CaptureFixture[str]):
    words = ("--level", "no-bottleneck", "--learner.discount", "0.8", "--arenas", "64", "--seed", "4")
    config = printed(capsys, *words)
    assert (config["table"]["level"], config["learner"]["discount"]) == ("no-bottleneck", 0.8)
    assert (config["arenas"], config["seed"]) == (64, 4)


def test_settings_are_explained(capsys: pytest.CaptureFixture[str]):
    for agent, setting in (("alchemy", "--senses.chemistry"), ("cobra", "--exploration.transitions")):
        assert "--settings" in helped(capsys, agent, "--help")
        assert setting in helped(capsys, agent, "--preset", "tiny", "--settings")


def helped(capsys: pytest.CaptureFixture[str], agent: str, *words: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["train", agent, *words])
    assert stopped.value.code == 0
    return capsys.readouterr().out


def test_it_trains_measures_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "run"
    assert main(["train", "alchemy", *QUICK, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    score = json.loads((out / "evaluation.json").read_text())["score"]
    assert f"training {out}: 640 steps of 16 tables, seed 3" in said
    assert f"{score:.4g}" in said
    assert said.endswith(f"report: {out / 'report.html'}\n")
    assert Run(out).info()["status"] == "finished"
    # A folder that is taken is not gone on with by chance.
    assert main(["train", "alchemy", *QUICK, "--out", str(out)]) == 1
    assert f"already holds a run (finished); expected a new folder. Try: percepts train --resume {out}, or another" in (
        capsys.readouterr().err
    )
    # What is finished is shown or measured again, and what it holds is told to other commands.
    again = (["train", "alchemy", "--resume", str(out)], ["train", "--resume", str(out)], ["evaluate", str(out)])
    for words in again:
        assert main(words) == 0
        assert f"{score:.4g}" in capsys.readouterr().out
    assert main(["report", str(out)]) == 0
    assert "learner" in (out / "report.html").read_text()


def test_a_learner_is_measured_again_as_it_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "run"
    assert main(["train", "alchemy", *QUICK, "--greedy", "False", "--out", str(out)]) == 0
    drawn, greedy = (
        scores_of(evaluate(open_agent(out, greedy), settings_of(out)))["score"] for greedy in (False, True)
    )
    assert drawn == json.loads((out / "evaluation.json").read_text())["score"] != greedy
    capsys.readouterr()
    assert main(["evaluate", str(out)]) == 0
    assert f"{drawn:.4g}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--preset", "cpi"), "no preset 'cpi', did you mean 'cpu'?"),
        (("--resume", "runs/x", "--seed", "1"), "--resume goes on with a training as it is"),
        (("--resume", "runs/x", "--arenas", "1"), "--resume goes on with a training as it is"),
        (("--resume", "no/folder"), "no/folder"),
        (("--arenas", "0"), "arenas = 0"),
        (("--level", "no-bottlenecks"), "did you mean 'no-bottleneck'?"),
    ],
)
def test_what_cannot_be_meant_so_is_refused(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]):
    try:
        status = main(["train", "alchemy", *words])
    except SystemExit as error:  # The parser of settings ends the program itself.
        status = int(str(error.code))
    assert status in (1, 2)
    shown = capsys.readouterr()
    assert said in shown.err + shown.out
