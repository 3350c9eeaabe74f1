"""Pipelines side by side: what happens where there are none, and where a worker dies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from percepts.agents.cobra.agent import CobraAgent
from percepts.core.errors import ConfigError, RunError
from percepts.studies.pipelines import train_pipelines


@dataclass(frozen=True, kw_only=True)
class Deadly(CobraAgent.Config):
    """Ends the process that unpickles it, as the system does where memory runs out."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (9,)


def test_no_pipelines_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no pipelines"):
        train_pipelines({}, tmp_path)


def test_a_killed_worker_is_told_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"a worker was killed .* repeat the command"):
        train_pipelines({"deadly": Deadly()}, tmp_path, workers=1)
