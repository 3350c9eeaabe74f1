"""Generators of scenes: how many sprites, of which kinds, in which order; each row by itself."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
from collections import Counter
from dataclasses import dataclass

import pytest
import torch
from scipy import stats
from torch import Tensor

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError, DataError
from percepts.data.distributions import Continuous, Discrete, Distribution
from percepts.envs.spriteworld.apart import Apart
from percepts.envs.spriteworld.generators import Chain, Generate, OneOf, SceneGenerator, Scenes, Shuffled, shapes
from percepts.envs.spriteworld.sampling import draw
from percepts.envs.spriteworld.state import DEFAULTS, FACTORS, SHAPES
from percepts.envs.streams import Streams

AREA = Continuous("x", 0.1, 0.9) * Continuous("y", 0.1, 0.9)
MANY = 3000


def kind(number: int) -> Distribution:
    """Sprites that are known by their scale."""
    return Discrete("scale", (number / 8,)) * Continuous("x", 0.0, 1.0)


def kinds(factors: Tensor, present: Tensor) -> list[tuple[int, ...]]:
    """The numbers of the present sprites' kinds, scene by scene."""
    numbers = (factors[..., FACTORS.index("scale")] * 8).round().long()
    return [tuple(row[there].tolist()) for row, there in zip(numbers, present)]


def scenes(generator: SceneGenerator, count: int = MANY, seed: int = 0) -> tuple[Tensor, Tensor]:
    factors, present, _ = generator.sample(Streams.of(range(count), seed))
    assert factors.shape == (count, generator.most, len(FACTORS))
    assert present.shape == (count, generator.most)
    assert factors.dtype == torch.float64
    counts = present.sum(1)
    assert generator.least <= int(counts.min())
    assert int(counts.max()) <= generator.most
    # Those that exist come first.
    assert torch.equal(present, torch.arange(generator.most) < counts[:, None])
    return factors, present


@dataclass(frozen=True)
class NeighbourPair(SceneGenerator):
    """A generator of a user: two sprites, the second to the right of the first."""

    @property
    def most(self) -> int:
        return 2

    @property
    def least(self) -> int:
        return 2

    def sample(self, streams: Streams) -> Scenes:
        drawn, streams = draw(Continuous("x", 0.0, 0.5), streams)
        factors = torch.zeros(len(streams), 2, len(FACTORS), dtype=torch.float64)
        factors[..., FACTORS.index("scale")] = torch.tensor([7 / 8, 1.0], dtype=torch.float64)
        factors[:, 0, 0], factors[:, 1, 0] = drawn["x"], drawn["x"] + 0.5
        return factors, torch.ones(len(streams), 2, dtype=torch.bool), streams


ONE, TWO, THREE = (Generate(kind(number)) for number in (1, 2, 3))
EXAMPLES = [
    Generate(AREA, 1, 6),
    Generate(AREA - Continuous("x", 0.5, 0.9), 0, 2),
    Generate((AREA | AREA) * Discrete("shape", (1.0, 2.0)), 3, 3),
    Shuffled(Chain((Generate(kind(1), 1, 3), Generate(kind(2), 2, 2), Generate(kind(3), 0, 1)))),
    Shuffled(OneOf((Chain((ONE, TWO)), Chain((TWO, THREE, ONE)), ONE), (1.0, 2.0, 1.0))),
    Chain((Shuffled(OneOf((Generate(kind(1), 1, 2), Generate(kind(2), 2, 5)))), THREE)),
    Apart(Generate(AREA, 2, 4), ("x", "y"), 0.2),
    Shuffled(Chain((Generate(kind(1), 0, 2), NeighbourPair()))),
    OneOf((NeighbourPair(), Generate(kind(1), 1, 3))),
    Shuffled(Apart(Shuffled(Generate(AREA, 3, 3)), ("x",), 0.1)),
]


@pytest.mark.parametrize("generator", EXAMPLES)
def test_a_scene_depends_on_its_own_stream_alone(generator: SceneGenerator) -> None:
    streams = Streams.of(range(64))
    factors, present, after = generator.sample(streams)
    for rows in ([0], [63], list(range(5, 12))):
        some, exist, advanced = generator.sample(streams.rows(rows))
        assert torch.equal(exist, present[rows])
        assert torch.equal(some[exist], factors[rows][exist])
        assert torch.equal(advanced.count, after.count[rows])
        assert torch.equal(advanced.key, after.key[rows])
    following, _, _ = generator.sample(after)
    assert not torch.equal(following[present], factors[present])


