"""Many jobs on local processes: skipped, resumed, retried, failed; never done twice."""

from __future__ import annotations

import dataclasses
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tiny import Bars, PoisonedBars, tiny_experiment
from unhurried import unhurried

from percepts.core.config import digest
from percepts.core.errors import ConfigError, PerceptsError, RunError
from percepts.core.files import sha256
from percepts.core.runs import Run
from percepts.training.board import Board, LiveTable
from percepts.training.checkpoint import latest_intact
from percepts.training.experiment import Data, Experiment
from percepts.training.job import Job, JobOutcome, Task, attempts, is_done
from percepts.training.jobs import run_jobs
from percepts.training.workers import Pool, cores, threads_each, visible_device

LONG = 200


def experiment(seed: int = 0, **training: Any) -> Experiment:
    return dataclasses.replace(tiny_experiment(**training), seed=seed)


def poisoned(seed: int = 9) -> Experiment:
    return dataclasses.replace(tiny_experiment(dataset=PoisonedBars.Config()), seed=seed)


def weights(path: Path) -> str:
    return sha256(latest_intact(path / "checkpoints")[0].path / "model.safetensors")


def steps(path: Path) -> list[int]:
    return [entry["step"] for entry in Run(path).metrics() if "loss" in entry]


def test_jobs_are_done_once(tmp_path: Path):
    jobs = [Job(f"seed {seed}", experiment(seed), {"preset": "tiny"}) for seed in (0, 1, 0)]
    outcomes = run_jobs(jobs, tmp_path, workers=0)
    assert [outcome.name for outcome in outcomes] == ["seed 0", "seed 1", "seed 0"]
    assert {outcome.status for outcome in outcomes} == {"finished"}
    assert outcomes[0].path == outcomes[2].path != outcomes[1].path
    run = Run.open(outcomes[0].path)
    assert run.path.name == digest(run.config())
    assert run.info()["preset"] == "tiny"
    assert run.evaluation()["step"] == 30
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json*")}
    again = run_jobs(jobs, tmp_path, workers=0)
    assert [outcome.seconds for outcome in again] == [0, 0, 0]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json*")} == before


def test_a_run_that_was_not_measured_is_measured(tmp_path: Path):
    (outcome,) = run_jobs([Job("one", experiment())], tmp_path, workers=0)
    (outcome.path / "evaluation.json").unlink()
    assert not is_done(outcome.path)
    run_jobs([Job("one", experiment())], tmp_path, workers=0)
    assert is_done(outcome.path)
    assert len(attempts(outcome.path)) == 1


def test_a_failure_stops_nobody(tmp_path: Path):
    unreadable = dataclasses.replace(experiment(), data=Data(dataset=Bars.Config(), folder=str(tmp_path / "none")))
    indivisible = experiment(accumulate=3)
    jobs = [Job("nan", poisoned()), Job("gone", unreadable), Job("bad", indivisible), Job("good", experiment())]
    nan, gone, bad, good = run_jobs(jobs, tmp_path / "out", workers=0)
    assert (nan.status, gone.status, bad.status, good.status) == ("failed", "failed", "failed", "finished")
    assert "became nan" in nan.error
    assert "none" in gone.error
    assert gone.path is None
    assert "multiple of 3" in bad.error
    assert not any("\n" in outcome.error for outcome in (nan, gone, bad))
    assert attempts(nan.path)[0]["status"] == "failed"


def test_workers_give_the_bits_of_this_process(tmp_path: Path):
    jobs = [Job(str(seed), experiment(seed)) for seed in range(3)]
    here = run_jobs(jobs, tmp_path / "here", workers=0)
    there = run_jobs(jobs, tmp_path / "there", workers=2)
    assert [weights(one.path) for one in here] == [weights(one.path) for one in there]
    assert (tmp_path / "there" / "workers.log").exists()


def test_a_killed_worker_costs_no_run_and_a_deadly_job_fails(tmp_path: Path):
    jobs = [Job("long", unhurried()), Job("deadly", unhurried(1, steps=10**6)), Job("short", experiment(2))]
    paths = {job.name: tmp_path / digest(job.experiment.resolved()[0]) for job in jobs}
    killed: dict[str, list[int]] = {"long": [], "deadly": [], "short": []}
    enough = {"long": 1, "deadly": 2, "short": 0}

    def kill(board: Board) -> None:
        for row in board.running():
            victim = attempts(paths[row.name])[-1]["pid"] if row.step > 20 else None
            if victim and victim not in killed[row.name] and len(killed[row.name]) < enough[row.name]:
                killed[row.name].append(victim)
                os.kill(victim, signal.SIGKILL)

    long, deadly, short = run_jobs(jobs, tmp_path, workers=1, on_update=kill)
    assert (len(killed["long"]), len(killed["deadly"])) == (1, 2)
    assert (long.status, deadly.status, short.status) == ("finished", "failed", "finished")
    assert "died 2 times" in deadly.error
    first, second = attempts(long.path)
    assert "status" not in first
    assert second["status"] == "finished"
    assert second["from_step"] >= 20
    assert steps(long.path) == list(range(1, LONG + 1))


