"""The tasks of COBRA and the examples: the published numbers, what is held out, the registry."""

from __future__ import annotations

import itertools
import json
import pickle
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from scipy import stats
from torch import Tensor

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError
from percepts.data.distributions import Continuous
from percepts.envs.spriteworld.actions import Embodied, SelectMove
from percepts.envs.spriteworld.configs import (
    COBRA,
    HUES,
    PAPER_NOISE,
    SORTED,
    TASKS,
    Noise,
    SpriteworldConfig,
    cobra_task,
    register_task,
    task_config,
)
from percepts.envs.spriteworld.examples import goal_finding_clustering
from percepts.envs.spriteworld.generators import Generate
from percepts.envs.spriteworld.observations import Observer
from percepts.envs.spriteworld.state import FACTORS, SHAPES, Sprites
from percepts.envs.spriteworld.tasks import Clustering, FindGoalPosition, MetaAggregated, NoReward
from percepts.envs.streams import Streams

MANY = 1200
NAMES = list(SHAPES)
BOTH = ("train", "test")
EVERY = [(name, mode) for name in TASKS for mode in TASKS[name].modes]


def scenes(config: SpriteworldConfig, count: int = MANY) -> tuple[dict[str, Tensor], Tensor]:
    """The factors of many scenes by name, and which sprites exist."""
    factors, present, _ = config.arena.generator.sample(Streams.of(range(count)))
    return dict(zip(FACTORS, factors.unbind(-1))), present


def within(values: Tensor, low: float, high: float) -> bool:
    return bool(((values >= low) & (values < high)).all())


def colours(config: SpriteworldConfig) -> Counter[frozenset[str]]:
    """How often which colours come together."""
    found, present = scenes(config)
    assert present.all()
    which = torch.stack([(found["c0"] >= hue.low) & (found["c0"] < hue.high) for hue in HUES.values()], -1)
    assert (which.sum(-1) == 1).all()
    return Counter(frozenset(list(HUES)[one] for one in row) for row in which.int().argmax(-1).tolist())


def test_there_are_seven_tasks() -> None:
    assert COBRA == (
        "exploration", "goal-finding-new-shape", "goal-finding-new-position", "goal-finding-more-distractors",
        "goal-finding-more-targets", "clustering", "sorting",
    )  # fmt: skip
    assert tuple(TASKS)[:7] == COBRA


@pytest.mark.parametrize(
    ("name", "sprites", "steps"),
    [
        ("exploration", ((1, 6), (1, 6)), 10),
        ("goal-finding-new-shape", ((1, 1), (1, 1)), 20),
        ("goal-finding-new-position", ((2, 2), (2, 2)), 20),
        ("goal-finding-more-distractors", ((3, 3), (4, 4)), 20),
        ("goal-finding-more-targets", ((3, 3), (4, 4)), 20),
        ("clustering", ((4, 4), (4, 4)), 50),
        ("sorting", ((2, 2), (2, 2)), 50),
    ],
)
def test_what_the_tasks_have_in_common(name: str, sprites: tuple, steps: int) -> None:
    for mode, numbers in zip(BOTH, sprites):
        config = cobra_task(name, mode)
        assert (config.name, config.mode) == (name, mode)
        assert config.arena.actions == SelectMove(scale=0.25)
        assert config.arena.max_episode_length == steps
        assert config.arena.keep_in_frame
        assert not config.arena.reject_solved_start
        assert config.observer == Observer(renderer="exact", height=64, width=64, supersampling=5, colours="hsv")
        assert (config.arena.generator.least, config.arena.generator.most) == numbers
        found, present = scenes(config)
        there = {factor: values[present] for factor, values in found.items()}
        assert within(there["x"], 0.1, 0.9)
        assert within(there["y"], 0.1, 0.9)
        assert set(there["scale"].tolist()) == {0.13}
        assert within(there["c1"], 0.3, 1.0)
        assert within(there["c2"], 0.9, 1.0)
        assert not any(there[still].any() for still in ("angle", "x_vel", "y_vel"))
        for factor, (low, high) in {"c1": (0.3, 1.0), "c2": (0.9, 1.0)}.items():
            assert stats.kstest(there[factor].numpy(), "uniform", (low, high - low)).pvalue > 1e-3
        if name != "goal-finding-new-shape":
            counts = Counter(there["shape"].tolist())
            assert set(counts) == {1.0 + NAMES.index(shape) for shape in ("square", "triangle", "circle")}
            assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_exploration() -> None:
    config = cobra_task("exploration")
    assert config.arena.task == NoReward()
    assert replace(cobra_task("exploration", "test"), mode="train") == config
    found, present = scenes(config)
    assert stats.kstest(found["c0"][present].numpy(), "uniform").pvalue > 0.01
    assert stats.chisquare(torch.bincount(present.sum(1))[1:].numpy()).pvalue > 0.01


