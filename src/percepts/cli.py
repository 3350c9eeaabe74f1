"""The command line: thin typed functions that call the rooms below. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from percepts import __version__

if TYPE_CHECKING:
    from percepts.core.runs import Run

HELP = f"""percepts {__version__}: learn factors, objects, relations and concepts from pixels, and act on them

  percepts train PRESET          train, measure and report; --help lists every setting
  percepts train --resume RUN    continue a run to the bits of an unbroken one
  percepts evaluate RUN          measure a run again
  percepts report RUN            write its report.html again
  percepts runs list [FOLDER]    the runs in a folder; also: runs show RUN, runs diff RUN RUN
  percepts presets               what can be trained, with what to expect
  percepts reproduce STUDY       a study: presets, seeds, claims; writes RESULTS.md
  percepts doctor                versions, devices, threads, optional features

examples
  percepts train demo
  percepts train demo --data.folder my_images/ --max-minutes 3
  percepts train demo --seed 1 --steps 2000 --lr 1e-3 --out runs/short
  percepts runs diff runs/a runs/b

Add --help to any command for its settings."""


OTHER_OPTIONS = """Beside the settings below: --out FOLDER says where the run goes (by default runs/PRESET-TIME),
--print-config shows the whole configuration and trains nothing.

examples
  percepts train {preset} --out runs/mine --seed 1
  percepts train {preset} --data.folder my_images/ --max-minutes 3"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 well, 1 an error, 2 a wrong command, 3 a study missed a claim, 128+n
    stopped by signal n)."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(HELP)
        return 0
    if words[0] in ("-V", "--version"):
        print(__version__)
        return 0
    command = COMMANDS.get(words[0])
    if command is None:
        from percepts.core.errors import nearest

        close = nearest(words[0], COMMANDS)
        hint = f", did you mean '{close}'?" if close else ""
        print(f"error: unknown command '{words[0]}'{hint or '.'} See percepts --help", file=sys.stderr)
        return 2
    from percepts.core.errors import PerceptsError

    try:
        return command(words[1:])
    except PerceptsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def train(words: list[str]) -> int:
    """Train a preset, or resume a run; then measure it and write its report."""
    options, rest = _train_options(words)
    if options.resume is None and options.preset is None:
        raise _usage("percepts train needs a preset or --resume RUN", "percepts train demo, or percepts presets")
    if options.resume is not None and (options.preset is not None or options.out is not None):
        raise _usage("--resume goes on with a run as it is", f"percepts train --resume {options.resume}")

    import inspect

    import tyro

    from percepts.core.runs import Run
    from percepts.studies import load_studies
    from percepts.training import experiment as experiments

    load_studies()
    if options.resume is not None:
        from percepts.training.catalogue import load_rooms

        load_rooms()
        run = Run.open(options.resume)
        default, about = run.config(), f"Resume {options.resume}."
    else:
        chosen = experiments.find_preset(options.preset)
        default = chosen.make()
        about = f"{inspect.getdoc(chosen.make)}\n\n{OTHER_OPTIONS.format(preset=options.preset)}"
    experiment = tyro.cli(
        experiments.Experiment,
        default=default,
        args=rest,
        prog=f"percepts train {options.preset or '--resume RUN'}",
        description=about,
        config=(tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff),
    )
    if options.print_config:
        import json

        from percepts.core.config import to_json

        print(json.dumps(to_json(experiment), indent=2))
        return 0
    if options.resume is None:
        out = _common_folder(options.out or _fresh_folder(options.preset), experiment.training.device)
        run, experiment = experiments.start(experiment, out, preset=options.preset)
    return _train_and_report(run, experiment)


