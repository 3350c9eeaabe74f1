"""Errors that teach: what was got, what was expected, what to do next, in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PerceptsError(Exception):
    """The base of every error that this library raises on purpose.

    Args:
        got: what was found, as a clause ("the folder 'x' holds no images").
        expected: what would have been right.
        fix: what to type or change next.

    The message is one line; the command line prints it without a traceback.
    """

    def __init__(self, got: str, expected: str | None = None, fix: str | None = None) -> None:
        self.got, self.expected, self.fix = got, expected, fix
        parts = [got]
        if expected is not None:
            parts.append(f"expected {expected}")
        message = "; ".join(parts)
        stop = "" if message.endswith(("?", ".")) else "."
        super().__init__(message if fix is None else f"{message}{stop} Try: {fix}")


class ConfigError(PerceptsError):
    """A configuration that cannot be read or does not fit together."""


class DataError(PerceptsError):
    """Data that is missing, damaged or of another kind than announced."""


class CheckpointError(PerceptsError):
    """A checkpoint or saved model that is missing, damaged or of another model."""


class RunError(PerceptsError):
    """A run folder that cannot be used as asked."""


class CapabilityError(PerceptsError):
    """A model that lacks what a metric, figure or agent needs from it."""


class NonFiniteError(PerceptsError):
    """A loss term or gradient became NaN or infinite."""


class MemoryShortage(PerceptsError):
    """A step that needs more memory than the device or the machine has."""


class MissingPackageError(PerceptsError, ImportError):
    """An optional package that is not installed."""


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice closest in spelling to `name`, or None where nothing is close."""
    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return found[0] if found else None
