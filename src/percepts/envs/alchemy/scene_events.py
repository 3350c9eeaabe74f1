"""What happens on a table in 3-D, told event by event, as the original tells it.

    for event in events_of(bench, before, after, outcome, row=0):
        match event:
            case PotionUsed(stone=stone, before=old, after=new): ...

Names and contents are those of the original's messages (Wang, King, Porcel et al. 2021), as far as they mean something
here: items have their slot in place of an instance's number, and chemistries this library's own numbers. Events are for
analysis; they tell what is latent, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from percepts.envs.alchemy.bench import CAULDRON, TOP, Bench, BenchState
from percepts.envs.alchemy.chemistry import POTION_COLOURS, chemistry_tables
from percepts.envs.alchemy.table import Outcome

Place = tuple[float, float, float]


@dataclass(frozen=True)
class StoneProperties:
    """What a stone is.

    Attributes:
        colour, size, roundness: as it is perceived: -1, 0 or 1.
        reward: that it shows.
        latent: its vertex.
    """

    colour: int
    size: int
    roundness: int
    reward: int
    latent: int


@dataclass(frozen=True)
class PotionProperties:
    """What a potion is.

    Attributes:
        colour: its name.
        latent: what it does, a number.
    """

    colour: str
    latent: int


@dataclass(frozen=True)
class ChemistryCreated:
    """A chemistry was drawn: at the beginning of an episode, and where it changes within one."""

    graph: int
    potion_map: int
    stone_map: int
    rotation: int


@dataclass(frozen=True)
class TrialStarted:
    """A trial, by its number from 0."""

    trial: int


@dataclass(frozen=True)
class TrialEnded:
    """A trial, by its number from 0."""

    trial: int


@dataclass(frozen=True)
class CauldronCreated:
    """The cauldron and where it stands, in metres."""

    place: Place


@dataclass(frozen=True)
class StoneCreated:
    """A stone at the beginning of a trial, and where its middle is, in metres."""

    stone: int
    properties: StoneProperties
    place: Place


@dataclass(frozen=True)
class PotionCreated:
    """A potion at the beginning of a trial, and where it stands, in metres."""

    potion: int
    properties: PotionProperties
    place: Place


@dataclass(frozen=True)
class PotionUsed:
    """A stone was dipped into a potion, which is used up."""

    stone: int
    potion: int
    before: StoneProperties
    after: StoneProperties
    properties: PotionProperties
    reward: float


@dataclass(frozen=True)
class StoneUsed:
    """A stone went into the cauldron."""

    stone: int
    properties: StoneProperties
    reward: float


Event = (
    ChemistryCreated
    | TrialStarted
    | TrialEnded
    | CauldronCreated
    | StoneCreated
    | PotionCreated
    | PotionUsed
    | StoneUsed
)


def first_events(bench: Bench, state: BenchState, row: int) -> tuple[Event, ...]:
    """The events of an episode's beginning at one table."""
    return _chemistry(state, row), *_trial(bench, state, row)


def events_of(bench: Bench, before: BenchState, after: BenchState, outcome: Outcome, row: int) -> tuple[Event, ...]:
    """The events of a frame at one table, in their order."""
    events: list[Event] = []
    stone, potion, paid = int(outcome.stone[row]), int(outcome.potion[row]), float(outcome.reward[row])
    if stone >= 0:
        old = _stone(before, row, int(outcome.before[row]))
        if bool(outcome.banked[row]):
            events.append(StoneUsed(stone, old, paid))
        else:
            new = _stone(before, row, int(outcome.after[row]))
            events.append(PotionUsed(stone, potion, old, new, _potion(before, row, potion), paid))
    if bool(outcome.new_trial[row]):
        events.append(TrialEnded(int(before.table.trial[row])))
        if not bool(outcome.terminated[row]):
            if _chemistry(before, row) != _chemistry(after, row):
                events.append(_chemistry(after, row))
            events.extend(_trial(bench, after, row))
    return tuple(events)


def _trial(bench: Bench, state: BenchState, row: int) -> list[Event]:
    table = state.table
    events: list[Event] = [TrialStarted(int(table.trial[row])), CauldronCreated((*CAULDRON, TOP))]
    centres = bench.centres(state.rows(slice(row, row + 1)))[0].tolist()
    for slot, (vertex, here) in enumerate(zip(table.stones[row].tolist(), table.stone_here[row].tolist())):
        if here:
            x, y, z = centres[slot]
            events.append(StoneCreated(slot, _stone(state, row, vertex), (x, y, z)))
    for slot, ((x, y), here) in enumerate(zip(state.potions[row].tolist(), table.potion_here[row].tolist())):
        if here:
            events.append(PotionCreated(slot, _potion(state, row, slot), (x, y, TOP)))
    return events


def _chemistry(state: BenchState, row: int) -> ChemistryCreated:
    it = state.table.chemistry
    return ChemistryCreated(int(it.graph[row]), int(it.potion_map[row]), int(it.stone_map[row]), int(it.rotation[row]))


def _stone(state: BenchState, row: int, vertex: int) -> StoneProperties:
    tables, it = chemistry_tables(), state.table.chemistry
    colour, size, roundness = tables.coordinates[int(it.rotation[row]), int(it.stone_map[row]), vertex].long().tolist()
    return StoneProperties(colour, size, roundness, int(tables.shown[vertex]), vertex)


def _potion(state: BenchState, row: int, slot: int) -> PotionProperties:
    latent = int(state.table.potions[row, slot])
    perceived = int(chemistry_tables().perceived_potion[int(state.table.chemistry.potion_map[row]), latent])
    return PotionProperties(POTION_COLOURS[perceived], latent)
