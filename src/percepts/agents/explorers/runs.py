"""Runs of explorers in a folder: every turn is on the disk before the next one, and what was paid for is never lost.

    config.json, run.json      the settings, and how far it is
    episodes/0000.jsonl        one transcript an episode
    replies.jsonl              every answer of a model, recorded as soon as it is there
    ledger.jsonl               tokens and cost
    results.json               one line an episode, and what they say together

    run = ExplorerRun.start(config, "runs/optimal")
    run.play()
    ExplorerRun.open("runs/optimal").play()         # after a crash: finished turns are repeated from the folder

`feature_runs` and `alchemy_runs` say what is played. Episodes are functions of the run's seed and their number.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from percepts.agents.explorers.language import Asking
from percepts.agents.explorers.replays import TurnLog
from percepts.core.config import Config
from percepts.core.errors import ConfigError, RunError
from percepts.core.files import write_json
from percepts.core.random import derive_seed
from percepts.core.runs import Run
from percepts.foundation.errors import ModelError
from percepts.foundation.ledger import Spent
from percepts.foundation.model import (
    LanguageModel,
)
from percepts.foundation.openai_server import OpenAIServer
from percepts.foundation.service import Dependable, Service, dependable
from percepts.foundation.transcripts import begin_transcript, begun_transcript
from percepts.foundation.transformers_local import LocalModel

FORMAT = 1
MODEL = "model"
"""The agent that is a language model."""


@dataclass(frozen=True, kw_only=True)
class ExplorerConfig(Config):
    """What every run of explorers says.

    Attributes:
        agent: who plays: a program by name, or "model".
        model: the language model, for the agent "model".
        service: how patiently it is asked, at which price and within which budget.
        asking: how it is asked.
        episodes: how many.
        seed: of the episodes, and of the choices of programs.
        at_once: episodes that are played side by side.
    """

    agent: str
    model: OpenAIServer.Config | LocalModel.Config | None = None
    service: Service = field(default_factory=Service)
    asking: Asking = field(default_factory=Asking)
    episodes: int = 20
    seed: int = 0
    at_once: int = 8

    run: ClassVar[type[ExplorerRun]]
    """The class that plays it."""
    explored: ClassVar[str]
    """What the command line calls the world."""

    def __post_init__(self) -> None:
        for name in ("episodes", "at_once"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}", "1 or more")
        if (self.agent == MODEL) != (self.model is not None):
            got = "no model" if self.agent == MODEL else "a model"
            raise ConfigError(f"the agent '{self.agent}' with {got}", "a model for the agent 'model' alone")

    @property
    def called(self) -> str:
        """Who plays, for people."""
        if self.model is None:
            return self.agent
        name = getattr(self.model, "called", None) or self.model.model
        return str(name)

    @property
    def resume(self) -> str:
        """The command that goes on with such a run, without its folder."""
        return f"percepts explore {self.explored} --resume"


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        done: episodes that are finished, in earlier sittings too.
        episodes: that there will be.
        turns: written in this sitting.
        score: mean of what finished episodes reached; None before the first.
        spent: tokens and cost in all sittings; None for programs.
        seconds: of this sitting.
        fresh: episodes that were finished in this sitting.
        waiting: why and how long a question waits to be asked again; None where none does.
    """

    done: int
    episodes: int
    turns: int
    score: float | None
    spent: Spent | None
    seconds: float
    fresh: int
    waiting: str | None = None


Report = Callable[[Progress], None]