def test_new_shape() -> None:
    train, test = (cobra_task("goal-finding-new-shape", mode) for mode in BOTH)
    assert train.arena.task == test.arena.task == FindGoalPosition(terminate_distance=0.075, multiplier=50.0)
    assert set(scenes(train)[0]["shape"].flatten().tolist()) == {1.0 + NAMES.index("square")}
    counts = Counter(scenes(test)[0]["shape"].flatten().tolist())
    assert set(counts) == {1.0 + NAMES.index(name) for name in ("triangle", "circle")}
    assert stats.chisquare(list(counts.values())).pvalue > 0.01
    assert within(scenes(train)[0]["c0"], 0.0, 0.4)


def test_new_position() -> None:
    for mode in BOTH:
        config = cobra_task("goal-finding-new-position", mode)
        assert config.arena.task == FindGoalPosition(filter=Continuous("c0", 0.0, 0.4), terminate_distance=0.075)
        found, _ = scenes(config)
        target = found["c0"] < 0.4
        assert (target.sum(1) == 1).all()
        assert within(found["c0"][~target], 0.5, 0.9)
        corner = (found["x"] >= 0.5) & (found["y"] >= 0.5)
        assert (corner[target] == (mode == "test")).all()
        assert 0.2 < float(corner[~target].double().mean()) < 0.3


@pytest.mark.parametrize(
    ("name", "targets", "distractors"),
    [("goal-finding-more-distractors", (2, 2), (1, 2)), ("goal-finding-more-targets", (1, 2), (2, 2))],
)
def test_more_of_them(name: str, targets: tuple, distractors: tuple) -> None:
    for mode, wanted, others in zip(BOTH, targets, distractors):
        config = cobra_task(name, mode)
        assert config.arena.task == FindGoalPosition(filter=Continuous("c0", 0.0, 0.4), terminate_distance=0.075)
        found, _ = scenes(config)
        assert ((found["c0"] < 0.4).sum(1) == wanted).all()
        assert (((found["c0"] >= 0.5) & (found["c0"] < 0.9)).sum(1) == others).all()


def test_clustering() -> None:
    for mode, pair in zip(BOTH, (("blue", "green"), ("red", "yellow"))):
        config = cobra_task("clustering", mode)
        task = config.arena.task
        assert task == Clustering(clusters=tuple(HUES[name] for name in pair))
        assert isinstance(task, Clustering)
        assert (task.termination_threshold, task.reward_range, task.terminate_bonus) == (2.5, 10.0, 0.0)
        assert set(colours(config)) == {frozenset(pair)}
        found, present = scenes(config)
        factors = torch.stack([found[name] for name in FACTORS], -1)
        assert (task.members(Sprites.of(factors, present)).sum(-1) == 2).all()


def test_sorting() -> None:
    train, test = (cobra_task("sorting", mode) for mode in BOTH)
    assert set(colours(test)) == {frozenset(("red", "blue"))}
    counts = colours(train)
    assert set(counts) == {frozenset(pair) for pair in itertools.combinations(HUES, 2)} - {frozenset(("red", "blue"))}
    assert stats.chisquare(list(counts.values())).pvalue > 0.01
    task = train.arena.task
    assert task == test.arena.task
    assert isinstance(task, MetaAggregated)
    assert (task.reward_aggregator, task.termination_criterion, task.terminate_bonus) == ("sum", "all", 0.0)
    goals = {
        "red": (0.75, 0.75),
        "blue": (0.75, 0.25),
        "green": (0.25, 0.75),
        "purple": (0.25, 0.25),
        "yellow": (0.5, 0.5),
    }
    assert goals == SORTED
    assert task.subtasks == tuple(
        FindGoalPosition(filter=HUES[name], goal=goal, terminate_distance=0.075, multiplier=20.0)
        for name, goal in goals.items()
    )


