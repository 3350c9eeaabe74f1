"""Adapters to other people's viewers. metrics.jsonl is always written; these are added where asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from percepts.core.optional import require_package


class TensorBoard:
    """Writes logged lines as TensorBoard scalars into the run folder (extra `tensorboard`).

    Args:
        folder: of the run.
        step: the run continues after this step; later events of an earlier attempt are dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        require_package("tensorboard", extra="tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(log_dir=str(folder / "tensorboard"), purge_step=step + 1)

    def log(self, entry: dict[str, Any]) -> None:
        """One line of metrics.jsonl; a list of numbers becomes one scalar an element."""
        step = entry["step"]
        for name, value in entry.items():
            if isinstance(value, list):
                for index, item in enumerate(value):
                    self.writer.add_scalar(f"{name}/{index}", item, step)
            elif name != "step" and isinstance(value, int | float):
                self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush the events to the disk."""
        self.writer.close()
