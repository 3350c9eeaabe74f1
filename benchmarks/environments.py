"""Environments of their own for peers that need other packages than ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def make_environment(folder: Path, requirements: Sequence[str], check: str) -> Path:
    """The interpreter of a virtual environment in `folder` with `requirements`; made unless `check` runs there.

    Args:
        check: a line of Python that fails where something is missing.
    """
    python = folder / "bin" / "python"
    if not python.exists() or subprocess.run([python, "-c", check], capture_output=True).returncode:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
    return python
