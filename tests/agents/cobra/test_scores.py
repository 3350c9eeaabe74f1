"""Scores that several processes write at once."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path

import pytest

from percepts.agents.cobra import scores
from percepts.agents.spriteworld_policies import Score
from percepts.core.errors import PerceptsError
from percepts.core.runs import Run

SCORE = Score(
    episodes=4, success=0.5, success_interval=(0.2, 0.8), length=3.0, length_interval=(2.0, 4.0), total=1.0,
    total_interval=(0.0, 2.0), solved_at_start=0.0,
)  # fmt: skip


def writes(folder: str, name: str, count: int, start: multiprocessing.synchronize.Barrier) -> None:
    """Note scores of so many tasks, as slowly as a busy disk would."""
    write = scores.write_json

    def slow(path: Path, value: object) -> None:
        time.sleep(0.005)
        write(path, value)

    scores.write_json = slow
    scores.provenance = dict
    start.wait()
    for number in range(count):
        scores.note_score(Path(folder), f"{name}-{number}", "train", SCORE)


def test_no_score_is_lost_between_two_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(2)
    writers = [context.Process(target=writes, args=(str(tmp_path), name, 15, start)) for name in ("one", "other")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    found = scores.read_scores(tmp_path)
    assert found.keys() == {f"{name}-{number}" for name in ("one", "other") for number in range(15)}
    assert found["one-3"]["train"]["success"] == 0.5


def test_scores_are_kept_by_task_and_mode(tmp_path: Path) -> None:
    assert scores.read_scores(tmp_path) == {}
    for task, mode in (("sorting", "train"), ("sorting", "test"), ("clustering", "train"), ("sorting", "train")):
        scores.note_score(tmp_path, task, mode, SCORE)
    assert {task: set(modes) for task, modes in scores.read_scores(tmp_path).items()} == {
        "sorting": {"train", "test"},
        "clustering": {"train"},
    }
    assert Run(tmp_path).evaluation()["provenance"]["percepts"]
    json.loads((tmp_path / "evaluation.json").read_text())


def test_a_score_that_cannot_be_written_leaves_the_others_and_the_lock_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores.note_score(tmp_path, "sorting", "train", SCORE)
    before = (tmp_path / "evaluation.json").read_bytes()

    def full(path: Path, value: object) -> None:
        raise PerceptsError("could not write it")

    with monkeypatch.context() as patch:
        patch.setattr(scores, "write_json", full)
        with pytest.raises(PerceptsError, match="could not write it"):
            scores.note_score(tmp_path, "sorting", "test", SCORE)
    assert (tmp_path / "evaluation.json").read_bytes() == before
    scores.note_score(tmp_path, "sorting", "test", SCORE)
    with pytest.raises(PerceptsError, match=r"could not write '.*evaluation\.lock'"):
        scores.note_score(tmp_path / "nowhere", "sorting", "test", SCORE)