class ExplorerRun(ABC):
    """A run in a folder.

    Args:
        run: the folder.
        config: its settings.
        model: who is asked, instead of what the settings name; for tests and rehearsals.
    """

    def __init__(self, run: Run, config: Any, model: LanguageModel | None = None) -> None:
        self.run, self.config, self._model = run, config, model

    @classmethod
    def start(cls, config: ExplorerConfig, out: Path | str, model: LanguageModel | None = None) -> ExplorerRun:
        """A new run.

        Raises:
            RunError: the folder holds something already.
        """
        run = Run.create(out, config, kind="explorer", explorer=config.called, resume=config.resume)
        return config.run(run, config, model)

    @classmethod
    def open(cls, path: Path | str, model: LanguageModel | None = None) -> ExplorerRun:
        """The run in a folder.

        Raises:
            RunError: there is none, or it is a run of something else.
        """
        run = Run.open(path)
        config = run.config()
        if not isinstance(config, ExplorerConfig):
            raise RunError(f"'{path}' is no run of explorers", "one that `percepts explore` began")
        return config.run(run, config, model)

    @property
    def path(self) -> Path:
        """Of the folder."""
        return self.run.path

    @property
    def resume(self) -> str:
        """The command that goes on with it."""
        return f"{self.config.resume} {self.path}"

    def change(self, config: ExplorerConfig) -> None:
        """Go on with other settings from now on: such as change nothing of what is asked.

        Raises:
            RunError: another process plays this run.
        """
        with self.run.lock():
            self.run.change(config)
            self.config = config

    @property
    def results_file(self) -> Path:
        """Where the results are."""
        return self.path / "results.json"

    def play(self, report: Report | None = None) -> dict[str, Any]:
        """Play what is not finished, and write the results; both are returned and on the disk.

        Raises:
            ModelError: the model does not answer. What was said until then is kept; play again.
            RunError: another process plays this run.
        """
        with ExitStack() as stack:
            stack.enter_context(self.run.lock())
            self.run.update(status="running")
            try:
                rows = self._rows(report)
            except BaseException as error:
                self.run.update(status="interrupted", error=str(error)[:500])
                if type(error) is ModelError:
                    fix = f"{error.fix}: {self.resume}" if error.fix else self.resume
                    raise ModelError(error.got, error.expected, fix) from error
                raise
            results = {"format": FORMAT, "agent": self.config.called, "rows": rows, "summary": self.summary(rows)}
            write_json(self.results_file, results)
            self.run.update(status="finished", error=None)
        return results

    @property
    def together(self) -> int:
        """Episodes that are played side by side."""
        return int(self.config.at_once)

    def seed_of(self, number: int) -> int:
        """The seed of an episode."""
        return derive_seed(self.config.seed, "episode", number)

    def transcript_file(self, number: int) -> Path:
        """The transcript of an episode."""
        return self.path / "episodes" / f"{number:04d}.jsonl"

    @abstractmethod
    def summary(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What episodes say together, as JSON data."""

    @abstractmethod
    def score(self, row: Mapping[str, Any]) -> float | None:
        """What one episode reached, for the table of progress; None where that says nothing."""

    @abstractmethod
    def play_some(self, numbers: Sequence[int], sitting: Sitting) -> list[dict[str, Any]]:
        """Play episodes side by side; what became of each, as JSON data."""

    def _rows(self, report: Report | None) -> list[dict[str, Any]]:
        rows: dict[int, dict[str, Any]] = {}
        for number in range(self.config.episodes):
            row = finished_row(self.transcript_file(number))
            if row is not None:
                rows[number] = row
        sitting = Sitting(self, rows, report)
        sitting.tell()
        left = [number for number in range(self.config.episodes) if number not in rows]
        for start in range(0, len(left), self.together):
            some = left[start : start + self.together]
            for number, row in zip(some, self.play_some(some, sitting)):
                rows[number] = row
            sitting.tell()
        return [rows[number] for number in range(self.config.episodes)]


class Sitting:
    """One process that plays a run: its model, and what it tells.

    Args:
        run: that is played.
        rows: of finished episodes, by number; the caller adds to them.
        report: is told of progress.
    """

    def __init__(self, run: ExplorerRun, rows: dict[int, dict[str, Any]], report: Report | None) -> None:
        self.run, self.rows, self.report = run, rows, report
        self.before, self.turns, self.began = len(rows), 0, time.monotonic()
        self.service: Dependable | None = None
        self.waiting: str | None = None

    def model(self) -> LanguageModel:
        """The language model, recorded in the folder."""
        if self.service is None:
            config = self.run.config
            made = self.run._model if self.run._model is not None else config.model.build()
            self.service = dependable(made, self.run.path, config.service, waiting=self._wait)
        return self.service.model

    def recording(self, number: int, system: str, facts: Mapping[str, Any]) -> TurnLog:
        """The transcript of an episode, to be written or gone on with."""
        name = f"{self.run.config.explored}, episode {number}"
        return TurnLog(begin_transcript(self.run.transcript_file(number), name, system, facts), self._count)

    def _count(self) -> None:
        self.turns += 1
        self.waiting = None

    def _wait(self, reason: str, seconds: float) -> None:
        self.waiting = f"asking again in {seconds:.0f} s: {reason}"
        self.tell()

    def tell(self) -> None:
        """Report the progress."""
        if self.report is None:
            return
        scores = [score for row in list(self.rows.values()) if (score := self.run.score(row)) is not None]
        self.report(
            Progress(
                done=len(self.rows),
                episodes=self.run.config.episodes,
                turns=self.turns,
                score=sum(scores) / len(scores) if scores else None,
                spent=None if self.service is None else self.service.ledger.spent(),
                seconds=time.monotonic() - self.began,
                fresh=len(self.rows) - self.before,
                waiting=self.waiting,
            )
        )


def finished_row(path: Path) -> dict[str, Any] | None:
    """What became of the episode with this transcript; None if it is not finished, or not begun, or its first line is
    lost, as by a crash.

    Raises:
        DataError: the file cannot be read, or has another format.
    """
    transcript = begun_transcript(path)
    if transcript is None or transcript.end is None:
        return None
    row = transcript.end.get("result")
    return dict(row) if isinstance(row, Mapping) else None


def read_results(path: Path | str) -> dict[str, Any]:
    """The results in the folder of a run.

    Raises:
        RunError: it has none yet.
    """
    file = Path(path) / "results.json"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(found, dict) and found.get("format") == FORMAT:
            return found
    except (OSError, ValueError):
        pass
    fix = ExplorerRun.open(path).resume if Run(path).info_file.is_file() else None
    raise RunError(f"'{path}' has no results yet", "a finished run of explorers", fix)
