"""Optional packages: found out without importing them, and asked for in one line."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from percepts.core.errors import MissingPackageError


def available(package: str) -> bool:
    """Whether `package` (an import name) is installed; it is not imported."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def require_package(package: str, extra: str) -> ModuleType:
    """Import and return `package`, or say which extra of percepts brings it.

    Raises:
        MissingPackageError: the package is not installed.
    """
    if not available(package):
        raise MissingPackageError(
            f"the package '{package}' is not installed",
            fix=f"pip install 'percepts[{extra}]'",
        )
    return importlib.import_module(package)
