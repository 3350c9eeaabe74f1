"""The tasks of COBRA (Watters et al. 2019) as configurations, and a registry to which your own are added.

    cobra_task("sorting", mode="test")                 # the held-out pair of colours
    cobra_task("clustering", noise=PAPER_NOISE)        # with the noise on actions of the first release
    task_config("sorting", renderer="fast")            # any registered task, seen in another way

Every task has the modes "train" and "test"; what is held out differs from task to task. Scenes, rewards and lengths are
those of the released package, version 1.0.2. It dropped the noise on actions, of standard deviation 0.05, two months
after its first release. That noise is taken to be the paper's setting (unverified); without noise is the default here,
as it is there.

Factors are listed in the order in which the package draws them, for the sake of `compat`.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from percepts.core.config import Config
from percepts.core.errors import ConfigError, nearest
from percepts.data.distributions import Continuous, Discrete, Distribution, Product
from percepts.envs.spriteworld.actions import SelectMove
from percepts.envs.spriteworld.arena import Arena
from percepts.envs.spriteworld.generators import Chain, Generate, OneOf, SceneGenerator, Shuffled, shapes
from percepts.envs.spriteworld.observations import Observer
from percepts.envs.spriteworld.tasks import Clustering, FindGoalPosition, MetaAggregated, NoReward, Task

Noise = float | tuple[float, float, float, float] | None
"""Standard deviation of what is added to the four numbers of an action, one or four."""
PAPER_NOISE = 0.05
"""Of the first release; taken to be the paper's setting (unverified)."""
TRAIN, TEST = "train", "test"
MODES = (TRAIN, TEST)
"""How the tasks of COBRA are learned, and what is held out of that."""


@dataclass(frozen=True, kw_only=True)
class SpriteworldConfig(Config):
    """An environment: a named arena and what is seen of it."""

    name: str
    """Of the task."""
    mode: str = TRAIN
    """Which of the task's variants this is, such as the held-out "test"."""
    arena: Arena.Config
    observer: Observer = field(default_factory=Observer)


Maker = Callable[[str, Noise], SpriteworldConfig]
"""What makes a task from a mode and the noise on actions."""


@dataclass(frozen=True)
class RegisteredTask:
    """A task by name.

    Attributes:
        make: its configuration.
        modes: that it has.
    """

    make: Maker
    modes: tuple[str, ...] = MODES


TASKS: dict[str, RegisteredTask] = {}
"""All tasks by name, those of COBRA first; see `register_task`."""


