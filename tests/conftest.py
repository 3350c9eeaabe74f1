"""What every test runs under: one thread, and the shapes in signatures checked at run time."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # Before torch: child processes and thread pools inherit it.

from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)

# Wall-clock deadlines say more about the machine than about the code.
settings.register_profile("percepts", deadline=None)
settings.load_profile("percepts")

# The rooms of pure tensor functions. The checks see what a test calls, so they must come before percepts is imported.
jaxtyping.install_import_hook(["percepts.nn", "percepts.rendering", "percepts.metrics"], "beartype.beartype")
if os.environ.get("PERCEPTS_ALL_SHAPES"):
    # Also a room of many small calls, whose tests then take nearly twice the time: to be asked for.
    jaxtyping.install_import_hook(["percepts.envs.spriteworld"], "shape_checks.shapes_checked")


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Shape checks off: for `torch.compile`, which cannot trace them, and for the library's own errors."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
