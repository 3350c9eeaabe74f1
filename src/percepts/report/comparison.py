"""Traversals of several runs beside each other, from one and the same image.

`matched_traversals` puts the latents of different runs that follow the same thing under each other; latents have no
order or sign of their own, so they are matched by the correlation of their posterior means over some images.
`side_by_side_traversals` shows whole models, such as those of the highest and the lowest UDR (Duan et al. 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor, nn

from percepts.core.capabilities import Encodes, require
from percepts.core.errors import PerceptsError
from percepts.report.grids import font, labelled_rows
from percepts.report.images import to_pixels
from percepts.report.plates import INK, Plate, empty_plate, plate_of
from percepts.report.sections.code import strip_of
from percepts.report.svg import MINUS, nats
from percepts.report.traversal import Latents, measure_latents, traverse
from percepts.report.tuning import device_of

SMALLEST_SIDE = 48


@dataclass(frozen=True)
class Compared:
    """A model in a comparison.

    Attributes:
        name: for the rows, such as "β = 8, seed 2".
        model: encodes and decodes.
        note: a remark, such as its UDR.
    """

    name: str
    model: nn.Module
    note: str = ""


def matched_traversals(
    models: Sequence[Compared],
    images: Float[Tensor, "batch channels height width"],
    *,
    start: int = 0,
    limit: float = 3.0,
    frames: int = 9,
    most: int = 8,
) -> Plate:
    """A block for every active latent of the first model, in order of KL; in it a row a model, with the latent of that
    model that follows the same thing.

    Args:
        models: two or more; a row is left out where a model has no latent left with a correlation of 0.3.
        images: in [0, 1]; all are encoded to match the latents, and all traversals start from number `start`.
        limit: traversals go from -limit to limit; those of latents of the other sign run the other way.
        frames: pictures a row.
        most: blocks at most.
    """
    _check(models, images, start)
    codes, latents = zip(*(_encoded(one.model, images) for one in models))
    reference = latents[0].used[:most]
    if not reference:
        return empty_plate(f"{models[0].name} has no active latent to compare others with.")
    values = torch.linspace(-limit, limit, frames)
    pairs = [match_latents(codes[0], code, reference, used.used) for code, used in zip(codes, latents)]
    rows: list[np.ndarray] = []
    labels: list[tuple[str, str]] = []
    breaks: list[int] = []
    for place in range(len(reference)):
        breaks.append(len(rows))
        for one, found, usage in zip(models, pairs, latents):
            if place not in found:
                continue
            own, sign, match = found[place]
            moved = traverse(one.model, images[start].to(device_of(one.model)), sign * values, [own])[0]
            rows.append(strip_of(to_pixels(moved)))
            alike = "" if one is models[0] else f", |ρ| {match:.2f}"
            labels.append((one.name, f"{MINUS if sign < 0 else ''}z{own}, {nats(usage.kl[own])} nats{alike}"))
    scale = max(1, -(-SMALLEST_SIDE // rows[0].shape[0]))
    picture = labelled_rows(rows, labels, scale, gap=4, breaks=breaks[1:])
    caption = "Rows that stand together should change the same thing: then the runs found the same factor."
    words = f"Traversals of {len(reference)} latents of {', '.join(one.name for one in models)}"
    return plate_of(picture, caption, words)


def side_by_side_traversals(
    models: Sequence[Compared],
    images: Float[Tensor, "batch channels height width"],
    *,
    start: int = 0,
    limit: float = 3.0,
    frames: int = 9,
    most: int = 10,
) -> Plate:
    """Every model's active latents in order of KL, one column of rows a model, all from image number `start`."""
    _check(models, images, start)
    columns = []
    for one in models:
        _, latents = _encoded(one.model, images)
        order = (latents.used or latents.order)[:most]
        shown = traverse(
            one.model, images[start].to(device_of(one.model)), torch.linspace(-limit, limit, frames), order
        )
        rows = [strip_of(to_pixels(picture)) for picture in shown]
        labels = [(f"z{latent}", f"{nats(latents.kl[latent])} nats") for latent in order]
        scale = max(1, -(-SMALLEST_SIDE // rows[0].shape[0]))
        note = "" if latents.used else "no active latent: the code has collapsed"
        columns.append(_headed(labelled_rows(rows, labels, scale, gap=4, note=note), one))
    width, height = sum(column.width for column in columns), max(column.height for column in columns)
    canvas = Image.new("RGB", (width + 24 * (len(columns) - 1), height), "white")
    left = 0
    for column in columns:
        canvas.paste(column, (left, 0))
        left += column.width + 24
    caption = "A disentangled model changes one thing a row; an entangled one several at once."
    return plate_of(canvas, caption, f"Traversals of {' and '.join(one.name for one in models)}")


def match_latents(
    reference: Float[np.ndarray, "batch latents"],
    codes: Float[np.ndarray, "batch others"],
    wanted: Sequence[int],
    candidates: Sequence[int],
    least: float = 0.3,
) -> dict[int, tuple[int, int, float]]:
    """For places of `wanted` the latent of `codes` that follows the same thing: (latent, sign, |correlation|).

    The pair with the largest absolute Pearson correlation of posterior means is taken first, then the next of what is
    left, down to `least`; constant latents match nothing.
    """
    if not wanted or not candidates:
        return {}
    one, other = (_standardised(table[:, list(kept)]) for table, kept in ((reference, wanted), (codes, candidates)))
    correlation = one.T @ other / len(one)
    left, found = np.abs(correlation), {}
    for _ in range(min(correlation.shape)):
        place, candidate = divmod(int(left.argmax()), left.shape[1])
        if left[place, candidate] < least:
            break
        sign = 1 if correlation[place, candidate] > 0 else -1
        found[place] = (candidates[candidate], sign, float(left[place, candidate]))
        left[place], left[:, candidate] = -1.0, -1.0
    return found


def _standardised(table: np.ndarray) -> np.ndarray:
    centred = table - table.mean(axis=0)
    spread = centred.std(axis=0)
    return np.where(spread > 1e-8, centred / np.where(spread > 1e-8, spread, 1.0), 0.0)


@torch.no_grad()
def _encoded(model: nn.Module, images: Tensor) -> tuple[np.ndarray, Latents]:
    posterior = require(model, Encodes, "traversals").encode(images.to(device_of(model)))
    if posterior.mean.ndim != 2:
        raise PerceptsError(f"posterior means of shape {tuple(posterior.mean.shape)}", "one vector an image, [B, D]")
    return posterior.mean.double().cpu().numpy(), measure_latents(posterior)


def _check(models: Sequence[Compared], images: Tensor, start: int) -> None:
    if not models:
        raise PerceptsError("no model to compare", "one or more")
    if not 0 <= start < len(images):
        raise PerceptsError(f"start = {start} of {len(images)} images", "the number of one of them")


def _headed(picture: Image.Image, one: Compared) -> Image.Image:
    large, small = font(15), font(12)
    width = max(picture.width, 20 + round(max(large.getlength(one.name), small.getlength(one.note))))
    canvas = Image.new("RGB", (width, picture.height + 46), "white")
    canvas.paste(picture, (0, 46))
    draw = ImageDraw.Draw(canvas)
    draw.text((10, 6), one.name, fill=INK, font=large)
    draw.text((10, 28), one.note, fill="#5b6068", font=small)
    return canvas
