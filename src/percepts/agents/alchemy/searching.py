"""Players that infer the chemistry exactly and plan with samples of it.

    played = play(Qmdp(table, samples=16), table, seeds=range(200))       # about 280 points
    played = play(Thompson(table), table, seeds=range(200))               # about 262

Both follow the exact posterior through what they see. `Qmdp` draws chemistries from it and does what on average leaves
most to be gained, as if the chemistry were known afterwards: nearly the ideal observer, at a price that full-sized
tables can pay. `Thompson` believes in one draw until something contradicts it. How much is remembered can be chosen:
"forget" begins every trial with the prior, "carry" keeps what was learned, and "reset" begins anew, too, but only where
what is seen contradicts itself, so that it copes with a chemistry that changes.

What the last action of a trial did is not visible, so it is not learned from.
"""

from __future__ import annotations

import dataclasses
import functools
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from percepts.agents.agent import Observation
from percepts.agents.alchemy.bots import Actions, Bot
from percepts.agents.alchemy.oracle import (
    Known,
    action_of,
    bank,
    colour_counts,
    following,
    known_of,
    slot_of,
    values_of,
)
from percepts.agents.alchemy.plans import MERIT, best_plans
from percepts.core.errors import ConfigError
from percepts.envs.alchemy.chemistry import (
    GRAPHS,
    POTION_MAPS,
    POTIONS,
    ROTATIONS,
    STONE_MAPS,
    Chemistry,
    chemistry_tables,
)
from percepts.envs.alchemy.levels import Level
from percepts.envs.alchemy.posterior import Posterior, PosteriorFilter
from percepts.envs.alchemy.reading import TableView, read
from percepts.envs.alchemy.table import Table
from percepts.envs.streams import Streams

Memory = Literal["forget", "carry", "reset"]
"""What is kept from trial to trial."""


@dataclass(frozen=True)
class Mind:
    """What B players remember.

    Attributes:
        posterior: over chemistries.
        supposed: chemistries drawn from it, some for every player, those of a player together.
        streams: of random numbers.
        step: steps made in this trial.
        seen: what they saw last, and
        action: what they did then; None at the beginning.
    """

    posterior: Posterior
    supposed: Chemistry
    streams: Streams
    step: Int64[Tensor, " batch"]
    seen: TableView | None = None
    action: Int64[Tensor, " batch"] | None = None


