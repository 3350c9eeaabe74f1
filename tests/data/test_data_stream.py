"""Streams: which images a batch holds, what is refused, what it costs."""

from __future__ import annotations

import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from percepts.core.errors import ConfigError, DataError
from percepts.data import ArrayDataset, Stream, StreamConfig

GOLDEN_EPOCHS = [[1, 3, 2, 8], [0, 9, 8, 6]]
GOLDEN_INDEPENDENT = [[3, 7, 0, 1], [9, 5, 8, 3]]


def numbers(count: int) -> ArrayDataset:
    return ArrayDataset(torch.zeros(count, 1, 1, dtype=torch.uint8), factors=torch.arange(count))


@given(size=st.integers(1, 30), batch=st.integers(1, 40), seed=st.integers(0, 2**40))
def test_every_epoch_shows_every_image_once(size: int, batch: int, seed: int) -> None:
    stream = Stream(numbers(size), StreamConfig(batch_size=batch), seed)
    count = -(-3 * size // batch)
    drawn = torch.cat([stream.indices(n) for n in range(count)])
    assert len(drawn) == count * batch
    for epoch in range(3):
        assert sorted(drawn[epoch * size : (epoch + 1) * size].tolist()) == list(range(size))


def test_epochs_have_different_orders() -> None:
    stream = Stream(numbers(50), StreamConfig(batch_size=50), seed=0)
    assert not torch.equal(stream.indices(0), stream.indices(1))
    assert not torch.equal(stream.indices(0), Stream(numbers(50), StreamConfig(batch_size=50), seed=1).indices(0))


def test_independent_batches_are_uniform_with_replacement() -> None:
    stream = Stream(numbers(10), StreamConfig(batch_size=500, sampling="independent"), seed=0)
    counts = torch.bincount(torch.cat([stream.indices(n) for n in range(20)]), minlength=10)
    assert len(counts) == 10
    # 10 000 draws, 1000 expected of each, standard deviation 30.
    assert (counts - 1000).abs().max() < 150
    assert not torch.equal(stream.indices(0), stream.indices(1))


def test_known_indices_stay_the_same() -> None:
    """Golden: a change here breaks the exact resume of every earlier run."""
    epochs = Stream(numbers(10), StreamConfig(batch_size=4), seed=7)
    independent = Stream(numbers(10), StreamConfig(batch_size=4, sampling="independent"), seed=7)
    assert [epochs.indices(n).tolist() for n in (0, 2)] == GOLDEN_EPOCHS
    assert [independent.indices(n).tolist() for n in (0, 2)] == GOLDEN_INDEPENDENT


def test_batches_hold_what_the_indices_say() -> None:
    stream = Stream(numbers(30), StreamConfig(batch_size=8), seed=2, rank=1, world=4)
    assert stream.batch(5)["factors"][:, 0].tolist() == stream.indices(5)[2:4].tolist()


@pytest.mark.parametrize(
    ("settings", "rank", "world", "word"),
    [
        ({"batch_size": 0}, 0, 1, "batch_size = 0; expected at least 1"),
        ({"batch_size": 2}, 0, 4, "batch_size=4"),
        ({"batch_size": 10}, 0, 4, "batch_size=12"),
        ({}, 2, 2, "rank 2"),
        ({"workers": -1}, 0, 1, "workers"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, int], rank: int, world: int, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        Stream(numbers(30), StreamConfig(**settings), 0, rank=rank, world=world)


def test_an_empty_dataset_and_a_negative_batch_are_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        Stream(numbers(0), StreamConfig(), 0)
    with pytest.raises(IndexError, match="-1"):
        Stream(numbers(3), StreamConfig(), 0).indices(-1)


@pytest.mark.parametrize("sampling", ["epochs", "independent"])
def test_drawing_indices_is_cheap(sampling: str) -> None:
    """About 10 to 30 microseconds on an idle core; the bound leaves room for a busy one."""
    stream = Stream(numbers(20_000), StreamConfig(sampling=sampling), seed=0)
    best = min(_seconds(stream, start) for start in range(0, 3000, 1000))
    assert best / 1000 < 200e-6


def _seconds(stream: Stream, start: int) -> float:
    before = time.perf_counter()
    for n in range(start, start + 1000):
        stream.indices(n)
    return time.perf_counter() - before
