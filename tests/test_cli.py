"""The command line from end to end, as a user types it."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from percepts import __version__
from percepts.cli import COMMANDS, main
from percepts.cli.words import encodable

ROOT = Path(__file__).parents[1]
QUICK = ["--steps", "6", "--log-every", "2", "--evaluation.images", "300", "--evaluation.bootstrap", "5"]
QUICK += ["--device", "cpu"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert main(["train", "demo", "--out", str(folder), *QUICK]) == 0
    return folder


def pictures(folder: Path, count: int = 24, mode: str = "RGB") -> Path:
    rng = np.random.default_rng(0)
    for label in ("cats", "dogs"):
        (folder / label).mkdir(parents=True)
        for number in range(count // 2):
            pixels = rng.integers(0, 255, (20, 26, 3) if mode == "RGB" else (20, 26), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


def test_train_writes_a_whole_run(trained: Path):
    info = json.loads((trained / "run.json").read_text())
    evaluation = json.loads((trained / "evaluation.json").read_text())
    assert info["status"] == "finished"
    assert info["preset"] == "demo"
    assert {"factor_vae.dlib", "mig.dlib", "dci.forest", "sap.dlib"} <= evaluation["metrics"].keys()
    assert (trained / "report.html").stat().st_size > 10_000
    config = json.loads((trained / "config.json").read_text())
    assert config["model"]["image_shape"] == [3, 32, 32]
    assert config["training"]["steps"] == 6


OPTIONAL = (
    "av", "gguf", "gymnasium", "h5py", "huggingface_hub", "openai", "ray", "stable_baselines3", "tensorboard",
    "transformers",
)  # fmt: skip
"""The packages that extras bring."""


def test_a_plain_installation_trains_evaluates_and_reports(tmp_path: Path):
    """What `make demo` and the README's other commands do, where nothing but the hard dependencies is installed."""
    calls = (
        ["train", "demo", "--out", "run", *QUICK], ["evaluate", "run", "--images", "300"], ["report", "run"],
        ["train", "cobra", "--preset", "tiny", "--out", "cobra"],
        ["explore", "feature-world", "--values", "3", "--episodes", "2", "--out", "explored"],
    )  # fmt: skip
    hidden = f"import sys; sys.modules.update(dict.fromkeys({OPTIONAL}))"
    code = f"{hidden}; from percepts.cli import main; sys.exit(any(main(words) for words in {calls}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    for folder in ("run", "cobra", "explored"):
        assert (tmp_path / folder / "report.html").stat().st_size > 10_000


def test_optional_packages_are_those_of_the_extras():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {
        re.split(r"[\[>]", requirement)[0].replace("-", "_")
        for extra, requirements in extras.items()
        if extra not in ("dev", "docs", "llm-test")
        for requirement in requirements
    }
    assert named == set(OPTIONAL)


def test_own_pictures_with_labels(tmp_path: Path, capsys):
    folder = pictures(tmp_path / "pictures")
    words = ["--data.folder", str(folder), "--data.labels", "folder", "--batch-size", "8"]
    assert main(["train", "demo", "--out", "run", *words, *QUICK]) == 0
    assert "probe.logistic" in capsys.readouterr().out
    config = json.loads(Path("run/config.json").read_text())
    assert config["data"]["dataset"]["type"] == "ImageFolder"
    assert config["model"]["image_shape"] == [3, 32, 32]


def test_grey_pictures_of_another_size(tmp_path: Path):
    folder = pictures(tmp_path / "pictures", mode="L")
    words = ["--data.folder", str(folder), "--data.size", "28", "--batch-size", "8"]
    assert main(["train", "demo", "--out", "run", *words, *QUICK]) == 0
    assert json.loads(Path("run/config.json").read_text())["model"]["image_shape"] == [1, 28, 28]


def test_resume_prolongs(tmp_path: Path):
    assert main(["train", "demo", "--out", "run", *QUICK]) == 0
    assert main(["train", "--resume", "run", "--steps", "9"]) == 0
    info = json.loads(Path("run/run.json").read_text())
    assert info["step"] == 9
    made = info["command"]
    assert main(["train", "--resume", "run"]) == 0
    after = json.loads(Path("run/run.json").read_text())
    assert after["command"] == made
    assert after["images_per_second"] == info["images_per_second"] > 0