class Believer(Bot):
    """What players with a belief share: the posterior of what they see, and samples that agree with it.

    Args:
        table: whose level, rules and rewards.
        samples: chemistries that are kept for every player.
        memory: what is kept from trial to trial.
        seed: of the random streams, together with those of the episodes.

    Raises:
        ConfigError: no samples, or a memory that there is not.
    """

    def __init__(self, table: Table, samples: int = 1, memory: Memory = "carry", seed: int = 0) -> None:
        super().__init__(table, seed)
        if samples < 1:
            raise ConfigError(f"samples = {samples}", "1 or more")
        if memory not in ("forget", "carry", "reset"):
            raise ConfigError(f"memory = {memory!r}", "'forget', 'carry' or 'reset'")
        self.samples, self.memory = samples, memory
        self.values = values_of(table)

    def start(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> Mind:
        """The state at the beginning of the episodes with these seeds."""
        streams = Streams.of(seeds, "alchemy believer", self.seed, device=device)
        knowledge = knowledge_of(self.table.level, str(device))
        prior = knowledge.prior(len(seeds))
        supposed, streams = self._drawn(knowledge, prior, streams)
        return Mind(prior, supposed, streams, torch.zeros(len(seeds), dtype=torch.int64, device=device))

    def act(self, observation: Observation, state: Mind | None = None) -> tuple[Tensor, Mind]:
        """The actions, and the state after them; see `agents.agent.Agent`."""
        config = self.table.config
        seen = read(observation, config.stones, config.potions)
        mind = self.start(range(len(seen.colour)), seen.colour.device) if state is None else state
        mind = self.learned(seen, mind)
        action = self.plan(seen, mind)
        step = following(mind.step, action, config.steps, self.actions)
        return action, dataclasses.replace(mind, step=step, seen=seen, action=action)

    @abstractmethod
    def plan(self, seen: TableView, mind: Mind) -> Int64[Tensor, " batch"]:
        """The actions, given what is seen and believed."""

    def learned(self, seen: TableView, mind: Mind) -> Mind:
        """The mind after a look at what came of the last action."""
        knowledge = knowledge_of(self.table.level, str(seen.colour.device))
        begun = mind.step == 0
        if not begun.any() and not self._touched(mind).any():
            return mind
        stone, potion, dipped = self._dips(seen, mind)
        if not (begun | dipped).any():
            return mind
        forgotten = begun & (self.memory == "forget" and mind.seen is not None)
        before = knowledge.forget(mind.posterior, forgotten) if forgotten.any() else mind.posterior

        def informed(posterior: Posterior) -> Posterior:
            posterior = knowledge.see_stones(posterior, seen.coordinates, seen.reward, seen.here)
            if mind.seen is None or not dipped.any():
                return posterior
            looks = [(view.coordinates[row, stone], view.reward[row, stone]) for view in (mind.seen, seen)]
            return knowledge.outcome(posterior, *looks[0], mind.seen.colour[row, potion], *looks[1], dipped)

        row = torch.arange(len(stone), device=stone.device)
        posterior = informed(before)
        empty = knowledge.empty(posterior)
        if self.memory == "reset" and empty.any():
            anew = informed(knowledge.forget(posterior, empty))
            posterior = posterior.put(empty, anew.rows(empty))
            empty = knowledge.empty(posterior)
        supposed, streams = self._redrawn(knowledge, posterior, mind, ~empty, forgotten)
        return dataclasses.replace(mind, posterior=posterior, supposed=supposed, streams=streams)

    def _touched(self, mind: Mind) -> Bool[Tensor, " batch"]:
        """Whether the last action put a stone into a potion, or would have."""
        if mind.action is None:
            return torch.zeros_like(mind.step, dtype=torch.bool)
        number = mind.action - self.actions.first
        return (number >= 0) & (number % (self.actions.potions + 1) > 0)

    def _dips(self, seen: TableView, mind: Mind) -> tuple[Tensor, Tensor, Bool[Tensor, " batch"]]:
        """The stone and the potion of the last action, and whether it was a dip of which the outcome is visible."""
        if mind.seen is None or mind.action is None or not self.actions.potions:
            nothing = torch.zeros_like(mind.step)
            return nothing, nothing, nothing > 0
        stone, potion, dipped = dips(mind.seen, mind.action, self.actions)
        row = torch.arange(len(stone), device=stone.device)
        return stone, potion, dipped & (mind.step > 0) & seen.here[row, stone]

    def _redrawn(
        self,
        knowledge: PosteriorFilter,
        posterior: Posterior,
        mind: Mind,
        rows: Bool[Tensor, " batch"],
        forgotten: Bool[Tensor, " batch"],
    ) -> tuple[Chemistry, Streams]:
        """Samples, of which those that are contradicted or forgotten are drawn anew; but only in `rows`, where there is
        something to draw from."""
        allowed = knowledge.allows(posterior, mind.supposed, self.samples).view(-1, self.samples)
        allowed &= ~forgotten[:, None]
        wrong = (~allowed.all(1) & rows).nonzero()[:, 0]
        if not len(wrong):
            return mind.supposed, mind.streams
        drawn, streams = self._drawn(knowledge, posterior.rows(wrong), mind.streams.rows(wrong))
        where = (wrong[:, None] * self.samples + torch.arange(self.samples, device=wrong.device)).flatten()
        kept = allowed[wrong].flatten()
        chosen = []
        for old, new in zip(vars(mind.supposed).values(), vars(drawn).values()):
            chosen.append(old.index_copy(0, where, torch.where(kept, old[where], new)))
        return Chemistry(*chosen), mind.streams.put(wrong, streams)

    def _drawn(self, knowledge: PosteriorFilter, posterior: Posterior, streams: Streams) -> tuple[Chemistry, Streams]:
        uniform, streams = streams.uniform(self.samples, 3)
        return knowledge.chosen(posterior, uniform), streams


class Thompson(Believer):
    """Posterior sampling: plans as if a chemistry drawn from the posterior were true, until it is contradicted."""

    def __init__(self, table: Table, memory: Memory = "carry", seed: int = 0) -> None:
        super().__init__(table, 1, memory, seed)

    def plan(self, seen: TableView, mind: Mind) -> Int64[Tensor, " batch"]:
        """The first action of the best plan in the supposed chemistry."""
        known = known_of(seen, mind.supposed)
        steps = self.table.config.steps - mind.step
        plans = best_plans(self.values, known.chemistry.graph, known.stones, seen.here, known.counts, steps)
        return action_of(plans, seen, known.chemistry, self.actions)


class Qmdp(Believer):
    """QMDP-K (Littman, Cassandra & Kaelbling 1995): the action after which the supposed chemistries leave most to be
    gained on average, if that is more than the stones pay now. Each stone that is banked takes a step, for which time
    is left.

    Args:
        table: whose level, rules and rewards.
        samples: chemistries that are kept for every player, K.
        memory: what is kept from trial to trial.
        seed: of the random streams, together with those of the episodes.
    """

    def __init__(self, table: Table, samples: int = 16, memory: Memory = "carry", seed: int = 0) -> None:
        super().__init__(table, samples, memory, seed)

    def plan(self, seen: TableView, mind: Mind) -> Int64[Tensor, " batch"]:
        """The actions with the highest mean value."""
        left = seen.here.any(1)
        if not left.any():
            return torch.full_like(mind.step, self.actions.enough)
        steps = self.table.config.steps - mind.step
        known = known_of(seen, mind.supposed, self.samples)
        worth = self._worth(seen, known, steps)
        action = bank(worth, self.actions)
        able = (left & seen.potion_here.any(1) & ~self._settled(seen, mind, steps)).nonzero()[:, 0]
        if not len(able):
            return action
        gain = self._gain(seen, known, able, steps)
        best, number = gain.flatten(1).max(1)
        stone, colour = number // POTIONS, number % POTIONS
        shown = TableView(*(part[able] for part in vars(seen).values()))
        dipped = self.actions.dip(stone, slot_of(shown, colour))
        # A sliver is left for the rounding of means.
        better = best > worth[able].sum(1) * MERIT + 0.5
        return action.index_put((able,), torch.where(better, dipped, action[able]))

    def _settled(self, seen: TableView, mind: Mind, steps: Tensor) -> Bool[Tensor, " batch"]:
        """Where no potion was worth its while a step ago, and all that has changed since is that a stone is banked.
        Then none is now: what can be had with the stones that are left could have been had beside it."""
        if mind.seen is None or mind.action is None:
            return torch.zeros_like(seen.here[:, 0])
        last = mind.seen
        alike = (seen.colour == last.colour).all(1) & (seen.potion_here == last.potion_here).all(1)
        looks = (seen.coordinates == last.coordinates).all(2) & (seen.reward == last.reward) & last.here
        alike &= (looks | ~seen.here).all(1)
        return alike & (mind.step > 0) & ~self._touched(mind) & (steps >= seen.here.sum(1))

    def _worth(self, seen: TableView, known: Known, steps: Tensor) -> Float64[Tensor, "batch stones"]:
        """What every stone pays as it is, on average; 0 for those for which there is no time."""
        here = seen.here.repeat_interleave(self.samples, 0)
        if (steps >= seen.here.sum(1)).all():
            values = torch.tensor(self.values, dtype=torch.float64, device=steps.device)
            worth = values[known.stones].clamp(min=0) * here
        else:
            nothing, left = torch.zeros_like(known.counts), steps.repeat_interleave(self.samples)
            worth = best_plans(self.values, known.chemistry.graph, known.stones, here, nothing, left).worth
        return worth.unflatten(0, (-1, self.samples)).mean(1)

    def _gain(self, seen: TableView, known: Known, rows: Tensor, steps: Tensor) -> Float64[Tensor, "rows stones 6"]:
        """Mean merit of what can be had after each stone was put into each colour; minus infinity where one is not
        there. Chemistries that several samples share are planned for once."""
        device = rows.device
        which = (rows[:, None] * self.samples + torch.arange(self.samples, device=device)).flatten()
        supposed = known.chemistry.rows(which)
        key = rows.repeat_interleave(self.samples)
        for numbers, size in zip(vars(supposed).values(), (GRAPHS, POTION_MAPS, STONE_MAPS, ROTATIONS)):
            key = key * size + numbers
        _, place, often = key.unique(return_inverse=True, return_counts=True)
        first = torch.empty_like(often).index_copy_(0, place, torch.arange(len(place), device=device))
        chosen = which[first]
        table = chosen // self.samples
        colours = colour_counts(seen)
        there = seen.here[:, :, None] & (colours > 0)[:, None]
        some = Known(supposed.rows(first), known.stones[chosen], known.counts[chosen])
        merit = self._merits(some, seen.here[table], there[table], steps[table] - 1)
        sums = merit.new_zeros(len(seen.colour), *merit.shape[1:])
        sums.index_add_(0, table, merit * (often / self.samples)[:, None, None])
        return sums[rows].masked_fill(~there[rows], -torch.inf)

    def _merits(
        self, known: Known, here: Bool[Tensor, "n stones"], there: Bool[Tensor, "n stones 6"], steps: Tensor
    ) -> Float64[Tensor, "n stones 6"]:
        """Merit of the best plans after each stone was put into each colour, one chemistry for each table; 0 where a
        stone or colour is not there."""
        supposed, tables = known.chemistry, chemistry_tables(str(steps.device))
        row, stone, colour = there.nonzero().unbind(1)
        potion = tables.latent_potion[supposed.potion_map[row], colour]
        graph, stones, counts = supposed.graph[row], known.stones[row], known.counts[row]
        vertex = stones.gather(1, stone[:, None])[:, 0]
        stones.scatter_(1, stone[:, None], tables.transition[graph, vertex, potion][:, None])
        counts.scatter_add_(1, potion[:, None], -torch.ones_like(potion)[:, None])
        plans = best_plans(self.values, graph, stones, here[row], counts, steps[row])
        return plans.merit.new_zeros(there.shape).masked_scatter_(there, plans.merit)


@functools.cache
def knowledge_of(level: Level, device: str) -> PosteriorFilter:
    """The filter of a level, made once."""
    return PosteriorFilter(level, device)


def dips(
    seen: TableView, action: Int64[Tensor, " batch"], actions: Actions
) -> tuple[Int64[Tensor, " batch"], Int64[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """The stone and the potion of actions, and whether they put the one into the other: 0, 0 where they do not."""
    number = (action - actions.first).clamp(min=0)
    stone, potion = number // (actions.potions + 1), number % (actions.potions + 1) - 1
    row = torch.arange(len(action), device=action.device)
    dipped = (action >= actions.first) & (potion >= 0)
    potion = potion.clamp(min=0)
    return stone, potion, dipped & seen.here[row, stone] & seen.potion_here[row, potion]
