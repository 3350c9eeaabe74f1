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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 well, 1 an error, 2 a wrong command, 128+n stopped by signal n)."""
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
        print(f"error: unknown command '{words[0]}'{hint} See percepts --help", file=sys.stderr)
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
    import tyro

    from percepts.core.runs import Run
    from percepts.studies import load_studies
    from percepts.training import experiment as experiments

    load_studies()
    options, rest = _train_options(words)
    if options.resume is None and options.preset is None:
        raise _usage("percepts train needs a preset or --resume RUN", "percepts train demo, or percepts presets")
    if options.resume is not None:
        from percepts.training.catalogue import load_rooms

        load_rooms()
        run = Run.open(options.resume)
        default, about = run.config(), f"Resume {options.resume}."
    else:
        chosen = experiments.find_preset(options.preset)
        default, about = chosen.make(), chosen.make.__doc__
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
    if options.resume is not None:
        experiments.change(run, experiment)
    else:
        out = _common_folder(options.out or _fresh_folder(options.preset))
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
    outcome = experiments.train(run, experiment, _hook(experiment))
    if not main_process:
        return 0
    speed = f"{outcome.seconds:.0f} s, {outcome.images_per_second:,.0f} images/s"
    if outcome.status == "interrupted":
        print(f"stopped at step {outcome.step} and saved ({speed}). Continue: percepts train --resume {run.path}")
        return 128 + (outcome.signal or 2)
    print(f"{outcome.status} at step {outcome.step} ({speed})")
    from percepts.core import tables
    from percepts.report.run import report_run

    print(tables.evaluation(experiments.measure(run)))
    print(f"report: {report_run(run)}")
    return 0


def evaluate(words: list[str]) -> int:
    """Measure a run's newest checkpoint and write evaluation.json."""
    import dataclasses

    import tyro

    from percepts.core import tables
    from percepts.core.runs import Run
    from percepts.training.catalogue import load_rooms
    from percepts.training.evaluation import Evaluation
    from percepts.training.experiment import measure

    def command(
        run: tyro.conf.Positional[str],
        step: int | None = None,
        images: int | None = None,
        exact: bool | None = None,
        bootstrap: int | None = None,
    ) -> tuple[Run, int | None, Evaluation]:
        """Measure a run: metrics, latents, reconstruction. Writes RUN/evaluation.json and prints a table.

        Args:
            run: the run folder.
            step: of the checkpoint; the newest intact one by default.
            images: how many to encode.
            exact: the metrics at their published sizes and predictors (minutes).
            bootstrap: resamples for the confidence intervals.
        """
        load_rooms()
        opened = Run.open(run)
        changes = {"images": images, "exact": exact, "bootstrap": bootstrap}
        settings = dataclasses.replace(
            opened.config().evaluation, **{name: value for name, value in changes.items() if value is not None}
        )
        return opened, step, settings

    run, step, settings = tyro.cli(command, args=words, prog="percepts evaluate")
    print(tables.evaluation(measure(run, settings, step)))
    return 0


def report(words: list[str]) -> int:
    """Write a run's report.html."""
    import tyro

    from percepts.core.runs import Run
    from percepts.report.run import report_run

    def command(run: tyro.conf.Positional[str], step: int | None = None, figures: bool = False) -> int:
        """Write RUN/report.html: one self-contained page.

        Args:
            run: the run folder.
            step: of the checkpoint; the newest intact one by default.
            figures: also write the figures as PNG files into RUN/figures.
        """
        opened = Run.open(run)
        print(f"report: {report_run(opened, step)}")
        if figures:
            from percepts.report import save_figures
            from percepts.training.experiment import load

            model, dataset, _ = load(opened, step)
            for path in save_figures(opened, model, dataset):
                print(path)
        return 0

    return tyro.cli(command, args=words, prog="percepts report")


def runs(words: list[str]) -> int:
    """List, show and compare runs."""
    import tyro

    from percepts.core import tables
    from percepts.core.runs import Run, find_runs

    def list_runs(folder: tyro.conf.Positional[str] = "runs") -> None:
        """List the runs in FOLDER with status, step, loss and time."""
        print(tables.run_list(find_runs(folder)) or f"no runs in '{folder}'")

    def show(run: tyro.conf.Positional[str]) -> None:
        """Show one run: status, settings, last numbers, checkpoints, scores."""
        print(tables.run_details(Run.open(run)))

    def diff(a: tyro.conf.Positional[str], b: tyro.conf.Positional[str]) -> None:
        """Show where two runs differ: settings first, then results."""
        print(tables.run_difference(Run.open(a), Run.open(b)))

    commands: dict[str, Callable[..., Any]] = {"list": list_runs, "show": show, "diff": diff}
    tyro.extras.subcommand_cli_from_dict(commands, args=words or ["--help"], prog="percepts runs")
    return 0


