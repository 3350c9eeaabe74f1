"""A beta-VAE trained by pythae, by a plain torch loop and by percepts, side by side: `python -m benchmarks pythae`.

The same layers (32-32-64-64 convolutions, 256 hidden, 10 latents), initial weights, 64×64 grey sprites in memory,
β = 4, Bernoulli likelihood, Adam, batch 64 and number of steps, in one thread. Each side trains in a process of its
own, in turns; a figure is the median step of a turn, a ratio the median over the turns.

Timed is a whole step with everything that the trainer does around it: drawing the batch, loss, gradients, optimiser,
checks and callbacks. Not timed: start-up, reading the images, the first steps, and what is done between epochs (pythae
copies its best model). pythae runs its `BaseTrainer` without evaluation set and checkpoints, its progress bar off; ours
the `Engine` with its defaults; plain and pythae keep torch's defaults. Where the processor has no bfloat16 arithmetic,
bf16 is many times slower than fp32 on every side: it is shown all the same, from one turn of a few steps.

pythae lives in an environment of its own, .venvs/pythae, that this script makes, with the version of torch used here.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.environments import make_environment
from percepts.core.random import derive_seed, torch_generator
from percepts.data.arrays import ArrayDataset
from percepts.data.sprites import Sprites
from percepts.data.stream import StreamConfig
from percepts.factors.beta_vae import BetaVAE
from percepts.training.engine import Engine
from percepts.training.optimizers import Optimizer
from percepts.training.settings import Training
from percepts.training.setup import native_bf16

SIZE, SEED = 64, 0
LATENTS, BETA = 10, 4.0
COMMON = {"batch": 64, "beta": BETA, "latents": LATENTS, "lr": 5e-4}
FULL = {"images": 1536, "epochs": 2, "warm_up": 8}
FEW = {"images": 256, "epochs": 1, "warm_up": 1}
SIDES = ("ours", "pythae", "plain")
FOLDER = Path(__file__).resolve().parent
ENVIRONMENT = FOLDER.parent / ".venvs" / "pythae"
REQUIREMENTS = ("pythae==0.1.2", f"torch=={torch.__version__.split('+')[0]}")


def measure(turns: int = 5) -> dict[str, Any]:
    """Images/s, loss after the same number of steps, and the ratios, in fp32 and bf16."""
    make_environment(
        ENVIRONMENT, REQUIREMENTS, f"import pythae.trainers, torch; assert torch.__version__ == {torch.__version__!r}"
    )
    native = native_bf16(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        fp32 = race(Path(folder), turns, {**COMMON, **FULL, "precision": "fp32"})
        bf16 = race(Path(folder), turns if native else 1, {**COMMON, **(FULL if native else FEW), "precision": "bf16"})
    return {
        "name": "pythae",
        "threads": 1,
        **COMMON,
        "size": SIZE,
        "requirements": list(REQUIREMENTS),
        "fp32": {**fp32, "target_ratio": 1.5},
        "bf16": {**bf16, "processor_computes_bf16": native},
    }


def race(folder: Path, turns: int, settings: dict[str, Any]) -> dict[str, Any]:
    """All sides, in turns.

    `ratio` is that of wall-clock times; `ratio_cpu_time` that of CPU times, which other work on the machine disturbs
    least. The losses are means over the last epoch, of all turns; each turn has other batches and noise.
    """
    data = folder / "data.npz"
    write_data(data, settings["images"])
    kept: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for turn in range(turns):
        for side in SIDES:
            kept[side].append(train(side, data, {**settings, "seed": SEED + turn}))
    wall, cpu = (
        {side: [statistics.median(run[key][settings["warm_up"] :]) for run in kept[side]] for side in SIDES}
        for key in ("wall_s", "cpu_s")
    )
    return {
        "images_per_second": {side: settings["batch"] / statistics.median(wall[side]) for side in SIDES},
        "ratio": ratio(wall, "pythae"),
        "ratio_cpu_time": ratio(cpu, "pythae"),
        "ratio_to_plain": ratio(wall, "plain"),
        "ratio_to_plain_cpu_time": ratio(cpu, "plain"),
        "ratio_of_each_turn": [peer / ours for ours, peer in zip(wall["ours"], wall["pythae"], strict=True)],
        "turns": turns,
        "images": settings["images"],
        "steps": settings["epochs"] * settings["images"] // settings["batch"],
        "loss": {side: statistics.mean(run["loss"] for run in kept[side]) for side in SIDES},
        "torch": {side: kept[side][0]["torch"] for side in SIDES},
    }


def ratio(seconds: dict[str, list[float]], peer: str) -> float:
    """How many times as fast as `peer` ours is: the median over the turns."""
    return statistics.median(theirs / ours for ours, theirs in zip(seconds["ours"], seconds[peer], strict=True))


def train(side: str, data: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Train one side in a process of its own, with one thread."""
    result = data.parent / "result.json"
    if side == "ours":
        command = [sys.executable, "-m", "benchmarks.pythae", str(data), str(result), json.dumps(settings)]
    else:
        script = FOLDER / "peers" / "beta_vae.py"
        command = [str(ENVIRONMENT / "bin" / "python"), str(script), side, str(data), str(result), json.dumps(settings)]
    single = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TQDM_DISABLE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=FOLDER.parent, env={**os.environ, **single}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"'{side}' failed: {done.stderr[-2000:]}")
    outcome: dict[str, Any] = json.loads(result.read_text())
    return outcome


def train_ours(data: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The engine with its defaults on the same images from the same weights: seconds of every step, loss of the end."""
    epoch = settings["images"] // settings["batch"]
    steps = settings["epochs"] * epoch
    training = Training(
        steps=steps, optimizer=Optimizer(lr=settings["lr"]), precision=settings["precision"], device="cpu", threads=1
    )
    images = ArrayDataset(np.load(data)["images"], layout="NCHW")
    engine = Engine(model(), images, training, StreamConfig(batch_size=settings["batch"]), seed=settings["seed"])
    batches, losses = engine.batches(), []
    wall, cpu = [time.perf_counter()], [time.process_time()]
    engine.model.train()
    for _ in range(steps):
        losses.append(engine.train_step(next(batches)).minimise["model"].item())
        wall.append(time.perf_counter())
        cpu.append(time.process_time())
    return {
        "wall_s": np.diff(wall).tolist(),
        "cpu_s": np.diff(cpu).tolist(),
        "loss": statistics.mean(losses[-epoch:]),
        "torch": torch.__version__,
    }


def model() -> BetaVAE:
    """Higgins et al.'s convolutional network as a beta-VAE, the same initial weights every time."""
    config = BetaVAE.Config(image_shape=(1, SIZE, SIZE), latent_size=LATENTS, beta=BETA)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(SEED, "initial weights"))
        return config.build()


def write_data(file: Path, count: int) -> None:
    """`count` random sprites and the initial weights, for all sides."""
    sprites = Sprites.Config().build()
    rows = torch.randint(len(sprites), (count,), generator=torch_generator(SEED, "images"))
    arrays = {f"weight_{i}": weight.detach().numpy() for i, weight in enumerate(model().parameters())}
    arrays["images"] = sprites.gather(rows)["image"].numpy()
    np.savez(file, allow_pickle=False, **arrays)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        data_file, result_file, chosen = sys.argv[1:4]
        Path(result_file).write_text(json.dumps(train_ours(Path(data_file), json.loads(chosen))))
    else:
        print(json.dumps(measure(), indent=2))