@pytest.mark.parametrize("generator", EXAMPLES)
def test_generators_go_through_json_and_pickles(generator: SceneGenerator) -> None:
    before = scenes(generator, 20)
    for other in (
        from_json(json.loads(json.dumps(to_json(generator))), SceneGenerator),
        pickle.loads(pickle.dumps(generator)),
        copy.deepcopy(generator),
    ):
        assert other == generator
        after = scenes(other, 20)
        assert all(torch.equal(one[before[1]], two[before[1]]) for one, two in zip(before, after))


def test_the_number_of_sprites_is_uniform_and_both_ends_are_in() -> None:
    _, present = scenes(Generate(AREA, 1, 6))
    counts = torch.bincount(present.sum(1), minlength=7)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:].numpy()).pvalue > 0.01


def test_there_may_be_no_sprites() -> None:
    _, present = scenes(Generate(AREA, 0, 2))
    assert stats.chisquare(torch.bincount(present.sum(1)).numpy()).pvalue > 0.01
    factors, present = scenes(Generate(AREA, 0, 0), 5)
    assert factors.shape == (5, 0, 10)
    factors, present = scenes(Shuffled(Chain((Generate(AREA, 0, 0), ONE))), 5)
    assert present.tolist() == [[True]] * 5
    factors, _, streams = EXAMPLES[3].sample(Streams.of([]))
    assert factors.shape[0] == len(streams) == 0


def test_sprites_are_independent_and_the_rest_is_default() -> None:
    factors, present = scenes(Generate(AREA * shapes("square", "circle"), 2, 2))
    assert present.all()
    x, y, shape = factors[..., 0], factors[..., 1], factors[..., 2]
    numbers = torch.corrcoef(torch.stack([x[:, 0], x[:, 1], y[:, 0], y[:, 1], shape[:, 0], shape[:, 1]]))
    assert (numbers.triu(1).abs() < 0.07).all()
    assert stats.kstest(x.flatten().numpy(), "uniform", (0.1, 0.8)).pvalue > 0.01
    assert set(shape.flatten().tolist()) == {2.0, 6.0}
    for name in ("angle", "scale", "c0", "c1", "c2", "x_vel", "y_vel"):
        assert (factors[..., FACTORS.index(name)] == DEFAULTS[name]).all()


def test_a_chain_puts_later_parts_in_front() -> None:
    factors, present = scenes(Chain((Generate(kind(1), 0, 2), TWO, Generate(kind(3), 1, 2))), 300)
    found = set(kinds(factors, present))
    assert found == {(1,) * one + (2,) + (3,) * three for one in (0, 1, 2) for three in (1, 2)}


def test_one_of_the_parts_is_taken_by_weight() -> None:
    parts = (Chain((ONE, TWO)), THREE, Generate(kind(4), 1, 3))
    for weights in (None, (1.0, 2.0, 5.0)):
        factors, present = scenes(OneOf(parts, weights))
        counts = Counter(one[0] for one in kinds(factors, present))
        expected = torch.tensor(weights or (1.0, 1.0, 1.0), dtype=torch.float64)
        expected = expected / expected.sum() * MANY
        assert stats.chisquare([counts[1], counts[3], counts[4]], expected.numpy()).pvalue > 0.01
        assert set(kinds(factors, present)) == {(1, 2), (3,), (4,), (4, 4), (4, 4, 4)}


def test_a_shuffle_gives_all_orders_alike() -> None:
    factors, present = scenes(Shuffled(Chain((ONE, TWO, THREE))))
    counts = Counter(kinds(factors, present))
    assert set(counts) == set(itertools.permutations((1, 2, 3)))
    assert stats.chisquare(list(counts.values())).pvalue > 0.01
    # Also with places that stay empty.
    factors, present = scenes(Shuffled(Chain((Generate(kind(1), 0, 2), TWO))))
    counts = Counter(kinds(factors, present))
    assert stats.chisquare([counts[1, 2], counts[2, 1]]).pvalue > 0.01
    assert stats.chisquare([counts[1, 1, 2], counts[1, 2, 1], counts[2, 1, 1]]).pvalue > 0.01
    assert abs(counts[(2,)] / MANY - 1 / 3) < 0.04