def register_task(name: str, modes: tuple[str, ...] = MODES) -> Callable[[Maker], Maker]:
    """Register a function as the task `name`, for `task_config` and everything that takes a task's name.

        @register_task("stack-up")
        def stack_up(mode: str, noise: Noise) -> SpriteworldConfig: ...

    Args:
        name: lower-case words joined by hyphens.
        modes: that the function knows.

    Raises:
        ConfigError: another name, a name that is taken, or no modes.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ConfigError(f"a task called '{name}'", "lower-case words joined by hyphens")
    if not modes:
        raise ConfigError(f"the task '{name}' without modes", "one or more")

    def register(make: Maker) -> Maker:
        known = TASKS.get(name)
        # A module that is loaded again, as in a notebook, brings the same functions anew.
        if known is not None and _place(known.make) != _place(make):
            raise ConfigError(f"a second task called '{name}', beside {'.'.join(_place(known.make))}", "another name")
        TASKS[name] = RegisteredTask(make, tuple(modes))
        return make

    return register


def task_config(
    task: str | SpriteworldConfig, mode: str = TRAIN, noise: Noise = None, **observer: Any
) -> SpriteworldConfig:
    """The configuration of a registered task.

    Args:
        task: its name; or a whole configuration, which keeps its mode and noise.
        mode: of its modes.
        noise: on actions.
        observer: settings of the `Observer` to change.

    Raises:
        ConfigError: an unknown task, mode or setting (naming the nearest), a setting that does not fit, or noise beside
            a whole configuration.
    """
    if isinstance(task, SpriteworldConfig):
        if noise is not None:
            raise ConfigError(f"noise = {noise} beside a whole configuration", fix="arena.actions.noise in that one")
        config = task
    else:
        known = TASKS[_known("task", task, TASKS)]
        config = known.make(_known(f"mode of {task}", mode, known.modes), noise)
        config = dataclasses.replace(config, name=task, mode=mode)
    for name in observer:
        _known("setting", name, ["mode", "noise", *(setting.name for setting in dataclasses.fields(Observer))])
    return dataclasses.replace(config, observer=dataclasses.replace(config.observer, **observer))


def cobra_task(name: str, mode: str = TRAIN, noise: Noise = None) -> SpriteworldConfig:
    """One of the seven tasks of COBRA: those of `COBRA`.

    Raises:
        ConfigError: another name or mode, naming the nearest.
    """
    return task_config(_known("task of COBRA", name, COBRA), mode, noise)


AREA = Product((Continuous("x", 0.1, 0.9), Continuous("y", 0.1, 0.9)))
CORNER = Product((Continuous("x", 0.5, 0.9), Continuous("y", 0.5, 0.9)))
"""The upper right quarter of it, as it is displayed."""
PLAIN = Product((Discrete("scale", (0.13,)), Continuous("c1", 0.3, 1.0), Continuous("c2", 0.9, 1.0)))
"""Size, saturation and value."""
LOOK = Product((shapes("square", "triangle", "circle"), *PLAIN.components))
TARGET, DISTRACTOR = Continuous("c0", 0.0, 0.4), Continuous("c0", 0.5, 0.9)
HUES = {
    "red": Continuous("c0", 0.9, 1.0),
    "blue": Continuous("c0", 0.55, 0.65),
    "green": Continuous("c0", 0.27, 0.37),
    "purple": Continuous("c0", 0.73, 0.83),
    "yellow": Continuous("c0", 0.1, 0.2),
}
SORTED = {
    "red": (0.75, 0.75),
    "blue": (0.75, 0.25),
    "green": (0.25, 0.75),
    "purple": (0.25, 0.25),
    "yellow": (0.5, 0.5),
}
"""Where sprites of a colour belong in "sorting"."""


@register_task("exploration")
def exploration(mode: str, noise: Noise) -> SpriteworldConfig:
    """One to six sprites of any hue, nothing to do, 10 steps; the same in both modes."""
    hue = Continuous("c0", 0.0, 1.0)
    shape, scale, saturation, value = LOOK.components
    factors = Product((*AREA.components, shape, scale, hue, saturation, value))
    return _config("exploration", mode, noise, Generate(factors, 1, 6), NoReward(), 10)


@register_task("goal-finding-new-shape")
def goal_finding_new_shape(mode: str, noise: Noise) -> SpriteworldConfig:
    """One sprite belongs in the middle, 20 steps. Trained with squares, tested with triangles and circles."""
    shape = shapes("square") if mode == TRAIN else shapes("triangle", "circle")
    scale, saturation, value = PLAIN.components
    factors = Product((shape, *AREA.components, scale, TARGET, saturation, value))
    return _config("goal-finding-new-shape", mode, noise, Shuffled(Generate(factors)), _goal(None), 20)


@register_task("goal-finding-new-position")
def goal_finding_new_position(mode: str, noise: Noise) -> SpriteworldConfig:
    """One sprite, known by its hue, belongs in the middle; another one distracts; 20 steps. Trained with targets that
    begin anywhere but in the upper right quarter, tested with those that begin there."""
    start = AREA - CORNER if mode == TRAIN else CORNER
    target, distractor = Product((start, TARGET, LOOK)), Product((AREA, DISTRACTOR, LOOK))
    scenes = Shuffled(Chain((Generate(target), Generate(distractor))))
    return _config("goal-finding-new-position", mode, noise, scenes, _goal(TARGET), 20)


@register_task("goal-finding-more-distractors")
def goal_finding_more_distractors(mode: str, noise: Noise) -> SpriteworldConfig:
    """Two sprites belong in the middle, 20 steps. Trained with one distractor, tested with two."""
    scenes = _targets_and_distractors(2, 1 if mode == TRAIN else 2)
    return _config("goal-finding-more-distractors", mode, noise, scenes, _goal(TARGET), 20)


@register_task("goal-finding-more-targets")
def goal_finding_more_targets(mode: str, noise: Noise) -> SpriteworldConfig:
    """Sprites belong in the middle, two others distract, 20 steps. Trained with one target, tested with two."""
    scenes = _targets_and_distractors(1 if mode == TRAIN else 2, 2)
    return _config("goal-finding-more-targets", mode, noise, scenes, _goal(TARGET), 20)


@register_task("clustering")
def clustering(mode: str, noise: Noise) -> SpriteworldConfig:
    """Two sprites of each of two colours belong together, and apart from the others; 50 steps. Trained with blue and
    green, tested with red and yellow."""
    hues = tuple(HUES[name] for name in (("blue", "green") if mode == TRAIN else ("red", "yellow")))
    scenes = Shuffled(Chain(tuple(Generate(Product((AREA, LOOK, hue)), 2, 2) for hue in hues)))
    return _config("clustering", mode, noise, scenes, Clustering(clusters=hues), 50)


@register_task("sorting")
def sorting(mode: str, noise: Noise) -> SpriteworldConfig:
    """Two sprites of different colours belong each where its colour says; 50 steps. Trained with all pairs of the five
    colours but red and blue, tested with that one."""
    single = {name: Generate(Product((hue, AREA, LOOK))) for name, hue in HUES.items()}
    held_out, *seen = (Chain((single[one], single[other])) for one, other in itertools.combinations(HUES, 2))
    scenes = Shuffled(OneOf(tuple(seen)) if mode == TRAIN else held_out)
    goals = tuple(
        FindGoalPosition(filter=hue, goal=SORTED[name], terminate_distance=0.075, multiplier=20.0)
        for name, hue in HUES.items()
    )
    return _config("sorting", mode, noise, scenes, MetaAggregated(subtasks=goals), 50)


COBRA = tuple(TASKS)
"""The names of the seven tasks."""


def _config(name: str, mode: str, noise: Noise, generator: SceneGenerator, task: Task, steps: int) -> SpriteworldConfig:
    actions = SelectMove(scale=0.25, noise=noise)
    arena = Arena.Config(generator=generator, task=task, actions=actions, max_episode_length=steps)
    return SpriteworldConfig(name=name, mode=mode, arena=arena)


def _goal(targets: Distribution | None) -> FindGoalPosition:
    return FindGoalPosition(filter=targets, terminate_distance=0.075)


def _targets_and_distractors(targets: int, distractors: int) -> SceneGenerator:
    return Shuffled(
        Chain(
            (
                Generate(Product((TARGET, AREA, LOOK)), targets, targets),
                Generate(Product((DISTRACTOR, AREA, LOOK)), distractors, distractors),
            )
        )
    )


def _place(make: Maker) -> tuple[str, str]:
    return getattr(make, "__module__", ""), getattr(make, "__qualname__", repr(make))


def _known(what: str, name: str, choices: Any) -> str:
    """`name`, which must be one of the choices."""
    if name in choices:
        return name
    close = nearest(str(name), choices)
    hint = f", did you mean '{close}'?" if close else ""
    raise ConfigError(f"unknown {what} '{name}'{hint}", "one of " + ", ".join(choices))