SCRIPT = """
import sys
from percepts.training.jobs import Job, run_jobs
from unhurried import unhurried
if __name__ == "__main__":
    outcomes = run_jobs([Job(str(seed), unhurried(seed)) for seed in range(3)], sys.argv[1], workers=2)
    print(*[outcome.status for outcome in outcomes])
"""


def start_script(tmp_path: Path, out: Path) -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, str(script), str(out)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def wait_for_steps(out: Path, count: int) -> None:
    until = time.monotonic() + 60
    while sum(len(Run(path.parent).metrics()) > 20 for path in out.glob("*/metrics.jsonl")) < count:
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_stopped_jobs_go_on_to_the_same_bits(tmp_path: Path, number: signal.Signals):
    out = tmp_path / "broken"
    script = start_script(tmp_path, out)
    wait_for_steps(out, 2)
    script.send_signal(number)
    said, _ = script.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert script.returncode == -signal.SIGKILL
    else:
        assert said.split() == ["interrupted"] * 3
    jobs = [Job(str(seed), unhurried(seed)) for seed in range(3)]
    assert {outcome.status for outcome in run_jobs(jobs, out, workers=0)} == {"finished"}
    unbroken = run_jobs(jobs, tmp_path / "unbroken", workers=0)
    for outcome in unbroken:
        assert weights(out / outcome.path.name) == weights(outcome.path)
        assert steps(out / outcome.path.name) == list(range(1, LONG + 1))
        tries = attempts(out / outcome.path.name)
        assert [entry.get("status") for entry in tries].count("finished") == 1
        # Workers whose parent was killed save by themselves: their runs resume where they stopped.
        assert all(entry["status"] == "interrupted" for entry in tries[:-1])
        assert all(entry["from_step"] > 0 for entry in tries[1:])


def test_workers_that_cannot_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("percepts.training.workers.serve", os.getpgid)  # dies of the wrong number of arguments
    with pytest.raises(RunError, match="before it could begin"):
        run_jobs([Job("one", experiment())], tmp_path, workers=1)


def test_two_calls_do_not_share_a_folder(tmp_path: Path):
    with Run(tmp_path).lock(), pytest.raises(RunError, match="is being written by process"):
        run_jobs([Job("one", experiment())], tmp_path, workers=0)


def test_bad_arguments(tmp_path: Path):
    assert run_jobs([], tmp_path) == []
    with pytest.raises(ConfigError, match="-1 workers"):
        run_jobs([Job("one", experiment())], tmp_path, workers=-1)
    (tmp_path / "file").write_text("x")
    with pytest.raises(PerceptsError, match="could not write") as caught:
        run_jobs([Job("one", experiment())], tmp_path / "file" / "runs", workers=0)
    assert "\n" not in str(caught.value)


def test_gpus_are_shared_out():
    assert [visible_device(number, None, 2) for number in range(3)] == ["0", "1", "0"]
    assert visible_device(1, "5,7", 2) == "7"
    assert visible_device(0, None, 1) is None
    assert visible_device(0, None, 0) is None


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads_each(1) == cores()
    assert threads_each(2 * cores()) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads_each(1) == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def filled_board(tmp_path: Path) -> tuple[Board, list[Task]]:
    tasks = [Task.of(Job(f"job {seed}", experiment(seed, steps=100)), tmp_path) for seed in range(4)]
    board = Board(tasks, workers=2)
    board.end(tasks[0], JobOutcome("job 0", tasks[0].path, "finished", seconds=10.0))
    board.end(tasks[1], JobOutcome("job 1", tasks[1].path, "failed", "loss is NaN", seconds=3.0))
    board.begin(tasks[2])
    tasks[2].path.mkdir()
    line = '{"step": 50, "seconds": 5.0, "images_per_second": 1234.5, "loss": 1.0}\n'
    (tasks[2].path / "metrics.jsonl").write_text(line + '{"step": 60, "evaluation/mig": 1}\n{"st')
    return board, tasks


def test_the_board_reads_logs(tmp_path: Path):
    board, _ = filled_board(tmp_path)
    (row,) = board.running()
    assert (row.name, row.step, row.steps, row.images_per_second, row.seconds_left) == ("job 2", 50, 100, 1234.5, 5.0)
    assert board.left == 2
    assert board.seconds_left([row]) == pytest.approx((5 + 10) / 2)
    assert Board([], 1).seconds_left([]) is None


def test_the_table_on_a_terminal_and_elsewhere(tmp_path: Path):
    board, tasks = filled_board(tmp_path)
    live, plain = Terminal(), io.StringIO()
    for stream in (live, plain):
        shown = LiveTable(stream)
        shown.show(board)
        shown.close(board)
    assert "job 2  50/100  1,234     0:05" in live.getvalue()
    assert "1 of 4 finished, 1 failed, 2 left, about 0:08" in live.getvalue()
    assert live.getvalue().count("failed job 1: loss is NaN") == 1
    assert "\x1b[4F\x1b[J" in live.getvalue()
    expected = [f"1/4 finished job 0 ({tasks[0].path}, 10 s)", "failed job 1: loss is NaN"]
    assert plain.getvalue().splitlines() == expected


def test_a_pool_without_work_hires_nobody(tmp_path: Path):
    assert Pool([], Board([], 2), tmp_path / "log").workers == []