def test_a_generator_of_ones_own_goes_into_combinations() -> None:
    factors, present = scenes(Chain((Generate(kind(1), 0, 1), NeighbourPair(), TWO)), 200)
    assert set(kinds(factors, present)) == {(7, 8, 2), (1, 7, 8, 2)}
    factors, present = scenes(Shuffled(OneOf((NeighbourPair(), THREE), (3.0, 1.0))))
    counts = Counter(kinds(factors, present))
    assert (
        stats.chisquare([counts[7, 8], counts[8, 7], counts[(3,)]], [MANY * part / 8 for part in (3, 3, 2)]).pvalue
        > 0.01
    )
    x, scale = factors[..., 0], factors[..., FACTORS.index("scale")]
    pairs = present.all(1)
    left = torch.where(scale == 7 / 8, x, 0.0).sum(1)
    right = torch.where(scale == 1.0, x, 0.0).sum(1)
    assert torch.allclose((right - left)[pairs], torch.tensor(0.5, dtype=torch.float64))


def test_sprites_are_kept_apart() -> None:
    factors, present = scenes(Apart(Generate(AREA, 2, 4), ("x", "y"), 0.2), 500)
    for row, there in zip(factors, present):
        assert float(torch.pdist(row[there, :2]).min()) >= 0.2
    assert set(present.sum(1).tolist()) == {2, 3, 4}
    hues = Apart(Generate(Continuous("c0", 0.0, 1.0), 3, 3), ("c0",), 0.2, period=1.0)
    factors, _ = scenes(hues, 500)
    hue = factors[..., FACTORS.index("c0")]
    gap = (hue[:, :, None] - hue[:, None]).abs()
    around = torch.minimum(gap, 1 - gap)[:, ~torch.eye(3, dtype=torch.bool)]
    assert float(around.min()) >= 0.2
    assert float((1 - gap)[:, ~torch.eye(3, dtype=torch.bool)].min()) >= 0.2


def test_scenes_that_do_not_exist_are_an_error() -> None:
    with pytest.raises(DataError, match="none of them fits"):
        scenes(Apart(Generate(AREA, 6, 6), ("x", "y"), 1.0), 3)
    with pytest.raises(DataError, match="x in"):
        scenes(Shuffled(Chain((ONE, Generate(AREA - Continuous("x", 0.0, 0.95))))), 100)


def test_shapes_have_names() -> None:
    assert shapes("square", "triangle", "circle") == Discrete("shape", (2.0, 1.0, 6.0))
    assert shapes(*SHAPES).values == tuple(range(1, 13))
    with pytest.raises(ConfigError, match="did you mean 'star_5'"):
        shapes("star5")
    with pytest.raises(ConfigError):
        shapes()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Generate(AREA, 3, 2), "least = 3, most = 2"),
        (lambda: Generate(AREA, -1, 2), "least = -1"),
        (lambda: Generate(Continuous("hue", 0.0, 1.0)), "'hue', which sprites do not have"),
        (lambda: Generate(Continuous("scales", 0.0, 1.0)), "did you mean 'scale'"),
        (lambda: Generate("red"), "'red' as the factors"),
        (lambda: Chain(()), "a chain of no generators"),
        (lambda: Chain((AREA,)), "as part of a chain"),
        (lambda: OneOf(()), "a choice of no generators"),
        (lambda: OneOf((ONE, TWO), (1.0,)), "weights of a choice"),
        (lambda: OneOf((ONE, TWO), (1.0, 0.0)), "weights of a choice"),
        (lambda: Shuffled(AREA), "as part of a shuffle"),
        (lambda: Apart(ONE, (), 0.1), "apart in no factor"),
        (lambda: Apart(ONE, ("z",), 0.1), "'z', which sprites do not have"),
        (lambda: Apart(ONE, ("x",), 0.0), "distance = 0.0"),
        (lambda: Apart(ONE, ("x",), 0.1, period=-1.0), "period = -1.0"),
        (lambda: from_json({"type": "SceneGenerator"}, SceneGenerator), "SceneGenerator"),
        (lambda: from_json({"type": "Generate", "factors": {"type": "Distribution"}}, SceneGenerator), "Distribution"),
    ],
)
def test_bad_settings_are_refused(make: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()
