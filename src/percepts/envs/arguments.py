"""What Gymnasium's environments are called with, checked: options and seeds of a reset, render modes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from percepts.core.errors import ConfigError, DataError, nearest


def check_options(options: Mapping[str, Any] | None, known: Sequence[str]) -> Mapping[str, Any]:
    """The options of a reset that knows some, or none.

    Raises:
        DataError: one that is not known, naming the nearest.
    """
    for name in options or ():
        if name not in known:
            close = nearest(str(name), known)
            hint = f", did you mean '{close}'?" if close else ""
            raise DataError(f"unknown option '{name}' of a reset{hint}", " or ".join(known) or "no options")
    return options or {}


def checked_seed(seed: Any) -> int | None:
    """A seed as Gymnasium has it.

    Raises:
        DataError: it is no whole number from 0.
    """
    if seed is not None and not (isinstance(seed, int | np.integer) and seed >= 0):
        raise DataError(f"the seed {seed!r}", "a whole number from 0")
    return None if seed is None else int(seed)


def check_render_mode(mode: str | None) -> None:
    """Raises a ConfigError for a render mode that there is not."""
    if mode not in (None, "rgb_array"):
        raise ConfigError(f"render_mode = {mode!r}", "'rgb_array' or None", "percepts play, to watch and play")
