"""The table of Alchemy in space: where things lie, what a hand may do with them, and time that runs out.

    bench = Bench.Config(table=Table.Config(level="random-bottleneck")).build()
    state = bench.reset(seeds=range(8))
    state, outcome = bench.advance(state, hand, grab=stone, drop=none)      # a frame: 1/30 s

A stone that is let go falls straight down: into the potion or the cauldron that is below it, which are actions of
`Table`, or onto the table, which is none. So the same seed brings the same chemistry, stones and potions as in the
symbolic environment. A trial lasts 60 s, as in the original (recalled, not verified); where things lie, and how big all
is, is this library's own.

World coordinates are in metres: x to the right, y away from the player, z up; the middle of the table is in x = y = 0.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from percepts.core.config import Config, Configurable
from percepts.core.errors import ConfigError, DataError
from percepts.envs.alchemy.picture import STONE_SIZES
from percepts.envs.alchemy.table import NONE, Episodes, Outcome, Table, TableState
from percepts.envs.alchemy.table_state import put
from percepts.envs.streams import Streams

TOP, HALF = 0.75, (1.2, 0.7)
"""The height of the table's surface, and half of its width and depth."""
CAULDRON, CAULDRON_RADIUS = (0.0, 0.2), 0.24
POTION_RADIUS = 0.09
STONE_UNIT = 0.07
"""The radius of a stone of size 1."""
HOVER = 0.45
"""How far above the table a hand carries the middle of a stone: over everything that stands there."""
NEAR_POTION = 0.15
"""How far from a potion's middle a stone may fall and still meet it."""

_POTION_SPOTS = tuple((side * x, y) for y in (0.0, 0.26, 0.52) for side in (-1, 1) for x in (0.43, 0.70, 0.97))
_STONE_SPOTS = (
    *((0.3 * place, -0.52) for place in (-2, -1, 0, 1, 2)),
    *((x, -0.24) for x in (-0.45, -0.15, 0.15, 0.45)),
)
_JITTER = 0.02


@dataclass(frozen=True)
class BenchState:
    """Where B tables and everything on them are.

    Attributes:
        table: the tables by the rules.
        places: where the stones lie.
        turned: how they are turned, world from stone.
        potions: where the potions stand.
        held: the stone in the hand, -1 for none.
        hand: where the middle of the hand is.
        frame: frames of the trial that have passed.
        streams: from which places are drawn.
    """

    table: TableState
    places: Float32[Tensor, "batch stones 2"]
    turned: Float32[Tensor, "batch stones 3 3"]
    potions: Float32[Tensor, "batch potions 2"]
    held: Int64[Tensor, " batch"]
    hand: Float32[Tensor, "batch 3"]
    frame: Int64[Tensor, " batch"]
    streams: Streams

    def __len__(self) -> int:
        return len(self.held)

    @property
    def finished(self) -> Bool[Tensor, " batch"]:
        """Whose episode is over."""
        return self.table.finished

    def rows(self, index: Any) -> Self:
        """Some of the tables."""
        return self._each(lambda part: part[index] if isinstance(part, Tensor) else part.rows(index))

    def put(self, index: Any, others: BenchState) -> Self:
        """A copy with the tables at `index` replaced."""
        changed = {
            part.name: put(getattr(self, part.name), index, getattr(others, part.name))
            for part in dataclasses.fields(self)
            if part.name != "table"
        }
        return dataclasses.replace(self, table=self.table.put(index, others.table), **changed)

    def to(self, device: torch.device | str) -> Self:
        """On another device."""
        return self._each(lambda part: part.to(device))

    def _each(self, change: Callable[[Any], Any]) -> Self:
        return type(self)(*(change(getattr(self, part.name)) for part in dataclasses.fields(self)))


