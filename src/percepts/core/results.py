"""Typed results: a number, what it was computed from, and how sure we are of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class MetricResult:
    """What a metric returns.

    Attributes:
        name: the metric and its variant ("mig.dlib").
        value: the score.
        interval: bootstrap confidence interval (low, high) of the score, where one was asked for.
        level: the confidence level of the interval.
        details: further numbers and raw matrices (importance, mutual information, …) by name; codes are rows and
            factors are columns.
        parameters: the settings that define the variant (bins, votes, predictor, …).
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    level: float = 0.95
    details: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON data; arrays become lists, a NaN or infinity becomes null."""
        return {
            "name": self.name,
            "value": plain(self.value),
            "interval": plain(self.interval),
            "level": self.level,
            "details": plain(self.details),
            "parameters": plain(self.parameters),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> MetricResult:
        """The result that `to_json` wrote; a null value is read back as NaN."""
        value = math.nan if data["value"] is None else data["value"]
        interval = None if data["interval"] is None else (data["interval"][0], data["interval"][1])
        return cls(**{**data, "value": value, "interval": interval})


def plain(value: Any) -> Any:
    """`value` with arrays as lists, NumPy numbers as Python's and non-finite numbers as None, ready for JSON."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
