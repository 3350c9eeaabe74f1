"""The ideal observer: published values, and equal to a search without any of its shortcuts."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pytest
import torch

from percepts.agents.alchemy.belief_search import BeliefSearch, Choice, looks_of
from percepts.agents.alchemy.ideal_observer import IdealObserver, worth_of
from percepts.agents.alchemy.oracle import OracleAgent, oracle_scores
from percepts.agents.alchemy.playing import play
from percepts.agents.alchemy.searching import Qmdp
from percepts.core.errors import CapabilityError, ConfigError
from percepts.envs.alchemy.chemistry import Chemistry, chemistry_tables
from percepts.envs.alchemy.levels import NARROW, OPEN, Level, level
from percepts.envs.alchemy.posterior import PosteriorFilter
from percepts.envs.alchemy.table import Episodes, Rewards, Table

PLAIN = [0.0, 0.0, 1.0, 3.0]
USUAL = [-3.0, -1.0, 1.0, 15.0]


def search_of(
    one: Level, stones: Sequence[tuple[tuple[int, int, int], int]], worth: Sequence[float], explore: bool = False
) -> tuple[BeliefSearch, list[int]]:
    """A search from the first look at stones: perceived coordinates and rewards."""
    knowledge = PosteriorFilter(one)
    coordinates = torch.tensor([[coordinate for coordinate, _ in stones]], dtype=torch.float32)
    reward = torch.tensor([[shown for _, shown in stones]])
    here = torch.ones(1, len(stones), dtype=torch.bool)
    posterior = knowledge.see_stones(knowledge.prior(1), coordinates, reward, here)
    return BeliefSearch(knowledge, posterior, worth, explore), looks_of(coordinates, reward)[0].tolist()


def best(
    name: str, rewards: Sequence[int], colours: Sequence[int], worth: Sequence[float] = PLAIN, explore: bool = False
) -> Choice:
    search, looks = search_of(level(name), [((1, 1, 1), reward) for reward in rewards], worth, explore)
    return search.best(search.root, looks, tuple(list(colours).count(colour) for colour in range(6)))


@pytest.mark.parametrize("name", ["no-bottleneck", "random-bottleneck"])
@pytest.mark.parametrize(
    ("rewards", "colours", "value"), [([3], [], 3), ([1], [], 1), ([-1], [], 0), ([3], [1], 3), ([3], [0, 1], 3)]
)
def test_published_values_without_anything_to_gain(
    name: str, rewards: list[int], colours: list[int], value: float
) -> None:
    choice = best(name, rewards, colours)
    assert choice == Choice(value, 0.0, None)


def test_published_values_of_experiments() -> None:
    """dm_alchemy's tests give and explain 4/3 and 7/12."""
    assert best("no-bottleneck", [1], [0, 1]).value == pytest.approx(4 / 3, abs=1e-12)
    assert best("no-bottleneck", [-1], [0, 2]).value == pytest.approx(7 / 12, abs=1e-12)


Stones = list[tuple[tuple[int, int, int], int]]

ORIGINAL: list[tuple[Stones, list[int], float, float]] = [
    ([((1, 1, 1), 1)], [2, 3], 4.36284722, -1938.25),
    ([((1, -1, -1), 3)], [4, 2, 4], 15.0, -1044.46354),
    ([((-1, 1, 1), 1)], [4, 0, 2, 3], 6.09548610, -341.322267),
    ([((1, 1, -1), -1), ((-1, -1, 1), 1)], [5, 5], 2.81076388, -1938.25),
    ([((-1, 1, -1), 1), ((-1, -1, -1), -1)], [1, 4, 3], 4.59830729, -851.483075),
    ([((1, -1, 1), 1), ((1, -1, 1), 1)], [4, 1, 4, 4], 6.97222221, -2874.67362),
    ([((1, 1, -1), 3), ((1, -1, -1), 1), ((-1, -1, 1), -3)], [3, 0, 0], 19.1514757, -365.909723),
    ([((-1, 1, 1), -1)], [4, 1, 1, 5, 4], 2.26909722, -733.352434),
    ([((1, 1, -1), 1), ((1, -1, 1), 1)], [4, 5, 2, 1], 9.89149304, -249.705079),
    ([((-1, -1, 1), 3)], [1, 2, 3, 0], 15.0, -133.927084),
]
"""Stones, colours, and what dm_alchemy's ideal observer (bonus 12) and ideal explorer find on random-bottleneck, as it
computed them with a prior in single precision."""