def test_hues_are_those_of_the_specification() -> None:
    assert {name: (hue.low, hue.high) for name, hue in HUES.items()} == {
        "red": (0.9, 1.0), "blue": (0.55, 0.65), "green": (0.27, 0.37), "purple": (0.73, 0.83), "yellow": (0.1, 0.2),
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name in COBRA if name not in ("exploration", "goal-finding-new-shape")])
def test_any_sprite_may_hide_any_other(name: str) -> None:
    found, _ = scenes(cobra_task(name))
    # The sprites come in groups of other hues: the front one is of the lowest hue as often as the hindmost.
    lowest = found["c0"] == found["c0"].amin(1, keepdim=True)
    assert stats.chisquare(lowest.sum(0).numpy()).pvalue > 1e-3


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("goal-finding-new-shape", 0.033, 0.027), ("goal-finding-new-position", 0.027, 0.033),
        ("goal-finding-more-targets", 0.023, 0.0), ("goal-finding-more-distractors", 0.003, 0.0),
        ("clustering", 0.037, 0.037), ("sorting", 0.0, 0.0),
    ],
)  # fmt: skip
def test_starts_are_solved_as_often_as_measured_with_the_package(name: str, train: float, test: float) -> None:
    # Measured over 300 episodes: a share of 0.03 has a standard error of 0.01, and ours of 0.004.
    for mode, share in zip(BOTH, (train, test)):
        solved = cobra_task(name, mode).arena.build().reset(range(2000)).solved_at_start
        assert abs(float(solved.double().mean()) - share) < 0.02


def test_noise_is_a_preset() -> None:
    assert PAPER_NOISE == 0.05
    for name in COBRA:
        assert cobra_task(name).arena.actions == SelectMove(scale=0.25, noise=None)
        assert cobra_task(name, noise=PAPER_NOISE).arena.actions == SelectMove(scale=0.25, noise=0.05)
    vector = cobra_task("sorting", "test", noise=(0.1, 0.1, 0.0, 0.0))
    assert vector.arena.actions == SelectMove(scale=0.25, noise=(0.1, 0.1, 0.0, 0.0))
    with pytest.raises(ConfigError):
        cobra_task("sorting", noise=-0.1)


def test_the_example_of_clusters_and_edges() -> None:
    for mode in BOTH:
        config = task_config("goal-finding-clustering", mode)
        assert config.observer.colours == "rgb"
        assert config.arena.actions == SelectMove(scale=0.5)
        assert config.arena.max_episode_length == 50
        assert (config.arena.generator.least, config.arena.generator.most) == (8, 12)
        found, present = scenes(config, 600)
        shape = {name: (found["shape"] == 1.0 + NAMES.index(name)) & present for name in NAMES}
        for name in ("triangle", "square", "pentagon"):
            assert (shape[name].sum(1) == 2).all()
            assert within(found["c0"][shape[name]], *((128, 256) if mode == "train" else (0, 128)))
        assert set(shape["circle"].sum(1).tolist()) == {0, 1, 2}
        sent = shape["spoke_4"] | shape["star_4"]
        red = sent & (found["c0"] >= 192) & (found["c1"] < 128)
        green = sent & (found["c0"] < 128) & (found["c1"] >= 192)
        assert torch.equal(red | green, sent)
        assert set(red.sum(1).tolist()) == set(green.sum(1).tolist()) == {1, 2}
        middle = (found["scale"] >= 0.08) & (found["scale"] < 0.12)
        assert (middle[sent] == (mode == "test")).all()
        assert middle[present & ~sent].all()
        assert within(found["angle"][present], 0, 360)
        assert float(found["angle"][present].max()) > 300


def test_the_example_with_a_body() -> None:
    config = task_config("goal-finding-embodied")
    assert config.arena.actions == Embodied(step_size=0.05)
    assert replace(task_config("goal-finding-embodied", "test"), mode="train") == config
    found, present = scenes(config)
    last = present.sum(1) - 1
    body = {name: values[torch.arange(MANY), last] for name, values in found.items()}
    assert set(body["scale"].tolist()) == {0.07}
    assert set(body["shape"].tolist()) == {1.0 + NAMES.index("circle")}
    assert (body["c1"] == 0).all()
    small = (found["scale"] == 0.07) & present
    assert (small.sum(1) == 1).all()
    targets = ((found["c0"] < 0.4) & present).sum(1)
    assert set(targets.tolist()) == {1, 2, 3}
    assert set((present.sum(1) - 1 - targets).tolist()) == {1, 2, 3}
    with pytest.raises(ConfigError, match="noise"):
        task_config("goal-finding-embodied", noise=0.05)


