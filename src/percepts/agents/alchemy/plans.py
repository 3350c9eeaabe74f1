"""The best that can be made of a trial when the chemistry is known, for many trials at once.

    plans = best_plans(values, graph, stones, here, counts)
    plans.value, plans.moves, plans.potion          # what all stones will pay, potions used, the first for each stone

Stones meet only in the potions that they use up, and going round in circles on the graph wastes some. So each stone has
a handful of *options*: simple paths to a vertex that pays, of which those are left out that use no fewer potions than
another and pay no more. At most five are left for any vertex of the 109 graphs with the usual rewards. The best
combination that the potions suffice for is the best there is: the value of dm_alchemy's "search oracle", found without
a search. Among equals that with fewer moves is taken.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from percepts.envs.alchemy.chemistry import GRAPHS, POTIONS, VERTICES, chemistry_tables

FIELD = 10
"""Bits of a number of potions; six of them are packed in one integer, the uppermost bit of each being free."""
MOST = 500
"""Potions of one kind that are told apart: more than any plan for seventy stones can use."""
GUARD = sum(1 << (FIELD * q + FIELD - 1) for q in range(POTIONS))
"""The free bits: one that is gone after a subtraction tells of too few potions."""
MERIT = 2.0**20
"""What a unit of value weighs against a move."""
COMBINATIONS_AT_ONCE = 1 << 18

Usage = tuple[int, ...]


@dataclass(frozen=True)
class Plans:
    """The best plans of N trials.

    Attributes:
        value: that all stones will have paid.
        moves: potions used.
        worth: what every stone will pay; 0 for one that is left alone or not there.
        potion: the latent potion that every stone needs first; -1 for none.
    """

    value: Float64[Tensor, " n"]
    moves: Int64[Tensor, " n"]
    worth: Float64[Tensor, "n stones"]
    potion: Int64[Tensor, "n stones"]

    @property
    def merit(self) -> Float64[Tensor, " n"]:
        """By which plans are compared: value, and among equals fewer moves."""
        return self.value * MERIT - self.moves


@dataclass(frozen=True)
class Options:
    """What can become of one stone, by graph and vertex; vertex 8 stands for no stone.

    The last option is to leave the stone alone, which costs no step.

    Attributes:
        usage: potions, packed.
        value: paid in the end; minus infinity where there is no such option.
        moves: potions used.
        steps: moves, and one to bank.
        potion: the latent potion needed first; -1 for none.
    """

    usage: Int64[Tensor, "109 9 options"]
    value: Float64[Tensor, "109 9 options"]
    moves: Int64[Tensor, "109 9 options"]
    steps: Int64[Tensor, "109 9 options"]
    potion: Int64[Tensor, "109 9 options"]


def best_plans(
    values: tuple[float, ...],
    graph: Int64[Tensor, " n"],
    stones: Int64[Tensor, "n stones"],
    here: Bool[Tensor, "n stones"],
    counts: Int64[Tensor, "n 6"],
    steps: Int64[Tensor, " n"] | None = None,
) -> Plans:
    """The plans that pay most.

    Args:
        values: what every vertex pays, eight numbers.
        graph: number of the graph.
        stones: latent vertices.
        here: which stones there are.
        counts: of the latent potions.
        steps: that are left, one for each potion and one for each stone that is banked; enough for all if None.
    """
    options = options_of(values, str(graph.device))
    kinds = options.usage.shape[-1] - (steps is None)
    at_once = max(1, COMBINATIONS_AT_ONCE // kinds ** stones.shape[1])
    place = graph[:, None] * (VERTICES + 1) + torch.where(here, stones, VERTICES)
    have = pack(counts) | GUARD
    chosen = []
    for rows in torch.arange(len(graph), device=graph.device).split(at_once):
        enough = None if steps is None else steps[rows].clamp(min=0)
        chosen.append(_best(options, kinds, place[rows], have[rows], enough))
    choice = torch.cat(chosen) if chosen else place
    found = place * options.usage.shape[-1] + choice
    worth = options.value.view(-1)[found]
    return Plans(worth.sum(1), options.moves.view(-1)[found].sum(1), worth, options.potion.view(-1)[found])


def pack(counts: Int64[Tensor, "*batch 6"]) -> Int64[Tensor, "*batch"]:
    """Numbers of potions as one integer, at most `MOST` of each."""
    places = FIELD * torch.arange(POTIONS, device=counts.device)
    return (counts.clamp(max=MOST) << places).sum(-1)


def _best(options: Options, kinds: int, place: Tensor, have: Tensor, steps: Tensor | None) -> Int64[Tensor, "n stones"]:
    """Numbers of the options of the best combination."""
    usage = _sums([options.usage.flatten(0, 1)[each, :kinds] for each in place.T])
    merit = options.value * MERIT - options.moves
    total = _sums([merit.flatten(0, 1)[each, :kinds] for each in place.T])
    possible = (have[:, None] - usage) & GUARD == GUARD
    if steps is not None:
        needed = _sums([options.steps.flatten(0, 1)[each, :kinds] for each in place.T])
        possible &= needed <= steps[:, None]
    best = total.masked_fill_(~possible, -torch.inf).argmax(1)
    powers = kinds ** torch.arange(place.shape[1] - 1, -1, -1, device=place.device)
    return best[:, None] // powers % kinds


def _sums(parts: list[Tensor]) -> Tensor:
    """[N, kinds ** stones]: sums over every combination of an entry from each [N, kinds], the last one fastest."""
    total = parts[0]
    for part in parts[1:]:
        total = (total[:, :, None] + part[:, None]).flatten(1)
    return total


@functools.cache
def options_of(values: tuple[float, ...], device: str = "cpu") -> Options:
    """All options where vertices pay `values`. Shared: not to be written to."""
    rows = [_useful(starts[vertex], vertex, values) for starts in _paths() for vertex in range(VERTICES)]
    width = max(map(len, rows)) + 1
    shape = (GRAPHS, VERTICES + 1, width)
    usage, potion = torch.zeros(shape, dtype=torch.int64), torch.full(shape, -1)
    moves, steps = torch.zeros_like(usage), torch.zeros_like(usage)
    value = torch.full(shape, -torch.inf, dtype=torch.float64)
    value[..., -1] = 0.0
    value[:, VERTICES, 0] = 0.0
    for number, row in enumerate(rows):
        graph, vertex = divmod(number, VERTICES)
        for place, (used, pays, first) in enumerate(row):
            usage[graph, vertex, place] = pack(torch.tensor(used))
            value[graph, vertex, place], potion[graph, vertex, place] = pays, first
            moves[graph, vertex, place] = sum(used)
            steps[graph, vertex, place] = sum(used) + (pays > 0)
    return Options(*(part.to(device) for part in (usage, value, moves, steps, potion)))


def _useful(ends: dict[int, dict[Usage, int]], start: int, values: tuple[float, ...]) -> list[tuple[Usage, float, int]]:
    """Options of a stone: potions, value, first potion. Without those that another one beats or equals."""
    stays = [((0,) * POTIONS, max(0.0, values[start]), -1)]
    goes = [
        (used, values[end], first)
        for end, ways in ends.items()
        for used, first in ways.items()
        if end != start and values[end] > 0
    ]
    kept: list[tuple[Usage, float, int]] = []
    # In this order, what beats an option comes before it.
    for option in sorted(stays + goes, key=lambda each: (sum(each[0]), -each[1])):
        if not any(pays >= option[1] and all(a <= b for a, b in zip(used, option[0])) for used, pays, _ in kept):
            kept.append(option)
    return kept


@functools.cache
def _paths() -> list[list[dict[int, dict[Usage, int]]]]:
    """By graph, first vertex and last vertex: potions that simple paths use, and the first of one that uses these."""
    return [[_from(table, vertex) for vertex in range(VERTICES)] for table in chemistry_tables().transition.tolist()]


def _from(table: list[list[int]], start: int) -> dict[int, dict[Usage, int]]:
    found: dict[int, dict[Usage, int]] = {}
    for path in _simple(table, [start], []):
        end = start
        for potion in path:
            end = table[end][potion]
        used = tuple(path.count(potion) for potion in range(POTIONS))
        found.setdefault(end, {}).setdefault(used, path[0] if path else -1)
    return found


def _simple(table: list[list[int]], visited: list[int], path: list[int]) -> Iterator[list[int]]:
    yield path
    for potion, after in enumerate(table[visited[-1]]):
        if after not in visited:
            yield from _simple(table, [*visited, after], [*path, potion])
