"""What the original Alchemy does, recorded for the compat mode: `python -m benchmarks.alchemy_original`.

The package, dm_alchemy (Wang, King, Porcel et al. 2021), is cloned into .venvs/peers/dm_alchemy and runs unmodified in
an environment of its own, .venvs/dm_alchemy, on the machine's NumPy; its protocol buffers are compiled there, which its
setup script does on Pythons before 3.12 only. Written is tests/envs/alchemy/golden/original.json: episodes with random
actions on all levels, two to a seed, 24 seeds of the main level; rewards, ends, the first observation and the observed
true chemistry of every episode, and a hash of the observations of every trial.

It also measures how many steps the original makes in a second. All takes about two minutes.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "envs" / "alchemy" / "golden" / "original.json"
CHECKOUT = ROOT / ".venvs" / "peers" / "dm_alchemy"
REPOSITORY, COMMIT = "https://github.com/google-deepmind/dm_alchemy", "68a26254b5c0f15e84fa0c15d66bf0c626ede8e0"
REQUIREMENTS = (
    "absl-py", "dm-env", "dm-env-rpc", "dm-tree", "docker", "frozendict", "grpcio-tools", "numpy", "portpicker",
    "protobuf", "scipy",
)  # fmt: skip

MAIN = "perceptual_mapping_randomized_with_rotation_and_random_bottleneck"
PLAIN = "perceptual_mapping_randomized_with_random_bottleneck"
ROLLOUTS: list[tuple[str, int, dict[str, Any]]] = [
    *((MAIN, seed, {}) for seed in range(24)),
    *((PLAIN, seed, {}) for seed in range(100, 104)),
    *(("perceptual_mapping_randomized", seed, {}) for seed in range(110, 114)),
    *(("perceptual_mapping_randomized_with_rotation", seed, {}) for seed in range(120, 122)),
    *(("all_fixed", seed, {}) for seed in range(130, 132)),
    *((f"all_fixed_bottleneck{number}", 140 + number, {}) for number in (1, 2, 3)),
    *((MAIN, seed, {"end_trial_action": True}) for seed in range(150, 154)),
    *((MAIN, seed, {"observe_used": False}) for seed in range(160, 162)),
    *((MAIN, seed, {"num_trials": 3, "max_steps_per_trial": 7}) for seed in range(170, 172)),
    *((MAIN, seed, {"num_stones_per_trial": 2, "num_potions_per_trial": 5}) for seed in range(180, 182)),
    *((PLAIN, seed, {"reward_weights": [[2, 1, -3], 1, 5]}) for seed in range(190, 192)),
    *((MAIN, seed, {"leave_after": 30}) for seed in range(200, 202)),
]
"""Level, seed and settings; "leave_after" resets the first episode after so many steps."""


def main() -> None:
    """Record the golden values and print the speed."""
    values = json.loads(run("record"))
    lines = ",\n".join(json.dumps(rollout, separators=(",", ":")) for rollout in values["rollouts"])
    head = {"made_by": "python -m benchmarks.alchemy_original", "commit": COMMIT, "numpy": values["numpy"]}
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    GOLDEN.write_text(json.dumps(head)[:-1] + ',\n"rollouts": [\n' + lines + "\n]}\n")
    print(f"written to {GOLDEN} ({GOLDEN.stat().st_size / 1000:.0f} kB)")
    print(json.dumps(measure(), indent=2))


def measure() -> dict[str, Any]:
    """Steps a second and milliseconds a reset of the original, one process."""
    return {"name": "alchemy_original", **json.loads(run("speed"))}


def run(task: str) -> str:
    """What this file prints when the original's environment runs it."""
    command = [str(peer_python()), "-I", str(Path(__file__).resolve()), task]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def peer_python() -> Path:
    """The interpreter of the original's environment; made, and the original fetched, where they are not there."""
    from benchmarks.environments import make_environment

    python = make_environment(
        ROOT / ".venvs" / "dm_alchemy", REQUIREMENTS, "import dm_env_rpc, docker, frozendict, portpicker, scipy"
    )
    if not CHECKOUT.exists():
        subprocess.run(["git", "clone", "--quiet", REPOSITORY, str(CHECKOUT)], check=True)
        subprocess.run(["git", "-C", str(CHECKOUT), "checkout", "--quiet", COMMIT], check=True)
    return python


# What follows runs in the original's environment, where there is no percepts.


def record() -> None:
    """Print, as JSON, the golden values."""
    rollouts = [_rollout(level, seed, settings) for level, seed, settings in ROLLOUTS]
    print(json.dumps({"numpy": np.__version__, "rollouts": rollouts}))


