"""What Gymnasium's environments are called with, checked: options and seeds of a reset, actions, render modes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

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


def action_number(action: Any, count: int) -> int:
    """The action of an environment that has `count` of them: any whole number, of Python, NumPy or torch.

    Raises:
        DataError: it is none, or there is no such action.
    """
    number: Any = action
    if type(number) is not int:
        array = None if isinstance(action, str) or action is None else np.asarray(action)
        if array is None or array.ndim or array.dtype.kind not in "iu":
            raise DataError(f"the action {action!r}", f"a whole number from 0 to {count - 1}")
        number = int(array)
    if not 0 <= number < count:
        raise DataError(f"the action {number}", f"a whole number from 0 to {count - 1}")
    return int(number)


def action_numbers(actions: Any, batch: int) -> NDArray[np.int64]:
    """The same of `batch` environments, which may be out of range: what is over ignores its action.

    Raises:
        DataError: not whole numbers, or not one for each.
    """
    array = actions.numpy(force=True) if isinstance(actions, Tensor) else np.asarray(actions)
    if array.dtype.kind not in "iu" or array.shape != (batch,):
        raise DataError(f"actions of {array.dtype} {list(array.shape)}", f"whole numbers [{batch}]")
    return array.astype(np.int64, copy=False)
