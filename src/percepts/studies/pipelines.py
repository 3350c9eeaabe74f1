"""Pipelines of agents that studies train: side by side in processes, each in a folder of its own, resumable.

`train_pipelines` trains each on its own; `train_sharing` trains visions and explorations that several have in common
once, and links them into the folders of the others.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

from percepts.core.config import digest
from percepts.core.errors import ConfigError, RunError
from percepts.core.files import atomic_folder
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


def train_sharing(
    wanted: Mapping[str, CobraAgent.Config], folder: Path, workers: int | None = None
) -> dict[str, CobraAgent]:
    """The same as `train_pipelines`, but stages without rewards that are equal are carried out once.

    A pipeline waits for the one that makes what it shares, and finds the finished stage linked into its folder.

    Raises:
        ConfigError: nothing is wanted; else as of `train_pipelines`.
    """
    from percepts.agents.cobra.agent import CobraAgent

    if not wanted:
        raise ConfigError("no pipelines to train", "one or more")
    made: dict[str, Path] = {}
    trained: dict[str, CobraAgent] = {}
    waiting = dict(wanted)
    while waiting:
        now: dict[str, CobraAgent.Config] = {}
        begun: set[str] = set()
        for name, config in waiting.items():
            new = set(shared_stages(config).values()) - made.keys()
            if not new & begun:
                begun |= new
                now[name] = config
        for config in now.values():
            path = folder / digest(config)
            if not (path / "run.json").exists():
                CobraAgent.start(config, path)
            for stage, key in shared_stages(config).items():
                if key in made:
                    link_stage(made[key], path / stage)
        trained |= train_pipelines(now, folder, workers)
        for config in now.values():
            for stage, key in shared_stages(config).items():
                made.setdefault(key, folder / digest(config) / stage)
        waiting = {name: config for name, config in waiting.items() if name not in now}
    return {name: trained[name] for name in wanted}


def shared_stages(config: CobraAgent.Config) -> dict[str, str]:
    """What identifies the stages of a pipeline that see no rewards, by the names of their folders: equal keys, equal
    stages."""
    from percepts.agents.cobra.agent import CobraAgent
    from percepts.agents.cobra.learning import ExplorationRun

    keys = {}
    if config.vision is not None:
        keys["vision"] = digest(dataclasses.replace(config.vision, seed=config.seed))
    exploration = ExplorationRun(
        environment=CobraAgent(config, Path()).environment(config.exploration_task),
        encoder=config.encoder,
        exploration=config.exploration,
        seed=config.seed,
    )
    return {**keys, "explore": f"{digest(exploration)} {keys.get('vision', '')}"}


def link_stage(finished: Path, place: Path) -> None:
    """Put a finished stage, or any finished run, at another place, too; nothing where there is one already.

    Its files are linked, or copied where that cannot be: every file of a finished run is replaced, not changed.
    """
    if place.exists():
        return
    with atomic_folder(place) as copy:
        shutil.copytree(finished, copy, copy_function=_link, ignore=shutil.ignore_patterns(".lock"), dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    with contextlib.suppress(OSError):
        os.link(source, target)
        return
    shutil.copy2(source, target)


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
