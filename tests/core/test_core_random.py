"""Random streams: equal names give equal numbers, other names others."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from percepts.core.random import derive_seed, numpy_generator, torch_generator

KEYS = st.lists(st.integers(0, 10**6) | st.text(max_size=5), max_size=3)


@given(seed=st.integers(0, 2**40), keys=KEYS)
def test_a_stream_is_a_function_of_its_name(seed, keys):
    assert derive_seed(seed, *keys) == derive_seed(seed, *keys)
    assert 0 <= derive_seed(seed, *keys) < 2**63
    first, second = (torch.randn(4, generator=torch_generator(seed, *keys)) for _ in range(2))
    assert torch.equal(first, second)
    assert (numpy_generator(seed, *keys).random(4) == numpy_generator(seed, *keys).random(4)).all()


@given(seed=st.integers(0, 2**40), a=KEYS, b=KEYS)
def test_other_names_give_other_streams(seed, a, b):
    assert (derive_seed(seed, *a) == derive_seed(seed, *b)) == (a == b)


def test_the_derivation_never_changes():
    # A changed derivation would change every run of every seed.
    assert derive_seed(0, "batch", 1) == 7136716318475341984
