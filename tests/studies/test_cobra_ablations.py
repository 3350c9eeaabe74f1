"""The study of COBRA's ablations: its arms, what is measured of trained agents, and what its rows read."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from percepts.agents.cobra.agent import CobraAgent
from percepts.agents.cobra.exploration import Uniform
from percepts.agents.cobra.planning import OneStepSearch, SearchAgent
from percepts.agents.cobra.presets import FEWER, MANY
from percepts.agents.cobra.rewards import RewardModel
from percepts.agents.cobra.simulation import LearnedSimulation
from percepts.agents.cobra.slots import JoinedFactors, OracleFactors
from percepts.agents.cobra.transition import SlotTransition
from percepts.core.config import from_json, to_json
from percepts.core.errors import CapabilityError, ConfigError
from percepts.envs.spriteworld.configs import task_config
from percepts.report import plates
from percepts.studies import cobra_ablations_arms as arms_of
from percepts.studies import cobra_ablations_numbers as numbers
from percepts.studies.cobra_ablations import STUDY, TINY, Sizes, arms
from percepts.studies.cobra_ablations_arms import (
    CURIOUS,
    FLAT,
    PIXELS,
    POSITION,
    RANDOM,
    SORTING,
    TARGETS,
    TASKS,
    VECTOR,
    factor_arms,
    on_factors,
    on_pictures,
    picture_arms,
    tiny_on_factors,
    tiny_on_pictures,
)
from percepts.studies.cobra_ablations_figures import cost
from percepts.studies.cobra_ablations_measures import SWAPS, TESTS, dynamics_errors, searches, swapped
from percepts.studies.cobra_ablations_plates import Bars, bars_plate, search_plate
from percepts.studies.pipelines import shared_stages, train_pipelines
from percepts.studies.results import summarise
from percepts.studies.study import Results

SEEDS = ("0", "1")


def made(hit: float = 0.5, error: float = 0.3, sac: float = 0.1, **numbers: float) -> Results:
    """Results by hand: every arm alike, but for the random exploration, with two seeds."""
    whole = {**factor_arms(on_factors()), **picture_arms(on_pictures())}
    reach = numbers.get("reach", 0.95)
    pipelines: dict[str, Any] = {}
    for arm, config in whole.items():
        seen, chance = config.vision is not None, arm == RANDOM
        names = ["objects/seen"] if seen else ["/".join(test) for test in TESTS]
        run = {
            "exploration": [{"hit_fraction": 0.0}] * 3 + [{"hit_fraction": 0.05 if chance else hit}],
            "tested": dict.fromkeys(names, 0.6 if chance else error),
            "scores": {
                task: {"train": {"success": 0.9}, "test": {"success": 0.8}} for task in (config.tasks or [POSITION])
            },
            "curves": {
                task: {mode: [[100, 0.2], [200, reach], [1000, reach]] for mode in ("train", "test")}
                for task in config.tasks
            },
        }
        pipelines[arm] = dict.fromkeys(SEEDS, run)
    score = {"success": 0.7, "interval": [0.6, 0.8], "length": 9.0}
    swaps = {task: {name: {"train": score, "test": {**score, "success": 0.6}} for name in SWAPS}
             for task in (POSITION, SORTING)}  # fmt: skip
    rows = [
        {
            "search": type(planner).__name__,
            "candidates": planner.candidates,
            "proposal": planner.proposal,
            "horizon": getattr(planner, "horizon", 1),
            "noise": noise,
            **score,
            "success": min(1.0, planner.candidates / 100) - noise,
        }
        for planner in searches((10, 90, 100), 100)
        for noise in (0.0, 0.05)
    ]
    curves = {seed: {mode: [[2500, 0.0], [5000, sac]] for mode in ("train", "test")} for seed in SEEDS}
    across = {
        "pipelines": pipelines,
        "swaps": dict.fromkeys(SEEDS, swaps),
        "search": dict.fromkeys(SEEDS, rows),
        "model-free": {"steps": 5000, "curves": curves},
        "random": {POSITION: 0.05, SORTING: 0.0},
        "exploration": 25_600,
        "minutes": 1.0,
    }
    return Results({}, across)


@dataclass(frozen=True)
class Done:
    """The study at "tiny"."""

    results: Results
    folder: Path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("ablations")
    scale = STUDY.presets["tiny"]
    assert scale.agents is not None
    with contextlib.redirect_stdout(io.StringIO()):
        return Done(Results({}, scale.agents(folder)), folder)


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plates as small as can be: they are drawn, not looked at."""
    monkeypatch.setattr(plates, "DPI", 40)


