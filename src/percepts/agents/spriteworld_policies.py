"""Policies for Spriteworld that learn nothing, and how well any policy does there.

    score = success_rate(arena, GreedyOracle(arena), episodes=200, seed=0)
    score.success, score.success_interval        # 1.0 (0.98 … 1.0)

`RandomPolicy` is the baseline of everything; `RandomObjectPolicy` clicks inside of sprites; `GreedyOracle` knows the
rules and takes the best of many actions, which solves every task of COBRA (Watters et al. 2019). What the last two know
of the sprites is in the observation, under the keys "factors" and "present".

Every arena has a random stream of its own, which is the policy's state, so an episode does not depend on how many
others there are.
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
from percepts.core.errors import CapabilityError, ConfigError
from percepts.core.random import derive_seed
from percepts.envs.spriteworld.actions import SelectMove
from percepts.envs.spriteworld.arena import Arena
from percepts.envs.spriteworld.state import Sprites
from percepts.envs.streams import Streams
from percepts.rendering.shapes import Polygon

AT_ONCE = 8192
"""Outcomes that the oracle computes at a time: as many as stay in the caches."""
Look = Callable[[Sprites], Observation]


class RandomPolicy:
    """Uniformly random actions.

    Args:
        arena: whose actions.
        seed: of the random streams.
    """

    def __init__(self, arena: Arena, seed: int = 0) -> None:
        self.arena, self.seed = arena, seed

    def act(self, observation: Observation, state: Streams | None = None) -> tuple[Tensor, Streams]:
        """The actions, and the streams after them; see `agents.agent.Agent`."""
        streams = self.streams(observation) if state is None else state
        actions = self.arena.config.actions
        numbers, streams = streams.uniform(*actions.uniform_shape)
        return actions.of_uniform(numbers), streams

    def streams(self, observation: Observation) -> Streams:
        """A fresh stream for every arena."""
        any_of = next(iter(observation.values()))
        rows = range(len(any_of))
        return Streams.of((derive_seed(self.seed, "policy", row) for row in rows), device=any_of.device)


class RandomObjectPolicy(RandomPolicy):
    """Clicks into random sprites with uniform motions; a sprite in front of the chosen one may catch the click.

    Raises:
        ConfigError: an arena without clicks.
    """

    def __init__(self, arena: Arena, seed: int = 0) -> None:
        super().__init__(arena, seed)
        if not isinstance(arena.config.actions, SelectMove):
            raise ConfigError(
                f"clicks into objects where actions are {type(arena.config.actions).__name__}", "SelectMove"
            )

    def act(self, observation: Observation, state: Streams | None = None) -> tuple[Tensor, Streams]:
        """The actions, and the streams after them; see `agents.agent.Agent`."""
        streams = self.streams(observation) if state is None else state
        return object_clicks(sprites_of(observation, self.arena.outlines), streams)


class GreedyOracle(RandomPolicy):
    """The best of many actions by the arena's own dynamics without noise, and its rewards; of equally good ones, one at
    random.

    Args:
        arena: whose rules.
        candidates: actions that are tried.
        proposal: whether they are uniform or clicks into sprites.
        seed: of the random streams.

    Raises:
        ConfigError: no candidates, or clicks where there are none.
    """

    def __init__(
        self, arena: Arena, candidates: int = 1000, proposal: Literal["uniform", "objects"] = "uniform", seed: int = 0
    ) -> None:
        super().__init__(arena, seed)
        if candidates < 1:
            raise ConfigError(f"candidates = {candidates}", "1 or more")
        self.candidates = candidates
        self.proposer = (RandomObjectPolicy if proposal == "objects" else RandomPolicy)(arena, seed)

    def act(self, observation: Observation, state: Streams | None = None) -> tuple[Tensor, Streams]:
        """The actions, and the streams after them; see `agents.agent.Agent`."""
        streams = self.streams(observation) if state is None else state
        order, streams = streams.uniform(self.candidates)
        forked, streams = streams.fork(self.candidates)
        sprites = sprites_of(observation, self.arena.outlines)
        best = []
        # A whole number of arenas at a time: the best action of each is found where its outcomes are.
        for rows in torch.arange(len(sprites)).split(max(1, AT_ONCE // self.candidates)):
            many = (rows[:, None] * self.candidates + torch.arange(self.candidates)).flatten()
            repeated = sprites.rows(rows.repeat_interleave(self.candidates))
            best.append(self._best(repeated, forked.rows(many), order[rows]))
        return torch.cat(best), streams

    def _best(self, sprites: Sprites, streams: Streams, order: Tensor) -> Tensor:
        seen = {"factors": sprites.factors, "present": sprites.present}
        actions, _ = self.proposer.act(seen, streams)
        _, reward, _ = self.arena.simulate(sprites, actions)
        values = reward.view(order.shape)
        chosen = torch.where(values == values.amax(1, keepdim=True), order, -1.0).argmax(1)
        return actions[torch.arange(len(order), device=chosen.device) * self.candidates + chosen]


def object_clicks(sprites: Sprites, streams: Streams) -> tuple[Float64[Tensor, "batch 4"], Streams]:
    """A click inside of a random sprite (as much of it as is in the arena), and a uniform motion."""
    clicks, streams = sprites.sample_inside(streams)
    motions, streams = streams.uniform(2)
    return torch.cat([clicks.clamp(0, 1), motions], 1), streams


def sprites_of(observation: Observation, outlines: tuple[Polygon, ...] | None = None) -> Sprites:
    """The sprites that an observation shows.

    Args:
        observation: with the keys "factors" and "present".
        outlines: the arena's shapes; None for Spriteworld's twelve.

    Raises:
        CapabilityError: it does not show them.
    """
    if not {"factors", "present"} <= observation.keys():
        shown = ", ".join(observation) or "nothing"
        raise CapabilityError(f"an observation of {shown} does not tell the truth", "the keys 'factors' and 'present'")
    factors, present = observation["factors"].double(), observation["present"]
    return Sprites.of(factors, present) if outlines is None else Sprites.of(factors, present, outlines)


def truth(sprites: Sprites) -> Observation:
    """What there is to know of the arenas: the factors in float64, and which sprites are present."""
    return {"factors": sprites.factors, "present": sprites.present}


@dataclass(frozen=True)
class Episodes:
    """N episodes.

    Attributes:
        success: whether the task was done at the end.
        length: in steps.
        total: the undiscounted sum of rewards.
        solved_at_start: whether it was done before the first step.
    """

    success: Bool[Tensor, " episodes"]
    length: Int64[Tensor, " episodes"]
    total: Float64[Tensor, " episodes"]
    solved_at_start: Bool[Tensor, " episodes"]

    def __len__(self) -> int:
        return len(self.success)

    def score(self, level: float = 0.95) -> Score:
        """Means over the episodes, with their intervals."""
        count, rate = len(self), float(self.success.double().mean())
        return Score(
            episodes=count,
            success=rate,
            success_interval=wilson_interval(int(self.success.sum()), count, level),
            length=float(self.length.double().mean()),
            length_interval=_normal_interval(self.length.double(), level),
            total=float(self.total.mean()),
            total_interval=_normal_interval(self.total, level),
            solved_at_start=float(self.solved_at_start.double().mean()),
        )


@dataclass(frozen=True)
class Score:
    """How well a policy does: means over episodes, each with an interval at the level that was asked for.

    Attributes:
        episodes: how many there were.
        success: share that ended with the task done (Wilson's interval).
        length: steps of an episode.
        total: undiscounted return.
        solved_at_start: share in which there was nothing to do.
    """

    episodes: int
    success: float
    success_interval: tuple[float, float]
    length: float
    length_interval: tuple[float, float]
    total: float
    total_interval: tuple[float, float]
    solved_at_start: float


def success_rate(arena: Arena, policy: Agent, episodes: int, seed: int, look: Look = truth) -> Score:
    """How often a policy does the arena's task.

    Args:
        arena: where; its time limit ends an episode.
        policy: who acts.
        episodes: first ones of as many arenas.
        seed: of the scenes and of the noise on actions.
        look: what the policy sees of the sprites; by default the truth.

    Raises:
        ConfigError: no episodes.
    """
    return run_episodes(arena, policy, episodes, seed, look).score()


def run_episodes(
    arena: Arena, policy: Agent, episodes: int, seed: int, look: Look = truth, device: torch.device | str = "cpu"
) -> Episodes:
    """The first episode of each of `episodes` arenas, all at once.

    Those that have ended are left out of the batch where the policy's state is nothing, a number, or has `rows`.

    Raises:
        ConfigError: no episodes.
    """
    if episodes < 1:
        raise ConfigError(f"episodes = {episodes}", "1 or more")
    state = arena.reset([derive_seed(seed, "episode", number) for number in range(episodes)], device)
    start = state.solved_at_start
    success, length = torch.zeros_like(start), torch.zeros_like(state.time)
    total = state.sprites.position.new_zeros(episodes)
    left = torch.arange(episodes, device=start.device)
    memory: Any = None
    while len(left):
        action, memory = policy.act(look(state.sprites), memory)
        over = state.finished
        state, outcome = arena.step(state, action)
        total[left] += outcome.reward
        length[left] += (~over).long()
        success[left] = outcome.success
        going = ~state.finished
        if not bool(going.any()):
            break
        if memory is None or isinstance(memory, int) or hasattr(memory, "rows"):
            memory = memory.rows(going) if hasattr(memory, "rows") else memory
            state, left = state.rows(going), left[going]
    return Episodes(success, length, total, start)


def wilson_interval(successes: int, episodes: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval (1927) of a rate: it stays in [0, 1], and is no point where all or none succeed."""
    z = _quantile(level)
    rate, share = successes / episodes, z**2 / episodes
    centre = (rate + share / 2) / (1 + share)
    half = z / (1 + share) * math.sqrt(rate * (1 - rate) / episodes + share / (4 * episodes))
    return max(0.0, centre - half), min(1.0, centre + half)


def _normal_interval(values: Float64[Tensor, " episodes"], level: float) -> tuple[float, float]:
    """The mean, plus and minus so many standard errors; a point for a single value."""
    mean = float(values.mean())
    half = _quantile(level) * float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return mean - half, mean + half


def _quantile(level: float) -> float:
    """Of the standard normal distribution: what |x| stays below with this probability."""
    return float(torch.special.ndtri(torch.tensor((1 + level) / 2, dtype=torch.float64)))
