"""Commands of many runs: sweep trains them, select chooses among them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from percepts.cli.words import command_parser, usage

if TYPE_CHECKING:
    from percepts.training.job import JobOutcome
    from percepts.training.selection import Selection
    from percepts.training.sweep import Point, Sweep

SHOWN = 15
"""Rows of a ranking on the terminal; the report has all."""
SWEEP_OPTIONS = """Beside the settings below, which change every run of the sweep:

--grid KEY=V,V …   settings that vary, by dotted name or flag; every combination is run
--seeds 0-3,8      seeds of every combination (by default 0)
--workers N        processes that train side by side (by default as many as cores)
--out FOLDER       where the sweep goes; the same command goes on with it, a larger grid extends it
--ray ADDRESS      run on a Ray cluster (HOST:PORT, or auto for the one of this machine)
--print-runs       list the runs and train nothing"""


def sweep(words: list[str]) -> int:
    """Train presets × a grid of settings × seeds, each run once; the same command goes on with a stopped sweep."""
    options, settings = _sweep_options(words)
    if options.resume is not None and (options.presets or options.grid or options.seeds or options.out or settings):
        raise usage("--resume goes on with a sweep as it is", f"percepts sweep --resume {options.resume}")
    if options.resume is None and not options.presets:
        raise usage("percepts sweep needs a preset or --resume SWEEP", "percepts sweep demo --seeds 0-3")
    if options.ray is not None and options.workers is not None:
        raise usage("--workers with --ray: the cluster runs as many as it has cores", f"--ray {options.ray}")

    from percepts.studies import load_studies
    from percepts.training.board import LiveTable
    from percepts.training.sweep import read_sweep, run_sweep

    load_studies()
    asked = read_sweep(options.resume) if options.resume is not None else _read_sweep(options, settings)
    folder = Path(options.resume or options.out or _default_folder(asked))
    if options.print_runs:
        print(_runs_table(asked.points()))
        return 0
    print(f"sweep {folder}", flush=True)
    table = LiveTable()
    outcomes = run_sweep(
        asked,
        folder,
        workers=options.workers,
        backend="local" if options.ray is None else "ray",
        address=options.ray or "auto",
        on_update=table.show,
        on_extension=lambda count: print(f"runs added to this sweep: {count}", flush=True),
    )
    return _conclude(outcomes, folder)


def select(words: list[str]) -> int:
    """Rank the finished runs of a sweep without labels, choose one, and write the sweep's report.html."""
    folder, rest = (words[0], words[1:]) if words and not words[0].startswith("-") else (None, words)
    parser = command_parser(
        select,
        "percepts select runs/sweeps/beta",
        "percepts select runs/sweeps/beta --criterion udr-spearman --min-active 3",
        "percepts select runs/sweeps/beta --criterion mig.dlib",
        add_help=folder is None,
    )
    parser.usage = "percepts select SWEEP [settings]; percepts select SWEEP --help lists the settings"
    if folder is None:
        parser.parse_args(rest)
        raise usage("percepts select needs the folder of a sweep", "percepts select runs/sweeps/NAME")

    import tyro

    from percepts.core.runs import find_runs
    from percepts.report.sweep import write_sweep_report
    from percepts.studies import load_studies
    from percepts.training import selection as selecting
    from percepts.training.sweep import missing_runs

    load_studies()
    settings = tyro.cli(
        selecting.SelectionSettings,
        args=rest,
        prog="percepts select SWEEP",
        description=f"{select.__doc__}\n\n{parser.epilog}",
        config=(tyro.conf.FlagConversionOff,),
    )
    if not Path(folder).is_dir():
        raise usage(f"there is no folder '{folder}'", "percepts select SWEEP, the folder of a sweep")
    missing = missing_runs(Path(folder))
    if missing:
        print(f"{missing} runs of the sweep have not begun. Go on with it: percepts sweep --resume {folder}")
    chosen = selecting.select(find_runs(folder), settings, out=folder)
    print(_ranking(chosen))
    print(f"report: {write_sweep_report(folder, chosen)}")
    return 0 if chosen.best is not None else 3


