"""A folder of 100 000 small pictures: decoding, memory, and the share of a training step that loading takes.

Targets: resident memory under 1.5 GB, loading under 5 % of the step. The pictures are made in a temporary folder.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COUNT, SIZE, THREADS = 100_000, 32, 2


def measure(count: int = COUNT) -> dict[str, Any]:
    """Make the folder, then train from it in a fresh process, whose peak memory is what counts."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), count)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.folder", folder], check=True, capture_output=True, text=True
        )
    return json.loads(done.stdout.splitlines()[-1])


def make(folder: Path, count: int) -> None:
    """Write `count` RGB pictures of SIZE × SIZE, a thousand a subfolder."""

    def write(number: int) -> None:
        rng = np.random.default_rng(number)
        small = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        picture.save(folder / f"{number // 1000:03d}" / f"{number:06d}.png", compress_level=1)

    for part in range(-(-count // 1000)):
        (folder / f"{part:03d}").mkdir()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(count)))


def train(folder: str, steps: int = 60) -> dict[str, Any]:
    """Decode the folder and train a small convolutional beta-VAE from it; batch 64."""
    import resource

    import torch

    from percepts.data.folder import ImageFolder
    from percepts.data.stream import StreamConfig
    from percepts.factors.beta_vae import BetaVAE
    from percepts.nn.conv import ConvDecoder, ConvEncoder
    from percepts.training.engine import Engine
    from percepts.training.settings import Training

    torch.set_num_threads(THREADS)
    start = time.perf_counter()
    data = ImageFolder.Config(path=folder, size=SIZE).build()
    decoding = time.perf_counter() - start
    model = BetaVAE.Config(
        image_shape=data.image_shape,
        encoder=ConvEncoder.Config(channels=(32, 32, 64)),
        decoder=ConvDecoder.Config(channels=(32, 32, 64)),
    ).build()
    engine = Engine(model, data, Training(steps=10**9, device="cpu"), StreamConfig(batch_size=64), seed=0)
    batches = engine.batches()
    loading, stepping = [], []
    for _ in range(steps):
        start = time.perf_counter()
        batch = next(batches)
        middle = time.perf_counter()
        engine.train_step(batch)
        loading.append(middle - start)
        stepping.append(time.perf_counter() - middle)
    # Touch what a whole epoch touches, so that the memory is that of a long run.
    for number in range(len(data) // 64):
        engine.stream.batch(number)
    load, step = statistics.median(loading), statistics.median(stepping)
    return {
        "images": len(data),
        "decoding_s": decoding,
        "files_per_second": len(data) / decoding,
        "load_s_per_batch": load,
        "step_s": step,
        "loading_share": load / (load + step),
        "peak_resident_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


if __name__ == "__main__":
    print(json.dumps(train(sys.argv[1]) if len(sys.argv) > 1 else measure()))
