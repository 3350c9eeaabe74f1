"""A sweep: presets × a grid of settings × seeds, each a run of its own, resumable as a whole.

    SWEEP/sweep.json     presets, grid, seeds, and for every run its folder, preset, settings and seed
    SWEEP/<digest>/      ordinary run folders, named by the digest of the resolved experiment

The same command goes on with a stopped sweep, and a larger grid extends it; another grid is refused.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from percepts.core.config import digest
from percepts.core.errors import ConfigError, RunError
from percepts.core.files import write_json
from percepts.core.runs import Run, provenance
from percepts.training.board import Board
from percepts.training.experiment import Experiment, find_preset
from percepts.training.grid import check_distinct, matching, setting_name, setting_names, with_setting, with_settings
from percepts.training.job import Job, JobOutcome
from percepts.training.jobs import made_folder, run_jobs

SWEEP = "sweep.json"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One run of a sweep.

    Attributes:
        preset: where it starts from.
        settings: what the grid changes, as JSON data by dotted name.
        seed: of the run.
        experiment: all of it, resolved.
    """

    preset: str
    settings: Mapping[str, Any]
    seed: int
    experiment: Experiment

    @property
    def name(self) -> str:
        """Of its run folder."""
        return digest(self.experiment)

    def record(self) -> dict[str, Any]:
        """As sweep.json holds it."""
        return {"name": self.name, "preset": self.preset, "settings": dict(self.settings), "seed": self.seed}


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What is swept.

    Attributes:
        presets: names of presets.
        grid: the values, as text, by the name of a setting or its flag. A setting that only some of the presets have is
            varied in those.
        seeds: of every combination.
        settings: changed in all runs, as JSON data by dotted name.
    """

    presets: tuple[str, ...]
    grid: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def points(self) -> list[Point]:
        """Every run, seeds innermost.

        Raises:
            ConfigError: no preset or seed, an unknown one, one that comes twice; a key that no preset has, or a value
                that it does not take.
        """
        check_distinct("the list of presets", self.presets)
        check_distinct("--seeds", self.seeds)
        if "seed" in self.settings:
            raise ConfigError("--seed in a sweep", fix="--seeds 0-3")
        bases = {name: with_settings(find_preset(name).make(), self.settings) for name in self.presets}
        self._check_keys([setting_names(base) for base in bases.values()])
        return [point for name, base in bases.items() for point in self._points_of(name, base)]

    def settled(self) -> Sweep:
        """The same with the full names of settings, where a key names the same one in every preset that has it."""
        names = [setting_names(find_preset(name).make()) for name in self.presets]
        self._check_keys(names)
        grid: dict[str, Sequence[str]] = {}
        for key, values in self.grid.items():
            meanings = {tuple(matching(key, some)) for some in names} - {()}
            meaning = next(iter(meanings))
            name = meaning[0] if len(meanings) == len(meaning) == 1 else key
            if name in grid:
                raise ConfigError(f"--grid has {name} twice", "all its values in one word")
            grid[name] = values
        return dataclasses.replace(self, grid=grid)

    def to_json(self) -> dict[str, Any]:
        """As sweep.json holds it."""
        return {
            "presets": list(self.presets),
            "grid": {key: list(values) for key, values in self.grid.items()},
            "seeds": list(self.seeds),
            "settings": dict(self.settings),
        }

    def _check_keys(self, names: Sequence[Sequence[str]]) -> None:
        everywhere = list(dict.fromkeys(name for some in names for name in some))
        for key in self.grid:
            if key.lstrip("-") == "seed":
                raise ConfigError("--grid seed", fix="--seeds 0-3")
            if not any(matching(key, some) for some in names):
                setting_name(key, everywhere)  # raises, and names the nearest

    def _points_of(self, preset: str, base: Experiment) -> Iterator[Point]:
        axes: dict[str, list[Any]] = {}
        names = setting_names(base)
        for key, texts in self.grid.items():
            if len(self.presets) > 1 and not matching(key, names):
                continue
            name = setting_name(key, names)
            if name in axes:
                raise ConfigError(f"--grid has {name} twice", "all its values in one word")
            axes[name] = [with_setting(base, name, text)[1] for text in texts]
            check_distinct(f"--grid {key}", axes[name])
        for values in itertools.product(*axes.values()):
            settings = dict(zip(axes, values))
            # The seed changes nothing in what is resolved, and opening the data may take a while.
            resolved, _ = with_settings(base, settings).resolved()
            for seed in self.seeds:
                experiment = dataclasses.replace(resolved, seed=seed)
                yield Point(preset=preset, settings=settings, seed=seed, experiment=experiment)


def run_sweep(
    sweep: Sweep,
    folder: Path | str,
    *,
    workers: int | None = None,
    backend: Literal["local", "ray"] = "local",
    address: str = "auto",
    on_update: Callable[[Board], None] | None = None,
    on_extension: Callable[[int], None] | None = None,
) -> list[JobOutcome]:
    """Carry out a sweep, or go on with it, or extend it.

    The arguments are those of `run_jobs`; `on_extension` is called with the number of runs by which the sweep in the
    folder grows, if it does.

    Raises:
        ConfigError: a grid that makes no sense (see `Sweep.points`).
        RunError: the folder holds another sweep, or something else.
    """
    folder, sweep = Path(folder), sweep.settled()
    points = sweep.points()
    new = record(sweep, points, folder)
    if new and on_extension is not None:
        on_extension(new)
    return run_jobs(jobs_of(points), folder, workers=workers, backend=backend, address=address, on_update=on_update)


def record(sweep: Sweep, points: Sequence[Point], folder: Path) -> int:
    """Write sweep.json, unless the folder has it; returns by how many runs this extends the sweep there.

    Raises:
        RunError: the folder holds a sweep with runs that are not among these, or files of something else.
        PerceptsError: it cannot be written.
    """
    made_folder(folder)
    with Run(folder).lock():
        before = read_record(folder)
        new = {"format": 1, **sweep.to_json(), "jobs": [point.record() for point in points], **_made_with()}
        if before is None:
            others = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
            if others:
                raise RunError(f"'{folder}' holds no sweep and is not empty ({others[0]})", "a new folder", "--out")
            write_json(folder / SWEEP, new)
            return 0
        recorded, wanted = ({job["name"] for job in one["jobs"]} for one in (before, new))
        if recorded - wanted:
            raise RunError(
                f"'{folder}' holds another sweep: " + "; ".join(_changes(before, new)),
                "the same grid or a larger one",
                f"another --out, or percepts sweep --resume {folder}",
            )
        if wanted - recorded:
            write_json(folder / SWEEP, new)
        return len(wanted - recorded)


def jobs_of(points: Sequence[Point]) -> list[Job]:
    """The jobs of a sweep's runs, named by what tells them apart."""
    several = len({point.preset for point in points}) > 1
    return [Job(_label(point, several), point.experiment, {"preset": point.preset}) for point in points]


