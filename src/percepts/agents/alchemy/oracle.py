"""The oracle: what a player reaches who knows the chemistry, and that player.

    oracle_scores(table, table.episodes(seeds=range(1000)))      # [1000, trials]: about 28.8 a trial
    played = play(OracleAgent(table), table, seeds=range(1000))

This is the "search oracle" of Wang et al. (2021), whose score on their evaluation episodes is 288.5; here it needs no
search (see `plans`). It is the ceiling that scores are compared with.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from percepts.agents.agent import Observation
from percepts.agents.alchemy.bots import Actions, Bot
from percepts.agents.alchemy.plans import Plans, best_plans
from percepts.core.errors import CapabilityError
from percepts.envs.alchemy.chemistry import POTIONS, Chemistry, chemistry_tables
from percepts.envs.alchemy.evidence import evidence_tables, place_of
from percepts.envs.alchemy.reading import TableView, read
from percepts.envs.alchemy.table import Episodes, Table, stone_values


@dataclass(frozen=True)
class Progress:
    """How far the trial is, which is all that an oracle remembers.

    Attributes:
        step: steps made in this trial.
    """

    step: Int64[Tensor, " batch"]


class OracleAgent(Bot):
    """Knows the chemistry, which the observation tells under "chemistry", and makes the most of every trial.

    Args:
        table: whose rules and rewards.
    """

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self.values = values_of(table)

    def act(self, observation: Observation, state: Progress | None = None) -> tuple[Tensor, Progress]:
        """The actions, and the state after them; see `agents.agent.Agent`.

        Raises:
            CapabilityError: the observation does not tell the chemistry.
        """
        if "chemistry" not in observation:
            raise CapabilityError(
                "an observation without 'chemistry'",
                "graph, potion map, stone map, rotation [B, 4]",
                "play(agent, table), which shows them",
            )
        config = self.table.config
        seen = read(observation, config.stones, config.potions)
        step = torch.zeros_like(observation["chemistry"][:, 0]) if state is None else state.step
        known = known_of(seen, Chemistry(*observation["chemistry"].unbind(1)))
        action = planned(seen, known, self.values, self.actions, config.steps - step)
        return action, Progress(following(step, action, config.steps, self.actions))

    def start(self, seeds: object) -> None:
        """Nothing: the state is made when the first observation is seen."""


@dataclass(frozen=True)
class Known:
    """What N tables are in the eyes of who knows, or supposes, their chemistry.

    Attributes:
        chemistry: known or supposed.
        stones: latent vertices; of one that the chemistry cannot explain, any.
        counts: numbers of the latent potions.
    """

    chemistry: Chemistry
    stones: Int64[Tensor, "n stones"]
    counts: Int64[Tensor, "n 6"]


def known_of(seen: TableView, chemistry: Chemistry, each: int = 1) -> Known:
    """What is seen, in the latent frame of `each` chemistries for every table, those of a table together."""
    tables, evidence = chemistry_tables(str(seen.colour.device)), evidence_tables(str(seen.colour.device))
    corner = evidence.corner[place_of(seen.coordinates)].clamp(min=0).repeat_interleave(each, 0)
    aligned = corner.gather(2, chemistry.rotation[:, None, None].expand(-1, corner.shape[1], 1))[..., 0]
    stones = tables.aligned[chemistry.stone_map[:, None], aligned]
    counts = colour_counts(seen).repeat_interleave(each, 0).gather(1, tables.perceived_potion[chemistry.potion_map])
    return Known(chemistry, stones, counts)


def colour_counts(seen: TableView) -> Int64[Tensor, "batch 6"]:
    """How many potions of each colour there are."""
    colours = torch.arange(POTIONS, device=seen.colour.device)
    return ((seen.colour[..., None] == colours) & seen.potion_here[..., None]).sum(1)


def planned(
    seen: TableView, known: Known, values: tuple[float, ...], actions: Actions, steps: Int64[Tensor, " batch"]
) -> Int64[Tensor, " batch"]:
    """What the best plan does now: a potion for the first stone that still needs one, then stones that pay into the
    cauldron, then nothing more."""
    plans = best_plans(values, known.chemistry.graph, known.stones, seen.here, known.counts, steps)
    return action_of(plans, seen, known.chemistry, actions)


def action_of(plans: Plans, seen: TableView, chemistry: Chemistry, actions: Actions) -> Int64[Tensor, " batch"]:
    """The first action of plans, one for each table."""
    tables = chemistry_tables(str(seen.colour.device))
    needs = plans.potion >= 0
    stone = needs.long().argmax(1)
    latent = plans.potion.gather(1, stone[:, None]).clamp(min=0)[:, 0]
    colour = tables.perceived_potion[chemistry.potion_map, latent]
    dipped = actions.dip(stone, slot_of(seen, colour))
    return torch.where(needs.any(1), dipped, bank(plans.worth, actions))


def bank(worth: Float64[Tensor, "batch stones"], actions: Actions) -> Int64[Tensor, " batch"]:
    """Banking the first stone that pays; where there is none, ending the trial."""
    pays = worth > 0
    return torch.where(pays.any(1), actions.bank(pays.long().argmax(1)), actions.enough)


def slot_of(seen: TableView, colour: Int64[Tensor, " batch"]) -> Int64[Tensor, " batch"]:
    """The first potion of a colour; any number where there is none."""
    fits = seen.potion_here & (seen.colour == colour[:, None])
    # One place more, so that there is a largest where there are no slots.
    return torch.nn.functional.pad(fits.long(), (0, 1)).argmax(1)


def following(step: Tensor, action: Tensor, steps: int, actions: Actions) -> Int64[Tensor, " batch"]:
    """The step of the trial after an action: 0 where that ends the trial."""
    over = step + 1 >= steps
    if actions.end_trial:
        over = over | (action == actions.enough)
    return torch.where(over, 0, step + 1)


def values_of(table: Table) -> tuple[float, ...]:
    """What the table pays for every latent vertex."""
    return tuple(stone_values(table.config.rewards).tolist())


def oracle_scores(table: Table, episodes: Episodes) -> Float64[Tensor, "batch trials"]:
    """What the oracle reaches in every trial of given episodes.

    Args:
        table: whose rewards and number of steps.
        episodes: with their chemistries; `table.episodes(seeds)` gives those of a table.
    """
    batch, trials = episodes.stones.shape[:2]
    stones, potions = episodes.stones.flatten(0, 1), episodes.potions.flatten(0, 1)
    counts = (potions[..., None] == torch.arange(POTIONS, device=potions.device)).sum(1)
    graph = episodes.chemistry.graph.repeat_interleave(trials)
    steps = torch.full_like(graph, table.config.steps)
    plans = best_plans(values_of(table), graph, stones.clamp(min=0), stones >= 0, counts, steps)
    return plans.value.view(batch, trials)
