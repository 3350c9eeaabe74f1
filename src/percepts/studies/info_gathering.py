"""Active gathering of information (Ke et al. 2024): what do optimal and random explorers need, and what does memory do?

The worlds of the paper are known in words only: sizes, prompts and figures per model could not be read. What is here is
a generator of our own, with references that every agent, a language model or not, can be compared with. In text Alchemy
all players go through the same words that a language model would see.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from percepts.studies.study import Claim, Results, Scale, Study

if TYPE_CHECKING:
    from percepts.envs.feature_world.world import FeatureWorld

EPISODES, NOISY = 400, 600
LONG = 2000
"""A budget that ends no episode before the matter is decided."""
DIMENSIONS = ("colour", "shape", "texture", "size")
SIZES: dict[str, tuple[tuple[int, int], ...]] = {
    "single": ((2, 3), (2, 5), (2, 8), (3, 3), (3, 5), (3, 8)),
    "conjunction": ((2, 3), (2, 5), (2, 8), (3, 3), (3, 5), (3, 8), (4, 5)),
}
"""Numbers of dimensions and values of the worlds of each kind."""
ERRORS = (0.0, 0.1, 0.2)
"""Probabilities of a perception error in a test."""


def world(kind: str, dimensions: int, values: int, **settings: Any) -> FeatureWorld.Config:
    """A world whose hidden rule is of that kind."""
    from percepts.envs.feature_world.worlds import world_config

    return world_config(kind, dimensions=DIMENSIONS[:dimensions], values=values, budget=LONG, **settings)


def key(kind: str, dimensions: int, values: int) -> str:
    """The name of a world in the results."""
    return f"{kind}, {dimensions} dimensions of {values} values"


def feature_worlds(episodes: int, sizes: dict[str, tuple[tuple[int, int], ...]] = SIZES) -> dict[str, Any]:
    """Tests to identify the rule, by world and policy."""
    from percepts.agents.explorers.feature_policies import InformationGain, RandomTests
    from percepts.agents.explorers.feature_scores import paired_test, run_episodes

    policies = {
        "information gain": InformationGain,
        "random": RandomTests,
        "random, with repeats": partial(RandomTests, replacement=True),
    }
    found: dict[str, Any] = {}
    for kind, chosen in sizes.items():
        for dimensions, values in chosen:
            built = world(kind, dimensions, values).build()
            played = {
                name: run_episodes(built, make(built, seed=number), episodes, seed=0)
                for number, (name, make) in enumerate(policies.items())
            }
            row: dict[str, Any] = {"hypotheses": built.hypotheses, "objects": built.choices}
            row |= {name: [one.tests_taken.mean, one.tests_taken.error] for name, one in played.items()}
            row["p"] = paired_test(played["random"].tests, played["information gain"].tests, "greater").p
            found[key(kind, dimensions, values)] = row
    return found


def perception(episodes: int) -> dict[str, Any]:
    """Right conclusions where tests are misperceived, of all episodes and of those without an error."""
    from percepts.agents.explorers.feature_policies import InformationGain
    from percepts.agents.explorers.feature_scores import run_episodes

    found: dict[str, Any] = {}
    for kind, values in (("single", 5), ("conjunction", 3)):
        for error in ERRORS:
            built = world(kind, 3, values, noise=error).build()
            played = run_episodes(built, InformationGain(built, seed=0), episodes, seed=1)
            found[f"{kind}, {error:g}"] = {
                "accuracy": played.concluding_accuracy.mean,
                "without_error": played.rows(~played.erred).concluding_accuracy.mean,
                "tests": played.tests_taken.mean,
            }
    return found


def tests(results: Results, name: str, policy: str) -> float:
    """Mean tests of a policy in a world."""
    return float(results.across["worlds"][name][policy][0])


def ratio(results: Results, name: str) -> float:
    """Tests of the random policy for one of the optimal one."""
    return tests(results, name, "random") / tests(results, name, "information gain")


def _worlds_claims() -> tuple[Claim, ...]:
    rows = (("single", 4.7, 6.5, 1.4), ("conjunction", 16.5, 27.0, 1.7))
    claims: list[Claim] = []
    for kind, most, least, times in rows:
        name = key(kind, 3, 5)
        claims += [
            Claim(
                statement=f"{name}: tests by information gain",
                measure=partial(tests, name=name, policy="information gain"), threshold=most, at_most=True,
                paper="all models are near the optimum on single features (abstract)",
            ),
            Claim(
                statement=f"{name}: tests at random, without repeats",
                measure=partial(tests, name=name, policy="random"), threshold=least,
            ),
            Claim(statement=f"{name}: the second ÷ the first", measure=partial(ratio, name=name), threshold=times),
        ]  # fmt: skip
    flat = key("conjunction", 2, 5)
    claims += [
        Claim(statement=f"{flat}: the ratio, at least", measure=partial(ratio, name=flat), threshold=0.85),
        Claim(statement=f"{flat}: the ratio, at most", measure=partial(ratio, name=flat), threshold=1.15, at_most=True),
    ]
    return tuple(claims)


def _accuracy(results: Results, kind: str, error: float, name: str = "accuracy") -> float:
    return float(results.across["perception"][f"{kind}, {error:g}"][name])


def _perception_claims() -> tuple[Claim, ...]:
    claims: list[Claim] = []
    told = "errors of vision cost conclusions; without those episodes the model is better than a random actor (digest)"
    for kind, most in (("single", 0.88), ("conjunction", 0.78)):
        claims += [
            Claim(
                statement=f"{kind}: right conclusions without errors of perception",
                measure=partial(_accuracy, kind=kind, error=0.0), threshold=1.0,
            ),
            Claim(
                statement=f"{kind}: right conclusions with an error in a fifth of the tests",
                measure=partial(_accuracy, kind=kind, error=0.2), threshold=most, at_most=True, paper=told,
            ),
            Claim(
                statement=f"{kind}: the same, of the episodes without an error",
                measure=partial(_accuracy, kind=kind, error=0.2, name="without_error"), threshold=1.0, paper=told,
            ),
        ]  # fmt: skip
    return tuple(claims)


CLAIMS = (*_worlds_claims(), *_perception_claims())


def measure(folder: Path, episodes: int = EPISODES, noisy: int = NOISY) -> dict[str, Any]:
    """Everything, without a language model."""
    return {"worlds": feature_worlds(episodes), "perception": perception(noisy), "minutes": 0.0}


STUDY = Study(
    name="info_gathering",
    title="Active gathering of information: feature worlds and text Alchemy",
    presets={
        "tiny": Scale(seeds=(0,), agents=partial(measure, episodes=10, noisy=10)),
        "cpu": Scale(seeds=(0,), agents=measure, claims=CLAIMS),
    },
)
