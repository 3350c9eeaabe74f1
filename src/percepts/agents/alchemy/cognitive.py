"""Simple models of how somebody might learn potions, each with one idea more than the one before.

    play(ModelFree(table), table, episodes=episodes)
    play(LevelK(table, k=3), table, episodes=episodes)

They are those of dm_alchemy's notebook on microprobes. Perception is solved for them: they act on latent stones and
potions, which they find with the help of the truth that `playing.look` shows. Actions are drawn with probabilities
proportional to exp(9 value), an action being a kind of stone and a kind of potion or the cauldron, whatever the slots.

- *Model-free*: the value of putting a stone into a potion is 3 at first, then what the stone was worth that came out;
  in the cauldron what the stone pays; doing nothing 0.
- *Level k*, model-based, with a discount of 0.65 and a board that is worth the sum of its positive stones: cauldron,
  the stone plus the discounted board without it; potion, the discounted mean board over the outcomes believed possible;
  nothing, the discounted board. Possible are any of 8 (level 0) or the stone itself and its three neighbours (1) until
  the outcome was seen. From level 2 on one visible effect tells what that potion does to every stone, unless there is a
  bottleneck; from level 3 on what the opposite potion does, too.

On the 1000 published episodes the notebook's own classes score 216.9 (model-free), 221.4, 233.5, 243.2 and 246.5
(levels 0 to 3), and with greedy choices these here take the same actions as they do. The notebook's text names other
means, 219.49, 214.14, 226.95, 237.66 and 241.48, of which it does not show where they come from.

What the last action of a trial did is not learned from, since no observation shows it. With `noise` an action
is replaced by a uniformly random one, from which, as in the notebook, nothing is learned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from percepts.agents.agent import Observation
from percepts.agents.alchemy.bots import Actions
from percepts.core.errors import CapabilityError, ConfigError
from percepts.envs.alchemy.chemistry import AXES, POTIONS, VERTICES, chemistry_tables
from percepts.envs.alchemy.reading import TableView, read
from percepts.envs.alchemy.table import Table
from percepts.envs.alchemy.table_state import stone_values
from percepts.envs.streams import Streams

BETA = 9.0
"""How much better actions are preferred."""
GAMMA = 0.65
"""Discount of one step."""
OPTIMISM = 3.0
"""The model-free value of what was never tried."""
UNSEEN = -1


@dataclass(frozen=True)
class Latent:
    """The table in latent terms.

    Attributes:
        stones, potions: vertices and latent potions; 0 where there is none.
        here, potion_here: where there is one.
    """

    stones: Int64[Tensor, "batch stones"]
    here: Bool[Tensor, "batch stones"]
    potions: Int64[Tensor, "batch potions"]
    potion_here: Bool[Tensor, "batch potions"]


@dataclass(frozen=True)
class Learned:
    """What was learned in B episodes, and what is to be looked at next.

    Attributes:
        streams: of random numbers.
        outcome: the vertex that came out of a vertex and a potion; UNSEEN before.
        effective: whether a potion was seen to have an effect.
        stone, before, potion: slot, vertex and potion of the last action, if its outcome will be seen; stone is UNSEEN
            otherwise.
        step: of the trial.
    """

    streams: Streams
    outcome: Int64[Tensor, "batch 8 6"]
    effective: Bool[Tensor, "batch 6"]
    stone: Int64[Tensor, " batch"]
    before: Int64[Tensor, " batch"]
    potion: Int64[Tensor, " batch"]
    step: Int64[Tensor, " batch"]


class Learner(ABC):
    """What the models share: they look at what their last action did, and choose.

    Args:
        table: whose actions and rewards.
        beta: how much better actions are preferred; infinite for always the best.
        noise: the probability that an action is replaced by a random one.
        seed: of the random streams, together with those of the episodes.

    Raises:
        ConfigError: a negative beta, or a noise that is no probability.
    """

    def __init__(self, table: Table, *, beta: float = BETA, noise: float = 0.0, seed: int = 0) -> None:
        if beta < 0 or not 0 <= noise <= 1:
            raise ConfigError(f"beta = {beta}, noise = {noise}", "a beta of 0 or more and a noise from 0 to 1")
        self.table, self.beta, self.noise, self.seed = table, beta, noise, seed
        config = table.config
        self.actions = Actions(config.stones, config.potions, config.end_trial)
        self.values = stone_values(config.rewards).double()

    def start(self, seeds: Sequence[int]) -> Learned:
        """Knowing nothing, in the episodes with these seeds."""
        batch = len(seeds)
        nothing = torch.full((batch,), UNSEEN)
        return Learned(
            streams=Streams.of(seeds, "alchemy learner", self.seed),
            outcome=torch.full((batch, VERTICES, POTIONS), UNSEEN),
            effective=torch.zeros(batch, POTIONS, dtype=torch.bool),
            stone=nothing,
            before=nothing,
            potion=nothing,
            step=torch.zeros(batch, dtype=torch.int64),
        )

    def act(self, observation: Observation, state: Learned | None = None) -> tuple[Tensor, Learned]:
        """The actions, and the state after them; see `agents.agent.Agent`.

        Raises:
            CapabilityError: the observation has no "chemistry".
        """
        state = self.start(range(len(observation["symbolic"]))) if state is None else state
        latent = latent_table(observation, self.table.config.stones, self.table.config.potions)
        state = self.learn(state, latent)
        numbers, streams = state.streams.uniform(3)
        action, stone, potion = self._choose(self.worth(state, latent), latent, numbers[:, 0])
        astray = numbers[:, 1] < self.noise
        action = torch.where(astray, (numbers[:, 2] * len(self.actions)).long(), action)
        over = state.step + 1 == self.table.config.steps
        over |= self.actions.end_trial & (action == 0)
        before = latent.stones.gather(1, stone.clamp(min=0)[:, None])[:, 0]
        # One slot more, so that there is something to look up where there are no potions.
        potions = torch.nn.functional.pad(latent.potions, (0, 1))
        kind = potions.gather(1, potion.clamp(min=0)[:, None])[:, 0]
        seen = (potion >= 0) & ~astray & ~over
        return action, replace(
            state,
            streams=streams,
            stone=torch.where(seen, stone, UNSEEN),
            before=before,
            potion=kind,
            step=torch.where(over, 0, state.step + 1),
        )

    def learn(self, state: Learned, latent: Latent) -> Learned:
        """With what the last action did, where that can be seen."""
        rows = (state.stone >= 0).nonzero()[:, 0]
        if not len(rows):
            return state
        outcome, effective = state.outcome.clone(), state.effective.clone()
        before, potion = state.before[rows], state.potion[rows]
        after = latent.stones[rows, state.stone[rows]]
        outcome[rows, before, potion] = after
        effective[rows, potion] |= after != before
        return replace(state, outcome=outcome, effective=effective)

    @abstractmethod
    def worth(self, state: Learned, latent: Latent) -> Float64[Tensor, "batch actions"]:
        """Values of doing nothing, then of every stone in the cauldron and in every potion, as actions are numbered."""

    def _choose(
        self, worth: Float64[Tensor, "batch actions"], latent: Latent, unit: Float64[Tensor, " batch"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Actions, and their slots of a stone and of a potion, UNSEEN for none."""
        worth = torch.where(self._kinds(latent), worth, -torch.inf)
        if self.beta == torch.inf:
            chosen = worth.argmax(1)
        else:
            sums = torch.softmax(self.beta * worth, 1).cumsum(1)
            chosen = torch.searchsorted(sums, (unit * sums[:, -1])[:, None], right=True)[:, 0]
            chosen = chosen.clamp(max=worth.shape[1] - 1)
        potions = self.table.config.potions + 1
        stone = torch.where(chosen > 0, (chosen - 1) // potions, UNSEEN)
        potion = torch.where(chosen > 0, (chosen - 1) % potions - 1, UNSEEN)
        nothing = torch.where(latent.here.any(1), self.actions.nothing, self.actions.enough)
        return torch.where(chosen > 0, chosen - 1 + self.actions.first, nothing), stone, potion

    def _kinds(self, latent: Latent) -> Bool[Tensor, "batch actions"]:
        """Which actions there are, of slots with equal stones or equal potions the first ones only."""
        stone = _first_of_kind(latent.stones, latent.here)
        potion = _first_of_kind(latent.potions, latent.potion_here)
        always = torch.ones_like(stone[:, :1])
        of_stone = stone[:, :, None] & torch.cat([always, potion], 1)[:, None]
        return torch.cat([always, of_stone.flatten(1)], 1)

    def _spread(
        self,
        latent: Latent,
        nothing: Tensor,
        cauldron: Float64[Tensor, "batch 8"],
        dipped: Float64[Tensor, "batch 8 6"],
    ) -> Float64[Tensor, "batch actions"]:
        """Values of kinds of stones and potions for their slots."""
        rows = torch.arange(len(nothing), device=nothing.device)[:, None]
        banked = cauldron[rows, latent.stones]
        into = dipped[rows[:, None], latent.stones[:, :, None], latent.potions[:, None]]
        return torch.cat([nothing[:, None], torch.cat([banked[..., None], into], 2).flatten(1)], 1)


class ModelFree(Learner):
    """Repeats what paid, of every kind of stone and potion for itself."""

    def worth(self, state: Learned, latent: Latent) -> Float64[Tensor, "batch actions"]:
        """Values of doing nothing, then of every stone in the cauldron and in every potion, as actions are numbered."""
        dipped = torch.where(state.outcome == UNSEEN, OPTIMISM, self.values[state.outcome.clamp(min=0)])
        batch = len(dipped)
        return self._spread(latent, dipped.new_zeros(batch), self.values.expand(batch, VERTICES), dipped)


class LevelK(Learner):
    """Looks one step ahead with a model of what potions may do.

    Args:
        table: whose actions and rewards.
        k: 0 to 3: how much of the structure is known.
        gamma: discount of one step.
        beta, noise, seed: as of `Learner`.
    """

    def __init__(
        self,
        table: Table,
        k: Literal[0, 1, 2, 3] = 3,
        *,
        gamma: float = GAMMA,
        beta: float = BETA,
        noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(table, beta=beta, noise=noise, seed=seed)
        if k not in (0, 1, 2, 3):
            raise ConfigError(f"k = {k}", "0, 1, 2 or 3")
        self.k, self.gamma = k, gamma
        self.good = self.values.clamp(min=0)
        self.at_first = _unknown(self.good, k)
        self.general = _general(self.good)

    def worth(self, state: Learned, latent: Latent) -> Float64[Tensor, "batch actions"]:
        """Values of doing nothing, then of every stone in the cauldron and in every potion, as actions are numbered."""
        expected = self.at_first.expand(len(state.outcome), VERTICES, POTIONS)
        if self.k >= 2:
            known = state.effective
            if self.k == 3:
                known = known | known.unflatten(1, (AXES, 2)).flip(2).flatten(1)
            expected = torch.where(known[:, None], self.general, expected)
        expected = torch.where(state.outcome == UNSEEN, expected, self.good[state.outcome.clamp(min=0)])
        board = torch.where(latent.here, self.good[latent.stones], 0.0).sum(1)
        others = board[:, None] - self.good
        return self._spread(
            latent,
            self.gamma * board,
            self.values + self.gamma * others,
            self.gamma * (others[..., None] + expected),
        )


def latent_table(observation: Observation, stones: int = 3, potions: int = 12) -> Latent:
    """What is on the table in latent terms, by the chemistry that the observation tells.

    Raises:
        CapabilityError: it tells none.
    """
    if "chemistry" not in observation:
        shown = ", ".join(observation) or "nothing"
        raise CapabilityError(f"an observation of {shown} does not tell the chemistry", "the key 'chemistry'")
    return latent_of(read(observation, stones, potions), observation["chemistry"])


def latent_of(seen: TableView, truth: Int64[Tensor, "batch 4"]) -> Latent:
    """The same of what was read."""
    tables = chemistry_tables(str(truth.device))
    _, potion_map, stone_map, rotation = truth.unbind(1)
    looks = tables.coordinates[rotation, stone_map]
    distance = (seen.coordinates[:, :, None] - looks[:, None]).abs().sum(-1)
    potions = tables.latent_potion[potion_map[:, None], seen.colour]
    return Latent(
        stones=torch.where(seen.here, distance.argmin(2), 0),
        here=seen.here,
        potions=torch.where(seen.potion_here, potions, 0),
        potion_here=seen.potion_here,
    )


def _unknown(good: Float64[Tensor, "8"], k: int) -> Float64[Tensor, "8 6"]:
    """What stones are worth after a potion of which nothing is known, by level."""
    vertices = torch.arange(VERTICES)
    neighbours = vertices[:, None] ^ torch.tensor([0, 1, 2, 4])
    mean = good.mean().expand(VERTICES) if k == 0 else good[neighbours].mean(1)
    return mean[:, None].expand(VERTICES, POTIONS)


def _general(good: Float64[Tensor, "8"]) -> Float64[Tensor, "8 6"]:
    """What they are worth after one whose axis and direction are known: it moves them, or there is a bottleneck."""
    vertices, potions = torch.arange(VERTICES)[:, None], torch.arange(POTIONS)
    bit = 1 << potions // 2
    moved = torch.where(potions % 2 == 1, vertices | bit, vertices & ~bit)
    return (good[vertices] + good[moved]) / 2


def _first_of_kind(
    kind: Int64[Tensor, "batch slots"], here: Bool[Tensor, "batch slots"]
) -> Bool[Tensor, "batch slots"]:
    """Whether a slot is the first one of those with what it has."""
    same = (kind[:, :, None] == kind[:, None]) & here[:, None]
    earlier = same & torch.ones(kind.shape[1], kind.shape[1], dtype=torch.bool, device=kind.device).tril(-1)
    return here & ~earlier.any(2)