def _train_and_report(run: Run, experiment: Any) -> int:
    from percepts.training import experiment as experiments
    from percepts.training.setup import processes

    main_process = processes(experiment.training.device).is_main_process
    if main_process:
        print(
            f"run {run.path}: {type(experiment.model).__qualname__.split('.')[0]}, seed {experiment.seed}", flush=True
        )
    outcome = experiments.train(run, experiment)
    if not main_process:
        return 0
    speed = f", {outcome.images_per_second:,.0f} images/s" if outcome.images_per_second else ""
    ending = f"at step {outcome.step} ({outcome.seconds:.0f} s{speed})"
    if outcome.status == "interrupted":
        print(f"stopped {ending} and saved. Continue: percepts train --resume {run.path}")
        return 128 + (outcome.signal or 2)
    print(f"{outcome.status} {ending}")
    if outcome.status == "out of time":
        print(f"More: percepts train --resume {run.path} --max-minutes MORE (all sessions count)")
    from percepts.core import tables
    from percepts.report.run import report_run

    try:
        print(tables.evaluation(experiments.measure(run)))
        print(f"report: {report_run(run)}")
    except KeyboardInterrupt:
        print(f"stopped before the report; the model is saved. Go on: percepts train --resume {run.path}")
        return 130
    return 0


def evaluate(words: list[str]) -> int:
    """Measure a run: metrics, latents, reconstruction. Writes RUN/evaluation.json and prints a table."""
    parser = _parser(evaluate, "percepts evaluate runs/demo --exact --bootstrap 500")
    parser.add_argument("run", help="the run folder")
    parser.add_argument("--step", type=int, help="of the checkpoint; the newest intact one by default")
    parser.add_argument("--images", type=int, help="how many to encode")
    parser.add_argument("--exact", action="store_true", default=None, help="published sizes and predictors (minutes)")
    parser.add_argument("--bootstrap", type=int, help="resamples for the confidence intervals")
    options = parser.parse_args(words)

    import dataclasses

    from percepts.core import tables
    from percepts.core.runs import Run
    from percepts.training.catalogue import load_rooms
    from percepts.training.experiment import measure

    load_rooms()
    run = Run.open(options.run)
    given = {"images": options.images, "exact": options.exact, "bootstrap": options.bootstrap}
    changes = {name: value for name, value in given.items() if value is not None}
    print(tables.evaluation(measure(run, dataclasses.replace(run.config().evaluation, **changes), options.step)))
    return 0


def report(words: list[str]) -> int:
    """Write RUN/report.html: one self-contained page."""
    parser = _parser(report, "percepts report runs/demo --figures")
    parser.add_argument("run", help="the run folder")
    parser.add_argument("--step", type=int, help="of the checkpoint; the newest intact one by default")
    parser.add_argument("--figures", action="store_true", help="also write the figures as PNG files into RUN/figures")
    options = parser.parse_args(words)

    from percepts.core.runs import Run
    from percepts.report.run import figures_run, report_run

    run = Run.open(options.run)
    print(f"report: {report_run(run, options.step)}")
    for path in figures_run(run, options.step) if options.figures else ():
        print(path)
    return 0


def runs(words: list[str]) -> int:
    """List runs, show one, or show where two differ."""
    parser = _parser(runs, "percepts runs list runs", "percepts runs diff runs/a runs/b")
    commands = parser.add_subparsers(dest="command", required=True, metavar="list | show | diff")
    commands.add_parser("list", help="status, step, loss and time").add_argument("folder", nargs="?", default="runs")
    commands.add_parser("show", help="settings, last numbers, checkpoints, scores").add_argument("run")
    diff = commands.add_parser("diff", help="settings first, then results")
    diff.add_argument("a")
    diff.add_argument("b")
    options = parser.parse_args(words)

    from percepts.core import tables
    from percepts.core.runs import Run, find_runs

    if options.command == "list" and not Path(options.folder).is_dir():
        raise _usage(
            f"there is no folder '{options.folder}'", "percepts runs list FOLDER, the folder that your runs are in"
        )
    if options.command == "list":
        print(tables.run_list(find_runs(options.folder)) or f"no runs in '{options.folder}'")
    elif options.command == "show":
        print(tables.run_details(Run.open(options.run)))
    else:
        print(tables.run_difference(Run.open(options.a), Run.open(options.b)))
    return 0


