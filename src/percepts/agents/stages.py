"""The stages of a pipeline on disk: each a run folder of its own, resumed to the same bits, in their order.

    pipeline/                        COBRA's; a training of Alchemy's learners is one such stage alone
        config.json, run.json        the whole configuration, and what became of it
        vision/                      a training run of the vision, where there is one to train
        explore/
            config.json, run.json    its settings; its status, and what it was built on
            metrics.jsonl            one line for every logged step
            checkpoints/             what it goes on from, until it is finished
            result/                  what the next stages need of it
        tasks/NAME/                  the same for every task
        evaluation.json              scores of the tasks by name and mode

A stage begins only when those that it needs are finished, and notes their fingerprints. It reads them and writes into
its own folder alone. Whatever stops it, the same call goes on where its newest whole checkpoint is.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from percepts.agents.snapshots import PLAIN, read_snapshot, write_snapshot
from percepts.core.config import Config, to_json
from percepts.core.errors import CheckpointError, ConfigError, PerceptsError, RunError
from percepts.core.files import write_json
from percepts.core.progress import ProgressLine
from percepts.core.results import plain
from percepts.core.runs import Run, now, provenance
from percepts.training.setup import StopSignal

Kind = Literal["exploration", "task", "alchemy"]
MARKS: dict[Kind, str] = {"exploration": "COBRA exploration", "task": "COBRA task", "alchemy": "Alchemy learner"}
"""What checkpoints of a kind of stage say that they are."""
RESULT = "result"
SAVE_EVERY = 20.0
"""Seconds between two checkpoints."""
SAVING_SHARE = 0.1
"""At most this share of the time goes into saving: a replay of pictures is large."""


class Learning(Protocol):
    """What a stage does, one step at a time: a function of its configuration, its seed and the step."""

    @property
    def finished(self) -> bool: ...

    @property
    def progress(self) -> int:
        """In the unit of the log's steps."""

    @property
    def total(self) -> int:
        """The progress at which it is finished."""

    def step(self) -> dict[str, Any] | None:
        """Go one step; the entry of the log where one is due."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...

    def result(self) -> dict[str, Any]:
        """What later stages need, once it is finished: tensors and plain values."""

    def measure(self) -> dict[str, Any]:
        """What there is to say of the result: named numbers for evaluation.json."""


@dataclass(frozen=True)
class Stage:
    """One stage of a pipeline.

    Attributes:
        kind: which stage; its checkpoints are marked with it.
        path: its folder.
        settings: everything that determines it, beside what it is built on.
        built_on: fingerprints of the results of earlier stages, by name.
    """

    kind: Kind
    path: Path
    settings: Config
    built_on: Mapping[str, str] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """What its checkpoints say that they are."""
        return MARKS[self.kind]


@dataclass(frozen=True)
class StageOutcome:
    """How a call ended: the stage is finished, or a signal interrupted it after a checkpoint."""

    status: Literal["finished", "interrupted"]
    run: Run


def carry_out(stage: Stage, make: Callable[[], Learning]) -> StageOutcome:
    """Begin the stage, go on with it, or do nothing where it is finished.

    Args:
        stage: which one.
        make: what it does, from the beginning.

    Raises:
        RunError: another process carries it out; or the folder holds another stage, or one built on other results.
        ConfigError: it was begun with other settings.
        CheckpointError: its folder holds checkpoints of another stage.
    """
    run = begun(stage)
    with run.lock():
        check(stage, run)
        if run.info()["status"] == "finished":
            return StageOutcome("finished", run)
        try:
            status = _carry_out(stage, run, make())
        except KeyboardInterrupt:
            with contextlib.suppress(PerceptsError):
                run.update(status="interrupted")
            raise
        except Exception as error:
            # Where the disk is full this fails, too, and must not hide what came first.
            with contextlib.suppress(PerceptsError):
                run.update(status="failed", error=f"{type(error).__name__}: {error}".splitlines()[0])
            raise
        return StageOutcome(status, run)


def begun(stage: Stage) -> Run:
    """The stage's run folder, made where there is none."""
    run = Run(stage.path)
    if not run.info_file.exists():
        try:
            return Run.create(stage.path, stage.settings, stage=stage.kind, built_on=dict(stage.built_on))
        except RunError:
            # Another process may have made it meanwhile.
            if not run.info_file.exists():
                raise
    return run


def check(stage: Stage, run: Run) -> None:
    """Make sure that the folder holds this very stage.

    Raises:
        RunError: another stage, or one that was built on other results.
        ConfigError: the same with other settings.
    """
    info = run.info()
    if info.get("stage") != stage.kind:
        raise RunError(f"'{run.path}' holds the stage {info.get('stage', 'of something else')}", stage.kind)
    if run.settings() != to_json(stage.settings):
        raise ConfigError(f"'{run.path}' was begun with other settings", "those in its config.json", "another --out")
    check_built_on(run, stage.built_on)


