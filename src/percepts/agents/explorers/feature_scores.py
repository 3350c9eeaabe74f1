"""How well an agent finds out hidden rules: episodes, and what can be said of them.

    optimal = run_episodes(world, InformationGain(world), episodes=400, seed=0)
    random = run_episodes(world, RandomTests(world), episodes=400, seed=0)
    optimal.tests_taken.mean, efficiency_ratio(optimal, random), success_curve(optimal, 20)
    paired_test(random.tests, optimal.tests)          # the same seeds are the same worlds

Measures are those of Ke et al. (2024) where their names are known; the efficiency ratio and the regret are this
library's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from percepts.agents.agent import Agent, Observation
from percepts.core.errors import ConfigError, DataError
from percepts.core.random import derive_seed, torch_generator
from percepts.envs.feature_world.knowledge import Knowledge
from percepts.envs.feature_world.observations import observe
from percepts.envs.feature_world.state import WorldState
from percepts.envs.feature_world.world import FeatureWorld

Look = Callable[[WorldState], Observation]
_FLIPS = 10_000
_EXACT = 13
"""Pairs up to which all signs are tried."""


@dataclass(frozen=True)
class Estimate:
    """A mean.

    Attributes:
        mean: NaN of nothing.
        error: its standard error; NaN of fewer than two.
        count: how many numbers.
    """

    mean: float
    error: float
    count: int


@dataclass(frozen=True)
class Episodes:
    """N episodes that were played to their ends.

    Attributes:
        tests: steps taken, an answer not counted; the budget where the matter was never decided.
        decided: whether the tests decided the matter, or an answer was given, within the budget.
        success: whether the conclusion was right.
        erred: whether some test was of another object than was logged, or than the agent took it for.
        regret: bits by which the tests brought less than the best ones would have, on average over the tests of an
            episode; NaN where it was not measured.
    """

    tests: Int64[Tensor, " episodes"]
    decided: Bool[Tensor, " episodes"]
    success: Bool[Tensor, " episodes"]
    erred: Bool[Tensor, " episodes"]
    regret: Float64[Tensor, " episodes"]

    def __len__(self) -> int:
        return len(self.tests)

    def rows(self, index: Any) -> Episodes:
        """Some of them, such as `episodes.rows(~episodes.erred)`: the error filter."""
        return Episodes(**{name: value[index] for name, value in vars(self).items()})

    @property
    def tests_taken(self) -> Estimate:
        """Steps to identify; undecided episodes count with the budget, so it is a lower bound if there are any."""
        return estimate(self.tests)

    @property
    def concluding_accuracy(self) -> Estimate:
        """The share of right conclusions among the episodes that came to one."""
        return estimate(self.success[self.decided])

    @property
    def mean_regret(self) -> Estimate:
        """Bits a test."""
        return estimate(self.regret)


@dataclass(frozen=True)
class PairedTest:
    """Two agents on the same worlds.

    Attributes:
        difference: first minus second.
        t: the difference in standard errors.
        p: probability of such a difference by chance, by flipping signs of the pairs.
    """

    difference: Estimate
    t: float
    p: float


def run_episodes(
    world: FeatureWorld,
    agent: Agent,
    episodes: int,
    seed: int,
    look: Look | None = None,
    regret: bool = False,
) -> Episodes:
    """The first episode of each of many worlds, all at once.

    Args:
        world: the rules.
        agent: who acts; one with `keys`, as all of `feature_policies`, is shown these.
        episodes: how many.
        seed: of the worlds; equal seeds give equal ones, so that agents can be compared in pairs.
        look: what the agent sees, where that is more than numbers.
        regret: measure it, which takes a multiple of the time.

    Raises:
        ConfigError: no episodes.
    """
    if episodes < 1:
        raise ConfigError(f"episodes = {episodes}", "1 or more")
    keys = getattr(agent, "keys", None)
    see = look or ((lambda state: observe(world, state, keys)) if keys else (lambda state: observe(world, state)))
    state = world.reset([derive_seed(seed, "episode", number) for number in range(episodes)])
    know, left, memory = world.knowledge(), torch.arange(episodes), None
    tests = torch.zeros(episodes, dtype=torch.int64)
    decided, success, erred = (torch.zeros(episodes, dtype=torch.bool) for _ in range(3))
    lost = torch.zeros(episodes, dtype=torch.float64)
    while len(left):
        action, memory = agent.act(see(state), memory)
        erred[left] |= _misseen(know, state, memory)
        asking = (action < world.choices) & ~state.finished
        if regret:
            tested = torch.where(asking, action, 0)
            lost[left] += know.regret(state.alive, state.object_set, tested) * asking
        state, outcome = world.step(state, action)
        tests[left] += asking.long()
        decided[left], success[left] = outcome.terminated, outcome.success
        erred[left] |= state.erred
        going = ~state.finished
        if not bool(going.all()) and hasattr(memory, "rows"):
            state, left, memory = state.rows(going), left[going], memory.rows(going)
        elif not bool(going.any()):
            break
    mean = lost / tests.clamp(min=1) if regret else torch.full_like(lost, math.nan)
    return Episodes(tests, decided, success, erred, mean)


def _misseen(know: Knowledge, state: WorldState, memory: Any) -> Bool[Tensor, " batch"]:
    """Where an agent that remembers what it saw has just taken the tested object for another."""
    seen = getattr(memory, "seen", None)
    if seen is None:
        return torch.zeros_like(state.finished)
    number = know.objects[state.object_set, state.tested.clamp(min=0)]
    return torch.as_tensor(seen[:, -1] != torch.where(state.tested < 0, -1, number))


def estimate(values: Tensor) -> Estimate:
    """The mean of numbers [N], with its standard error."""
    numbers = values.double()
    error = float(numbers.std()) / math.sqrt(len(numbers)) if len(numbers) > 1 else math.nan
    return Estimate(float(numbers.mean()), error, len(numbers))


def success_curve(episodes: Episodes, horizon: int) -> Float64[Tensor, "{horizon}"]:
    """Success@T: the share of episodes that came to the right conclusion within T = 1, 2, … tests."""
    within = episodes.tests[:, None] <= torch.arange(1, horizon + 1)
    return (within & (episodes.success & episodes.decided)[:, None]).double().mean(0)


def efficiency_ratio(reference: Episodes, agent: Episodes) -> float:
    """Mean tests of the reference over those of the agent: 1 for an agent as good."""
    return reference.tests_taken.mean / agent.tests_taken.mean


def paired_test(
    first: Tensor,
    second: Tensor,
    alternative: Literal["different", "greater", "less"] = "different",
    seed: int = 0,
) -> PairedTest:
    """Whether two agents differ on the same worlds.

    Under the hypothesis that they do not, the sign of every pair's difference is a coin: the p-value is the share of
    all signs (of 10 000 random ones, for more than 13 pairs) whose mean difference is as far out.

    Args:
        first: numbers [N], such as tests or successes.
        second: of the same worlds in the same order.
        alternative: of which `first` is supposed to be.
        seed: of the random signs.

    Raises:
        DataError: other lengths, no pairs, or numbers that are not finite.
    """
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise DataError(f"{list(first.shape)} and {list(second.shape)} numbers", "pairs: two equal lengths, not 0")
    away = first.double() - second.double()
    if not bool(away.isfinite().all()):
        raise DataError("pairs with NaN or infinite numbers", "finite ones")
    difference, count = estimate(away), len(away)
    exact = count <= _EXACT
    if exact:
        signs = ((torch.arange(1 << count)[:, None] >> torch.arange(count)) & 1).double() * 2 - 1
    else:
        generator = torch_generator(seed, "paired test")
        signs = torch.randint(0, 2, (_FLIPS, count), generator=generator).double() * 2 - 1
    means, found = signs @ away / count, difference.mean
    slack = 1e-12 * float(away.abs().max())
    beyond = {
        "different": means.abs() >= abs(found) - slack,
        "greater": means >= found - slack,
        "less": means <= found + slack,
    }[alternative]
    hits = int(beyond.sum())
    p = hits / len(signs) if exact else (hits + 1) / (len(signs) + 1)
    t = difference.mean / difference.error if difference.error else math.copysign(math.inf, found) if found else 0.0
    return PairedTest(difference, t, p)
