"""One object in a room: a generated world with the factors of 3D Shapes, drawn on demand by ray-casting."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError
from percepts.data.dataset import FactorDataset
from percepts.rendering.colour import hsv_to_rgb
from percepts.rendering.objects import ObjectScene, look_at, pinhole, turn
from percepts.rendering.primitives import Box, Capsule, Cylinder, Plane, Primitive, Sphere
from percepts.rendering.rays import render_objects

_SHAPES: dict[str, tuple[Primitive, tuple[float, float, float]]] = {
    "cube": (Box(), (0.62, 0.62, 0.62)),
    "cylinder": (Cylinder(), (0.62, 0.62, 0.72)),
    "sphere": (Sphere(), (0.78, 0.78, 0.78)),
    "capsule": (Capsule(), (0.55, 0.55, 1.0)),
}
"""Primitives and their half extents at scale 1, in metres."""

_WALLS = 3.2
"""How far the walls are from the middle, in metres."""


class ObjectInRoom(FactorDataset):
    """An object in the middle of a room, 3D Shapes' grid of factors: floor_hue (10) x wall_hue (10) x object_hue (10) x
    scale (8) x shape (4: cube, cylinder, sphere, capsule) x orientation (15), 480 000 images of 64 x 64, the last
    factor fastest.

    Names, sizes, order and values of the factors are those of 3D Shapes (Burgess and Kim 2018): hues 0 to 0.9, scale
    linspace(0.75, 1.25, 8), orientation −30° to 30°, which swings the camera around the object. The pictures are this
    library's own and not 3D Shapes' to the pixel: a floor and two walls that meet in a corner, Lambert's light from one
    lamp that stands still in the room. A stand-in also for the object-in-room data of Watters et al. 2019, which are
    unpublished.

    Raises:
        ConfigError: a count or size below 1, an unknown shape.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            size: pixels a side.
            floor_hues: how many hues the floor takes.
            wall_hues: how many hues the walls take.
            object_hues: how many hues the object takes.
            scales: how many values scale takes.
            shapes: which shapes, of cube, cylinder, sphere and capsule.
            orientations: how many values orientation takes.
            samples: rays along each side of a pixel; 1 draws hard edges.
            shadows: the object throws a shadow.
        """

        size: int = 64
        floor_hues: int = 10
        wall_hues: int = 10
        object_hues: int = 10
        scales: int = 8
        shapes: tuple[str, ...] = ("cube", "cylinder", "sphere", "capsule")
        orientations: int = 15
        samples: int = 1
        shadows: bool = False

    def __init__(self, config: Config) -> None:
        unknown = [name for name in config.shapes if name not in _SHAPES]
        if unknown or not config.shapes:
            raise ConfigError(f"shapes = {config.shapes!r}", "one or more of " + ", ".join(_SHAPES))
        for name in ("size", "floor_hues", "wall_hues", "object_hues", "scales", "orientations", "samples"):
            if getattr(config, name) < 1:
                raise ConfigError(f"{name} = {getattr(config, name)}", "at least 1")
        self.config = config
        self.image_shape = (3, config.size, config.size)
        self._values = {
            "floor_hue": _hues(config.floor_hues),
            "wall_hue": _hues(config.wall_hues),
            "object_hue": _hues(config.object_hues),
            "scale": _spread(0.75, 1.25, config.scales),
            "shape": torch.arange(len(config.shapes), dtype=torch.float64),
            "orientation": _spread(-30.0, 30.0, config.orientations),
        }
        self.factor_names = tuple(self._values)
        self.factor_sizes = tuple(map(len, self._values.values()))

    def factor_values(self, name: str) -> Tensor:
        """Values of a factor, float64 [size]: hues in [0, 1), scale as a factor, shape as a number into the configured
        shapes, orientation in degrees."""
        return self._values[name].clone()

    def render(self, factors: Tensor) -> Tensor:
        self.check_factors(factors)
        config = self.config
        scene = self.scene(factors)
        rendered = render_objects(
            scene, config.size, config.size, samples=config.samples, shadows=config.shadows, labels=False
        )
        return rendered.image

    def scene(self, factors: Int64[Tensor, "batch 6"]) -> ObjectScene:
        """The scenes of `factors`, to render with segmentation (1 = floor, 2 and 3 = walls, 4 = object) or depth."""
        value = {
            name: table.to(factors.device)[column].float()
            for (name, table), column in zip(self._values.items(), factors.unbind(1))
        }
        batch, device = len(factors), factors.device
        shape = factors[:, 4]
        extents = torch.tensor([_SHAPES[name][1] for name in self.config.shapes], device=device)
        size = extents[shape] * value["scale"][:, None]
        walls = torch.tensor([[0, 0, 0], [_WALLS, 0, 0], [0, _WALLS, 0]], device=device).expand(batch, 3, 3)
        middle = torch.stack([torch.zeros_like(size[:, 2]), torch.zeros_like(size[:, 2]), size[:, 2]], dim=1)
        endless = torch.tensor([torch.inf, torch.inf, 1.0], device=device).expand(batch, 3, 3)
        number = torch.tensor([len(self.config.shapes)] * 3, device=device).expand(batch, 3)
        hues = [value["floor_hue"], value["wall_hue"], value["wall_hue"], value["object_hue"]]
        return ObjectScene(
            shapes=(*(_SHAPES[name][0] for name in self.config.shapes), Plane()),
            shape=torch.cat([number, shape[:, None]], dim=1),
            position=torch.cat([walls, middle[:, None]], dim=1),
            rotation=_upright(device).expand(batch, 4, 3, 3),
            size=torch.cat([endless, size[:, None]], dim=1),
            colour=_colours(torch.stack(hues, dim=1)),
            camera=_camera(value["orientation"]),
            intrinsics=pinhole(40.0).to(device),
            light=torch.tensor([-2.4, -1.2, 4.6], device=device),
            ambient=0.35,
        )


def _hues(count: int) -> Tensor:
    """Evenly over the circle, without the end, which is red again."""
    return torch.arange(count, dtype=torch.float64) / count


def _spread(low: float, high: float, count: int) -> Tensor:
    """`count` values from one end to the other, or the middle alone."""
    ends = (low, high) if count > 1 else ((low + high) / 2, high)
    return torch.linspace(*ends, count, dtype=torch.float64)


def _upright(device: torch.device) -> Float[Tensor, "4 3 3"]:
    """Rotations of floor, walls and object: a plane's z becomes up, x and y."""
    turns = [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
        [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    ]
    return torch.tensor(turns, dtype=torch.float32, device=device)


def _colours(hue: Float[Tensor, "batch 4"]) -> Float[Tensor, "batch 4 3"]:
    return hsv_to_rgb(torch.stack([hue, torch.ones_like(hue), torch.ones_like(hue)], dim=-1))


def _camera(orientation: Float[Tensor, " batch"]) -> Float[Tensor, "batch 4 4"]:
    """A camera that looks over the object into the corner and swings around it by `orientation` degrees."""
    angle = orientation * (math.pi / 180) + math.pi * 5 / 4
    across = turn(angle)[:, :, 0]
    eye = across * 4.6 + torch.tensor([0, 0, 3.0], device=angle.device)
    return look_at(eye, torch.tensor([0, 0, 0.9], device=angle.device).expand_as(eye))