def presets(words: list[str]) -> int:
    """List the presets, or show what one promises and all its settings."""
    parser = _parser(presets, "percepts presets", "percepts presets demo")
    parser.add_argument("preset", nargs="?", help="show this one in full")
    options = parser.parse_args(words)

    from percepts.studies import load_studies
    from percepts.training.experiment import PRESETS, find_preset

    load_studies()
    if options.preset is not None:
        import inspect

        from percepts.core.config import flatten

        chosen = find_preset(options.preset)
        print(inspect.getdoc(chosen.make), end="\n\n")
        print("\n".join(f"  {name:42} {value}" for name, value in flatten(chosen.make()) if not name.endswith("type")))
        return 0
    width = max(map(len, PRESETS))
    print("\n".join(f"{name:{width}}  {PRESETS[name].summary}" for name in sorted(PRESETS)))
    return 0


def reproduce(words: list[str]) -> int:
    """Run a study: train every seed (finished ones are skipped), check the claims, write RESULTS.md."""
    parser = _parser(reproduce, "percepts reproduce demo", "percepts reproduce list")
    parser.add_argument("study", help="its name, or 'list'")
    parser.add_argument("--preset", default="cpu", help="tiny (seconds), cpu (minutes), gpu or paper")
    parser.add_argument("--out", type=Path, default=Path("runs/studies"), help="where the runs go")
    options = parser.parse_args(words)

    from percepts.studies import reproduce as run_study

    return run_study(options.study, options.preset, options.out)


def doctor(words: list[str]) -> int:
    """Show versions, devices, threads and optional features of this installation."""
    _parser(doctor, "percepts doctor").parse_args(words)

    from percepts.training.doctor import describe

    print(describe())
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": train,
    "evaluate": evaluate,
    "report": report,
    "runs": runs,
    "presets": presets,
    "reproduce": reproduce,
    "doctor": doctor,
}


def _train_options(words: list[str]) -> tuple[Any, list[str]]:
    """Split what `train` itself understands from the settings of the experiment."""
    preset, rest = (words[0], words[1:]) if words and not words[0].startswith("-") else (None, words)
    asked = preset is None and not any(word.startswith("--resume") for word in words)
    examples = (
        "percepts train demo --data.folder my_images/",
        "percepts train demo --steps 2000 --lr 1e-3 --model.gamma 10",
        "percepts train --resume runs/demo --max-minutes 10",
    )
    parser = _parser(train, *examples, add_help=asked)
    parser.usage = (
        "percepts train PRESET [--out FOLDER] [--print-config] [settings]\n"
        "       percepts train --resume RUN [settings]\n"
        "       percepts presets lists the presets; percepts train PRESET --help lists every setting"
    )
    parser.add_argument("--resume", metavar="RUN", help="continue a run; steps, limits and logging may change")
    parser.add_argument("--out", metavar="FOLDER", help="where the run goes; by default runs/PRESET-TIME")
    parser.add_argument("--print-config", action="store_true", help="show the whole configuration and train nothing")
    options, settings = parser.parse_known_args(rest)
    options.preset = preset
    return options, settings


def _parser(command: Callable[..., Any], *examples: str, add_help: bool = True) -> Any:
    import argparse

    return argparse.ArgumentParser(
        prog=f"percepts {command.__name__}",
        description=command.__doc__,
        epilog="examples\n" + "\n".join(f"  {example}" for example in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=add_help,
        allow_abbrev=False,
    )


def _fresh_folder(name: str) -> str:
    from datetime import datetime

    return f"runs/{name}-{datetime.now():%Y%m%d-%H%M%S}"


def _common_folder(folder: str, device: Any) -> str:
    """The main process's choice of a folder, on every process of a data-parallel run."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return folder
    from accelerate.utils import broadcast_object_list

    from percepts.training.setup import processes

    processes(device)
    return broadcast_object_list([folder])[0]


def _usage(got: str, fix: str) -> Exception:
    from percepts.core.errors import ConfigError

    return ConfigError(got, fix=fix)


if __name__ == "__main__":
    sys.exit(main())
