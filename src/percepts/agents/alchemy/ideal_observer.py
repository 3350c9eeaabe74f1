"""The ideal observer of a trial: the most reward that can be expected, given all that was seen, for small trials.

    table = Table.Config(level="no-bottleneck", stones=2, potions=4).build()
    played = play(IdealObserver(table), table, seeds=range(20))
    played = play(IdealObserver(table, explore=True), table, seeds=range(20))     # learns instead, whatever it costs

As in Wang et al. (2021) it looks through every way in which a *trial* may go and knowledge may grow in it; it takes
knowledge to the next trial but does not pay for it in this one. The ideal explorer minimises the expected number of
world states at the end of the trial. Six potions for three stones take seconds; for full-sized tables there is `Qmdp`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from percepts.agents.agent import Observation
from percepts.agents.alchemy.belief_search import BeliefSearch, looks_of
from percepts.agents.alchemy.oracle import bank, colour_counts, slot_of
from percepts.agents.alchemy.searching import Believer, Memory, Mind, knowledge_of
from percepts.core.errors import ConfigError
from percepts.envs.alchemy.chemistry import chemistry_tables
from percepts.envs.alchemy.reading import TableView
from percepts.envs.alchemy.table import Table, stone_values


@dataclass(frozen=True)
class SearchingMind(Mind):
    """A mind with what was found out in this trial.

    Attributes:
        searches: of every player; None before its first decision in a trial.
    """

    searches: tuple[BeliefSearch | None, ...] = ()


class IdealObserver(Believer):
    """Acts by exhaustive search; see the module.

    Args:
        table: whose level, rules and rewards.
        explore: whether to learn as much as possible instead of collecting reward.
        memory: what is kept from trial to trial.
        most: situations that are looked at in one trial.
        seed: of the random streams, which decide nothing.

    Raises:
        ConfigError: rewards that differ among stones that look alike, or trials with too few steps for all potions.
    """

    def __init__(
        self,
        table: Table,
        explore: bool = False,
        memory: Memory = "carry",
        most: int = 1_000_000,
        seed: int = 0,
    ) -> None:
        super().__init__(table, 1, memory, seed)
        config = table.config
        if config.steps < config.stones + config.potions:
            raise ConfigError(f"steps = {config.steps}", f"{config.stones + config.potions}: all potions, all stones")
        self.explore, self.most = explore, most
        self.worth = worth_of(table)

    def act(self, observation: Observation, state: Mind | None = None) -> tuple[Tensor, SearchingMind]:
        """The actions, and the state after them; see `agents.agent.Agent`.

        Raises:
            CapabilityError: there is too much to look at.
        """
        action, mind = super().act(observation, state)
        assert isinstance(mind, SearchingMind)
        return action, mind

    def learned(self, seen: TableView, mind: Mind) -> SearchingMind:
        """The mind after a look at what came of the last action, with a search wherever one is needed."""
        begun = (mind.step == 0).tolist()
        old = mind.searches if isinstance(mind, SearchingMind) else (None,) * len(begun)
        found = super().learned(seen, mind)
        knowledge = knowledge_of(self.table.level, str(seen.colour.device))
        empty = knowledge.empty(found.posterior).tolist()
        useful = (seen.here.any(1) & seen.potion_here.any(1)).tolist()
        searches: list[BeliefSearch | None] = []
        for row, search in enumerate(old):
            posterior = found.posterior.rows(slice(row, row + 1))
            one = None if begun[row] or empty[row] else search
            # Where a contradiction brought back what was excluded, the search did not see that coming.
            if one is not None and not one.covers(posterior):
                one = None
            if one is None and useful[row] and not empty[row]:
                one = BeliefSearch(knowledge, posterior, self.worth, self.explore, self.most)
            searches.append(one)
        parts = {part.name: getattr(found, part.name) for part in dataclasses.fields(Mind)}
        return SearchingMind(**parts, searches=tuple(searches))

    def plan(self, seen: TableView, mind: Mind) -> Int64[Tensor, " batch"]:
        """The actions that the searches prefer."""
        assert isinstance(mind, SearchingMind)
        pays = torch.tensor(self.worth, dtype=torch.float64, device=seen.reward.device)[(seen.reward + 3) // 2]
        action = bank(pays * seen.here, self.actions)
        looks, counts = looks_of(seen.coordinates, seen.reward), colour_counts(seen)
        for row, search in enumerate(mind.searches):
            if search is None or not (seen.here[row].any() and counts[row].any()):
                continue
            belief = search.belief(mind.posterior.rows(slice(row, row + 1)))
            choice = search.best(belief, looks[row][seen.here[row]].tolist(), tuple(counts[row].tolist()))
            if choice.dip is not None:
                look, colour = choice.dip
                stone = (seen.here[row] & (looks[row] == look)).long().argmax()
                action[row] = self.actions.dip(stone, _slot(seen, row, colour))
        return action


def worth_of(table: Table) -> list[float]:
    """What a stone pays by the reward that it shows: by -3, -1, 1 and 3.

    Raises:
        ConfigError: stones that show the same pay differently.
    """
    values, shown = stone_values(table.config.rewards), chemistry_tables().shown
    worth = []
    for reward in (-3, -1, 1, 3):
        pays = values[shown == reward].unique()
        if len(pays) > 1:
            raise ConfigError(
                f"weights = {table.config.rewards.weights}", "equal ones: stones do not show their values"
            )
        worth.append(float(pays))
    return worth


def _slot(seen: TableView, row: int, colour: int) -> Tensor:
    one = TableView(*(part[row : row + 1] for part in vars(seen).values()))
    return slot_of(one, torch.tensor([colour], device=seen.colour.device))[0]
