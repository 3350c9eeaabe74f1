"""Sections on the tasks of a COBRA pipeline: how fast they were learned, how robustly, episodes, and rewards."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from percepts.agents.cobra.evaluate import amortised_steps, looking
from percepts.core.errors import PerceptsError
from percepts.report.arena_figures import Played, episode_frames, episode_gif, film_strip, play_episodes
from percepts.report.cobra_figures import PILOT, Efficiency, Pilot, efficiency_plate, reward_plate
from percepts.report.cobra_material import (
    MODES,
    ORACLE_CANDIDATES,
    ORACLE_EPISODES,
    RANDOM_EPISODES,
    PipelineMaterial,
    Shown,
    TaskRecord,
    has_true_slots,
)
from percepts.report.cobra_samples import reward_pairs
from percepts.report.images import Picture
from percepts.report.plates import Plate
from percepts.report.sections.section import Section
from percepts.report.svg import MINUS

EPISODES = 8
"""That are played for the films of a task in one mode."""

T = TypeVar("T")


def tasks(material: PipelineMaterial) -> Shown:
    """Success by rewarded steps, and success as trained and held out beside policies that learn nothing."""
    missing = _unlearned(material)
    content: dict[str, Any] = {"missing": missing, "plate": None, "rows": [], "unlike": []}
    begun = [task for task in material.tasks if task.log or task.scores]
    if not begun:
        return Shown(Section("cobra_tasks", "Tasks", content))
    content["plate"] = plate = efficiency_plate(
        [_efficiency(material, task) for task in begun], _efficiency_caption(material, begun)
    )
    content["rows"] = [_row(material, task) for task in begun]
    content |= {
        "episodes": material.config.episodes,
        "random": RANDOM_EPISODES,
        "oracle": ORACLE_EPISODES,
        "candidates": ORACLE_CANDIDATES,
        "sharing": len(material.tasks),
        "exploration": f"{material.config.exploration.steps * material.config.exploration.arenas:,}",
    }
    return Shown(Section("cobra_tasks", "Tasks", content), {"data_efficiency": plate})


def episodes(material: PipelineMaterial) -> Shown | None:
    """A film and a strip of every task that was learned, in both modes."""
    if not material.tasks:
        return None
    missing: list[str] = []
    files: dict[str, Plate | bytes] = {}
    shown = []
    agents = attempt(missing, lambda: material.agents) or {}
    for task in material.tasks:
        films = []
        for mode in MODES if task.name in agents else ():
            film, made = _film(material, task, mode)
            films.append(film)
            files |= made
        if films:
            shown.append({"title": task.title, "films": films})
    if not shown and not missing:
        missing.append("No task was learned to its end, so there is no agent to watch.")
    content = {"missing": missing, "tasks": shown, "noise": material.config.noise}
    return Shown(Section("cobra_episodes", "Episodes", content), files)


def rewards(material: PipelineMaterial) -> Shown | None:
    """Predicted against true rewards of every task that was learned."""
    if not material.tasks:
        return None
    missing: list[str] = []
    plates: dict[str, Plate] = {}
    for name in attempt(missing, lambda: material.agents) or {}:
        plate = attempt(missing, lambda name=name: _rewards(material, name))  # type: ignore[misc]
        if plate is not None:
            plates[f"rewards-{name}"] = plate
    if not plates and not missing:
        missing.append("No task was learned to its end, so there is no reward predictor to look at.")
    content = {"missing": missing, "plates": list(plates.values())}
    return Shown(Section("cobra_rewards", "Predicted rewards", content), plates)


def attempt(missing: list[str], make: Callable[[], T]) -> T | None:
    """What `make` gives, or None; what kept it from that is added to `missing`."""
    try:
        return make()
    except PerceptsError as error:
        words = str(error)
        if words not in missing:
            missing.append(words)
        return None


def percent_of(score: Mapping[str, Any]) -> str:
    """The success of an evaluation with its interval, such as "97 % (91 to 99)"."""
    low, high = score["success_interval"]
    return f"{100 * score['success']:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def pilot_of(material: PipelineMaterial, task: str) -> Pilot | None:
    """The pilot's points for a task, where this pipeline does what the pilot did: true factors, and no noise."""
    comparable = has_true_slots(material) and not material.config.noise
    return PILOT.get(task) if comparable else None


def _unlearned(material: PipelineMaterial) -> list[str]:
    """What is missing of the tasks, in words."""
    if not material.tasks:
        return ["This pipeline has no tasks: it explores, and nothing is rewarded."]
    found = []
    for task in material.tasks:
        if task.status == "missing":
            found.append(f"{task.title}: not begun.")
        elif task.status != "finished":
            found.append(f"{task.title}: {task.status}; what is shown of it is not its end.")
        elif set(MODES) - set(task.scores):
            lacking = " and ".join(name for mode, name in MODES.items() if mode not in task.scores)
            found.append(f"{task.title}: not evaluated yet ({lacking}).")
    return found