def _sweep_options(words: list[str]) -> tuple[Any, list[str]]:
    """Split what `sweep` itself understands from the settings of the experiments."""
    count = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
    presets, rest = words[:count], words[count:]
    examples = (
        "percepts sweep beta-vae-squares24 --grid model.beta=1,4,14 --seeds 0-4 --out runs/sweeps/beta",
        "percepts sweep beta-vae-squares24 cci-squares24 --grid lr=1e-3,5e-4 --seeds 0-9 --steps 3000",
        "percepts sweep --resume runs/sweeps/beta --workers 4",
        "percepts sweep demo --seeds 0-49 --ray auto --out /shared/sweeps/demo",
    )
    parser = command_parser(sweep, *examples, add_help=not presets)
    parser.usage = (
        "percepts sweep PRESET [PRESET …] [--grid KEY=V,V …] [--seeds 0-3] [--out FOLDER] [settings]\n"
        "       percepts sweep --resume SWEEP [--workers N]\n"
        "       percepts sweep PRESET --help lists every setting"
    )
    parser.add_argument("--grid", nargs="+", action="extend", metavar="KEY=V,V", help="settings that vary")
    parser.add_argument("--seeds", metavar="0-3,8", help="of every combination; by default 0")
    parser.add_argument("--workers", type=int, metavar="N", help="processes side by side; by default as many as cores")
    parser.add_argument("--out", metavar="FOLDER", help="where the sweep goes; by default named by what is swept")
    parser.add_argument("--resume", metavar="SWEEP", help="go on with the sweep in this folder")
    parser.add_argument("--ray", metavar="ADDRESS", help="run on a Ray cluster: HOST:PORT, or auto")
    parser.add_argument("--print-runs", action="store_true", help="list the runs and train nothing")
    options, settings = parser.parse_known_args(rest)
    options.presets = presets
    return options, settings


def _read_sweep(options: Any, words: list[str]) -> Sweep:
    """The sweep that the words describe; the settings are read by every preset's own parser."""
    import inspect

    import tyro

    from percepts.training import experiment as experiments
    from percepts.training.grid import differences, read_grid, read_seeds
    from percepts.training.sweep import Sweep

    settings: dict[str, Any] = {}
    for name in options.presets:
        chosen = experiments.find_preset(name)
        changed = tyro.cli(
            experiments.Experiment,
            default=chosen.make(),
            args=words,
            prog=f"percepts sweep {name}",
            description=f"{inspect.getdoc(chosen.make)}\n\n{SWEEP_OPTIONS}",
            config=(tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff),
        )
        settings.update(differences(chosen.make(), changed))
    swept = Sweep(
        presets=tuple(options.presets),
        grid=read_grid(options.grid or ()),
        seeds=read_seeds("0" if options.seeds is None else options.seeds),
        settings=settings,
    )
    return swept.settled()


def _default_folder(sweep: Sweep) -> str:
    """A folder named by what is swept, so that the same command finds it again."""
    import hashlib
    import json

    mark = hashlib.sha256(json.dumps(sweep.to_json()).encode()).hexdigest()[:6]
    return f"runs/sweeps/{sweep.presets[0]}-{mark}"


def _runs_table(points: Sequence[Point]) -> str:
    from percepts.core import tables

    names = list(dict.fromkeys(name for point in points for name in point.settings))
    rows = [
        [point.name, point.preset, *(str(point.settings.get(name, "-")) for name in names), str(point.seed)]
        for point in points
    ]
    return f"{tables.table(['run', 'preset', *names, 'seed'], rows)}\n{len(points)} runs"


def _conclude(outcomes: Sequence[JobOutcome], folder: Path) -> int:
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    stopped = sum(outcome.status == "interrupted" for outcome in outcomes)
    finished = len(outcomes) - len(failed) - stopped
    ending = [f"{finished} of {len(outcomes)} runs finished", f"{len(failed)} failed" if failed else ""]
    print(", ".join(filter(None, [*ending, f"{stopped} stopped" if stopped else ""])))
    for outcome in failed:
        print(f"failed {outcome.name}: {outcome.error}" + (f" ({outcome.path})" if outcome.path else ""))
    if failed or stopped:
        print(f"Go on: percepts sweep --resume {folder}")
        return 130 if stopped else 1
    print(f"Choose among them: percepts select {folder}")
    return 0


def _ranking(selection: Selection) -> str:
    """The best runs as a table, what to doubt, and the chosen one."""
    from percepts.core import tables

    scores = [name for name in ("mig.dlib", "factor_vae.dlib") if any(name in c.supervised for c in selection.ranked)]
    settings = list(dict.fromkeys(name for candidate in selection.ranked for name in candidate.settings))
    header = ["run", *(name.rpartition(".")[2] for name in settings), "seed", "UDR lasso", "UDR spearman", "active"]
    rows = [
        [
            candidate.name,
            *(str(candidate.settings.get(name, "-")) for name in settings),
            str(candidate.seed),
            *(tables.number(candidate.udr[kind]) for kind in ("lasso", "spearman")),
            str(candidate.active),
            tables.number(candidate.excess),
            *(tables.number(candidate.supervised.get(name)) for name in scores),
        ]
        for candidate in selection.ranked[:SHOWN]
    ]
    lines = [tables.table([*header, "excess", *scores], rows)]
    if len(selection.ranked) > SHOWN:
        lines.append(f"and {len(selection.ranked) - SHOWN} more in the report")
    lines += [f"left out {one.name}: {one.reason}" for one in selection.left_out]
    lines += [f"warning: {text}" for text in selection.warnings]
    best = selection.best
    lines.append(f"chosen by {selection.criterion}: {best.path or best.name}" if best else "no run is chosen")
    return "\n".join(lines)
