"""The report of agents that played Alchemy: one self-contained page, and its figures.

    played = {"random heuristic": play(…, beliefs=True), "oracle": play(…), "mine": play(…)}
    report_alchemy("runs/alchemy", played, level="random-bottleneck", probes=probe_agents({"mine": MyAgent}))

Agents with the names of published ones (`alchemy_paper.PUBLISHED`) stand beside these numbers. Scores are normalised by
a floor and a ceiling on the same episodes: those of "random heuristic" and "oracle", if both played. In the folder of a
training the page also shows how that went.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from percepts.agents.alchemy.microprobes import PROBES, PUBLISHED_PASSES, ProbeResult
from percepts.agents.alchemy.playing import Played
from percepts.core.errors import ConfigError
from percepts.core.files import write_text
from percepts.core.runs import Run
from percepts.envs.alchemy.levels import Level
from percepts.envs.alchemy.levels import level as find_level
from percepts.report.alchemy_figures import (
    adaptation_plate,
    entropy_plate,
    episode_plate,
    histogram_plate,
    trials_plate,
)
from percepts.report.alchemy_paper import BEHAVIOUR, CEILING, FLOOR, PUBLISHED, Published
from percepts.report.page import render_sections
from percepts.report.plates import Plate
from percepts.report.sections.alchemy_record import command, learning_curves, settings
from percepts.report.sections.section import Section
from percepts.report.svg import MINUS

Shown = tuple[Section, dict[str, Plate]]
Results = Mapping[str, Mapping[str, ProbeResult]]
NONE = "–"


@dataclass(frozen=True)
class AlchemyMaterial:
    """What the page is made of.

    Attributes:
        played: how every agent did, by name; all on the same episodes.
        level: of these.
        probes: results by agent and microprobe; none where they were not run.
        title, summary: of the page.
        watched: name of the agent and number of the episode that is drawn; the last agent that was recorded if None.
        references: published agents whose curves are drawn, too.
        seed: of the episodes.
        run: the training that made one of the agents; None where there was none.
    """

    played: Mapping[str, Played]
    level: Level
    probes: Results = field(default_factory=dict)
    title: str = "Alchemy"
    summary: str = ""
    watched: tuple[str, int] | None = None
    references: Sequence[str] = ()
    seed: int = 0
    run: Run | None = None


def report_alchemy(
    folder: Path | str,
    played: Mapping[str, Played],
    *,
    level: str | Level,
    probes: Results | None = None,
    title: str = "Alchemy",
    summary: str = "",
    watched: tuple[str, int] | None = None,
    references: Sequence[str] = ("ideal observer", "V-MPO, symbolic"),
    seed: int = 0,
) -> Path:
    """Write `report.html` and the folder `figures` (PNG files).

    Args:
        folder: where to; if it is that of a training, this is shown, too.
        played: how every agent did, by name; all on the same episodes.
        level: of these.
        probes: results by agent and microprobe, of `probe_agents`.
        title, summary: of the page.
        watched: name of an agent and number of an episode to be drawn.
        references: published agents whose curves are drawn, too.
        seed: of the episodes.

    Returns:
        The path of the page.

    Raises:
        ConfigError: nobody played, an agent that is watched was not recorded, or a reference that there is not.
        PerceptsError: the page cannot be written; an older one is untouched.
    """
    if not played:
        raise ConfigError("nobody has played", "at least one agent")
    unknown = [name for name in references if name not in PUBLISHED]
    if unknown:
        raise ConfigError(f"references {', '.join(unknown)}", "some of " + ", ".join(PUBLISHED))
    run = Run(folder)
    trained = run if run.info_file.is_file() else None
    material = AlchemyMaterial(
        played, find_level(level), probes or {}, title, summary, watched, references, seed, trained
    )  # fmt: skip
    shown = [one for make in SECTIONS if (one := make(material)) is not None]
    path = Path(folder) / "report.html"
    page = render_alchemy(material, [section for section, _ in shown])
    for _, plates in shown:
        for name, plate in plates.items():
            plate.save(Path(folder) / "figures" / f"{name}.png")
    write_text(path, page)
    return path


def render_alchemy(material: AlchemyMaterial, sections: Sequence[Section]) -> str:
    """The page as HTML."""
    some = next(iter(material.played.values()))
    lengths = sorted({len(one) for one in material.played.values()})
    facts = [
        ("level", material.level.name),
        ("episodes", " or ".join(f"{length:,}" for length in lengths)),
        ("trials", str(some.scores.shape[1])),
        ("seed", str(material.seed)),
    ]
    steps = None if material.run is None else material.run.info().get("step")
    facts += [("environment steps of training", f"{steps:,}")] if isinstance(steps, int) else []
    numbers = [(name, f"{one.mean:.1f}", _plus_minus(one)) for name, one in list(material.played.items())[-4:]]
    return render_sections(
        sections,
        title=material.title,
        summary=material.summary or f"{len(material.played)} agents on the level {material.level.name}",
        status="finished",
        facts=facts,
        numbers=numbers,
        warnings=_warnings(material),
        seed=material.seed,
    )


def scores(material: AlchemyMaterial) -> Shown:
    """Mean scores beside published ones, and how they are spread."""
    names = [*material.played, *(name for name in PUBLISHED if name not in material.played)]
    rows = [_score_row(material, name) for name in names]
    plate = histogram_plate(material.played, "Scores of whole episodes; the line is their mean.")
    content = {"rows": rows, "plate": plate, "floor": FLOOR, "ceiling": CEILING}
    return Section("alchemy_scores", "Scores", content), {"histograms": plate}


def learning(material: AlchemyMaterial) -> Shown:
    """Curves by trial, adaptation, and what could be known."""
    trials = trials_plate(
        material.played,
        material.references,
        "Mean score by trial, bands of one standard error. An agent that learns within episodes rises.",
    )
    gain = adaptation_plate(
        material.played,
        "The last three trials against the first three, with two standard errors. 0: nothing was learned.",
    )
    plates = {"trials": trials, "adaptation": gain}
    if any(one.beliefs is not None for one in material.played.values()):
        plates["entropy"] = entropy_plate(
            material.played,
            material.references,
            "What somebody who saw all that the agent did could not know yet. A low line beside a flat score means "
            "that information was gathered and not used.",
        )
    return Section("alchemy_learning", "Learning within episodes", {"plates": list(plates.values())}), plates


def behaviour(material: AlchemyMaterial) -> Shown | None:
    """What was done in the first and in the last trial."""
    rows = []
    for name, one in material.played.items():
        if one.tracked:
            means = [one.tracked[tracker].per_trial.double().mean(0) for tracker in BEHAVIOUR]
            rows.append(
                {"title": name, "published": False, "cells": [_change(float(m[0]), float(m[-1])) for m in means]}
            )
    if not rows:
        return None
    for name, known in PUBLISHED.items():
        if known.behaviour is not None:
            cells = [_change(*pair) for pair in known.behaviour]
            rows.append({"title": name, "published": True, "cells": cells})
    return Section("alchemy_behaviour", "Behaviour", {"rows": rows, "heads": list(BEHAVIOUR.values())}), {}


def probes(material: AlchemyMaterial) -> Shown | None:
    """How often every agent passed the microprobes."""
    if not material.probes:
        return None
    used = [name for name in PROBES if any(name in results for results in material.probes.values())]
    rows = []
    for name, results in material.probes.items():
        cells = [_probe_cell(results.get(probe)) for probe in used]
        expected = [probe in PUBLISHED_PASSES[name] for probe in used] if name in PUBLISHED_PASSES else None
        rows.append({"title": name, "cells": cells, "expected": expected})
    heads = [{"title": PROBES[name].title, "asks": PROBES[name].asks, "null": PROBES[name].null} for name in used]
    runs = sorted({one.runs for results in material.probes.values() for one in results.values()})
    content = {"rows": rows, "heads": heads, "runs": " or ".join(map(str, runs))}
    return Section("alchemy_probes", "Microprobes", content), {}


def episode(material: AlchemyMaterial) -> Shown | None:
    """One episode: the graph, what was done in its first and last trial, and what could be known of it."""
    recorded = [name for name, one in material.played.items() if one.recording is not None]
    if not recorded:
        return None
    name, number = material.watched or (recorded[-1], 0)
    recording = material.played[name].recording if name in material.played else None
    if recording is None:
        raise ConfigError(f"'{name}' was not recorded", "one of " + ", ".join(recorded))
    last = recording.stones.shape[1] - 1
    plates = {
        f"episode-trial-{trial + 1}": episode_plate(
            recording, number, trial, material.level, f"Trial {trial + 1}. Arrows and numbers in the order of events."
        )
        for trial in sorted({0, last})
    }
    content = {"plates": list(plates.values()), "agent": name, "number": number}
    return Section("alchemy_episode", "An episode", content), plates


def _of_training(make: Callable[[Run], Section]) -> Callable[[AlchemyMaterial], Shown | None]:
    """A section on the training, where there was one."""
    return lambda material: None if material.run is None else (make(material.run), {})


SECTIONS: tuple[Callable[[AlchemyMaterial], Shown | None], ...] = (
    scores,
    learning,
    behaviour,
    probes,
    episode,
    *map(_of_training, (learning_curves, settings, command)),
)
"""In the order of the page."""


def _score_row(material: AlchemyMaterial, name: str) -> dict[str, Any]:
    known, one = PUBLISHED.get(name, Published()), material.played.get(name)
    return {
        "title": name,
        "here": NONE if one is None else f"{one.mean:.2f} {_plus_minus(one)}",
        "normalised": NONE if one is None else _normalised(material, one),
        "adaptation": NONE if one is None else f"{round(one.adaptation, 1) + 0.0:+.1f}".replace("-", MINUS),
        "paper": _interval(known.paper),
        "measured": _interval(known.measured),
    }


def _normalised(material: AlchemyMaterial, one: Played) -> str:
    if not {FLOOR, CEILING} <= material.played.keys():
        return NONE
    if not len(material.played[FLOOR]) == len(material.played[CEILING]) == len(one):
        return NONE
    floor, ceiling = material.played[FLOOR].mean, material.played[CEILING].mean
    return f"{(one.mean - floor) / (ceiling - floor):.2f}".replace("-", MINUS) if ceiling != floor else NONE


def _warnings(material: AlchemyMaterial) -> list[tuple[str, str]]:
    found = []
    missing = [name for name in (FLOOR, CEILING) if name not in material.played]
    if missing:
        found.append(("not played", f"{' and '.join(missing)}, so that scores are not normalised"))
    elif len({len(one) for one in material.played.values()}) > 1:
        found.append(("not as many episodes", "for everybody: where there are other ones, scores are not normalised"))
    return found


def _probe_cell(result: ProbeResult | None) -> dict[str, Any]:
    if result is None:
        return {"rate": NONE, "z": "", "passed": False}
    z = f"{result.z:.2f}".replace("-", MINUS)
    return {"rate": f"{100 * result.rate:.0f} %", "z": z, "passed": result.significant}


def _plus_minus(one: Played) -> str:
    return f"± {one.standard_error:.2f}" if len(one) > 1 else ""


def _interval(value: tuple[float, float] | None) -> str:
    return NONE if value is None else f"{value[0]:g} ± {value[1]:g}"


def _change(first: float, last: float) -> str:
    return f"{first:.2f} → {last:.2f}".replace("-", MINUS)
