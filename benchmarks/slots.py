"""MONet's and IODINE's training steps beside public PyTorch re-implementations: `python -m benchmarks slots`.

MONet: addtt/object-centric-library (MIT), 64 x 64, 5 slots, its own attention, decoder (32-32-64-64 channels) and loss
(a mixture over channels); its encoder gets padding 1 as ours has. Weights are copied into ours and both losses compared
for the same image and noise. IODINE: zhixuan-lin/IODINE (MIT), 64 x 64, 4 slots, 5 steps, its layer sizes; its
gradients stop between steps of refinement where ours go through all of them, so ours computes more in a step.

Timed is forward, backward and the optimiser's step (Adam) on the same batch in memory, on one thread, in turns in one
process; a ratio is the median over the turns. The repositories are cloned into .venvs/peers, unmodified, and never
become part of this one. Also measured: the peak memory of IODINE's step with and without recomputation of the decoder.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from percepts.core.capabilities import StillStep
from percepts.nn.unet import UNet, unet_channels
from percepts.objects.iodine import IODINE, slot_decoder
from percepts.objects.monet import MONet, component_decoder, component_encoder
from percepts.objects.refinement import RefinementNetwork

PEERS = Path(__file__).resolve().parent.parent / ".venvs" / "peers"
REPOSITORIES = {
    "object-centric-library": (
        "https://github.com/addtt/object-centric-library",
        "c13c550cc193b50af63f027e4d147d2bf47bb62d",
    ),
    "IODINE": ("https://github.com/zhixuan-lin/IODINE", "90546698b15eb9d33f3b35842811ed6bfb6f08ac"),
}
SIZE, BATCH, TURNS, STEPS = 64, 8, 5, 3
SHAPE = (3, SIZE, SIZE)


def measure() -> dict[str, Any]:
    """Milliseconds a step of both sides, the ratios, how far the losses are apart, and IODINE's peak memory."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    image = torch.rand(BATCH, *SHAPE, generator=torch.Generator().manual_seed(0))
    peaks = memory()
    sides = {"monet": (our_monet(), their_monet()), "iodine": (our_iodine(), their_iodine())}
    result: dict[str, Any] = {"name": "slots", "size": SIZE, "batch": BATCH, "target_ratio": 1.5}
    for name, (ours, theirs) in sides.items():
        result[name] = race(step_of(ours, image), step_of(theirs, image))
    result["monet"]["relative_difference_of_losses"] = difference(image)
    result["iodine"]["peak_memory"] = peaks
    torch.set_num_threads(threads)
    return result


def race(ours: Callable[[], object], theirs: Callable[[], object]) -> dict[str, float]:
    """Both in turns: median milliseconds a step and the median of the turns' ratios."""
    times: list[tuple[float, float]] = []
    for _ in range(TURNS + 1):
        times.append((_seconds(ours), _seconds(theirs)))
    times = times[1:]
    return {
        "ours_ms": 1000 * statistics.median(one for one, _ in times),
        "theirs_ms": 1000 * statistics.median(other for _, other in times),
        "ratio": statistics.median(other / one for one, other in times),
    }


def step_of(loss: tuple[torch.nn.Module, Callable[[Tensor], Tensor]], image: Tensor) -> Callable[[], object]:
    """One training step."""
    model, objective = loss
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        objective(image).backward()
        optimizer.step()

    return step


def our_monet(checkpoint: bool = False) -> tuple[MONet, Callable[[Tensor], Tensor]]:
    """MONet with the peer's settings."""
    config = MONet.Config(
        image_shape=SHAPE,
        slots=5,
        attention=UNet.Config(channels=unet_channels(5)),
        encoder=component_encoder(),
        decoder=component_decoder((32, 32, 64, 64)),
        background_scale=0.06,
        foreground_scale=0.10,
        mixture_over="channel",
        log_variance_range=None,
        checkpoint_attention=checkpoint,
    )
    torch.manual_seed(0)
    model = config.build()
    return model, lambda image: model.losses({"image": image}, StillStep()).minimise["model"]


def their_monet() -> tuple[torch.nn.Module, Callable[[Tensor], Tensor]]:
    """addtt's MONet; the loss is what its trainer minimises."""
    folder = clone("object-centric-library")
    for path in (folder, PEERS / "site"):
        sys.path.insert(0, str(path))
    if not (PEERS / "site" / "omegaconf").exists():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(PEERS / "site"), "omegaconf"]
        subprocess.run(install, check=True)
    from models.monet.model import Monet  # type: ignore[import-not-found]

    plain = {"activations": "relu", "strides": [2] * 4, "batchnorms": [False] * 4, "bn_affines": [False] * 4}
    model = Monet(
        name="monet",
        width=SIZE,
        height=SIZE,
        num_slots=5,
        latent_size=16,
        num_blocks_unet=5,
        beta_kl=0.5,
        gamma=0.5,
        bg_sigma=0.06,
        fg_sigma=0.10,
        encoder_params={
            **plain,
            "channels": [32, 32, 64, 64],
            "kernels": [3] * 4,
            "paddings": [1] * 4,
            "input_channels": 4,
            "mlp_hidden_size": 256,
            "mlp_output_size": 32,
        },
        decoder_params={
            "w_broadcast": SIZE + 8,
            "h_broadcast": SIZE + 8,
            "input_channels": 18,
            "channels": [32, 32, 64, 64, 4],
            "kernels": [3, 3, 3, 3, 1],
            "paddings": [0] * 5,
            "activations": ["relu"] * 4 + [None],
            "batchnorms": [False] * 5,
            "bn_affines": [False] * 5,
        },
    )
    return model, lambda image: model(image)["loss"]


