"""Seeing what is on the tray: from the picture alone, or through a channel that errs at a known rate.

reader = TrayReader(view)
objects, lit = reader.read(view.draw(state).image)          # numbers among all objects, -1 for an empty tray
"""

from __future__ import annotations

import functools

import torch
from jaxtyping import Bool, Float64, Int64, UInt8
from torch import Tensor

from percepts.core.errors import ConfigError, DataError
from percepts.envs.feature_world.rendered import TRAY, TableView
from percepts.envs.feature_world.world import FeatureWorld, mistaken

_AT_ONCE = 1 << 24
"""Numbers that are compared at a time."""


class TrayReader:
    """Names the object on the tray by what every object would look like there: the one that differs least, where it or
    the tray would be seen. It knows colours, shapes and sizes, and learns nothing.

    Args:
        view: that draws the pictures.
    """

    def __init__(self, view: TableView) -> None:
        self.view = view

    @functools.cached_property
    def _known(self) -> tuple[Tensor, Tensor, tuple[slice, slice]]:
        """Pictures [M, P, 3] of every object on the tray, dark and lit, and of the empty one, around the tray; where
        to compare [M, P]; and what part of the picture that is."""
        world = self.view.world
        number = torch.arange(len(world.tables.features)).repeat(2)
        lit = torch.arange(len(number)) >= len(number) // 2
        drawn = self.view.on_the_tray(number, lit)
        nowhere = torch.full((1,), -1)
        first = torch.zeros(1, dtype=torch.int64)
        empty = self.view.draw_tables(first, first, nowhere, torch.zeros(1, dtype=torch.bool))
        image = torch.cat([drawn.image, empty.image]).float()
        mask = torch.cat([drawn.segmentation >= TRAY, empty.segmentation == TRAY])
        rows, columns = mask.any(0).any(1).nonzero()[:, 0], mask.any(0).any(0).nonzero()[:, 0]
        part = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        return image[:, part[0], part[1]].flatten(1, 2), mask[:, part[0], part[1]].flatten(1), part

    def read(
        self, image: UInt8[Tensor, "batch height width 3"]
    ) -> tuple[Int64[Tensor, " batch"], Bool[Tensor, " batch"]]:
        """The number of the object on every tray, -1 for none, and whether the tray is lit.

        Raises:
            DataError: pictures of another size.
        """
        if tuple(image.shape[1:]) != (*self.view.shape, 3):
            raise DataError(f"pictures of {list(image.shape)}", f"[B, {self.view.shape[0]}, {self.view.shape[1]}, 3]")
        known, mask, part = self._known
        known, mask = known.to(image.device), mask.to(image.device)
        crops = image[:, part[0], part[1]].flatten(1, 2).float()
        best = [
            self._difference(crop, known, mask).argmin(1) for crop in crops.split(max(1, _AT_ONCE // known.numel()))
        ]
        found = torch.cat(best) if best else torch.zeros(0, dtype=torch.int64, device=image.device)
        objects = len(self.view.world.tables.features)
        return torch.where(found == 2 * objects, -1, found % objects), (found >= objects) & (found < 2 * objects)

    def _difference(self, crop: Tensor, known: Tensor, mask: Tensor) -> Tensor:
        away = (crop[:, None] - known).abs().sum(-1)
        return (away * mask).sum(-1) / mask.sum(-1)


def misperceived(
    world: FeatureWorld, objects: Int64[Tensor, " batch"], unit: Float64[Tensor, "batch 3"], noise: float
) -> Int64[Tensor, " batch"]:
    """What a channel that errs with probability `noise` takes objects for: one value, in a random dimension, is a
    random other one. -1, nothing to see, stays.

    Args:
        world: of the objects.
        objects: their numbers among all.
        unit: uniform random numbers in [0, 1).
        noise: the probability.

    Raises:
        ConfigError: `noise` is no probability.
    """
    if not 0 <= noise <= 1:
        raise ConfigError(f"noise = {noise}", "a probability")
    other = mistaken(world.tables, world.values, objects.clamp(min=0), unit[:, 1:])
    return torch.where((unit[:, 0] < noise) & (objects >= 0), other, objects)
