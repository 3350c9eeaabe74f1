"""Nine hand-made episodes that tell what an agent has understood of Alchemy.

    table = probe_agents({"level 3": lambda table: LevelK(table, 3), "mine": MyAgent}, runs=20)
    table["mine"]["deduce-pairs"].rate, table["mine"]["deduce-pairs"].significant

They are those of dm_alchemy's notebook. Each is played twenty times; whether an agent passes it more often than a model
that lacks what is probed, its null model, is told by a two-proportion z-test. Maps are identities and, but for the last
one, there are no bottlenecks: latent numbers are what is seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from percepts.agents.agent import Agent
from percepts.agents.alchemy.bots import RandomHeuristic, UniformRandom
from percepts.agents.alchemy.cognitive import LevelK, ModelFree
from percepts.agents.alchemy.playing import play
from percepts.core.errors import ConfigError, nearest
from percepts.core.random import derive_seed
from percepts.envs.alchemy.chemistry import NO_BOTTLENECK, Constraints, graph_number
from percepts.envs.alchemy.events import BANKED, Events, Ordered, SingleEvent, event_matrices
from percepts.envs.alchemy.levels import IDENTITY
from percepts.envs.alchemy.table import Table, Trial

RUNS = 20
SIGNIFICANCE = 0.05
STONES, POTIONS = range(3), frozenset(range(12))
GOLD_SCORE = 45
"""Of three stones that are worth 15."""

MakeAgent = Callable[[Table], Agent]
Passes = Callable[[Events, Float32[Tensor, "runs trials"]], Bool[Tensor, " runs"]]

MODELS: dict[str, MakeAgent] = {
    "model-free": ModelFree,
    "level 0": lambda table: LevelK(table, 0),
    "level 1": lambda table: LevelK(table, 1),
    "level 2": lambda table: LevelK(table, 2),
    "level 3": lambda table: LevelK(table, 3),
    "uniform random": UniformRandom,
    "random heuristic": RandomHeuristic,
}
"""The notebook's models by name; its ideal observer is left to be handed over, as any other agent is."""

NOISES = (0.1, 0.25, 0.5, 0.75, 0.9)
NOISY_MODELS: dict[str, MakeAgent] = {
    f"level 3, noise {noise:g}": lambda table, noise=noise: LevelK(table, 3, noise=noise)  # type: ignore[misc]
    for noise in NOISES
}
"""Level 3 with actions that go astray: what a trained agent may look like."""


@dataclass(frozen=True)
class Microprobe:
    """A probe.

    Attributes:
        name: for programs; title: for people.
        asks: what it takes to pass.
        trials: latent stones and potions.
        null: name of the model in `MODELS` that lacks it.
        passes: whether runs pass, by their events [runs, trials, stones, potions + 1] and scores.
        constraints: of the graph.
    """

    name: str
    title: str
    asks: str
    trials: tuple[Trial, ...]
    null: str
    passes: Passes
    constraints: Constraints = NO_BOTTLENECK

    def table(self) -> Table:
        """The table that it is played on. Its level is the one whose prior agents know, without rotations."""
        chemistry = (graph_number(self.constraints), IDENTITY, IDENTITY, 0)
        return Table.Config(
            level="random-bottleneck", trials=len(self.trials), chemistry=chemistry, items=self.trials
        ).build()


@dataclass(frozen=True)
class ProbeResult:
    """How often an agent passed a probe, beside the null model.

    Attributes:
        passed, runs: of the agent.
        null_passed, null_runs: of the null model.
        z: of the difference; 0 where neither ever passes, or both always do.
        p: that the agent is not better, one-sided.
    """

    passed: int
    runs: int
    null_passed: int
    null_runs: int
    z: float = field(init=False)
    p: float = field(init=False)

    def __post_init__(self) -> None:
        z, p = two_proportions(self.passed, self.runs, self.null_passed, self.null_runs)
        object.__setattr__(self, "z", z)
        object.__setattr__(self, "p", p)

    @property
    def rate(self) -> float:
        """Of runs that passed."""
        return self.passed / self.runs

    @property
    def significant(self) -> bool:
        """Whether the agent is better than the null model at the 5 % level."""
        return self.p < SIGNIFICANCE


