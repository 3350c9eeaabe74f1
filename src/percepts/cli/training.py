"""Commands that train and measure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from percepts.cli.agents import AGENTS
from percepts.cli.holdings import command_of
from percepts.cli.words import command_parser, usage

if TYPE_CHECKING:
    from percepts.core.runs import Run

OTHER_OPTIONS = """Beside the settings below: --out FOLDER says where the run goes (by default runs/PRESET-TIME),
--print-config shows the whole configuration and trains nothing.

examples
  percepts train {preset} --out runs/mine --seed 1
  percepts train {preset} --data.folder my_images/ --max-minutes 3"""


def train(words: list[str]) -> int:
    """Train a preset, or resume a run; then measure it and write its report."""
    if words and words[0] in AGENTS:
        return AGENTS[words[0]](words[1:])
    options, rest = _train_options(words)
    if options.resume is None and options.preset is None:
        raise usage("percepts train needs a preset or --resume RUN", "percepts train demo, or percepts presets")
    if options.resume is not None and (options.preset is not None or options.out is not None):
        raise usage("--resume goes on with a run as it is", f"percepts train --resume {options.resume}")

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
        if (other := command_of(run, "train --resume")) is not None:
            return other(words)
        default, about = run.config(), f"Resume {options.resume}."
    else:
        chosen = experiments.find_preset(options.preset, AGENTS)
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
        out = _common_folder(options.out or fresh_folder(options.preset), experiment.training.device)
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
    parser = command_parser(evaluate, "percepts evaluate runs/demo --exact --bootstrap 500")
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
    if (other := command_of(run, "evaluate", {"step": options.step, **given})) is not None:
        return other([])
    changes = {name: value for name, value in given.items() if value is not None}
    print(tables.evaluation(measure(run, dataclasses.replace(run.config().evaluation, **changes), options.step)))
    return 0


def _train_options(words: list[str]) -> tuple[Any, list[str]]:
    """Split what `train` itself understands from the settings of the experiment."""
    preset, rest = (words[0], words[1:]) if words and not words[0].startswith("-") else (None, words)
    asked = preset is None and not any(word.startswith("--resume") for word in words)
    examples = (
        "percepts train demo --data.folder my_images/",
        "percepts train demo --steps 2000 --lr 1e-3 --model.gamma 10",
        "percepts train --resume runs/demo --max-minutes 10",
        "percepts train cobra --preset cpu",
        "percepts train alchemy --preset cpu",
    )
    parser = command_parser(train, *examples, add_help=asked)
    parser.usage = (
        "percepts train PRESET [--out FOLDER] [--print-config] [settings]\n"
        "       percepts train --resume RUN [settings]\n"
        "       percepts train cobra [--preset NAME] [--stage STAGE]\n"
        "       percepts train alchemy [--preset NAME]\n"
        "       percepts presets lists the presets; percepts train PRESET --help lists every setting"
    )
    parser.add_argument("--resume", metavar="RUN", help="continue a run; steps, limits and logging may change")
    parser.add_argument("--out", metavar="FOLDER", help="where the run goes; by default runs/PRESET-TIME")
    parser.add_argument("--print-config", action="store_true", help="show the whole configuration and train nothing")
    options, settings = parser.parse_known_args(rest)
    options.preset = preset
    return options, settings


def fresh_folder(name: str) -> str:
    """Where a run goes that was given no folder."""
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
