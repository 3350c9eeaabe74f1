"""What a run folder holds, and which commands apply to it: the one place of the command line that knows.

    other = command_of(run, "report", {"step": options.step})
    if other is not None:
        return other([])

Where it is None the folder holds a model's training, which the command itself is about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from percepts.cli.words import usage

if TYPE_CHECKING:
    from percepts.core.runs import Run

Command = Literal["train --resume", "evaluate", "report"]
"""Those that do not apply to every run, as they are typed before its folder."""
Act = Callable[[Path, list[str]], int]
"""What a command does with a folder, given the words that were typed beside it."""


@dataclass(frozen=True)
class Holding:
    """A kind of run folder.

    Attributes:
        what: it is, for errors.
        commands: that apply to it, and what they do.
        instead: what to type where one does not apply; {command}, {run} and {resume} stand for the command, the folder
            and the command that goes on with it.
        resume: the command that goes on with it, without its folder; None where there is none, or where the run knows.
    """

    what: str
    commands: Mapping[Command, Act] = field(default_factory=dict)
    instead: str = "percepts runs show {run}"
    resume: str | None = None


def command_of(
    run: Run, command: Command, options: Mapping[str, Any] | None = None
) -> Callable[[list[str]], int] | None:
    """What a command does with a run that is no training of a model; None where it is one.

    Args:
        run: the folder.
        command: which one.
        options: of the command, by name, that are for trainings of models only; None and False for not given.

    Raises:
        ConfigError: the command does not apply to what the folder holds, or the options do not.
    """
    kind = _kind(run.info())
    if kind == "model":
        return None
    holding = HOLDINGS.get(kind, Holding(f"a run of the kind '{kind}'"))
    act = holding.commands.get(command)
    if act is None:
        raise usage(
            f"'{run.path}' holds {holding.what}, to which 'percepts {command}' does not apply",
            holding.instead.format(command=command, run=run.path, resume=_resume(run, holding)),
        )
    given = [f"--{name}" for name, value in (options or {}).items() if value is not None and value is not False]
    if given:
        raise usage(f"'{run.path}' holds {holding.what}, which has no {given[0]}", f"percepts {command} {run.path}")
    return lambda words: act(run.path, words)


def check_kind(folder: Path | str, kind: str) -> None:
    """Refuse to go on with a run of another kind.

    Raises:
        ConfigError: the folder holds something else; what, and which command goes on with it.
        RunError: it is no run folder.
    """
    from percepts.core.runs import Run

    run = Run.open(folder)
    found = _kind(run.info())
    if found != kind:
        holding = HOLDINGS.get(found, Holding(f"a run of the kind '{found}'"))
        raise usage(f"'{folder}' holds {holding.what}, not {HOLDINGS[kind].what}", _resume(run, holding))


def _resume(run: Run, holding: Holding) -> str:
    """The command that goes on with a run, or else what to do with it."""
    if holding.resume is not None:
        return f"{holding.resume} {run.path}"
    if holding is HOLDINGS["explorer"]:
        # Both define settings that a folder may hold.
        from percepts.agents.explorers import alchemy_runs, feature_runs  # noqa: F401
        from percepts.agents.explorers.runs import ExplorerRun

        return ExplorerRun.open(run.path).resume
    return holding.instead.format(command="train --resume", run=run.path, resume="")


def _kind(info: Mapping[str, Any]) -> str:
    """By run.json. A training of a model says nothing, but for the vision of a pipeline, which is one, too."""
    if "kind" in info:
        return str(info["kind"])
    if info.get("stage") == "alchemy":
        return "alchemy"
    return "stage" if info.get("stage", "vision") != "vision" else "model"


def _resume_pipeline(_: Path, words: list[str]) -> int:
    from percepts.cli.agents import train_cobra

    return train_cobra(words)


def _evaluate_pipeline(folder: Path, words: list[str]) -> int:
    from percepts.agents.cobra.agent import CobraAgent
    from percepts.cli.agents import train_cobra
    from percepts.training.catalogue import load_rooms

    load_rooms()
    for stage, status in CobraAgent.open(folder).status().items():
        if status != "finished":
            raise usage(
                f"'{folder}' holds a pipeline that is not finished (stage {stage}: {status})",
                f"percepts train cobra --resume {folder}",
            )
    return train_cobra(["--resume", str(folder), "--stage", "evaluate", *words])


def _report_pipeline(folder: Path, _: list[str]) -> int:
    from percepts.report.cobra import report_pipeline
    from percepts.training.catalogue import load_rooms

    load_rooms()
    print(f"report: {report_pipeline(folder)}")
    return 0


def _resume_alchemy(_: Path, words: list[str]) -> int:
    from percepts.cli.agents import train_alchemy

    return train_alchemy(words)


def _evaluate_alchemy(folder: Path, _: list[str]) -> int:
    from percepts.agents.meta_rl.training import evaluate, open_agent, scores_of, settings_of
    from percepts.cli.agents import show_scores

    config = settings_of(folder)
    print(show_scores(scores_of(evaluate(open_agent(folder, greedy=config.greedy), config))))
    return 0


def _report_explorer(folder: Path, _: list[str]) -> int:
    from percepts.report.explorers import report_explorers

    print(f"report: {report_explorers([folder])}")
    return 0


def report_learner(folder: Path, _: Sequence[str] = ()) -> int:
    """The page of a learner of Alchemy, from the episodes of its evaluation, beside the references."""
    from percepts.agents.agent import Agent
    from percepts.agents.alchemy.bots import RandomHeuristic
    from percepts.agents.alchemy.oracle import OracleAgent
    from percepts.agents.meta_rl.training import evaluate, open_agent, settings_of
    from percepts.envs.alchemy.table import Table
    from percepts.report.alchemy import report_alchemy

    config = settings_of(folder)
    table = Table(config.table)
    agents: dict[str, Agent] = {
        "random heuristic": RandomHeuristic(table),
        "oracle": OracleAgent(table),
        "learner": open_agent(folder, greedy=config.greedy),
    }
    played = {name: evaluate(agent, config, record=True) for name, agent in agents.items()}
    print(f"report: {report_alchemy(folder, played, level=table.level, title='A learner of Alchemy')}")
    return 0


HOLDINGS = {
    "model": Holding("a training of a model", resume="percepts train --resume"),
    "cobra": Holding(
        "a pipeline of COBRA",
        {"train --resume": _resume_pipeline, "evaluate": _evaluate_pipeline, "report": _report_pipeline},
        resume="percepts train cobra --resume",
    ),
    "alchemy": Holding(
        "a learner of Alchemy",
        {"train --resume": _resume_alchemy, "evaluate": _evaluate_alchemy, "report": report_learner},
        instead="percepts.agents.meta_rl.open_agent in Python",
        resume="percepts train alchemy --resume",
    ),
    "explorer": Holding("a run of an explorer", {"report": _report_explorer}, instead="{resume}"),
    "stage": Holding("one stage of a pipeline", instead="percepts {command} with the folder of the pipeline"),
    "agent": Holding("a model-free baseline", instead="percepts.agents.model_free_runs in Python"),
}
"""By kind."""
