"""The report of explorers: how fast they find out, or how they learn from trial to trial, and links to what they said.

report_explorers(["runs/optimal", "runs/gpt"], out="runs/comparison")

Runs of one kind of world stand side by side. Where they played the same episodes, each is compared with the first one
in pairs.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from percepts.agents.explorers.alchemy_runs import AlchemyRun, played_of
from percepts.agents.explorers.alchemy_scores import Judgement, compare, judgement_from_json
from percepts.agents.explorers.feature_runs import FeatureRun
from percepts.agents.explorers.feature_scores import Estimate, PairedTest, paired_test
from percepts.agents.explorers.feature_texts import episodes_of
from percepts.agents.explorers.runs import ExplorerConfig, ExplorerRun, read_results
from percepts.core.config import to_json
from percepts.core.errors import ConfigError, DataError
from percepts.core.files import write_text
from percepts.envs.feature_world.world import FeatureWorld
from percepts.foundation.ledger import Ledger, Spent
from percepts.foundation.scripted import Scripted
from percepts.report.explorer_settings import NONE, differences
from percepts.report.page import render_sections
from percepts.report.plates import COLOURS, MARKERS, SOFT, Plate, finish, legend, name_axes, panels
from percepts.report.sections.repeating import configured, repeated
from percepts.report.sections.section import Section
from percepts.report.svg import MINUS
from percepts.report.transcripts import write_transcripts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TESTS_HEADS = (
    "episodes", "steps to identify", "success", "conclusions right", "regret, bits a test", "bad replies a step",
)  # fmt: skip
TRIALS_HEADS = ("episodes", "n, all trials", "n₁", "n, late", "I", "I, robust", "p(I\u00a0>\u00a00)", "bad replies")
PAIRS = " Runs of other worlds, seeds or numbers of episodes than the first are not paired with it."
SWITCH_HEADS = ("drop", "recovery", "n, late after")


@dataclass(frozen=True)
class Shown:
    """A run on the page.

    Attributes:
        name: who played.
        path: of its folder.
        config: its settings.
        info: what run.json says.
        rows: its episodes.
        summary: what they say together.
        spent: tokens and cost; None for programs.
    """

    name: str
    path: Path
    config: Any
    info: Mapping[str, Any]
    rows: list[dict[str, Any]]
    summary: Mapping[str, Any]
    spent: Spent | None


def report_explorers(folders: Sequence[Path | str], out: Path | str | None = None, seed: int = 0) -> Path:
    """Write `report.html`, and for every run the page of its transcripts.

    Args:
        folders: of finished runs of one kind of world.
        out: the folder of the page; that of the only run by default.
        seed: of the random signs of paired tests.

    Returns:
        The path of the page.

    Raises:
        ConfigError: no run, or several and no folder for the page.
        DataError: runs of different worlds.
        RunError: a run that is not finished.
    """
    if not folders or (out is None and len(folders) > 1):
        raise ConfigError(f"{len(folders)} runs and no folder for their report", fix="--out FOLDER")
    runs = _named([_shown(Path(folder)) for folder in folders])
    kinds = {type(run.config) for run in runs}
    if len(kinds) > 1:
        raise DataError("runs of feature worlds and of text Alchemy in one report", "one kind")
    folder = Path(folders[0] if out is None else out)
    links = [_transcripts(run, folder) for run in runs]
    section = (_tests if kinds == {FeatureRun} else _trials)(runs, links, seed)
    path = folder / "report.html"
    write_text(path, _page(runs, [section, *_record(runs, folder)], seed))
    return path


def _record(runs: Sequence[Shown], folder: Path) -> list[Section]:
    """What differs between the runs, all their settings, and how to repeat them."""
    report, different = "", differences({run.name: run.config for run in runs})
    tree = {run.name: to_json(run.config) for run in runs} if different is not None else to_json(runs[0].config)
    if different is not None:
        report = shlex.join(["percepts", "explore", "report", *(str(run.path) for run in runs), "--out", str(folder)])
    found = [different, configured(tree, len(runs)), repeated([run.info for run in runs], report)]
    return [section for section in found if section is not None]


def _page(runs: Sequence[Shown], sections: Sequence[Section], seed: int) -> str:
    paid = [run.spent for run in runs if run.spent is not None]
    counts = sorted({len(run.rows) for run in runs})
    facts = [("episodes", " or ".join(map(str, counts))), ("seeds", ", ".join({str(run.config.seed) for run in runs}))]
    if paid:
        read, written = sum(one.prompt_tokens for one in paid), sum(one.completion_tokens for one in paid)
        facts += [("tokens", f"{read:,} read, {written:,} written"), ("cost", f"{sum(one.cost for one in paid):.4g}")]
        if any(one.unpriced for one in paid):
            facts.append(("without a price", f"{sum(one.unpriced for one in paid):,} answers"))
    return render_sections(
        sections,
        title="Explorers",
        summary=", ".join(run.name for run in runs) + f" in {sections[0].title}",
        status="finished",
        facts=facts,
        numbers=[],
        warnings=[],
        seed=seed,
    )


def _tests(runs: Sequence[Shown], links: Sequence[str | None], seed: int) -> Section:
    rows = []
    for run, link in zip(runs, links):
        found = run.summary
        cells = [
            str(len(run.rows)), _pair(found["tests"]), _pair(found["success"]), _pair(found["accuracy"]),
            _pair(found["regret"]), f"{found['failures']:.2f}", *_against(runs, run, seed),
        ]  # fmt: skip
        rows.append({"title": run.name, "cells": cells, "link": link})
    content = {
        **_ruled(rows, "World", [_world(run) for run in runs]),
        "about": "Every test tells whether one object lights up. Steps to identify is how many it took until one rule "
        "was left; an episode that never came so far counts with its budget.",
        "heads": [*TESTS_HEADS, *_against_heads(runs)],
        "note": "Means ± standard errors over episodes. Regret: how much less information a test was expected to bring "
        "than the best one. The paper's sizes and figures of single models could not be read, so none stand here."
        + (PAIRS if len(runs) > 1 else ""),
        "plates": [_success_plate(runs)],
    }
    return Section("explorers", "Feature World", content)


def _trials(runs: Sequence[Shown], links: Sequence[str | None], seed: int) -> Section:
    judged = {run.name: judgement_from_json(run.summary) for run in runs}
    switched = any(one.drop is not None for one in judged.values())
    rows = []
    for run, link in zip(runs, links):
        one, p = judged[run.name], run.summary.get("improves")
        cells = [str(len(run.rows)), *map(_estimate, (one.performance, one.first, one.late))]
        cells += [_estimate(one.improvement), _estimate(one.robust_improvement)]
        cells += [_p(p), f"{one.invalid_rate:.1%}"]
        cells += [_estimate(part) for part in (one.drop, one.recovery, one.late_after)] if switched else []
        rows.append({"title": run.name, "cells": [*cells, *_against(runs, run, seed)], "link": link})
    content = {
        **_ruled(rows, "Game", [_game(run) for run in runs]),
        "about": "n is the score of a trial over that of the oracle, who knows the chemistry. A player that learns "
        "within a game rises from trial to trial: I is the mean of the later half of the trials less the first trial, "
        "the robust I compares with the mean of the earlier half.",
        "heads": [*TRIALS_HEADS, *(SWITCH_HEADS if switched else ()), *_against_heads(runs)],
        "note": "Means ± standard errors over games; trials in which the oracle reaches nothing are left out. Late, "
        "drop and recovery refer to the change of rules where there is one. n₁ is noisy, and so is I."
        + (PAIRS if len(runs) > 1 else ""),
        "plates": [_trials_plate(runs, judged)],
    }
    return Section("explorers", "Text Alchemy", content)


def _ruled(rows: list[dict[str, Any]], place: str, rules: Sequence[str]) -> dict[str, Any]:
    """The rules above the table where all runs share them, otherwise under the name of every run."""
    shared = len(set(rules)) == 1
    return {
        "place": place,
        "rules": rules[0] if shared else "",
        "rows": [{**row, "rules": "" if shared else one} for row, one in zip(rows, rules)],
    }


def _world(run: Shown) -> str:
    """The rules of a feature world, in a few words."""
    world: FeatureWorld.Config = run.config.world
    rule = f"{world.k} of {world.n} feature{'s' if world.n > 1 else ''} of {', '.join(world.dimensions)}"
    values = world.values if isinstance(world.values, int) else "/".join(map(str, world.values))
    objects = "" if world.objects is None else f", {world.objects} objects"
    noise = f"; {world.noise:g} of tests err" if world.noise else ""
    # The curve has a place for every test of the budget, which the settings may leave to the world.
    return f"{rule}; {values} values{objects}{noise}; {world.mode}; budget {len(run.summary['success_curve'])}"


def _game(run: Shown) -> str:
    """The rules of a game of text Alchemy, in a few words."""
    table, switch = run.config.game.table, run.config.switch
    level = table.level if isinstance(table.level, str) else table.level.name
    ending = "" if switch is None else f", new rules after {switch}"
    return f"{level}; {_count(table.trials, 'trial')} of {_count(table.steps, 'step')}{ending}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _success_plate(runs: Sequence[Shown]) -> Plate:
    figure, ((axes,),) = panels(width=7.2, height=3.6)
    for number, run in enumerate(runs):
        curve = np.asarray(run.summary["success_curve"])
        axes.plot(np.arange(1, len(curve) + 1), curve, label=run.name, **_style(number))
    axes.set_ylim(0, 1.03)
    _whole(axes)
    name_axes(axes, "tests", "share of episodes with the right rule")
    legend(axes, loc="lower right")
    return finish(figure, "Success within so many tests.", "Success curves: " + ", ".join(run.name for run in runs))


def _trials_plate(runs: Sequence[Shown], judged: Mapping[str, Judgement]) -> Plate:
    figure, ((axes,),) = panels(width=7.2, height=3.8)
    for number, run in enumerate(runs):
        curve = judged[run.name].curve
        mean, error = np.array([one.mean for one in curve]), np.nan_to_num([one.error for one in curve])
        trials, style = np.arange(1, len(curve) + 1), _style(number)
        axes.fill_between(trials, mean - error, mean + error, color=style["color"], alpha=0.15, linewidth=0)
        axes.plot(trials, mean, label=run.name, **style)
    switches = {run.config.switch for run in runs} - {None}
    for switch in switches:
        axes.axvline(switch + 0.5, color=SOFT, linewidth=1, linestyle=":")
    axes.axhline(1.0, color=SOFT, linewidth=0.8, linestyle="--")
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    _whole(axes)
    name_axes(axes, "trial", "score / oracle's score")
    legend(axes, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    caption = "Normalised score by trial, bands of one standard error."
    if switches:
        caption += " A dotted line is a change of rules."
    return finish(figure, caption, "Normalised scores by trial: " + ", ".join(run.name for run in runs))


def _against_heads(runs: Sequence[Shown]) -> list[str]:
    return [f"less {runs[0].name}", "p"] if len(runs) > 1 else []


def _against(runs: Sequence[Shown], run: Shown, seed: int) -> list[str]:
    """The paired difference from the first run, and its p-value."""
    if len(runs) == 1:
        return []
    first = runs[0]
    if run is first or not _same_episodes(first, run):
        return [NONE, NONE]
    found = _paired(first, run, seed)
    return [_estimate(found.difference), _p(found.p)]


def _paired(first: Shown, run: Shown, seed: int) -> PairedTest:
    if isinstance(run.config, FeatureRun):
        one, other = episodes_of(run.rows).tests, episodes_of(first.rows).tests
        return paired_test(one, other, seed=seed)
    return compare(played_of(run.rows), played_of(first.rows))


def _same_episodes(first: Shown, run: Shown) -> bool:
    one, other = first.config, run.config
    if (one.seed, one.episodes) != (other.seed, other.episodes):
        return False
    if isinstance(one, AlchemyRun):
        return bool(one.game.table == other.game.table) and [row["ceiling"] for row in first.rows] == [
            row["ceiling"] for row in run.rows
        ]
    return bool(one.world == other.world)


def _shown(folder: Path) -> Shown:
    run = ExplorerRun.open(folder)
    config: ExplorerConfig = run.config
    results = read_results(folder)
    books = Ledger(config.service.ledger, Scripted([]), folder / "ledger.jsonl") if config.model is not None else None
    spent = None if books is None else books.spent()
    return Shown(str(results["agent"]), folder, config, run.run.info(), results["rows"], results["summary"], spent)


def _named(runs: list[Shown]) -> list[Shown]:
    """Runs of one player are told apart by their folders; by the whole paths where these have the same name."""

    def told(names: Sequence[str], apart: Sequence[str]) -> list[str]:
        return [f"{run.name} ({one})" if names.count(name) > 1 else name for run, name, one in zip(runs, names, apart)]

    names = told([run.name for run in runs], [run.path.resolve().name for run in runs])
    names = told(names, [str(run.path) for run in runs])
    return [replace(run, name=name) for run, name in zip(runs, names)]


def _transcripts(run: Shown, folder: Path) -> str | None:
    """Write the page of a run's transcripts; the link to it from the report."""
    if not (run.path / "episodes").is_dir():
        return None
    title = f"{run.name}: transcripts"
    page = write_transcripts(run.path / "episodes", run.path / "transcripts.html", title)
    return Path(os.path.relpath(page.resolve(), folder.resolve())).as_posix()


def _whole(axes: Axes) -> None:
    """Whole numbers along the horizontal axis."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _style(number: int) -> dict[str, Any]:
    look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
    return {**look, "markersize": 4, "linewidth": 1.4}


def _p(value: float | None) -> str:
    return NONE if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _pair(value: Sequence[Any]) -> str:
    mean, error, _ = value
    nan = float("nan")
    return _estimate(Estimate(nan if mean is None else mean, nan if error is None else error, 0))


def _estimate(value: Estimate | None) -> str:
    if value is None or value.mean != value.mean:
        return NONE
    error = f" ±\u00a0{value.error:.2f}" if value.error == value.error else ""
    return f"{value.mean:.2f}{error}".replace("-", MINUS)
