"""The engine beside a bare torch loop: what it costs, and what its fastest accurate CPU setting gains.

The model is the convolutional beta-VAE of Burgess et al. at batch 64 on 64×64 grey sprites. Both sides run in turns in
one process with the same number of threads; a figure is the median over the turns.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from percepts.core.capabilities import StillStep
from percepts.core.random import derive_seed, torch_generator
from percepts.data.arrays import ArrayDataset
from percepts.data.sprites import Sprites
from percepts.data.stream import StreamConfig
from percepts.factors.beta_vae import BetaVAE
from percepts.factors.presets import cci_dsprites
from percepts.training.engine import Engine
from percepts.training.settings import Training
from percepts.training.setup import settled_precision

BATCH, THREADS, SEED = 64, 2, 0


def measure(turns: int = 8, steps: int = 8, trained: int = 500) -> dict[str, Any]:
    """Overhead of the engine, and images/s and loss of the fastest accurate setting, each beside the plain loop."""
    torch.set_num_threads(THREADS)
    return {
        "batch": BATCH,
        "threads": THREADS,
        "fastest": fastest(7, trained),
        "overhead": overhead(images(), turns, steps),
    }


def overhead(data: ArrayDataset, turns: int, steps: int) -> dict[str, float]:
    """The engine's step beside a bare loop over the same model with the same layout and optimiser. Target: ≤ 1.03."""
    training = Training(steps=10**9, device="cpu", channels_last="no", threads=THREADS)
    engine = Engine(model(), data, training, StreamConfig(batch_size=BATCH), seed=SEED)
    bare = BareLoop(data, fused=True)
    ours, theirs = in_turns(engine_steps(engine, steps), lambda: bare.run(steps), turns)
    return {"engine_s_per_step": ours / steps, "bare_s_per_step": theirs / steps, "ratio": ours / theirs}


def fastest(turns: int, trained: int) -> dict[str, float]:
    """The engine's defaults (channels_last, fused Adam, memory kept in the process) and, where the processor has it,
    bfloat16, beside the plain fp32 loop. Targets: ≥ 1.6 times the images/s, the loss after `trained` steps within 1 %.

    Each side runs in processes of its own, in turns, since how the C library hands out memory belongs to a process. The
    ratio is the median over the turns; the losses are compared on the same batches and noise.
    """
    speeds: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(turns):
        for side, kept in speeds.items():
            command = [sys.executable, "-m", "benchmarks.engine", side]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            kept.append(float(done.stdout.splitlines()[-1]))
    data, fast = images(), fast_settings()
    plain_settings = dataclasses.replace(fast, channels_last="no", precision="fp32")
    losses = [final_loss(data, training, trained) for training in (fast, plain_settings)]
    return {
        "precision": fast.precision,
        "images_per_second": statistics.median(speeds["ours"]),
        "plain_images_per_second": statistics.median(speeds["plain"]),
        "ratio": statistics.median(ours / plain for ours, plain in zip(speeds["ours"], speeds["plain"])),
        "turns": turns,
        "loss": losses[0],
        "plain_loss": losses[1],
        "loss_difference": abs(losses[0] / losses[1] - 1),
    }


def speed(side: str, steps: int = 40) -> float:
    """Images/s of one side in this process: the median step after a warm-up."""
    torch.set_num_threads(THREADS)
    data = images()
    if side == "ours":
        engine = Engine(model(), data, fast_settings(), StreamConfig(batch_size=BATCH), seed=SEED)
        run = engine_steps(engine, 1)
    else:
        bare = BareLoop(data, fused=False)

        def run() -> None:
            bare.run(1)

    times = []
    for _ in range(steps):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return BATCH / statistics.median(times[steps // 4 :])


def fast_settings() -> Training:
    """The fastest settings that keep the loss."""
    return settled_precision(Training(steps=10**9, device="cpu", precision="auto", threads=THREADS))


class BareLoop:
    """What a user would write: index a tensor, compute the loss, Adam, in fp32."""

    def __init__(self, data: ArrayDataset, fused: bool) -> None:
        self.images = data.gather(torch.arange(len(data)))["image"]
        self.model = model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=5e-4, fused=fused)
        self.generator = torch_generator(SEED, "bare loop")
        self.step = 0

    def run(self, steps: int) -> float:
        """Train; gives the mean loss of the last tenth of the steps."""
        losses = []
        for _ in range(steps):
            rows = torch.randint(len(self.images), (BATCH,), generator=self.generator)
            losses_now = self.model.losses({"image": self.images[rows]}, StillStep(self.step, self.generator))
            loss = losses_now.minimise["model"]
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.step += 1
            losses.append(loss.detach())
        return float(torch.stack(losses[-max(1, steps // 10) :]).mean())


def images() -> ArrayDataset:
    """4096 random sprites in memory."""
    sprites = Sprites.Config().build()
    rows = torch.randint(len(sprites), (4096,), generator=torch_generator(SEED, "images"))
    return ArrayDataset(sprites.gather(rows)["image"], layout="NCHW")


def model() -> BetaVAE:
    """Burgess et al.'s network as a beta-VAE with β = 4, the same initial weights every time."""
    burgess = cci_dsprites()
    config = BetaVAE.Config(image_shape=(1, 64, 64), encoder=burgess.encoder, decoder=burgess.decoder, beta=4.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(SEED, "initial weights"))
        return config.build()


def engine_steps(engine: Engine, steps: int) -> Callable[[], None]:
    """Run `steps` steps of the engine, its batches included."""
    batches = engine.batches()

    def run() -> None:
        for _ in range(steps):
            engine.train_step(next(batches))

    return run


def final_loss(data: ArrayDataset, training: Training, steps: int) -> float:
    """The mean loss of the last tenth of `steps` steps under `training`."""
    engine = Engine(model(), data, training, StreamConfig(batch_size=BATCH), seed=SEED)
    losses = [engine.train_step(batch).minimise["model"].detach() for batch, _ in zip(engine.batches(), range(steps))]
    return float(torch.stack(losses[-max(1, steps // 10) :]).mean())


def in_turns(ours: Callable[[], Any], theirs: Callable[[], Any], turns: int) -> tuple[float, float]:
    """Median seconds of both, run alternately after one warm-up each."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(turns + 1):
        for work, kept in zip((ours, theirs), times):
            start = time.perf_counter()
            work()
            if turn:
                kept.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


if __name__ == "__main__":
    print(speed(sys.argv[1]) if len(sys.argv) > 1 else json.dumps(measure(), indent=2))
