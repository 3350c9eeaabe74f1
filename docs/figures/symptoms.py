"""Trains small models that go wrong, and draws what their logs show, for `docs/explanation/symptoms.md`.

    python docs/figures/symptoms.py            # a minute or two on one core; writes docs/images/symptoms_*.png

Every picture comes from runs of this library on its smallest worlds, seed 0, with the warnings that the engine gave.
"""

from __future__ import annotations

import dataclasses
import io
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from PIL import Image

from percepts.core.config import Config
from percepts.core.runs import Run
from percepts.data.minis import Blobs24, Squares24
from percepts.data.stream import StreamConfig
from percepts.factors import presets as models
from percepts.factors.cci_vae import CapacitySchedule
from percepts.metrics import affine_geometry, factor_vae_score, mig, modularity, mutual_information
from percepts.report.geometry import geometry_plate, measure_geometry
from percepts.report.plates import COLOURS, FAINT, INK, SOFT, Plate, finish, legend, name_axes, panels, png_of
from percepts.training.experiment import Data, Experiment, load, start, train
from percepts.training.optimizers import Optimizer
from percepts.training.settings import Training

IMAGES = Path(__file__).parents[1] / "images"
ACTIVE, DEAD = COLOURS[0], "#c9ccd2"


def main() -> None:
    """Train, draw, save; say what every run warned of."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(Path(folder))
        pruned = trainer("β = 10, 10 latents", squares(10.0, latents=10), steps=4800, log_every=25)
        plates: dict[str, Callable[[], Plate]] = {
            "collapse": lambda: collapse(trainer),
            "dead_latents": lambda: dead_latents(pruned),
            "gamma": lambda: gamma(trainer),
            "beta_scale": lambda: beta_scale(trainer),
            "rotation": lambda: rotation(trainer),
            "rotation_scores": rotation_scores,
            "histograms": lambda: histograms(pruned),
        }
        for name, draw in plates.items():
            save(draw(), IMAGES / f"symptoms_{name}.png")


class Trainer:
    """Trains small models into a folder and prints the warnings of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self,
        name: str,
        model: Config,
        *,
        steps: int = 600,
        lr: float = 1e-3,
        data: Config | None = None,
        batch_size: int = 64,
        log_every: int = 10,
    ) -> Run:
        """A trained run of `model`, by default on squares-24."""
        experiment = Experiment(
            model=model,
            data=Data(dataset=data or Squares24.Config(), preload=True),
            sampling=StreamConfig(batch_size=batch_size, sampling="independent"),
            training=Training(
                steps=steps,
                optimizer=Optimizer(lr=lr),
                log_every=log_every,
                checkpoint_every=steps,
                device="cpu",
                threads=1,
            ),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run, resolved = start(experiment, self.folder / str(len(list(self.folder.iterdir()))))
            train(run, resolved)
        print(f"\n{name}: {run.info().get('warnings') or 'no warning'}")
        return run


def squares(beta: float, latents: int = 6) -> Config:
    """The preset's beta-VAE with another β or number of latents."""
    return dataclasses.replace(models.beta_vae_squares24(beta=beta), latent_size=latents)


def controlled(gamma: float, capacity: float) -> Config:
    """The preset's CCI-VAE with another γ, and a capacity that rises within 480 steps."""
    return dataclasses.replace(models.cci_squares24(), gamma=gamma, capacity=CapacitySchedule(stop=capacity, end=480))


def collapse(trainer: Trainer) -> Plate:
    """KL over steps, and reconstructions, of a β that works and of one that is far too strong."""
    runs = {f"β = {beta}": trainer(f"β = {beta}", squares(float(beta))) for beta in (4, 400)}
    figure, ((left, right),) = panels(1, 2, width=6.6, height=2.6, width_ratios=[3, 2])
    for (name, run), colour in zip(runs.items(), (COLOURS[0], COLOURS[1])):
        step, kl = log_of(run, "kl")
        left.plot(step, kl, color=colour, linewidth=1.6, label=name)
    left.axhline(0.1, color=FAINT, linewidth=0.9, linestyle="--")
    left.text(600, 0.2, "0.1 nats", fontsize=7.5, color=SOFT, ha="right")
    left.set_ylim(-0.3, 6)
    name_axes(left, "step", "nats", "total KL")
    legend(left, loc="upper left")
    dataset = Squares24.Config().build()
    images = dataset.gather(torch.tensor([130, 400, 566, 730, 841]))["image"]
    rows = [images, *(load(run)[0].reconstruct(images) for run in runs.values())]
    picture_rows(right, rows, ["images", *runs])
    return finish(figure, "Posterior collapse: the KL falls to 0 and every image is reconstructed as the same blur.")


def dead_latents(run: Run) -> Plate:
    """The KL of every latent at the end, and which of them are dead."""
    figure, ((left, right),) = panels(1, 2, width=6.6, height=2.6, width_ratios=[3, 2])
    step, kl = log_of(run, "kl_per_latent")
    last = kl[-8:].mean(axis=0)
    order = np.argsort(-last)
    for place, latent in enumerate(order):
        alive = last[latent] > 0.01
        smooth = np.convolve(kl[:, latent], np.ones(3) / 3, mode="valid")
        left.plot(step[2:], smooth, color=COLOURS[place] if alive else DEAD, linewidth=1.4, zorder=3 - place / 10)
    name_axes(left, "step", "nats", "KL of every latent")
    colours = [COLOURS[place] if last[latent] > 0.01 else DEAD for place, latent in enumerate(order)]
    right.bar(range(len(order)), np.maximum(last[order], 1e-5), color=colours, width=0.7)
    right.set_yscale("log")
    right.axhline(0.01, color=SOFT, linewidth=0.9, linestyle="--")
    right.text(len(order) - 0.5, 0.012, "0.01 nats", fontsize=7.5, color=SOFT, ha="right")
    right.set_xticks(range(len(order)), [f"z{latent}" for latent in order])
    name_axes(right, "", "", "at the end")
    return finish(figure, "Ten latents for three factors: seven die and stay dead (grey).")


def gamma(trainer: Trainer) -> Plate:
    """KL beside its capacity: followed, exceeded, swung around."""
    cases = (
        ("γ = 30: follows", controlled(30.0, 6.0), 1e-3),
        ("γ = 1: too weak", controlled(1.0, 6.0), 1e-3),
        ("γ = 1000: swings", controlled(1000.0, 20.0), 5e-3),
    )
    figure, (row,) = panels(1, 3, width=7.4, height=2.5)
    for axes, (name, model, lr) in zip(row, cases):
        run = trainer(name, model, lr=lr)
        step, kl = log_of(run, "kl")
        _, capacity = log_of(run, "capacity")
        axes.plot(step, kl, color=COLOURS[0], linewidth=1.1, label="KL")
        axes.plot(step, capacity, color=COLOURS[1], linewidth=1.4, label="capacity C")
        late = np.abs(kl - capacity)[step > step[-1] - 500].mean()
        axes.text(0.98, 0.05, f"mean |KL − C| {late:.1f}", transform=axes.transAxes, ha="right", fontsize=8, color=INK)
        name_axes(axes, "step", "nats" if axes is row[0] else "", name)
        axes.title.set_fontsize(8.5)
    legend(row[0], loc="upper left")
    return finish(figure, "KL must stay within about a nat of its capacity. Learning rates 0.001, 0.001 and 0.005.")


def beta_scale(trainer: Trainer) -> Plate:
    """The same β, and the same β_norm, on one scene at three resolutions."""
    sizes = (12, 24, 48)
    same = [final_kl(trainer(f"β = 6, {size}×{size}", squares(6.0), data=scene(size))) for size in sizes]
    scaled = {24: same[1]}
    for size in (12, 48):
        beta = 6.0 * (size / 24) ** 2
        scaled[size] = final_kl(trainer(f"β = {beta:g}, {size}×{size}", squares(beta), data=scene(size)))
    figure, (row,) = panels(1, 2, width=6.6, height=2.6)
    for axes, bars, title in (
        (row[0], same, "β = 6 everywhere"),
        (row[1], [scaled[size] for size in sizes], "β_norm = 0.06 everywhere"),
    ):
        for place, kl in enumerate(bars):
            bottom = 0.0
            for latent in np.argsort(-kl):
                if kl[latent] > 0.01:
                    axes.bar(place, kl[latent], bottom=bottom, width=0.55, color=ACTIVE, edgecolor="white")
                    bottom += kl[latent]
            axes.text(place, bottom + 0.15, f"{bottom:.1f} nats", ha="center", fontsize=7.5, color=SOFT)
        axes.set_xticks(range(3), [f"{size}×{size}" for size in sizes])
        axes.set_ylim(0, 10.5)
        axes.set_xlim(-0.6, 2.6)
        name_axes(axes, "image size", "nats" if axes is row[0] else "", title)
    return finish(figure, "KL after 600 steps, a segment a latent: one β empties small images and lets large ones be.")


def rotation(trainer: Trainer) -> Plate:
    """The lattice of positions in the two latents of a trained model."""
    run = trainer("blobs-24", models.beta_vae_blobs24_broadcast(), steps=1000, data=Blobs24.Config(), batch_size=16)
    model, dataset = load(run)[0], Blobs24.Config().build()
    geometry = measure_geometry(model, dataset, (0, 1))
    assert geometry is not None
    everything = dataset.gather(torch.arange(len(dataset)))
    with torch.no_grad():
        score = mig(model.encode(everything["image"]).mean, everything["factors"]).value
    print(f"   MIG {score:.3f}, {geometry}")
    return geometry_plate(geometry, f"MIG {score:.2f}")


def rotation_scores() -> Plate:
    """Scores of a perfect code of two factors that is turned by an angle."""
    grid = np.stack(np.meshgrid(np.arange(32), np.arange(32), indexing="ij"), axis=-1).reshape(-1, 2)
    plane = (grid - 15.5) / 9.25
    angles = np.arange(0.0, 46.0, 3.0)
    found: dict[str, list[float]] = {"MIG": [], "FactorVAE score": [], "affine R²": []}
    for angle in np.deg2rad(angles):
        codes = plane @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        found["MIG"].append(mig(codes, grid).value)
        rng = np.random.default_rng(0)
        found["FactorVAE score"].append(factor_vae_score(codes, grid, rng=rng).value)
        found["affine R²"].append(affine_geometry(codes, grid, (32, 32)).value)
    figure, ((axes,),) = panels(width=5.0, height=2.6)
    for (name, values), colour, marker in zip(found.items(), COLOURS, "os^"):
        axes.plot(angles, values, color=colour, marker=marker, markersize=3.2, linewidth=1.4, label=name)
    axes.set_ylim(-0.03, 1.05)
    name_axes(axes, "angle between latents and factors (degrees)", "score", "two factors of 32 values, turned")
    legend(axes, loc="lower left")
    return finish(figure, "The geometry does not change; MIG does.")


def histograms(run: Run) -> Plate:
    """Mutual information by histogram beside KL: dead latents seem to know something."""
    model, dataset = load(run)[0], Squares24.Config().build()
    everything = dataset.gather(torch.arange(len(dataset)))
    with torch.no_grad():
        posterior = model.encode(everything["image"])
    codes, factors = posterior.mean.double().numpy(), everything["factors"].numpy()
    kl = posterior.kl_to_standard().mean(dim=0).numpy()
    alive = kl > 0.01
    order = np.argsort(-kl)
    entropies = np.log(dataset.factor_sizes)
    share = (mutual_information(codes, factors) / entropies)[order]
    figure, (row,) = panels(1, 2, width=6.6, height=2.6)
    places = np.arange(len(order))
    row[0].bar(places, np.maximum(codes.std(axis=0)[order], 1e-5), color=[ACTIVE if alive[k] else DEAD for k in order])
    row[0].set_yscale("log")
    name_axes(row[0], "", "", "deviation of the posterior means")
    for column, (name, colour) in enumerate(zip(dataset.factor_names, COLOURS[1:])):
        row[1].bar(places + 0.27 * (column - 1), share[:, column], width=0.25, color=colour, label=name)
    name_axes(row[1], "", "", "information / entropy of the factor")
    for axes in row:
        axes.set_xticks(places, [f"z{latent}" for latent in order])
    legend(row[1], loc="upper right")
    with_dead, without = modularity(codes, factors).value, modularity(codes[:, alive], factors).value
    print(f"   modularity {with_dead:.3f} of all, {without:.3f} of the active latents")
    print(f"   MIG {mig(codes, factors).value:.3f} of all, {mig(codes, factors, active=alive).value:.3f} of the active")
    return finish(figure, f"Modularity: {with_dead:.2f} over all latents, {without:.2f} over the active ones.")


def scene(size: int) -> Squares24.Config:
    """squares-24 drawn at another resolution."""
    scale = size / 24
    return Squares24.Config(
        size=size, half_size_range=(1.5 * scale, 4.0 * scale), centre_range=(6.0 * scale, 18.0 * scale)
    )


def log_of(run: Run, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of one term of the log."""
    lines = [line for line in run.metrics() if name in line]
    return np.array([line["step"] for line in lines]), np.array([line[name] for line in lines], float)


def final_kl(run: Run) -> np.ndarray:
    """The KL of every latent, mean over the last 100 steps."""
    return log_of(run, "kl_per_latent")[1][-10:].mean(axis=0)


def picture_rows(axes: Axes, rows: Sequence[Any], names: Sequence[str]) -> None:
    """Rows of pictures with their names at the left."""
    strips = [
        np.concatenate(list(np.pad(row.detach()[:, 0].numpy(), ((0, 0), (1, 1), (1, 1)), constant_values=1)), 1)
        for row in rows
    ]
    axes.imshow(np.concatenate(strips, 0), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    height = strips[0].shape[0]
    axes.set_yticks([height * (number + 0.5) for number in range(len(names))], names)
    axes.set_xticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def save(plate: Plate, path: Path) -> None:
    """The plate with its caption, in few colours: a small file."""
    file = io.BytesIO()
    plate.save(path)
    with Image.open(path) as image:
        image.convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(file, "PNG", optimize=True)
    path.write_bytes(min(file.getvalue(), png_of(Image.open(path)), key=len))
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
