"""Exactly what can be known of a chemistry from what an agent sees: a Bayes filter for B episodes at once.

    filter = PosteriorFilter(level("rotation-random-bottleneck"))
    posterior = filter.see_stones(filter.prior(1000), coordinates, reward, here)
    posterior = filter.outcome(posterior, before, before_reward, colour, after, after_reward, rows)
    filter.entropy(posterior), filter.counts(posterior)
    chemistries = filter.sample(posterior, 16, generator)

All 167 424 chemistries are kept apart, in 2.7 kilobytes an episode: given the rotation, the stone map is independent of
the *aligned* graph and potion map (see `evidence`), so a set of stone maps and a set of the others describe it all. An
observation removes what contradicts it; what remains has the weight that the level gave it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float32, Float64, Int64, UInt8
from torch import Tensor

from percepts.core.errors import DataError
from percepts.envs.alchemy.chemistry import POTION_MAPS, ROTATIONS, STONE_MAPS, Chemistry, chemistry_tables
from percepts.envs.alchemy.evidence import (
    GRAPH_BYTES,
    NO_OUTCOME,
    NOTHING_SEEN,
    evidence_tables,
    graph_weights,
    packed,
    place_of,
    seen_outcome,
    seen_stones,
    unpacked,
)
from percepts.envs.alchemy.levels import Level
from percepts.envs.rows import TensorRows

if TYPE_CHECKING:
    from percepts.envs.alchemy.table import Outcome, TableState

AT_ONCE = 256
"""Posteriors whose sets are spread out at a time: what stays in the caches."""
_BELOW_ONE = 1.0 - 1e-12
"""Keeps what is drawn below the total, whose rounding may differ from that of the sums."""


@dataclass(frozen=True)
class Posterior(TensorRows):
    """What B episodes leave possible.

    Attributes:
        chemistries: of every rotation and aligned potion map the aligned graphs, bit g % 8 of byte g // 8. Levels
            without rotation have one rotation, number 0.
        stone_maps: of every rotation.
    """

    chemistries: UInt8[Tensor, "batch rotation 48 14"]
    stone_maps: Bool[Tensor, "batch rotation 8"]

    def __len__(self) -> int:
        return len(self.stone_maps)


@dataclass(frozen=True)
class Counts:
    """How much is still possible.

    Attributes:
        world_states: chemistries.
        first_world_states: chemistries with the first rotation that is possible, which is what dm_alchemy calls the
            number of world states.
        potion_maps, stone_maps, graphs, rotations: latent ones that some possible chemistry has.
    """

    world_states: Int64[Tensor, " batch"]
    first_world_states: Int64[Tensor, " batch"]
    potion_maps: Int64[Tensor, " batch"]
    stone_maps: Int64[Tensor, " batch"]
    graphs: Int64[Tensor, " batch"]
    rotations: Int64[Tensor, " batch"]


class PosteriorFilter:
    """The Bayes filter of a level.

    Args:
        level: whose prior.
        device: of the posteriors.
    """

    def __init__(self, level: Level, device: torch.device | str = "cpu") -> None:
        self.level, self.device = level, torch.device(device)
        self.tables = evidence_tables(str(self.device))
        self.weights = graph_weights(level, str(self.device))
        self.rotations = len(level.rotations)
        # Where signs do not matter to the graphs' prior, every aligned graph goes with every stone map.
        there = self.weights[list(level.stone_maps)]
        self.separate = bool((there == there[0]).all())

    def prior(self, batch: int) -> Posterior:
        """Before anything was seen."""
        possible = self.weights > 0
        maps = torch.zeros(POTION_MAPS, 1, dtype=torch.bool, device=self.device)
        maps[list(self.level.potion_maps)] = True
        shape = (batch, self.rotations)
        return Posterior(
            packed(possible.any(0) & maps).expand(*shape, POTION_MAPS, GRAPH_BYTES).contiguous(),
            possible.any(1).expand(*shape, STONE_MAPS).contiguous(),
        )

    def see_stones(
        self,
        posterior: Posterior,
        coordinates: Float32[Tensor, "batch stones 3"],
        reward: Tensor,
        here: Bool[Tensor, "batch stones"],
    ) -> Posterior:
        """After a look at stones.

        Args:
            posterior: before.
            coordinates: perceived ones.
            reward: shown [batch, stones]: -3, -1, 1 or 3.
            here: whether there is a stone; of the others nothing is taken.
        """
        seen = self._seen(coordinates, reward, here)
        stone_maps = self.tables.stone_maps[seen, : self.rotations].all(1)
        return Posterior(posterior.chemistries, posterior.stone_maps & stone_maps)

    def outcome(
        self,
        posterior: Posterior,
        before: Float32[Tensor, "batch 3"],
        before_reward: Tensor,
        colour: Int64[Tensor, " batch"],
        after: Float32[Tensor, "batch 3"],
        after_reward: Tensor,
        rows: Bool[Tensor, " batch"] | None = None,
    ) -> Posterior:
        """After a stone was put into a potion.

        Args:
            posterior: before.
            before: perceived coordinates of the stone.
            before_reward: that the stone showed [batch]: -3, -1, 1 or 3.
            colour: perceived number of the potion.
            after: perceived coordinates of the stone afterwards.
            after_reward: that it showed then [batch].
            rows: the episodes in which this happened; in the others nothing does. None for all.
        """
        rows = torch.ones(len(posterior), dtype=torch.bool, device=self.device) if rows is None else rows
        places = place_of(torch.stack([before, after], 1))
        # A place that is no corner under a rotation leaves it no stone map: its row is of no consequence.
        corners = self.tables.corner[places, : self.rotations].clamp(min=0)
        row = (corners[:, 0] * 6 + colour.clamp(0, 5)[:, None]) * 8 + (corners[:, 0] ^ corners[:, 1])
        row = torch.where(rows[:, None], row, NO_OUTCOME)
        left = self.tables.chemistries.flatten(1).index_select(0, row.flatten()).view_as(posterior.chemistries)
        shown = torch.stack([before_reward, after_reward], 1)
        looked = self.see_stones(posterior, torch.stack([before, after], 1), shown, rows[:, None].expand(-1, 2))
        return Posterior(left.bitwise_and_(posterior.chemistries), looked.stone_maps)

    def follow(
        self, posterior: Posterior, before: TableState, outcome: Outcome, after: TableState, hidden: bool = True
    ) -> Posterior:
        """After a step of the table, with what is seen of it.

        Args:
            posterior: before.
            before: the table.
            outcome: of the step.
            after: the table afterwards.
            hidden: whether what the last action of a trial did is used. It is recorded, but an agent cannot see it: in
                its place there are the stones of the next trial.
        """
        seen = seen_outcome(before, outcome)
        rows = seen.rows if hidden else seen.rows & ~(outcome.new_trial | outcome.terminated)
        found = self.outcome(
            posterior, seen.before, seen.before_reward, seen.colour, seen.after, seen.after_reward, rows
        )
        return self.look(found, after, outcome.new_trial & ~outcome.terminated)

    def look(self, posterior: Posterior, state: TableState, rows: Bool[Tensor, " batch"] | None = None) -> Posterior:
        """After a look at the stones of a table, in the episodes `rows` (None for all): as at the start of a trial."""
        here = state.stone_here if rows is None else state.stone_here & rows[:, None]
        return self.see_stones(posterior, *seen_stones(state), here)

    def empty(self, posterior: Posterior) -> Bool[Tensor, " batch"]:
        """Where no chemistry agrees with all that was seen: the chemistry must have changed."""
        if not self.separate:
            return self.mass(posterior).flatten(1).sum(1) == 0
        both = (posterior.chemistries != 0).flatten(2).any(2) & posterior.stone_maps.any(2)
        return ~both.any(1)

    def forget(self, posterior: Posterior, rows: Bool[Tensor, " batch"]) -> Posterior:
        """With the prior in the episodes `rows`."""
        prior = self.prior(1)
        return Posterior(
            torch.where(rows[:, None, None, None], prior.chemistries, posterior.chemistries),
            torch.where(rows[:, None, None], prior.stone_maps, posterior.stone_maps),
        )

    def mass(self, posterior: Posterior) -> Float64[Tensor, "batch rotation 8"]:
        """Weight of every rotation and stone map, up to a factor."""
        return (self._maps_of_graphs(posterior) @ self.weights.T) * posterior.stone_maps

    def entropy(self, posterior: Posterior) -> Float64[Tensor, " batch"]:
        """Of the posterior, in bits; not a number where it is empty. 16.27 of the main level's prior."""
        maps_of_graphs = self._maps_of_graphs(posterior)
        surprise = torch.special.xlogy(self.weights, self.weights) / torch.log(torch.tensor(2.0, dtype=torch.float64))
        total = ((maps_of_graphs @ self.weights.T) * posterior.stone_maps).flatten(1).sum(1)
        sums = ((maps_of_graphs @ surprise.T) * posterior.stone_maps).flatten(1).sum(1)
        return total.log2() - sums / total

    def counts(self, posterior: Posterior) -> Counts:
        """How much is possible."""
        parts = [self._counts(part) for part in self._parts(posterior)]
        return Counts(*(torch.cat(values) for values in zip(*(dataclasses.astuple(part) for part in parts))))

    def alive(self, posterior: Posterior) -> Bool[Tensor, "batch rotation 48 8 109"]:
        """Whether each chemistry is possible, by latent numbers; 164 kilobytes an episode."""
        aligned = unpacked(posterior.chemistries).bool()
        each = []
        for stone_map in range(STONE_MAPS):
            graphs = aligned[:, :, self.tables.turned[stone_map]][..., self.tables.reflected[stone_map]]
            possible = (self.weights[stone_map] > 0)[self.tables.reflected[stone_map]]
            each.append(graphs & possible & posterior.stone_maps[:, :, stone_map, None, None])
        return torch.stack(each, 3)

    def allows(self, posterior: Posterior, chemistry: Chemistry, each: int = 1) -> Bool[Tensor, " many"]:
        """Whether chemistries are possible: `each` for every episode, those of an episode together."""
        row = torch.arange(len(posterior), device=self.device).repeat_interleave(each)
        rotation = chemistry.rotation.clamp(max=self.rotations - 1)
        graph = self.tables.reflected[chemistry.stone_map, chemistry.graph]
        potion_map = self.tables.turned[chemistry.stone_map, chemistry.potion_map]
        bits = posterior.chemistries[row, rotation, potion_map, graph // 8]
        there = (bits.to(torch.int64) >> (graph % 8)) & 1 == 1
        there &= posterior.stone_maps[row, rotation, chemistry.stone_map]
        return there & (self.weights[chemistry.stone_map, graph] > 0) & (rotation == chemistry.rotation)

    def sample(self, posterior: Posterior, count: int, generator: torch.Generator) -> Chemistry:
        """`count` chemistries for every episode from its posterior, those of an episode together.

        Raises:
            DataError: a posterior is empty.
        """
        shape = (len(posterior), count, 3)
        return self.chosen(posterior, torch.rand(shape, generator=generator, dtype=torch.float64, device=self.device))

    def chosen(self, posterior: Posterior, uniform: Float64[Tensor, "batch count 3"]) -> Chemistry:
        """Chemistries from posteriors by uniform numbers, those of an episode together.

        Raises:
            DataError: a posterior is empty.
        """
        mass = self.mass(posterior).flatten(1)
        empty = mass.sum(1) == 0
        if empty.any():
            raise DataError(
                f"{int(empty.sum())} posteriors are empty: what was seen contradicts itself",
                fix="filter.forget(posterior, filter.empty(posterior))",
            )
        picked = _pick(mass, uniform[..., 0]).flatten()
        row = torch.arange(len(posterior), device=self.device).repeat_interleave(uniform.shape[1])
        rotation, stone_map = picked // STONE_MAPS, picked % STONE_MAPS
        potion_map, graph = torch.empty_like(picked), torch.empty_like(picked)
        numbers = uniform.flatten(0, 1)
        for part in torch.arange(len(picked), device=self.device).split(AT_ONCE):
            sets = unpacked(posterior.chemistries[row[part], rotation[part]]) * self.weights[stone_map[part], None]
            maps = _pick(sets.sum(-1), numbers[part, None, 1])[:, 0]
            graphs = _pick(sets[torch.arange(len(part), device=self.device), maps], numbers[part, None, 2])[:, 0]
            potion_map[part], graph[part] = maps, graphs
        return Chemistry(
            self.tables.reflected[stone_map, graph], self.tables.turned[stone_map, potion_map], stone_map, rotation
        )

    def view(self, posterior: Posterior) -> Float32[Tensor, "batch 28"]:
        """What is certain, as the 28 numbers of `see_chemistries`: edges of the *aligned* graph (12), permutation (6)
        and directions (3) of the potion map, stone map (3), rotation (4). 1 and 0 are certain, 0.5 is not."""
        return torch.cat([self._view(part) for part in self._parts(posterior)])

    def _seen(self, coordinates: Tensor, reward: Tensor, here: Tensor) -> Tensor:
        """Rows of `tables.stone_maps`; a reward that no stone shows counts as the nearest."""
        shown = ((reward.round().to(torch.int64) + 3) // 2).clamp(0, 3)
        return torch.where(here, 4 * place_of(coordinates) + shown, NOTHING_SEEN)

    def _parts(self, posterior: Posterior) -> list[Posterior]:
        starts = range(0, max(len(posterior), 1), AT_ONCE)
        return [posterior.rows(slice(start, start + AT_ONCE)) for start in starts]

    def _maps_of_graphs(self, posterior: Posterior) -> Float64[Tensor, "batch rotation 109"]:
        """Of every aligned graph the number of aligned potion maps with which it is possible."""
        parts = [unpacked(part.chemistries).sum(2, dtype=torch.uint8) for part in self._parts(posterior)]
        return torch.cat(parts).to(torch.float64)

    def _sets(self, posterior: Posterior) -> tuple[Tensor, Tensor, Tensor]:
        """What is possible by rotation, stone map and latent potion map [B, R, 8, 48], aligned graph [B, R, 8, 109];
        and the number of chemistries by rotation and stone map [B, R, 8]."""
        possible = (self.weights > 0).float()
        bits = unpacked(posterior.chemistries).float()
        of_maps = (bits @ possible.T).transpose(2, 3) * posterior.stone_maps[..., None]
        potion_maps = torch.stack([of_maps[:, :, s, self.tables.turned[s]] for s in range(STONE_MAPS)], 2) > 0
        graphs = bits.any(2)[:, :, None] & (possible > 0) & posterior.stone_maps[..., None]
        return potion_maps, graphs, of_maps.sum(-1).to(torch.int64)

    def _counts(self, posterior: Posterior) -> Counts:
        potion_maps, graphs, number = self._sets(posterior)
        latent = torch.stack([graphs[:, :, s, self.tables.reflected[s]] for s in range(STONE_MAPS)], 2)
        by_rotation = number.sum(-1)
        first = (by_rotation > 0).int().argmax(1, keepdim=True)
        return Counts(
            world_states=by_rotation.sum(1),
            first_world_states=by_rotation.gather(1, first)[:, 0],
            potion_maps=potion_maps.any(2).any(1).sum(1),
            stone_maps=(number > 0).any(1).sum(1),
            graphs=latent.any(2).any(1).sum(1),
            rotations=(by_rotation > 0).sum(1),
        )

    def _view(self, posterior: Posterior) -> Float32[Tensor, "batch 28"]:
        tables = chemistry_tables(str(self.device))
        potion_maps, graphs, number = self._sets(posterior)
        maps, stone_maps = potion_maps.any(2).any(1), (number > 0).any(1)
        permutations = maps.unflatten(1, (6, 8)).any(2)
        rotations = torch.nn.functional.pad((number > 0).any(2), (0, ROTATIONS - self.rotations))
        signs = tables.sign > 0
        parts = [
            _certain(graphs.any(2).any(1), tables.edges),
            _one_of(permutations),
            _certain(maps.unflatten(1, (6, 8)).any(1), signs),
            _certain(stone_maps, signs),
            _one_of(rotations),
        ]
        return torch.cat(parts, 1)


def _pick(weights: Float64[Tensor, "batch n"], uniform: Float64[Tensor, "batch k"]) -> Int64[Tensor, "batch k"]:
    """Numbers drawn with these weights."""
    sums = weights.cumsum(1)
    return torch.searchsorted(sums, uniform.clamp(max=_BELOW_ONE) * sums[:, -1:], right=True)


def _certain(possible: Bool[Tensor, "batch n"], facts: Bool[Tensor, "n k"]) -> Float32[Tensor, "batch k"]:
    """1 where a fact holds of all that is possible, 0 where of none, else 0.5."""
    held, number = possible.float() @ facts.float(), possible.sum(1, keepdim=True)
    return 0.5 * ((held > 0).float() + (held == number).float())


def _one_of(possible: Bool[Tensor, "batch n"]) -> Float32[Tensor, "batch n"]:
    """0 where impossible, 1 for the only one, else 0.5."""
    return possible.float() / (1 + (possible.sum(1, keepdim=True) > 1))