def test_tiny_runs_from_end_to_end(done: Done) -> None:
    found = done.results.across
    size = Sizes(factors=tiny_on_factors, pictures=tiny_on_pictures, **TINY)
    assert [f"{arm}, seed 0" for arm in found["pipelines"]] == list(arms(size))
    assert found["pipelines"][PIXELS]["0"]["tested"].keys() == {"objects/seen"}
    assert found["pipelines"][VECTOR]["0"]["tested"].keys() == {"/".join(test) for test in TESTS}
    assert found["exploration"] == 64
    assert found["minutes"] > 0
    told = json.loads(json.dumps(summarise(STUDY, "tiny", done.results), allow_nan=False))
    assert told["minutes"] == round(found["minutes"], 1)
    assert STUDY.presets["tiny"].figures is not None
    drawn = STUDY.presets["tiny"].figures(done.results)
    assert drawn.keys() == {
        "exploration", "objects", "losses", "swaps", "search", "sprites", "cost", "losses-pictures", "vision",
    }  # fmt: skip
    assert all(plate.png.startswith(b"\x89PNG") and plate.caption for plate in drawn.values())
    for claim in STUDY.presets["gpu"].claims:
        assert isinstance(float(claim.measure(_measurable(done.results))), float)


def _measurable(results: Results) -> Results:
    """Without ratios of nothing: in so few actions none may hit."""
    pipelines = json.loads(json.dumps(results.across["pipelines"]))
    for run in (run for runs in pipelines.values() for run in runs.values()):
        for entry in run["exploration"]:
            entry["hit_fraction"] = max(0.01, entry["hit_fraction"])
    planners = results.across["search"]
    return Results({}, {**results.across, "pipelines": pipelines, "search": planners})


def test_pipelines_share_what_is_equal(done: Done) -> None:
    pipelines = done.results.across["pipelines"]
    folders = {arm: done.folder / runs["0"]["run"] for arm, runs in pipelines.items()}

    def weights(arm: str, stage: str) -> Path:
        return sorted((folders[arm] / stage).rglob("*.safetensors"))[0]

    assert weights(CURIOUS, "explore").samefile(weights(FLAT, "explore"))
    assert weights(PIXELS, "vision").samefile(weights(arms_of.PIXELS_NEAREST, "vision"))
    assert weights(PIXELS, "explore").read_bytes() != weights(arms_of.PIXELS_NEAREST, "explore").read_bytes()


def test_arms_differ_from_the_whole_in_one_thing() -> None:
    whole = on_factors()
    found = factor_arms(whole)
    settings = ("encoder", "exploration", "exploration_task")
    for arm, config in found.items():
        changed = {name for name in settings if getattr(config, name) != getattr(whole, name)}
        tasks = {task for task, phase in config.tasks.items() if phase != whole.tasks[task]}
        expected = {
            CURIOUS: set(),
            FLAT: set(),
            VECTOR: {"encoder", "exploration"},
            arms_of.VECTOR_OBJECTS: {"encoder", "exploration"},
            arms_of.FEWER_SPRITES: {"exploration_task"},
            arms_of.VECTOR_FEWER: set(settings),
        }
        assert changed == expected.get(arm, {"exploration"}), arm
        assert bool(tasks) == (arm in (FLAT, VECTOR, arms_of.VECTOR_OBJECTS)), arm
        assert config.exploration.steps == whole.exploration.steps
        assert from_json(to_json(config), CobraAgent.Config) == config
    assert len({shared_stages(config)["explore"] for config in found.values()}) == len(found) - 1


def test_pictures_share_one_vision_and_differ_in_the_loss() -> None:
    found = picture_arms(on_pictures())
    assert len({shared_stages(config)["vision"] for config in found.values()}) == 1
    assert len({shared_stages(config)["explore"] for config in found.values()}) == len(found)
    kinds = [found[arm].exploration.loss.kind for arm in (PIXELS, arms_of.PIXELS_HUNGARIAN, arms_of.PIXELS_NEAREST)]
    assert kinds == ["pixel", "hungarian", "nearest"]
    if arms_of.can_fine_tune():
        tuned = found[arms_of.TUNED].exploration
        assert tuned == dataclasses.replace(found[PIXELS].exploration, fine_tune=arms_of.FINE_TUNING)


def test_one_vector_reads_no_shapes() -> None:
    config = factor_arms(on_factors())[VECTOR]
    (head,) = config.tasks[TARGETS].reward.heads
    size = OracleFactors(config.encoder).latents
    assert head.reads is not None
    assert {number % size for number in head.reads} == set(arms_of.PLAIN)
    assert len(head.reads) == arms_of.SPRITES * len(arms_of.PLAIN)


