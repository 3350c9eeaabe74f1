"""What the model sees and draws: reconstructions, samples from the prior, and the data itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from percepts.core.capabilities import Reconstructs, Samples
from percepts.report.grids import grid
from percepts.report.images import Picture, picture, sequential, to_pixels
from percepts.report.material import Material
from percepts.report.sections.code import central_image, gap_of, strip_of
from percepts.report.sections.section import Section
from percepts.report.svg import short
from percepts.report.tuning import spaced

PAIRS, WORST, SAMPLES, ITEMS = 14, 4, 42, 42


def reconstructions(material: Material) -> Section | None:
    """Random images over their reconstructions, and the worst of the sample."""
    if not isinstance(material.model, Reconstructs):
        return None
    images = material.images
    if material.decomposition is not None:
        drawn = material.decomposition.reconstruction.to(images.device)
    else:
        drawn = torch.cat([material.model.reconstruct(part) for part in images.split(64)]).clamp(0, 1)
    squared = (drawn - images).square().flatten(1).mean(dim=1).cpu()
    worst = squared.nan_to_num(torch.inf).argsort(descending=True)[: min(WORST, len(images) // 8)].tolist()
    chosen = list(range(min(PAIRS, len(images))))
    difference = (drawn - images).abs().mean(dim=1, keepdim=True).nan_to_num(1.0)
    limit = float(difference[chosen + worst].amax().clamp(min=1e-3))

    def pair(number: int) -> dict[str, Any]:
        both = to_pixels(torch.stack([images[number], drawn[number]]))
        shade = to_pixels(difference[number : number + 1] / limit)[0, ..., 0] / 255
        note = f"mean squared error {short(float(squared[number]))}"
        return {
            "pair": picture(grid(both, 1, gap_of(both.shape[2])), f"An image above its reconstruction, {note}", note),
            "error": picture(sequential(shade, 1.0), f"Where they differ, {note}", note),
        }

    return Section(
        "reconstructions",
        "Reconstructions",
        {
            "pairs": [pair(number) for number in chosen],
            "worst": [pair(number) for number in worst],
            "count": len(images),
            "limit": short(limit, 2),
            "error": short(float(squared.mean())),
        },
    )


def samples(material: Material) -> Section | None:
    """Images that the model draws from its prior."""
    if not isinstance(material.model, Samples):
        return None
    pixels = to_pixels(material.model.sample(SAMPLES, material.generator("samples")))
    pictures = [picture(tile, f"Sample {number + 1}") for number, tile in enumerate(pixels)]
    return Section("samples", "Samples from the prior", {"pictures": pictures})


def data(material: Material) -> Section | None:
    """What the data look like; where factors are known, also what each does to one image."""
    pixels = to_pixels(material.images[:ITEMS])
    notes = [_factor_note(material, number) for number in range(len(pixels))]
    pictures = [picture(tile, f"Item {number + 1}", note) for number, (tile, note) in enumerate(zip(pixels, notes))]
    shape = " × ".join(map(str, material.dataset.image_shape))
    count = f"{len(material.dataset):,}"
    rows = factor_rows(material)
    return Section("data", "The data", {"pictures": pictures, "count": count, "shape": shape, "rows": rows})


def factor_rows(material: Material, most: int = 13) -> list[tuple[str, int, Picture]]:
    """For every true factor its name, its number of values, and a strip where it alone varies."""
    dataset = material.factors
    if dataset is None or "factors" not in material.batch:
        return []
    start = material.batch["factors"][central_image(material) if material.mean is not None else 0]
    rows = []
    for column, (name, size) in enumerate(zip(dataset.factor_names, dataset.factor_sizes)):
        values = spaced(size, most).to(start.device)
        settings = start.repeat(len(values), 1)
        settings[:, column] = values
        frames = to_pixels(dataset.render(settings))
        missing = np.zeros((most - len(frames), *frames.shape[1:]), np.uint8)
        strip = strip_of(np.concatenate([frames, missing]))
        # A factor of few values leaves the rest of its row empty, so that all rows have one scale.
        strip[:, len(frames) * (frames.shape[2] + gap_of(frames.shape[2])) :] = 0
        rows.append((name, size, picture(strip, f"The factor {name} varied alone over {len(frames)} of its values")))
    return rows


def _factor_note(material: Material, number: int) -> str:
    dataset = material.factors
    if dataset is None or "factors" not in material.batch:
        return ""
    values = material.batch["factors"][number].tolist()
    return ", ".join(f"{name} {value}" for name, value in zip(dataset.factor_names, values))
