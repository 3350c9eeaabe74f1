"""How long `percepts --help` takes once the files are in the disk cache. Target: ≤ 0.6 s."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import Any


def measure(runs: int = 7) -> dict[str, Any]:
    """Median wall seconds of `percepts --help`, after one warm-up."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "percepts.cli", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return {"help_s": statistics.median(times[1:]), "target_s": 0.6}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
