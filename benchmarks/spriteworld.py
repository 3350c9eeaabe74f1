"""Our Spriteworld beside the original: `python -m benchmarks spriteworld`.

The original needs Pillow < 10 and NumPy < 2: it runs, unmodified, in the environment of the benchmark `rasteriser`,
.venvs/spriteworld. The scenes are that benchmark's too: five sprites of COBRA's shapes and size, 64 x 64 RGB, drawn at
five times the size. Building the original's sprites is not timed, nor is the computation of our sprites' corners.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks import rasteriser, spriteworld_original
from benchmarks.rasteriser import ANTI_ALIASING, NAMES, SCALE, SCENES, SIZE, SPRITES
from percepts.envs.spriteworld.state import SHAPES, Sprites
from percepts.envs.spriteworld.vector import SpriteworldVectorEnv
from percepts.rendering.exact_sprites import render_sprites_exactly
from percepts.rendering.sprites2d import render_sprites


def measure() -> dict[str, Any]:
    """All parts."""
    return {"name": "spriteworld", "renderer": renderer(), "environment": environment()}


def renderer(turns: int = 3) -> dict[str, Any]:
    """Frames a second of the exact and the fast renderer, with and without segmentation masks, beside the original,
    which has no masks. Targets: exact with masks ≥ 800 frames/s a core, fast ≥ 10 000; all of the exact frames equal.

    CPU time with one thread on both sides, the best of several rounds taken in turns. "one_scene" is a batch of one.
    """
    rng = np.random.default_rng(0)
    position = rng.uniform(0.1, 0.9, (SCENES, SPRITES, 2))
    shape = rng.integers(len(NAMES), size=(SCENES, SPRITES))
    colour = rng.integers(64, 256, (SCENES, SPRITES, 3))
    works = _works(position, shape, colour)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    shortest: dict[str, float] = {}
    for _ in range(turns):
        frames, seconds = rasteriser._peer(position, shape, colour)
        rounds = {name: _best(work, 3 if count > 1 else 30) / count for name, (work, count) in works.items()}
        for name, value in {"spriteworld": seconds / SCENES, **rounds}.items():
            shortest[name] = min(value, shortest.get(name, value))
    torch.set_num_threads(threads)
    rates = {name: 1 / value for name, value in shortest.items()}
    equal = (works["exact"][0]().image.numpy() == frames).all((1, 2, 3))
    return {
        "scenes": SCENES,
        "sprites": SPRITES,
        "size": SIZE,
        "frames_per_second": rates,
        "ratio_exact_with_masks": rates["exact_with_masks"] / rates["spriteworld"],
        "ratio_fast_with_masks": rates["fast_with_masks"] / rates["spriteworld"],
        "equal_frames": float(equal.mean()),
        "targets": {"exact_with_masks": 800, "fast_with_masks": 10_000, "equal_frames": 1},
    }


def environment(turns: int = 3, steps: int = 102) -> dict[str, Any]:
    """Steps a second of 256 arenas in one vector environment beside the original's single one: uniform actions, new
    episodes and infos included. Targets: a rendered step ≥ 50 times the original's; without pictures ≥ 50 000 steps/s,
    clustering ≥ 20 000.

    CPU time with one thread on both sides, the best of several turns; "…_two_threads" is wall-clock time. Arenas in
    which nothing has moved are not drawn again, which is most of them when actions are uniform; "…_all_drawn" draws all
    of them in every step, as the original does.
    """
    rates: dict[str, dict[str, float]] = {}
    original: dict[str, float] = {}
    threads = torch.get_num_threads()
    for _ in range(turns):
        for name, rate in spriteworld_original.measure()["steps_per_second"].items():
            original[name] = max(rate, original.get(name, 0.0))
        for task in TASKS:
            own = rates.setdefault(task, {})
            for name, settings in OBSERVERS.items():
                torch.set_num_threads(1)
                rate = _steps_per_second(task, settings, steps, time.process_time)
                own[name] = max(rate, own.get(name, 0.0))
            torch.set_num_threads(2)
            rate = _steps_per_second(task, OBSERVERS["unrendered"], steps, time.perf_counter)
            own["unrendered_two_threads"] = max(rate, own.get("unrendered_two_threads", 0.0))
    torch.set_num_threads(threads)
    peers = {task: task.replace("-", "_") for task in TASKS}
    ratios = {
        task: {
            name: rate / original[peers[task] + (" unrendered" if name.startswith("unrendered") else "")]
            for name, rate in rates[task].items()
        }
        for task in TASKS
    }
    return {
        "arenas": ARENAS,
        "steps_per_second": rates,
        "original_steps_per_second": original,
        "ratios": ratios,
        "targets": {"rendered_ratio": 50, "unrendered": 50_000, "unrendered_clustering": 20_000},
    }


ARENAS = 256
TASKS = ("exploration", "goal-finding-new-position", "goal-finding-more-targets", "clustering", "sorting")
OBSERVERS: dict[str, dict[str, Any]] = {
    "unrendered": {"keys": ("factors", "present")},
    "exact": {"keys": ("image",)},
    "exact_with_masks": {"keys": ("image", "segmentation")},
    "exact_all_drawn": {"keys": ("image",)},
    "fast": {"keys": ("image",), "renderer": "fast"},
    "fast_with_masks": {"keys": ("image", "segmentation"), "renderer": "fast"},
    "fast_all_drawn": {"keys": ("image",), "renderer": "fast"},
}


def _steps_per_second(task: str, settings: dict[str, Any], steps: int, clock: Callable[[], float]) -> float:
    """Of all arenas together, with 64 x 64 pictures where there are any."""
    envs = SpriteworldVectorEnv(ARENAS, task, **settings)
    if settings is OBSERVERS["exact_all_drawn"] or settings is OBSERVERS["fast_all_drawn"]:
        envs._screen = envs.observer  # type: ignore[assignment]
        steps = min(steps, 22)
    envs.reset(seed=0)
    rng = np.random.default_rng(0)
    envs.step(rng.random((ARENAS, 4), dtype=np.float32))
    start = clock()
    for _ in range(steps):
        envs.step(rng.random((ARENAS, 4), dtype=np.float32))
    return ARENAS * steps / (clock() - start)


def _works(position: np.ndarray, shape: np.ndarray, colour: np.ndarray) -> dict[str, tuple[Callable[[], Any], int]]:
    """What is timed, and the number of frames that it draws."""
    scene = rasteriser._scene(position, shape, colour)
    factors = torch.zeros(SCENES, SPRITES, 10, dtype=torch.float64)
    factors[..., :2] = torch.tensor(position)
    factors[..., 2] = 1.0 + torch.tensor([list(SHAPES).index(name) for name in NAMES])[torch.tensor(shape)]
    factors[..., 4] = SCALE
    sprites = Sprites.of(factors, torch.ones(SCENES, SPRITES, dtype=torch.bool))
    counts = torch.tensor([len(outline.vertices) for outline in sprites.outlines])[sprites.shape]
    scenes = (sprites.corners, counts, torch.tensor(colour, dtype=torch.uint8), sprites.present)

    def exact(count: int, segmentation: bool = False, layers: bool = False) -> Any:
        corners, counts, fill, present = (value[:count] for value in scenes)
        return render_sprites_exactly(
            corners, counts, fill, present, SIZE, SIZE, ANTI_ALIASING, segmentation=segmentation, layers=layers
        )

    return {
        "exact": (lambda: exact(SCENES), SCENES),
        "exact_with_masks": (lambda: exact(SCENES, segmentation=True), SCENES),
        "exact_with_masks_and_layers": (lambda: exact(SCENES, segmentation=True, layers=True), SCENES),
        "exact_with_masks_one_scene": (lambda: exact(1, segmentation=True), 1),
        "fast": (lambda: render_sprites(scene, SIZE, SIZE, segmentation=False), SCENES),
        "fast_with_masks": (lambda: render_sprites(scene, SIZE, SIZE), SCENES),
    }


def _best(work: Callable[[], object], rounds: int) -> float:
    """The shortest CPU time."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
