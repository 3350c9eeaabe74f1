"""The ablations of COBRA (Watters et al. 2019): what each of its parts is worth.

Eight questions, each with one thing changed at a time: how it explores; whether it has objects; how predicted slots are
compared; what the truth in the place of a learned part would bring; how large the search is; whether vision stays as it
is; with how many sprites it explored; and what an exploration costs that serves many tasks. The first five, the seventh
and the eighth are asked on true factors; pictures are asked where they are needed, on a GPU. The paper's own ablations
could not be read, so all numbers but three are reported, not judged; the three thresholds are those of a pilot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from percepts.agents.cobra.agent import CobraAgent
from percepts.studies import cobra_ablations_numbers as numbers
from percepts.studies.cobra import measured, model_free
from percepts.studies.cobra_ablations_arms import (
    BINS,
    CURIOUS,
    DISTRACTORS,
    FEWER_SPRITES,
    FLAT,
    HUNGARIAN,
    NEAREST,
    OBJECTS,
    PIXELS,
    PIXELS_HUNGARIAN,
    PIXELS_NEAREST,
    POSITION,
    RANDOM,
    SORTING,
    TARGETS,
    TASKS,
    TUNED,
    VECTOR,
    VECTOR_FEWER,
    VECTOR_OBJECTS,
    can_fine_tune,
    factor_arms,
    on_factors,
    on_pictures,
    picture_arms,
    tiny_on_factors,
    tiny_on_pictures,
)
from percepts.studies.cobra_ablations_figures import figures
from percepts.studies.cobra_ablations_measures import (
    HORIZONS,
    NOISES,
    PROPOSALS,
    SWAPS,
    dynamics_errors,
    minutes,
    random_success,
    searched,
    searches,
    swapped,
)
from percepts.studies.pipelines import train_sharing
from percepts.studies.study import Claim, Results, Scale, Study
from percepts.training.setup import computing

SWAPPED = (POSITION, SORTING)
"""One task that is soon learned, and one whose reward is not, after equally many steps."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is done.

    Attributes:
        factors: the pipeline on true factors.
        pictures: the one that sees; None: none does.
        seeds: of both.
        episodes: of an agent whose learning was over before.
        arenas: of the scenes in which transition models are tested.
        candidates: of the searches over one step.
        budget: sequences of the longer ones.
        model_free: rewarded steps of soft actor-critic; 0: without it.
        random: episodes of random actions.
        workers: processes; None: as many as cores.
    """

    factors: Callable[[], CobraAgent.Config]
    pictures: Callable[[], CobraAgent.Config] | None = None
    seeds: tuple[int, ...] = (0,)
    episodes: int = 50
    arenas: int = 128
    candidates: tuple[int, ...] = (10, 30, 100, 300, 1000, 3000)
    budget: int = 300
    model_free: int = 5000
    random: int = 300
    workers: int | None = None


def ablate(folder: Path, size: Sizes) -> dict[str, Any]:
    """Train all arms, then measure without training: errors in scenes of their own, swaps and searches.

    Returns:
        "pipelines" by arm and seed; "swaps" by seed and task; "search": a list for every seed; "model-free" by task and
        seed; "random" by task; "exploration": transitions of one; "minutes" of training.
    """
    wanted = arms(size)
    agents = train_sharing(wanted, folder, size.workers)
    found: dict[str, Any] = {}
    whole = {seed: agents[f"{CURIOUS}, seed {seed}"] for seed in size.seeds}
    with computing(1):
        for name, agent in agents.items():
            arm, seed = name.rsplit(", seed ", 1)
            found.setdefault(arm, {})[seed] = {**measured(agent), "tested": dynamics_errors(agent, size.arenas)}
        swaps = {
            str(seed): {task: swapped(agent, task, size.episodes) for task in SWAPPED} for seed, agent in whole.items()
        }
        planners = searches(size.candidates, size.budget)
        search = {str(seed): searched(agent, POSITION, planners, size.episodes) for seed, agent in whole.items()}
        chance = random_success(TASKS, size.random)
    learners = model_free(folder / "model-free", POSITION, size.seeds, size.model_free) if size.model_free else {}
    exploration = wanted[f"{CURIOUS}, seed {size.seeds[0]}"].exploration
    return {
        "minutes": minutes(list(agents.values())),
        "pipelines": found,
        "swaps": swaps,
        "search": search,
        "model-free": {"steps": size.model_free, "curves": learners},
        "random": chance,
        "exploration": exploration.steps * exploration.arenas,
    }


def arms(size: Sizes) -> dict[str, CobraAgent.Config]:
    """All pipelines of all seeds, by "ARM, seed SEED"."""
    found = factor_arms(size.factors())
    if size.pictures is not None:
        found |= picture_arms(size.pictures())
    return {f"{name}, seed {seed}": replace(config, seed=seed) for name, config in found.items() for seed in size.seeds}


Reading = Callable[[Results], float]
CURIOSITY = "curiosity finds what moves (summaries of the paper)"
ALIGNED = "a loss in pixels needs no matching of slots (from memory, unverified)"
SETS = "objects make for few rewarded steps, and for other numbers of objects (abstract)"
COST = "fewer steps than model-free agents even with the exploration counted (summaries of the paper)"


def row(statement: str, measure: Reading, paper: str = "no figure known", threshold: float | None = None) -> Claim:
    """A number that is reported; with a threshold, one that is judged."""
    return Claim(statement=statement, measure=measure, paper=paper, threshold=threshold)


def _mean(reading: Callable[..., list[float]], *what: Any) -> Reading:
    return lambda results: mean(reading(results, *what))


def _worse(arm: str, task: str) -> Reading:
    return partial(numbers.worse, arm=arm, task=task)


def _exploring() -> list[Claim]:
    """1: where actions come from."""
    told = {RANDOM: "random", OBJECTS: "random-object", CURIOUS: "curious", BINS: "recursive-bin"}
    found = []
    for arm, name in told.items():
        found += [
            row(f"exploration, {name}: share of actions that hit a sprite", _mean(numbers.hits, arm), CURIOSITY),
            row(f"exploration, {name}: error of the dynamics on clicks into sprites", _mean(numbers.errors, arm)),
            row(
                f"exploration, {name}: error of the dynamics on random actions that hit",
                _mean(numbers.errors, arm, "random/1 to 6"),
            ),
            row(f"exploration, {name}: success in {POSITION}, the worse of the modes", _worse(arm, POSITION)),
        ]
    return found


def _judged() -> list[Claim]:
    """The pilot's thresholds, for as many transitions as it had."""
    return [
        row("curious exploration: share of actions that hit (worst seed)",
            lambda results: min(numbers.hits(results, CURIOUS)), CURIOSITY, 0.25),
        row("the same ÷ that of random actions",
            lambda results: mean(numbers.over(numbers.hits(results, CURIOUS), numbers.hits(results, RANDOM))),
            CURIOSITY, 4),
        replace(
            row("error of the dynamics on clicks into sprites ÷ that after random exploration (worst seed)",
                lambda results: max(numbers.over(numbers.errors(results, CURIOUS), numbers.errors(results, RANDOM))),
                CURIOSITY, 0.75),
            at_most=True,
        ),
    ]  # fmt: skip


