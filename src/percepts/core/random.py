"""Explicit random streams.

Every random number of the library comes from a generator whose seed is a hash of the run's seed and of the names
and numbers that say what the numbers are for. Nothing depends on how many numbers were drawn before, so batch n of
a run is a function of (seed, n) alone, and a resumed run draws what an unbroken one would have drawn.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch

Key = int | str


def derive_seed(seed: int, *keys: Key) -> int:
    """A 63-bit seed that depends on `seed` and on every key, in order."""
    text = repr((int(seed), *(int(key) if not isinstance(key, str) else key for key in keys)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def torch_generator(seed: int, *keys: Key, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator on `device` for the stream named by `keys`."""
    generator = torch.Generator(device=device)
    generator.manual_seed(derive_seed(seed, *keys))
    return generator


def numpy_generator(seed: int, *keys: Key) -> np.random.Generator:
    """A fresh NumPy generator for the stream named by `keys`."""
    return np.random.default_rng(derive_seed(seed, *keys))
