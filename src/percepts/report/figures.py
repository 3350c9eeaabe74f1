"""The report's pictures as PNG and GIF files, for a README, a paper or a slide."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from percepts.core.capabilities import Decodes, Encodes, Reconstructs, Samples
from percepts.core.files import write_bytes
from percepts.core.runs import Run
from percepts.data.dataset import ImageDataset
from percepts.report.animation import traversal_gif
from percepts.report.grids import grid, labelled_rows
from percepts.report.images import as_image, diverging, to_pixels
from percepts.report.material import Material, gather_material
from percepts.report.sections.code import FRAMES, central_image, gap_of, strip_of
from percepts.report.slot_figures import SLOT_FIGURES, SLOT_FILMS
from percepts.report.svg import nats, share
from percepts.report.traversal import traverse
from percepts.report.tuning import position_factors, position_maps

SMALLEST_SIDE = 64
"""Tiles are enlarged by whole numbers to at least so many pixels a side."""


def save_figures(
    run: Run, model: nn.Module, dataset: ImageDataset, evaluation: Mapping[str, Any] | None = None, *, seed: int = 0
) -> list[Path]:
    """Write the figures that the model's capabilities allow to `figures/` in the run folder; returns their paths.

    Stills are PNG files; `traversals.gif` shows the active latents moving, `refinement.gif` and `tracking.gif` slots.

    They show the same images, in the same order, as the report of the same seed.

    Raises:
        RunError: the run's files cannot be read.
        PerceptsError: a file cannot be written.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            material = gather_material(run, model, dataset, evaluation, seed)
            drawn = {name: image for name, make in FIGURES.items() if (image := make(material)) is not None}
            films = {name: film for name, make in FILMS.items() if (film := make(material)) is not None}
    finally:
        model.train(was_training)
    paths = []
    for name, image in drawn.items():
        file = io.BytesIO()
        image.save(file, "PNG", optimize=True)
        paths.append(run.path / "figures" / f"{name}.png")
        write_bytes(paths[-1], file.getvalue())
    for name, film in films.items():
        paths.append(run.path / "figures" / f"{name}.gif")
        write_bytes(paths[-1], film)
    return paths


def traversal_animation(material: Material) -> bytes | None:
    """Every active latent moving from −2 to 2 standard deviations of the prior and back, side by side, as a GIF."""
    if not isinstance(material.model, Decodes) or material.mean is None or material.latents is None:
        return None
    return traversal_gif(material.model, material.images, start=central_image(material), latents=material.latents)


def traversal_figure(material: Material) -> Image.Image | None:
    """Every active latent from −3 to 3, largest KL first, annotated; all of them where none is active."""
    if not isinstance(material.model, Decodes) or material.mean is None or material.latents is None:
        return None
    latents = material.latents
    order = latents.used or latents.order
    start = material.images[central_image(material)]
    images = traverse(material.model, start, torch.linspace(-3, 3, FRAMES), order)
    rows = [strip_of(to_pixels(frames)) for frames in images]
    labels = [(f"z{j}", f"{nats(latents.kl[j])} nats, var {share(latents.variance[j])}") for j in order]
    idle = len(latents) - len(order)
    note = f"{idle} inactive latent{'s' if idle > 1 else ''} not shown" if idle else ""
    return labelled_rows(rows, labels, _scale(to_pixels(start[None]).shape[1]), note=note)


def reconstruction_figure(material: Material, count: int = 12) -> Image.Image | None:
    """Images in the first row, their reconstructions in the second."""
    if not isinstance(material.model, Reconstructs):
        return None
    images = material.images[:count]
    rows = [strip_of(to_pixels(part)) for part in (images, material.model.reconstruct(images))]
    return labelled_rows(rows, [("image", ""), ("model", "")], _scale(rows[0].shape[0]))


def sample_figure(material: Material, count: int = 36) -> Image.Image | None:
    """Images from the prior."""
    if not isinstance(material.model, Samples):
        return None
    return _tiles(to_pixels(material.model.sample(count, material.generator("samples"))))


def data_figure(material: Material, count: int = 36) -> Image.Image | None:
    """Some of the data."""
    return _tiles(to_pixels(material.images[:count]))


def position_figure(material: Material) -> Image.Image | None:
    """The position map of every active latent, blue to orange over −3 to 3."""
    dataset, latents = material.factors, material.latents
    columns = position_factors(dataset) if dataset is not None else None
    if dataset is None or columns is None or latents is None or not latents.used:
        return None
    if not isinstance(material.model, Encodes):
        return None
    maps = position_maps(material.model, dataset, columns, material.generator("position maps"))
    rows = [grid(diverging(maps[latent], 3.0)[None], 1) for latent in latents.used]
    return labelled_rows(rows, [(f"z{latent}", "") for latent in latents.used], _scale(maps.shape[1]))


FIGURES: dict[str, Callable[[Material], Image.Image | None]] = {
    "traversals": traversal_figure,
    "reconstructions": reconstruction_figure,
    "samples": sample_figure,
    "data": data_figure,
    "position_maps": position_figure,
    **SLOT_FIGURES,
}
FILMS: dict[str, Callable[[Material], bytes | None]] = {"traversals": traversal_animation, **SLOT_FILMS}


def _tiles(pixels: np.ndarray, columns: int = 12) -> Image.Image:
    image = as_image(grid(pixels, min(columns, len(pixels)), gap_of(pixels.shape[2])))
    scale = _scale(pixels.shape[1])
    image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    canvas = Image.new("RGB", image.size, "white")
    canvas.paste(image, (0, 0), image)
    return canvas


def _scale(side: int) -> int:
    return max(1, -(-SMALLEST_SIDE // side))