def test_a_flat_head_refuses_another_number_of_objects(tmp_path: Path) -> None:
    """Without empty places to fill up it cannot begin with a task that has one target more when it is tested."""
    flat = factor_arms(tiny_on_factors())[FLAT]
    flat = dataclasses.replace(flat, encoder=OracleFactors.Config(), tasks={TARGETS: flat.tasks[TARGETS]})
    with contextlib.redirect_stdout(io.StringIO()):
        agent = CobraAgent.start(flat, tmp_path / "flat")
        agent.explore()
        with pytest.raises(ConfigError, match="slots for a flat reward head"):
            agent.train_task(TARGETS)


@pytest.mark.parametrize(("task", "numbers_of"), [(FEWER, {1, 2, 3}), (MANY, {4, 5, 6})])
def test_explorations_with_other_numbers_of_sprites(task: str, numbers_of: set[int]) -> None:
    sprites = task_config(task).arena.build().reset(range(200)).sprites
    assert set(sprites.present.sum(1).tolist()) == numbers_of


def still(encoder: Any) -> Any:
    """An agent whose transition model says that nothing ever moves."""
    built = encoder.build()
    transition = SlotTransition.Config(hidden=(4,), final_scale=0.0).build(latents=built.latents)
    config = SimpleNamespace(vision=None, seed=0, exploration_task="exploration")
    return SimpleNamespace(frozen=lambda: (built, transition, None), config=config, environment=task_config)


@pytest.mark.parametrize("encoder", [OracleFactors.Config(slots=6), JoinedFactors.Config()])
def test_a_model_of_nothing_has_the_error_of_nothing(encoder: Any) -> None:
    assert dynamics_errors(still(encoder), arenas=8) == pytest.approx({"/".join(test): 1.0 for test in TESTS}, abs=1e-5)


def planning(encoder: Any = None) -> Any:
    """An agent that learned nothing, with 150 candidates."""
    built = (encoder or OracleFactors.Config(slots=6)).build()
    torch.manual_seed(0)
    transition = SlotTransition.Config(hidden=(4,), final_scale=0.0).build(latents=built.latents)
    reward = RewardModel.Config().build(latents=built.latents, slots=6)
    proposals = Uniform.Config().build(latents=built.latents)
    searcher = SearchAgent(built, LearnedSimulation(transition, reward), proposals, OneStepSearch(candidates=150))
    return SimpleNamespace(
        agent=lambda task: searcher, config=SimpleNamespace(seed=0), environment=task_config, frozen=None
    )


def test_the_truth_solves_what_was_not_learned() -> None:
    found = swapped(planning(), "goal-finding-new-shape", episodes=6)
    success = {name: found[name]["train"]["success"] for name in SWAPS}
    assert success["both true"] == 1.0
    assert max(success["all learned"], success["true dynamics"], success["true reward"]) < 0.9
    assert success["all learned"] + success["true reward"] < 0.5
    assert found["both true"]["test"]["length"] < found["all learned"]["test"]["length"]


def test_one_vector_has_no_true_reward() -> None:
    with pytest.raises(CapabilityError, match="JoinedFactors"):
        swapped(planning(JoinedFactors.Config()), POSITION, episodes=1)


def test_searches_have_equal_budgets() -> None:
    found = searches((10, 3000), 300)
    near = [planner for planner in found if isinstance(planner, OneStepSearch)]
    assert {(one.candidates, one.proposal) for one in near} == {
        (size, proposal) for size in (10, 3000) for proposal in ("uniform", "policy", "mixed")
    }
    far = [planner for planner in found if not isinstance(planner, OneStepSearch)]
    assert sorted(planner.candidates * getattr(planner, "rounds", 1) for planner in far) == [300] * 4
    assert sorted(planner.horizon for planner in far) == [1, 1, 3, 3]  # type: ignore[attr-defined]


@pytest.mark.parametrize("preset", ["cpu", "gpu", "paper"])
def test_every_row_reads_a_number_and_three_are_judged(preset: str) -> None:
    claims = STUDY.presets[preset].claims
    assert len({claim.statement for claim in claims}) == len(claims)
    values = [claim.measure(made()) for claim in claims]
    assert all(math.isfinite(value) for value in values)
    assert [claim.holds(value) for claim, value in zip(claims, values) if claim.threshold is not None] == [True] * 3


