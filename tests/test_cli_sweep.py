"""Sweeping and selecting from the command line, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from percepts.cli import main

PRESET = "beta-vae-squares24"
QUICK = ["--steps", "6", "--device", "cpu", "--evaluation.bootstrap", "0", "--evaluation.images", "300"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "sweep"
    words = ["sweep", PRESET, "--grid", "beta=1,4", "--seeds", "0-1", "--workers", "0", "--out", str(folder), *QUICK]
    assert main(words) == 0
    return folder


def test_a_sweep_says_what_it_does_and_what_comes_next(swept: Path, capsys):
    assert len(list(swept.glob("*/evaluation.json"))) == 4
    record = json.loads((swept / "sweep.json").read_text())
    assert record["settings"]["training.steps"] == 6
    assert record["grid"] == {"model.beta": ["1", "4"]}
    assert main(["sweep", "--resume", str(swept)]) == 0
    said = capsys.readouterr()
    assert "4 of 4 runs finished" in said.out
    assert f"percepts select {swept}" in said.out
    assert said.err == ""


def test_another_grid_is_refused_in_one_line(swept: Path, capsys):
    assert main(["sweep", PRESET, "--grid", "beta=2", "--seeds", "0-1", "--out", str(swept), *QUICK]) == 1
    error = capsys.readouterr().err
    assert "--grid model.beta 1, 4 there, 2 here" in error
    assert error.count("\n") == 1


def test_print_runs_trains_nothing(capsys):
    assert main(["sweep", PRESET, "cci-squares24", "--grid", "beta=1,4", "lr=1e-3", "--print-runs", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "3 runs" in said
    assert "training.optimizer.lr" in said
    assert not list(Path().iterdir())


def test_the_folder_is_named_by_what_is_swept(capsys):
    words = ["sweep", PRESET, "--workers", "0", *QUICK]
    assert main([*words, "--grid", "beta=1"]) == 0
    assert main([*words, "--grid", "model.beta=1"]) == 0
    assert len(list(Path("runs/sweeps").iterdir())) == 1
    assert main([*words, "--grid", "beta=2"]) == 0
    assert len(list(Path("runs/sweeps").iterdir())) == 2


def test_a_failed_run_is_named_at_the_end(capsys):
    words = ["sweep", PRESET, "--grid", "lr=1e-3,1e38", "--workers", "0", "--out", "sweep", *QUICK]
    assert main(words) == 1
    said = capsys.readouterr()
    assert "1 of 2 runs finished, 1 failed" in said.out
    assert "failed lr=1e+38 seed=0: " in said.out
    assert "Go on: percepts sweep --resume sweep" in said.out


def test_an_extended_sweep_says_so(capsys):
    words = ["sweep", PRESET, "--workers", "0", "--out", "sweep", *QUICK]
    assert main(words) == 0
    assert main([*words, "--seeds", "0-1"]) == 0
    assert "runs added to this sweep: 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "needs a preset or --resume"),
        (["dmeo"], "did you mean 'demo'"),
        (["demo", "--grid", "model.gama=1"], "did you mean 'model.gamma'"),
        (["demo", "--grid", "gamma"], "KEY=VALUE"),
        (["demo", "--grid", "gamma=high"], "model.gamma = 'high'"),
        (["demo", "--grid", "gamma=1,1"], "1.0 twice"),
        (["demo", "--seeds", ""], "--seeds ''"),
        (["demo", "--seeds", "3-1"], "rising ranges"),
        (["demo", "--seed", "3"], "--seeds 0-3"),
        (["demo", "--workers", "-1", "--out", "x"], "-1 workers"),
        (["demo", "--ray", "127.0.0.1:1", "--workers", "2"], "--workers with --ray"),
        (["demo", "--ray", "127.0.0.1:1", "--out", "x"], "no Ray cluster answers"),
        (["demo", "--out", "full"], "is not empty"),
        (["demo", "--out", "full/thesis.tex"], "could not write"),
        (["--resume", "full"], "holds no sweep"),
        (["--resume", "full", "--seeds", "0-3"], "goes on with a sweep as it is"),
        (["demo", "--resume", "full"], "goes on with a sweep as it is"),
    ],
)
def test_errors_are_one_line(words: list[str], message: str, capsys):
    if "--ray" in words:
        pytest.importorskip("ray", reason="Ray is not installed (extra 'ray')")
    Path("full").mkdir()
    (Path("full") / "thesis.tex").write_text("x")
    assert main(["sweep", *words]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(Path().glob("x/*/run.json"))


def test_help_with_a_preset_lists_its_settings_and_the_options_of_the_sweep(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["sweep", PRESET, "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for flag in ("--grid", "--seeds", "--workers", "--ray", "--model.beta", "--steps"):
        assert flag in shown


def test_select_ranks_and_writes(swept: Path, capsys):
    assert main(["select", str(swept), "--bootstrap", "0", "--min-active", "0"]) == 0
    said = capsys.readouterr().out
    chosen = (swept / "chosen").read_text().strip()
    assert Path(chosen).parent == swept
    assert f"chosen by udr-lasso: {chosen}" in said
    assert all(path.name in said for path in swept.iterdir() if (path / "run.json").exists())
    assert (swept / "report.html").exists()
    assert json.loads((swept / "selection.json").read_text())["criterion"] == "udr-lasso"
    assert main(["select", str(swept), "--bootstrap", "0", "--criterion", "mig.dlib"]) == 0
    assert "chosen by mig.dlib" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "needs the folder of a sweep"),
        (["nowhere"], "there is no folder 'nowhere'"),
        (["empty"], "no runs to select from"),
        (["empty", "--images", "1"], "images = 1"),
    ],
)
def test_errors_of_select_are_one_line(words: list[str], message: str, capsys):
    Path("empty").mkdir()
    assert main(["select", *words]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_select_of_one_seed_teaches(capsys):
    assert main(["sweep", PRESET, "--grid", "beta=1,4", "--workers", "0", "--out", "sweep", *QUICK]) == 0
    capsys.readouterr()
    assert main(["select", "sweep"]) == 1
    assert "seed" in capsys.readouterr().err