def _objects() -> list[Claim]:
    """2: objects against one vector."""
    told = {CURIOUS: "objects", FLAT: "objects, flat reward predictor", VECTOR: "one vector",
            VECTOR_OBJECTS: "one vector, random-object exploration"}  # fmt: skip
    found = []
    for arm, name in told.items():
        found.append(row(f"{name}: success in {POSITION}, the worse of the modes", _worse(arm, POSITION), SETS))
        for mode, words in {"train": "as in training", "test": "with one target more"}.items():
            found.append(row(f"{name}: success in {TARGETS} {words}", _mean(numbers.success, arm, TARGETS, mode), SETS))
    for arm in (VECTOR, VECTOR_OBJECTS):
        found.append(row(f"{told[arm]}: error of the dynamics on clicks into sprites", _mean(numbers.errors, arm)))
    return found


def _losses() -> list[Claim]:
    """3: how predicted slots are compared with those that come; slot by slot is the curious exploration above."""
    found = []
    for arm in (HUNGARIAN, NEAREST):
        found += [
            row(f"loss of factors, {arm}: error of the dynamics on clicks into sprites", _mean(numbers.errors, arm)),
            row(f"loss of factors, {arm}: success in {POSITION}, the worse of the modes", _worse(arm, POSITION)),
        ]
    return found


def _swaps() -> list[Claim]:
    """4: the truth in the place of what was learned."""
    return [
        row(f"{task}, {name}: success, the worse of the modes", partial(numbers.worse_swap, task=task, name=name))
        for task in SWAPPED
        for name in SWAPS
    ]


