"""A local sweep of many short runs: how much of the workers' time goes into anything but training and measuring.

The command is `percepts sweep beta-vae-squares24 --seeds 0-63` with two workers of one thread each. All of the workers'
time counts, from the start of the command to its end: importing torch, starting and recording runs, saving checkpoints
outside of training, and waiting for the last run are waste. Target: less than 5 % of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from percepts.core.runs import find_runs

RUNS, WORKERS, STEPS = 64, 2, 3000


def measure(runs: int = RUNS, workers: int = WORKERS, steps: int = STEPS) -> dict[str, Any]:
    """Shares of the workers' time outside of training and measuring, and outside of training alone."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["beta-vae-squares24", "--seeds", f"0-{runs - 1}", "--steps", str(steps), "--device", "cpu"]
        wall = timed([*words, "--workers", str(workers), "--out", folder])
        made = find_runs(folder)
        training = sum(run.info()["seconds"] for run in made)
        measuring = sum((run.evaluation() or {})["seconds"] for run in made)
        again = timed(["--resume", folder])
    return {
        "runs": len(made),
        "workers": workers,
        "steps": steps,
        "wall_s": wall,
        "training_s_per_run": training / len(made),
        "measuring_s_per_run": measuring / len(made),
        "other_s_per_run": (workers * wall - training - measuring) / len(made),
        "share_outside_training_and_measuring": 1 - (training + measuring) / (workers * wall),
        "share_outside_training": 1 - training / (workers * wall),
        "second_call_with_nothing_to_do_s": again,
    }


def timed(words: list[str]) -> float:
    """Seconds that `percepts sweep` takes with these words."""
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "percepts.cli", "sweep", *words],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[1],
    )
    return time.monotonic() - began
