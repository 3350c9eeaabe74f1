"""The scores of a pipeline's tasks, in its evaluation.json: by task and mode.

Several processes may evaluate at once, each another task: a score is added under a lock, so that none is lost.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
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


def note_score(pipeline: Path, task: str, mode: str, score: Score) -> None:
    """Add a score, or replace the one that is there.

    Raises:
        PerceptsError: the folder cannot be written; the scores are those of before.
    """
    origin = provenance()  # It asks git, for which nobody has to wait.
    with _alone(pipeline / LOCK):
        scores = read_scores(pipeline)
        scores.setdefault(task, {})[mode] = plain(dataclasses.asdict(score))
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