@pytest.mark.parametrize(("name", "mode"), EVERY)
def test_configurations_go_through_json_and_pickles(name: str, mode: str) -> None:
    config = task_config(name, mode)
    assert from_json(json.loads(json.dumps(to_json(config))), SpriteworldConfig) == config
    used = config.arena.build()
    used.reset([0])
    assert pickle.loads(pickle.dumps(config)) == config
    again = pickle.loads(pickle.dumps(config)).arena.build()
    assert torch.equal(again.reset([3, 4]).sprites.factors, used.reset([3, 4]).sprites.factors)


@pytest.mark.parametrize(("name", "mode"), EVERY)
def test_scenes_do_not_depend_on_the_batch(name: str, mode: str) -> None:
    arena = task_config(name, mode).arena.build()
    together, alone = arena.reset(range(64)), arena.reset([63])
    there = alone.sprites.present
    assert torch.equal(together.sprites.rows([63]).factors, alone.sprites.factors)
    assert torch.equal(together.sprites.rows([63]).body[there], alone.sprites.body[there])


def test_what_is_seen_can_be_changed() -> None:
    config = task_config("sorting", renderer="fast", keys=("image", "factors"))
    assert config.observer == Observer(renderer="fast", keys=("image", "factors"))
    assert task_config(config, supersampling=1).observer.supersampling == 1
    assert task_config(config) == config
    with pytest.raises(ConfigError, match=r"unknown setting 'render', did you mean 'renderer'\?"):
        task_config("sorting", render="fast")
    with pytest.raises(ConfigError, match="height = 0"):
        task_config("sorting", height=0)
    with pytest.raises(ConfigError, match=r"noise = 0\.1 beside a whole configuration"):
        task_config(config, noise=0.1)


def test_unknown_tasks_and_modes_are_told_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown task 'sortin', did you mean 'sorting'\?"):
        task_config("sortin")
    with pytest.raises(
        ConfigError, match=r"unknown task of COBRA 'goal_finding_new_shape', did you mean 'goal-finding-"
    ):
        cobra_task("goal_finding_new_shape")
    with pytest.raises(ConfigError, match="unknown task of COBRA 'goal-finding-embodied'"):
        cobra_task("goal-finding-embodied")
    with pytest.raises(ConfigError, match=r"unknown mode of sorting 'tests', did you mean 'test'\?"):
        cobra_task("sorting", "tests")
    with pytest.raises(ConfigError, match="expected one of train, test"):
        cobra_task("exploration", "validation")


@pytest.fixture
def registry() -> Iterator[None]:
    """Tasks that a test registers are forgotten."""
    before = dict(TASKS)
    yield
    TASKS.clear()
    TASKS.update(before)


@pytest.mark.usefixtures("registry")
def test_tasks_of_ones_own_are_registered() -> None:
    @register_task("gather-2", modes=("easy", "hard"))
    def gather(mode: str, noise: Noise) -> SpriteworldConfig:
        base = task_config("goal-finding-new-shape", noise=noise)
        area = Continuous("x", 0.0, 1.0 if mode == "hard" else 0.5)
        return replace(base, arena=replace(base.arena, generator=Generate(area, 0, 3)))

    config = task_config("gather-2", "easy", noise=0.1, renderer="fast")
    assert (config.name, config.mode) == ("gather-2", "easy")
    assert config.arena.actions == SelectMove(scale=0.25, noise=0.1)
    assert config.arena.generator == Generate(Continuous("x", 0.0, 0.5), 0, 3)
    with pytest.raises(ConfigError, match="unknown mode of gather-2 'train'"):
        task_config("gather-2")
    assert register_task("gather-2", ("easy",))(gather) is gather
    assert TASKS["gather-2"].modes == ("easy",)
    with pytest.raises(ConfigError, match="a second task called 'gather-2'"):
        register_task("gather-2")(goal_finding_clustering)
    for name in ("Gather", "gather 2", "gather--2", ""):
        with pytest.raises(ConfigError, match="lower-case words"):
            register_task(name)
    with pytest.raises(ConfigError, match="without modes"):
        register_task("gather-3", modes=())
