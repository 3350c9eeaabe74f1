"""The search behind the ideal observer: what can be expected of a trial, over every way that knowledge may grow.

    search = BeliefSearch(knowledge, posterior, worth)          # one episode, at any moment
    choice = search.best(search.root, looks, counts)            # one step: stone and colour, or None to end the trial
    choice.value, choice.dip

A belief is the set of chemistries that are still possible, held as the bits of one integer. Which outcome a stone and a
colour have in which chemistry is a set of that kind, too, so that learning is `&` and a probability is a count of bits
by prior weight. Actions of which the outcome is known to be nothing are left out; of colours that are interchangeable
(exchanging them leaves the belief as it is, and there are as many of them and of their opposites) one is tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.errors import CapabilityError
from percepts.envs.alchemy.chemistry import GRAPHS, POTION_MAPS, POTIONS, ROTATIONS, STONE_MAPS, chemistry_tables
from percepts.envs.alchemy.evidence import SHOWN, evidence_tables, place_of
from percepts.envs.alchemy.posterior import Posterior, PosteriorFilter

Look = int
"""How a stone looks: 4 * place + number of the reward it shows."""
Counts = tuple[int, ...]
"""Potions of each colour."""
EXACT = 9
"""Decimals to which expected values are compared, so that rounding does not break ties."""


@dataclass(frozen=True)
class Choice:
    """What is best in a situation.

    Attributes:
        value: the expected reward; for an explorer, minus the expected number of world states at the end.
        moves: potions that are expected to be used.
        dip: the look of the stone and the colour to put it into; None to end the trial.
    """

    value: float
    moves: float
    dip: tuple[Look, int] | None = None

    def beats(self, other: Choice) -> bool:
        """Whether it is better: more value, or as much with fewer moves."""
        ahead = round(self.value - other.value, EXACT)
        return ahead > 0 or (ahead == 0 and round(other.moves - self.moves, EXACT) > 0)


class BeliefSearch:
    """An exhaustive search from what is known in one episode.

    Args:
        knowledge: the filter of the level.
        posterior: of one episode.
        worth: what a stone pays by the number of the reward it shows: of -3, -1, 1, 3.
        explore: whether to look for few world states at the end of the trial instead of reward.
        most: situations that are looked at.
    """

    def __init__(
        self,
        knowledge: PosteriorFilter,
        posterior: Posterior,
        worth: Sequence[float],
        explore: bool = False,
        most: int = 1_000_000,
    ) -> None:
        self.knowledge, self.explore, self.most = knowledge, explore, most
        self.worth = [max(0.0, pays) for pays in worth]
        # [N, 4]: rotation, potion map, stone map, graph of everything possible.
        self.hypotheses = knowledge.alive(posterior)[0].nonzero()
        _, _, stone_map, graph = self.hypotheses.T
        weights = knowledge.weights[stone_map, evidence_tables().reflected[stone_map, graph]].numpy()
        self.classes = [(float(weight), _integer(weights == weight)) for weight in np.unique(weights)]
        self.root = _integer(np.ones(len(self.hypotheses), dtype=bool))
        self._outcomes: dict[tuple[Look, int], dict[Look, int]] = {}
        self._exchanges: dict[tuple[int, int], NDArray[np.int64]] = {}
        self._known: dict[tuple[tuple[Look, ...], Counts, int], Choice] = {}

    def belief(self, posterior: Posterior) -> int:
        """What a later posterior of the episode leaves of the hypotheses."""
        rotation, potion_map, stone_map, graph = self.hypotheses.T
        alive = self.knowledge.alive(posterior)[0]
        return _integer(alive[rotation, potion_map, stone_map, graph].numpy())

    def covers(self, posterior: Posterior) -> bool:
        """Whether all that a posterior leaves is among the hypotheses."""
        return self.belief(posterior).bit_count() == int(self.knowledge.alive(posterior).sum())

    def best(self, belief: int, looks: Sequence[Look], counts: Counts) -> Choice:
        """What to do next.

        Args:
            belief: that is possible: `root`, or what `belief` gives.
            looks: of the stones that are there; see `looks_of`.
            counts: of the colours.

        Raises:
            CapabilityError: there are too many situations to look at.
        """
        return self._best(belief, tuple(sorted(looks)), counts)

    def _best(self, belief: int, looks: tuple[Look, ...], counts: Counts) -> Choice:
        key = (looks, counts, belief)
        known = self._known.get(key)
        if known is not None:
            return known
        if len(self._known) >= self.most:
            raise CapabilityError(
                f"more than {self.most} situations in one trial", "fewer potions or stones", "Qmdp(table)"
            )
        best = self._ended(belief, looks)
        for look in sorted(set(looks)):
            for colour, outcomes in self._actions(belief, look, counts):
                choice = self._tried(belief, looks, counts, look, colour, outcomes)
                if choice.beats(best):
                    best = choice
        self._known[key] = best
        return best

    def _ended(self, belief: int, looks: tuple[Look, ...]) -> Choice:
        if self.explore:
            return Choice(-float(belief.bit_count()), 0.0)
        return Choice(sum(self.worth[look % SHOWN] for look in looks), 0.0)

    def _tried(
        self, belief: int, looks: tuple[Look, ...], counts: Counts, look: Look, colour: int, outcomes: dict[Look, int]
    ) -> Choice:
        """What can be expected after putting a stone into a colour."""
        rest = list(looks)
        rest.remove(look)
        left = (*counts[:colour], counts[colour] - 1, *counts[colour + 1 :])
        masses = {after: self._mass(remaining) for after, remaining in outcomes.items()}
        total, value, moves = sum(masses.values()), 0.0, 1.0
        for after, remaining in outcomes.items():
            following = self._best(remaining, tuple(sorted([*rest, after])), left)
            value += masses[after] / total * following.value
            moves += masses[after] / total * following.moves
        # An explorer does not care for moves: of equals the first is taken, and ending the trial is the first.
        return Choice(value, 0.0 if self.explore else moves, (look, colour))

    def _actions(self, belief: int, look: Look, counts: Counts) -> list[tuple[int, dict[Look, int]]]:
        """Colours that may have an effect, and what each outcome leaves possible; one of those that are alike."""
        found: list[tuple[int, dict[Look, int]]] = []
        bits: NDArray[np.bool_] | None = None
        for colour in range(POTIONS):
            if not counts[colour]:
                continue
            outcomes = {after: belief & mask for after, mask in self._masks(look, colour).items() if belief & mask}
            if not outcomes or list(outcomes) == [look]:
                continue
            alike = [other for other, _ in found if _counted_alike(other, colour, counts)]
            if alike and bits is None:
                bits = _array(belief, len(self.hypotheses))
            if bits is not None and any(self._interchangeable(bits, other, colour) for other in alike):
                continue
            found.append((colour, outcomes))
        return found

    def _mass(self, belief: int) -> float:
        return sum(weight * (belief & members).bit_count() for weight, members in self.classes)

    def _masks(self, look: Look, colour: int) -> dict[Look, int]:
        """Of every look that a stone may have afterwards the hypotheses in which it has it."""
        if (look, colour) not in self._outcomes:
            tables, evidence = chemistry_tables(), evidence_tables()
            rotation, potion_map, stone_map, graph = self.hypotheses.T
            corner = evidence.corner[look // SHOWN, rotation]
            vertex = tables.aligned[stone_map, corner.clamp(min=0)]
            fits = (corner >= 0) & (tables.shown[vertex] == 2 * (look % SHOWN) - 3)
            after = tables.transition[graph, vertex, tables.latent_potion[potion_map, colour]]
            looks = looks_of(tables.coordinates[rotation, stone_map, after], tables.shown[after])
            looks = torch.where(fits, looks, -1)
            self._outcomes[look, colour] = {
                number: _integer((looks == number).numpy()) for number in looks.unique().tolist() if number >= 0
            }
        return self._outcomes[look, colour]

    def _interchangeable(self, bits: NDArray[np.bool_], one: int, other: int) -> bool:
        """Whether a belief stays the same when two colours, and their opposites, are exchanged."""
        if (one, other) not in self._exchanges:
            self._exchanges[one, other] = _exchange(self.hypotheses, one, other)
        image = self._exchanges[one, other]
        # A hypothesis without an image stands last, and is not possible.
        return bool((np.append(bits, False)[image] == bits).all())


def looks_of(coordinates: Tensor, reward: Tensor) -> Tensor:
    """Looks of stones [...] with perceived coordinates [..., 3] that show these rewards."""
    return SHOWN * place_of(coordinates) + (reward + 3) // 2


def _counted_alike(one: int, other: int, counts: Counts) -> bool:
    return counts[one] == counts[other] and counts[one ^ 1] == counts[other ^ 1]


def _exchange(hypotheses: Tensor, one: int, other: int) -> NDArray[np.int64]:
    """The hypothesis that each becomes when two colours are exchanged; -1 for one that is not among them."""
    colours = list(range(POTIONS))
    for first, second in ((one, other), (one ^ 1, other ^ 1)):
        colours[first], colours[second] = second, first
    table = chemistry_tables().latent_potion
    renamed = (table[:, colours][:, None] == table).all(-1).int().argmax(1)
    sizes = torch.tensor([POTION_MAPS * STONE_MAPS * GRAPHS, STONE_MAPS * GRAPHS, GRAPHS, 1])
    place = torch.full((ROTATIONS * POTION_MAPS * STONE_MAPS * GRAPHS,), -1)
    place[(hypotheses * sizes).sum(1)] = torch.arange(len(hypotheses))
    images = hypotheses.clone()
    images[:, 1] = renamed[hypotheses[:, 1]]
    return place[(images * sizes).sum(1)].numpy()


def _integer(members: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(members, bitorder="little").tobytes(), "little")


def _array(members: int, length: int) -> NDArray[np.bool_]:
    data = np.frombuffer(members.to_bytes((length + 7) // 8, "little"), dtype=np.uint8)
    return np.unpackbits(data, count=length, bitorder="little").astype(bool)
