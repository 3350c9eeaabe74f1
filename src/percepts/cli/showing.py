"""Commands that show what there is: reports, runs, presets, studies, this installation."""

from __future__ import annotations

from pathlib import Path

from percepts.cli.agents import AGENTS, presets_of_agents
from percepts.cli.holdings import command_of
from percepts.cli.words import command_parser, usage


def report(words: list[str]) -> int:
    """Write RUN/report.html: one self-contained page."""
    parser = command_parser(report, "percepts report runs/demo --figures")
    parser.add_argument("run", help="the run folder")
    parser.add_argument("--step", type=int, help="of the checkpoint; the newest intact one by default")
    parser.add_argument("--figures", action="store_true", help="also write the figures as PNG files into RUN/figures")
    options = parser.parse_args(words)

    from percepts.core.runs import Run

    run = Run.open(options.run)
    if (other := command_of(run, "report", {"step": options.step, "figures": options.figures})) is not None:
        return other([])
    from percepts.report.run import figures_run, report_run

    print(f"report: {report_run(run, options.step)}")
    for path in figures_run(run, options.step) if options.figures else ():
        print(path)
    return 0


def runs(words: list[str]) -> int:
    """List runs, show one, or show where two differ."""
    parser = command_parser(runs, "percepts runs list runs", "percepts runs diff runs/a runs/b")
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
        raise usage(
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
    """List the presets of models and of agents, or show what one promises and all its settings."""
    parser = command_parser(presets, "percepts presets", "percepts presets demo")
    parser.add_argument("preset", nargs="?", help="show this one in full")
    options = parser.parse_args(words)

    from percepts.studies import load_studies
    from percepts.training.experiment import PRESETS, find_preset

    load_studies()
    if options.preset in AGENTS:
        raise usage(
            f"'{options.preset}' is an agent with presets of its own", f"percepts train {options.preset} --help"
        )
    if options.preset is not None:
        import inspect

        from percepts.core.config import flatten

        chosen = find_preset(options.preset, AGENTS)
        print(inspect.getdoc(chosen.make), end="\n\n")
        print("\n".join(f"  {name:42} {value}" for name, value in flatten(chosen.make()) if not name.endswith("type")))
        return 0
    width = max(map(len, PRESETS))
    print("\n".join(f"{name:{width}}  {PRESETS[name].summary}" for name in sorted(PRESETS)))
    for agent, named in presets_of_agents().items():
        print(f"\npercepts train {agent} --preset NAME")
        print("\n".join(f"{name:{width}}  {summary}" for name, summary in named.items()))
    return 0


def reproduce(words: list[str]) -> int:
    """Run a study: train what is not finished, check the claims, write RESULTS.md and results/ in this folder."""
    parser = command_parser(
        reproduce,
        "percepts reproduce demo",
        "percepts reproduce list",
        "percepts reproduce udr --preset tiny --workers 1",
    )
    parser.add_argument("study", help="its name, or 'list'")
    parser.add_argument(
        "--preset", default="cpu", help="of the study, which 'list' names: tiny (seconds a run, no claims), cpu, …"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/studies"), help="where the runs go")
    parser.add_argument("--workers", type=int, help="processes that train side by side; by default as many as cores")
    options = parser.parse_args(words)

    from percepts.studies import reproduce as run_study

    return run_study(options.study, options.preset, options.out, options.workers)


def doctor(words: list[str]) -> int:
    """Show versions, devices, threads and optional features of this installation."""
    command_parser(doctor, "percepts doctor").parse_args(words)

    from percepts.training.doctor import describe

    print(describe())
    return 0