def test_resume_refuses_another_experiment(trained: Path, capsys):
    assert main(["train", "--resume", str(trained), "--model.gamma", "3"]) == 1
    assert "resuming with model.gamma = 3.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train"], "needs a preset or --resume RUN"),
        (["train", "dmeo"], "did you mean 'demo'?"),
        (["train", "demo", "--data.folder", "nowhere"], "there is no folder"),
        (["train", "demo", "--data.folder", "empty"], "empty"),
        (["train", "demo", "--out", "full"], "not an empty folder"),
        (["train", "demo", "--steps", "0", "--out", "x"], "training.steps = 0"),
        (["train", "demo", "--batch-size", "0", "--out", "x"], "batch_size = 0"),
        (["train", "demo", "--accumulate", "3", "--out", "x"], "a multiple of 3"),
        (["train", "demo", "--lr", "nan", "--out", "x"], "lr = nan"),
        (["train", "demo", "--betas", "2", "3", "--out", "x"], "betas = (2.0, 3.0)"),
        (["train", "demo", "--clip-norm", "-1", "--out", "x"], "clip_norm = -1"),
        (["train", "demo", "--threads", "0", "--out", "x"], "training.threads = 0"),
        (["train", "demo", "--max-minutes", "inf", "--out", "x"], "training.max_minutes = inf"),
        (["train", "demo", "--evaluation.images", "0", "--out", "x"], "evaluation.images = 0"),
        (["train", "demo", "--data.size", "7", "--out", "x"], "without data.folder"),
        (["train", "demo", "--model.gamma", "nan", "--out", "x"], "nan"),
        (["train", "demo", "--resume", "r"], "--resume goes on with a run as it is"),
        (["runs", "list", "nowhere"], "there is no folder"),
        (["train", "--resume", "nowhere"], "not a run folder"),
        (["evaluate", "nowhere"], "not a run folder"),
        (["report", "nowhere"], "not a run folder"),
        (["runs", "show", "nowhere"], "not a run folder"),
        (["presets", "dmeo"], "did you mean 'demo'?"),
        (["reproduce", "dmeo"], "did you mean 'demo'?"),
        (["reproduce", "demo", "--preset", "huge"], "one of tiny, cpu"),
    ],
)
def test_errors_are_one_line(words, message, capsys):
    Path("empty").mkdir()
    Path("full").mkdir()
    (Path("full") / "thesis.tex").write_text("x")
    assert main(words) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("x").exists()


def test_unknown_command_and_setting(capsys):
    assert main(["trian"]) == 2
    assert "did you mean 'train'?" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["train", "demo", "--data.foldr", "x"])
    assert stop.value.code == 2
    assert "--data.folder" in capsys.readouterr().err


def test_evaluate_report_and_figures(trained: Path, capsys):
    assert main(["evaluate", str(trained), "--images", "300", "--bootstrap", "0"]) == 0
    assert "factor_vae.dlib" in capsys.readouterr().out
    assert main(["report", str(trained), "--figures"]) == 0
    figures = [line for line in capsys.readouterr().out.splitlines() if line.endswith(".png")]
    assert figures
    assert all(Image.open(path).size[0] > 10 for path in figures)


def test_evaluate_of_a_missing_step(trained: Path, capsys):
    assert main(["evaluate", str(trained), "--step", "12345"]) == 1
    assert "step-00012345" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["", "{", "null", "[1]"])
@pytest.mark.parametrize("name", ["run.json", "config.json", "evaluation.json", "metrics.jsonl"])
def test_damaged_files_of_a_run(trained: Path, name: str, damage: str, capsys):
    copy = Path("copy") / "run"
    shutil.copytree(trained, copy)
    (copy / name).write_text(damage + "\n")
    assert main(["runs", "list", "copy"]) == 0
    codes = [main(words) for words in (["runs", "show", str(copy)], ["runs", "diff", str(copy), str(trained)])]
    codes.append(main(["report", str(copy)]))
    assert codes == ([1, 0, 1] if name == "run.json" else [1, 1, 1] if name == "config.json" else [0, 0, 0])
    assert capsys.readouterr().err.count("\n") == sum(codes)


def test_a_run_whose_pictures_changed_is_not_resumed(tmp_path: Path, capsys):
    folder = pictures(tmp_path / "pictures")
    assert main(["train", "demo", "--out", "run", "--data.folder", str(folder), "--batch-size", "8", *QUICK]) == 0
    (folder / "cats" / "0.png").unlink()
    assert main(["train", "--resume", "run", "--steps", "9"]) == 1
    assert "the data of 'run' has changed" in capsys.readouterr().err
    shutil.rmtree(folder)
    assert main(["train", "--resume", "run", "--steps", "9"]) == 1
    assert "there is no folder" in capsys.readouterr().err
    assert json.loads(Path("run/run.json").read_text())["status"] == "finished"


def test_pictures_with_one_label_still_get_a_report(tmp_path: Path, capsys):
    folder = pictures(tmp_path / "pictures")
    shutil.rmtree(folder / "dogs")
    words = ["--data.folder", str(folder), "--data.labels", "folder", "--batch-size", "8"]
    assert main(["train", "demo", "--out", "run", *words, *QUICK]) == 0
    assert "not measured" in capsys.readouterr().out
    assert Path("run/report.html").exists()


