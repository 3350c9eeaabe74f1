"""Values whose rows are arenas: frozen dataclasses of tensors [B, …] that can be picked from and put together.

    @dataclass(frozen=True)
    class State(TensorRows):
        position: Float64[Tensor, "batch 2"]
        streams: Streams

    state.rows([3, 4])                       # two of the arenas
    state.put(ended, begun)                  # a copy in which some are replaced

An index is whatever indexes a tensor: numbers, a mask, a slice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Self

import torch
from torch import Tensor


class TensorRows:
    """What such dataclasses share. Their fields are tensors with the arenas as dimension 0, other values of this kind,
    or None where there is nothing."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def rows(self, index: Any) -> Self:
        """Some of the arenas, by anything that indexes a tensor."""
        return self._each(lambda part: part[index] if isinstance(part, Tensor) else part.rows(index))

    def put(self, index: Any, others: Self) -> Self:
        """A copy with the arenas at `index` replaced."""
        changed: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            old, new = getattr(self, name), getattr(others, name)
            if isinstance(old, Tensor):
                changed[name] = old.clone()
                changed[name][index] = new
            else:
                changed[name] = None if old is None else old.put(index, new)
        return type(self)(**changed)

    def to(self, device: torch.device | str) -> Self:
        """On another device."""
        return self._each(lambda part: part.to(device))

    def _each(self, change: Callable[[Any], Any]) -> Self:
        parts = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return type(self)(**{name: None if part is None else change(part) for name, part in parts.items()})


def row_counts(value: Any) -> set[int]:
    """How many arenas the tensors of a state speak of: one number where it is whole."""
    if dataclasses.is_dataclass(value):
        return set().union(*(row_counts(getattr(value, field.name)) for field in dataclasses.fields(value)))
    return {len(value)} if isinstance(value, Tensor) else set()
