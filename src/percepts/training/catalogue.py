"""Finding what the library's rooms define, without a list to keep: importing a room registers its configurations."""

from __future__ import annotations

import importlib
import pkgutil

from percepts.core.optional import available

ROOMS = (
    "data", "envs", "foundation", "factors", "objects", "relations", "views", "concepts", "annotation", "agents",
    "training",
)  # fmt: skip


def load_rooms() -> None:
    """Import every module that can define a dataset, environment, model or agent."""
    for room in ROOMS:
        if available(f"percepts.{room}"):
            load_modules(f"percepts.{room}")


def load_modules(package: str) -> None:
    """Import the modules of `package`, but for those whose names begin with an underscore, and `WITHOUT_CONFIGS`."""
    folder = importlib.import_module(package)
    for module in pkgutil.iter_modules(folder.__path__):
        if not module.name.startswith("_") and module.name not in WITHOUT_CONFIGS:
            importlib.import_module(f"{package}.{module.name}")


WITHOUT_CONFIGS = frozenset({"families", "hub", "model_free_arenas", "vectors"})
"""Modules that need an optional package, slow to import; they define no configuration."""
