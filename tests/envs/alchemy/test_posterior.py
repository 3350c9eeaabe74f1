"""The exact posterior: equal to counting chemistries one by one, and what it says of the level's prior."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from percepts.core.errors import DataError
from percepts.core.random import torch_generator
from percepts.envs.alchemy.chemistry import GRAPHS, POTION_MAPS, ROTATIONS, STONE_MAPS, Chemistry, chemistry_tables
from percepts.envs.alchemy.evidence import evidence_tables, packed, place_of, unpacked
from percepts.envs.alchemy.levels import Level, level
from percepts.envs.alchemy.posterior import Posterior, PosteriorFilter

TABLES = chemistry_tables()
NAMES = ("rotation-random-bottleneck", "random-bottleneck", "no-bottleneck", "fixed", "fixed-bottleneck1")


def everything() -> Chemistry:
    """All chemistries, in the order of `PosteriorFilter.alive`."""
    numbers = torch.cartesian_prod(*(torch.arange(n) for n in (ROTATIONS, POTION_MAPS, STONE_MAPS, GRAPHS)))
    rotation, potion_map, stone_map, graph = numbers.T
    return Chemistry(graph, potion_map, stone_map, rotation)


ALL = everything()


def priors(one: Level) -> Tensor:
    """Of `ALL`, up to a factor."""
    there = torch.isin(ALL.potion_map, torch.tensor(one.potion_maps))
    there &= torch.isin(ALL.stone_map, torch.tensor(one.stone_maps)) & (ALL.rotation < len(one.rotations))
    return one.prior()[ALL.graph] * there


class Counted:
    """The posterior of one episode by trying all chemistries: whether what is seen is what they would have shown."""

    def __init__(self, one: Level) -> None:
        self.weights = priors(one)

    def see(self, coordinates: Tensor, reward: Tensor) -> None:
        self.weights = self.weights * (self.vertices(coordinates, reward) >= 0)

    def vertices(self, coordinates: Tensor, reward: Tensor) -> Tensor:
        """The latent vertex of a stone in every chemistry, -1 where no vertex looks so."""
        same = (TABLES.coordinates == coordinates).all(-1) & (TABLES.shown == reward)
        return torch.where(same.any(-1), same.int().argmax(-1), -1)[ALL.rotation, ALL.stone_map]

    def outcome(self, before: Tensor, before_reward: Tensor, colour: int, after: Tensor, after_reward: Tensor) -> None:
        start, end = self.vertices(before, before_reward), self.vertices(after, after_reward)
        found = TABLES.transition[ALL.graph, start, TABLES.latent_potion[ALL.potion_map, colour]]
        self.weights = self.weights * ((start >= 0) & (end >= 0) & (found == end))

    def entropy(self) -> float:
        p = self.weights[self.weights > 0] / self.weights.sum()
        return float(-(p * p.log2()).sum())


def played(one: Level, episodes: int, steps: int, seed: int) -> list[tuple[Posterior, list[Counted]]]:
    """Random play of one stone after a look at two, by the filter and by counting, after every step."""
    generator = torch_generator(seed, "posterior")
    knowledge = PosteriorFilter(one)
    chemistry = knowledge.sample(knowledge.prior(1), episodes, generator)
    stones = torch.randint(0, 8, (episodes, 3), generator=generator)
    here = torch.tensor([[True, True, False]]).expand(episodes, -1)
    seen = TABLES.coordinates[chemistry.rotation[:, None], chemistry.stone_map[:, None], stones]
    posterior = knowledge.see_stones(knowledge.prior(episodes), seen, TABLES.shown[stones], here)
    counted = [Counted(one) for _ in range(episodes)]
    for episode, slot in itertools.product(range(episodes), range(2)):
        counted[episode].see(seen[episode, slot], TABLES.shown[stones[episode, slot]])
    result = [(posterior, [*map(copied, counted)])]
    vertex = stones[:, 0]
    for _ in range(steps):
        colour = torch.randint(0, 6, (episodes,), generator=generator)
        rows = torch.rand(episodes, generator=generator) < 0.8
        moved = TABLES.transition[chemistry.graph, vertex, TABLES.latent_potion[chemistry.potion_map, colour]]
        after = torch.where(rows, moved, vertex)
        looks = [TABLES.coordinates[chemistry.rotation, chemistry.stone_map, each] for each in (vertex, after)]
        shown = [TABLES.shown[each] for each in (vertex, after)]
        posterior = knowledge.outcome(posterior, looks[0], shown[0], colour, looks[1], shown[1], rows)
        for episode in rows.nonzero()[:, 0].tolist():
            counted[episode].outcome(
                looks[0][episode], shown[0][episode], int(colour[episode]), looks[1][episode], shown[1][episode]
            )
        vertex = after
        result.append((posterior, [*map(copied, counted)]))
    return result


def copied(one: Counted) -> Counted:
    other = object.__new__(Counted)
    other.weights = one.weights
    return other


@pytest.mark.parametrize("name", NAMES)
def test_equals_counting_all_chemistries(name: str) -> None:
    one = level(name)
    knowledge = PosteriorFilter(one)
    for posterior, counted in played(one, episodes=3, steps=12, seed=3)[::3]:
        weights = torch.stack([each.weights for each in counted]) > 0
        alive = knowledge.alive(posterior).flatten(1)
        torch.testing.assert_close(alive, weights[:, : alive.shape[1]], rtol=0, atol=0)
        assert not weights[:, alive.shape[1] :].any()
        counts = knowledge.counts(posterior)
        entropy = knowledge.entropy(posterior)
        for episode, each in enumerate(counted):
            left = ALL.rows(each.weights > 0)
            assert counts.world_states[episode] == len(left)
            assert counts.first_world_states[episode] == (left.rotation == left.rotation.min()).sum()
            for field, values in (("potion_maps", left.potion_map), ("stone_maps", left.stone_map)):
                assert getattr(counts, field)[episode] == len(values.unique())
            assert counts.graphs[episode] == len(left.graph.unique())
            assert counts.rotations[episode] == len(left.rotation.unique())
            assert entropy[episode] == pytest.approx(each.entropy(), abs=1e-9)


@pytest.mark.parametrize("graphs", [(9,), (0, 50, 108)])
def test_graphs_that_reflection_does_not_keep_are_exact(graphs: tuple[int, ...]) -> None:
    """Random maps with few graphs: stone map and aligned graph depend on each other."""
    one = Level(graphs=graphs)
    knowledge = PosteriorFilter(one)
    for posterior, counted in played(one, episodes=2, steps=8, seed=1)[::2]:
        weights = torch.stack([each.weights for each in counted])
        assert torch.equal(knowledge.alive(posterior).flatten(1), weights > 0)
        expected = torch.tensor([each.entropy() for each in counted], dtype=torch.float64)
        torch.testing.assert_close(knowledge.entropy(posterior), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "bits"), [("rotation-random-bottleneck", 16.27), ("random-bottleneck", 14.27)])
def test_prior_has_the_known_entropy(name: str, bits: float) -> None:
    knowledge = PosteriorFilter(level(name))
    prior = knowledge.prior(2)
    assert knowledge.entropy(prior).tolist() == pytest.approx([bits, bits], abs=0.005)
    assert knowledge.counts(prior).world_states[0] == 41856 * knowledge.rotations
    # A quarter for each number of constraints, of which there are graphs 1, 12, 48 and 48.
    exact = math.log2(48 * 8 * knowledge.rotations) + 2 + (math.log2(12) + 2 * math.log2(48)) / 4
    assert knowledge.entropy(prior)[0] == pytest.approx(exact, abs=1e-9)


def test_fixed_levels_have_nothing_to_learn() -> None:
    knowledge = PosteriorFilter(level("fixed"))
    assert knowledge.entropy(knowledge.prior(1)).item() == 0
    view = knowledge.view(knowledge.prior(1))[0]
    assert view.tolist() == [1.0] * 12 + [1.0] + [0.0] * 5 + [1.0] * 6 + [1.0, 0.0, 0.0, 0.0]


def test_an_episode_does_not_depend_on_the_others() -> None:
    one = level("rotation-random-bottleneck")
    knowledge = PosteriorFilter(one)
    posterior, _ = played(one, episodes=5, steps=6, seed=0)[-1]
    uniform = torch.rand(5, 4, 3, generator=torch_generator(0, "numbers"), dtype=torch.float64)
    together = knowledge.chosen(posterior, uniform)
    alone = knowledge.chosen(posterior.rows(slice(3, 4)), uniform[3:4])
    assert torch.equal(together.graph[12:16], alone.graph)
    assert torch.equal(together.potion_map[12:16], alone.potion_map)
    assert torch.equal(knowledge.entropy(posterior)[3:4], knowledge.entropy(posterior.rows(slice(3, 4))))


def test_samples_follow_the_posterior() -> None:
    one = level("random-bottleneck")
    knowledge = PosteriorFilter(one)
    posterior, counted = played(one, episodes=3, steps=7, seed=5)[-1]
    number = 2000
    sample = knowledge.sample(posterior, number, torch_generator(0, "sample"))
    assert knowledge.allows(posterior, sample, number).all()
    for episode, each in enumerate(counted):
        rows = slice(number * episode, number * (episode + 1))
        for drawn, values, size in (
            (sample.graph[rows], ALL.graph, GRAPHS),
            (sample.potion_map[rows], ALL.potion_map, POTION_MAPS),
            (sample.stone_map[rows], ALL.stone_map, STONE_MAPS),
        ):
            p = torch.zeros(size, dtype=torch.float64).index_add_(0, values, each.weights / each.weights.sum())
            error = drawn.bincount(minlength=size) / number - p
            assert (error.abs() < 4.5 * (p * (1 - p) / number).sqrt() + 1e-9).all()


def test_allows_what_is_alive() -> None:
    one = level("rotation-random-bottleneck")
    knowledge = PosteriorFilter(one)
    posterior, counted = played(one, episodes=2, steps=3, seed=2)[-1]
    every = slice(None, None, 97)
    some = ALL.rows(every)
    twice = Chemistry(*(torch.cat([values, values]) for values in vars(some).values()))
    allowed = knowledge.allows(posterior, twice, len(some)).view(2, -1)
    assert torch.equal(allowed, torch.stack([each.weights[every] > 0 for each in counted]))
    assert allowed.any()


def test_rotated_chemistries_are_not_allowed_without_rotation() -> None:
    knowledge = PosteriorFilter(level("random-bottleneck"))
    prior = knowledge.prior(1)
    assert knowledge.allows(prior, Chemistry.of(0, 0, 0, [0, 1, 2, 3]), 4).tolist() == [True, False, False, False]


@pytest.mark.parametrize("one", [level("random-bottleneck"), Level(graphs=(0, 50, 108), rotation=False)])
def test_contradictions_empty_the_posterior(one: Level) -> None:
    knowledge = PosteriorFilter(one)
    assert knowledge.separate == (one.graphs is None)
    corner = torch.tensor([[1.0, 1.0, 1.0]]).expand(3, -1)
    other = torch.tensor([[-1.0, 1.0, 1.0]]).expand(3, -1)
    three, one = torch.full((3,), 3), torch.full((3,), 1)
    rows = torch.tensor([True, False, True])
    colour = torch.zeros(3, dtype=torch.int64)
    moved = knowledge.outcome(knowledge.prior(3), corner, three, colour, other, one)
    assert not knowledge.empty(moved).any()
    # The same colour moves the stone back, which no potion does.
    back = knowledge.outcome(moved, other, one, colour, corner, three, rows)
    assert knowledge.empty(back).tolist() == rows.tolist()
    counts = knowledge.counts(back)
    assert counts.world_states[0] == 0
    assert counts.world_states[1] > 0
    with pytest.raises(DataError, match=r"2 posteriors are empty.*forget"):
        knowledge.sample(back, 2, torch_generator(0))
    again = knowledge.forget(back, knowledge.empty(back))
    assert torch.equal(again.chemistries[0], knowledge.prior(1).chemistries[0])
    assert torch.equal(again.chemistries[1], moved.chemistries[1])


def test_what_no_stone_can_look_like_empties_it() -> None:
    knowledge = PosteriorFilter(level("rotation-random-bottleneck"))
    middle = torch.zeros(1, 1, 3)
    seen = knowledge.see_stones(knowledge.prior(1), middle, torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool))
    assert knowledge.empty(seen).item()
    absent = knowledge.see_stones(knowledge.prior(1), middle + 2, middle[..., 0] + 2, torch.zeros(1, 1) > 0)
    assert torch.equal(absent.stone_maps, knowledge.prior(1).stone_maps)


def test_rewards_may_be_fractions_that_rounding_made() -> None:
    knowledge = PosteriorFilter(level("random-bottleneck"))
    here = torch.ones(1, 1, dtype=torch.bool)
    corner = torch.ones(1, 1, 3)
    for reward in (-3, -1, 1, 3):
        exact = knowledge.see_stones(knowledge.prior(1), corner, torch.tensor([[reward]]), here)
        shown = torch.tensor([[reward / 3]]) * 3 - 1e-6
        assert torch.equal(knowledge.see_stones(knowledge.prior(1), corner, shown, here).stone_maps, exact.stone_maps)


def test_view_is_certain_only_of_what_all_chemistries_share() -> None:
    one = level("rotation-random-bottleneck")
    knowledge = PosteriorFilter(one)
    evidence = evidence_tables()
    certain = 0
    for posterior, counted in played(one, episodes=3, steps=15, seed=8)[::5]:
        view = knowledge.view(posterior)
        for episode, each in enumerate(counted):
            left = ALL.rows(each.weights > 0)
            aligned = TABLES.edges[evidence.reflected[left.stone_map, left.graph]].float()
            facts = torch.cat(
                [
                    aligned,
                    torch.nn.functional.one_hot(left.potion_map // 8, 6).float(),
                    (TABLES.sign[left.potion_map % 8] > 0).float(),
                    (TABLES.sign[left.stone_map] > 0).float(),
                    torch.nn.functional.one_hot(left.rotation, 4).float(),
                ],
                1,
            )
            low, high = facts.amin(0), facts.amax(0)
            expected = torch.where(low == high, low, 0.5)
            torch.testing.assert_close(view[episode], expected, rtol=0, atol=0)
            certain += int((low == high).sum())
    assert certain > 100


def test_bits_hold_sets_of_graphs() -> None:
    sets = torch.rand(7, GRAPHS, generator=torch_generator(0)) < 0.5
    assert torch.equal(unpacked(packed(sets)).bool(), sets)


def test_corners_are_those_of_the_coordinates() -> None:
    evidence = evidence_tables()
    for rotation, stone_map, vertex in itertools.product(range(4), range(8), range(8)):
        place = place_of(TABLES.coordinates[rotation, stone_map, vertex])
        assert evidence.corner[place, rotation] == TABLES.aligned[stone_map, vertex]
    assert (evidence.corner >= 0).sum() == 32
    assert place_of(torch.tensor([2.0, 2.0, 2.0])) == 13


def test_aligned_graphs_and_maps_move_stones_as_latent_ones() -> None:
    """The frame in which the filter works: moving and aligning commute."""
    evidence = evidence_tables()
    some = ALL.rows(slice(None, None, 1009))
    for vertex, colour in itertools.product(range(8), range(6)):
        latent = TABLES.transition[some.graph, vertex, TABLES.latent_potion[some.potion_map, colour]]
        graph = evidence.reflected[some.stone_map, some.graph]
        potion_map = evidence.turned[some.stone_map, some.potion_map]
        start = TABLES.aligned[some.stone_map, vertex]
        assert torch.equal(evidence.moved[graph, potion_map, start, colour], TABLES.aligned[some.stone_map, latent])