class Bench(Configurable):
    """Tables in space, and what happens on them."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Config):
        """Settings.

        Attributes:
            table: the rules. `steps` limits who acts by slots (`Executor`); hands are limited by time alone, and
                `end_trial` makes no difference.
            seconds: that a trial lasts.
            rate: frames in a second.

        Raises:
            ConfigError: numbers out of range, or more stones or potions than there is room for.
        """

        table: Table.Config = field(default_factory=Table.Config)
        seconds: float = 60.0
        rate: int = 30

        def __post_init__(self) -> None:
            if self.rate < 1 or not 0 < self.seconds * self.rate < 1e9 or self.frames < 1:
                raise ConfigError(f"{self.seconds} s at {self.rate} frames/s", "one frame or more")
            for name, most in (("stones", len(_STONE_SPOTS)), ("potions", len(_POTION_SPOTS))):
                if getattr(self.table, name) > most:
                    raise ConfigError(f"{getattr(self.table, name)} {name} on a table", f"{most} at most")

        @property
        def frames(self) -> int:
            """Of a trial."""
            return round(self.seconds * self.rate)

    config: Config

    def __init__(self, config: Config) -> None:
        self.config = config
        # No more than one action fits into a frame, so that these steps never run out.
        self.table = Table(dataclasses.replace(config.table, end_trial=True, steps=config.frames + 2))

    def reset(self, seeds: Iterable[int], device: torch.device | str = "cpu") -> BenchState:
        """The first episode of a table for each seed.

        Raises:
            DataError: as of `Table.reset`.
        """
        given = [int(seed) for seed in seeds]
        return self._laid(self.table.reset(given, device), Streams.of(given, "alchemy bench", device=device))

    def play(self, episodes: Episodes, seeds: Iterable[int] | None = None) -> BenchState:
        """Tables that play given episodes; see `Table.play`."""
        given = list(range(len(episodes)) if seeds is None else seeds)
        table = self.table.play(episodes, given)
        return self._laid(table, Streams.of(given, "alchemy bench", device=episodes.stones.device))

    def restart(self, state: BenchState, rows: Bool[Tensor, " batch"]) -> BenchState:
        """The next episode at some of the tables.

        Raises:
            DataError: as of `Table.restart`.
        """
        table = self.table.restart(state.table, rows)
        index = rows.nonzero()[:, 0]
        return state.put(index, self._laid(table.rows(index), state.streams.rows(index))) if len(index) else state

    def radii(self, state: BenchState) -> Float32[Tensor, "batch stones"]:
        """Of the stones, in metres."""
        sizes = _sizes(str(state.held.device))
        return sizes[self.table.perceived_stones(state.table)[..., 1].long() + 1]

    def centres(self, state: BenchState) -> Float32[Tensor, "batch stones 3"]:
        """The middles of the stones, in metres."""
        lying = torch.cat([state.places, TOP + self.radii(state)[..., None]], -1)
        slot = torch.arange(lying.shape[1], device=lying.device)
        return torch.where((slot == state.held[:, None])[..., None], state.hand[:, None], lying)

    def advance(
        self,
        state: BenchState,
        hand: Float32[Tensor, "batch 3"],
        grab: Int64[Tensor, " batch"],
        drop: Bool[Tensor, " batch"],
        turned: Float32[Tensor, "batch stones 3 3"] | None = None,
    ) -> tuple[BenchState, Outcome]:
        """One frame. Where an episode is over nothing happens.

        Args:
            state: before.
            hand: where it goes; what it holds goes with it.
            grab: the stone that an empty hand takes, -1 for none.
            drop: whether the hand lets go.
            turned: how the stones are turned from now on.

        Raises:
            DataError: a stone that there is not.
        """
        if len(grab) and not -1 <= int(grab.min()) <= int(grab.max()) < state.places.shape[1]:
            raise DataError(f"stones {grab.tolist()} to grab", f"-1 to {state.places.shape[1] - 1}")
        going = ~state.finished
        there = state.table.stone_here.gather(1, grab.clamp(min=0)[:, None])[:, 0]
        taken = (state.held < 0) & (grab >= 0) & there & going
        held = torch.where(taken, grab, state.held)
        state = dataclasses.replace(
            state,
            held=held,
            hand=torch.where(going[:, None], hand, state.hand),
            turned=state.turned if turned is None else turned,
            frame=state.frame + going,
        )
        outcome = _nothing(state.table)
        falls = drop & (held >= 0) & going
        if bool(falls.any()):
            state = self._fall(state, falls, outcome)
        over = going & (state.frame >= self.config.frames)
        return (self._end(state, over, outcome) if bool(over.any()) else state), outcome

    def end_trial(self, state: BenchState, rows: Bool[Tensor, " batch"]) -> tuple[BenchState, Outcome]:
        """End the trial at some of the tables, as if its time were up."""
        outcome = _nothing(state.table)
        rows = rows & ~state.finished
        return (self._end(state, rows, outcome) if bool(rows.any()) else state), outcome

    def _fall(self, state: BenchState, falls: Tensor, outcome: Outcome) -> BenchState:
        """What hands let go of meets what is below; the outcome is written into `outcome`."""
        index = falls.nonzero()[:, 0]
        part = state.rows(index)
        place, stone = part.hand[:, :2], part.held
        away = length(part.potions - place[:, None])
        away = torch.where(part.table.potion_here, away, torch.inf)
        away = torch.cat([away, away.new_full((len(away), 1), torch.inf)], 1)
        nearest, potion = away.min(1)
        cauldron = length(place - place.new_tensor(CAULDRON)) <= CAULDRON_RADIUS
        dips = (nearest <= NEAR_POTION) & ~cauldron
        meets = torch.where(cauldron, 0, 1 + potion)
        count = self.config.table.potions + 1
        action = torch.where(cauldron | dips, 2 + count * stone + meets, 1)
        acts = action > 1
        table = part.table
        if bool(acts.any()):
            some = acts.nonzero()[:, 0]
            after, happened = self.table.step(table.rows(some), action[some])
            table = table.put(some, after)
            _write(outcome, index[some], happened)
        part = dataclasses.replace(part, table=table, held=torch.full_like(stone, NONE))
        if self.config.table.potions:
            spot = part.potions.gather(1, potion.clamp(max=count - 2)[:, None, None].expand(-1, 1, 2))[:, 0]
            place = torch.where(dips[:, None], spot, place)
        place = torch.where(dips[:, None], place, self._free(part, stone, place))
        rows = torch.arange(len(stone), device=stone.device)
        return state.put(index, dataclasses.replace(part, places=put(part.places, (rows, stone), place)))

    def _free(self, state: BenchState, stone: Tensor, place: Tensor) -> Tensor:
        """Places [B, 2] on the table near those wanted, beside what lies and stands there: pushed away a few times from
        whatever is in the way."""
        radii = self.radii(state)
        own = radii.gather(1, stone[:, None])
        slot = torch.arange(radii.shape[1], device=radii.device)
        others = state.table.stone_here & (slot != stone[:, None])
        pot = place.new_tensor(CAULDRON).expand(len(place), 1, 2)
        things = torch.cat([state.places, state.potions, pot], 1)
        radius = torch.cat(
            [
                radii,
                radii.new_full(state.potions.shape[:2], POTION_RADIUS),
                radii.new_full((len(place), 1), CAULDRON_RADIUS),
            ],
            1,
        )
        there = torch.cat([others, state.table.potion_here, others.new_ones(len(place), 1)], 1)
        for _ in range(8):
            place = _on_table(place, own)
            way = place[:, None] - things
            distance = length(way)
            depth = torch.where(there, own + radius - distance, -1.0)
            most, which = depth.max(1)
            push = way.gather(1, which[:, None, None].expand(-1, 1, 2))[:, 0]
            far = length(push)[:, None]
            aside = torch.where(far > 1e-6, push / far.clamp(min=1e-6), push.new_tensor((0.0, -1.0)))
            place = place + aside * most.clamp(min=0)[:, None]
        return _on_table(place, own)

    def _end(self, state: BenchState, over: Tensor, outcome: Outcome) -> BenchState:
        """Begin the next trials."""
        index = over.nonzero()[:, 0]
        part = state.rows(index)
        table, ended = self.table.step(part.table, torch.zeros_like(part.held))
        outcome.new_trial[index], outcome.terminated[index] = True, ended.terminated
        begun = self._laid(table, part.streams)
        # After the last trial everything stays where it is.
        kept = dataclasses.replace(part, table=table, held=torch.full_like(part.held, NONE))
        last = table.finished
        begun = begun if not bool(last.any()) else begun.put(last, kept.rows(last))
        begun = dataclasses.replace(begun, hand=part.hand)
        return state.put(index, begun)

    def _laid(self, table: TableState, streams: Streams) -> BenchState:
        """Stones and potions on spots of their own, and the hand above the table."""
        (batch, stones), potions, device = table.stones.shape, table.potions.shape[1], table.stones.device
        drawn, streams = streams.uniform(len(_STONE_SPOTS) + len(_POTION_SPOTS) + 2 * (stones + potions))
        parts = drawn.split([len(_STONE_SPOTS), len(_POTION_SPOTS), 2 * stones, 2 * potions], 1)
        places = []
        for order, shift, spots, count in zip(parts[:2], parts[2:], (_STONE_SPOTS, _POTION_SPOTS), (stones, potions)):
            spot = torch.tensor(spots, device=device)[order.argsort(1)[:, :count]]
            places.append(spot + (2 * shift.view(batch, count, 2) - 1).float() * _JITTER)
        return BenchState(
            table=table,
            places=places[0],
            turned=torch.eye(3, device=device).expand(batch, stones, 3, 3).clone(),
            potions=places[1],
            held=torch.full((batch,), NONE, device=device),
            hand=torch.tensor((0.0, -0.35, TOP + HOVER), device=device).expand(batch, 3).clone(),
            frame=torch.zeros(batch, dtype=torch.int64, device=device),
            streams=streams,
        )


def length(vector: Tensor) -> Tensor:
    """Of vectors [..., n], by sums whose last bit does not depend on the batch."""
    total = vector[..., 0].square()
    for axis in range(1, vector.shape[-1]):
        total = total + vector[..., axis].square()
    return total.sqrt()


def _on_table(place: Tensor, radius: Tensor) -> Tensor:
    edge = place.new_tensor(HALF) - radius
    return torch.maximum(torch.minimum(place, edge), -edge)


def _nothing(table: TableState) -> Outcome:
    """The outcome of a frame in which nothing happens."""
    none = torch.full_like(table.trial, NONE)
    false = torch.zeros_like(table.finished)
    return Outcome(
        torch.zeros_like(table.score), table.finished.clone(), false, none, none.clone(), false.clone(), none.clone(),
        none.clone(),
    )  # fmt: skip


def _write(outcome: Outcome, index: Tensor, happened: Outcome) -> None:
    for part in dataclasses.fields(Outcome):
        getattr(outcome, part.name)[index] = getattr(happened, part.name)


@functools.cache
def _sizes(device: str) -> Float32[Tensor, "3"]:
    """Radii of small, medium and large stones."""
    return STONE_UNIT * torch.tensor(STONE_SIZES, device=device)