def presets(words: list[str]) -> int:
    """List the presets, or show one with everything that its docstring says."""
    import inspect

    from percepts.studies import load_studies
    from percepts.training.experiment import PRESETS, find_preset

    load_studies()
    if words and words[0] in ("-h", "--help"):
        print("usage: percepts presets [PRESET]\n\nList the presets, or show one in full.")
    elif words:
        print(inspect.getdoc(find_preset(words[0]).make))
    else:
        width = max(map(len, PRESETS))
        print("\n".join(f"{name:{width}}  {PRESETS[name].summary}" for name in sorted(PRESETS)))
    return 0


def reproduce(words: list[str]) -> int:
    """Run a study and rewrite RESULTS.md."""
    import tyro

    from percepts.studies import reproduce as run_study

    def command(study: tyro.conf.Positional[str], preset: str = "cpu", out: str = "runs/studies") -> int:
        """Run a study at a preset: train every seed (finished ones are skipped), check the claims, write RESULTS.md.

        Args:
            study: its name; 'list' shows them.
            preset: tiny (seconds), cpu (minutes), gpu or paper.
            out: where the runs go.
        """
        return run_study(study, preset, Path(out))

    return tyro.cli(command, args=words, prog="percepts reproduce")


def doctor(words: list[str]) -> int:
    """Print versions, devices, threads and optional features."""
    if words:
        print("usage: percepts doctor\n\nVersions, devices, threads and optional features of this installation.")
        return 0 if words[0] in ("-h", "--help") else 2
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


def _hook(experiment: Any) -> Any:
    """The evaluation during training: a smaller, faster one than at the end."""
    if not experiment.training.evaluate_every:
        return None
    import dataclasses

    from percepts.training.evaluation import evaluate_model

    dataset = experiment.data.open()
    settings = dataclasses.replace(experiment.evaluation, images=2000, exact=False, bootstrap=0)

    def hook(model: Any, step: int) -> dict[str, Any]:
        result = evaluate_model(model, dataset, settings, experiment.seed)
        scores = {name: metric["value"] for name, metric in result["metrics"].items()}
        return {**scores, **result.get("reconstruction", {})}

    return hook


def _train_options(words: list[str]) -> tuple[Any, list[str]]:
    """Split what `train` itself understands from the settings of the experiment."""
    import argparse

    parser = argparse.ArgumentParser(prog="percepts train", add_help=False, allow_abbrev=False)
    parser.add_argument("--resume", metavar="RUN")
    parser.add_argument("--out", metavar="FOLDER")
    parser.add_argument("--print-config", action="store_true")
    preset, rest = (words[0], words[1:]) if words and not words[0].startswith("-") else (None, words)
    if preset is None and any(word in ("-h", "--help") for word in words) and "--resume" not in words:
        print(
            "usage: percepts train PRESET [--out FOLDER] [--print-config] [settings]\n"
            "       percepts train --resume RUN [settings]\n\n"
            "  --out FOLDER     where the run goes; by default runs/PRESET-TIME\n"
            "  --print-config   show the complete configuration as JSON and train nothing\n"
            "  --resume RUN     continue a run; steps, limits, logging and evaluation may change\n\n"
            "examples\n"
            "  percepts train demo --data.folder my_images/\n"
            "  percepts train demo --steps 2000 --lr 1e-3 --model.beta 8\n"
            "  percepts train --resume runs/demo --steps 20000\n\n"
            "percepts presets lists the presets; percepts train PRESET --help lists every setting."
        )
        raise SystemExit(0)
    options, settings = parser.parse_known_args(rest)
    options.preset = preset
    return options, settings


def _fresh_folder(name: str) -> str:
    from datetime import datetime

    return f"runs/{name}-{datetime.now():%Y%m%d-%H%M%S}"


def _common_folder(folder: str) -> str:
    """The main process's choice of a folder, on every process of a data-parallel run."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return folder
    from accelerate.utils import broadcast_object_list

    from percepts.training.setup import processes

    processes("auto")
    return broadcast_object_list([folder])[0]


def _usage(got: str, fix: str) -> Exception:
    from percepts.core.errors import ConfigError

    return ConfigError(got, fix=fix)


if __name__ == "__main__":
    sys.exit(main())
