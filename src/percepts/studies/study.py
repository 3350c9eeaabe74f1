"""What a study is, and how it becomes rows of RESULTS.md.

A study names, for every preset, the experiment, the seeds and the claims. `reproduce` trains the seeds that are not
finished yet, measures them, checks the claims, keeps `results/STUDY-PRESET.json` and rewrites RESULTS.md from all of
those files. RESULTS.md is never written by hand.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from percepts.core.config import digest
from percepts.core.errors import ConfigError, RunError, nearest
from percepts.core.files import write_json, write_text
from percepts.core.runs import Run, now

if TYPE_CHECKING:
    from percepts.training.experiment import Experiment

STUDIES: dict[str, Study] = {}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement with a number that must reach a threshold.

    Attributes:
        statement: what is claimed.
        measure: the number, from the evaluations of all seeds (dicts as evaluation.json holds them).
        threshold: what it must reach; at least, or at most with `at_most`.
        paper: the paper's own figure as text, with how sure we are of it ("no figure known" where there is none).
    """

    statement: str
    measure: Callable[[Sequence[dict[str, Any]]], float]
    threshold: float
    at_most: bool = False
    paper: str = "no figure known"

    def holds(self, value: float) -> bool:
        """Whether `value` reaches the threshold."""
        return value <= self.threshold if self.at_most else value >= self.threshold


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A study at one size: the experiment, the seeds, and the claims that can be tested there."""

    experiment: Callable[[], Experiment]
    seeds: tuple[int, ...]
    claims: tuple[Claim, ...]


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study and its presets ("tiny", "cpu", "gpu", "paper")."""

    name: str
    title: str
    presets: dict[str, Scale]

    def __post_init__(self) -> None:
        STUDIES[self.name] = self


def load_studies() -> None:
    """Import every study, which registers its presets and itself."""
    from percepts.training.catalogue import load_modules

    load_modules("percepts.studies")


def reproduce(name: str, preset: str, out: Path) -> int:
    """Run a study at a preset and rewrite RESULTS.md in the working folder; returns 0 where every claim holds, else 3.

    Raises:
        ConfigError: an unknown study or preset.
    """
    load_studies()
    if name == "list":
        print("\n".join(f"{study.name:20} {', '.join(study.presets)}: {study.title}" for study in STUDIES.values()))
        return 0
    if name not in STUDIES:
        close = nearest(name, STUDIES)
        raise ConfigError(f"unknown study '{name}'" + (f", did you mean '{close}'?" if close else ""))
    study = STUDIES[name]
    if preset not in study.presets:
        raise ConfigError(f"study '{name}' has no preset '{preset}'", "one of " + ", ".join(study.presets))
    scale = study.presets[preset]
    evaluations = [_seed(scale, seed, out / f"{name}-{preset}" / f"seed-{seed}") for seed in scale.seeds]
    results = summarise(study, preset, evaluations)
    write_json(Path("results") / f"{name}-{preset}.json", results)
    write_text("RESULTS.md", results_page(Path("results")))
    for row in results["claims"]:
        print(f"{'pass' if row['holds'] else 'MISS'}  {row['statement']}: {row['value']:.3f} ({row['wanted']})")
    return 0 if all(row["holds"] for row in results["claims"]) else 3