def speed(seconds: float = 5.0) -> None:
    """Print, as JSON, the steps a second of the main level with random actions, resets included and not."""
    environment = _environment(MAIN, 0, {})
    rng, spent, resets, steps = np.random.RandomState(0), 0.0, 0.0, 0
    count = 0
    while spent + resets < seconds:
        start = time.process_time()
        environment.reset()
        resets += time.process_time() - start
        count += 1
        actions = rng.randint(0, 40, 200).tolist()
        start = time.process_time()
        for action in actions:
            environment.step(action)
        spent += time.process_time() - start
        steps += 200
    rates = {"steps_per_second": steps / (spent + resets), "without_resets": steps / spent}
    print(json.dumps({**rates, "reset_milliseconds": 1000 * resets / count}))


def _rollout(level: str, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Two episodes with random actions."""
    settings = dict(settings)
    leave_after = settings.pop("leave_after", None)
    environment = _environment(level, seed, settings)
    rng = np.random.RandomState(1000 + seed)
    count = environment.action_spec().maximum + 1
    step = environment.reset()
    episodes = []
    for number in range(2):
        episodes.append(_episode(environment, step, rng, count, leave_after if number == 0 else None))
        # A step after the end is a reset.
        step = environment.reset() if number == 0 and leave_after else environment.step(0)
        assert step.first()
    given = {} if leave_after is None else {"leave_after": leave_after}
    return {"level": level, "seed": seed, "settings": {**settings, **given}, "episodes": episodes}


def _episode(environment: Any, step: Any, rng: Any, count: int, most: int | None) -> dict[str, Any]:
    """One until its end, or for some steps.

    "rewards" are those other than 0 as [number of the step, reward]. "trials" has for every trial the number of the
    step that began it, and a hash of its observations; the one that its last step shows belongs to the next trial.
    """
    first, truth = step.observation["symbolic_obs"], step.observation["truth"]
    assert first.dtype == truth.dtype == np.float32
    actions: list[int] = []
    rewards: list[list[float]] = []
    trials: list[list[Any]] = []
    seen = [first]
    begun = 0
    while not step.last() and len(actions) != most:
        actions.append(int(rng.randint(0, count)))
        step = environment.step(actions[-1])
        if step.reward:
            rewards.append([len(actions) - 1, step.reward])
        assert step.discount == (0.0 if step.last() else 1.0)
        assert np.array_equal(step.observation["truth"], truth)
        if environment.is_new_trial():
            trials.append([begun, digest(seen)])
            seen, begun = [], len(actions)
        seen.append(step.observation["symbolic_obs"])
    trials.append([begun, digest(seen)])
    return {
        "actions": actions,
        "rewards": rewards,
        "last": bool(step.last()),
        "first": [float(str(value)) for value in first],
        "truth": truth.tolist(),
        "trials": trials,
    }


def digest(observations: list[Any]) -> str:
    """A hash of float32 observations; zeros have no sign in it."""
    array = np.stack(observations).astype("<f4") + np.float32(0)
    return hashlib.sha256(array.tobytes()).hexdigest()[:12]


def _environment(level: str, seed: int, settings: dict[str, Any]) -> Any:
    from dm_alchemy import symbolic_alchemy
    from dm_alchemy.types import stones_and_potions, utils

    settings = dict(settings)
    if "reward_weights" in settings:
        settings["reward_weights"] = stones_and_potions.RewardWeights(*settings["reward_weights"])
    truth = utils.ChemistrySeen(content=utils.ElementContent.GROUND_TRUTH)
    return symbolic_alchemy.get_symbolic_alchemy_level(level, seed=seed, see_chemistries={"truth": truth}, **settings)


def compile_protocols() -> None:
    """The original's protocol buffers, as its setup script does."""
    import grpc_tools
    from grpc_tools import protoc

    protos = sorted(CHECKOUT.glob("dm_alchemy/**/*.proto"))
    if all(proto.with_name(f"{proto.stem}_pb2.py").exists() for proto in protos):
        return
    known = Path(grpc_tools.__file__).parent / "_proto"
    paths = [f"--proto_path={known}", f"--proto_path={CHECKOUT}", f"--python_out={CHECKOUT}"]
    for proto in protos:
        if protoc.main(["protoc", *paths, str(proto)]):
            raise RuntimeError(f"{proto} does not compile")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        sys.path.insert(0, str(CHECKOUT))
        compile_protocols()
        {"record": record, "speed": speed}[sys.argv[1]]()
