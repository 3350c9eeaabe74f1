"""Random numbers by number: the n-th number of a stream without those before, the same on every device."""

from __future__ import annotations

from jaxtyping import Float64, Int64
from torch import Tensor

from percepts.core.random import Key, derive_seed

_STEP = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX = (0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64))


def hashed_uniform(numbers: Int64[Tensor, "*shape"], seed: int, *keys: Key) -> Float64[Tensor, "*shape"]:
    """Uniform in [0, 1): element by element a hash of the number, of `seed` and of every key.

    The hash is SplitMix64 (Steele, Lea & Flood 2014) in wrapping 64-bit integers; its upper 53 bits become the result.
    """
    mixed = (numbers + 1).mul_(_STEP).add_(derive_seed(seed, *keys))
    for shift, factor in zip((30, 27), _MIX):
        mixed.bitwise_xor_(_shifted(mixed, shift)).mul_(factor)
    mixed.bitwise_xor_(_shifted(mixed, 31))
    return _shifted(mixed, 11).double().mul_(2.0**-53)


def _shifted(bits: Tensor, by: int) -> Tensor:
    """`bits` moved right with zeros from the left; torch's own shift repeats the sign."""
    return (bits >> by).bitwise_and_((1 << (64 - by)) - 1)
