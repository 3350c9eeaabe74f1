"""The beta-VAE of `benchmarks.pythae` under pythae's trainer and in a plain torch loop, without a line of percepts.

    python beta_vae.py pythae|plain DATA.npz RESULT.json '{"epochs": 3, "batch": 64, …}'

DATA holds `images` float32 [N,1,H,W] in [0,1] and the initial weights `weight_0`, `weight_1`, … in the order of the
layers below. It runs in pythae's environment and imports nothing but torch, NumPy and pythae.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pythae.data.datasets import BaseDataset
from pythae.models import BetaVAE, BetaVAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn


def main(side: str, data_file: str, result_file: str, settings: dict[str, Any]) -> None:
    """Train one side; writes wall-clock and CPU seconds of every step and the mean loss of the last epoch."""
    torch.set_num_threads(1)
    torch.manual_seed(settings["seed"])
    data = np.load(data_file)
    images = torch.from_numpy(data["images"])
    encoder, decoder = networks(settings["latents"])
    weights = [torch.from_numpy(data[f"weight_{i}"]) for i in range(sum(name != "images" for name in data.files))]
    with torch.no_grad():
        for parameter, weight in zip([*encoder.parameters(), *decoder.parameters()], weights, strict=True):
            assert parameter.shape == weight.shape, (parameter.shape, weight.shape)
            parameter.copy_(weight)
    train = {"pythae": train_pythae, "plain": train_plain}[side]
    Path(result_file).write_text(json.dumps({**train(encoder, decoder, images, settings), "torch": torch.__version__}))


def networks(latents: int) -> tuple[nn.Sequential, nn.Sequential]:
    """The encoder (means, then log-variances) and the decoder (logits) of a 64 × 64 grey image."""
    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(),
        nn.Conv2d(32, 32, 4, 2, 1), nn.ReLU(),
        nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(),
        nn.Conv2d(64, 64, 4, 2, 1), nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1024, 256), nn.ReLU(),
        nn.Linear(256, 2 * latents),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(latents, 256), nn.ReLU(),
        nn.Linear(256, 1024), nn.ReLU(),
        nn.Unflatten(1, (64, 4, 4)),
        nn.ConvTranspose2d(64, 64, 4, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(32, 32, 4, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 4, 2, 1),
    )  # fmt: skip
    return encoder, decoder


def networks_precision(precision: str) -> contextlib.AbstractContextManager[Any]:
    """bf16 in the networks alone, or nothing."""
    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


class Clock:
    """Seconds between the ends of steps, on the wall and of the processor."""

    def __init__(self) -> None:
        self.wall: list[float] = [time.perf_counter()]
        self.cpu: list[float] = [time.process_time()]

    def tick(self) -> None:
        """A step has ended."""
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())

    def seconds(self) -> dict[str, list[float]]:
        """The lengths of all steps."""
        return {"wall_s": np.diff(self.wall).tolist(), "cpu_s": np.diff(self.cpu).tolist()}


class Encoder(BaseEncoder):  # type: ignore[misc]
    """`network` as pythae calls an encoder.

    pythae's own mixed precision is for CUDA and switched off where the reconstruction loss is the cross-entropy, so
    bf16 is asked for here, in the networks, which pythae lets its users write.
    """

    def __init__(self, network: nn.Module, precision: str) -> None:
        super().__init__()
        self.network, self.precision = network, precision

    def forward(self, x: Tensor) -> ModelOutput:
        with networks_precision(self.precision):
            mean, log_variance = self.network(x).float().chunk(2, dim=1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class Decoder(BaseDecoder):  # type: ignore[misc]
    """`network` as pythae calls a decoder, from which it wants probabilities."""

    def __init__(self, network: nn.Module, precision: str) -> None:
        super().__init__()
        self.network, self.precision = network, precision

    def forward(self, z: Tensor) -> ModelOutput:
        with networks_precision(self.precision):
            logits = self.network(z).float()
        return ModelOutput(reconstruction=torch.sigmoid(logits))


class Watch(TrainingCallback):  # type: ignore[misc]
    """Notes when steps end, and the mean loss of every epoch."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.losses: list[float] = []

    def on_train_step_end(self, training_config: BaseTrainerConfig, **_: Any) -> None:
        self.clock.tick()

    def on_log(self, training_config: BaseTrainerConfig, logs: dict[str, float], **_: Any) -> None:
        self.losses.append(float(logs["train_epoch_loss"]))


def train_pythae(encoder: nn.Module, decoder: nn.Module, images: Tensor, settings: dict[str, Any]) -> dict[str, Any]:
    """pythae's `BetaVAE` under its `BaseTrainer`, as its documentation uses them."""
    precision, latents = settings["precision"], settings["latents"]
    shape = tuple(images.shape[1:])
    config = BetaVAEConfig(input_dim=shape, latent_dim=latents, reconstruction_loss="bce", beta=settings["beta"])
    model = BetaVAE(config, encoder=Encoder(encoder, precision), decoder=Decoder(decoder, precision))
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        training = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=settings["epochs"],
            learning_rate=settings["lr"],
            per_device_train_batch_size=settings["batch"],
            seed=settings["seed"],
            no_cuda=True,
        )
        dataset = BaseDataset(images, torch.ones(len(images)))
        BaseTrainer(model, dataset, training_config=training, callbacks=[watch]).train()
    return {**watch.clock.seconds(), "loss": watch.losses[-1]}


def train_plain(encoder: nn.Module, decoder: nn.Module, images: Tensor, settings: dict[str, Any]) -> dict[str, Any]:
    """What one would write first: rows of a tensor, the loss, Adam."""
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=settings["lr"])
    clock = Clock()
    for _ in range(settings["epochs"]):
        losses = []
        for rows in torch.randperm(len(images)).split(settings["batch"]):
            image = images[rows]
            with networks_precision(settings["precision"]):
                mean, log_variance = encoder(image).float().chunk(2, dim=1)
                latents = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
                logits = decoder(latents).float()
            likelihood = F.binary_cross_entropy_with_logits(logits, image, reduction="none").flatten(1).sum(1)
            kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
            loss = (likelihood + settings["beta"] * kl).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            clock.tick()
    return {**clock.seconds(), "loss": float(np.mean(losses))}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))
