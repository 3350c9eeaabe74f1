"""Random streams by row: published numbers, independence of the batch, the distribution of what is drawn."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from scipy import stats

from percepts.core.random import derive_seed
from percepts.envs.streams import Streams, _hashed, _hashed_on_cpu, numbers_of

PUBLISHED = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
"""The first numbers of SplitMix64 from the seed 1234567, as Rosetta Code lists them."""


def keyed(*keys: int) -> Streams:
    return Streams(torch.tensor(keys), torch.zeros(len(keys), dtype=torch.int64))


def equal(one: Streams, other: Streams) -> bool:
    return torch.equal(one.key, other.key) and torch.equal(one.count, other.count)


def test_numbers_are_those_of_splitmix() -> None:
    drawn, streams = keyed(1234567).uniform(5)
    assert drawn[0].tolist() == [(number >> 11) * 2.0**-53 for number in PUBLISHED]
    assert streams.count.tolist() == [5]
    children, _ = keyed(1234567).fork(5)
    assert [key % (1 << 64) for key in children.key.tolist()] == PUBLISHED


def test_every_device_hashes_alike() -> None:
    key = torch.cat([Streams.of(range(100)).key, torch.tensor([0, -1, (1 << 63) - 1, -(1 << 63)])])
    before = torch.arange(104) * 1_000_003
    on_cpu = _hashed_on_cpu(key.numpy(), before.numpy(), 7)
    assert torch.equal(torch.from_numpy(on_cpu), _hashed(key, before, 7))


def test_seeds_and_keys_make_streams() -> None:
    streams = Streams.of([3, 4, 3], "scenes")
    assert len(streams) == 3
    assert streams.key.tolist() == [derive_seed(3, "scenes"), derive_seed(4, "scenes"), derive_seed(3, "scenes")]
    assert streams.count.tolist() == [0, 0, 0]
    assert not torch.equal(streams.key, Streams.of([3, 4, 3], "noise").key)
    assert len(Streams.of([])) == 0


def test_rows_do_not_depend_on_the_batch_or_on_how_numbers_are_asked_for() -> None:
    streams = Streams.of(range(64))
    together, after = streams.uniform(2, 3)
    normal, after = after.normal(5)
    for row in (0, 1, 7, 63):
        alone = streams.rows([row])
        first, alone = alone.uniform(4)
        second, alone = alone.uniform(2)
        assert torch.equal(torch.cat([first, second], 1), together[[row]].flatten(1))
        numbers, alone = alone.normal(5)
        assert torch.equal(numbers, normal[[row]])
        assert equal(alone, after.rows([row]))


def test_drawing_leaves_the_stream_as_it_was() -> None:
    streams = Streams.of([1, 2])
    one, _ = streams.uniform(3)
    other, _ = streams.uniform(3)
    assert torch.equal(one, other)
    assert streams.count.tolist() == [0, 0]


def test_no_numbers_and_one_number() -> None:
    streams = Streams.of([1, 2])
    nothing, same = streams.uniform(0)
    assert nothing.shape == (2, 0)
    assert equal(same, streams)
    single, after = streams.uniform()
    assert single.shape == (2,)
    assert after.count.tolist() == [1, 1]
    children, _ = streams.fork(0)
    assert len(children) == 0


@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_the_distribution_of_numbers(kind: str) -> None:
    streams = Streams.of(range(300))
    drawn, _ = getattr(streams, kind)(100)
    exact = stats.uniform if kind == "uniform" else stats.norm
    assert stats.kstest(drawn.flatten().numpy(), exact.cdf).pvalue > 0.01
    # Neighbours, in a stream and between streams, have nothing to do with each other.
    for one, other in ((drawn[:, :-1], drawn[:, 1:]), (drawn[:-1], drawn[1:])):
        correlation = torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]
        assert abs(float(correlation)) < 4 / math.sqrt(one.numel())


def test_numbers_stay_below_one_and_normal_ones_finite() -> None:
    # The hash maps 0 to 0: with this key, the step's negative, the first number is 0.
    nothing = keyed((1 << 64) - 0x9E3779B97F4A7C15)
    zero, _ = nothing.uniform(1)
    assert zero.item() == 0
    lowest, _ = nothing.normal(1)
    assert -9 < lowest.item() < -8
    # The largest number that a stream gives.
    largest = torch.special.ndtri(torch.tensor(1 - 2.0**-53, dtype=torch.float64))
    assert 8 < largest.item() < 9


def test_forks_are_new_streams_row_by_row() -> None:
    streams = Streams.of([5, 6, 7])
    children, after = streams.fork(4)
    assert len(children) == 12
    assert len(set(children.key.tolist())) == 12
    assert children.count.tolist() == [0] * 12
    assert after.count.tolist() == [4, 4, 4]
    alone, _ = streams.rows([1]).fork(4)
    assert equal(alone, children.rows(slice(4, 8)))
    more, _ = after.fork(4)
    assert not set(more.key.tolist()) & set(children.key.tolist())
    drawn, _ = children.uniform(50)
    parents, _ = after.uniform(200)
    assert len({*drawn.flatten().tolist(), *parents.flatten().tolist()}) == 12 * 50 + 3 * 200


def test_rows_are_taken_and_put_back() -> None:
    streams = Streams.of(range(5))
    chosen = torch.tensor([False, True, False, True, False])
    _, advanced = streams.rows(chosen).uniform(2)
    changed = streams.put(chosen, advanced)
    assert changed.count.tolist() == [0, 2, 0, 2, 0]
    assert torch.equal(changed.key, streams.key)
    assert streams.count.tolist() == [0] * 5
    assert equal(changed.to("cpu"), changed)
    assert equal(pickle.loads(pickle.dumps(changed)), changed)


def test_numbers_without_tensors() -> None:
    streams = Streams.of([5, 6])
    first, after = streams.uniform(4)
    second, _ = after.uniform(3)
    assert numbers_of(int(streams.key[1]), 0, 4).tolist() == first[1].tolist()
    assert numbers_of(int(streams.key[1]), 4, 3).tolist() == second[1].tolist()
