"""The ray-caster beside MuJoCo's software renderer on the same scene: `python -m benchmarks raycaster`.

A plane, a sphere, a box and a cylinder under one lamp with shadows, 64 x 64. MuJoCo 3 or newer draws with OpenGL
(Mesa's llvmpipe through EGL where there is no GPU) in an environment of its own, .venvs/mujoco, that this script makes.
It is asked for its picture alone, once with one sample a pixel and once with its default of four; ours is timed with
the picture alone and with segmentation and depth, with one sample and with four (2 x 2).
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.environments import make_environment
from percepts.rendering.objects import ObjectScene, look_at, pinhole
from percepts.rendering.primitives import Box, Cylinder, Plane, Sphere
from percepts.rendering.rays import render_objects

SIZE, BATCH, ROUNDS, FRAMES = 64, 256, 5, 100
EYE, TARGET, LAMP, FIELD_OF_VIEW = (0.0, -4.0, 2.0), (0.0, 0.0, 0.4), (-1.0, -1.5, 4.0), 45.0
PLACES = ((-1.0, 0.0, 0.4), (0.0, 0.0, 0.4), (1.0, 0.0, 0.4))
COLOURS = ((0.5, 0.5, 0.5), (0.9, 0.2, 0.2), (0.2, 0.7, 0.3), (0.2, 0.3, 0.9))
ENVIRONMENT = Path(__file__).resolve().parent.parent / ".venvs" / "mujoco"

PEER = """
import json, sys, time
import mujoco

scene = json.loads(sys.argv[1])
rgba = [" ".join(map(str, [*colour, 1])) for colour in scene["colours"]]
geoms = [f'<geom type="plane" size="50 50 .1" rgba="{rgba[0]}"/>'] + [
    f'<geom type="{kind}" size=".4 .4 .4" pos="{" ".join(map(str, place))}" rgba="{colour}"/>'
    for kind, place, colour in zip(("sphere", "box", "cylinder"), scene["places"], rgba[1:])
]
vector = lambda name: " ".join(map(str, scene[name]))
model = mujoco.MjModel.from_xml_string(f'''<mujoco>
<visual><quality offsamples="{scene['samples']}"/></visual><worldbody>
<light pos="{vector('lamp')}" dir="0 0 -1" cutoff="90" castshadow="true"/>
<camera name="eye" pos="{vector('eye')}" xyaxes="{vector('axes')}" fovy="{scene['field_of_view']}"/>
{''.join(geoms)}</worldbody></mujoco>''')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, scene["size"], scene["size"])
best = 0.0
for _ in range(scene["rounds"]):
    start = time.perf_counter()
    for _ in range(scene["frames"]):
        renderer.update_scene(data, camera="eye")
        image = renderer.render()
    best = max(best, scene["frames"] / (time.perf_counter() - start))
print(json.dumps({"rate": best, "version": mujoco.__version__, "mean": float(image.mean()) / 255}))
"""


def measure() -> dict[str, Any]:
    """Frames a second of both on two threads, the best of several rounds, and the ratios."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    peer = {samples: _peer(samples) for samples in (1, 4)}
    ours = {
        f"{samples**2}_samples{'_with_labels' if labels else ''}": _ours(samples, labels)
        for samples in (1, 2)
        for labels in (False, True)
    }
    torch.set_num_threads(threads)
    return {
        "name": "raycaster",
        "size": SIZE,
        "mujoco": peer[1]["version"],
        "mujoco_frames_per_second": {f"{samples}_samples": result["rate"] for samples, result in peer.items()},
        "frames_per_second": ours,
        "ratio": ours["1_samples"] / peer[1]["rate"],
        "ratio_with_segmentation_and_depth": ours["1_samples_with_labels"] / peer[1]["rate"],
        "ratio_four_samples": ours["4_samples"] / peer[4]["rate"],
        "mean_brightness": {"ours": float(_image(1).mean()), "mujoco": peer[1]["mean"]},
        "target_ratio": 10,
    }


def _scene() -> ObjectScene:
    infinite = (torch.inf, torch.inf, 1.0)
    every = lambda rows: torch.tensor(rows).expand(BATCH, len(rows), -1)  # noqa: E731
    return ObjectScene(
        shapes=(Plane(), Sphere(), Box(), Cylinder()),
        shape=torch.arange(4).expand(BATCH, 4),
        position=every(((0.0, 0.0, 0.0), *PLACES)),
        rotation=torch.eye(3).expand(BATCH, 4, 3, 3),
        size=every((infinite, *[(0.4, 0.4, 0.4)] * 3)),
        colour=every(COLOURS),
        camera=look_at(torch.tensor(EYE), torch.tensor(TARGET)),
        intrinsics=pinhole(FIELD_OF_VIEW),
        light=torch.tensor(LAMP),
    )


def _image(samples: int, labels: bool = False) -> torch.Tensor:
    return render_objects(_scene(), SIZE, SIZE, samples=samples, shadows=True, labels=labels).image


def _ours(samples: int, labels: bool) -> float:
    best = 0.0
    for _ in range(ROUNDS):
        start = time.perf_counter()
        _image(samples, labels)
        best = max(best, BATCH / (time.perf_counter() - start))
    return best


def _peer(samples: int) -> dict[str, Any]:
    """MuJoCo's frames a second, its version, and how bright its picture is."""
    python = make_environment(ENVIRONMENT, ("mujoco>=3.3", "numpy"), "import mujoco")
    camera = look_at(torch.tensor(EYE), torch.tensor(TARGET))
    scene = {
        "size": SIZE,
        "samples": samples if samples > 1 else 0,  # 0 switches its multisampling off
        "rounds": ROUNDS,
        "frames": FRAMES,
        "eye": EYE,
        "axes": [*camera[:3, 0].tolist(), *(-camera[:3, 1]).tolist()],
        "lamp": LAMP,
        "field_of_view": FIELD_OF_VIEW,
        "places": PLACES,
        "colours": COLOURS,
    }
    settings = {**os.environ, "MUJOCO_GL": os.environ.get("MUJOCO_GL", "egl"), "LP_NUM_THREADS": "2"}
    done = subprocess.run([python, "-c", PEER, json.dumps(scene)], capture_output=True, text=True, env=settings)
    if done.returncode:
        raise RuntimeError(f"MuJoCo cannot draw here: {done.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
