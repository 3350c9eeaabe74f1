"""Tuning: how latents answer to factors, as one would ask of neurons (Higgins et al. 2016; Burgess et al. 2018).

Position maps are the mean of each latent over object positions, tuning curves the same over any one factor, both
averaged over sampled values of all other factors. The geometry plot (Watters et al. 2019) shows where a lattice of
positions comes to lie in the plane of two latents.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from percepts.core.capabilities import Encodes, require
from percepts.data.dataset import FactorDataset


@dataclass(frozen=True)
class TuningCurve:
    """The answer of every latent to one factor.

    Attributes:
        factor: its name.
        values: what its indices mean, [V].
        mean: of the latents, over samples of the other factors, [V, D].
        deviation: the standard deviation over the same samples, [V, D].
    """

    factor: str
    values: Float[np.ndarray, " values"]
    mean: Float[np.ndarray, "values latents"]
    deviation: Float[np.ndarray, "values latents"]


@dataclass(frozen=True)
class Lattice:
    """A lattice of positions and where it comes to lie in the plane of two latents.

    Attributes:
        latents: the two with the largest response; first the one that answers more to x.
        codes: [X, Y, 2].
        factors: the lattice itself, [X, Y, 2].
    """

    latents: tuple[int, int]
    codes: Float[np.ndarray, "x y 2"]
    factors: Float[np.ndarray, "x y 2"]


def position_factors(dataset: FactorDataset) -> tuple[int, int] | None:
    """The columns of the horizontal and the vertical position among the factors, None where names tell of none.

    Names such as x, pos_x, posX, x_position and "position x" are understood.
    """
    found: dict[str, int] = {}
    for column, name in enumerate(dataset.factor_names):
        words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
        plain = [word.lower() for word in words if word.lower() not in ("pos", "position", "object", "sprite")]
        if len(plain) == 1 and plain[0] in ("x", "y") and dataset.factor_sizes[column] > 1:
            found.setdefault(plain[0], column)
    return (found["x"], found["y"]) if len(found) == 2 else None


def position_maps(
    model: nn.Module,
    dataset: FactorDataset,
    columns: tuple[int, int],
    generator: torch.Generator,
    resolution: int = 16,
    samples: int = 8,
) -> Float[np.ndarray, "latents y x"]:
    """The mean of every latent by position, averaged over `samples` random settings of the other factors.

    Args:
        columns: of the horizontal and the vertical position, from `position_factors`.
        resolution: positions are thinned to at most so many a side.
    """
    x, y = (spaced(dataset.factor_sizes[column], resolution) for column in columns)
    others = random_factors(dataset, samples, generator)
    factors = others.repeat(len(y) * len(x), 1)
    factors[:, columns[1]] = y.repeat_interleave(len(x) * samples)
    factors[:, columns[0]] = x.repeat(len(y)).repeat_interleave(samples)
    codes = encode_factors(model, dataset, factors)
    return codes.view(len(y), len(x), samples, -1).mean(dim=2).permute(2, 0, 1).numpy()


def tuning_curve(
    model: nn.Module,
    dataset: FactorDataset,
    column: int,
    generator: torch.Generator,
    resolution: int = 20,
    samples: int = 24,
) -> TuningCurve:
    """How all latents answer to the factor at `column`, thinned to at most `resolution` values."""
    chosen = spaced(dataset.factor_sizes[column], resolution)
    factors = random_factors(dataset, samples, generator).repeat(len(chosen), 1)
    factors[:, column] = chosen.repeat_interleave(samples)
    codes = encode_factors(model, dataset, factors).view(len(chosen), samples, -1)
    name = dataset.factor_names[column]
    return TuningCurve(
        name,
        dataset.factor_values(name)[chosen].numpy(),
        codes.mean(dim=1).numpy(),
        codes.std(dim=1, correction=0).numpy(),
    )


def lattice(model: nn.Module, dataset: FactorDataset, columns: tuple[int, int], resolution: int = 16) -> Lattice | None:
    """Where a lattice of positions lies in the plane of the two latents that answer most to it.

    The other factors stay at their middle values. None where the code has a single latent.
    """
    x, y = (spaced(dataset.factor_sizes[column], resolution) for column in columns)
    middle = torch.tensor([size // 2 for size in dataset.factor_sizes])
    factors = middle.repeat(len(x) * len(y), 1)
    factors[:, columns[0]] = x.repeat_interleave(len(y))
    factors[:, columns[1]] = y.repeat(len(x))
    codes = encode_factors(model, dataset, factors)
    if codes.shape[1] < 2:
        return None
    first, second = codes.std(dim=0, correction=0).argsort(descending=True)[:2].tolist()
    along_x, along_y = (codes.view(len(x), len(y), -1).mean(dim=other).std(dim=0) for other in (1, 0))
    if along_x[first] * along_y[second] < along_x[second] * along_y[first]:
        first, second = second, first
    values = [dataset.factor_values(dataset.factor_names[column])[kept] for column, kept in zip(columns, (x, y))]
    corners = torch.stack(torch.meshgrid(*values, indexing="ij"), dim=-1)
    return Lattice((first, second), codes[:, [first, second]].view(len(x), len(y), 2).numpy(), corners.numpy())


def random_factors(dataset: FactorDataset, count: int, generator: torch.Generator) -> Int[Tensor, "count factors"]:
    """Settings of all factors, uniform and independent."""
    columns = [torch.randint(size, (count,), generator=generator) for size in dataset.factor_sizes]
    return torch.stack(columns, dim=1)


def spaced(size: int, most: int) -> Int[Tensor, " kept"]:
    """At most `most` indices below `size`, evenly spaced from the first to the last."""
    return torch.linspace(0, size - 1, min(size, most)).round().long()


@torch.no_grad()
def encode_factors(
    model: nn.Module, dataset: FactorDataset, factors: Int[Tensor, "count factors"], batch: int = 256
) -> Float[Tensor, "count latents"]:
    """The posterior means of the images of `factors`, float32 on the CPU."""
    encoder = require(model, Encodes, "tuning maps")
    device = device_of(model)
    means = [encoder.encode(dataset.render(part.to(device))).mean.float().cpu() for part in factors.split(batch)]
    return torch.cat(means)


def device_of(model: nn.Module) -> torch.device:
    """Where the model's first parameter lives; the CPU for a model without parameters."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def selective(curve: TuningCurve, latents: Sequence[int], least: float = 0.25) -> list[int]:
    """Those of `latents` whose mean moves by more than `least` over the factor, the largest response first."""
    moves = np.ptp(curve.mean, axis=0)
    return sorted((latent for latent in latents if moves[latent] > least), key=lambda latent: -moves[latent])