def probe_agents(
    agents: Mapping[str, MakeAgent] = MODELS,
    probes: Sequence[Microprobe] | None = None,
    *,
    runs: int = RUNS,
    seed: int = 0,
) -> dict[str, dict[str, ProbeResult]]:
    """Results by agent and probe.

    Args:
        agents: what makes an agent for a table, by name.
        probes: all nine by default.
        runs: of every agent, and of the null model, in each probe.
        seed: of all choices; no two agents and probes share any.

    Raises:
        ConfigError: no runs.
    """
    if runs < 1:
        raise ConfigError(f"runs = {runs}", "1 or more")
    found: dict[str, dict[str, ProbeResult]] = {name: {} for name in agents}
    for probe in PROBES.values() if probes is None else probes:
        null = run_probe(probe, MODELS[probe.null], runs=runs, seed=derive_seed(seed, probe.name, "null model"))
        for name, make in agents.items():
            passed = run_probe(probe, make, runs=runs, seed=derive_seed(seed, probe.name, name))
            found[name][probe.name] = ProbeResult(int(passed.sum()), runs, int(null.sum()), runs)
    return found


def run_probe(probe: Microprobe, make: MakeAgent, *, runs: int = RUNS, seed: int = 0) -> Bool[Tensor, " runs"]:
    """Whether an agent passed, in every run."""
    table = probe.table()
    # Seeds below 2^32 serve NumPy's old generators, too.
    played = play(make(table), table, [derive_seed(seed, run) % (1 << 32) for run in range(runs)])
    assert played.recording is not None
    return probe.passes(event_matrices(played.recording), played.scores)


def two_proportions(
    passed: int, runs: int, other_passed: int, other_runs: int, alternative: Literal["larger", "two-sided"] = "larger"
) -> tuple[float, float]:
    """z and p of the difference of two proportions, by their pooled variance.

    Raises:
        ConfigError: no runs, or more passed than there are.
    """
    if not (0 <= passed <= runs and 0 <= other_passed <= other_runs and runs and other_runs):
        raise ConfigError(f"{passed} of {runs} and {other_passed} of {other_runs}", "no more passed than run, some run")
    pooled = (passed + other_passed) / (runs + other_runs)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / runs + 1 / other_runs))
    z = (passed / runs - other_passed / other_runs) / deviation if deviation > 0 else 0.0
    above = 0.5 * math.erfc(z / math.sqrt(2))
    return z, above if alternative == "larger" else math.erfc(abs(z) / math.sqrt(2))


def probe_named(name: str) -> Microprobe:
    """A probe by its name.

    Raises:
        ConfigError: there is none.
    """
    if name not in PROBES:
        close = nearest(name, PROBES)
        raise ConfigError(
            f"unknown microprobe '{name}'" + (f", did you mean '{close}'?" if close else ""),
            "one of " + ", ".join(PROBES),
        )
    return PROBES[name]


def avoid_bad_potions(mixed: bool = False) -> Microprobe:
    """Potions that made stones bad in the first trial are left alone in the second.

    Args:
        mixed: whether there are three kinds of stones and of potions.
    """
    stones, potions = ((6, 5, 3), _several((0, 4), (2, 4), (4, 4))) if mixed else ((6, 6, 6), _several((2, 12)))
    return Microprobe(
        name="avoid-bad-potions",
        title="Avoid bad potions",
        asks="in the second trial all stones are banked and no potion is used",
        trials=((stones, potions),) * 2,
        null="uniform random",
        passes=lambda events, scores: _banked_untouched(events[:, 1]),
    )


def _several(*kinds: tuple[int, int]) -> tuple[int, ...]:
    """So many of each kind."""
    return tuple(kind for kind, count in kinds for _ in range(count))


def _banked_untouched(events: Events) -> Bool[Tensor, " runs"]:
    """All stones are banked and no potion is used."""
    used = torch.stack([SingleEvent(stone, POTIONS).occurs(events) for stone in STONES]).any(0)
    return torch.stack([SingleEvent(stone, BANKED).occurs(events) for stone in STONES]).all(0) & ~used


def _dipped_and_banked(events: Events, good: Sequence[frozenset[int]]) -> Bool[Tensor, " runs"]:
    """Every stone meets one of its good potions, then the cauldron, and no other potion."""
    found = []
    for stone, potions in zip(STONES, good):
        right = Ordered((SingleEvent(stone, potions), SingleEvent(stone, BANKED))).occurs(events)
        found.append(right & ~SingleEvent(stone, POTIONS - potions).occurs(events))
    return torch.stack(found).all(0)


def _only_positive(events: Events, scores: Tensor) -> Bool[Tensor, " runs"]:
    """Positive stones, and no other ones, are banked in both trials."""
    first, second = (
        torch.stack([SingleEvent(stone, BANKED).occurs(events[:, trial]) for stone in STONES], 1) for trial in (0, 1)
    )
    wanted = torch.tensor([True, True, False]), torch.tensor([True, False, False])
    return (first == wanted[0]).all(1) & (second == wanted[1]).all(1)


