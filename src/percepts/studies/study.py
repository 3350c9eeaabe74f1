"""What a study is, and how it is run.

A study names, for every preset, its arms (experiments that are trained with several seeds), what is measured of single
runs and across them, its figures, and its claims. `reproduce` trains what is not finished yet, measures, checks the
claims, keeps `results/STUDY-PRESET.json` and rewrites RESULTS.md from all of those files.

A run's folder is named by the digest of its experiment, so studies that share an experiment share the run.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from percepts.core.errors import ConfigError, RunError, nearest
from percepts.core.files import write_json, write_text
from percepts.core.runs import Run
from percepts.studies.results import results_page, summarise

if TYPE_CHECKING:
    from percepts.report.plates import Plate
    from percepts.training.experiment import Experiment

STUDIES: dict[str, Study] = {}


@dataclass(frozen=True)
class RunResult:
    """A finished and measured run of a study.

    Attributes:
        seed: of the run.
        run: its folder.
        evaluation: what evaluation.json says.
        extra: the arm's own measurements of it.
    """

    seed: int
    run: Run
    evaluation: Mapping[str, Any]
    extra: dict[str, float] = field(default_factory=dict)

    def score(self, name: str) -> float:
        """A metric of the evaluation, such as "mig.dlib"; an `extra` number; "active", "kl", "excess", "nmse", "elbo".

        "kl" is the total KL in nats, "active" counts latents over 0.01 nats, "excess" and "nmse" are those of the
        reconstruction from posterior means, "elbo" is −(nll + kl) with that reconstruction. Of models of several
        objects also "mask_entropy" and the other numbers of `training.slot_evaluation.describe_slots`.
        """
        if name in self.extra:
            return float(self.extra[name])
        if name in self.evaluation["metrics"]:
            value = self.evaluation["metrics"][name]["value"]
            return float("nan") if value is None else float(value)
        if name in self.evaluation.get("slots", {}):
            return float(self.evaluation["slots"][name])
        latents, reconstruction = self.evaluation.get("latents", {}), self.evaluation["reconstruction"]
        if name == "active":
            return float(sum(latents["active"]))
        if name == "kl":
            return float(sum(latents["kl"]))
        if name == "elbo":
            return -float(reconstruction["nll"]) - self.score("kl")
        return float(reconstruction[name])

    @cached_property
    def loaded(self) -> tuple[Any, Any]:
        """The trained model in evaluation mode, and its data as the config builds it (not a copy in memory)."""
        from percepts.training.experiment import load

        return load(self.run)[0], self.run.config().data.dataset.build()

    @property
    def seconds(self) -> float:
        """Training time."""
        return float(self.run.info()["seconds"])


@dataclass
class Results:
    """All runs of a study at a preset.

    Attributes:
        arms: the runs of every arm, by seed.
        across: what was measured across runs.
    """

    arms: dict[str, list[RunResult]]
    across: dict[str, Any] = field(default_factory=dict)

    def scores(self, arm: str, name: str) -> list[float]:
        """A score of every seed of an arm."""
        return [run.score(name) for run in self.arms[arm]]

    def mean(self, arm: str, name: str, seeds: tuple[int, ...] | None = None) -> float:
        """The mean of a score over the seeds of an arm, or over some of them."""
        values = [run.score(name) for run in self.arms[arm] if seeds is None or run.seed in seeds]
        return sum(values) / len(values)

    def __iter__(self) -> Iterator[tuple[str, RunResult]]:
        return ((arm, run) for arm, runs in self.arms.items() for run in runs)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement with a number.

    Attributes:
        statement: what is claimed.
        measure: the number, from the study's results.
        threshold: what it must reach, at least, or at most with `at_most`; None: the number is reported, not judged.
        paper: the paper's own figure as text, with how sure we are of it.
        seeds: that the number rests on; None: all of the scale's.
    """

    statement: str
    measure: Callable[[Results], float]
    threshold: float | None = None
    at_most: bool = False
    paper: str = "no figure known"
    seeds: tuple[int, ...] | None = None

    def holds(self, value: float) -> bool | None:
        """Whether `value` reaches the threshold; None where there is none. NaN reaches nothing."""
        if self.threshold is None:
            return None
        return value <= self.threshold if self.at_most else value >= self.threshold


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One condition: an experiment that is trained with every seed.

    Attributes:
        experiment: what is trained.
        seeds: None: the scale's.
        measure: further numbers of a finished run.
    """

    experiment: Callable[[], Experiment]
    seeds: tuple[int, ...] | None = None
    measure: Callable[[RunResult], dict[str, float]] | None = None


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A study at one size.

    Attributes:
        arms: by the names that claims use.
        seeds: of every arm that has none of its own.
        claims: that can be tested at this size.
        agents: what is trained and measured beside experiments, as JSON data for `Results.across`, with the entry
            "minutes" of training; gets a folder of its own, in which it goes on where it was stopped.
        downstream: the same for what is trained on the arms' runs; gets them, the folder and the number of workers.
        compare: what is measured across the runs, as JSON data for `Results.across`.
        figures: pictures of the results, by file name without ending.
    """

    seeds: tuple[int, ...]
    arms: Mapping[str, Arm] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    agents: Callable[[Path], dict[str, Any]] | None = None
    downstream: Callable[[Results, Path, int | None], dict[str, Any]] | None = None
    compare: Callable[[Results], dict[str, Any]] | None = None
    figures: Callable[[Results], dict[str, Plate]] | None = None

    def shrunk(self, *kept: str, steps: int = 30, seeds: tuple[int, ...] = (0,), images: int = 300) -> Scale:
        """The same in seconds: it shows that everything runs, not that anything is learned; no claims.

        Args:
            kept: the arms; all by default.
        """

        def small(arm: Arm) -> Arm:
            def experiment() -> Experiment:
                whole = arm.experiment()
                return dataclasses.replace(
                    whole,
                    training=dataclasses.replace(whole.training, steps=steps, log_every=10),
                    evaluation=dataclasses.replace(whole.evaluation, images=images, bootstrap=20, scenes=20),
                )

            return dataclasses.replace(arm, experiment=experiment, seeds=seeds)

        arms = {name: small(arm) for name, arm in self.arms.items() if not kept or name in kept}
        return dataclasses.replace(self, arms=arms, seeds=seeds, claims=())


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study and its presets ("tiny", "cpu", "gpu", "paper")."""

    name: str
    title: str
    presets: Mapping[str, Scale]

    def __post_init__(self) -> None:
        STUDIES[self.name] = self


def load_studies() -> None:
    """Import every study, which registers its presets and itself."""
    from percepts.training.catalogue import load_modules

    load_modules("percepts.studies")


def reproduce(name: str, preset: str, out: Path, workers: int | None = None) -> int:
    """Run a study at a preset and rewrite RESULTS.md in the working folder; returns 0 where every claim holds, else 3.

    Args:
        out: the folder of the runs.
        workers: processes that train side by side; None: as many as cores.

    Raises:
        ConfigError: an unknown study or preset.
        RunError: a run failed.
        KeyboardInterrupt: stopped; the same command goes on.
    """
    load_studies()
    if name == "list":
        print("\n".join(f"{study.name:20} {', '.join(study.presets)}: {study.title}" for study in STUDIES.values()))
        return 0
    study, scale = find_scale(name, preset)
    results = carry_out(study, scale, out, workers)
    if scale.agents is not None:
        results.across = scale.agents(out / f"{name}-{preset}")
    if scale.downstream is not None:
        results.across = results.across | scale.downstream(results, out / f"{name}-{preset}", workers)
    if scale.compare is not None:
        results.across = results.across | scale.compare(results)
    file = Path("results") / f"{name}-{preset}.json"
    write_json(file, summarise(study, preset, results))  # What a figure cannot take away.
    drawn = scale.figures(results) if scale.figures is not None else {}
    pictures = save_pictures(Path("results") / "figures", f"{name}-{preset}", drawn)
    summary = summarise(study, preset, results, pictures)
    write_json(file, summary)
    write_text("RESULTS.md", results_page(Path("results")))
    for row in summary["claims"]:
        verdict = {True: "pass", False: "MISS", None: "    "}[row["holds"]]
        wanted = f" ({row['wanted']})" if row["wanted"] else ""
        value = "not a number" if row["value"] is None else f"{row['value']:.3f}"
        print(f"{verdict}  {row['statement']}: {value}{wanted}")
    print(f"written to RESULTS.md and {file} in this folder; the runs are in {out}")
    return 3 if any(row["holds"] is False for row in summary["claims"]) else 0


def find_scale(name: str, preset: str) -> tuple[Study, Scale]:
    """A study and its preset by name; the nearest is named where there is none (ConfigError)."""
    if name not in STUDIES:
        close = nearest(name, STUDIES)
        hint = f", did you mean '{close}'?" if close else ""
        raise ConfigError(f"unknown study '{name}'{hint}", fix="percepts reproduce list")
    study = STUDIES[name]
    if preset not in study.presets:
        raise ConfigError(f"study '{name}' has no preset '{preset}'", "one of " + ", ".join(study.presets))
    return study, study.presets[preset]


def carry_out(study: Study, scale: Scale, out: Path, workers: int | None = None) -> Results:
    """Train and measure every run of a scale that is not finished yet."""
    from percepts.training.board import LiveTable
    from percepts.training.jobs import Job, run_jobs

    jobs, places = [], []
    for name, arm in scale.arms.items():
        experiment = arm.experiment()
        for seed in arm.seeds or scale.seeds:
            jobs.append(Job(f"{name}, seed {seed}", dataclasses.replace(experiment, seed=seed), {"study": study.name}))
            places.append((name, seed))
    outcomes = run_jobs(jobs, out, workers=workers, on_update=LiveTable().show)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed:
        raise RunError(f"{len(failed)} of {len(jobs)} runs failed; {failed[0].name}: {failed[0].error}")
    if any(outcome.status == "interrupted" for outcome in outcomes):
        raise KeyboardInterrupt
    results = Results({name: [] for name in scale.arms})
    for (name, seed), outcome in zip(places, outcomes):
        run = Run.open(outcome.path or out)
        result = RunResult(seed, run, json.loads((run.path / "evaluation.json").read_text(encoding="utf-8")))
        measure = scale.arms[name].measure
        if measure is not None:
            result.extra.update(measure(result))
        results.arms[name].append(result)
    return results


def save_pictures(folder: Path, prefix: str, plates: Mapping[str, Plate]) -> list[str]:
    """Write figures with their captions as `folder`/`prefix`-NAME.png; returns the paths as text with "/"."""
    folder.mkdir(parents=True, exist_ok=True)
    return [plate.save(folder / f"{prefix}-{name}.png").as_posix() for name, plate in plates.items()]