@pytest.mark.parametrize(("stones", "colours", "reward", "world_states"), ORIGINAL)
def test_equals_the_original(stones: Stones, colours: list[int], reward: float, world_states: float) -> None:
    counts = tuple(colours.count(colour) for colour in range(6))
    for explore, expected in ((False, reward), (True, world_states)):
        search, looks = search_of(level("random-bottleneck"), stones, USUAL, explore)
        assert search.best(search.root, looks, counts).value == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("name", ["no-bottleneck", "random-bottleneck"])
@pytest.mark.parametrize("stones", [[((1, 1, 1), -1)], [((1, 1, 1), 1), ((1, -1, 1), -1)]])
@pytest.mark.parametrize("colours", [(0, 1, 3), (0, 2, 2), (5, 2, 4)])
def test_equals_a_search_without_shortcuts(name: str, stones: Stones, colours: tuple[int, ...]) -> None:
    """Over explicit lists of chemistries, every colour and every outcome."""
    search, looks = search_of(level(name), stones, USUAL)
    tables, prior = chemistry_tables(), level(name).prior()
    numbers = search.hypotheses.tolist()
    weights = [float(prior[number[3]]) for number in numbers]
    see = {}
    for rotation, stone_map in {(row[0], row[2]) for row in numbers}:
        shown = looks_of(tables.coordinates[rotation, stone_map], tables.shown).tolist()
        see[rotation, stone_map] = (shown, {look: vertex for vertex, look in enumerate(shown)})
    moves, latent = tables.transition.tolist(), tables.latent_potion.tolist()

    @functools.cache
    def expected(left: tuple[int, ...], have: tuple[int, ...], alive: tuple[int, ...]) -> float:
        found = sum(max(0.0, USUAL[look % 4]) for look in left)
        for place, look in enumerate(left):
            for number, colour in enumerate(have):
                outcomes: dict[int, list[int]] = {}
                for one in alive:
                    rotation, potion_map, stone_map, graph = numbers[one]
                    shown, vertex = see[rotation, stone_map]
                    after = shown[moves[graph][vertex[look]][latent[potion_map][colour]]]
                    outcomes.setdefault(after, []).append(one)
                total, value = 0.0, 0.0
                for after, those in outcomes.items():
                    rest = tuple(sorted((*left[:place], after, *left[place + 1 :])))
                    mass = sum(weights[one] for one in those)
                    total += mass
                    value += mass * expected(rest, (*have[:number], *have[number + 1 :]), tuple(those))
                found = max(found, value / total)
        return found

    # A part of the hypotheses is as good a belief as all of them, and the list is then short.
    some = tuple(range(0, len(numbers), max(1, len(numbers) // 150)))
    belief = sum(1 << one for one in some)
    counts = tuple(colours.count(colour) for colour in range(6))
    assert search.best(belief, looks, counts).value == pytest.approx(expected(tuple(sorted(looks)), colours, some))


def test_merging_colours_changes_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    stones = [((1, 1, 1), 1), ((1, -1, 1), -1)]
    counts = (1, 1, 1, 0, 1, 0)
    search, looks = search_of(level("random-bottleneck"), stones, USUAL)
    merged = search.best(search.root, looks, counts)
    monkeypatch.setattr(BeliefSearch, "_interchangeable", lambda *_: False)
    other, _ = search_of(level("random-bottleneck"), stones, USUAL)
    apart = other.best(other.root, looks, counts)
    assert merged.value == pytest.approx(apart.value, abs=1e-12)
    assert merged.moves == pytest.approx(apart.moves, abs=1e-12)
    assert len(search._known) < 0.6 * len(other._known)


def test_an_explorer_uses_what_an_observer_leaves() -> None:
    """A stone worth -3 and one potion: no reward can come of it, knowledge can."""
    assert best("random-bottleneck", [-3], [0], USUAL) == Choice(0.0, 0.0, None)
    choice = best("random-bottleneck", [-3], [0], USUAL, explore=True)
    assert choice.dip is not None
    search, _ = search_of(level("random-bottleneck"), [((1, 1, 1), -3)], USUAL)
    assert -len(search.hypotheses) < choice.value < -1


def test_too_much_to_look_at_is_an_error() -> None:
    search, looks = search_of(level("random-bottleneck"), [((1, 1, 1), 1)], USUAL)
    search.most = 100
    with pytest.raises(CapabilityError, match=r"more than 100 situations.*Qmdp"):
        search.best(search.root, looks, (1, 1, 1, 1, 1, 0))


def one_episode(stones: list[list[int]], potions: list[list[int]], graph: int = OPEN) -> Episodes:
    def padded(rows: list[list[int]]) -> torch.Tensor:
        width = max(map(len, rows))
        return torch.tensor([[[*row, *[-1] * (width - len(row))] for row in rows]])

    return Episodes(Chemistry.of(graph, 7, 7, 0), padded(stones), padded(potions))


def test_knowledge_is_taken_to_the_next_trial() -> None:
    """Two episodes of dm_alchemy's tests: what three potions taught about a stone worth -3 is worth 15 afterwards."""
    up, table = [1, 3, 5], Table.Config(level="random-bottleneck", trials=2, stones=1, potions=3, steps=4).build()
    for last, expected in ((3, [15.0, 15.0]), (5, [15.0, 1.0])):
        episode = one_episode([[0], [last]], [up, [0, 2, 5]])
        assert play(IdealObserver(table), table, episodes=episode).scores.tolist() == [expected]


def test_knows_a_fixed_level_as_the_oracle() -> None:
    """dm_alchemy's test of a detour on the first bottleneck: 16, as the oracle."""
    table = Table.Config(level="fixed-bottleneck1", trials=1, stones=2, potions=3, steps=5).build()
    episode = one_episode([[0, 3]], [[1, 3, 5]], NARROW["bottleneck1"])
    assert play(IdealObserver(table), table, episodes=episode).scores.tolist() == [[16.0]]
    table = Table.Config(level="fixed-bottleneck1", trials=2, stones=2, potions=4, steps=6).build()
    assert torch.equal(
        play(IdealObserver(table), table, range(10)).scores.double(), oracle_scores(table, table.episodes(range(10)))
    )


def test_is_between_the_oracle_and_the_rest() -> None:
    table = Table.Config(level="random-bottleneck", trials=3, stones=2, potions=3, steps=5, end_trial=True).build()
    seeds = range(10)
    observer = play(IdealObserver(table), table, seeds, beliefs=True)
    explorer = play(IdealObserver(table, explore=True), table, seeds, beliefs=True)
    assert (observer.scores <= play(OracleAgent(table), table, seeds).scores).all()
    assert observer.mean > explorer.mean
    assert observer.beliefs is not None
    assert explorer.beliefs is not None
    assert explorer.beliefs.entropy[:, 0].mean() < observer.beliefs.entropy[:, 0].mean()
    # Nearly the same as QMDP on tables so small, where there is little time to use what is learned.
    assert observer.mean >= play(Qmdp(table), table, seeds).mean - 3


def test_rotations_that_are_not_known_yet() -> None:
    table = Table.Config(level="rotation-random-bottleneck", trials=2, stones=1, potions=3, steps=4).build()
    seeds = range(5)
    scores = play(IdealObserver(table), table, seeds).scores.double()
    assert (scores <= oracle_scores(table, table.episodes(seeds))).all()


def test_a_changed_chemistry_is_searched_anew() -> None:
    table = Table.Config(
        level="no-bottleneck", trials=4, stones=1, potions=3, steps=4, switch_trials=(2,), end_trial=True
    ).build()
    for memory in ("carry", "reset"):
        agent = IdealObserver(table, memory=memory)  # type: ignore[arg-type]
        assert play(agent, table, range(8)).scores.isfinite().all()


def test_bad_settings() -> None:
    with pytest.raises(ConfigError, match=r"steps = 14.*15"):
        IdealObserver(Table.Config(steps=14).build())
    with pytest.raises(ConfigError, match="do not show their values"):
        IdealObserver(Table.Config(rewards=Rewards(weights=(1.0, 2.0, 1.0))).build())
    assert worth_of(Table.Config().build()) == USUAL