def check_built_on(run: Run, results: Mapping[str, str]) -> None:
    """Make sure that a stage was built on these results of earlier ones.

    Args:
        run: the stage's.
        results: their fingerprints, by name.

    Raises:
        RunError: it was built on others.
    """
    built_on = run.info().get("built_on")
    if built_on != dict(results):
        changed = [name for name, value in results.items() if (built_on or {}).get(name) != value]
        raise RunError(
            f"'{run.path}' was built on another {' and '.join(changed) or 'stage'} than the one that is there now",
            "the results that it began with",
            f"delete '{run.path}' to begin it anew, or choose another --out",
        )


def read_result(path: Path, kind: Kind, needed_for: str, fix: str) -> dict[str, Any]:
    """The result of a finished stage.

    Args:
        path: the stage's folder.
        kind: which stage it is.
        needed_for: what wants it, for the error.
        fix: what to type if it is not there.

    Raises:
        RunError: the stage was not begun or not finished.
        CheckpointError: the result is damaged, or that of another stage.
    """
    _check_finished(path, needed_for, fix)
    return read_snapshot(path / RESULT, f"{MARKS[kind]} result")


def fingerprint(path: Path, needed_for: str, fix: str) -> str:
    """What identifies the result of the finished stage in `path`: the hash of its tensors.

    Raises:
        RunError: the stage was not begun or not finished; else as of `read_result`.
    """
    _check_finished(path, needed_for, fix)
    try:
        return json.loads((path / RESULT / PLAIN).read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"the result of '{path}' is damaged ({error})", "the files that were written") from error


def status_of(path: Path) -> str:
    """What run.json says of the stage in `path`; "missing" where there is none."""
    run = Run(path)
    return run.info().get("status", "unknown") if run.info_file.is_file() else "missing"


def _check_finished(path: Path, needed_for: str, fix: str) -> None:
    status = status_of(path)
    if status != "finished":
        what = "was not begun" if status == "missing" else f"is {status}"
        raise RunError(f"the stage '{path.name}' {what}, and {needed_for} needs it", "a finished stage", fix)


def _carry_out(stage: Stage, run: Run, learning: Learning) -> Literal["finished", "interrupted"]:
    _go_on(stage, run, learning)
    run.update(status="running", error=None)
    started, saved, waiting = time.monotonic(), time.monotonic(), SAVE_EVERY
    line = ProgressLine(learning.total, "steps", stage.path.name, start=learning.progress)
    with StopSignal() as stop:
        while not learning.finished and stop.number is None:
            entry = learning.step()
            if entry is not None:
                run.log(entry)
            line.update(learning.progress)
            if time.monotonic() - saved > waiting and not learning.finished:
                cost = _save(stage, run, learning)
                saved, waiting = time.monotonic(), max(SAVE_EVERY, cost / SAVING_SHARE)
        line.close()
        seconds = round(run.info().get("seconds", 0.0) + time.monotonic() - started, 3)
        if not learning.finished:
            _save(stage, run, learning)
            run.update(status="interrupted", seconds=seconds)
            return "interrupted"
        run.sync_log()
        found = {"step": learning.progress, **plain(learning.measure()), "provenance": provenance()}
        write_json(run.path / "evaluation.json", found)
        write_snapshot(run.path / RESULT, learning.result(), f"{stage.mark} result")
    run.update(status="finished", ended=now(), step=learning.progress, seconds=seconds)
    # What is finished is not resumed, and the replay is large.
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    return "finished"


def _go_on(stage: Stage, run: Run, learning: Learning) -> None:
    """Put `learning` where the newest whole checkpoint is, or leave it at its beginning."""
    for folder in sorted(run.checkpoints.glob("step-*"), reverse=True):
        _check_mark(folder, stage)
        try:
            state = read_snapshot(folder, stage.mark)
        except CheckpointError as error:
            print(f"warning: {error}; an older one is taken")
            continue
        learning.load_state_dict(state)
        break
    run.forget_after(learning.progress if learning.progress else -1)


def _check_mark(folder: Path, stage: Stage) -> None:
    """Refuse a checkpoint that is whole and of another stage; a damaged one is another matter."""
    try:
        found = json.loads((folder / PLAIN).read_text(encoding="utf-8")).get("kind", stage.mark)
    except (OSError, ValueError, AttributeError):
        return
    if found != stage.mark:
        raise CheckpointError(f"'{folder}' is a checkpoint of the stage {found}", stage.mark, f"delete '{folder}'")


def _save(stage: Stage, run: Run, learning: Learning) -> float:
    """Write a checkpoint and delete all but this and the one before; the seconds that it took."""
    started = time.monotonic()
    run.sync_log()
    write_snapshot(run.checkpoints / f"step-{learning.progress:08d}", learning.state_dict(), stage.mark)
    kept = sorted(run.checkpoints.glob("step-*"))[-2:]
    for other in run.checkpoints.iterdir():
        if other not in kept:
            shutil.rmtree(other, ignore_errors=True)
    run.update(step=learning.progress)
    return time.monotonic() - started
