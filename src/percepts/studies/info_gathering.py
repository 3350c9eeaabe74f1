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
    from percepts.report.plates import Plate

EPISODES, NOISY = 400, 600
PUBLISHED = 1000
"""Episodes of the paper's baselines (digest)."""
LONG = 2000
"""A budget that ends no episode before the matter is decided."""
DIMENSIONS = ("colour", "shape", "texture", "size")
SIZES: dict[str, tuple[tuple[int, int], ...]] = {
    "single": ((2, 3), (2, 5), (2, 8), (3, 3), (3, 5), (3, 8)),
    "conjunction": ((2, 3), (2, 5), (2, 8), (3, 3), (3, 5), (3, 8), (4, 5)),
}
"""Numbers of dimensions and values of the worlds of each kind."""
JUDGED = {"single": ((3, 5),), "conjunction": ((2, 5), (3, 5))}
"""Those that claims are about."""
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


GAMES, TRIALS, SWITCH = 120, 20, 10
"""Games of text Alchemy, their trials, and those before the silent switch of the chemistry."""
MEMORIES = {"forgets every trial": "forget", "carries, resets on contradiction": "reset", "carries on": "carry"}
NOTEBOOK = "rule notebook"


def text_alchemy(games: int, trials: int = TRIALS, switch: int = SWITCH) -> dict[str, Any]:
    """Programs that play through the words that a language model would see, by what they remember."""
    from percepts.agents.explorers.alchemy_scores import judge, judgement_json
    from percepts.agents.explorers.dialogue import play_text
    from percepts.agents.explorers.text_agents import text_player
    from percepts.envs.alchemy.text import TextAlchemy, text_table

    game = TextAlchemy.Config(table=text_table(trials, switch)).build()
    players = {name: text_player("sampling", game, memory) for name, memory in MEMORIES.items()}  # type: ignore[arg-type]
    players |= {NOTEBOOK: text_player("notebook", game), "random heuristic": text_player("random-heuristic", game)}
    return {
        name: judgement_json(judge(play_text(game, player, range(games)), switch)) for name, player in players.items()
    }


def judged(results: Results, player: str, name: str) -> float:
    """The mean of one of the numbers of `alchemy_scores.Judgement`."""
    return float(results.across["text"][player][name][0])


def _text_claims() -> tuple[Claim, ...]:
    forget, reset, carry = MEMORIES
    shapes = "the shape of models without a memory, with summaries, and of those that do not adapt (digest)"

    def one(words: str, player: str, name: str, threshold: float, at_most: bool = False) -> Claim:
        return Claim(
            statement=f"text Alchemy, who {words}",
            measure=partial(judged, player=player, name=name),
            threshold=threshold,
            at_most=at_most,
            paper=shapes,
        )

    late = f"mean of score ÷ oracle in the last half after the switch, {GAMES} games"
    return (
        one(f"{forget}: improvement, at least", forget, "improvement", -0.12),
        one(f"{forget}: improvement, at most", forget, "improvement", 0.12, at_most=True),
        one(f"{carry}: improvement before the switch", carry, "improvement", 0.25),
        one(f"{reset}: {late}", reset, "late_after", 0.88),
        one(f"{carry}: {late}", carry, "late_after", 0.40, at_most=True),
        one(f"{forget}: {late}, at least", forget, "late_after", 0.50),
        one(f"{forget}: {late}, at most", forget, "late_after", 0.66, at_most=True),
        Claim(
            statement=f"text Alchemy: the {NOTEBOOK} ÷ who {carry}, before the switch",
            measure=lambda results: judged(results, NOTEBOOK, "late") / judged(results, carry, "late"),
            threshold=0.80,
            paper="summaries are enough to improve (digest)",
        ),
    )


CLAIMS = (*_worlds_claims(), *_perception_claims(), *_text_claims())


def measure(
    folder: Path,
    episodes: int = EPISODES,
    noisy: int = NOISY,
    games: int = GAMES,
    trials: int = TRIALS,
    sizes: dict[str, tuple[tuple[int, int], ...]] = SIZES,
) -> dict[str, Any]:
    """Everything, without a language model."""
    return {
        "worlds": feature_worlds(episodes, sizes),
        "perception": perception(noisy),
        "text": text_alchemy(games, trials, trials // 2),
        "minutes": 0.0,
    }


def figures(results: Results) -> dict[str, Plate]:
    """Tests by world, and scores in text Alchemy by trial."""
    from percepts.studies.info_gathering_plates import tests_plate, text_plate

    return {"tests": tests_plate(results.across["worlds"]), "text": text_plate(results.across["text"], SWITCH)}


STUDY = Study(
    name="info_gathering",
    title="Active gathering of information: feature worlds and text Alchemy",
    presets={
        "tiny": Scale(
            seeds=(0,), agents=partial(measure, episodes=10, noisy=10, games=3, trials=4, sizes=JUDGED), figures=figures
        ),
        "cpu": Scale(seeds=(0,), agents=measure, claims=CLAIMS, figures=figures),
        "gpu": Scale(seeds=(0,), agents=measure, claims=CLAIMS, figures=figures),
        "paper": Scale(seeds=(0,), agents=partial(measure, episodes=PUBLISHED), claims=CLAIMS, figures=figures),
    },
)