def read_sweep(folder: Path | str) -> Sweep:
    """The sweep that `folder` holds.

    Raises:
        RunError: it holds none, or sweep.json is damaged.
    """
    data = read_record(Path(folder))
    if data is None:
        raise RunError(f"'{folder}' holds no sweep (it has no {SWEEP})", fix="percepts sweep PRESET --grid … --out …")
    return Sweep(
        presets=tuple(data["presets"]), grid=data["grid"], seeds=tuple(data["seeds"]), settings=data["settings"]
    )


def read_record(folder: Path) -> dict[str, Any] | None:
    """What sweep.json says; None where there is none.

    Raises:
        RunError: it is damaged.
    """
    path = folder / SWEEP
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        kinds = {"presets": list, "grid": dict, "seeds": list, "settings": dict, "jobs": list}
        whole = all(isinstance(data[key], kind) for key, kind in kinds.items())
        if whole and all(isinstance(values, list) for values in data["grid"].values()):
            [(job["name"], job["seed"]) for job in data["jobs"]]
            return dict(data)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"cannot read '{path}' ({error})", "JSON that percepts wrote") from error
    raise RunError(f"cannot read '{path}' (it describes no sweep)", "JSON that percepts wrote")


def missing_runs(folder: Path) -> int:
    """How many runs of the sweep in `folder` have not begun; 0 where it holds no sweep."""
    data = read_record(folder)
    return sum(not (folder / job["name"] / "run.json").exists() for job in data["jobs"]) if data else 0


def _label(point: Point, several: bool) -> str:
    parts = [f"{name.rpartition('.')[2]}={value}" for name, value in point.settings.items()]
    return " ".join([*([point.preset] if several else []), *parts, f"seed={point.seed}"])


def _made_with() -> dict[str, Any]:
    return {name: value for name, value in provenance().items() if name in ("percepts", "commit", "command")}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """What a sweep there and a sweep here differ in, in words."""
    for part in ("presets", "seeds"):
        if before[part] != after[part]:
            yield f"{part} {_listed(before[part])} there, {_listed(after[part])} here"
    for part, sign in (("grid", "--grid "), ("settings", "")):
        for key in dict.fromkeys([*before[part], *after[part]]):
            old, new = before[part].get(key), after[part].get(key)
            if old != new:
                yield f"{sign}{key} {_listed(old)} there, {_listed(new)} here"
    if all(before[part] == after[part] for part in ("presets", "seeds", "grid", "settings")):
        yield "the same words, but the presets or this machine's precision have changed since"


def _listed(value: Any) -> str:
    if value is None:
        return "not given"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
