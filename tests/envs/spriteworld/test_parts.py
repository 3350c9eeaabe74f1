"""What the parts of an arena share: sums whose order does not depend on the batch."""

from __future__ import annotations

import pytest
import torch

from percepts.envs.spriteworld.parts import in_order


@pytest.mark.parametrize("shape", [(1, 2), (7, 5), (256, 6), (3, 4, 7), (1, 1), (5, 0), (2, 3, 19)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_sums_go_from_the_first_to_the_last(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Numbers of very different sizes, so that any other order gives other bits; in whatever order they lie."""
    generator = torch.Generator().manual_seed(0)
    sizes = 10.0 ** torch.randint(-6, 6, shape, generator=generator)
    values = (torch.randn(shape, generator=generator, dtype=torch.float64) * sizes).to(dtype)
    expected = torch.zeros(shape[:-1], dtype=dtype)
    for part in values.unbind(-1):
        expected = expected + part
    assert torch.equal(in_order(values), expected)
    assert torch.equal(in_order(values.movedim(-1, 0).contiguous().movedim(0, -1)), expected)
    if shape[-1] > 5:
        assert not torch.equal(in_order(values.flip(-1)), expected)
