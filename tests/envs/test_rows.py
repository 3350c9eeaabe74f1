"""Values whose rows are arenas: what is picked, replaced and moved."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from percepts.envs.rows import TensorRows


@dataclass(frozen=True)
class Inner(TensorRows):
    number: Int64[Tensor, " batch"]


@dataclass(frozen=True)
class Outer(TensorRows):
    place: Float32[Tensor, "batch 2"]
    inner: Inner
    other: Inner | None = None


def outer(*numbers: int) -> Outer:
    values = torch.tensor(numbers)
    return Outer(torch.stack([values, -values], 1).float(), Inner(values))


def test_rows_by_anything_that_indexes() -> None:
    whole = outer(1, 2, 3)
    for index in ([2, 0], torch.tensor([2, 0])):
        some = whole.rows(index)
        assert some.inner.number.tolist() == [3, 1]
        assert some.place.tolist() == [[3, -3], [1, -1]]
    assert whole.rows(torch.tensor([False, True, False])).inner.number.tolist() == [2]
    assert whole.rows(slice(0, 2)).inner.number.tolist() == [1, 2]
    assert whole.rows([0]).other is None


def test_what_is_put_is_put_into_a_copy() -> None:
    whole = outer(1, 2, 3)
    changed = whole.put(torch.tensor([True, False, True]), outer(7, 9))
    assert changed.inner.number.tolist() == [7, 2, 9]
    assert changed.place[:, 1].tolist() == [-7, -2, -9]
    assert changed.other is None
    assert whole.inner.number.tolist() == [1, 2, 3]
    assert whole.place[:, 0].tolist() == [1, 2, 3]


def test_all_of_it_moves() -> None:
    there = Outer(torch.zeros(1, 2), Inner(torch.zeros(1, dtype=torch.int64)), Inner(torch.ones(1).long())).to("meta")
    assert there.other is not None
    assert {there.place.device.type, there.inner.number.device.type, there.other.number.device.type} == {"meta"}
