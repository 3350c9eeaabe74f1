"""The scores of a pipeline's tasks, in its evaluation.json: by task and mode.

Several processes may evaluate at once, each another task: a score is added under a lock, so that none is lost.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from percepts.agents.spriteworld_policies import Score
from percepts.core.files import write_error, write_json
from percepts.core.results import plain
from percepts.core.runs import Run, provenance

LOCK = ".evaluation.lock"


def read_scores(pipeline: Path) -> dict[str, dict[str, Any]]:
    """All scores so far, as JSON data, by task and mode."""
    return (Run(pipeline).evaluation() or {}).get("scores", {})


def of_learned(modes: Mapping[str, dict[str, Any]], learned: str | None) -> dict[str, dict[str, Any]]:
    """Of the scores of a task by mode those of what is learned now; those that name nothing are kept.

    Args:
        modes: what `read_scores` read of it.
        learned: what identifies the agent that has learned it.
    """
    return {mode: score for mode, score in modes.items() if score.get("learned") in (None, learned)}


def note_score(pipeline: Path, task: str, mode: str, score: Score, learned: str | None = None) -> None:
    """Add a score, or replace the one that is there.

    Args:
        pipeline: its folder.
        task: whose score it is.
        mode: of the task.
        score: in it.
        learned: what identifies the agent; of one that learns the task anew the score says nothing.

    Raises:
        PerceptsError: the folder cannot be written; the scores are those of before.
    """
    origin = provenance()  # It asks git, for which nobody has to wait.
    with _alone(pipeline / LOCK):
        scores = read_scores(pipeline)
        noted = plain(dataclasses.asdict(score)) | ({} if learned is None else {"learned": learned})
        scores.setdefault(task, {})[mode] = noted
        write_json(pipeline / "evaluation.json", {"scores": scores, "provenance": origin})


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock, which goes with its process, however that ends."""
    try:
        import fcntl
    except ImportError:  # Not a POSIX system: no advisory locks, so no protection.
        yield
        return
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
    except OSError as error:
        raise write_error(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
