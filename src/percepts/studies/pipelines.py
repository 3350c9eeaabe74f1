"""Pipelines of agents that studies train: side by side in processes, each in a folder of its own, resumable."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

from percepts.core.config import digest
from percepts.core.errors import ConfigError, RunError
from percepts.core.progress import clock_time

if TYPE_CHECKING:
    from percepts.agents.cobra.agent import CobraAgent


def train_pipelines(
    wanted: Mapping[str, CobraAgent.Config], folder: Path, workers: int | None = None
) -> dict[str, CobraAgent]:
    """Train what is not finished yet.

    Args:
        wanted: by a name that people read.
        folder: of the pipelines; each lies in the folder of its configuration's digest, so equal ones are done once.
        workers: processes; None: as many as cores. 0: one after the other in this process.

    Raises:
        ConfigError: nothing is wanted.
        RunError: one failed, the others are done; or a worker was killed, and the same call goes on.
        KeyboardInterrupt: stopped; the same call goes on.
    """
    from percepts.agents.cobra.agent import CobraAgent
    from percepts.training.workers import cores

    if not wanted:
        raise ConfigError("no pipelines to train", "one or more")
    places = {name: folder / digest(config) for name, config in wanted.items()}
    todo = {path: (name, wanted[name]) for name, path in places.items()}
    failed: dict[str, str] = {}
    started = time.monotonic()
    if workers == 0:
        for path, (name, config) in todo.items():
            _note(failed, name, _carry_out(config, path))
    else:
        count = min(workers or cores(), len(todo))
        pool = ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))
        try:
            waiting = {pool.submit(_quietly, config, path): name for path, (name, config) in todo.items()}
            for done, future in enumerate(as_completed(waiting), 1):
                _note(failed, waiting[future], future.result())
                spent = clock_time(time.monotonic() - started)
                print(f"{done} of {len(todo)} pipelines, {spent}: {waiting[future]}", flush=True)
        except BrokenProcessPool as broken:
            raise RunError(
                "a worker was killed while it trained a pipeline, perhaps for want of memory",
                fix="repeat the command: what is finished stays, and the rest goes on where it was saved",
            ) from broken
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    if failed:
        name, error = next(iter(failed.items()))
        raise RunError(f"{len(failed)} of {len(todo)} pipelines failed; {name}: {error}")
    return {name: CobraAgent.open(path) for name, path in places.items()}


def _note(failed: dict[str, str], name: str, status: str) -> None:
    if status == "interrupted":
        raise KeyboardInterrupt
    if status != "finished":
        failed[name] = status


def _quietly(config: CobraAgent.Config, path: Path) -> str:
    """In a worker: its lines of progress would run into those of the others."""
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        return _carry_out(config, path)


def _carry_out(config: CobraAgent.Config, path: Path) -> str:
    """How it ended: "finished", "interrupted", or what went wrong."""
    from percepts.agents.cobra.agent import CobraAgent
    from percepts.training.catalogue import load_rooms

    load_rooms()
    try:
        there = (path / "run.json").exists()
        agent = CobraAgent.open(path) if there else CobraAgent.start(config, path)
        return agent.run()
    except KeyboardInterrupt:
        return "interrupted"
    except Exception as error:  # what one pipeline suffers must not stop the others
        return f"{type(error).__name__}: {error}".splitlines()[0]