def _at_once_again(events: Events, scores: Tensor) -> Bool[Tensor, " runs"]:
    """One of the two events after stone 0 or 1 first met one of potions 0 to 3 is another stone meeting one of them."""
    trial, good = events[:, 0], frozenset(range(4))
    first = torch.stack([SingleEvent(stone, good).occurrence(trial).start for stone in (0, 1)], 1)
    order, stone = torch.where(first < 0, trial.numel() + 1, first).min(1)
    # Banking that stone may come between; so may anything else, as in the original.
    again = (trial[..., :4] == order[:, None, None] + 1) | (trial[..., :4] == order[:, None, None] + 2)
    other = torch.arange(trial.shape[1]) != stone[:, None]
    return (again.any(2) & other).any(1)


def _probes() -> tuple[Microprobe, ...]:
    """In the notebook's order."""
    a, b, c = frozenset(range(4)), frozenset(range(4, 8)), frozenset(range(8, 12))
    six, last_six, three = frozenset(range(6)), frozenset(range(6, 12)), frozenset(range(3))
    gold, no_x, no_y, no_z = (7,) * 3, (6,) * 3, (5,) * 3, (3,) * 3
    x_up = _several((1, 12))
    return (
        Microprobe(
            "put-gold-stone", "Put gold stone", "all gold stones are banked and no potion is used",
            ((gold, _several((0, 4), (2, 4), (4, 4))),),
            "uniform random", lambda events, scores: _banked_untouched(events[:, 0]),
        ),
        Microprobe(
            "all-value-stones", "All value stones", "positive stones are banked and negative ones are not",
            (((7, 3, 1), x_up), ((3, 1, 0), x_up)), "uniform random", _only_positive,
        ),
        avoid_bad_potions(),
        Microprobe(
            "same-stone", "Potion effect, same stone", "what a potion did to a stone is done again in the next trial",
            ((gold, x_up), (no_x, x_up), (no_x, _several((1, 6), (4, 6)))),
            "random heuristic", lambda events, scores: _dipped_and_banked(events[:, 2], (six,) * 3),
        ),
        Microprobe(
            "one-shot", "One-shot learning", "what was seen to help is done to another stone within two actions",
            (((6, 6, 2), _several((1, 4), (0, 8))),), "random heuristic", _at_once_again,
        ),
        Microprobe(
            "different-stone", "Potion effect, different stone", "what a potion did to a stone is done to another kind",
            ((gold, x_up), ((4,) * 3, x_up), (no_x, _several((4, 6), (1, 6)))),
            "level 1", lambda events, scores: _dipped_and_banked(events[:, 2], (last_six,) * 3),
        ),
        Microprobe(
            "three-trials-back", "Potion effect, three trials back", "what a potion did is remembered for three trials",
            (
                ((4,) * 3, x_up),
                (no_y, _several((3, 6), (2, 6))),
                (no_z, _several((5, 6), (4, 6))),
                (no_x, _several((1, 3), (0, 1), (3, 2), (2, 2), (5, 2), (4, 2))),
            ),
            "level 1", lambda events, scores: _dipped_and_banked(events[:, 3], (three,) * 3),
        ),
        Microprobe(
            "deduce-pairs", "Deduce potion pairs", "of a potion it is concluded what its opposite does",
            (
                (no_z, _several((0, 12))), (no_x, _several((2, 12))), (no_y, _several((4, 12))),
                ((6, 5, 3), _several((1, 4), (3, 4), (5, 4))),
            ),
            "level 2", lambda events, scores: _dipped_and_banked(events[:, 3], (a, b, c)),
        ),
        Microprobe(
            "plan-around-bottleneck", "Plan around a bottleneck", "three gold stones by way of worse ones",
            (
                ((5, 5, 1), _several((4, 6), (3, 6))),
                (no_z, _several((5, 12))),
                (no_y, _several((4, 4), (3, 3), (5, 5))),
            ),
            "level 3", lambda events, scores: scores[:, 2] == GOLD_SCORE,
            constraints=((1, -1), (0, -1), (0, 0)),
        ),
    )  # fmt: skip


PROBES: dict[str, Microprobe] = {probe.name: probe for probe in _probes()}
"""By name, in the notebook's order."""

PUBLISHED_PASSES: dict[str, tuple[str, ...]] = {
    **{name: tuple(PROBES)[:5] for name in ("model-free", "level 0", "level 1")},
    "level 2": tuple(PROBES)[:7],
    "level 3": tuple(PROBES)[:8],
    "ideal observer": tuple(PROBES),
}
"""The probes in which the notebook's models beat the null model (p < .05), by model."""
