"""What was seen, to be learned from again: a ring of named tensors in memory.

replay = Replay(capacity=100_000)
replay.add({"action": action, "reward": reward})         # dimension 0: any number of rows
batch = replay.sample(64, generator)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from percepts.core.errors import CheckpointError, ConfigError, DataError


class Replay:
    """A ring of rows. The names, types and shapes are those of the first rows; the oldest rows go first.

    Args:
        capacity: rows that are kept.
        device: where they are kept.

    Raises:
        ConfigError: no capacity.
    """

    def __init__(self, capacity: int, device: torch.device | str = "cpu") -> None:
        if capacity < 1:
            raise ConfigError(f"a replay of capacity {capacity}", "1 or more")
        self.capacity, self.device = capacity, torch.device(device)
        self.added = 0
        self._rows: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    def add(self, rows: Mapping[str, Tensor]) -> None:
        """Keep copies of these rows, in their order.

        Raises:
            DataError: other names, types or shapes than those of the first rows, or columns of unequal length.
        """
        self._check(rows)
        count = len(next(iter(rows.values())))
        kept = min(count, self.capacity)
        where = (torch.arange(count - kept, count) + self.added) % self.capacity
        for name, value in rows.items():
            if name not in self._rows:
                shape = (self.capacity, *value.shape[1:])
                self._rows[name] = torch.zeros(shape, dtype=value.dtype, device=self.device)
            self._rows[name][where.to(self.device)] = value[count - kept :].detach().to(self.device)
        self.added += count

    def sample(self, count: int, generator: torch.Generator) -> dict[str, Tensor]:
        """`count` rows, each drawn uniformly from all that are kept, with replacement.

        Raises:
            DataError: nothing was added yet.
        """
        if not self.added:
            raise DataError("a sample of an empty replay", "rows that were added")
        return self[torch.randint(len(self), (count,), generator=generator)]

    def __getitem__(self, index: Tensor) -> dict[str, Tensor]:
        index = index.to(self.device)
        return {name: value[index] for name, value in self._rows.items()}

    def rows(self) -> dict[str, Tensor]:
        """All rows that are kept; not in the order of time once the ring has come round."""
        return {name: value[: len(self)] for name, value in self._rows.items()}

    def state_dict(self) -> dict[str, Any]:
        """The kept rows and how many were ever added."""
        return {"added": self.added, "capacity": self.capacity, "rows": self.rows()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become what `state_dict` described.

        Raises:
            CheckpointError: it was of another capacity, or its rows are not as many as it says.
        """
        rows, added = state["rows"], int(state["added"])
        if state["capacity"] != self.capacity:
            raise CheckpointError(f"a replay of capacity {state['capacity']}", f"one of {self.capacity}")
        if any(len(value) != min(added, self.capacity) for value in rows.values()) or (added > 0) != bool(rows):
            raise CheckpointError("a replay with a damaged state", f"{min(added, self.capacity)} rows of every column")
        self.added, self._rows = added, {}
        for name, value in rows.items():
            whole = torch.zeros((self.capacity, *value.shape[1:]), dtype=value.dtype, device=self.device)
            whole[: len(value)] = value.to(self.device)
            self._rows[name] = whole

    def _check(self, rows: Mapping[str, Tensor]) -> None:
        if not rows or len({len(value) for value in rows.values()}) != 1:
            lengths = {name: len(value) for name, value in rows.items()}
            raise DataError(f"rows with columns of lengths {lengths}", "columns of one length, at least one")
        if not self._rows:
            return
        wanted = {name: (value.dtype, value.shape[1:]) for name, value in self._rows.items()}
        given = {name: (value.dtype, value.shape[1:]) for name, value in rows.items()}
        if given != wanted:
            names = sorted(name for name in wanted | given if wanted.get(name) != given.get(name))
            raise DataError(f"rows that differ from the first ones in {', '.join(names)}", f"{_told(wanted)}")


def _told(columns: Mapping[str, tuple[torch.dtype, torch.Size]]) -> str:
    return ", ".join(f"{name} {dtype} {list(shape)}" for name, (dtype, shape) in columns.items())
