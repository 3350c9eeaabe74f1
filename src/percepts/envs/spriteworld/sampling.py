"""Draws from distributions of factors with a random stream for each row, so that no row depends on the others.

    factors, streams = draw(Continuous("x", 0.1, 0.9) * shapes("square", "circle"), streams)     # {"x": [B], ...}

The numbers come piece by piece from one table: every factor of every distribution is uniform on one interval, or on
one of several single values. So the sprites of a scene, each from a distribution of its own, are drawn together. What a
distribution excludes is drawn again, in those rows only; the numbers of tries that are looked at together are the same
for every row.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from percepts.core.errors import ConfigError, DataError
from percepts.data.distributions import (
    Continuous,
    Discrete,
    Distribution,
    Factors,
    Intersection,
    Product,
    Selection,
    SetMinus,
    Union,
)
from percepts.envs.streams import Streams

TRIES = 100_000
"""So many tries of one row without a fitting one, and rejection ends; as in Spriteworld (Watters et al. 2019)."""
Drawer = Callable[[Streams], tuple[Factors, Streams]]
Condition = tuple[Distribution, bool]
"""A distribution, and whether it must contain what is drawn or must not."""
_MOST_AT_ONCE, _MOST_TOGETHER = 1 << 12, 1 << 14


def draw(distribution: Distribution, streams: Streams) -> tuple[Factors, Streams]:
    """One draw for every stream, and the streams after them. Who draws often makes a `Table`.

    Returns:
        The values by factor, each float64 [batch].

    Raises:
        ConfigError: a kind of distribution that this module does not know.
        DataError: nothing that fits is found in `TRIES` tries.
    """
    return _drawer(distribution)(streams)


@dataclass(frozen=True, eq=False)
class Table:
    """Several distributions, of one of which every row is drawn; make it once and use it often.

    Attributes:
        distributions: the rows'.
        names: the factors that are drawn, in this order.
        ends: up to which uniform number a factor is of which piece; the last piece has no end.
        pieces: of all factors of all distributions: where each begins, how long it is (0 for a single value), and the
            largest number in it.
        first: the place of each factor's first piece, in the first distribution.
        excluded: what a draw of a distribution must contain (True) or must not (False), by the distribution's number.
        apart: what draws the distributions that have no pieces, because there are mixtures in them.
    """

    distributions: tuple[Distribution, ...]
    names: tuple[str, ...]
    ends: Float64[Tensor, "distributions factors bounds"]
    pieces: Float64[Tensor, "places 3"]
    first: Int64[Tensor, " factors"]
    excluded: dict[int, list[Condition]] = field(default_factory=dict)
    apart: dict[int, Drawer] = field(default_factory=dict)
    _moved: dict[torch.device, Table] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        distributions: Sequence[Distribution],
        names: tuple[str, ...],
        defaults: Mapping[str, float] | None = None,
    ) -> Self:
        """The table of some distributions.

        Args:
            distributions: to draw from.
            names: of the factors to give, all that the distributions speak of among them.
            defaults: of the factors that a distribution does not speak of.
        """
        opened = [_open(distribution) for distribution in distributions]
        constants = [Discrete(name, (value,)) for name, value in (defaults or {}).items()]
        rows = []
        for leaves, _ in opened:
            known = {leaf.name: leaf for leaf in [*constants, *(leaves or ())]}
            rows.append([_pieces(known.get(name, Discrete(name, (0.0,)))) for name in names])
        most = max((len(pieces) for row in rows for pieces in row), default=1)
        padded = torch.tensor(
            [[pieces + [pieces[-1]] * (most - len(pieces)) for pieces in row] for row in rows], dtype=torch.float64
        ).view(len(rows), len(names), most, 4)
        first = torch.arange(len(names)) * most
        return cls(
            tuple(distributions), names, padded[..., :-1, 0].contiguous(), padded[..., 1:].reshape(-1, 3), first,
            {number: conditions for number, (_, conditions) in enumerate(opened) if conditions},
            {number: _mixture(part) for number, part in enumerate(distributions) if opened[number][0] is None},
        )  # fmt: skip

    def draw(
        self, which: Int64[Tensor, " batch"], streams: Streams
    ) -> tuple[Float64[Tensor, "batch factors"], Streams]:
        """A draw for every row of the distribution with the number `which`, and the streams after them."""
        table = self.to(which.device)
        if not self.excluded:
            values, streams = table._in_pieces(which, streams)
        else:
            values, streams = first_fitting(table._in_pieces, table._fits, which, streams, self._vain)
        for number, drawer in self.apart.items():
            rows = (which == number).nonzero()[:, 0]
            if len(rows):
                drawn, advanced = drawer(streams.rows(rows))
                streams = streams.put(rows, advanced)
                for name, column in drawn.items():
                    values[rows, self.names.index(name)] = column
        return values, streams

    def to(self, device: torch.device) -> Table:
        """On another device; itself where it is there already."""
        if self.first.device == device:
            return self
        if device not in self._moved:
            ends, pieces, first = (part.to(device) for part in (self.ends, self.pieces, self.first))
            self._moved[device] = replace(self, ends=ends, pieces=pieces, first=first)
        return self._moved[device]

    def _in_pieces(self, which: Tensor, streams: Streams) -> tuple[Tensor, Streams]:
        unit, streams = streams.uniform(len(self.names))
        place = self.first + (which * (len(self.pieces) // len(self.distributions)))[:, None]
        if self.ends.shape[-1]:
            place = place + (unit[..., None] >= self.ends[which]).sum(-1)
        low, span, top = self.pieces[place].unbind(-1)
        # Two operations, each rounded: one fused operation would round otherwise on some devices and at some places.
        return torch.minimum(low + span * unit, top), streams

    def _fits(self, which: Tensor, values: Tensor) -> Bool[Tensor, " batch"]:
        fits = torch.ones_like(which, dtype=torch.bool)
        factors = dict(zip(self.names, values.unbind(-1)))
        for number, conditions in self.excluded.items():
            for distribution, wanted in conditions:
                fits &= (distribution.contains(factors) == wanted) | (which != number)
        return fits

    def _vain(self, which: Tensor) -> str:
        return str(self.distributions[int(which[0])])


def first_fitting(
    attempt: Callable[[Tensor, Streams], tuple[Tensor, Streams]],
    fits: Callable[[Tensor, Tensor], Tensor],
    task: Int64[Tensor, " batch"],
    streams: Streams,
    name: Callable[[Tensor], str],
) -> tuple[Float64[Tensor, "batch values"], Streams]:
    """For every row the first attempt that fits.

    Args:
        attempt: draws for some rows, given their `task`.
        fits: which draws are accepted, given the rows' task and the draws.
        task: what to draw in each row, as a number.
        streams: of the rows.
        name: what was to be drawn in some rows, for the error.

    Raises:
        DataError: none of `TRIES` attempts fits.
    """
    values, streams = attempt(task, streams)
    failed = (~fits(task, values)).nonzero()[:, 0]
    # A row tries 1, 4, 16, … times at once. Few rows at a time go on to the end, so that a distribution without any
    # fitting draw is found out by the first of them.
    waiting = [(failed, 4, 1)] if len(failed) else []
    while waiting:
        rows, tries, before = waiting.pop()
        if before >= TRIES:
            raise DataError(
                f"{before} tries in a row for '{name(task[rows])}', and none of them fits",
                "a distribution that is not empty",
                "a larger base or a smaller hold-out",
            )
        together = max(1, _MOST_TOGETHER // tries)
        if len(rows) > together:
            waiting.append((rows[together:], tries, before))
            rows = rows[:together]
        each, advanced = streams.rows(rows).fork(tries)
        streams = streams.put(rows, advanced)
        repeated = task[rows].repeat_interleave(tries)
        drawn, _ = attempt(repeated, each)
        accepted = fits(repeated, drawn).view(len(rows), tries)
        first = accepted.int().argmax(1)
        found = accepted.any(1)
        chosen = drawn.view(len(rows), tries, -1)[torch.arange(len(rows), device=rows.device), first]
        values[rows[found]] = chosen[found]
        if not found.all():
            waiting.append((rows[~found], min(4 * tries, _MOST_AT_ONCE), before + tries))
    return values, streams


def _drawer(distribution: Distribution) -> Drawer:
    """What draws from one distribution."""
    names = distribution.names
    table = Table.of((distribution,), names)

    def drawer(streams: Streams) -> tuple[Factors, Streams]:
        values, streams = table.draw(torch.zeros_like(streams.key), streams)
        return dict(zip(names, values.unbind(-1))), streams

    return drawer


def _mixture(distribution: Distribution) -> Drawer:
    """What draws from one distribution with a mixture in it."""
    if isinstance(distribution, Product):
        return _independent([_drawer(component) for component in distribution.components])
    if isinstance(distribution, Union):
        return _mixed(distribution)
    return _filtered(distribution)


def _independent(parts: list[Drawer]) -> Drawer:
    def drawer(streams: Streams) -> tuple[Factors, Streams]:
        drawn: Factors = {}
        for part in parts:
            values, streams = part(streams)
            drawn |= values
        return drawn, streams

    return drawer


def _mixed(union: Union) -> Drawer:
    table = Table.of(union.components, union.names)
    weights = union.weights or (1.0,) * len(union.components)

    def drawer(streams: Streams) -> tuple[Factors, Streams]:
        numbers, streams = streams.uniform()
        values, streams = table.draw(choose(weights, numbers), streams)
        return dict(zip(union.names, values.unbind(-1))), streams

    return drawer


def _filtered(distribution: Distribution) -> Drawer:
    base, conditions = _filter(distribution)
    inner, names = _drawer(base), base.names

    def attempt(_: Tensor, streams: Streams) -> tuple[Tensor, Streams]:
        drawn, streams = inner(streams)
        return torch.stack([drawn[name] for name in names], -1), streams

    def fits(_: Tensor, values: Tensor) -> Tensor:
        factors = dict(zip(names, values.unbind(-1)))
        return torch.stack([other.contains(factors) == wanted for other, wanted in conditions]).all(0)

    def drawer(streams: Streams) -> tuple[Factors, Streams]:
        none = torch.zeros_like(streams.key)
        values, streams = first_fitting(attempt, fits, none, streams, lambda _: str(distribution))
        return dict(zip(names, values.unbind(-1))), streams

    return drawer


def choose(weights: tuple[float, ...], numbers: Float64[Tensor, " batch"]) -> Int64[Tensor, " batch"]:
    """Places 0 to len(weights) - 1, by relative weight, from uniform numbers in [0, 1)."""
    ends = numbers.new_tensor(_ends(weights)[:-1])
    return torch.searchsorted(ends, numbers, right=True)


def _open(distribution: Distribution) -> tuple[list[Continuous | Discrete] | None, list[Condition]]:
    """The single factors that a distribution draws, None where a mixture is among them, and what its draws must
    contain or must not. To draw all factors again where one of several independent ones fails leaves their distribution
    as it is."""
    if isinstance(distribution, Continuous | Discrete):
        return [distribution], []
    if isinstance(distribution, Union):
        return None, []
    if isinstance(distribution, Product):
        opened = [_open(component) for component in distribution.components]
        conditions = [condition for _, conditions in opened for condition in conditions]
        leaves = [part for part, _ in opened if part is not None]
        if len(leaves) < len(opened):
            return None, []
        return [leaf for part in leaves for leaf in part], conditions
    base, further = _filter(distribution)
    inner, conditions = _open(base)
    return (None, []) if inner is None else (inner, conditions + further)


def _filter(distribution: Distribution) -> tuple[Distribution, list[Condition]]:
    """What is drawn, and what the draws must contain or must not."""
    if isinstance(distribution, SetMinus):
        return distribution.base, [(distribution.hold_out, False)]
    if isinstance(distribution, Selection):
        return distribution.base, [(distribution.selected, True)]
    if isinstance(distribution, Intersection):
        others = [part for number, part in enumerate(distribution.components) if number != distribution.sample_from]
        return distribution.components[distribution.sample_from], [(other, True) for other in others]
    raise ConfigError(
        f"a distribution of kind {type(distribution).__name__}",
        "Continuous, Discrete, Product, Union, Intersection, SetMinus or Selection",
        "a scene generator of your own",
    )


def _pieces(leaf: Continuous | Discrete) -> list[list[float]]:
    """End, start, length and largest number of every piece of a single factor."""
    if isinstance(leaf, Continuous):
        return [[math.inf, leaf.low, leaf.high - leaf.low, math.nextafter(leaf.high, leaf.low)]]
    ends = _ends(leaf.probabilities or (1.0,) * len(leaf.values))
    return [[end, value, 0.0, value] for end, value in zip(ends, leaf.values)]


def _ends(weights: Sequence[float]) -> list[float]:
    """The shares of the weights up to each; infinite for the last, whatever the sum is rounded to."""
    sums = list(itertools.accumulate(weights))
    return [*(part / sums[-1] for part in sums[:-1]), math.inf]