def _searches() -> list[Claim]:
    """5: candidates, proposals, noise and the horizon."""
    words = {"uniform": "uniform candidates", "policy": "candidates of the exploration", "mixed": "half of each"}
    found = [
        row(
            f"{POSITION}, {words[proposal]}, noise {noise:g}: fewest with which 90 % succeed, held out",
            partial(numbers.enough, proposal=proposal, noise=noise),
        )
        for noise in NOISES
        for proposal in PROPOSALS
    ]
    named = {"RandomShooting": "random shooting", "CrossEntropy": "cross-entropy method"}
    for search, name in named.items():
        for horizon in HORIZONS:
            for noise in NOISES:
                reading = partial(numbers.search, search=search, horizon=horizon, noise=noise)
                steps = "step" if horizon == 1 else "steps"
                told = f"{POSITION}, {name} over {horizon} {steps}, noise {noise:g}: success, held out"
                found.append(row(told, reading))
    return found


def _sprites() -> list[Claim]:
    """7: the exploration knew fewer sprites."""
    error = "error of the dynamics on clicks among 4 to 6 sprites"
    told = {CURIOUS: "objects, explored with 1 to 6", FEWER_SPRITES: "objects, explored with 1 to 3",
            VECTOR_OBJECTS: "one vector, random-object exploration with 1 to 6",
            VECTOR_FEWER: "one vector, random-object exploration with 1 to 3"}  # fmt: skip
    return [
        *(row(f"{name}: {error}", _mean(numbers.errors, arm, "objects/4 to 6")) for arm, name in told.items()),
        *(
            row(f"{told[arm]}: success in {DISTRACTORS}, held out", _mean(numbers.success, arm, DISTRACTORS, "test"))
            for arm in (CURIOUS, FEWER_SPRITES)
        ),
    ]


def _costs() -> list[Claim]:
    """8: what an exploration costs that serves many tasks."""
    return [
        row("tasks of four that reach 90 %", lambda results: float(len(numbers.solved_tasks(results, CURIOUS)))),
        row("environment steps for each of them, exploration included", partial(numbers.per_task, arm=CURIOUS), COST),
        row(
            f"{POSITION}: success of soft actor-critic on the true factors at its end",
            numbers.learner_success,
            "orders of magnitude more steps (unverified; another agent)",
        ),
        row(
            "tasks for which exploring first costs less than what soft actor-critic had for one",
            partial(numbers.worthwhile, arm=CURIOUS),
            COST,
        ),
        row("success of random actions, the best of the tasks", lambda results: max(results.across["random"].values())),
    ]


def _pictures() -> list[Claim]:
    """3 and 6 on pictures: losses with a learned vision, and vision that goes on learning."""
    found = []
    for arm in (PIXELS, PIXELS_HUNGARIAN, PIXELS_NEAREST, *((TUNED,) if can_fine_tune() else ())):
        name = {PIXELS: "pictures, loss in pixels, vision frozen"}.get(arm, arm)
        changed = f"{name}: error of predicted pictures where they change ÷ that of the picture before"
        paper = ALIGNED if arm != TUNED else "no figure known"
        found += [
            row(changed, _mean(numbers.errors, arm, "objects/seen"), paper),
            row(f"{name}: success in {POSITION}, the worse of the modes", _worse(arm, POSITION), paper),
        ]
    return found


ON_FACTORS = (*_exploring(), *_objects(), *_losses(), *_swaps(), *_searches(), *_sprites(), *_costs())
EVERYTHING = (*_judged(), *ON_FACTORS, *_pictures())


def _scale(claims: tuple[Claim, ...], **settings: Any) -> Scale:
    size = Sizes(**settings)
    return Scale(seeds=size.seeds, agents=lambda folder: ablate(folder, size), claims=claims, figures=figures)


TINY = {"episodes": 2, "arenas": 2, "candidates": (2, 4), "budget": 4, "model_free": 0, "random": 4, "workers": 0}

STUDY = Study(
    name="cobra_ablations",
    title="COBRA, one thing changed at a time",
    presets={
        "tiny": _scale((), factors=tiny_on_factors, pictures=tiny_on_pictures, **TINY),
        "cpu": _scale((*_judged(), *ON_FACTORS), factors=on_factors),
        "gpu": _scale(EVERYTHING, factors=on_factors, pictures=on_pictures, episodes=100, model_free=20_000),
        "paper": _scale(
            EVERYTHING, factors=on_factors, pictures=on_pictures, seeds=(0, 1, 2), episodes=200, model_free=100_000
        ),
    },
)
