"""Grouping by colour alone: what a segmentation has to beat before it can be said to see objects.

Scenes of flat colours reward models that cluster colours. Three baselines, as label maps that every segmentation score
takes: pixels of one colour (`colour_labels`), entities of one colour (`property_labels`, which needs the truth), and
k-means in colour space (`colour_clusters`). `colour_grouping` says how close a model is to the first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from percepts.core.errors import DataError, PerceptsError
from percepts.core.results import MetricResult
from percepts.metrics.segmentation_ari import adjusted_rand_index
from percepts.metrics.segmentation_tables import LabelMaps, as_label_maps

_CELLS = 1 << 20  # distances held at a time


def colour_grouping(
    predicted: LabelMaps,
    image: Float[Tensor, "images channels height width"],
    *,
    true: LabelMaps | None = None,
    backgrounds: int = 1,
    levels: int = 8,
    brightness: bool = True,
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> MetricResult:
    """Adjusted Rand index of slots with the pixels' colours: 1 where a model groups by nothing but colour.

    Args:
        predicted: the slot of each pixel [N,H,W].
        image: in [0, 1].
        true: the entity of each pixel, if known: then only the objects' pixels count.
        backgrounds: how many entities, the first, are background.
        levels, brightness: which colours are the same; see `colour_labels`.
        bootstrap, level, rng: resamples of the images for the interval, its confidence level, their source.

    Returns:
        "colour_grouping"; details as `mean_result`, and where `true` is given `oracle` and `model`, the mean ARI-FG of
        the colours and of the slots with the truth. A model that sees objects is nearer to the truth than to the
        colours.

    Raises:
        DataError: images and label maps that do not fit together.
    """
    colours = colour_labels(image, levels=levels, brightness=brightness)
    sure = {"bootstrap": bootstrap, "level": level, "rng": rng}
    parameters = {"levels": levels, "brightness": brightness, "backgrounds": backgrounds}
    if true is None:
        return _named(colours, predicted, 0, sure, {}, parameters)
    truth = as_label_maps(true, "true labels")[0].to(colours.device)
    if truth.shape != colours.shape:
        raise DataError(f"true labels of shape {tuple(truth.shape)}", f"{tuple(colours.shape)}, like the images")
    details = {
        "oracle": adjusted_rand_index(truth, colours, backgrounds=backgrounds).value,
        "model": adjusted_rand_index(truth, predicted, backgrounds=backgrounds).value,
    }
    objects = torch.where(truth >= backgrounds, colours + 1, 0)
    return _named(objects, predicted, 1, sure, details, parameters)


def colour_labels(
    image: Float[Tensor, "images channels height width"], *, levels: int = 8, brightness: bool = True
) -> Int[Tensor, "images height width"]:
    """Number the colours of each image: pixels of one colour have one label.

    Args:
        image: in [0, 1].
        levels: into how many equal steps each channel is divided; 256 tells all 8-bit colours apart.
        brightness: colours that differ in brightness alone are different. Otherwise every pixel is divided by its
            largest channel first, so that shading does not matter; pixels darker than half a step are black.

    Raises:
        DataError: images that are NaN or outside of [0, 1].
        PerceptsError: fewer than two levels.
    """
    if levels < 2:
        raise PerceptsError(f"levels = {levels}", "2 or more")
    pixels = as_pixels(image)
    if not brightness:
        largest = pixels.amax(dim=2, keepdim=True)
        pixels = torch.where(largest < 0.5 / levels, 0.0, pixels / largest.clamp_min(1e-12))
    steps = (pixels * levels).floor().clamp_max(levels - 1).long()
    code = torch.zeros_like(steps[..., 0])
    for channel in steps.unbind(dim=2):
        code = code * levels + channel
    ordered, order = code.sort(dim=1)
    rank = torch.zeros_like(code)
    rank[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).cumsum(dim=1)
    return torch.zeros_like(code).scatter(1, order, rank).reshape(len(image), *image.shape[2:])


def property_labels(
    true: LabelMaps, values: Shaped[Tensor, "images entities *size"], *, backgrounds: int = 1
) -> Int[Tensor, "images height width"]:
    """Give all objects of one value the same label, that of the first of them; the background keeps its own.

    With the objects' colours this is the oracle that groups objects by colour without an error.

    Raises:
        DataError: label maps of other images, or with more entities than there are values.
    """
    maps, entities = as_label_maps(true, "true labels")
    if len(values) != len(maps) or values.shape[1] < entities or maps.ndim != 3:
        raise DataError(
            f"values of shape {tuple(values.shape)} beside labels of shape {tuple(maps.shape)}",
            f"[{len(maps)}, entities, …] and [N,H,W] with at least {entities} entities",
        )
    flat = values.to(maps.device).reshape(len(values), values.shape[1], -1)
    same = (flat[:, :, None] == flat[:, None]).all(dim=3)
    number = torch.arange(flat.shape[1], device=maps.device)
    objects = number >= backgrounds
    same = torch.where(objects[:, None] & objects, same, number[:, None] == number)
    first = same.int().argmax(dim=2)
    return first.gather(1, maps.reshape(len(maps), -1).long()).reshape(maps.shape)


def colour_clusters(
    image: Float[Tensor, "images channels height width"],
    clusters: int,
    *,
    generator: torch.Generator,
    iterations: int = 20,
    restarts: int = 3,
) -> Int[Tensor, "images height width"]:
    """k-means of every image's pixels in colour space (Lloyd's algorithm from k-means++ seeds), on the images' device.

    Args:
        image: in [0, 1].
        clusters: k.
        generator: source of the seeds, on the CPU.
        iterations: of Lloyd's algorithm.
        restarts: how many seeds are tried; each image keeps the clusters of the least squared error.

    Raises:
        DataError: images that are NaN or outside of [0, 1].
        PerceptsError: fewer than one cluster, iteration or restart.
    """
    if min(clusters, iterations, restarts) < 1:
        raise PerceptsError(f"{clusters} clusters, {iterations} iterations, {restarts} restarts", "1 of each or more")
    pixels = as_pixels(image)
    draws = torch.rand(restarts, len(image), clusters, generator=generator).to(image.device)
    step = max(1, _CELLS // (pixels.shape[1] * clusters))
    labels = []
    for rows in torch.arange(len(image)).split(step):
        some = pixels[rows]
        tries = [_lloyd(some, _seeds(some, draw[rows]), iterations) for draw in draws]
        best = torch.stack([error for _, error in tries]).argmin(dim=0)
        labels.append(torch.stack([found for found, _ in tries])[best, torch.arange(len(rows), device=best.device)])
    return torch.cat(labels).reshape(len(image), *image.shape[2:])


def as_pixels(image: Float[Tensor, "images channels height width"]) -> Float[Tensor, "images pixels channels"]:
    """The colours of all pixels, float32.

    Raises:
        DataError: another shape, NaN, or values outside of [0, 1].
    """
    if image.ndim != 4 or image.numel() == 0 or not image.is_floating_point():
        raise DataError(f"images of type {image.dtype} and shape {tuple(image.shape)}", "floats [N,C,H,W] in [0, 1]")
    if not bool(((image >= 0) & (image <= 1)).all()):
        raise DataError("images with values that are NaN or outside of [0, 1]", "colours in [0, 1]", "image / 255")
    return image.float().flatten(2).transpose(1, 2)


def _seeds(
    pixels: Float[Tensor, "images pixels channels"], draws: Float[Tensor, "images clusters"]
) -> Float[Tensor, "images clusters channels"]:
    """k-means++ (Arthur & Vassilvitskii 2007): each centre is a pixel, drawn by squared distance to those before."""
    weight = torch.ones_like(pixels[..., 0])
    centres: list[Tensor] = []
    for draw in draws.unbind(dim=1):
        cumulative = weight.double().cumsum(dim=1)
        # Where every pixel's colour is a centre already, all weights are 0 and any pixel will do.
        place = torch.searchsorted(cumulative, draw[:, None].double() * cumulative[:, -1:], right=True)
        place = place.clamp_max(pixels.shape[1] - 1)
        centre = pixels.gather(1, place[..., None].expand(-1, -1, pixels.shape[2]))
        distance = (pixels - centre).square().sum(dim=2)
        weight = distance if not centres else torch.minimum(weight, distance)
        centres.append(centre)
    return torch.cat(centres, dim=1)


def _lloyd(
    pixels: Float[Tensor, "images pixels channels"], centres: Float[Tensor, "images clusters channels"], iterations: int
) -> tuple[Int[Tensor, "images pixels"], Float[Tensor, " images"]]:
    """Labels of the pixels, and the summed squared distance to their centres."""
    number = torch.arange(centres.shape[1], device=centres.device)[:, None]
    for _ in range(iterations):
        member = (_nearest(pixels, centres)[:, None] == number).to(pixels.dtype)
        size = member.sum(dim=2)[..., None]
        # A cluster without pixels stays where it is.
        moved = torch.where(size > 0, member @ pixels / size.clamp_min(1), centres)
        if bool((moved == centres).all()):
            break
        centres = moved
    label = _nearest(pixels, centres)
    own = centres.gather(1, label[..., None].expand_as(pixels))
    return label, (pixels - own).square().sum(dim=(1, 2))


def _nearest(
    pixels: Float[Tensor, "images pixels channels"], centres: Float[Tensor, "images clusters channels"]
) -> Int[Tensor, "images pixels"]:
    """The nearest centre of every pixel; |p - c|² less |p|², which is the same for all centres."""
    return (
        (centres.square().sum(dim=2)[..., None] - 2 * centres @ pixels.transpose(1, 2)).min(dim=1).indices
    )  # faster than argmin


def _named(
    colours: Int[Tensor, "images height width"],
    predicted: LabelMaps,
    backgrounds: int,
    sure: dict[str, Any],
    details: dict[str, float],
    parameters: dict[str, Any],
) -> MetricResult:
    result = adjusted_rand_index(colours, predicted, backgrounds=backgrounds, **sure)
    return replace(
        result,
        name="colour_grouping",
        details={**{key: result.details[key] for key in ("per_image", "images", "undefined")}, **details},
        parameters=parameters,
    )