def summarise(study: Study, preset: str, evaluations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The study's results as JSON data: claims, and the scores of every seed."""
    scale = study.presets[preset]
    rows = []
    for claim in scale.claims:
        value = claim.measure(evaluations)
        rows.append(
            {
                "statement": claim.statement,
                "paper": claim.paper,
                "value": value,
                "wanted": f"{'≤' if claim.at_most else '≥'} {claim.threshold:g}",
                "holds": claim.holds(value),
            }
        )
    return {
        "study": study.name,
        "title": study.title,
        "preset": preset,
        "seeds": list(scale.seeds),
        "claims": rows,
        "scores": [{name: metric["value"] for name, metric in one.get("metrics", {}).items()} for one in evaluations],
        "reconstruction": [one.get("reconstruction", {}) for one in evaluations],
        "active": [sum(one.get("latents", {}).get("active", [])) for one in evaluations],
        "minutes": [round(one["training_seconds"] / 60, 2) for one in evaluations],
        "command": f"percepts reproduce {study.name} --preset {preset}",
        "date": now(),
        "provenance": _made_with([one["provenance"] for one in evaluations]),
    }


def results_page(folder: Path) -> str:
    """RESULTS.md: a table of claims a study, and the scores of its seeds."""
    parts = [
        "# Results\n\nWritten by `percepts reproduce`; not edited by hand. A row that misses its threshold says so.\n"
        "Thresholds are ours. The paper's figures carry how sure we are of them.\n"
    ]
    for file in sorted(folder.glob("*.json")):
        parts.append(_section(json.loads(file.read_text(encoding="utf-8"))))
    return "\n".join(parts)


def median_of(metric: str) -> Callable[[Sequence[dict[str, Any]]], float]:
    """The median of a metric over the seeds."""
    return lambda evaluations: statistics.median(one["metrics"][metric]["value"] for one in evaluations)


def _seed(scale: Scale, seed: int, folder: Path) -> dict[str, Any]:
    """The evaluation of one seed, trained or resumed or simply read.

    Raises:
        RunError: the folder holds a run of another experiment.
        KeyboardInterrupt: the training was stopped; the same command goes on with it.
    """
    from percepts.report.run import report_run
    from percepts.training import experiment as experiments

    wanted = dataclasses.replace(scale.experiment(), seed=seed)
    if (folder / "run.json").exists():
        run, experiment = Run.open(folder), wanted.resolved()[0]
        if digest(run.config()) != digest(experiment):
            raise RunError(f"'{folder}' holds a run of another experiment", fix=f"another --out, or delete {folder}")
    else:
        run, experiment = experiments.start(wanted, folder)
    if run.info()["status"] != "finished":
        print(f"seed {seed}: training in {folder}", flush=True)
        if experiments.train(run, experiment).status == "interrupted":
            raise KeyboardInterrupt
    file = folder / "evaluation.json"
    if not file.exists() or json.loads(file.read_text(encoding="utf-8"))["step"] != run.info()["step"]:
        experiments.measure(run)
        report_run(run)
    evaluation = json.loads(file.read_text(encoding="utf-8"))
    return {**evaluation, "training_seconds": run.info()["seconds"]}


def _made_with(runs: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What the runs were measured with; more than one value where they differ."""
    keys = ("percepts", "commit", "python", "torch", "platform")
    return {key: ", ".join(sorted({str(made[key]) for made in runs})) for key in keys}


def _section(results: dict[str, Any]) -> str:
    made = results["provenance"]
    lines = [
        f"## {results['title']} ({results['preset']})\n",
        "| claim | paper | ours | threshold | |",
        "|---|---|---|---|---|",
        *(
            f"| {row['statement']} | {row['paper']} | {row['value']:.3f} | {row['wanted']} | "
            f"{'pass' if row['holds'] else '**miss**'} |"
            for row in results["claims"]
        ),
        "",
        _seed_table(results),
        f"\n`{results['command']}`, percepts {made['percepts']} at {made['commit']}, torch {made['torch']}, "
        f"Python {made['python']}, {results['date'][:10]}.\n",
    ]
    return "\n".join(lines)


def _seed_table(results: dict[str, Any]) -> str:
    names = sorted({name for scores in results["scores"] for name in scores})
    shown = [
        name
        for name in ("factor_vae.dlib", "mig.dlib", "dci.forest", "dci.gbt", "sap.dlib", "beta_vae.dlib")
        if name in names
    ]
    lines = ["| seed | " + " | ".join(shown) + " | active | minutes |", "|---" * (len(shown) + 3) + "|"]
    for row, seed in enumerate(results["seeds"]):
        scores = [f"{results['scores'][row][name]:.3f}" for name in shown]
        lines.append(f"| {seed} | " + " | ".join(scores) + f" | {results['active'][row]} | {results['minutes'][row]} |")
    return "\n".join(lines)