def our_iodine(checkpoint: bool = False) -> tuple[IODINE, Callable[[Tensor], Tensor]]:
    """IODINE with the peer's sizes."""
    config = IODINE.Config(
        image_shape=SHAPE,
        slots=4,
        steps=5,
        latent_size=16,
        decoder=slot_decoder((32,) * 5),
        refinement=RefinementNetwork.Config(channels=(32, 32, 32), hidden=(128,), lstm=128),
        checkpoint=checkpoint,
    )
    torch.manual_seed(0)
    model = config.build()
    return model, lambda image: model.losses({"image": image}, StillStep()).minimise["model"]


def their_iodine() -> tuple[torch.nn.Module, Callable[[Tensor], Tensor]]:
    """zhixuan-lin's IODINE; its forward makes backward passes of its own."""
    sys.path.insert(0, str(clone("IODINE")))
    from lib.modeling.iodine import IODINE as Theirs  # type: ignore[import-not-found]

    every = ["posterior", "grad_post", "image", "means", "mask", "mask_logits", "mask_posterior", "grad_means"]
    every += ["grad_mask", "likelihood", "leave_one_out_likelihood", "coordinate"]
    sizes = SimpleNamespace(
        DIM_LATENT=16,
        ITERS=5,
        SLOTS=4,
        ENCODING=every,
        IMG_CHANNELS=3,
        IMG_SIZE=SIZE,
        SIGMA=0.1,
        LAYERNORM=True,
        STOP_GRADIENT=False,
        REF=SimpleNamespace(CONV_CHAN=32, CONV_LAYERS=3, MLP_UNITS=128, KERNEL_SIZE=3, STRIDE=2),
        DEC=SimpleNamespace(CONV_CHAN=32, CONV_LAYERS=5, KERNEL_SIZE=3),
    )
    model = Theirs(sizes)
    return model, lambda image: model(image)


@torch.no_grad()
def difference(image: Tensor) -> float:
    """The relative difference of the two MONets' losses for equal weights, image and noise."""
    (ours, _), (theirs, _) = our_monet(), their_monet()
    copy_weights(theirs, ours)
    found = theirs(image)
    posterior = ours.encode(image)
    noise = (found["z"] - posterior.mean) / posterior.variance.sqrt()
    step = StillStep()
    step.normal = lambda like: noise.reshape(like.shape)  # type: ignore[method-assign]
    mine = ours.losses({"image": image}, step).minimise["model"]
    return float((mine - found["loss"]).abs() / found["loss"].abs())


@torch.no_grad()
def copy_weights(theirs: torch.nn.Module, ours: MONet) -> None:
    """Give our MONet the weights of theirs. Its attention has two logits where ours has their difference; it numbers
    coordinates y, x and ours x, y."""
    source = list(theirs.named_parameters())
    attention = [value for name, value in source if name.startswith("attention.unet.") and "final_conv" not in name]
    final = dict(source)["attention.unet.final_conv.weight"], dict(source)["attention.unet.final_conv.bias"]
    assert ours.attention is not None
    blocks = [value for name, value in ours.attention.named_parameters() if not name.startswith("output.")]
    down_up = [value for name, value in source if name.startswith(("attention.unet.down", "attention.unet.up"))]
    mlp = [value for name, value in source if name.startswith("attention.unet.mlp")]
    downs = len([name for name, _ in source if name.startswith("attention.unet.down")])
    assert len(attention) == len(blocks)
    for target, value in zip(blocks, [*down_up[:downs], *mlp, *down_up[downs:]]):
        target.copy_(value)
    ours.attention.output.weight.copy_(final[0][:1] - final[0][1:])
    ours.attention.output.bias.copy_(final[1][:1] - final[1][1:])
    for prefix, module in (("encoder.", ours.encoder), ("decoder.", ours.decoder)):
        values = [value for name, value in source if name.startswith(prefix)]
        for target, value in zip(module.parameters(), values):
            target.copy_(value)
    first = ours.decoder.first.weight
    first[:, -2:] = first[:, -2:].flip(1)


def memory() -> dict[str, float]:
    """Peak resident megabytes of one step of IODINE above those before it, in processes of their own."""
    found = {}
    for name, checkpoint in (("plain", False), ("recomputed", True)):
        code = f"from benchmarks.slots import peak; print(peak({checkpoint}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        found[name] = float(done.stdout)
    return {**found, "share": found["recomputed"] / found["plain"]}


def peak(checkpoint: bool) -> float:
    """Megabytes that a step on 16 images adds to the process's peak."""
    torch.set_num_threads(1)
    _, objective = our_iodine(checkpoint)
    small, large = torch.rand(1, *SHAPE), torch.rand(16, *SHAPE)
    objective(small).backward()
    before = peak_resident()
    objective(large).backward()
    return peak_resident() - before


def peak_resident() -> float:
    """Megabytes that this process has ever held. (What `getrusage` says includes the process that started it.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024


def clone(name: str) -> Path:
    """A checkout of a peer at the commit that it was compared at."""
    owner, commit = REPOSITORIES[name]
    folder = PEERS / name
    if not folder.exists():
        subprocess.run(["git", "clone", "--quiet", f"https://github.com/{owner}/{name}", str(folder)], check=True)
        subprocess.run(["git", "-C", str(folder), "checkout", "--quiet", commit], check=True)
    return folder


def _seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - start) / STEPS


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