def _efficiency(material: PipelineMaterial, task: TaskRecord) -> Efficiency:
    known = material.references[task.name]
    return Efficiency(
        title=task.title,
        curves=task.curves,
        random=known.random["train"].success,
        oracle=known.oracle["train"].success,
        pilot=pilot_of(material, task.name),
        steps=task.steps,
    )


def _efficiency_caption(material: PipelineMaterial, begun: list[TaskRecord]) -> str:
    words = (
        f"Success by rewarded steps of one seed; {material.config.curve_episodes} episodes a point, bands are 95 % "
        f"intervals over these episodes, not over seeds. Random: uniform actions. Oracle: the best of "
        f"{ORACLE_CANDIDATES} clicks by true dynamics and reward."
    )
    pilots = {task.title: pilot for task in begun if (pilot := pilot_of(material, task.name)) is not None}
    if pilots:
        heads = "; ".join(f"{title}: {pilot.head}" for title, pilot in pilots.items())
        words += (
            " Pilot: an earlier trial in NumPy on true factors with other networks, one or two seeds, 40 episodes a "
            f"point, no numbers of the paper (reward heads: {heads})."
        )
    return words


def _row(material: PipelineMaterial, task: TaskRecord) -> dict[str, Any]:
    known = material.references[task.name]
    successes = [task.scores[mode]["success"] for mode in MODES if mode in task.scores]
    gap = f"{100 * (successes[0] - successes[1]):+.0f}".replace("-", MINUS) if len(successes) == 2 else "n/a"
    explored = material.config.exploration.steps * material.config.exploration.arenas
    amortised = None if task.steps_to is None else amortised_steps(explored, len(material.tasks), task.steps_to)
    return {
        "title": task.title,
        "scores": [percent_of(task.scores[mode]) if mode in task.scores else "n/a" for mode in MODES],
        "lengths": [f"{task.scores[mode]['length']:.1f}" if mode in task.scores else "n/a" for mode in MODES],
        "gap": gap,
        "random": " / ".join(f"{100 * known.random[mode].success:.1f} %" for mode in MODES),
        "oracle": " / ".join(f"{100 * known.oracle[mode].success:.0f} %" for mode in MODES),
        "steps_to": "not reached" if task.steps_to is None else f"{task.steps_to:,}",
        "amortised": "n/a" if amortised is None else f"{amortised:,.0f}",
    }


def _film(material: PipelineMaterial, task: TaskRecord, mode: str) -> tuple[dict[str, Any], dict[str, Plate | bytes]]:
    environment, agent = material.environment(task.name, mode), material.agents[task.name]
    seed = material.seeds(1, "films", task.name, mode)[0]
    look = looking(environment.observer, agent.observes)
    played = play_episodes(environment.arena.build(), agent, EPISODES, seed, look)
    episode = played.episode(played.telling, environment.observer)
    film = episode_gif(episode_frames(episode))
    end = "solved" if episode.success else "not solved"
    words = f"{task.title}, {MODES[mode]}: an episode of {len(episode)} steps, {end}"
    strip = film_strip(episode, caption=f"{words}. Dots are clicks, arrows the motions; grey where nothing was hit.")
    side = episode.frames.shape[1]
    source = "data:image/gif;base64," + base64.b64encode(film).decode()
    name = f"{task.name}-{mode}"
    content = {
        "mode": MODES[mode],
        "gif": Picture(source, episode.frames.shape[2], side, words),
        "strip": strip.picture(),
        "words": f"{_solved(played)}; shown: one of {len(episode)} steps, {end}",
    }
    return content, {f"episode-{name}.gif": film, f"episode-{name}": strip}


def _rewards(material: PipelineMaterial, name: str) -> Plate:
    pairs = {mode: reward_pairs(material, name, mode) for mode in MODES}
    title = next(task.title for task in material.tasks if task.name == name)
    count = len(next(iter(pairs.values())).true)
    return reward_plate(
        title,
        pairs,
        f"{title}: rewards of {count} steps a mode, half of them the agent's, half clicks into sprites. Left, the "
        "reward predictor alone; right, with the transition model before it, as the search uses both. Off the diagonal "
        "on the right alone: the model is at fault.",
    )


def _solved(played: Played) -> str:
    there, at_start = int(played.success.sum()), int((played.success & played.solved_at_start).sum())
    known = f" ({at_start} of them before the first step)" if at_start else ""
    return f"{there} of {len(played.success)} episodes solved{known}"