def test_runs(trained: Path, capsys):
    assert main(["runs", "list", str(trained.parent)]) == 0
    assert "finished" in capsys.readouterr().out
    assert main(["runs", "show", str(trained)]) == 0
    assert "model.gamma" in capsys.readouterr().out
    assert main(["runs", "diff", str(trained), str(trained)]) == 0
    assert "same settings" in capsys.readouterr().out
    Path("nothing").mkdir()
    assert main(["runs", "list", "nothing"]) == 0
    assert "no runs" in capsys.readouterr().out


def test_presets_doctor_version(capsys):
    assert main(["presets"]) == 0
    assert "cci-sprites" in capsys.readouterr().out
    assert main(["presets", "demo"]) == 0
    assert "model.gamma" in capsys.readouterr().out
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "torch" in said
    assert all(f"extra    {extra} " in said for extra in ("llm", "hf", "envs"))
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "examples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("encoding", "words", "said", "status"),
    [
        ("ascii", ["--help"], b"presets ? a grid", 0),
        ("ascii:surrogateescape", ["--help"], b"presets ? a grid", 0),
        ("ascii", ["presets"], b"? = 30", 0),
        ("ascii", ["sweep", "--help"], b"examples", 0),
        ("ascii", ["trai\u00f1"], b"did you mean 'train'?", 2),
        ("ascii:backslashreplace", ["evaluate", "caf\u00e9"], rb"caf\xe9' is not a run folder", 1),
    ],
)
def test_a_terminal_without_unicode_is_no_reason_to_fail(encoding: str, words: list[str], said: bytes, status: int):
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding}
    # The words as ASCII: what a locale makes of arguments is Python's own affair.
    code = "import ast, sys; from percepts.cli import main; sys.exit(main(ast.literal_eval(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", code, ascii(words)], capture_output=True, env=environment)
    shown = done.stdout + done.stderr
    assert (done.returncode, b"Traceback" in shown) == (status, False), shown[-500:]
    assert said in shown
    assert shown.isascii()


def test_streams_that_take_everything_are_left_alone():
    whole, plain = (io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors=errors) for errors in ("ignore", "strict"))
    encodable(whole, plain, io.StringIO())
    assert (whole.errors, plain.errors) == ("ignore", "replace")


def test_a_reader_that_has_seen_enough_is_no_error():
    """The reader closes the pipe before anything is written."""
    code = "import sys; from percepts.cli import main; sys.stdin.read(); sys.exit(main(['--help']))"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", code], **pipes)
    process.stdout.close()
    process.stdin.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == b""


def test_preset_help_lists_settings_with_defaults(capsys):
    with pytest.raises(SystemExit):
        main(["train", "demo", "--help"])
    shown = capsys.readouterr().out
    for flag in ("--steps", "--lr", "--max-minutes", "--data.folder", "--model.gamma", "--batch-size", "--seed"):
        assert flag in shown


def test_print_config_trains_nothing(capsys):
    assert main(["train", "demo", "--print-config", "--lr", "0.25"]) == 0
    assert json.loads(capsys.readouterr().out)["training"]["optimizer"]["lr"] == 0.25
    assert not list(Path().iterdir())


def test_a_study_at_tiny_writes_results(capsys):
    assert main(["reproduce", "demo", "--preset", "tiny"]) == 0
    first = Path("RESULTS.md").read_text()
    assert "| CCI-VAE | 0, 1 |" in first
    assert "percepts reproduce demo --preset tiny" in first
    before = {path: path.read_text() for path in Path("runs/studies").glob("*/run.json")}
    assert len(before) == 2
    assert main(["reproduce", "demo", "--preset", "tiny"]) == 0
    assert {path: path.read_text() for path in Path("runs/studies").glob("*/run.json")} == before


def test_sigterm_saves_and_says_how_to_go_on():
    words = [
        sys.executable,
        "-m",
        "percepts.cli",
        "train",
        "demo",
        "--out",
        "run",
        "--steps",
        "1000000",
        "--log-every",
        "1",
    ]
    child = subprocess.Popen([*words, "--device", "cpu"], stdout=subprocess.PIPE, text=True)
    while not (Path("run/metrics.jsonl").exists() and Path("run/metrics.jsonl").stat().st_size):
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    said, _ = child.communicate(timeout=60)
    assert child.returncode == 128 + signal.SIGTERM
    assert "Continue: percepts train --resume run" in said
    assert json.loads(Path("run/run.json").read_text())["status"] == "interrupted"
    assert list(Path("run/checkpoints").glob("step-*"))


def test_a_stopped_study_claims_nothing(monkeypatch: pytest.MonkeyPatch):
    from percepts.training import jobs

    def stopped(asked: Sequence[jobs.Job], folder: Path, **settings: Any) -> list[jobs.JobOutcome]:
        return [jobs.JobOutcome(job.name, folder, "interrupted") for job in asked]

    monkeypatch.setattr(jobs, "run_jobs", stopped)
    assert main(["reproduce", "demo", "--preset", "tiny"]) == 130
    assert not Path("RESULTS.md").exists()
