"""Run folders: refusal of a second run, the log, the lock, reading without the modules."""

from __future__ import annotations

import errno
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from percepts.core import tables
from percepts.core.config import Config
from percepts.core.errors import PerceptsError, RunError
from percepts.core.runs import Run, find_runs, git_commit


@dataclass(frozen=True, kw_only=True)
class Settings(Config):
    lr: float = 0.1


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "a", Settings(), preset="test")


def test_a_new_run_says_where_it_comes_from(run: Run):
    info = run.info()
    assert info["status"] == "created"
    assert info["preset"] == "test"
    assert {"started", "host", "python", "torch", "percepts", "command", "commit"} <= info.keys()
    assert run.config() == Settings()


def test_a_second_run_in_the_folder_is_refused(run: Run):
    with pytest.raises(RunError, match=r"already holds a run \(created\).*--resume"):
        Run.create(run.path, Settings(lr=1.0))
    assert run.config() == Settings()


def test_a_folder_with_other_files_is_refused(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="not an empty folder"):
        Run.create(tmp_path, Settings())


def test_opening_nothing_suggests_a_neighbour(run: Run):
    with pytest.raises(RunError, match=r"not a run folder.*percepts runs show .*/a"):
        Run.open(run.path.parent / "b")


def test_a_line_cut_short_is_left_out_and_later_steps_are_forgotten(run: Run):
    for step in (10, 20, 30):
        run.log({"step": step, "loss": 1.0})
    with open(run.metrics_file, "a") as file:
        file.write('{"step": 40, "lo')
    assert [entry["step"] for entry in run.metrics()] == [10, 20, 30]
    run.forget_after(20)
    assert [entry["step"] for entry in run.metrics()] == [10, 20]


def test_two_processes_cannot_write_one_run(run: Run):
    code = f"from percepts.core.runs import Run\nwith Run({str(run.path)!r}).lock(): print('locked')"
    with run.lock():
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "is being written by process" in other.stderr
    after = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert after.stdout == "locked\n"


def test_a_lock_on_a_full_disk_says_so(run: Run, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("percepts.core.runs.os.write", full)
        with pytest.raises(PerceptsError, match=r"could not write .*\.lock.*free disk space"), run.lock():
            pytest.fail("it is not held")
    with run.lock():  # the failure holds nothing
        pass


def test_a_lock_that_cannot_be_opened_says_so(run: Run):
    (run.path / ".lock").mkdir()
    with pytest.raises(PerceptsError, match=r"could not write .*\.lock"), run.lock():
        pytest.fail("it is not held")


def test_damaged_json_is_named(run: Run):
    run.config_file.write_text("{")
    with pytest.raises(RunError, match=r"cannot read .*config\.json"):
        run.config()


def test_tables(run: Run, tmp_path: Path):
    run.log({"step": 10, "loss": 0.123456, "images_per_second": 100.0})
    other = Run.create(tmp_path / "b", Settings(lr=1.0))
    assert [found.path.name for found in find_runs(tmp_path)] == ["a", "b"]
    listing = tables.run_list(find_runs(tmp_path))
    assert "0.1235" in listing
    assert "created" in listing
    assert "lr" in tables.run_difference(run, other)
    assert "preset" in tables.run_details(run)
    assert tables.run_list([]) == ""


def test_columns_and_headings_of_nothing_are_left_out(run: Run):
    assert tables.run_list([run]).splitlines()[0].split() == ["run", "status", "started"]
    run.log({"step": 10, "score": 4.5})
    assert tables.run_list([run]).splitlines()[0].split() == ["run", "status", "step", "started"]
    assert "4.5" in tables.run_details(run)  # a training without one loss
    (run.path / "evaluation.json").write_text('{"step": 3, "provenance": {"pid": 1}}')
    assert "scores" not in tables.run_details(run)


def test_scores_of_other_things_than_models_are_shown(run: Run):
    (run.path / "evaluation.json").write_text(
        '{"scores": {"clustering": {"train": {"success": 0.25, "success_interval": [0.1, 0.5], "learned": "2f99"}}}}'
    )
    shown = tables.run_details(run).split("\n\n")[-1].splitlines()
    assert [line.split() for line in shown] == [
        ["scores"],
        ["clustering.train.success", "0.25"],
        ["clustering.train.success_interval", "[0.1", "0.5]"],
    ]
    (run.path / "evaluation.json").write_text('{"step": 3840, "score": 61.5, "provenance": {"pid": 1}}')
    assert tables.run_details(run).endswith("scores at step 3840\n  score 61.5")


def test_the_commit_says_whether_more_than_results_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def git(*words: str) -> str:
        who = ("-c", "user.name=A", "-c", "user.email=a@b.c")
        return subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    code = tmp_path / "src" / "percepts" / "core" / "runs.py"
    code.parent.mkdir(parents=True)
    for file in (code, tmp_path / "RESULTS.md", tmp_path / "pyproject.toml"):
        file.write_text("as it was")
    monkeypatch.setattr("percepts.core.runs.__file__", str(code))
    git("init", "-q")
    assert git_commit() is None
    git("add", ".")
    git("commit", "-qm", "Begin")
    commit = git("rev-parse", "--short=12", "HEAD").strip()
    (tmp_path / "RESULTS.md").write_text("written anew by a study")
    (tmp_path / "notes.txt").write_text("of the user's own")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "new.json").write_text("{}")
    assert git_commit() == commit
    added = code.with_name("added.py")
    added.write_text("a module that nobody committed")
    assert git_commit() == commit + "+"
    added.unlink()
    for file in (code, tmp_path / "pyproject.toml"):
        before = file.read_text()
        file.write_text("changed")
        assert git_commit() == commit + "+"
        file.write_text(before)
    assert git_commit() == commit
