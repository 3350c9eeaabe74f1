"""What the original Spriteworld does, recorded for the compat mode: `python -m benchmarks.spriteworld_original`.

The package, spriteworld 1.0.2 (Watters et al. 2019), runs in two environments of its own that this script makes:
unmodified under NumPy 1 and Pillow 9 (.venvs/spriteworld), and with the names that NumPy 2 and Pillow 10 took away put
back (.venvs/spriteworld_current). Written is tests/golden/spriteworld.json: every COBRA task in every mode, five seeds,
twenty steps with uniform actions, where the sprites go, what is rewarded, what ends, and hashes of the frames; further
rollouts click on sprites, move with noise, or play the shipped examples. Also written are corners and hit tests of all
shapes, colours that depend on NumPy, and what 300 episodes of uniform actions reach.

It also measures how many steps the original makes in a second. All takes about ten minutes.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "spriteworld.json"
SPLIT = (
    "goal_finding_new_shape", "goal_finding_new_position", "goal_finding_more_distractors",
    "goal_finding_more_targets", "clustering", "sorting",
)  # fmt: skip
TASKS = [("cobra", "exploration", "train"), *(("cobra", task, mode) for task in SPLIT for mode in ("train", "test"))]
EXAMPLES = [
    ("examples", "goal_finding_clustering", "train"),
    ("examples", "goal_finding_clustering", "test"),
    ("examples", "goal_finding_embodied", "train"),
]
SEEDS, STEPS, NOISE = 5, 20, 0.05
EPISODES, COLOURS = 300, 40
ENVIRONMENTS = {
    1: ("spriteworld", ("spriteworld==1.0.2", "pillow<10", "numpy<2")),
    2: ("spriteworld_current", ("spriteworld==1.0.2", "pillow>=13", "numpy>=2")),
}


def main() -> None:
    """Record the golden values and print the speed."""
    one, two = (json.loads(run(major, "record")) for major in ENVIRONMENTS)
    if one["sprites"] != two["sprites"]:
        raise AssertionError("corners or hit tests differ between NumPy 1 and 2")
    rollouts = [_merge(*pair) for pair in zip(one["rollouts"], two["rollouts"], strict=True)]
    pairs = zip(one["colours"], two["colours"], strict=True)
    values = {
        "made_by": ["python -m benchmarks.spriteworld_original"],
        "versions": [one["versions"], two["versions"]],
        "sprites": one["sprites"],
        "colours": [[hsv, rgb, other] for (hsv, rgb), (_, other) in pairs if rgb != other][:COLOURS],
        "random": json.loads(run(1, "play")),
        "rollouts": rollouts,
    }
    parts = []
    for name, items in values.items():
        lines = ",\n".join(json.dumps(item, separators=(",", ":")) for item in items)
        parts.append(f'"{name}": [\n{lines}\n]')
    GOLDEN.write_text("{\n" + ",\n".join(parts) + "\n}\n")
    print(f"written to {GOLDEN} ({GOLDEN.stat().st_size / 1000:.0f} kB)")
    print(json.dumps(measure(), indent=2))


def measure() -> dict[str, Any]:
    """Steps a second of the original, one process, with and without its renderer."""
    return {"name": "spriteworld_original", "steps_per_second": json.loads(run(1, "speed"))}


def run(major: int, task: str) -> str:
    """What this file prints when the original's environment under NumPy `major` runs it."""
    from benchmarks.environments import make_environment

    name, requirements = ENVIRONMENTS[major]
    check = f"import numpy, spriteworld; assert numpy.__version__.startswith('{major}.')"
    python = make_environment(ROOT / ".venvs" / name, requirements, check)
    # Isolated: this folder holds other scripts, one of which may be called like the package.
    command = [str(python), "-I", str(Path(__file__).resolve()), task]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _merge(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """A rollout under both: they move and reward alike, frames that differ are in the steps twice."""
    for step, other in zip(one["steps"], two["steps"], strict=True):
        if step[:3] != other[:3]:
            raise AssertionError(f"{step} under NumPy 1 is {other} under NumPy 2")
    steps = [step if step == other else step + other[3:] for step, other in zip(one["steps"], two["steps"])]
    return {**one, "steps": steps}


# What follows runs in the original's environment, where there is no percepts.


def record() -> None:
    """Print, as JSON, the golden values of this environment."""
    from PIL import Image
    from spriteworld.renderers.color_maps import hsv_to_rgb

    rollouts = [
        *(_rollout(*task, seed, "uniform") for task in TASKS for seed in range(SEEDS)),
        *(_rollout(*task, seed, "objects") for task in TASKS for seed in range(2)),
        *(_rollout(*task, seed, "objects", NOISE) for task in TASKS[::2] for seed in range(2)),
        *(_rollout(*task, seed, "uniform") for task in EXAMPLES for seed in range(2)),
        *(_rollout(*task, seed, "objects") for task in EXAMPLES[:2] for seed in range(2)),
    ]
    # Whole levels are where the arithmetic's precision shows.
    drawn = np.random.RandomState(0).randint(0, 256, (20000, 3)) / 255
    colours = [([_number(c) for c in hsv], [int(c) for c in hsv_to_rgb(tuple(hsv))]) for hsv in np.float32(drawn)]
    versions = {"spriteworld": "1.0.2", "numpy": np.__version__, "pillow": Image.__version__}
    print(json.dumps({"versions": versions, "sprites": _sprites(), "colours": colours, "rollouts": rollouts}))


def play() -> None:
    """Print, as JSON, what uniform actions reach in 300 episodes of every task after one seed: how many episodes
    succeed and start solved, how many steps they have and the sum of all rewards."""
    reached = []
    for collection, task, mode in TASKS[1:]:
        np.random.seed(0)
        environment = _environment(collection, task, mode, None, rendered=False)
        successes, solved, steps, total = 0, 0, 0, 0.0
        for _ in range(EPISODES):
            time_step = environment.reset()
            solved += bool(environment.success())
            while not time_step.last():
                time_step = environment.step(environment.action_space.sample())
                steps, total = steps + 1, total + float(time_step.reward)
            successes += bool(environment.success())
        reached.append([task, mode, successes, solved, steps, total])
    print(json.dumps(reached))


def speed() -> None:
    """Print, as JSON, the steps a second of every COBRA task in training mode."""
    rates = {}
    for rendered in (True, False):
        for collection, task, mode in TASKS:
            if mode == "train":
                environment = _environment(collection, task, mode, None, rendered)
                environment.reset()
                start, count = time.process_time(), 0
                while time.process_time() - start < 1:
                    environment.step(environment.action_space.sample())
                    count += 1
                rate = count / (time.process_time() - start)
                rates[f"{task}{'' if rendered else ' unrendered'}"] = round(rate, 1)
    print(json.dumps(rates))


def _rollout(
    collection: str, task: str, mode: str, seed: int, actions: str, noise: float | None = None
) -> dict[str, Any]:
    """Twenty steps after a reset, each [step type, reward, sprites, hash of the frame, sum of the frame].

    "sprites" are all of them (`_scene`) after a reset and else those that changed their place, [number, x, y]. With
    "objects" every second action starts inside of a sprite.
    """
    np.random.seed(seed)
    environment = _environment(collection, task, mode, noise)
    steps = [_step(environment, environment.reset(), None)]
    for number in range(STEPS):
        before = [sprite.position.copy() for sprite in environment.state()["sprites"]]
        if actions == "objects" and number % 2:
            action = np.concatenate([environment.sample_contained_position(), np.random.uniform(0, 1, 2)])
        else:
            action = environment.action_space.sample()
        steps.append(_step(environment, environment.step(action), before))
    return {"task": task, "mode": mode, "seed": seed, "actions": actions, "noise": noise, "steps": steps}


def _step(environment: Any, time_step: Any, before: list[Any] | None) -> list[Any]:
    sprites = environment.state()["sprites"]
    if time_step.first():
        state: list[Any] = [_scene(sprite) for sprite in sprites]
    else:
        assert before is not None
        pairs = enumerate(zip(sprites, before))
        state = [[n, *_position(s)] for n, (s, old) in pairs if (s.position != old).any()]
    assert time_step.discount == {0: None, 1: 1.0, 2: 0.0}[int(time_step.step_type)]
    image = np.ascontiguousarray(time_step.observation["image"])
    digest = hashlib.sha256(image.tobytes()).hexdigest()[:12]
    reward = None if time_step.reward is None else float(time_step.reward)
    return [int(time_step.step_type), reward, state, digest, int(image.sum(dtype=np.int64))]


def _scene(sprite: Any) -> list[Any]:
    shape = [sprite.shape, _number(sprite.angle), _number(sprite.scale), [_number(c) for c in sprite.color]]
    return [*_position(sprite), *shape, str(sprite.position.dtype)]


def _position(sprite: Any) -> list[float]:
    return [_number(value) for value in sprite.position]


def _number(value: Any) -> float:
    """Of a float32 the shortest decimal number that names it."""
    return float(str(np.float32(value))) if np.asarray(value).dtype == np.float32 else float(value)


def _sprites() -> list[list[Any]]:
    """Sprites of all shapes, [x, y, number of the shape, angle, scale, hash of the corners, which points they contain].

    The points are `hit_points` of generator 0, so that whoever has the corners to the bit has the same ones.
    """
    from spriteworld.constants import SHAPES
    from spriteworld.sprite import Sprite

    rng, rows = np.random.RandomState(0), []
    for number, shape in enumerate(SHAPES):
        for angle, scale in ((0, 0.13), (90, 0.1), (int(rng.randint(360)), 0.25), (float(rng.uniform(0, 360)), 0.4)):
            x, y = np.float32(rng.uniform(0, 1, 2))
            sprite = Sprite(x=x, y=y, shape=shape, angle=angle, scale=scale)
            inside = "".join(str(int(sprite.contains_point(point))) for point in hit_points(sprite.vertices))
            digest = hashlib.sha256(sprite.vertices.tobytes()).hexdigest()[:12]
            rows.append([_number(x), _number(y), number + 1, angle, scale, digest, inside])
    return rows


def hit_points(corners: Any) -> Any:
    """Forty points: in the bounding box of some corners, at the height of a corner, and on corners."""
    points = np.random.RandomState(0).uniform(corners.min(0), corners.max(0), (40, 2))
    points[20:30, 1] = corners[np.arange(10) % len(corners), 1]
    points[30:] = corners[np.arange(10) % len(corners)]
    return points


def _environment(collection: str, task: str, mode: str, noise: float | None, rendered: bool = True) -> Any:
    from spriteworld import action_spaces
    from spriteworld.environment import Environment

    module = importlib.import_module(f"spriteworld.configs.{collection}.{task}")
    with contextlib.redirect_stdout(sys.stderr):  # One task prints when it is made.
        config = module.get_config(mode)
    if noise is not None:
        config["action_space"] = action_spaces.SelectMove(scale=0.25, noise_scale=noise)
    if not rendered:
        config["renderers"] = {}
    return Environment(**config)


def _put_back() -> None:
    """The names that the package uses and that NumPy 2 and Pillow 10 no longer have."""
    from PIL import Image

    if not hasattr(Image, "ANTIALIAS"):
        Image.ANTIALIAS = Image.LANCZOS  # type: ignore[attr-defined]
    if not hasattr(np, "cast"):
        np.cast = _Cast()  # type: ignore[attr-defined]


class _Cast:
    def __getitem__(self, dtype: str) -> Any:
        return lambda value: np.asarray(value).astype(dtype)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        _put_back()
        {"record": record, "play": play, "speed": speed}[sys.argv[1]]()
