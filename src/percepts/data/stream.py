"""The endless stream of training batches: batch n is a pure function of (seed, n).

The same batches come out whether they are drawn in this process on the training device, by worker processes, or by
several ranks that each take their rows, and whether the run was broken off and resumed or not.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.utils.data
from jaxtyping import Int64
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.config import Config
from percepts.core.errors import ConfigError, DataError
from percepts.core.random import torch_generator
from percepts.data.dataset import ImageDataset


@dataclass(frozen=True, kw_only=True)
class StreamConfig(Config):
    """How batches are drawn.

    Attributes:
        batch_size: images of one optimisation step, over all processes and micro-batches together.
        sampling: "epochs" shows every image once before any image twice, in a new order every time; a batch may span
            two epochs, so all batches are full. "independent" draws with replacement.
        workers: processes that prepare batches ahead; 0 prepares them in this process, on the training device.
    """

    batch_size: int = 64
    sampling: Literal["epochs", "independent"] = "epochs"
    workers: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ConfigError(f"batch_size = {self.batch_size}", "at least 1")
        if not 0 <= self.workers <= 256:
            raise ConfigError(f"workers = {self.workers}", "from 0 (none) to 256 processes")


class Stream:
    """Batches of a dataset by number.

    Args:
        dataset: where the images come from.
        config: batch size and sampling.
        seed: of the run; equal seeds give equal batches.
        device: where batches are wanted.
        rank: which share of every batch this process takes.
        world: how many processes share a batch; rank r takes the r-th of `world` equal contiguous slices.

    Raises:
        DataError: the dataset is empty.
        ConfigError: the batch cannot be shared as asked.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        config: StreamConfig,
        seed: int,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
    ) -> None:
        _check(dataset, config, rank, world)
        self.dataset = dataset
        self.config = config
        self.seed = seed
        self.device = torch.device(device)
        share = config.batch_size // world
        self._rows = slice(rank * share, (rank + 1) * share)
        self._size = len(dataset)
        self._orders: dict[int, Tensor] = {}

    def indices(self, n: int) -> Int64[Tensor, " batch"]:
        """The dataset indices of global batch `n` (from 0), over all ranks.

        Raises:
            IndexError: `n` is negative.
        """
        if n < 0:
            raise IndexError(f"batch {n} of a stream; batches are numbered from 0")
        count = self.config.batch_size
        if self.config.sampling == "independent":
            return torch.randint(self._size, (count,), generator=torch_generator(self.seed, "batch", n))
        parts = []
        epoch, offset = divmod(n * count, self._size)
        while count > 0:
            part = self._order(epoch)[offset : offset + count]
            parts.append(part)
            count -= len(part)
            epoch, offset = epoch + 1, 0
        return torch.cat(parts)

    def batch(self, n: int) -> Batch:
        """This rank's rows of global batch `n`, on the stream's device."""
        return self.dataset.gather(self.indices(n)[self._rows], self.device)

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """This rank's rows of batches `start`, `start` + 1, … without end. Closing the iterator ends its workers."""
        if self.config.workers > 0:
            yield from self._loaded(start)
        n = start
        while True:
            yield self.batch(n)
            n += 1

    def _loaded(self, start: int) -> Iterator[Batch]:
        on_cuda = self.device.type == "cuda"
        loader = torch.utils.data.DataLoader(
            self.dataset,
            batch_sampler=_Numbered(self, start),
            num_workers=self.config.workers,
            collate_fn=_as_it_is,
            worker_init_fn=_leave_signals_to_the_parent,
            pin_memory=on_cuda,
            prefetch_factor=4,
            # Without a generator of its own the loader would draw from torch's global state.
            generator=torch_generator(self.seed, "loader"),
        )
        for batch in loader:
            yield {key: value.to(self.device, non_blocking=on_cuda) for key, value in batch.items()}

    def _order(self, epoch: int) -> Int64[Tensor, " items"]:
        if epoch not in self._orders:
            # A batch touches two epochs at most once it is smaller than the dataset; older orders are not needed again.
            self._orders = {known: order for known, order in self._orders.items() if known == epoch - 1}
            self._orders[epoch] = torch.randperm(self._size, generator=torch_generator(self.seed, "epoch", epoch))
        return self._orders[epoch]


class _Numbered(torch.utils.data.Sampler[list[int]]):
    """The endless batch sampler behind the loader: one rank's index lists from batch `start` on."""

    def __init__(self, stream: Stream, start: int) -> None:
        self.stream = stream
        self.start = start

    def __iter__(self) -> Iterator[list[int]]:
        n = self.start
        while True:
            yield self.stream.indices(n)[self.stream._rows].tolist()
            n += 1


def _as_it_is(batch: Any) -> Any:
    """Collate nothing: `ImageDataset.__getitems__` gives whole batches."""
    return batch


def _leave_signals_to_the_parent(worker: int) -> None:
    """Ctrl-C goes to every process of a terminal, a scheduler's SIGTERM to every process of a job; the run must save
    itself before its workers vanish."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _check(dataset: ImageDataset, config: StreamConfig, rank: int, world: int) -> None:
    if len(dataset) == 0:
        raise DataError(f"the dataset {type(dataset).__name__} is empty", "at least one image")
    size = config.batch_size
    if world < 1 or size % world:
        above = -(-size // max(world, 1)) * max(world, 1)
        raise ConfigError(
            f"a batch of {size} images over {world} processes",
            "a batch size that the number of processes divides",
            f"batch_size={above}",
        )
    if not 0 <= rank < world:
        raise ConfigError(f"rank {rank} of {world} processes", f"a rank from 0 to {world - 1}")
