"""The belief that dm_alchemy shows agents: a relaxation of the exact posterior, for B episodes at once.

    relaxed = RelaxedFilter(level("random-bottleneck"))
    belief = relaxed.see_stones(relaxed.prior(B), coordinates, reward, here)      # at the start of every trial
    belief = relaxed.outcome(belief, before, before_reward, colour, after, after_reward, rows)
    relaxed.view(belief)                                                          # the 28 numbers

It keeps potion maps, stone maps and the edges of the aligned graph apart, each with what is certain of it, and leaves
out what follows only from all of them together: it never says what the exact posterior does not, and sometimes less.

While several rotations are possible there is one such belief for each, and nothing of it is shown. dm_alchemy keeps one
for a rotation that it guesses and amends it when the guess was wrong, in which it errs; that is not repeated here.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from percepts.envs.alchemy.chemistry import AXES, EDGES, POTION_MAPS, ROTATIONS, STONE_MAPS, chemistry_tables
from percepts.envs.alchemy.evidence import NOTHING_SEEN, evidence_tables, place_of, seen_outcome, seen_stones
from percepts.envs.alchemy.levels import Level
from percepts.envs.rows import TensorRows

if TYPE_CHECKING:
    from percepts.envs.alchemy.table import Outcome, TableState

VIEW = 28
"""Numbers of a view: edges 12, permutation 6, directions 3, stone map 3, rotation 4."""


@dataclass(frozen=True)
class Relaxed(TensorRows):
    """What B episodes are known to hold, for every rotation.

    Attributes:
        potion_maps: latent ones that are possible.
        stone_maps: that are possible as far as was noticed.
        shown: stone maps that agree with all the rewards that stones showed: without any, the rotation is impossible.
        signs: of the stone map, as far as they are known: -1 or 1, else 0.
        edges: of the aligned graph: 1 there, -1 not there, 0 unknown.
    """

    potion_maps: Bool[Tensor, "batch rotation 48"]
    stone_maps: Bool[Tensor, "batch rotation 8"]
    shown: Bool[Tensor, "batch rotation 8"]
    signs: Int64[Tensor, "batch rotation 3"]
    edges: Int64[Tensor, "batch rotation 12"]

    def __len__(self) -> int:
        return len(self.shown)


class RelaxedFilter:
    """The relaxed belief of a level; used as `PosteriorFilter` is.

    Args:
        level: whose prior.
        device: of the beliefs.
    """

    def __init__(self, level: Level, device: torch.device | str = "cpu") -> None:
        self.level, self.device = level, torch.device(device)
        self.tables, self.evidence = chemistry_tables(str(self.device)), evidence_tables(str(self.device))
        aligned = self.evidence.reflected[list(level.stone_maps)][:, list(level.choices)].unique()
        # 1 for an edge, -1 for none: a known vector agrees with a graph where their product is as large as can be.
        self.graphs = 2.0 * self.tables.edges[aligned].float() - 1.0
        self.rotations = len(level.rotations)
        between = torch.full((8, 8), -1, device=self.device)
        for number, (i, j) in enumerate(EDGES):
            between[i, j] = between[j, i] = number
        self.edge_between = between

    def prior(self, batch: int) -> Relaxed:
        """Before anything was seen."""
        potion_maps = torch.zeros(POTION_MAPS, dtype=torch.bool, device=self.device)
        potion_maps[list(self.level.potion_maps)] = True
        stone_maps = torch.zeros(STONE_MAPS, dtype=torch.bool, device=self.device)
        stone_maps[list(self.level.stone_maps)] = True
        unknown = torch.zeros(1, len(EDGES), dtype=torch.int64, device=self.device)
        parts = (
            potion_maps, stone_maps, stone_maps, self._agreed(stone_maps, self.tables.sign), self._deduced(unknown)[0]
        )  # fmt: skip
        return Relaxed(*(part.expand(batch, self.rotations, -1).contiguous() for part in parts))

    def see_stones(
        self,
        belief: Relaxed,
        coordinates: Float32[Tensor, "batch stones 3"],
        reward: Tensor,
        here: Bool[Tensor, "batch stones"],
        rows: Bool[Tensor, " batch"] | None = None,
    ) -> Relaxed:
        """At the start of a trial.

        Args:
            belief: before.
            coordinates: perceived ones.
            reward: shown [batch, stones]: -3, -1, 1 or 3.
            here: whether there is a stone.
            rows: the episodes in which a trial starts; None for all.
        """
        seen = self._seen(coordinates, reward, here)
        stone_maps = belief.stone_maps & seen
        signs = self._agreed(stone_maps, self.tables.sign)
        looked = dataclasses.replace(belief, stone_maps=stone_maps, shown=belief.shown & seen, signs=signs)
        return looked if rows is None else _where(rows, looked, belief)

    def outcome(
        self,
        belief: Relaxed,
        before: Float32[Tensor, "batch 3"],
        before_reward: Tensor,
        colour: Int64[Tensor, " batch"],
        after: Float32[Tensor, "batch 3"],
        after_reward: Tensor,
        rows: Bool[Tensor, " batch"] | None = None,
    ) -> Relaxed:
        """After a stone was put into a potion; arguments as those of `PosteriorFilter.outcome`."""
        rows = torch.ones(len(belief), dtype=torch.bool, device=self.device) if rows is None else rows
        places = place_of(torch.stack([before, after], 1))
        corners = self.evidence.corner[places, : self.rotations].clamp(min=0)
        start, end = corners[:, 0], corners[:, 1]
        shown = belief.shown & self._seen(after[:, None], after_reward[:, None], rows[:, None])
        rise = torch.sign(after_reward.round().to(torch.int64) - before_reward.round().to(torch.int64))
        moved = self._moved(belief, start, end, colour, rise)
        stayed = self._stayed(belief, start, colour)
        axes = self.edge_between[start, end] >= 0
        changed = dataclasses.replace(_where(axes & (rise != 0)[:, None], moved, belief), shown=shown)
        same = (rise == 0)[:, None] & (start == end)
        result = dataclasses.replace(changed, edges=torch.where(same[..., None], stayed, changed.edges))
        result = _where(rows, result, belief)
        return dataclasses.replace(result, edges=self._filled(belief.edges, result.edges))

    def follow(self, belief: Relaxed, before: TableState, outcome: Outcome, after: TableState) -> Relaxed:
        """After a step of the table, with all that came of it, as dm_alchemy does; see `PosteriorFilter.follow`."""
        seen = seen_outcome(before, outcome)
        found = self.outcome(
            belief, seen.before, seen.before_reward, seen.colour, seen.after, seen.after_reward, seen.rows
        )
        return self.look(found, after, outcome.new_trial & ~outcome.terminated)

    def look(self, belief: Relaxed, state: TableState, rows: Bool[Tensor, " batch"] | None = None) -> Relaxed:
        """At the start of a trial at the tables `rows`; None for all."""
        return self.see_stones(belief, *seen_stones(state), state.stone_here, rows)

    def view(self, belief: Relaxed) -> Float32[Tensor, "batch 28"]:
        """The 28 numbers of `see_chemistries`: edges of the *aligned* graph (12), permutation (6) and directions (3) of
        the potion map, stone map (3), rotation (4). 0 and 1 are known; all are 0.5 while several rotations are
        possible. A permutation that is possible shows 0.5, too, until only one of the 48 potion maps is left."""
        possible = belief.shown.any(2)
        known = possible.sum(1) == 1
        rotation = possible.int().argmax(1)
        one = belief.rows((torch.arange(len(belief), device=self.device), rotation))
        permutations = one.potion_maps.unflatten(1, (6, 8)).any(2).float()
        permutations = permutations / (1 + (one.potion_maps.sum(1, keepdim=True) != 1))
        directions = self._agreed(one.potion_maps.unflatten(1, (6, 8)).any(1), self.tables.sign)
        rotations = torch.nn.functional.one_hot(rotation, ROTATIONS).float()
        halves = [(part + 1) / 2 for part in (one.edges, directions, one.signs)]
        numbers = torch.cat([halves[0], permutations, halves[1], halves[2], rotations], 1)
        return torch.where(known[:, None], numbers, 0.5)

    def _seen(self, coordinates: Tensor, reward: Tensor, here: Tensor) -> Bool[Tensor, "batch rotation 8"]:
        shown = ((reward.round().to(torch.int64) + 3) // 2).clamp(0, 3)
        row = torch.where(here, 4 * place_of(coordinates) + shown, NOTHING_SEEN)
        return self.evidence.stone_maps[row, : self.rotations].all(1)

    def _agreed(self, possible: Tensor, signs: Tensor) -> Int64[Tensor, "*batch k"]:
        """Signs that all that is possible shares, else 0."""
        total, number = possible.float() @ signs.float(), possible.sum(-1, keepdim=True)
        return torch.where((total.abs() == number) & (number > 0), total.sign(), 0.0).to(torch.int64)

    def _moved(self, belief: Relaxed, start: Tensor, end: Tensor, colour: Tensor, rise: Tensor) -> Relaxed:
        """After a stone went along an axis: what the colour does, that sign, and the edge; sense where it did so."""
        axis = torch.div(torch.bitwise_xor(start, end), 2, rounding_mode="floor").clamp(0, AXES - 1)
        latent = self.tables.latent_potion.T[colour.clamp(0, 5)]
        same = latent[:, None] == (2 * axis + (rise[:, None] > 0))[..., None]
        sign = self.tables.sign[end].gather(2, axis[..., None])[..., 0] * rise[:, None]
        there = self.tables.sign.T[axis] == sign[..., None]
        edges = belief.edges.scatter(2, self.edge_between[start, end].clamp(min=0)[..., None], 1)
        return Relaxed(
            belief.potion_maps & same,
            belief.stone_maps & there,
            belief.shown,
            belief.signs.scatter(2, axis[..., None], sign[..., None]),
            edges,
        )

    def _stayed(self, belief: Relaxed, start: Tensor, colour: Tensor) -> Int64[Tensor, "batch rotation 12"]:
        """Edges after a stone did not move: one is not there if it is known where the potion leads."""
        latent = self.tables.latent_potion.T[colour.clamp(0, 5)]
        leads = torch.nn.functional.one_hot(latent, 6).float()
        reach = (belief.potion_maps.float() @ leads) > 0
        potion = reach.int().argmax(2)
        axis, direction = potion // 2, 2 * (potion % 2) - 1
        sign = belief.signs.gather(2, axis[..., None])[..., 0]
        at = self.tables.sign[start].gather(2, axis[..., None])[..., 0]
        missing = (reach.sum(2) == 1) & (sign != 0) & (at != direction * sign)
        edge = self.edge_between[start, start ^ (1 << axis)][..., None]
        there = belief.edges.gather(2, edge)
        return belief.edges.scatter(2, edge, torch.where(missing[..., None], -1, there))

    def _filled(self, before: Tensor, after: Tensor) -> Int64[Tensor, "batch rotation 12"]:
        """With the edges that follow where one became known."""
        news = (before != after).any(2)
        if not news.any():
            return after
        filled, possible = self._deduced(after[news])
        # Where no graph agrees, nothing follows.
        return after.index_put((news,), torch.where(possible[:, None], filled, after[news]))

    def _deduced(self, edges: Int64[Tensor, "n 12"]) -> tuple[Int64[Tensor, "n 12"], Bool[Tensor, " n"]]:
        """Edges on which all graphs agree that have the known ones, and whether there is any."""
        agree = (edges.float() @ self.graphs.T) == edges.abs().sum(1, keepdim=True)
        return self._agreed(agree, self.graphs), agree.any(1)


def _where(rows: Tensor, chosen: Relaxed, other: Relaxed) -> Relaxed:
    """One belief in some rows, or some rows and rotations, and another in the rest."""
    rows = rows if rows.ndim == 2 else rows[:, None]
    pairs = zip(vars(chosen).values(), vars(other).values())
    return Relaxed(*(torch.where(rows[..., None], one, two) for one, two in pairs))
