"""Run every benchmark and keep the results: `make bench`, or `python -m benchmarks [NAME ...]`."""

from __future__ import annotations

import importlib
import json
import platform
import socket
import sys
from datetime import date
from pathlib import Path

from percepts.core.files import write_json
from percepts.core.runs import provenance

NAMES = (
    "metrics",
    "udr",
    "segmentation",
    "rasteriser",
    "spriteworld",
    "planning",
    "alchemy",
    "solvers",
    "feature_world",
    "raycaster",
    "slots",
    "engine",
    "sweep",
    "pythae",
    "folder",
    "startup",
)


def main(names: list[str]) -> int:
    """Measure, print, and keep the figures, with what they were measured with, in benchmarks/results/DATE-HOST.json."""
    results = {}
    for name in names or NAMES:
        print(f"{name} …", flush=True)
        results[name] = importlib.import_module(f"benchmarks.{name}").measure()
        results[name]["measured_with"] = {**provenance(), "processor": processor()}
        print(json.dumps({k: v for k, v in results[name].items() if k != "measured_with"}, indent=2), flush=True)
    file = Path(__file__).parent / "results" / f"{date.today()}-{socket.gethostname()}.json"
    earlier = json.loads(file.read_text()) if file.exists() else {}
    write_json(file, {**earlier, **results})
    print(f"written to {file}")
    return 0


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
