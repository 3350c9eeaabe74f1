"""One stream of random numbers for each of many arenas, so that what happens in one does not depend on the others.

    streams = Streams.of(seeds=[3, 4, 5])
    numbers, streams = streams.uniform(2)     # [3, 2]; arena 1 gets what it would get alone
    streams.rows([1]).uniform(2)              # the next two numbers of arena 1

Number n of a stream is a hash of the stream's key and of n (SplitMix64, Steele, Lea & Flood 2014), so a stream is two
integers, and drawing from it gives an advanced copy. Keys are 64-bit hashes: that two streams meet is not to be
expected.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.random import Key, derive_seed
from percepts.data.hashing import ROUNDS, STEP, mixed, unit_of
from percepts.envs.rows import TensorRows

_SMALLEST = 2.0**-54
"""What stands for 0 where a normal number would be infinite; half of the smallest other uniform number."""


@dataclass(frozen=True)
class Streams(TensorRows):
    """B streams.

    Attributes:
        key: what distinguishes them.
        count: of the numbers already drawn.
    """

    key: Int64[Tensor, " batch"]
    count: Int64[Tensor, " batch"]

    @classmethod
    def of(cls, seeds: Iterable[int], *keys: Key, device: torch.device | str = "cpu") -> Self:
        """Fresh streams, one for each seed; equal seeds and keys give equal streams. `keys` say what they are for."""
        key = torch.tensor([derive_seed(seed, *keys) for seed in seeds], dtype=torch.int64, device=device)
        return cls(key, torch.zeros_like(key))

    def __len__(self) -> int:
        return len(self.key)

    def uniform(self, *shape: int) -> tuple[Float64[Tensor, "batch *shape"], Self]:
        """The next numbers of every stream, uniform in [0, 1), and the streams after them."""
        bits, streams = self._bits(math.prod(shape))
        return unit_of(bits).view(len(self), *shape), streams

    def normal(self, *shape: int) -> tuple[Float64[Tensor, "batch *shape"], Self]:
        """The next numbers of every stream, standard normal, and the streams after them."""
        unit, streams = self.uniform(*shape)
        return torch.special.ndtri(unit.clamp_(min=_SMALLEST)), streams

    def fork(self, count: int) -> tuple[Self, Self]:
        """`count` new streams from each, all in one batch [batch * count], and the old ones, from which the new ones
        are independent."""
        bits, streams = self._bits(count)
        key = bits.flatten()
        return type(self)(key, torch.zeros_like(key)), streams

    def _bits(self, count: int) -> tuple[Int64[Tensor, "batch {count}"], Self]:
        after = type(self)(self.key, self.count + count)
        if self.key.device.type == "cpu":
            return torch.from_numpy(_hashed_on_cpu(self.key.numpy(), self.count.numpy(), count)), after
        return _hashed(self.key, self.count, count), after


def _hashed(
    key: Int64[Tensor, " batch"], before: Int64[Tensor, " batch"], count: int
) -> Int64[Tensor, "batch {count}"]:
    """Numbers `before` to `before + count` of SplitMix64, in wrapping signed integers."""
    numbers = torch.arange(1, count + 1, device=key.device) + before[:, None]
    return mixed(numbers.mul_(STEP).add_(key[:, None]))


def _hashed_on_cpu(key: NDArray[np.int64], before: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The same by NumPy, whose unsigned integers are shifted as they should: a third of the time for small batches."""
    bits = (np.arange(1, count + 1, dtype=np.int64) + before[:, None]).view(np.uint64)
    bits *= np.uint64(STEP % (1 << 64))
    bits += key.view(np.uint64)[:, None]
    for shift, factor in ROUNDS:
        bits ^= bits >> np.uint64(shift)
        bits *= np.uint64(factor % (1 << 64))
    bits ^= bits >> np.uint64(31)
    return bits.view(np.int64)


def numbers_of(key: int, before: int, count: int) -> NDArray[np.float64]:
    """Numbers `before` to `before + count` of the stream with a key, as `uniform` gives them: for those who have one
    stream and no tensors."""
    bits = _hashed_on_cpu(np.array([key], np.int64), np.array([before], np.int64), count)[0]
    return (bits.view(np.uint64) >> np.uint64(11)) * 2.0**-53
