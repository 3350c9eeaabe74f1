"""The rasteriser beside Spriteworld's PIL renderer on the same scenes: `python -m benchmarks rasteriser`.

Five sprites (triangles, squares and circles of scale 0.13, as in COBRA's tasks), 64 x 64 RGB. Spriteworld draws at five
times the size and shrinks with a Lanczos filter; ours computes the covered area exactly. Spriteworld needs Pillow < 10
and NumPy < 2: it runs, unmodified, in an environment of its own, .venvs/spriteworld, that this script makes. Building
its sprites is not timed.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.environments import make_environment
from percepts.rendering.shapes import spriteworld_shapes
from percepts.rendering.sprites2d import SpriteScene, render_sprites

SCENES, SPRITES, SIZE, SCALE, ANTI_ALIASING = 512, 5, 64, 0.13, 5
NAMES = ("triangle", "square", "circle")
ENVIRONMENT = Path(__file__).resolve().parent.parent / ".venvs" / "spriteworld"
REQUIREMENTS = ("spriteworld==1.0.2", "pillow<10", "numpy<2")

PEER = """
import sys, time
import numpy as np
from spriteworld.renderers.pil_renderer import PILRenderer
from spriteworld.sprite import Sprite

data = np.load(sys.argv[1])
names, size, scale, anti_aliasing = sys.argv[3].split(","), int(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6])
scenes = [
    [Sprite(x=x, y=y, shape=names[k], scale=scale, c0=c[0], c1=c[1], c2=c[2]) for (x, y), k, c in zip(*scene)]
    for scene in zip(data["position"].tolist(), data["shape"].tolist(), data["colour"].tolist())
]
renderer = PILRenderer(image_size=(size, size), anti_aliasing=anti_aliasing)
seconds = []
for _ in range(3):
    start = time.process_time()
    frames = [renderer.render(scene) for scene in scenes]
    seconds.append(time.process_time() - start)
np.savez(sys.argv[2], frames=np.stack(frames), seconds=min(seconds))
"""


def measure() -> dict[str, Any]:
    """Frames a second of both (the best of several rounds taken in turns), the ratios, and how far the pictures are
    apart.

    `ratio` is that of CPU times with one thread on both sides, which other work on the machine disturbs least.
    """
    rng = np.random.default_rng(0)
    position = rng.uniform(0.1, 0.9, (SCENES, SPRITES, 2))
    shape = rng.integers(len(NAMES), size=(SCENES, SPRITES))
    colour = rng.integers(64, 256, (SCENES, SPRITES, 3))
    scene = _scene(position, shape, colour)
    shortest: dict[str, float] = {}
    threads = torch.get_num_threads()
    for _ in range(3):
        frames, seconds = _peer(position, shape, colour)
        image, rounds = _ours(scene)
        for name, value in {"spriteworld": seconds, **rounds}.items():
            shortest[name] = min(value, shortest.get(name, value))
    torch.set_num_threads(threads)
    rates = {name: SCENES / value for name, value in shortest.items()}
    difference = np.abs(image.permute(0, 2, 3, 1).numpy() * 255 - frames)
    return {
        "name": "rasteriser",
        "scenes": SCENES,
        "sprites": SPRITES,
        "size": SIZE,
        "frames_per_second": rates,
        "ratio": rates["one_thread"] / rates["spriteworld"],
        "ratio_two_threads": rates["two_threads"] / rates["spriteworld"],
        "ratio_two_threads_with_segmentation": rates["two_threads_with_segmentation"] / rates["spriteworld"],
        "mean_absolute_difference_of_255": float(difference.mean()),
        "target_ratio": 30,
    }


def _ours(scene: SpriteScene) -> tuple[torch.Tensor, dict[str, float]]:
    """The image and the shortest times in seconds: CPU time with one thread, wall-clock time with two."""
    seconds = {}
    for name, threads, segmentation, clock in (
        ("one_thread", 1, False, time.process_time),
        ("two_threads", 2, False, time.perf_counter),
        ("two_threads_with_segmentation", 2, True, time.perf_counter),
    ):
        torch.set_num_threads(threads)
        seconds[name] = _best(lambda: render_sprites(scene, SIZE, SIZE, segmentation=segmentation), clock)  # noqa: B023
    return render_sprites(scene, SIZE, SIZE, segmentation=False).image, seconds


def _best(work: Callable[[], object], clock: Callable[[], float], rounds: int = 15) -> float:
    times = []
    for _ in range(rounds):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)


def _scene(position: np.ndarray, shape: np.ndarray, colour: np.ndarray) -> SpriteScene:
    shapes = spriteworld_shapes()
    return SpriteScene(
        shapes=tuple(shapes[name] for name in NAMES),
        shape=torch.tensor(shape),
        position=torch.tensor(position, dtype=torch.float32),
        scale=torch.full(shape.shape, SCALE),
        angle=torch.zeros(shape.shape),
        colour=torch.tensor(colour / 255, dtype=torch.float32),
    )


def _peer(position: np.ndarray, shape: np.ndarray, colour: np.ndarray) -> tuple[np.ndarray, float]:
    """Spriteworld's frames and its shortest CPU time for all of them."""
    python = make_environment(ENVIRONMENT, REQUIREMENTS, "import spriteworld")
    with tempfile.TemporaryDirectory() as folder:
        scenes, result = Path(folder) / "scenes.npz", Path(folder) / "result.npz"
        np.savez(scenes, position=position, shape=shape, colour=colour)
        settings = [",".join(NAMES), str(SIZE), str(SCALE), str(ANTI_ALIASING)]
        subprocess.run([python, "-c", PEER, scenes, result, *settings], check=True)
        data = np.load(result)
        return data["frames"].astype(np.float64), float(data["seconds"])


if __name__ == "__main__":
    result = measure()
    rates = result["frames_per_second"]
    print(", ".join(f"{name.replace('_', ' ')}: {rate:.0f} frames/s" for name, rate in rates.items()))
    print(f"{result['ratio']:.1f} times as fast as Spriteworld ({result['ratio_two_threads']:.1f} with two threads)")
    print(json.dumps(result, indent=2))