@pytest.mark.parametrize("worse", [{"hit": 0.24}, {"hit": 0.19}, {"error": 0.46}])
def test_what_is_judged_can_fail(worse: dict[str, float]) -> None:
    verdicts = [claim.holds(claim.measure(made(**worse))) for claim in STUDY.presets["cpu"].claims]
    assert verdicts.count(False) == (2 if worse == {"hit": 0.19} else 1)


def test_readings_have_their_closed_forms() -> None:
    results = made()
    assert numbers.hits(results, CURIOUS) == [0.5, 0.5]
    assert numbers.worse(results, CURIOUS, POSITION) == pytest.approx(0.8)
    assert numbers.worse_swap(results, SORTING, SWAPS[0]) == pytest.approx(0.6)
    assert numbers.swap(results, SORTING, SWAPS[1], "length") == {"train": [9.0, 9.0], "test": [9.0, 9.0]}
    assert numbers.search(results, candidates=10, noise=0.05, proposal="uniform") == pytest.approx(0.05)
    assert numbers.over([1.0, 2.0], [2.0, 1.0]) == [0.5, 2.0]


def test_candidates_that_suffice() -> None:
    assert numbers.enough(made(), "uniform", 0.0) == 90
    assert numbers.enough(made(), "mixed", 0.05) == 100
    short = made()
    short.across["search"] = {"0": [row for row in short.across["search"]["0"] if row["candidates"] < 90]}
    assert math.isnan(numbers.enough(short, "uniform", 0.0))


def test_an_exploration_is_shared_by_the_tasks_that_it_serves() -> None:
    results = made()
    assert numbers.rewarded(results, CURIOUS, SORTING) == 200
    assert numbers.per_task(results, CURIOUS) == 25_600 / len(TASKS) + 200
    assert numbers.per_task(results, RANDOM) == 25_600 + 200
    # 25 600 / n + 200 < 5000 from the sixth task on.
    assert numbers.worthwhile(results, CURIOUS) == 6
    unsolved = made(reach=0.89)
    assert numbers.solved_tasks(unsolved, CURIOUS) == []
    assert math.isnan(numbers.per_task(unsolved, CURIOUS))
    assert math.isnan(numbers.worthwhile(unsolved, CURIOUS))


def test_a_learner_that_does_its_task_is_not_beaten_by_its_budget() -> None:
    assert numbers.learner_steps(made(sac=0.95)) == 5000
    assert math.isnan(numbers.learner_steps(made()))
    assert math.isnan(numbers.worthwhile(made(sac=0.95), CURIOUS))
    without = made()
    without.across["model-free"]["curves"] = {}
    assert math.isnan(numbers.worthwhile(without, CURIOUS))
    assert math.isnan(numbers.learner_success(without))


def test_one_seed_that_fails_is_not_averaged_away() -> None:
    results = made()
    failed = json.loads(json.dumps(results.across["pipelines"][CURIOUS]["0"]))
    failed["curves"][POSITION]["train"] = [[100, 0.2], [1000, 0.5]]
    results.across["pipelines"][CURIOUS]["1"] = failed
    assert math.isnan(numbers.rewarded(results, CURIOUS, POSITION))
    assert len(numbers.solved_tasks(results, CURIOUS)) == len(TASKS) - 1


def test_what_an_exploration_costs_is_drawn_beside_the_learner_without_one() -> None:
    drawn = cost(made())
    assert drawn.alt.endswith("COBRA, curious exploration, COBRA, random exploration, soft actor-critic")
    assert cost(made(reach=0.5)).alt.endswith(": soft actor-critic")
    nothing = made(reach=0.5)
    nothing.across["model-free"]["curves"] = {}
    assert "nothing that it costs" in cost(nothing).alt


def test_plates_of_nothing_say_so() -> None:
    nothing = bars_plate([Bars("empty", "share", {})], "none")
    assert nothing.alt == "Nothing was measured here."
    assert search_plate([], "none").alt == "No search was tried."
    holed = bars_plate([Bars("holed", "share", {"arm": {"": [math.nan]}, "other": {"": [0.0, 0.0]}})], "with a hole")
    assert holed.alt == "holed: arm, other"


def test_no_arm_is_trained_again(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("percepts.agents.cobra.agent.stages._carry_out", None)
    size = Sizes(factors=tiny_on_factors, pictures=tiny_on_pictures, **TINY)
    with contextlib.redirect_stdout(io.StringIO()):
        again = train_pipelines(arms(size), done.folder, workers=0)
    assert {agent.path.name for agent in again.values()} == {
        runs["0"]["run"] for runs in done.results.across["pipelines"].values()
    }
