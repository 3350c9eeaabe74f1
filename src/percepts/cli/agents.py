"""Commands that train agents: pipelines of several stages in one folder, and learners of Alchemy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from percepts.cli.holdings import check_kind, report_learner
from percepts.cli.words import command_parser, usage

if TYPE_CHECKING:
    from percepts.agents.cobra.agent import CobraAgent
    from percepts.agents.meta_rl.training import AlchemyTraining

STAGES = ("vision", "explore", "task", "evaluate")
OF_TASKS = ("task", "evaluate")


def train_cobra(words: list[str]) -> int:
    """Train COBRA: vision, exploration without rewards, tasks, evaluation, report; all of it, or one stage."""
    options, settings = _options(words)
    if options.settings:
        _config(options, ["--help"])
    if options.task and options.stage not in OF_TASKS:
        raise usage("--task belongs to the stages task and evaluate", "--stage task, or --stage evaluate")
    from percepts.agents.cobra.agent import CobraAgent
    from percepts.training.catalogue import load_rooms

    load_rooms()
    if options.resume is not None and (settings or options.out or options.preset or options.seed is not None):
        raise usage("--resume goes on with a pipeline as it is", f"percepts train cobra --resume {options.resume}")
    if options.resume is not None:
        check_kind(options.resume, "cobra")
    config = CobraAgent.open(options.resume).config if options.resume is not None else _config(options, settings)
    if options.print_config:
        import json

        from percepts.core.config import to_json

        print(json.dumps(to_json(config), indent=2))
        return 0
    if options.resume is not None:
        agent = CobraAgent.open(options.resume)
    else:
        from percepts.cli.training import fresh_folder

        _check_first_stage(options, config)
        out = options.out or fresh_folder("cobra")
        agent = CobraAgent.start(config, out, preset=f"cobra {options.preset or 'cpu'}")
    print(f"pipeline {agent.path}: {_vision_of(agent)}, seed {agent.config.seed}", flush=True)
    return _carry_out(agent, options)


def _check_first_stage(options: Any, config: CobraAgent.Config) -> None:
    """Refuse a stage of a new pipeline that needs other ones, before there is a folder."""
    if options.stage in OF_TASKS or (options.stage == "explore" and config.vision is not None):
        raise usage(
            f"--stage {options.stage} of a new pipeline, which has not begun the stages that it needs",
            f"percepts train cobra --resume FOLDER --stage {options.stage}, or all stages, without --stage",
        )


def _carry_out(agent: CobraAgent, options: Any) -> int:
    tasks = options.task or list(agent.config.tasks)
    status: str
    if options.stage is None:
        status = agent.run()
    elif options.stage == "vision":
        outcome = agent.train_vision()
        if outcome is None:
            print("this pipeline has no vision to train: its slots are the true factors")
        status = "finished" if outcome is None else outcome.status
    elif options.stage == "explore":
        status = agent.explore().status
    elif options.stage == "task":
        status = next((found for task in tasks if (found := agent.train_task(task).status) != "finished"), "finished")
    else:
        from percepts.envs.spriteworld.configs import MODES

        for task in tasks:
            for mode in MODES:
                agent.evaluate(task, mode)
        status = "finished"
    if status == "interrupted":
        print(f"stopped and saved. Continue: percepts train cobra --resume {agent.path}")
        return 130
    print(show_pipeline(agent))
    from percepts.report.cobra import report_pipeline

    print(f"report: {report_pipeline(agent.path)}")
    return 0


def show_pipeline(agent: CobraAgent) -> str:
    """What became of the stages, and the scores so far, for the terminal."""
    from percepts.core.tables import number, table

    parts = [table(["stage", "status"], [[name, status] for name, status in agent.status().items()])]
    rows = [
        [task, mode, number(score["success"]), " … ".join(map(number, score["success_interval"])),
         number(score["length"]), number(score["total"])]
        for task, modes in agent.scores().items()
        for mode, score in modes.items()
    ]  # fmt: skip
    if rows:
        parts.append(table(["task", "mode", "success", "95 % interval", "length", "return"], rows))
    return "\n\n".join(parts)


def train_alchemy(words: list[str]) -> int:
    """Train a learner at the table of Alchemy, and measure how it plays episodes that it was not trained on."""
    options, settings = _alchemy_options(words)
    if options.settings:
        _alchemy_config(options, ["--help"])
    from percepts.agents.meta_rl.training import settings_of, train

    given = settings or options.out or options.preset or options.level or options.seed is not None
    if options.resume is not None and given:
        raise usage("--resume goes on with a training as it is", f"percepts train alchemy --resume {options.resume}")
    if options.resume is not None:
        check_kind(options.resume, "alchemy")
    config = settings_of(options.resume) if options.resume is not None else _alchemy_config(options, settings)
    if options.print_config:
        import json

        from percepts.core.config import to_json

        print(json.dumps(to_json(config), indent=2))
        return 0
    from percepts.cli.training import fresh_folder

    path = options.resume or options.out or fresh_folder("alchemy")
    if options.resume is None:
        from percepts.core.runs import Run

        Run(path).check_free()
    print(f"training {path}: {config.steps:,} steps of {config.arenas} tables, seed {config.seed}", flush=True)
    outcome = train(config, path)
    if outcome.status == "interrupted":
        print(f"stopped and saved. Continue: percepts train alchemy --resume {path}")
        return 130
    print(show_scores(outcome.run.evaluation() or {}))
    return report_learner(Path(path))


def show_scores(scores: dict[str, Any]) -> str:
    """How a learner played, for the terminal."""
    from percepts.core.tables import number, table

    trials = " ".join(f"{score:.1f}" for score in scores["per_trial"])
    rows = [[number(scores["score"]), number(scores["standard_error"]), number(scores["adaptation"]), trials]]
    return table(["score", "standard error", "late - early", "by trial"], rows)


def _alchemy_options(words: list[str]) -> tuple[Any, list[str]]:
    examples = (
        "percepts train alchemy --preset cpu --out runs/alchemy       minutes on two cores",
        "percepts train alchemy --resume runs/alchemy                 go on where it was stopped",
        "percepts train alchemy --preset cpu --steps 2000000 --level no-bottleneck",
        "percepts train alchemy --preset cpu --settings               what all settings mean",
    )
    parser = command_parser(train_alchemy, *examples)
    from percepts.agents.meta_rl.presets import TRAININGS

    parser.prog = "percepts train alchemy"
    parser.add_argument("--preset", help="one of " + ", ".join(TRAININGS).replace("cpu,", "cpu (the default),", 1))
    parser.add_argument("--level", help="of the table: random-bottleneck, no-bottleneck, rotation-random-bottleneck, …")
    parser.add_argument("--resume", metavar="FOLDER", help="go on with a training")
    parser.add_argument("--out", metavar="FOLDER", help="where it goes; by default runs/alchemy-TIME")
    parser.add_argument("--seed", type=int, help="of everything")
    parser.add_argument("--settings", action="store_true", help="explain all settings, each of which is a flag")
    parser.add_argument("--print-config", action="store_true", help="show the whole configuration and train nothing")
    return _parsed(parser, words, TRAININGS)


def _parsed(parser: Any, words: list[str], presets: Iterable[str]) -> tuple[Any, list[str]]:
    """The options and the other settings; a preset that is named without its flag is refused."""
    if words and not words[0].startswith("-"):
        from percepts.core.errors import nearest

        raise usage(
            f"'{words[0]}' is no setting of {parser.prog}",
            f"{parser.prog} --preset {nearest(words[0], presets) or 'NAME, one of ' + ', '.join(presets)}",
        )
    found: tuple[Any, list[str]] = parser.parse_known_args(words)
    return found


def presets_of_agents() -> dict[str, dict[str, str]]:
    """What the presets of agents are for, by the names of agent and preset."""
    import inspect

    from percepts.agents.cobra.presets import PIPELINES
    from percepts.agents.meta_rl.presets import TRAININGS

    agents: dict[str, Mapping[str, Callable[[], Any]]] = {"cobra": PIPELINES, "alchemy": TRAININGS}
    return {
        agent: {
            name: " ".join((inspect.getdoc(make) or "").partition("\n\n")[0].split()) for name, make in named.items()
        }
        for agent, named in agents.items()
    }


def _alchemy_config(options: Any, settings: list[str]) -> AlchemyTraining.Config:
    import dataclasses

    import tyro

    from percepts.agents.meta_rl.presets import TRAININGS
    from percepts.agents.meta_rl.training import AlchemyTraining

    config = _preset("Alchemy", options, TRAININGS)
    if options.level is not None:
        config = dataclasses.replace(config, table=dataclasses.replace(config.table, level=options.level))
    return tyro.cli(
        AlchemyTraining.Config,
        default=config,
        args=settings,
        prog="percepts train alchemy",
        config=(tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff),
    )


def _preset(agent: str, options: Any, known: Mapping[str, Callable[[], Any]]) -> Any:
    """The configuration of a preset, with the seed that was given."""
    import dataclasses

    from percepts.core.errors import nearest

    name = options.preset or "cpu"
    if name not in known:
        close = nearest(name, known)
        hint = f", did you mean '{close}'?" if close else ""
        raise usage(f"{agent} has no preset '{name}'{hint}", "one of " + ", ".join(known))
    config = known[name]()
    return config if options.seed is None else dataclasses.replace(config, seed=options.seed)


def _options(words: list[str]) -> tuple[Any, list[str]]:
    examples = (
        "percepts train cobra --preset cpu --out runs/cobra      oracle slots, minutes on two cores",
        "percepts train cobra --preset cpu-pixels                from pictures, with MONet",
        "percepts train cobra --resume runs/cobra                go on where it was stopped",
        "percepts train cobra --resume runs/cobra --stage evaluate --task sorting",
        "percepts train cobra --noise 0.05 --exploration.transitions 25600",
        "percepts train cobra --preset cpu --settings            what all settings mean",
    )
    # Also `percepts train cobra --help` lists what follows, and --settings the hundred settings of a pipeline.
    parser = command_parser(train_cobra, *examples)
    parser.prog = "percepts train cobra"
    parser.add_argument("--preset", help="tiny, tiny-pixels, cpu (the default), cpu-pixels or gpu")
    parser.add_argument("--resume", metavar="FOLDER", help="go on with a pipeline; finished stages stay as they are")
    parser.add_argument("--out", metavar="FOLDER", help="where it goes; by default runs/cobra-TIME")
    parser.add_argument("--stage", choices=STAGES, help="do this stage only; those that it needs must be finished")
    parser.add_argument("--task", action="append", metavar="NAME", help="of the stages task and evaluate; may repeat")
    parser.add_argument("--seed", type=int, help="of all stages")
    parser.add_argument("--settings", action="store_true", help="explain all settings, each of which is a flag")
    parser.add_argument("--print-config", action="store_true", help="show the whole configuration and train nothing")
    from percepts.agents.cobra.presets import PIPELINES

    return _parsed(parser, words, PIPELINES)


def _config(options: Any, settings: list[str]) -> CobraAgent.Config:
    import tyro

    from percepts.agents.cobra.agent import CobraAgent
    from percepts.agents.cobra.presets import PIPELINES

    return tyro.cli(
        CobraAgent.Config,
        default=_preset("COBRA", options, PIPELINES),
        args=settings,
        prog="percepts train cobra",
        config=(tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff),
    )


def _vision_of(agent: CobraAgent) -> str:
    from percepts.core.config import type_name

    if agent.config.vision is not None:
        return type_name(type(agent.config.vision.model))
    return type_name(type(agent.config.encoder))


AGENTS = {"cobra": train_cobra, "alchemy": train_alchemy}
"""What `percepts train` knows beside presets of models."""
