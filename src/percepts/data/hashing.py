"""Random numbers by number: the n-th number of a stream without those before, the same on every device."""

from __future__ import annotations

from jaxtyping import Float64, Int64
from torch import Tensor

from percepts.core.random import Key, derive_seed

STEP = 0x9E3779B97F4A7C15 - (1 << 64)
"""What SplitMix64 adds to its state for every number."""
ROUNDS = ((30, 0xBF58476D1CE4E5B9 - (1 << 64)), (27, 0x94D049BB133111EB - (1 << 64)))
"""Shifts and factors of its mixing; a last shift by 31 follows."""


def hashed_uniform(numbers: Int64[Tensor, "*shape"], seed: int, *keys: Key) -> Float64[Tensor, "*shape"]:
    """Uniform in [0, 1): element by element a hash of the number, of `seed` and of every key.

    The hash is SplitMix64 (Steele, Lea & Flood 2014) in wrapping 64-bit integers; its upper 53 bits become the result.
    """
    return unit_of(mixed((numbers + 1).mul_(STEP).add_(derive_seed(seed, *keys))))


def mixed(bits: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """The hashes of whole states, in place."""
    for shift, factor in ROUNDS:
        bits.bitwise_xor_(shifted(bits, shift)).mul_(factor)
    return bits.bitwise_xor_(shifted(bits, 31))


def unit_of(bits: Int64[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
    """The upper 53 bits as a number in [0, 1)."""
    return shifted(bits, 11).double().mul_(2.0**-53)


def shifted(bits: Int64[Tensor, "*shape"], by: int) -> Int64[Tensor, "*shape"]:
    """`bits` moved right with zeros from the left; torch's own shift repeats the sign."""
    return (bits >> by).bitwise_and_((1 << (64 - by)) - 1)
